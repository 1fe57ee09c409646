use std::future::Future;

/// Opens connections and keeps them clean, for a [`Pool`](crate::Pool).
pub trait Manager: Send + Sync + 'static {
    /// What is pooled.
    type Connection: Send + 'static;
    /// Why a connection could not be opened or reset.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Opens a connection. Runs in a task of the pool's, never in a caller's future, and is dropped when it takes
    /// longer than the pool's connect timeout.
    fn connect(&self) -> impl Future<Output = Result<Self::Connection, Self::Error>> + Send;

    /// Whether the connection can still be used, as far as can be told without I/O.
    fn is_open(&self, connection: &Self::Connection) -> bool;

    /// Looks at a connection that comes back, without I/O.
    fn returned(&self, connection: &mut Self::Connection) -> Returned;

    /// Makes a soiled connection as good as new. Runs in a task of the pool's and is bounded by its reset timeout; the
    /// connection is closed when it fails.
    fn reset(
        &self,
        connection: &mut Self::Connection,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Whether trying again cannot help (no such database, a wrong password): then everybody who waits is told at
    /// once.
    fn is_permanent(&self, _error: &Self::Error) -> bool {
        false
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
