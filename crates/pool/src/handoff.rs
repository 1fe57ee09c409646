//! How a connection reaches the one who waits for it.

use std::sync::{Arc, PoisonError};
use std::task::{Poll, Waker};

use crate::panics::contain;
use crate::rt::{Mutex, MutexGuard};

/// A place for one value, between whoever gives it and the one task that waits for it.
///
/// A lock of its own, so that whoever is served does not need that of the pool again.
#[derive(Debug)]
pub(crate) struct Handoff<A, T> {
    /// Who waits.
    pub(crate) who: A,
    stage: Mutex<Stage<T>>,
}

#[derive(Debug)]
enum Stage<T> {
    Waiting(Waker),
    Given(T),
    /// It was taken, or nobody waits any more.
    Over,
}

impl<A, T> Handoff<A, T> {
    pub(crate) fn new(who: A, waker: &Waker) -> Arc<Self> {
        Arc::new(Self { who, stage: Mutex::new(Stage::Waiting(waker.clone())) })
    }

    fn lock(&self) -> MutexGuard<'_, Stage<T>> {
        // Nothing panics under it.
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the value to whoever waits, and wakes it; gives it back when nobody does.
    pub(crate) fn give(&self, value: T) -> Result<(), T> {
        let mut stage = self.lock();
        let Stage::Waiting(_) = &*stage else { return Err(value) };
        let before = std::mem::replace(&mut *stage, Stage::Given(value));
        drop(stage);
        if let Stage::Waiting(waker) = before {
            // Whoever gives must not suffer from a waker that panics.
            contain(|| waker.wake());
        }
        Ok(())
    }

    /// The value, once it was given.
    pub(crate) fn poll(&self, waker: &Waker) -> Poll<T> {
        let mut stage = self.lock();
        match &*stage {
            Stage::Waiting(known) if known.will_wake(waker) => return Poll::Pending,
            Stage::Waiting(_) => {}
            Stage::Given(_) | Stage::Over => {
                return match std::mem::replace(&mut *stage, Stage::Over) {
                    Stage::Given(value) => Poll::Ready(value),
                    Stage::Waiting(_) | Stage::Over => Poll::Pending,
                };
            }
        }
        drop(stage);
        // A waker may be the last to hold its task, and so run anything when it is dropped: not under the lock.
        let new = waker.clone();
        let mut stage = self.lock();
        let (before, result) = match std::mem::replace(&mut *stage, Stage::Over) {
            Stage::Given(value) => (None, Poll::Ready(value)),
            Stage::Over => (None, Poll::Pending),
            Stage::Waiting(before) => {
                *stage = Stage::Waiting(new);
                (Some(before), Poll::Pending)
            }
        };
        drop(stage);
        drop(before);
        result
    }

    /// Stops waiting. Gives what was given and not taken; without it, nothing will be from now on.
    pub(crate) fn leave(&self) -> Option<T> {
        let stage = std::mem::replace(&mut *self.lock(), Stage::Over);
        match stage {
            Stage::Given(value) => Some(value),
            Stage::Waiting(_) | Stage::Over => None,
        }
    }
}
