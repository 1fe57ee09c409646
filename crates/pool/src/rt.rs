//! What the driver needs of a runtime, so that a model checker can stand in for it.

#[cfg(shuttle)]
pub(crate) use self::model::{Home, Notice, Sleep, alarm_at, now, sleep_until, thread_number};
#[cfg(not(shuttle))]
pub(crate) use self::tokio_runtime::{Home, Notice, Sleep, alarm_at, now, sleep_until, thread_number};
#[cfg(shuttle)]
pub(crate) use shuttle::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicU64, AtomicUsize},
};
#[cfg(not(shuttle))]
pub(crate) use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicU64, AtomicUsize},
};

#[cfg(shuttle)]
mod model;

#[cfg(not(shuttle))]
mod tokio_runtime {
    use std::future::Future;
    use std::pin::Pin;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Instant;

    use tokio::runtime::{Handle, RuntimeFlavor};
    use tokio::sync::Notify;

    /// The runtime that a pool lives in.
    #[derive(Clone, Debug)]
    pub(crate) struct Home {
        handle: Handle,
        has_threads: bool,
    }

    impl Home {
        /// The runtime that this is called in.
        pub(crate) fn current() -> Self {
            let handle = Handle::current();
            let has_threads = handle.runtime_flavor() != RuntimeFlavor::CurrentThread;
            Self { handle, has_threads }
        }

        /// Whether the model checker takes a test apart, in which no lock may be taken.
        pub(crate) const fn is_torn_down() -> bool {
            false
        }

        pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
            self.handle.spawn(task);
        }

        /// Whether its tasks and timers go on while a caller waits here. One without threads of its own stands still unless the
        /// caller runs in it.
        #[inline]
        pub(crate) fn goes_on(&self) -> bool {
            self.has_threads || Handle::try_current().is_ok_and(|current| current.id() == self.handle.id())
        }
    }

    /// Rings for a caller in another runtime than the pool's. A caller in none has no clock of its own.
    pub(crate) fn alarm_at(deadline: Instant) -> Option<Sleep> {
        Handle::try_current().is_ok().then(|| Box::pin(sleep_until(deadline)))
    }

    /// Wakes who waits for it; one notice is kept when nobody does.
    pub(crate) type Notice = Notify;

    pub(crate) type Sleep = Pin<Box<tokio::time::Sleep>>;

    pub(crate) fn sleep_until(deadline: Instant) -> tokio::time::Sleep {
        tokio::time::sleep_until(deadline.into())
    }

    /// Tokio's clock, so that tests can pause it.
    #[inline]
    pub(crate) fn now() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    /// Numbers the threads as they come.
    #[inline]
    pub(crate) fn thread_number() -> usize {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static NUMBER: usize = NEXT.fetch_add(1, Ordering::Relaxed);
        }
        // A thread that is ending has none, and may share a spot.
        NUMBER.try_with(|number| *number).unwrap_or(0)
    }
}
