//! What a node's name stands for: it may move to another server while the old one still answers.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::Backend;

/// How often a name is looked up. As long as the shortest lifetimes that names have.
const OFTEN: Duration = Duration::from_secs(1);

/// Looks a name up beside the probes, which must not wait for it.
#[derive(Debug, Default)]
pub(super) struct Name {
    looking: Option<oneshot::Receiver<Option<u64>>>,
    looked_at: Option<Instant>,
    stood_for: Option<u64>,
}

impl Name {
    /// Whether the last look found that it stands for something else than before. Starts the next one when that is due.
    pub(super) fn has_moved<B: Backend>(&mut self, backend: &Arc<B>, address: &Arc<B::Address>) -> bool {
        let found = match self.looking.as_mut().map(oneshot::Receiver::try_recv) {
            Some(Err(oneshot::error::TryRecvError::Empty)) => return false,
            Some(Ok(found)) => found,
            Some(Err(oneshot::error::TryRecvError::Closed)) | None => None,
        };
        self.looking = None;
        if self.looked_at.is_none_or(|at| at.elapsed() >= OFTEN) {
            self.looked_at = Some(Instant::now());
            let (found, looking) = oneshot::channel();
            let (backend, address) = (Arc::clone(backend), Arc::clone(address));
            // Nobody waits for it: a monitor that has ended meanwhile does not hear it.
            tokio::spawn(async move { found.send(backend.resolve(&address).await) });
            self.looking = Some(looking);
        }
        let Some(stands_for) = found else { return false };
        self.stood_for.replace(stands_for).is_some_and(|before| before != stands_for)
    }
}
