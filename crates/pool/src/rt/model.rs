//! The runtime of the model checker. Time stands still: nothing ever times out, so whoever is not served waits for ever, which the
//! checker finds.

use std::future::{Future, Pending};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

/// The checker's executor.
#[derive(Clone, Debug)]
pub(crate) struct Home;

impl Home {
    pub(crate) const fn current() -> Self {
        Self
    }

    /// The checker unwinds what has not ended.
    pub(crate) fn is_torn_down() -> bool {
        std::thread::panicking()
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(shuttle::future::spawn(task));
    }

    pub(crate) const fn set_alarm(&self, _: &mut Option<Alarm>, _: Instant) {}
}

/// Never set.
pub(crate) enum Alarm {}

impl Alarm {
    pub(crate) const fn poll(&mut self, _: &mut Context<'_>) -> Poll<()> {
        match *self {}
    }
}

pub(crate) fn sleep_until(_: Instant) -> Pending<()> {
    std::future::pending()
}

pub(crate) fn now() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

pub(crate) fn thread_number() -> usize {
    usize::from(shuttle::current::me())
}

/// What tokio's `Notify` does. Its locks are no part of the model: no other task runs while one is held, and what is left of a
/// test is dropped outside of it.
#[derive(Debug)]
pub(crate) struct Notice(Mutex<Told>);

#[derive(Debug, Default)]
struct Told {
    has_permit: bool,
    /// Counts the times when all were told.
    rounds: u64,
    waiting: Vec<Arc<Mutex<Waiting>>>,
}

#[derive(Debug, Default)]
struct Waiting {
    is_told: bool,
    waker: Option<Waker>,
}

impl Notice {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Told::default()))
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn notify_one(&self) {
        let mut told = self.lock();
        match told.waiting.pop() {
            Some(waiting) => {
                drop(told);
                tell(&waiting);
            }
            None => told.has_permit = true,
        }
    }

    pub(crate) fn notify_waiters(&self) {
        let mut told = self.lock();
        told.rounds += 1;
        let all = std::mem::take(&mut told.waiting);
        drop(told);
        all.iter().for_each(tell);
    }

    pub(crate) fn notified(&self) -> Notified<'_> {
        let rounds = self.lock().rounds;
        Notified { notice: self, rounds, waiting: None }
    }
}

fn tell(waiting: &Arc<Mutex<Waiting>>) {
    let mut told = waiting.lock().unwrap_or_else(PoisonError::into_inner);
    told.is_told = true;
    let waker = told.waker.take();
    drop(told);
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[derive(Debug)]
pub(crate) struct Notified<'n> {
    notice: &'n Notice,
    rounds: u64,
    waiting: Option<Arc<Mutex<Waiting>>>,
}

impl Notified<'_> {
    pub(crate) fn enable(self: Pin<&mut Self>) -> bool {
        self.get_mut().begin()
    }

    /// Whether it was told already.
    fn begin(&mut self) -> bool {
        if let Some(waiting) = &self.waiting {
            return waiting.lock().unwrap_or_else(PoisonError::into_inner).is_told;
        }
        let mut told = self.notice.lock();
        let is_told = told.rounds != self.rounds || std::mem::take(&mut told.has_permit);
        let waiting = Arc::new(Mutex::new(Waiting { is_told, waker: None }));
        if !is_told {
            told.waiting.push(Arc::clone(&waiting));
        }
        self.waiting = Some(waiting);
        is_told
    }
}

impl Future for Notified<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        this.begin();
        let Some(waiting) = &this.waiting else { return Poll::Pending };
        let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.is_told {
            return Poll::Ready(());
        }
        waiting.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Notified<'_> {
    fn drop(&mut self) {
        if let Some(waiting) = &self.waiting {
            self.notice.lock().waiting.retain(|other| !Arc::ptr_eq(other, waiting));
        }
    }
}
