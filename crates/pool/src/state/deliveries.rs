//! What a transition hands back, to be given, run or dropped once the lock is gone.

use std::error::Error;
use std::sync::Arc;

use super::{Loan, Outcome, Place};
use crate::{CloseReason, ConnectError};

/// What one caller gets.
pub(super) type Delivery<C, E> = (Place<C, E>, Outcome<C, E>);

/// Who gets what once the lock is gone, and what is to be checked for those who wait on.
///
/// Most often it is one delivery, and then nothing is allocated, and what is handed on is small.
#[derive(Debug)]
pub(crate) struct Deliveries<C, E: Error + 'static> {
    pub(super) first: Option<Delivery<C, E>>,
    pub(super) more: Option<Box<More<C, E>>>,
}

#[derive(Debug)]
pub(super) struct More<C, E: Error + 'static> {
    pub(super) deliveries: Vec<Delivery<C, E>>,
    pub(super) checks: Vec<Loan<C>>,
    pub(super) closed: Vec<(Loan<C>, CloseReason)>,
    /// What was known of a failure before, to be dropped without the lock.
    pub(super) past: Option<Arc<ConnectError<E>>>,
}

impl<C, E: Error + 'static> Deliveries<C, E> {
    #[inline]
    pub(crate) const fn new() -> Self {
        Self { first: None, more: None }
    }

    #[inline]
    pub(super) fn add(&mut self, place: Place<C, E>, outcome: Outcome<C, E>) {
        if self.first.is_none() {
            self.first = Some((place, outcome));
        } else {
            self.more().deliveries.push((place, outcome));
        }
    }

    pub(super) fn more(&mut self) -> &mut More<C, E> {
        self.more.get_or_insert_with(|| {
            Box::new(More { deliveries: Vec::new(), checks: Vec::new(), closed: Vec::new(), past: None })
        })
    }

    /// Whether nobody gets anything.
    #[inline]
    pub(crate) const fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Gives everybody theirs. A connection whose waiter has left goes to `refused`, one that is to be checked to `check`, and one that is
    /// to be dropped to `close`.
    #[inline]
    pub(crate) fn deliver(
        self,
        check: impl FnMut(Loan<C>),
        close: impl FnMut((Loan<C>, CloseReason)),
        mut refused: impl FnMut(Loan<C>),
    ) {
        let mut give = |(place, outcome): Delivery<C, E>| {
            if let Err(Ok(loan)) = place.give(outcome) {
                refused(loan);
            }
        };
        if let Some(first) = self.first {
            give(first);
        }
        if let Some(more) = self.more {
            more.checks.into_iter().for_each(check);
            more.closed.into_iter().for_each(close);
            more.deliveries.into_iter().for_each(give);
        }
    }
}
