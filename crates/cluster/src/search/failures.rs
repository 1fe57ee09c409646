//! What a search makes of failures: whether it goes on to another node, and what it says when it does not.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use millpond_core::{Access, NodeId, NodeSet, Reason};
use millpond_pool::{AcquireError, ConnectError};
use millpond_sql::digest;
use tokio::time::Instant;

use super::Search;
use crate::execute::Statement;
use crate::node::Node;
use crate::{Backend, Error, ErrorKind, Event, FailureKind, Outcome, Purpose};

impl<B: Backend> Search<'_, B> {
    /// No replica may serve it, and no other node may.
    pub(super) fn no_replica(&self, reason: Reason) -> Error {
        let waited = match self.handle.wait {
            Duration::ZERO => String::new(),
            wait => format!(" within {wait:?}"),
        };
        let older = match reason {
            Reason::OtherTimeline => "any() takes an answer of which nobody knows how old it is",
            _ => "within() and any() take older answers",
        };
        let text = format!(
            "no replica may serve the read{waited}: {reason}; the primary is ruled out by the handle: wait_for_replica() gives replicas time, \
             {older}"
        );
        Error::new(ErrorKind::NoReplica, Outcome::NotSent, text)
    }

    /// A node gives no connection: on to the next, unless the time is up or nothing can help.
    pub(super) fn cannot_acquire(
        &mut self,
        node: &Node<B>,
        error_of_pool: &AcquireError<B::Error>,
    ) -> Result<(), Error> {
        let error = self.describe(node, error_of_pool);
        self.look_at_the_clock();
        let is_closed = matches!(error_of_pool, AcquireError::Closed);
        self.is_hopeless = error.kind() == ErrorKind::Overloaded || self.is_denied(error_of_pool);
        let waited = self.now.saturating_duration_since(self.begun);
        let error = if self.changes.is_some() { error.after(waited) } else { error };
        let is_over =
            is_closed || self.now >= self.deadline() || (self.is_hopeless && !self.access.is_read());
        if error_of_pool.cause().is_some() {
            // Who fails at once has nothing in flight, and would be chosen for that.
            node.penalise();
        }
        node.nudged.notify_one();
        self.last_error = Some(error.clone());
        if is_over { Err(error) } else { Ok(()) }
    }

    /// Whether the server does not let us in, and will not by waiting.
    fn is_denied(&self, error: &AcquireError<B::Error>) -> bool {
        error.cause().is_some_and(|cause| match &**cause {
            ConnectError::Failed(error) => {
                self.handle.shared().backend.failure(error).kind == FailureKind::Denied
            }
            _ => false,
        })
    }

    fn describe(&self, node: &Node<B>, error: &AcquireError<B::Error>) -> Error {
        let shared = self.handle.shared();
        let failed = |cause: &Arc<ConnectError<B::Error>>| match &**cause {
            ConnectError::Failed(error) => Some(shared.backend.failure(error)),
            _ => None,
        };
        let (text, cause) = match error {
            AcquireError::Connect(cause) | AcquireError::Down { cause, .. } => {
                ("connecting".to_owned(), Some(cause))
            }
            AcquireError::Timeout { cause, .. } => {
                (format!("waiting for a connection: {error}"), cause.as_ref())
            }
            _ => (error.to_string(), None),
        };
        let failure = cause.and_then(failed);
        let what = match (&cause, &failure) {
            (Some(cause), Some(failure)) => crate::error::describe(&text, &**cause, failure),
            (Some(cause), None) => format!("{text}: {cause}"),
            (None, _) => text,
        };
        let message = format!("{}: {what}", node.name);
        let kind = match error {
            AcquireError::QueueFull { .. } | AcquireError::Shed { .. } => ErrorKind::Overloaded,
            AcquireError::Closed => ErrorKind::Closed,
            _ => ErrorKind::Acquire,
        };
        let described = Error::new(kind, Outcome::NotSent, message).at(&node.name);
        match cause {
            Some(cause) => {
                let denied = failure.filter(|failure| failure.kind == FailureKind::Denied);
                described.caused_by(denied.and_then(|failure| failure.code), Arc::clone(cause) as _)
            }
            None => described,
        }
    }

    /// Why no node ran it, when there was no point in waiting longer than a setting, if it is one, allows.
    pub(super) fn fruitless(&mut self, limit: Option<&'static str>) -> Error {
        if let Some(reason @ (Reason::LaterTimeline | Reason::OtherCluster)) = self.reason {
            let text = format!(
                "no node can serve it: {reason}; drop the token, or take such ones with see_or_latest()"
            );
            return Error::new(ErrorKind::Token, Outcome::NotSent, text);
        }
        let is_old = matches!(self.reason, Some(Reason::TooOld | Reason::OwnWrite | Reason::LastRead));
        let no_primary = || {
            let mut error = self.handle.shared().no_primary();
            if let Some(limit) = limit {
                error = error.after_wait(self.now.saturating_duration_since(self.begun), limit);
            }
            match self.reason {
                _ if !self.access.is_read() => error,
                Some(Reason::OtherTimeline) => error.about_strange_replicas(),
                _ if is_old => error.about_old_replicas(),
                _ => error,
            }
        };
        self.last_error.take().unwrap_or_else(no_primary)
    }

    pub(super) fn closed(&self) -> Error {
        Error::new(ErrorKind::Closed, Outcome::NotSent, "the handle is closed")
    }

    /// As many reads as may run on the primary already for want of a replica.
    pub(super) fn too_many_fallbacks(&self, most: usize) -> Error {
        let why = self.reason.map(|reason| format!(": {reason}")).unwrap_or_default();
        let text = format!(
            "{most} reads run on the primary for want of a replica, as many as may (max_fallback_reads){why}"
        );
        Error::new(ErrorKind::Overloaded, Outcome::NotSent, text)
    }

    /// As many callers as may wait already for a node that may run their statements. Says no more: this many must cost little.
    pub(super) fn too_many_wait(&self) -> Error {
        let most = self.handle.shared().limits.max_waiting().unwrap_or_default();
        let text = format!(
            "no node may run the statement now, and {most} callers wait for one, as many as may (max_waiting)"
        );
        Error::new(ErrorKind::Overloaded, Outcome::NotSent, text)
    }

    /// Lets a read that failed on a node go on to another, within the budget for that. Returns the error when not.
    pub(crate) fn give_up_on(&mut self, node: NodeId, purpose: Purpose, error: Error) -> Result<(), Error> {
        let shared = self.handle.shared();
        if !shared.retry_budget.try_again() {
            shared.over_budget.fetch_add(1, Ordering::Relaxed);
            return Err(error.over_budget());
        }
        shared.retried.fetch_add(1, Ordering::Relaxed);
        self.tried.insert(node);
        self.gave_up = Some(Instant::now());
        self.is_off_primaries |= purpose == Purpose::Write && !shared.is_sure_of_reads();
        self.last_error = Some(error);
        Ok(())
    }

    /// An operation failed on a node: decides whether it may run on another. Returns the error when not.
    pub(crate) fn after_failure(
        &mut self,
        node: &Node<B>,
        purpose: Purpose,
        failure: FailureKind,
        error: Error,
        statement: &Statement<'_>,
    ) -> Result<(), Error> {
        let shared = self.handle.shared();
        match (failure, purpose) {
            (FailureKind::Rejected | FailureKind::NotSent | FailureKind::Denied | FailureKind::Behind, _) => {
                return Err(error);
            }
            // It ran in a read-only transaction, as behind a pooler: what refused it is our own guard.
            (FailureKind::ReadOnly, Purpose::Write) if self.access.is_read() => {
                return self.heal(node, statement, error);
            }
            (FailureKind::ReadOnly, Purpose::Write) => {
                // Our own guard is not on these connections, so the server has lost the role: ask everybody at once.
                shared.nudge_all();
                return Err(error);
            }
            (FailureKind::ReadOnly, _) => return self.heal(node, statement, error),
            // On a primary it is another transaction that was in the way: the caller's business.
            (FailureKind::Conflict, Purpose::Write) => return Err(error),
            (FailureKind::Conflict, _) => node.penalise(),
            (FailureKind::ConnectionLost, _) => {
                node.penalise();
                node.nudged.notify_one();
            }
        }
        if self.access.is_read() { self.give_up_on(node.id, purpose, error) } else { Err(error) }
    }

    /// A replica refused what was taken for a read: once more on the primary, and there from now on.
    fn heal(&mut self, node: &Node<B>, statement: &Statement<'_>, error: Error) -> Result<(), Error> {
        let shared = self.handle.shared();
        let may_heal = shared.config.heal && statement.may_heal && self.access.is_read();
        let Some(text) = statement.text.filter(|_| may_heal) else { return Err(error) };
        let digest = digest(text, B::DIALECT);
        shared.refused.remember(digest);
        shared.healed.fetch_add(1, Ordering::Relaxed);
        shared.tell(&Event::Healed { node: Arc::clone(&node.name), digest });
        self.access = Access::Write;
        self.tried = NodeSet::EMPTY;
        Ok(())
    }
}
