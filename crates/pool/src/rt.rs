//! What the driver needs of a runtime, so that a model checker can stand in for it.

use std::sync::OnceLock;
use std::thread::available_parallelism;

#[cfg(shuttle)]
pub(crate) use self::model::{Alarm, Home, Notice, now, sleep_until, thread_number};
#[cfg(not(shuttle))]
pub(crate) use self::tokio_runtime::{Alarm, Home, Notice, now, sleep_until, thread_number};
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

/// How many threads the machine runs at a time, to a power of two and no more than 64. Asked once: it takes tens of microseconds.
pub(crate) fn threads() -> usize {
    static THREADS: OnceLock<usize> = OnceLock::new();
    *THREADS.get_or_init(|| available_parallelism().map_or(1, usize::from).next_power_of_two().min(64))
}

#[cfg(shuttle)]
mod model;

#[cfg(not(shuttle))]
mod tokio_runtime {
    use std::future::Future;
    use std::pin::Pin;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Poll};
    use std::time::Instant;

    use tokio::runtime::{Handle, Id, RuntimeFlavor};
    use tokio::sync::Notify;
    use tokio::time::Sleep;

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

        /// Sees to it that a caller who waits here is woken at its deadline. Where the home has threads of its own its upkeep does
        /// that; otherwise the home stands still unless the caller runs in it, and the caller's runtime has to. A caller in none has
        /// no clock of its own.
        #[inline]
        pub(crate) fn set_alarm(&self, alarm: &mut Option<Alarm>, deadline: Instant) {
            if self.has_threads {
                return;
            }
            let here =
                Handle::try_current().ok().map(|handle| handle.id()).filter(|id| *id != self.handle.id());
            if alarm.as_ref().map(|alarm| alarm.runtime) != here {
                *alarm = here.map(|runtime| Alarm { runtime, sleep: Box::pin(sleep_until(deadline)) });
            }
        }
    }

    /// Rings for a caller in another runtime than the pool's.
    pub(crate) struct Alarm {
        runtime: Id,
        sleep: Pin<Box<Sleep>>,
    }

    impl Alarm {
        pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
            self.sleep.as_mut().poll(context)
        }
    }

    /// Wakes who waits for it; one notice is kept when nobody does.
    pub(crate) type Notice = Notify;

    pub(crate) fn sleep_until(deadline: Instant) -> Sleep {
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
