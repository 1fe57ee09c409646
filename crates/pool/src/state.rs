//! The pool's state: plain data and synchronous transitions. No awaits, no clock, no tasks.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

/// A connection and what the pool knows of it.
#[derive(Debug)]
pub(crate) struct Entry<C> {
    pub(crate) connection: C,
    pub(crate) expires: Option<Instant>,
    pub(crate) generation: u64,
}

/// Who waits for a connection; `W` is how it is handed over.
#[derive(Debug)]
struct Waiter<W> {
    ticket: u64,
    handover: W,
}

/// What guards what: one mutex holds all of this. Nothing that can block, wake a task, or drop a connection may happen
/// under it, so transitions hand back what has to be dropped or woken.
#[derive(Debug)]
pub(crate) struct State<C, W, E> {
    max_size: usize,
    max_connecting: usize,
    /// Newest last, and the newest is handed out first, so that surplus sinks.
    idle: Vec<Entry<C>>,
    waiters: VecDeque<Waiter<W>>,
    next_ticket: u64,
    /// All that count against `max_size`: idle, out, being opened, being reset.
    size: usize,
    connecting: usize,
    generation: u64,
    is_closed: bool,
    /// The last error of opening a connection, until one opens.
    last_error: Option<Arc<E>>,
}

/// What a newcomer gets.
#[derive(Debug)]
pub(crate) enum Admission<C> {
    /// An idle connection.
    Idle(Entry<C>),
    /// A place in the queue.
    Wait { ticket: u64 },
    /// Nothing: the pool is closed.
    Closed,
}

/// What becomes of a connection that is free.
#[derive(Debug)]
pub(crate) enum Placement<C, W> {
    /// It goes to this waiter.
    Handover(Entry<C>, W),
    /// It rests in the pool.
    Rests,
    /// It is to be dropped; its place is free.
    Retired(Entry<C>),
}

impl<C, W, E> State<C, W, E> {
    pub(crate) const fn new(max_size: usize, max_connecting: usize) -> Self {
        Self {
            max_size,
            max_connecting,
            idle: Vec::new(),
            waiters: VecDeque::new(),
            next_ticket: 0,
            size: 0,
            connecting: 0,
            generation: 0,
            is_closed: false,
            last_error: None,
        }
    }

    /// A newcomer takes an idle connection only when nobody waits; `handover` is asked for only when it has to wait. `stale` collects idle connections that cannot be
    /// handed out any more, to be dropped by the caller outside the lock.
    pub(crate) fn admit(
        &mut self,
        handover: impl FnOnce() -> W,
        is_usable: impl Fn(&Entry<C>) -> bool,
        stale: &mut Vec<Entry<C>>,
    ) -> Admission<C> {
        if self.is_closed {
            return Admission::Closed;
        }
        while self.waiters.is_empty() {
            let Some(entry) = self.idle.pop() else { break };
            if is_usable(&entry) {
                return Admission::Idle(entry);
            }
            self.size -= 1;
            stale.push(entry);
        }
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.waiters.push_back(Waiter { ticket, handover: handover() });
        Admission::Wait { ticket }
    }

    /// A waiter leaves the queue, if it is still in it.
    pub(crate) fn leave(&mut self, ticket: u64) {
        if let Ok(place) = self.waiters.binary_search_by_key(&ticket, |waiter| waiter.ticket) {
            self.waiters.remove(place);
        }
    }

    /// Takes a place for a new connection when somebody waits who is not provided for yet.
    #[must_use]
    pub(crate) fn start_connect(&mut self) -> Option<u64> {
        let is_wanted = self.waiters.len() > self.connecting && !self.is_closed;
        if !is_wanted || self.connecting >= self.max_connecting || self.size >= self.max_size {
            return None;
        }
        self.size += 1;
        self.connecting += 1;
        Some(self.generation)
    }

    /// Gives a connect's place back when there are more of them than waiters. One transition: a newcomer counts either on
    /// this connect or on the free place, and of two connects that fail for one waiter only one gives up.
    #[must_use]
    pub(crate) fn give_up_unwanted(&mut self) -> bool {
        let is_unwanted = self.waiters.len() < self.connecting || self.is_closed;
        if is_unwanted {
            self.connect_abandoned();
        }
        is_unwanted
    }

    pub(crate) fn connected(&mut self) {
        self.connecting -= 1;
        self.last_error = None;
    }

    /// A connect is given up; its place is free.
    pub(crate) fn connect_abandoned(&mut self) {
        self.connecting -= 1;
        self.size -= 1;
    }

    /// Opening a connection failed. Hands back who has to be told now: everybody when it cannot help to try again or
    /// when no connection is out that could come back.
    pub(crate) fn connect_failed(&mut self, error: Arc<E>, is_permanent: bool) -> Vec<W> {
        self.last_error = Some(error);
        let out = self.size - self.connecting;
        if is_permanent || out == 0 { self.drain_waiters() } else { Vec::new() }
    }

    /// Finds a place for a connection that is free: the first waiter, or the pool.
    pub(crate) fn place(
        &mut self,
        entry: Entry<C>,
        is_usable: impl Fn(&Entry<C>) -> bool,
    ) -> Placement<C, W> {
        if self.is_closed || entry.generation != self.generation || !is_usable(&entry) {
            self.size -= 1;
            return Placement::Retired(entry);
        }
        match self.waiters.pop_front() {
            Some(waiter) => Placement::Handover(entry, waiter.handover),
            None => {
                self.idle.push(entry);
                Placement::Rests
            }
        }
    }

    /// A connection that was out is gone; its place is free.
    pub(crate) fn lost(&mut self) {
        self.size -= 1;
    }

    /// Retires every connection opened so far: idle ones now, the others when they come back.
    #[must_use]
    pub(crate) fn evict(&mut self) -> Vec<Entry<C>> {
        self.generation += 1;
        self.size -= self.idle.len();
        std::mem::take(&mut self.idle)
    }

    #[must_use]
    pub(crate) fn close(&mut self) -> (Vec<Entry<C>>, Vec<W>) {
        self.is_closed = true;
        (self.evict(), self.drain_waiters())
    }

    pub(crate) fn last_error(&self) -> Option<Arc<E>> {
        self.last_error.clone()
    }

    pub(crate) const fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) fn status(&self) -> Status {
        Status {
            max_size: self.max_size,
            size: self.size,
            idle: self.idle.len(),
            connecting: self.connecting,
            waiting: self.waiters.len(),
        }
    }

    fn drain_waiters(&mut self) -> Vec<W> {
        self.waiters.drain(..).map(|waiter| waiter.handover).collect()
    }
}

/// How a pool stands at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// The most connections it may have.
    pub max_size: usize,
    /// The connections it has, those being opened and reset included.
    pub size: usize,
    /// Connections that rest.
    pub idle: usize,
    /// Connections being opened.
    pub connecting: usize,
    /// Callers that wait.
    pub waiting: usize,
}

impl Status {
    /// Connections that are handed out or being reset.
    #[must_use]
    pub const fn in_use(&self) -> usize {
        self.size - self.idle - self.connecting
    }
}
