//! The ways in which clients write a row and read rows.

use std::time::Duration;

use anyhow::Result as AnyResult;
use futures_util::{TryStreamExt as _, pin_mut};
use millpond::postgres::{Db, Session, tokio_postgres};
use millpond::{Error, Outcome};
use tokio::time::timeout;

use crate::history::{Entry, Numbers};

/// Where rows go. Without a key, so that one that is written twice is there twice.
pub const TABLE: &str = "create table entry (writer int not null, number int not null); \
                         create index on entry (writer, number)";

/// The timeline is that of the server which runs the statement.
const INSERT: &str = "insert into entry values ($1, $2) \
    returning ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int4";

/// The numbers of one writer's rows behind another.
const ROWS: &str = "select number from entry where writer = $1 and number > $2";

/// The same, taking its time: so that some are always on their way.
const SLOW_ROWS: &str =
    "select number from entry, (select pg_sleep(0.01)) as nap where writer = $1 and number > $2";

/// How long a call may take: longer than any fault, so that most are survived.
pub const PATIENCE: Duration = Duration::from_secs(8);

/// How a row is written.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_enums, reason = "the ways that are tried")]
pub enum WriteBy {
    /// One statement.
    Statement,
    /// One statement of a handle with settings.
    Settings,
    /// One of two statements of a batch.
    Batch,
    /// In a transaction, behind a savepoint that is taken back.
    Transaction,
    /// Through a connection on loan.
    Lease,
}

impl WriteBy {
    /// One at random.
    pub fn random(random: &mut fastrand::Rng) -> Self {
        match random.u8(0..20) {
            0..4 => Self::Transaction,
            4..6 => Self::Settings,
            6..8 => Self::Batch,
            8 => Self::Lease,
            _ => Self::Statement,
        }
    }
}

/// How rows are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the ways that are tried")]
pub enum ReadBy {
    /// One statement.
    Statement,
    /// One statement that takes its time.
    SlowStatement,
    /// In a transaction that only reads.
    Transaction,
    /// Row by row.
    Stream,
}

impl ReadBy {
    /// One at random of those that are quick.
    pub fn random(random: &mut fastrand::Rng) -> Self {
        match random.u8(0..20) {
            0 => Self::Transaction,
            1 => Self::Stream,
            _ => Self::Statement,
        }
    }

    /// Whether a read that broke half-way is run again on another node.
    #[must_use]
    pub const fn goes_on(self) -> bool {
        matches!(self, Self::Statement | Self::SlowStatement)
    }
}

/// Connects, with what the statements need.
///
/// # Errors
///
/// As [`Db::connect`].
pub async fn connect(url: &str) -> AnyResult<Db> {
    // It waits, and changes nothing.
    Ok(Db::builder(url)?.allow_function("pg_sleep").connect().await?)
}

/// Writes a row, and gives the timeline that it went to.
///
/// # Errors
///
/// What is known of it: [`Outcome::MayHaveRun`], or else it was not done.
pub async fn write(session: &Session, entry: Entry, by: WriteBy) -> Result<u32, Outcome> {
    let outcome = |error: Error| error.outcome();
    match by {
        WriteBy::Statement => insert(session, entry).await.map_err(outcome),
        WriteBy::Settings => in_settings(session, entry).await.map_err(outcome),
        WriteBy::Batch => in_batch(session, entry).await.map_err(outcome),
        WriteBy::Transaction => in_transaction(session, entry).await,
        WriteBy::Lease => on_lease(session, entry).await,
    }
}

/// The numbers of a writer's rows above one.
///
/// # Errors
///
/// As [`Db::query`].
pub async fn numbers(client: &Db, writer: u32, above: u32, by: ReadBy) -> Result<Numbers, Error> {
    let (writer, above) = values(Entry { writer, number: above });
    let rows = match by {
        ReadBy::Statement => client.query(ROWS, &[&writer, &above]).await?,
        ReadBy::SlowStatement => client.query(SLOW_ROWS, &[&writer, &above]).await?,
        ReadBy::Transaction => {
            let transaction = client.begin_read_only().await?;
            let rows = transaction.query(ROWS, &[&writer, &above]).await?;
            transaction.commit().await?;
            rows
        }
        ReadBy::Stream => {
            let stream = client.query_raw(ROWS, &[&writer, &above]).await?;
            pin_mut!(stream);
            stream.try_collect().await?
        }
    };
    Ok(rows.iter().map(number).collect())
}

#[expect(clippy::cast_sign_loss, reason = "small counts, stored as the server's int4")]
fn number(row: &tokio_postgres::Row) -> u32 {
    row.get::<_, i32>(0) as u32
}

#[expect(clippy::cast_possible_wrap, reason = "small counts, stored as the server's int4")]
const fn values(entry: Entry) -> (i32, i32) {
    (entry.writer as i32, entry.number as i32)
}

async fn insert(client: &Db, entry: Entry) -> Result<u32, Error> {
    let (writer, number) = values(entry);
    Ok(client.query_one_scalar::<i32>(INSERT, &[&writer, &number]).await?.cast_unsigned())
}

async fn in_settings(session: &Session, entry: Entry) -> Result<u32, Error> {
    insert(&*session.with_settings([("app.writer", entry.writer.to_string())])?, entry).await
}

async fn in_batch(session: &Session, entry: Entry) -> Result<u32, Error> {
    let (writer, above) = values(entry);
    let answers = session.batch(&[(INSERT, &[&writer, &above]), (ROWS, &[&writer, &above])]).await?;
    // Each statement has an answer.
    let rows = answers.into_iter().next().unwrap_or_else(|| Ok(Vec::new()))?;
    Ok(rows.first().map(number).unwrap_or_default())
}

async fn in_transaction(session: &Session, entry: Entry) -> Result<u32, Outcome> {
    let (writer, number) = values(entry);
    let begun = async {
        let transaction = session.begin().await?;
        let savepoint = transaction.savepoint().await?;
        savepoint.execute("insert into entry values (-1, 0)", &[]).await?;
        savepoint.rollback().await?;
        let timeline = transaction.query_one_scalar::<i32>(INSERT, &[&writer, &number]).await?;
        Ok((transaction, timeline.cast_unsigned()))
    };
    let begun: Result<_, Error> = begun.await;
    // Whatever its statements may have done, without the commit nothing is kept.
    let (transaction, timeline) = begun.map_err(|_| Outcome::Rejected)?;
    transaction.commit().await.map_err(|error| error.outcome())?;
    Ok(timeline)
}

async fn on_lease(session: &Session, entry: Entry) -> Result<u32, Outcome> {
    let lease = session.get().await.map_err(|_| Outcome::NotSent)?;
    let (writer, above) = values(entry);
    let client: &tokio_postgres::Client = &lease;
    // A call on the driver's client has no limit of ours, and its error does not say whether it ran.
    match timeout(PATIENCE, client.query_one(INSERT, &[&writer, &above])).await {
        Ok(Ok(row)) => Ok(number(&row)),
        _ => Err(Outcome::MayHaveRun),
    }
}
