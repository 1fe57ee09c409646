//! PostgreSQL by sqlx's connections, as a backend: statements run on those, and monitors have the ones of millpond-postgres.

use std::sync::{Arc, Mutex, PoisonError};

use millpond_cluster::core::{Observation, ServerId};
use millpond_cluster::pool::Returned;
use millpond_cluster::sql::{Classifier, Dialect};
use millpond_cluster::{Backend, Failure, FailureKind, Handle, Purpose};
use millpond_postgres::foundation::{WHICH_SERVER, server_id};
use millpond_postgres::tokio_postgres::config::Host;
use millpond_postgres::{Connection as OwnConnection, DriverError, Lsn, Postgres, Server};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{ConnectOptions as _, Row as _};

use crate::connection::Connection;
use crate::error::{BackendError, failure_of};

/// PostgreSQL by sqlx.
pub(crate) struct Sqlx {
    own: Postgres,
    /// What all connections have in common: all but where the server is. Passwords may rotate.
    options: Arc<Mutex<PgConnectOptions>>,
}

/// A connection for statements, or one for a monitor.
pub(crate) enum AnyConnection {
    ForStatements(Connection),
    ForProbes(Box<OwnConnection>),
}

impl AnyConnection {
    /// The connection for statements that every lease of a caller's is.
    pub(crate) fn statements(&mut self) -> Result<&mut Connection, BackendError> {
        match self {
            Self::ForStatements(connection) => Ok(connection),
            Self::ForProbes(_) => Err(BackendError::Misused),
        }
    }

    /// The driver's connection.
    ///
    /// # Panics
    ///
    /// Where it was taken out, or is a monitor's: no lease that is handed on has such.
    pub(crate) fn client(&self) -> &PgConnection {
        let Self::ForStatements(connection) = self else { panic!("{}", BackendError::Misused) };
        connection.client()
    }

    /// The same for what is not seen: whatever it does is taken away behind it.
    ///
    /// # Panics
    ///
    /// As [`client`](Self::client).
    pub(crate) fn client_mut(&mut self) -> &mut PgConnection {
        let Self::ForStatements(connection) = self else { panic!("{}", BackendError::Misused) };
        connection.client_mut()
    }

    fn probes(&mut self) -> Result<&mut OwnConnection, BackendError> {
        match self {
            Self::ForProbes(connection) => Ok(connection),
            Self::ForStatements(_) => Err(BackendError::Misused),
        }
    }
}

impl Sqlx {
    pub(crate) const fn new(own: Postgres, options: Arc<Mutex<PgConnectOptions>>) -> Self {
        Self { own, options }
    }

    pub(crate) const fn own(&self) -> &Postgres {
        &self.own
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
    pub(crate) fn options_of_primary(&self, handle: &Handle<Self>) -> PgConnectOptions {
        match handle.primary_now() {
            Some(node) => self.options(handle.address(node)),
            None => self.options.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    async fn open(&self, server: &Server, purpose: Purpose) -> Result<Connection, sqlx::Error> {
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

impl Backend for Sqlx {
    type Position = Lsn;
    type Address = Server;
    type Connection = AnyConnection;
    type Error = BackendError;

    const DIALECT: Dialect = Dialect::Postgres;

    fn namespace(&self) -> Option<&str> {
        self.own.namespace()
    }

    async fn connect(&self, server: &Server, purpose: Purpose) -> Result<AnyConnection, BackendError> {
        if purpose == Purpose::Probe {
            let probes = self.own.connect(server, purpose).await?;
            return Ok(AnyConnection::ForProbes(Box::new(probes)));
        }
        let opened = self.open(server, purpose).await;
        opened.map(AnyConnection::ForStatements).map_err(|error| BackendError::Sqlx(Arc::new(error)))
    }

    async fn observe(&self, connection: &mut AnyConnection) -> Result<Observation<Lsn>, BackendError> {
        Ok(self.own.observe(connection.probes()?).await?)
    }

    async fn classifier(
        &self,
        connection: &mut AnyConnection,
        known: &Classifier,
    ) -> Result<Classifier, BackendError> {
        Ok(self.own.classifier(connection.probes()?, known).await?)
    }

    fn is_open(&self, connection: &AnyConnection) -> bool {
        match connection {
            AnyConnection::ForStatements(connection) => connection.is_open(),
            AnyConnection::ForProbes(connection) => self.own.is_open(connection),
        }
    }

    async fn check(&self, connection: &mut AnyConnection) -> Result<(), BackendError> {
        let checked = connection.statements()?.check().await;
        checked.map_err(|error| BackendError::Sqlx(Arc::new(error)))
    }

    fn returned(&self, connection: &mut AnyConnection) -> Returned {
        connection.statements().map_or(Returned::Broken, |connection| connection.returned())
    }

    async fn reset(&self, connection: &mut AnyConnection) -> Result<(), BackendError> {
        connection.statements()?.reset().await
    }

    fn can_prove(&self) -> bool {
        true
    }

    fn has_positions(&self) -> bool {
        self.own.has_positions()
    }

    fn server(&self, connection: &AnyConnection) -> Option<ServerId> {
        match connection {
            AnyConnection::ForStatements(connection) => Some(connection.server),
            AnyConnection::ForProbes(connection) => self.own.server(connection),
        }
    }

    fn wrong_server(&self) -> BackendError {
        BackendError::Own(DriverError::WrongServer)
    }

    async fn resolve(&self, server: &Server) -> Option<u64> {
        self.own.resolve(server).await
    }

    fn complaint(&self, server: &Server) -> Option<Arc<str>> {
        self.own.complaint(server)
    }

    fn connection_limit(&self, server: &Server) -> Option<usize> {
        self.own.connection_limit(server)
    }

    fn failure(&self, error: &BackendError) -> Failure {
        match error {
            BackendError::Own(error) => self.own.failure(error),
            BackendError::Sqlx(error) => failure_of(error),
            BackendError::Refused { failure, .. } => failure.clone(),
            BackendError::Behind => Failure { kind: FailureKind::Behind, code: None, hint: None },
            BackendError::Unclean | BackendError::Misused => {
                Failure { kind: FailureKind::ConnectionLost, code: None, hint: None }
            }
        }
    }

    fn is_turned_away(&self, error: &BackendError) -> bool {
        match error {
            BackendError::Own(error) => self.own.is_turned_away(error),
            _ => self.failure(error).kind == FailureKind::Denied,
        }
    }
}
