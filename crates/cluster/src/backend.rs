use std::future::Future;
use std::sync::Arc;

use millpond_core::{Observation, Position, ServerId};
use millpond_pool::Returned;
use millpond_sql::{Classifier, Dialect};

/// A database driver, as a [`Cluster`](crate::Cluster) sees it.
pub trait Backend: Send + Sync + 'static {
    /// How far a node has come.
    type Position: Position;
    /// Where a node is.
    type Address: Send + Sync + 'static;
    /// A connection to one node.
    type Connection: Send + 'static;
    /// What the driver says when something fails.
    type Error: std::error::Error + Send + Sync + 'static;

    /// The SQL that the servers speak.
    const DIALECT: Dialect;

    /// The database that all statements are for, where there is one: for spans.
    fn namespace(&self) -> Option<&str> {
        None
    }

    /// Opens a connection to a node. Dropped when it takes too long.
    fn connect(
        &self,
        address: &Self::Address,
        purpose: Purpose,
    ) -> impl Future<Output = Result<Self::Connection, Self::Error>> + Send;

    /// Asks a node who it is and how far it has come. Dropped, with the connection, when it takes too long.
    fn observe(
        &self,
        connection: &mut Self::Connection,
    ) -> impl Future<Output = Result<Observation<Self::Position>, Self::Error>> + Send;

    /// Asks a node what its database holds, for a classifier that knows more than `known`. Dropped, with the connection, when it takes
    /// longer than [`connect_timeout`](crate::Config::connect_timeout). With the same catalog as the time before, in the same
    /// `Arc`, the answers that are remembered stay.
    fn classifier(
        &self,
        connection: &mut Self::Connection,
        known: &Classifier,
    ) -> impl Future<Output = Result<Classifier, Self::Error>> + Send;

    /// Whether the connection can still be used, as far as can be told without I/O.
    fn is_open(&self, connection: &Self::Connection) -> bool;

    /// Asks the server whether it is still there, over a connection that has rested for long. Dropped, with the connection, when it takes
    /// too long.
    fn check(
        &self,
        connection: &mut Self::Connection,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Looks at a connection that comes back to its pool, without I/O.
    fn returned(&self, connection: &mut Self::Connection) -> Returned;

    /// Makes a soiled connection as good as new.
    fn reset(
        &self,
        connection: &mut Self::Connection,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Whether a connection can be asked, right before a read, how far its replica has come: whether operations heed
    /// [`Target::must_show`](crate::Target::must_show).
    fn can_prove(&self) -> bool;

    /// Whether servers tell positions, and the timelines of those. Where they do not, what was written is shown by time alone.
    fn has_positions(&self) -> bool {
        true
    }

    /// The server that a connection leads to, where that can be told: connections that lead to another one than the monitor's do not count as
    /// ones to its node.
    fn server(&self, connection: &Self::Connection) -> Option<ServerId> {
        let _ = connection;
        None
    }

    /// The error of a connection that is refused since it leads to another server than its node's monitor asks.
    fn wrong_server(&self) -> Self::Error;

    /// What the name of a node stands for now, as a number that is another when that is: the monitor then asks whoever is there.
    /// `None` where it can stand for nothing else, or nobody can say.
    fn resolve(&self, address: &Self::Address) -> impl Future<Output = Option<u64>> + Send {
        let _ = address;
        std::future::ready(None)
    }

    /// What [`observe`](Self::observe) could not find out when it asked a node last though it answered, and why: it is told as an event when it
    /// is another than before.
    fn complaint(&self, address: &Self::Address) -> Option<Arc<str>> {
        let _ = address;
        None
    }

    /// Whether a node can be asked, instead, to wait until it has come so far: whether operations heed
    /// [`Target::wait_until`](crate::Target::wait_until) there. Only of nodes that a connection was opened to; not, unless said.
    fn can_wait(&self, address: &Self::Address) -> bool {
        let _ = address;
        false
    }

    /// How many connections a node has for users like ours, if it said so; [`observe`](Self::observe) may ask it.
    fn connection_limit(&self, address: &Self::Address) -> Option<usize> {
        let _ = address;
        None
    }

    /// Says what an error means.
    fn failure(&self, error: &Self::Error) -> Failure;

    /// Whether an error of opening a connection says nothing against the server: it is there and lets nobody in, or was not asked. What is
    /// known of the node then stands. By default where it [denies](FailureKind::Denied) us.
    fn is_turned_away(&self, error: &Self::Error) -> bool {
        self.failure(error).kind == FailureKind::Denied
    }
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "backends open a connection differently for each")]
pub enum Purpose {
    /// Everything on a primary.
    Write,
    /// Reads on a replica: the session refuses writes, as a second line behind the classifier.
    Read,
    /// A monitor's questions.
    Probe,
}

/// What an error of the driver means for routing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "backends build it")]
pub struct Failure {
    /// What follows from it.
    pub kind: FailureKind,
    /// The server's code for it (SQLSTATE), when a server said it.
    pub code: Option<String>,
    /// What the user can do about it, when that is known.
    pub hint: Option<&'static str>,
}

/// What follows from an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the executor does something else for each")]
pub enum FailureKind {
    /// The server read the statement and refused it: it did not run.
    Rejected,
    /// The server refused it because it is a replica, or the session is read-only.
    ReadOnly,
    /// The server gave it up in favour of another transaction, or of replay: it did not run, and another try, or on a
    /// replica another node, can succeed.
    Conflict,
    /// The connection is gone or the server is going away; the statement may or may not have run.
    ConnectionLost,
    /// The server will not let us in (no such database, a wrong password): trying again cannot help.
    Denied,
    /// The statement never left this process (a parameter that does not fit its type, say).
    NotSent,
    /// The replica has not come as far as [`Target::must_show`](crate::Target::must_show) asks; what it gave was thrown away.
    Behind,
}
