//! PostgreSQL by sqlx's connections, as a backend: statements run on those, and monitors have the ones of millpond-postgres.

use std::sync::{Arc, Mutex, PoisonError};

use millpond_cluster::core::ServerId;
use millpond_cluster::pool::Returned;
use millpond_cluster::{Failure, FailureKind, Handle, Purpose};
use millpond_postgres::foundation::{Driver, Foreign, Question, WHICH_SERVER, server_id};
use millpond_postgres::tokio_postgres::config::Host;
use millpond_postgres::{DriverError, Lsn, Postgres, Server};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{ConnectOptions as _, Row as _};
use sqlx_core::transaction::TransactionManager as _;

use crate::connection::{Connection, Transactions};
use crate::error::{BackendError, failure_of};

/// PostgreSQL by sqlx.
pub(crate) type Sqlx = Foreign<SqlxDriver>;

/// sqlx, as a driver.
pub(crate) struct SqlxDriver {
    /// What all connections have in common: all but where the server is. Passwords may rotate.
    options: Arc<Mutex<PgConnectOptions>>,
}

impl SqlxDriver {
    pub(crate) const fn new(options: Arc<Mutex<PgConnectOptions>>) -> Self {
        Self { options }
    }

    /// How a server is connected to, but for what a purpose adds.
    pub(crate) fn options(&self, server: &Server) -> PgConnectOptions {
        let options = self.options.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(config) = server.config() else { return options };
        let options = match config.get_ports().first() {
            Some(port) => options.port(*port),
            None => options,
        };
        // A certificate is of a name, and not of one of its addresses.
        let checks_names = matches!(options.get_ssl_mode(), PgSslMode::VerifyFull);
        match (config.get_hosts().first(), config.get_hostaddrs().first()) {
            (Some(Host::Unix(folder)), _) => options.socket(folder),
            (Some(Host::Tcp(_)), Some(address)) if !checks_names => options.host(&address.to_string()),
            (Some(Host::Tcp(host)), _) => options.host(host),
            (None, Some(address)) => options.host(&address.to_string()),
            (None, None) => options,
        }
    }

    /// How the primary is connected to. Where none is known yet, as the options have it: whoever answers there has to be refused.
    pub(crate) fn options_of_primary(&self, handle: &Handle<Sqlx>) -> PgConnectOptions {
        match handle.primary_now() {
            Some(node) => self.options(handle.address(node)),
            None => self.options.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    async fn opened(&self, server: &Server, purpose: Purpose) -> Result<Connection, sqlx::Error> {
        // The classifier reads literals as the standard has them. Behind what the user sets, so that it stands over that.
        let mut options = self.options(server).options([("standard_conforming_strings", "on")]);
        if purpose == Purpose::Read {
            options = options.options([("default_transaction_read_only", "on")]);
        }
        let mut raw: PgConnection = options.connect().await?;
        let row = sqlx::raw_sql(WHICH_SERVER).fetch_one(&mut raw).await?;
        let server_of = server_id(row.try_get(0)?, row.try_get(1)?);
        let after_connect = server.after_connect().map(Arc::from);
        let mut connection = Connection::new(raw, server_of, after_connect);
        connection.after_connect().await?;
        Ok(connection)
    }
}

impl Driver for SqlxDriver {
    type Connection = Connection;
    type Error = BackendError;
    type CallError = sqlx::Error;

    async fn open(
        &self,
        _: &Postgres,
        server: &Server,
        purpose: Purpose,
    ) -> Result<Connection, BackendError> {
        Ok(self.opened(server, purpose).await?)
    }

    fn server(connection: &Connection) -> ServerId {
        connection.server
    }

    fn is_open(connection: &Connection) -> bool {
        connection.is_open()
    }

    async fn check(connection: &mut Connection) -> Result<(), BackendError> {
        Ok(connection.check().await?)
    }

    fn returned(connection: &mut Connection) -> Returned {
        connection.returned()
    }

    async fn reset(connection: &mut Connection) -> Result<(), BackendError> {
        connection.reset().await
    }

    async fn place(connection: &mut Connection, question: Question) -> Result<Option<Lsn>, BackendError> {
        match connection.place(question.text()).await {
            // It does not say.
            Err(sqlx::Error::Database(_)) => Ok(None),
            answer => Ok(answer?),
        }
    }

    async fn commit(connection: &mut Connection) -> Result<(), sqlx::Error> {
        connection.begun();
        let committed = async { Transactions::commit(connection.raw()?).await }.await;
        connection.answered(&committed);
        committed
    }

    fn is_lost(error: &sqlx::Error) -> bool {
        failure_of(error).kind == FailureKind::ConnectionLost
    }

    fn failure(error: &BackendError) -> Result<Failure, &DriverError> {
        match error {
            BackendError::Own(error) => Err(error),
            BackendError::Sqlx(error) => Ok(failure_of(error)),
            BackendError::Refused { failure, .. } => Ok(failure.clone()),
            BackendError::Unclean => {
                Ok(Failure { kind: FailureKind::ConnectionLost, code: None, hint: None })
            }
        }
    }
}
