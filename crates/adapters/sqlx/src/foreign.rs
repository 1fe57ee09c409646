//! Transactions of sqlx's own, which end where nobody tells us.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use millpond_cluster::Unseen;

use crate::backend::Sqlx;

/// Those that are out, by the process of the server that runs them: the pool that they came from sees their connection come back, or the server has
/// no such process any more. One that is dropped notes a write, which is not for here to do under a lock.
#[derive(Clone, Default)]
pub(crate) struct Watched(Arc<Mutex<HashMap<i32, Unseen<Sqlx>>>>);

impl Watched {
    pub(crate) fn begin(&self, pid: i32, out: Unseen<Sqlx>) {
        let before = self.all().insert(pid, out);
        drop(before);
    }

    /// The connection with this process is back, or gone.
    pub(crate) fn over(&self, pid: i32) {
        let out = self.all().remove(&pid);
        drop(out);
    }

    /// All are: another node is the primary, and nothing that is committed elsewhere counts.
    pub(crate) fn all_over(&self) {
        let out = std::mem::take(&mut *self.all());
        drop(out);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all().is_empty()
    }

    pub(crate) fn pids(&self) -> Vec<i32> {
        self.all().keys().copied().collect()
    }

    fn all(&self) -> MutexGuard<'_, HashMap<i32, Unseen<Sqlx>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
