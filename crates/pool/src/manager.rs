use std::future::Future;

/// Opens connections and keeps them clean, for a [`Pool`](crate::Pool).
///
/// A method that panics costs its connection and nothing else.
pub trait Manager: Send + Sync + 'static {
    /// What is pooled.
    type Connection: Send + 'static;
    /// Why a connection could not be opened or reset.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Opens a connection. Runs in a task of the pool's, never in a caller's future, and is dropped when it takes
    /// longer than the pool's connect timeout.
    fn connect(&self) -> impl Future<Output = Result<Self::Connection, Self::Error>> + Send;

    /// Whether the connection can still be used, as far as can be told without I/O. Asked before it is handed out.
    fn is_open(&self, connection: &Self::Connection) -> bool;

    /// Asks the other side whether it is still there. Runs in a task of the pool's when a connection has rested for longer than
    /// [`check_after`](crate::Builder::check_after), is dropped when it takes longer than the pool's check timeout, and the
    /// connection is closed when it fails. Says yes until it is overridden.
    fn check(
        &self,
        connection: &mut Self::Connection,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send {
        let _ = connection;
        std::future::ready(Ok(()))
    }

    /// Looks at a connection that comes back, without I/O.
    fn returned(&self, connection: &mut Self::Connection) -> Returned;

    /// Makes a soiled connection as good as new. Runs in a task of the pool's and is bounded by its reset timeout; the
    /// connection is closed when it fails.
    fn reset(
        &self,
        connection: &mut Self::Connection,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// What an error of [`connect`](Self::connect) means for trying again.
    fn severity(&self, error: &Self::Error) -> Severity {
        let _ = error;
        Severity::Transient
    }

    /// Called with a connection that its user takes out of the pool for good.
    fn detached(&self, connection: &mut Self::Connection) {
        let _ = connection;
    }

    /// Called with a connection that leaves the pool, just before it is dropped; also one that was opened and not taken in, since
    /// [`after_connect`](crate::Builder::after_connect) failed.
    fn closing(&self, connection: &mut Self::Connection) {
        let _ = connection;
    }
}

/// The state in which a connection comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a manager answers one of the three; there is no fourth")]
pub enum Returned {
    /// The next user may have it as it is.
    Clean,
    /// It has to be [reset](Manager::reset) first.
    Soiled,
    /// It is of no use any more.
    Broken,
}

/// What an error of opening a connection means for trying again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a manager answers one of the three; there is no fourth")]
pub enum Severity {
    /// It may go better later: tried again with a growing pause.
    Transient,
    /// It may go better at once, and only then: a password that was changed and is asked for anew. Tried once more
    /// without a pause; the second such error in a row is permanent.
    Refreshable,
    /// Trying again cannot help, as long as nobody changes something elsewhere: no such database. Whoever waits is told at
    /// once.
    Permanent,
}
