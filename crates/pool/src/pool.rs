//! The public words.

use std::fmt;
use std::panic::Location;
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use futures_util::future::select;

use crate::acquire::Acquire;
use crate::config::{AfterConnect, DEFAULT_CLASS, LONGEST, Limits, Listener, Timeouts};
use crate::driver::Shared;
use crate::owner::{Closer, Owners};
use crate::rt::{now, sleep_until};
use crate::state::{Caller, Deliveries};
use crate::{Builder, CloseReason, ConfigError, Lease, Manager, Snapshot, Status};

/// A pool of connections. Cheap to clone; all clones are one pool. The last of them, and of the leases, that is dropped
/// closes it.
pub struct Pool<M: Manager> {
    owners: Arc<Owners<M>>,
}

impl<M: Manager> Clone for Pool<M> {
    fn clone(&self) -> Self {
        Self { owners: Arc::clone(&self.owners) }
    }
}

impl<M: Manager> fmt::Debug for Pool<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("status", &self.status()).finish_non_exhaustive()
    }
}

/// How to acquire a connection, where it is to differ from what the pool was built with.
#[derive(Clone, Copy, Debug, Default)]
pub struct AcquireOptions {
    deadline: Option<Instant>,
    timeout: Option<Duration>,
    class: Option<&'static str>,
    now: Option<Instant>,
}

impl AcquireOptions {
    /// As the pool was built.
    #[must_use]
    pub const fn new() -> Self {
        Self { deadline: None, timeout: None, class: None, now: None }
    }

    /// When to give up. Default: after the pool's acquire timeout.
    #[must_use]
    pub fn deadline(mut self, deadline: impl Into<Instant>) -> Self {
        self.deadline = Some(deadline.into());
        self
    }

    /// How long to wait, from when the future is made. A [deadline](Self::deadline) goes before it. Default: the pool's acquire
    /// timeout.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// For which [class](Builder::class) of callers. Default: `default`. A name that the pool was not built with stands for
    /// that too.
    #[must_use]
    pub const fn class(mut self, name: &'static str) -> Self {
        self.class = Some(name);
        self
    }

    /// The time, by the clock of tokio or of the standard library, where the caller has just looked: a look is a third of a checkout.
    /// Default: looked at when the future is polled first.
    #[must_use]
    pub fn now(mut self, now: impl Into<Instant>) -> Self {
        self.now = Some(now.into());
        self
    }
}

impl<M: Manager> Pool<M> {
    /// A builder over `manager`.
    #[must_use]
    pub fn builder(manager: M) -> Builder<M> {
        Builder::new(manager)
    }

    pub(crate) fn new(
        manager: M,
        limits: Limits,
        timeouts: Timeouts,
        after_connect: Option<AfterConnect<M>>,
        listener: Option<Listener>,
    ) -> Self {
        let shared = Shared::new(manager, limits, timeouts, after_connect, listener);
        Self { owners: Arc::new(Owners::new(shared)) }
    }

    fn shared(&self) -> &Arc<Shared<M>> {
        &self.owners.shared
    }

