//! A backend whose statements another driver runs.

use std::future::Future;
use std::sync::Arc;

use millpond_cluster::core::{Observation, ServerId};
use millpond_cluster::pool::Returned;
use millpond_cluster::sql::{Classifier, Dialect};
use millpond_cluster::{Answer, Backend, Failure, FailureKind, NodeLease, Operation, Purpose, Target};

use crate::beside::{REPLAYED, WRITTEN};
use crate::{Connection, DriverError, Lsn, Postgres, Server};

/// Another driver of PostgreSQL, for [`Foreign`].
pub trait Driver: Send + Sync + Sized + 'static {
    /// A connection for statements.
    type Connection: Send + 'static;
    /// What goes wrong below the routing.
    type Error: std::error::Error + From<DriverError> + Send + Sync + 'static;
    /// What the driver's own calls fail with.
    type CallError;

    /// Opens a connection for statements. One for reads must refuse writes in a way that no reset takes away. It asks
    /// [`WHICH_SERVER`](super::WHICH_SERVER), so that one which leads elsewhere is found out. Dropped when it takes too long.
    fn open(
        &self,
        own: &Postgres,
        server: &Server,
        purpose: Purpose,
    ) -> impl Future<Output = Result<Self::Connection, Self::Error>> + Send;

    /// The server that it leads to.
    fn server(connection: &Self::Connection) -> ServerId;

    /// Whether it can still be used, as far as can be told without I/O.
    fn is_open(connection: &Self::Connection) -> bool;

    /// Asks the server whether it is still there. Dropped, with the connection, when it takes too long.
    fn check(connection: &mut Self::Connection) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Looks at a connection that comes back to its pool, without I/O.
    fn returned(connection: &mut Self::Connection) -> Returned;

    /// Makes a soiled connection as good as new.
    fn reset(connection: &mut Self::Connection) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Asks where the server is; nothing where it does not say.
    ///
    /// # Errors
    ///
    /// The connection is lost.
    fn place(
        connection: &mut Self::Connection,
        question: Question,
    ) -> impl Future<Output = Result<Option<Lsn>, Self::Error>> + Send;

    /// Commits the transaction that is open. Dropped, with the connection, when the server lost its role, or the call's time is over.
    fn commit(connection: &mut Self::Connection) -> impl Future<Output = Result<(), Self::CallError>> + Send;

    /// Whether nobody knows, behind such an error, what the server did.
    fn is_lost(error: &Self::CallError) -> bool;

    /// What follows from an error, or that it is one of ours.
    fn failure(error: &Self::Error) -> Result<Failure, &DriverError>;
}

/// Where is a server?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "drivers ask each in words of their own")]
pub enum Question {
    /// What a replica has replayed; nothing on a primary.
    Replayed,
    /// What a primary has written.
    Written,
}

impl Question {
    /// A statement that gives it, as the one value of one row.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Replayed => REPLAYED,
            Self::Written => WRITTEN,
        }
    }
}

/// PostgreSQL by another driver: statements run on its connections, and monitors have those of [`Postgres`].
#[derive(Debug)]
pub struct Foreign<D> {
    own: Postgres,
    driver: D,
}

/// A connection for statements, or one for a monitor.
#[derive(Debug)]
pub struct AnyConnection<C>(Inner<C>);

/// A defect here.
const NOT_FOR_STATEMENTS: &str = "every lease that is handed on is of a connection for statements";

#[derive(Debug)]
enum Inner<C> {
    /// Taken out while a call runs that must be watched from outside.
    ForStatements(Option<C>),
    ForProbes(Box<Connection>),
}

impl<C> AnyConnection<C> {
    /// The connection for statements that every lease of a caller's is.
    ///
    /// # Errors
    ///
    /// It is a monitor's, or was lost.
    pub const fn statements(&mut self) -> Result<&mut C, DriverError> {
        match &mut self.0 {
            Inner::ForStatements(Some(connection)) => Ok(connection),
            Inner::ForStatements(None) | Inner::ForProbes(_) => Err(DriverError::Misused),
        }
    }

    /// The same, to look at.
    ///
    /// # Panics
    ///
    /// Where [`statements`](Self::statements) is an error: no lease that is handed on is such.
    pub fn connection(&self) -> &C {
        match &self.0 {
            Inner::ForStatements(Some(connection)) => connection,
            Inner::ForStatements(None) | Inner::ForProbes(_) => panic!("{NOT_FOR_STATEMENTS}"),
        }
    }

    /// The same to work with.
    ///
    /// # Panics
    ///
    /// As [`connection`](Self::connection).
    pub fn connection_mut(&mut self) -> &mut C {
        match &mut self.0 {
            Inner::ForStatements(Some(connection)) => connection,
            Inner::ForStatements(None) | Inner::ForProbes(_) => panic!("{NOT_FOR_STATEMENTS}"),
        }
    }

    /// Takes the connection out for a call; dropped meanwhile, it is closed.
    pub(crate) const fn take(&mut self) -> Option<C> {
        match &mut self.0 {
            Inner::ForStatements(connection) => connection.take(),
            Inner::ForProbes(_) => None,
        }
    }

