//! How transactions begin, and how they are run again.

use std::future::Future;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use millpond_cluster::core::Access;
use millpond_cluster::{Purpose, Statement};
use tokio::time::sleep;
use tokio_postgres::IsolationLevel;

use crate::operation::Begin;
use crate::transaction::{TransactionAccess, is_conflict};
use crate::{Db, Error, ErrorKind, Outcome, Result, Transaction};

/// A transaction to be; made by [`Db::build_transaction`].
#[derive(Clone, Copy, Debug)]
#[must_use = "it begins with start() or run()"]
pub struct TransactionBuilder<'d> {
    db: &'d Db,
    isolation: Option<IsolationLevel>,
    is_read_only: bool,
    is_deferrable: bool,
    is_resolvable: bool,
    retries: u32,
}

impl<'d> TransactionBuilder<'d> {
    pub(crate) const fn new(db: &'d Db) -> Self {
        Self {
            db,
            isolation: None,
            is_read_only: false,
            is_deferrable: false,
            is_resolvable: false,
            retries: 0,
        }
    }

    /// How far it is apart from others. Default: what the database or the role says, which is `READ COMMITTED` unless set otherwise. A
    /// replica knows no `SERIALIZABLE`: such a transaction runs on the primary, be it that it only reads.
    pub const fn isolation_level(mut self, level: IsolationLevel) -> Self {
        self.isolation = Some(level);
        self
    }

    /// Whether it only reads, so that it may run on a replica that is fresh enough. Default no.
    pub const fn read_only(mut self, is_read_only: bool) -> Self {
        self.is_read_only = is_read_only;
        self
    }

    /// Whether it may wait at its beginning, so as not to be aborted by others and not to abort them. It means something where it is
    /// `SERIALIZABLE` and only reads. Default no.
    pub const fn deferrable(mut self, is_deferrable: bool) -> Self {
        self.is_deferrable = is_deferrable;
        self
    }

    /// Whether the transaction has an [id](Transaction::id), so that [`Db::resolve`] can tell what became of it when the answer to its
    /// commit got lost. It is asked for in the same round trip, and uses up a number of the server's even where nothing is written.
    /// Without meaning for one that only reads. Default no.
    pub const fn resolvable(mut self, is_resolvable: bool) -> Self {
        self.is_resolvable = is_resolvable;
        self
    }

    /// How often [`run`](Self::run) tries once more when the server gave it up in favour of another transaction (40001, 40P01), after
    /// a pause of some milliseconds at random that doubles each time. Default 0.
    pub const fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// Begins it.
    ///
    /// # Errors
    ///
    /// No connection, or no node that may run it, before the deadline.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nobody else gets a connection in a transaction.
    #[track_caller]
    pub fn start(self) -> impl Future<Output = Result<Transaction>> + Send + use<'d> {
        let site = Location::caller();
        async move { self.start_at(site).await }
    }

    async fn start_at(&self, site: &'static Location<'static>) -> Result<Transaction> {
        let on_primary = !self.is_read_only || matches!(self.isolation, Some(IsolationLevel::Serializable));
        let statement = Statement::connection(if on_primary { Access::Write } else { Access::Read });
        let statement = statement.seen_as("begin");
        let access =
            if self.is_read_only { TransactionAccess::ReadOnly } else { TransactionAccess::ReadWrite };
        let handle = self.db.handle();
        let modes = self.modes();
        let mut begin = Begin {
            modes: &modes,
            is_read_only: self.is_read_only,
            identify: self.is_resolvable && !self.is_read_only,
            scope: self.db.scope(),
        };
        let opened = handle.run(statement, &mut begin).await?;
        let is_on_primary = opened.purpose == Purpose::Write;
        Ok(Transaction::new(opened.lease, handle.here(), access, is_on_primary, opened.id, site))
    }

    /// Runs it: begins, does the work, and commits; or rolls back when the work fails, with its error.
    ///
    /// Where [`retries`](Self::retries) are asked for the work may run several times, so it must do nothing outside of the
    /// transaction that cannot be done again.
    ///
    /// The work has the transaction for as long as it runs: `async |transaction| { … }`, or a closure that makes a future. It is handed
    /// over in an `Arc`, since a borrowed one would make futures that cannot be spawned; an `Arc` of a client is a
    /// [client](crate::GenericClient) too.
    ///
    /// # Errors
    ///
    /// What the work says; or what beginning and committing say, as [`Db::begin`] and [`Transaction::commit`] do. When the work kept the
    /// transaction, it is not committed.
    ///
    /// # Cancel safety
    ///
    /// Dropped before the commit is sent, it is rolled back; behind that it may have been committed.
    #[track_caller]
    pub fn run<T, E, F>(self, work: impl Fn(Arc<Transaction>) -> F) -> impl Future<Output = Result<T, E>>
    where
        E: From<Error>,
        F: Future<Output = Result<T, E>>,
    {
        self.run_at(Location::caller(), work)
    }

    async fn run_at<T, E, F>(
        self,
        site: &'static Location<'static>,
        work: impl Fn(Arc<Transaction>) -> F,
    ) -> Result<T, E>
    where
        E: From<Error>,
        F: Future<Output = Result<T, E>>,
    {
        let mut tries = 0;
        loop {
            let transaction = Arc::new(self.start_at(site).await?);
            let worked = work(Arc::clone(&transaction)).await;
            let has_conflicted = transaction.has_conflicted();
            let Some(transaction) = Arc::into_inner(transaction) else {
                worked?;
                return Err(kept().into());
            };
            let error = match worked {
                Ok(value) => match transaction.commit().await {
                    Ok(()) => return Ok(value),
                    Err(error) if is_conflict(&error) && tries < self.retries => None,
                    Err(error) => Some(E::from(error)),
                },
                Err(error) => {
                    // The work's error is the one that counts; the connection is rolled back in any case.
                    let _ = transaction.rollback().await;
                    if has_conflicted && tries < self.retries { None } else { Some(error) }
                }
            };
            if let Some(error) = error {
                return Err(error);
            }
            tries += 1;
            sleep(pause(tries)).await;
        }
    }

    fn modes(&self) -> String {
        let level = self.isolation.map(|level| match level {
            IsolationLevel::ReadUncommitted => " ISOLATION LEVEL READ UNCOMMITTED",
            IsolationLevel::RepeatableRead => " ISOLATION LEVEL REPEATABLE READ",
            IsolationLevel::Serializable => " ISOLATION LEVEL SERIALIZABLE",
            _ => " ISOLATION LEVEL READ COMMITTED",
        });
        let read_only = if self.is_read_only { " READ ONLY" } else { "" };
        let deferrable = if self.is_deferrable { " DEFERRABLE" } else { "" };
        format!("{}{read_only}{deferrable}", level.unwrap_or_default())
    }
}

/// The words for work that hands on its transaction.
fn kept() -> Error {
    Error::new(
        ErrorKind::SessionStatement,
        Outcome::Rejected,
        "the work kept its transaction, so it is not committed: use begin() for one that outlives a call",
    )
}

/// At random, so that two that were in each other's way are not again.
fn pause(tries: u32) -> Duration {
    Duration::from_millis(fastrand::u64(1..=4 << tries.min(7)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end() {
        for tries in [1, 7, 1000] {
            let most = Duration::from_millis(4 << tries.min(7));
            assert!((0..100).all(|_| pause(tries) <= most));
        }
    }
}
