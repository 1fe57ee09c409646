//! diesel-async, as a driver.

use diesel::pg::data_types::PgLsn;
use diesel_async::{AnsiTransactionManager, RunQueryDsl as _, TransactionManager as _};
use millpond_cluster::core::ServerId;
use millpond_cluster::pool::Returned;
use millpond_cluster::{Failure, Purpose};
use millpond_postgres::foundation::{Driver, Foreign, Question};
use millpond_postgres::{DriverError, Lsn, Postgres, Server};

use crate::connection::Connection;
use crate::error::{BackendError, is_lost};

/// PostgreSQL by diesel-async.
pub(crate) type Diesel = Foreign<DieselDriver>;

#[derive(Debug)]
pub(crate) struct DieselDriver;

mod questions {
    use diesel::sql_types;

    #[diesel::declare_sql_function]
    extern "SQL" {
        #[sql_name = "pg_catalog.pg_last_wal_replay_lsn"]
        fn replayed() -> sql_types::Nullable<sql_types::PgLsn>;

        #[sql_name = "pg_catalog.pg_current_wal_insert_lsn"]
        fn written() -> sql_types::Nullable<sql_types::PgLsn>;
    }
}

impl Driver for DieselDriver {
    type Connection = Connection;
    type Error = BackendError;
    type CallError = diesel::result::Error;

    async fn open(
        &self,
        own: &Postgres,
        server: &Server,
        purpose: Purpose,
    ) -> Result<Connection, BackendError> {
        Connection::new(own.open_apart(server, purpose).await?, server.after_connect()).await
    }

    fn server(connection: &Connection) -> ServerId {
        connection.server
    }

    fn is_open(connection: &Connection) -> bool {
        connection.is_open()
    }

    async fn check(connection: &mut Connection) -> Result<(), BackendError> {
        connection.check().await
    }

    fn returned(connection: &mut Connection) -> Returned {
        connection.returned()
    }

    async fn reset(connection: &mut Connection) -> Result<(), BackendError> {
        connection.reset().await
    }

    async fn place(connection: &mut Connection, question: Question) -> Result<Option<Lsn>, BackendError> {
        let client = connection.client_mut();
        let place: diesel::QueryResult<Option<PgLsn>> = match question {
            Question::Replayed => diesel::select(questions::replayed()).get_result(client).await,
            Question::Written => diesel::select(questions::written()).get_result(client).await,
        };
        connection.answered(&place);
        match place {
            Ok(place) => Ok(place.map(|PgLsn(bytes)| Lsn::new(bytes))),
            Err(error) if is_lost(&error) => Err(error.into()),
            // It does not say.
            Err(_) => Ok(None),
        }
    }

    async fn commit(connection: &mut Connection) -> Result<(), diesel::result::Error> {
        let committed = AnsiTransactionManager::commit_transaction(connection.client_mut()).await;
        connection.answered(&committed);
        committed
    }

    fn is_lost(error: &diesel::result::Error) -> bool {
        is_lost(error)
    }

    fn failure(error: &BackendError) -> Result<Failure, &DriverError> {
        error.failure()
    }
}