    pub(crate) fn put_back(&mut self, connection: C) {
        self.0 = Inner::ForStatements(Some(connection));
    }

    fn probes(&mut self) -> Result<&mut Connection, DriverError> {
        match &mut self.0 {
            Inner::ForProbes(connection) => Ok(connection),
            Inner::ForStatements(_) => Err(DriverError::Misused),
        }
    }
}

impl<D: Driver> Foreign<D> {
    /// For [`Builder::connect_backend`](crate::Builder::connect_backend), which gives the backend of ours.
    pub const fn new(own: Postgres, driver: D) -> Self {
        Self { own, driver }
    }

    /// The backend of ours.
    pub const fn own(&self) -> &Postgres {
        &self.own
    }

    /// The driver.
    pub const fn driver(&self) -> &D {
        &self.driver
    }

    /// Where the primary is, behind a write; nothing where it does not say: then the place of that is not known.
    ///
    /// # Cancel safety
    ///
    /// As the driver's.
    pub async fn written(&self, connection: &mut D::Connection) -> Option<Lsn> {
        let insert = D::place(connection, Question::Written).await.ok().flatten()?;
        Some(self.own.end_of_written(insert.get()))
    }
}

/// Has a replica say, before a read, that it has come so far, where it must.
///
/// # Errors
///
/// It has not, or does not say; or the connection is lost.
///
/// # Cancel safety
///
/// As the driver's.
pub async fn prove<D: Driver>(
    connection: &mut D::Connection,
    target: &Target<Lsn>,
) -> Result<Option<Lsn>, D::Error> {
    let Some(wanted) = target.must_show else { return Ok(None) };
    match D::place(connection, Question::Replayed).await? {
        Some(reached) if reached >= wanted => Ok(Some(reached)),
        // It may be on its way; or it does not say, and then another has to.
        _ => Err(DriverError::Behind.into()),
    }
}

/// Takes a connection, for whatever its caller does with it.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "it says nothing")]
pub struct Take;

impl<D: Driver> Operation<Foreign<D>> for Take {
    type Output = (NodeLease<Foreign<D>>, Purpose);

    async fn run(
        &mut self,
        mut lease: NodeLease<Foreign<D>>,
        target: Target<Lsn>,
    ) -> Result<Answer<Self::Output, Lsn>, D::Error> {
        let position = prove::<D>(lease.statements()?, &target).await?;
        Ok(Answer::new((lease, target.purpose), position))
    }
}

impl<D: Driver> Backend for Foreign<D> {
    type Position = Lsn;
    type Address = Server;
    type Connection = AnyConnection<D::Connection>;
    type Error = D::Error;

    const DIALECT: Dialect = Dialect::Postgres;

    fn namespace(&self) -> Option<&str> {
        self.own.namespace()
    }

    async fn connect(&self, server: &Server, purpose: Purpose) -> Result<Self::Connection, D::Error> {
        let inner = match purpose {
            Purpose::Probe => Inner::ForProbes(Box::new(self.own.connect(server, purpose).await?)),
            Purpose::Read | Purpose::Write => {
                Inner::ForStatements(Some(self.driver.open(&self.own, server, purpose).await?))
            }
        };
        Ok(AnyConnection(inner))
    }

    async fn observe(&self, connection: &mut Self::Connection) -> Result<Observation<Lsn>, D::Error> {
        Ok(self.own.observe(connection.probes()?).await?)
    }

    async fn classifier(
        &self,
        connection: &mut Self::Connection,
        known: &Classifier,
    ) -> Result<Classifier, D::Error> {
        Ok(self.own.classifier(connection.probes()?, known).await?)
    }

    fn is_open(&self, connection: &Self::Connection) -> bool {
        match &connection.0 {
            Inner::ForStatements(connection) => connection.as_ref().is_some_and(D::is_open),
            Inner::ForProbes(connection) => self.own.is_open(connection),
        }
    }

    async fn check(&self, connection: &mut Self::Connection) -> Result<(), D::Error> {
        D::check(connection.statements()?).await
    }

    fn returned(&self, connection: &mut Self::Connection) -> Returned {
        connection.statements().map_or(Returned::Broken, D::returned)
    }

    async fn reset(&self, connection: &mut Self::Connection) -> Result<(), D::Error> {
        D::reset(connection.statements()?).await
    }

    fn can_prove(&self) -> bool {
        self.own.can_prove()
    }

    fn has_positions(&self) -> bool {
        self.own.has_positions()
    }

    fn server(&self, connection: &Self::Connection) -> Option<ServerId> {
        match &connection.0 {
            Inner::ForStatements(connection) => connection.as_ref().map(D::server),
            Inner::ForProbes(connection) => self.own.server(connection),
        }
    }

    fn wrong_server(&self) -> D::Error {
        DriverError::WrongServer.into()
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

    fn failure(&self, error: &D::Error) -> Failure {
        D::failure(error).unwrap_or_else(|own| self.own.failure(own))
    }

    fn is_turned_away(&self, error: &D::Error) -> bool {
        match D::failure(error) {
            Ok(failure) => failure.kind == FailureKind::Denied,
            Err(own) => self.own.is_turned_away(own),
        }
    }
}
