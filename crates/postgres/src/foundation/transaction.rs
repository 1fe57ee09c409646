//! Transactions of another driver, on leases of ours.

use std::panic::Location;
use std::pin::pin;
use std::time::{Duration, Instant};

use millpond_cluster::core::{Access, Epoch};
use millpond_cluster::{
    Backend as _, Changes, Error, ErrorKind, GivenUp, Handle, NodeLease, OnLoan, Outcome, Purpose,
    ReadsUntilDropped, timed_out,
};
use tokio::time::timeout;

use crate::foundation::{Driver, Foreign};

/// So long the primary may take to say where it is behind a commit: after that its place is not known.
const PLACED_WITHIN: Duration = Duration::from_secs(1);

/// A transaction that was begun on a lease. Its commit is a write of the handle's, and has a place where that is asked for. Dropped, it is rolled back
/// when its connection comes back.
#[derive(Debug)]
pub struct OpenTransaction<D: Driver> {
    lease: NodeLease<Foreign<D>>,
    handle: Handle<Foreign<D>>,
    _loan: OnLoan<Foreign<D>>,
    /// Whether the primary is asked where it is behind the commit.
    is_placed: bool,
    is_on_primary: bool,
    /// Whether its commit counts as a write.
    may_write: bool,
    /// Of which primary it is; nothing, where that was another already.
    epoch: Option<Epoch>,
    /// Noted behind the last statement, whatever becomes of it.
    _reads: ReadsUntilDropped<Foreign<D>>,
}

/// Why a transaction was not committed, or may not have been.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "drivers say something else for each")]
pub enum CommitError<E> {
    /// What the driver says.
    Driver(E),
    /// Another node became the primary, or the call took too long.
    Routing(Error),
}

impl<D: Driver> OpenTransaction<D> {
    /// Of a lease on which one was begun there, for reads only or not. The primary is asked where it is behind its commit for a session, whose token says so.
    pub fn new(
        lease: NodeLease<Foreign<D>>,
        purpose: Purpose,
        access: Access,
        handle: &Handle<Foreign<D>>,
        site: &'static Location<'static>,
    ) -> Self {
        // In this order: connections are closed before another epoch begins.
        let epoch = Some(handle.epoch()).filter(|_| !lease.is_evicted());
        let handle = handle.here();
        Self {
            lease,
            is_placed: handle.is_session() && handle.cluster().backend().has_positions(),
            is_on_primary: purpose == Purpose::Write,
            may_write: purpose == Purpose::Write && !access.is_read(),
            epoch,
            _reads: handle.reads_until_dropped(),
            _loan: handle.on_loan(site),
            handle,
        }
    }

    /// The connection that it is on, to look at.
    #[must_use]
    pub fn connection(&self) -> &D::Connection {
        self.lease.connection()
    }

    /// The same to work with.
    pub fn connection_mut(&mut self) -> &mut D::Connection {
        self.lease.connection_mut()
    }

    /// Commits. The connection goes back.
    ///
    /// # Errors
    ///
    /// What the driver says. Where another node has become the primary before, nothing is committed; while it commits, it may have been.
    ///
    /// # Cancel safety
    ///
    /// A dropped commit may have run. It is taken for a write.
    pub async fn commit(mut self) -> Result<(), CommitError<D::CallError>> {
        if self.is_on_primary && self.lease.is_evicted() {
            let when = "since the transaction began; nothing was committed: run it again";
            return Err(replaced(Outcome::Rejected, when));
        }
        let begun = Instant::now();
        let mut noted = WroteUnlessSettled { handle: self.may_write.then(|| self.handle.clone()) };
        let Some(mut connection) = self.lease.take() else {
            return Err(replaced(Outcome::Rejected, "before: its connection is gone"));
        };
        let committed = self.handle.while_current(&self.lease, pin!(D::commit(&mut connection))).await;
        let answer = match committed {
            Ok(answer) => answer,
            // Nobody knows where the connection is: it stays taken out, and is closed.
            Err(GivenUp::Replaced) => return Err(replaced(Outcome::MayHaveRun, "while it committed")),
            Err(GivenUp::TimedOut) => {
                let error = timed_out(&"the primary".into(), Outcome::MayHaveRun);
                return Err(CommitError::Routing(error));
            }
        };
        self.lease.put_back(connection);
        if let Err(error) = answer {
            if !D::is_lost(&error) {
                noted.handle = None;
            }
            return Err(CommitError::Driver(error));
        }
        let place = self.epoch.filter(|_| self.is_placed && noted.handle.is_some());
        let position = match place {
            // It is committed: a server that goes silent now must not keep its caller.
            Some(epoch) => self.written().await.map(|position| (position, epoch)),
            None => None,
        };
        let Some(handle) = noted.handle.take() else { return Ok(()) };
        match position {
            Some((position, epoch)) => handle.wrote_at(position, epoch, begun, &Changes::Anything),
            None => handle.wrote(),
        }
        Ok(())
    }

    async fn written(&mut self) -> Option<crate::Lsn> {
        let backend = self.handle.cluster().backend();
        let connection = self.lease.statements().ok()?;
        timeout(PLACED_WITHIN, backend.written(connection)).await.ok().flatten()
    }
}

fn replaced<E>(outcome: Outcome, when: &str) -> CommitError<E> {
    let text = format!("the primary went silent or lost its role {when}");
    CommitError::Routing(Error::new(ErrorKind::ConnectionLost, outcome, text))
}

/// A commit that was sent and not answered yet. Dropped so, it may have run.
struct WroteUnlessSettled<D: Driver> {
    handle: Option<Handle<Foreign<D>>>,
}

impl<D: Driver> Drop for WroteUnlessSettled<D> {
    fn drop(&mut self) {
        if let Some(handle) = &self.handle {
            handle.wrote();
        }
    }
}
