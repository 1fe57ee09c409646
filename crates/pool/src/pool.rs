//! The driver: takes the state's lock, runs connects and resets in tasks, hands leases over.

use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::config::Config;
use crate::state::{Admission, Entry, Placement, State, Status};
use crate::{AcquireError, Builder, ConnectError, Lease, Manager, Phase, Returned};

type LockedState<M> = State<<M as Manager>::Connection, Handover<M>, ConnectError<<M as Manager>::Error>>;
type Handover<M> = oneshot::Sender<Result<Lease<M>, AcquireError<<M as Manager>::Error>>>;

/// A pool of connections. Cheap to clone; all clones are one pool.
pub struct Pool<M: Manager> {
    shared: Arc<Shared<M>>,
}

impl<M: Manager> Clone for Pool<M> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<M: Manager> fmt::Debug for Pool<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("status", &self.status()).finish_non_exhaustive()
    }
}

impl<M: Manager> Pool<M> {
    /// A builder over `manager`.
    #[must_use]
    pub fn builder(manager: M) -> Builder<M> {
        Builder::new(manager)
    }

    pub(crate) fn new(manager: M, config: Config) -> Self {
        let state = State::new(config.max_size, config.max_connecting);
        let runtime = Handle::current();
        Self {
            shared: Arc::new(Shared {
                manager,
                config,
                runtime,
                state: Mutex::new(state),
                emptied: Notify::new(),
            }),
        }
    }

    /// Takes a connection, within the pool's acquire timeout.
    ///
    /// # Errors
    ///
    /// [`AcquireError`] with the phase that used up the time, or the reason why no connection can be opened.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a dropped future leaves the queue, and passes on a connection that it was handed already. A
    /// connect under way goes on and its connection rests in the pool.
    pub async fn acquire(&self) -> Result<Lease<M>, AcquireError<M::Error>> {
        self.acquire_until(Instant::now() + self.shared.config.acquire_timeout).await
    }

    /// Takes a connection before `deadline`.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Pool::acquire).
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Pool::acquire).
    pub async fn acquire_until(&self, deadline: Instant) -> Result<Lease<M>, AcquireError<M::Error>> {
        let shared = &self.shared;
        let mut received = None;
        let handover = || {
            let (handover, receiver) = oneshot::channel();
            received = Some(receiver);
            handover
        };
        let mut stale = Vec::new();
        let admission = shared.lock().admit(handover, |entry| shared.is_usable(entry), &mut stale);
        drop(stale);
        let (ticket, received) = match (admission, received) {
            (Admission::Idle(entry), _) => return Ok(Lease::new(entry, Arc::clone(shared))),
            (Admission::Wait { ticket }, Some(received)) => (ticket, received),
            (Admission::Wait { .. } | Admission::Closed, _) => return Err(AcquireError::Closed),
        };
        // Declared before `received`, so dropped after it: whatever was handed over before the ticket is gone goes
        // back through the lease's own drop.
        let _place = Place { shared, ticket };
        let received = pin!(received);
        let started = Instant::now();
        Shared::start_connects(shared);
        match timeout_at(deadline, received).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(AcquireError::Closed),
            Err(_) => {
                let state = shared.lock();
                let phase = if state.status().connecting > 0 { Phase::Connect } else { Phase::Wait };
                Err(AcquireError::Timeout { phase, waited: started.elapsed(), cause: state.last_error() })
            }
        }
    }

    /// Closes every connection opened so far: idle ones now, the others when they come back.
    pub fn evict(&self) {
        let idle = self.shared.lock().evict();
        drop(idle);
        Shared::start_connects(&self.shared);
    }

    /// Stops handing out connections, closes idle ones, and waits until the others came back or `deadline` has
    /// passed. Says whether all are closed.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the pool is closed from the first poll on.
    pub async fn close(&self, deadline: Instant) -> bool {
        let (idle, waiters) = self.shared.lock().close();
        drop(idle);
        for waiter in waiters {
            // Nobody to tell when it has left.
            let _ = waiter.send(Err(AcquireError::Closed));
        }
        loop {
            let mut emptied = pin!(self.shared.emptied.notified());
            emptied.as_mut().enable();
            if self.status().size == 0 {
                return true;
            }
            if timeout_at(deadline, emptied).await.is_err() {
                return self.status().size == 0;
            }
        }
    }

    /// How the pool stands.
    #[must_use]
    pub fn status(&self) -> Status {
        self.shared.lock().status()
    }

    /// The manager that it was built with.
    #[must_use]
    pub fn manager(&self) -> &M {
        &self.shared.manager
    }
}

