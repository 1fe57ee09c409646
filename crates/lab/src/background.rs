//! A thread of its own for the relays and the operations.
//!
//! A test that blocks its runtime, or stops the clock of it, must not stop the network between real servers.

use std::{future::Future, io, panic, thread};

use tokio::{runtime::Handle, sync::oneshot};

use crate::LabError;

/// The thread; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Background {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Background {
    pub(crate) fn start() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = thread::Builder::new().name("millpond-lab".to_owned()).spawn(move || {
            // Nothing is ever sent: the other end is dropped.
            let _ = runtime.block_on(stopped);
        })?;
        Ok(Self { handle, stop: Some(stop), thread: Some(thread) })
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of that thread has been printed; there is nothing to add to it.
            let _ = thread.join();
        }
    }
}

/// Runs `work` on the lab's thread. It goes on when the caller stops waiting.
pub(crate) async fn run<T, F>(handle: &Handle, work: F) -> Result<T, LabError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, LabError>> + Send + 'static,
{
    match handle.spawn(work).await {
        Ok(result) => result,
        Err(ended) if ended.is_panic() => panic::resume_unwind(ended.into_panic()),
        Err(_) => Err(LabError::Down),
    }
}
