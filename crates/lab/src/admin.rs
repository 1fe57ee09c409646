//! The lab's own questions to a server, past the relay.

use std::time::Duration;

use tokio_postgres::{Config, Error, NoTls, SimpleQueryMessage};

/// Connects, runs `sql`, and returns the first row as text; empty when there is none.
///
/// Dropping the future closes the connection.
pub(crate) async fn row(port: u16, database: &str, sql: &str) -> Result<Vec<Option<String>>, Error> {
    let mut config = Config::new();
    config.host("127.0.0.1").port(port).user("postgres").dbname(database);
    config.application_name("millpond-lab").connect_timeout(Duration::from_secs(5));
    // Ours must not wait for a replica that the test has just stopped.
    config.options("-c synchronous_commit=local");
    let (client, connection) = config.connect(NoTls).await?;
    let asked = client.simple_query(sql);
    tokio::pin!(asked, connection);
    let messages = tokio::select! {
        messages = &mut asked => messages?,
        ended = &mut connection => {
            // The answer may have come in the same moment as the end.
            ended?;
            asked.await?
        }
    };
    let row = messages.into_iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some((0..row.len()).map(|i| row.get(i).map(str::to_owned)).collect()),
        _ => None,
    });
    Ok(row.unwrap_or_default())
}