/// A place in the queue, left when dropped.
struct Place<'a, M: Manager> {
    shared: &'a Shared<M>,
    ticket: u64,
}

impl<M: Manager> Drop for Place<'_, M> {
    fn drop(&mut self) {
        self.shared.lock().leave(self.ticket);
    }
}

pub(crate) struct Shared<M: Manager> {
    manager: M,
    config: Config,
    /// Tasks run here, so that a lease may be dropped outside a runtime.
    runtime: Handle,
    state: Mutex<LockedState<M>>,
    /// Told when the last connection of a closed pool is gone.
    emptied: Notify,
}

impl<M: Manager> Shared<M> {
    fn lock(&self) -> MutexGuard<'_, LockedState<M>> {
        // No transition panics half-way, so a poisoned lock still guards a whole state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place is free: whoever waits may have a new connection in it.
    fn place_freed(self: &Arc<Self>) {
        self.emptied.notify_waiters();
        Self::start_connects(self);
    }

    pub(crate) fn generation(&self) -> u64 {
        self.lock().generation()
    }

    fn is_usable(&self, entry: &Entry<M::Connection>) -> bool {
        let is_expired = entry.expires.is_some_and(|expires| Instant::now().into_std() >= expires);
        !is_expired && self.manager.is_open(&entry.connection)
    }

    /// A lease was dropped.
    pub(crate) fn take_back(this: &Arc<Self>, mut entry: Entry<M::Connection>) {
        let capacity = Capacity { shared: Arc::clone(this), held: Held::Connection };
        match this.manager.returned(&mut entry.connection) {
            Returned::Clean => capacity.free(entry),
            Returned::Broken => drop((entry, capacity)),
            Returned::Soiled => {
                this.runtime.spawn(async move {
                    let reset = capacity.shared.manager.reset(&mut entry.connection);
                    match timeout(capacity.shared.config.reset_timeout, reset).await {
                        Ok(Ok(())) => capacity.free(entry),
                        // Closed below: nobody may have it.
                        Ok(Err(_)) | Err(_) => drop((entry, capacity)),
                    }
                });
            }
        }
    }

    /// Opens as many connections as are wanted and may be.
    fn start_connects(this: &Arc<Self>) {
        // Bounded, since on a runtime that has shut down every spawn gives its place back at once.
        for _ in 0..this.config.max_connecting {
            let Some(generation) = this.lock().start_connect() else { return };
            let capacity = Capacity { shared: Arc::clone(this), held: Held::Connect };
            this.runtime.spawn(connect(capacity, generation));
        }
    }

    /// Opens one connection, within the connect timeout.
    async fn open(this: &Arc<Self>) -> Result<M::Connection, ConnectError<M::Error>> {
        // In a task of its own, so that a panic of the manager ends there; aborted when the set is dropped.
        let mut attempt = JoinSet::new();
        let shared = Arc::clone(this);
        attempt.spawn(async move { shared.manager.connect().await });
        match timeout(this.config.connect_timeout, attempt.join_next()).await {
            Ok(Some(Ok(Ok(connection)))) => Ok(connection),
            Ok(Some(Ok(Err(error)))) => Err(ConnectError::Failed(error)),
            Ok(Some(Err(_)) | None) => Err(ConnectError::Panicked),
            Err(_) => Err(ConnectError::TimedOut(this.config.connect_timeout)),
        }
    }