    /// Takes a connection, within the pool's acquire timeout.
    ///
    /// # Errors
    ///
    /// [`AcquireError`](crate::AcquireError) with the phase that used up the time, or the reason why no connection can be had. The pool's
    /// runtime sees to the deadline. Where that is single-threaded and stands still, the caller's does; a caller that is polled in
    /// none has no clock then, and waits.
    ///
    /// It is served at its first poll where a connection rests, and takes no part in tokio's budget: a loop of nothing but checkouts
    /// lets no other task run.
    ///
    /// # Panics
    ///
    /// Where the pool's runtime is single-threaded and stands still: in a runtime without timers.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a dropped future leaves the queue, and passes on a connection that it was handed already. A
    /// connect or check under way goes on, and its connection rests in the pool. One that was polled and is then left alone, as by a
    /// `select!` over a reference, keeps what it is handed: poll it to its end, or drop it.
    #[track_caller]
    pub fn acquire(&self) -> Acquire<'_, M> {
        self.acquire_at(AcquireOptions::new(), Location::caller())
    }

    /// Takes a connection before `deadline`, by the clock of tokio or of the standard library.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Pool::acquire).
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Pool::acquire).
    #[track_caller]
    pub fn acquire_until(&self, deadline: impl Into<Instant>) -> Acquire<'_, M> {
        self.acquire_at(AcquireOptions::new().deadline(deadline.into()), Location::caller())
    }

    /// Takes a connection as the options say.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Pool::acquire).
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Pool::acquire).
    #[track_caller]
    pub fn acquire_with(&self, options: AcquireOptions) -> Acquire<'_, M> {
        self.acquire_at(options, Location::caller())
    }

    /// Takes the connection that this thread gave back last, if it rests still, nobody waits, and it can be handed out unchecked:
    /// what [`acquire`](Pool::acquire) tries first, without its future. `None` says nothing of other connections. `now` is the time,
    /// by the clock of tokio or of the standard library.
    #[inline]
    pub fn at_hand(&self, now: impl Into<Instant>) -> Option<Lease<M>> {
        self.owners.at_hand(now.into())
    }

    #[inline]
    fn acquire_at(&self, options: AcquireOptions, site: &'static Location<'static>) -> Acquire<'_, M> {
        let class = match options.class {
            None => self.shared().default_class,
            Some(name) => self.shared().class(name),
        };
        // When it asks is when it is polled first, if it does not say.
        let asked = options.now.unwrap_or(self.shared().built);
        let caller = Caller { class, asked, deadline: asked, site, is_first: false };
        let after = |timeout| now() + Duration::min(timeout, LONGEST);
        let deadline = options.deadline.or_else(|| options.timeout.map(after));
        Acquire::new(&self.owners, caller, deadline, options.now.is_some())
    }

    /// Closes every connection opened so far: idle ones now, the others when they come back.
    pub fn evict(&self) {
        self.retire(self.generation().saturating_add(1));
    }

    /// Closes every connection of a generation before that: idle ones now, the others when they come back. New ones are of that
    /// generation.
    pub fn evict_before(&self, generation: u64) {
        // There is a next one.
        self.retire(generation.min(u64::MAX - 1));
    }

    fn retire(&self, generation: u64) {
        let mut state = self.shared().lock();
        let idle = state.evict_before(generation);
        Shared::gather(self.shared(), state, Deliveries::new(), now());
        Shared::discard_all(self.shared(), idle, CloseReason::Evicted);
    }

    /// Of which generation new connections are. The first is 0.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.shared().lock().generation()
    }

    /// Sets the most connections. More are opened when they are wanted; idle ones that are too many are closed now, the others when they
    /// come back.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] when the other settings need more.
    pub fn resize(&self, max_size: usize) -> Result<(), ConfigError> {
        let (now, mut out) = (now(), Deliveries::new());
        let mut state = self.shared().lock();
        let closed = state.resize(max_size, now, &mut out);
        Shared::gather(self.shared(), state, out, now);
        Shared::discard_all(self.shared(), closed?, CloseReason::Resized);
        Ok(())
    }

    /// Sets how many callers may wait, for those who come from now on; see [`max_waiting`](crate::Builder::max_waiting).
    pub fn set_max_waiting(&self, callers: Option<usize>) {
        self.shared().lock().set_max_waiting(callers);
    }

    /// Stops handing out connections, closes idle ones, and waits for those that are out, being opened, checked or reset, at most until
    /// `deadline`; what is not out is then given up. Says whether all are closed: not so, too, where what was given up has not ended yet. Whoever
    /// waits is told at once.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with timers, unless no connection is open.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the pool is closed from the first poll on.
    pub async fn close(&self, deadline: impl Into<Instant>) -> bool {
        Shared::close(self.shared());
        if self.shared().lock().is_drained() {
            return true;
        }
        let mut over = pin!(sleep_until(deadline.into()));
        loop {
            let mut drained = pin!(self.shared().drained.notified());
            drained.as_mut().enable();
            if self.shared().lock().is_drained() {
                return true;
            }
            if let futures_util::future::Either::Left(_) = select(over.as_mut(), drained).await {
                self.shared().abort();
                return self.shared().lock().is_drained();
            }
        }
    }

    /// [`close`](Self::close) with a deadline from now.
    ///
    /// # Cancel safety
    ///
    /// As [`close`](Self::close).
    pub async fn close_within(&self, limit: Duration) -> bool {
        let now = now();
        self.close(now.checked_add(limit).unwrap_or(now + LONGEST)).await
    }

    /// Whether it was closed, or its runtime has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared().lock().is_closed()
    }

    /// A handle that does not keep the pool open, for a [listener](Builder::on_event) or a background task.
    #[must_use]
    pub fn downgrade(&self) -> WeakPool<M> {
        WeakPool { owners: Arc::downgrade(&self.owners), closer: Arc::downgrade(self.owners.closer()) }
    }

    /// How the pool stands.
    #[must_use]
    pub fn status(&self) -> Status {
        self.shared().snapshot().status
    }

    /// How the pool stands, and what happened in it so far.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.shared().snapshot()
    }

    /// The manager that it was built with.
    #[must_use]
    pub fn manager(&self) -> &M {
        &self.shared().manager
    }
}

/// A handle that does not keep a [`Pool`] open.
pub struct WeakPool<M: Manager> {
    owners: Weak<Owners<M>>,
    /// Held by leases too.
    closer: Weak<Closer<M>>,
}

impl<M: Manager> WeakPool<M> {
    /// The pool, if another handle or a lease is still there.
    #[must_use]
    pub fn upgrade(&self) -> Option<Pool<M>> {
        let again = || Some(Arc::new(Owners::again(&self.closer.upgrade()?)));
        Some(Pool { owners: self.owners.upgrade().or_else(again)? })
    }
}

impl<M: Manager> Clone for WeakPool<M> {
    fn clone(&self) -> Self {
        Self { owners: Weak::clone(&self.owners), closer: Weak::clone(&self.closer) }
    }
}

impl<M: Manager> fmt::Debug for WeakPool<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeakPool").finish_non_exhaustive()
    }
}

/// Which class a name stands for.
pub(crate) fn class_of(classes: &[&'static str], name: &str) -> usize {
    let find = |name| classes.iter().position(|class| *class == name);
    find(name).or_else(|| find(DEFAULT_CLASS)).unwrap_or(0)
}
