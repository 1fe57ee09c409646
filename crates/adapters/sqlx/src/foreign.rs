//! Work that is not seen while it is out: sqlx's own transactions, and connections that were given out.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use millpond_cluster::Handle;

use crate::backend::Sqlx;

/// How much of it is out, of one session or of the process. As long as any is, nobody knows what it has committed, and reads go to the primary.
#[derive(Debug, Default)]
pub(crate) struct Foreign(AtomicUsize);

impl Foreign {
    pub(crate) fn is_out(&self) -> bool {
        self.0.load(Ordering::Acquire) > 0
    }
}

/// One piece of it, until it is dropped: then it counts as written.
pub(crate) struct Out {
    handle: Handle<Sqlx>,
    of: Vec<Arc<Foreign>>,
}

impl Out {
    /// Of a session and of the process, or of that alone.
    pub(crate) fn new(handle: Handle<Sqlx>, of: Vec<Arc<Foreign>>) -> Self {
        of.iter().for_each(|foreign| {
            foreign.0.fetch_add(1, Ordering::AcqRel);
        });
        Self { handle, of }
    }
}

impl Drop for Out {
    fn drop(&mut self) {
        // In this order: who sees it over must see what it wrote.
        self.handle.wrote();
        self.of.iter().for_each(|foreign| {
            foreign.0.fetch_sub(1, Ordering::AcqRel);
        });
    }
}

/// Pieces that end where nobody tells us, by the process of the server that runs them: the pool that they came from sees their connection come
/// back, or the server has no such process any more.
#[derive(Clone, Default)]
pub(crate) struct Watched(Arc<Mutex<HashMap<i32, Out>>>);

impl Watched {
    pub(crate) fn begin(&self, pid: i32, out: Out) {
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

    fn all(&self) -> MutexGuard<'_, HashMap<i32, Out>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