    fn expiry(&self) -> Option<std::time::Instant> {
        let lifetime = self.config.max_lifetime?;
        // Up to a fifth less, so that connections opened together do not end together.
        Some(Instant::now().into_std() + lifetime.mul_f64(0.8 + 0.2 * fastrand::f64()))
    }
}

/// Opens a connection for those who wait, trying again as long as somebody does.
async fn connect<M: Manager>(mut capacity: Capacity<M>, generation: u64) {
    let shared = Arc::clone(&capacity.shared);
    let mut backoff = FIRST_BACKOFF;
    loop {
        let error = match Shared::open(&shared).await {
            Ok(connection) => {
                shared.lock().connected();
                capacity.held = Held::Connection;
                let expires = shared.expiry();
                capacity.free(Entry { connection, expires, generation });
                return Shared::start_connects(&shared);
            }
            Err(error) => Arc::new(error),
        };
        let is_permanent =
            matches!(&*error, ConnectError::Failed(error) if shared.manager.is_permanent(error));
        let told = shared.lock().connect_failed(Arc::clone(&error), is_permanent);
        for waiter in told {
            // Nobody to tell when it has left.
            let _ = waiter.send(Err(AcquireError::Connect(Arc::clone(&error))));
        }
        if capacity.give_up_unwanted() {
            return;
        }
        // Full jitter (Brooker 2015, "Exponential backoff and jitter"): spreads a fleet's attempts.
        sleep(backoff.mul_f64(fastrand::f64())).await;
        backoff = (backoff * 2).min(MAX_BACKOFF);
        if capacity.give_up_unwanted() {
            return;
        }
    }
}

const FIRST_BACKOFF: Duration = Duration::from_millis(20);
const MAX_BACKOFF: Duration = Duration::from_secs(2);

/// One of the pool's `max_size` places. Given back when dropped, whatever way that comes about.
struct Capacity<M: Manager> {
    shared: Arc<Shared<M>>,
    held: Held,
}

/// What a place is held for.
#[derive(Clone, Copy)]
enum Held {
    /// A connect under way.
    Connect,
    /// A connection that is out.
    Connection,
    /// Nothing any more: its connection rests in the pool or is out with somebody else.
    Nothing,
}

impl<M: Manager> Capacity<M> {
    /// Ends a connect that nobody waits for. Says whether it did.
    fn give_up_unwanted(&mut self) -> bool {
        let is_over = self.shared.lock().give_up_unwanted();
        if is_over {
            self.held = Held::Nothing;
            self.shared.emptied.notify_waiters();
        }
        is_over
    }

    /// Lets a connection go to the first waiter, or to rest.
    fn free(mut self, mut entry: Entry<M::Connection>) {
        loop {
            let shared = &self.shared;
            let placement = shared.lock().place(entry, |entry| shared.is_usable(entry));
            match placement {
                Placement::Rests => break,
                Placement::Retired(retired) => {
                    drop(retired);
                    self.held = Held::Nothing;
                    return self.shared.place_freed();
                }
                Placement::Handover(next, waiter) => {
                    let Err(refused) = waiter.send(Ok(Lease::new(next, Arc::clone(shared)))) else { break };
                    // It left before it was served: the next in line.
                    let Some(returned) = refused.ok().and_then(Lease::into_entry) else { break };
                    entry = returned;
                }
            }
        }
        self.held = Held::Nothing;
    }
}

impl<M: Manager> Drop for Capacity<M> {
    fn drop(&mut self) {
        match self.held {
            Held::Nothing => {}
            Held::Connect => {
                self.shared.lock().connect_abandoned();
                self.shared.emptied.notify_waiters();
            }
            Held::Connection => {
                self.shared.lock().lost();
                self.shared.place_freed();
            }
        }
    }
}
