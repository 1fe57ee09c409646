//! Connections that worker threads keep at hand.
//!
//! Two cores that take turns at one lock spend their time on moving its cache line. So each thread parks the connection that it returned last
//! where it finds it again under a lock of its own. For the [`State`](crate::state) such a connection is still out: it gets it back whenever it has
//! somebody waiting or something to do with it.
//!
//! Nobody waits while a connection is parked. Who begins to wait says so first and searches the spots then; who parks looks behind that
//! whether somebody waits by now. Of the two, whoever takes the spot's lock last sees what the other did.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::config::Limits;
use crate::rt::{AtomicU64, AtomicUsize, Mutex, thread_number, threads};
use crate::state::Loan;

/// Keeps what changes all the time on cache lines of its own. Two at a time are fetched on common processors.
#[repr(align(128))]
pub(crate) struct Apart<T>(pub(crate) T);

/// A spot for each of the threads that a machine runs at a time.
pub(crate) struct Parking<C> {
    /// None where the state has to see every checkout.
    spots: Box<[Apart<Mutex<Spot<C>>>]>,
    check_after: Option<Duration>,
    max_uses: Option<u64>,
    round: Option<Duration>,
    /// Above zero while somebody waits, and of which epoch connections may be parked: as the state has them.
    waiting: AtomicUsize,
    epoch: AtomicU64,
}

/// What became of a connection that was to be parked.
pub(crate) enum Parked<C> {
    Kept,
    /// An older one has to go to the state in its stead.
    InsteadOf(Loan<C>),
    /// It has to go to the state.
    Not(Loan<C>),
}

struct Spot<C> {
    loan: Option<Loan<C>>,
    /// How often a connection was handed out from here.
    acquired: u64,
}

impl<C> Parking<C> {
    pub(crate) fn new(limits: &Limits) -> Self {
        let is_seen = limits.classes.len() > 1 || limits.leak_after.is_some() || limits.shedding.is_some();
        let spots = if is_seen { 0 } else { threads() };
        Self {
            spots: (0..spots).map(|_| Apart(Mutex::new(Spot { loan: None, acquired: 0 }))).collect(),
            check_after: limits.check_after,
            max_uses: limits.max_uses,
            round: [limits.idle_timeout, limits.keepalive, limits.max_lifetime.map(|lifetime| lifetime / 10)]
                .into_iter()
                .flatten()
                .min()
                .map(|shortest| shortest / 2),
            waiting: AtomicUsize::new(0),
            epoch: AtomicU64::new(0),
        }
    }

    /// This thread's spot.
    #[inline]
    fn spot(&self) -> Option<&Mutex<Spot<C>>> {
        self.spots.get(thread_number() & self.spots.len().wrapping_sub(1)).map(|spot| &spot.0)
    }

    /// The connection that this thread parked last, if it may be handed out as it is.
    #[inline]
    pub(crate) fn take(&self, now: Instant) -> Option<Loan<C>> {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            return None;
        }
        let mut spot = self.spot()?.try_lock().ok()?;
        let loan = spot.loan.as_mut()?;
        let is_good = loan.epoch == self.epoch.load(Ordering::SeqCst)
            && loan.due.is_none_or(|due| now < due)
            // A sum and a comparison take less than a difference.
            && self.check_after.is_none_or(|limit| loan.proven.checked_add(limit).is_none_or(|end| now <= end));
        if !is_good {
            return None;
        }
        loan.uses += 1;
        spot.acquired += 1;
        spot.loan.take()
    }

    /// Parks a connection that comes back clean.
    #[inline]
    pub(crate) fn park(&self, mut loan: Loan<C>, now: Instant) -> Parked<C> {
        let may_rest = self.waiting.load(Ordering::SeqCst) == 0
            && loan.epoch == self.epoch.load(Ordering::SeqCst)
            && loan.due.is_none_or(|due| now < due)
            && self.max_uses.is_none_or(|most| loan.uses < most);
        let spot = if may_rest { self.spot().and_then(|spot| spot.try_lock().ok()) } else { None };
        let Some(mut spot) = spot else { return Parked::Not(loan) };
        loan.proven = now;
        loan.rests_since = now;
        // The newest is at hand, and is used first.
        match spot.loan.replace(loan) {
            None => Parked::Kept,
            Some(older) => Parked::InsteadOf(older),
        }
    }

    /// Whether the state looked at its connections anew since that epoch.
    #[inline]
    pub(crate) fn is_outdated(&self, epoch: u64) -> bool {
        self.epoch.load(Ordering::SeqCst) != epoch
    }

    /// Whether somebody wants what was just parked.
    #[inline]
    pub(crate) fn is_wanted(&self, epoch: u64) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0 || self.epoch.load(Ordering::SeqCst) != epoch
    }

    /// Tells whether somebody waits, before the spots are searched for it.
    #[inline]
    pub(crate) fn set_waiting(&self, waiting: usize) {
        // Written only when it changes between none and some, so that the line stays with those who read it.
        if (self.waiting.load(Ordering::SeqCst) > 0) != (waiting > 0) {
            self.waiting.store(waiting, Ordering::SeqCst);
        }
    }

    /// Whether somebody waits, for who only wants to guess.
    #[inline]
    pub(crate) fn has_waiting(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Whether nobody was known to wait so far.
    #[inline]
    pub(crate) fn is_quiet(&self) -> bool {
        !self.spots.is_empty() && self.waiting.load(Ordering::SeqCst) == 0
    }

    /// Connections of earlier epochs are not handed out from here any more.
    #[inline]
    pub(crate) fn set_epoch(&self, epoch: u64) {
        if self.epoch.load(Ordering::SeqCst) != epoch {
            self.epoch.store(epoch, Ordering::SeqCst);
        }
    }

    /// How often to look through the spots, so that what rests there is found in time.
    pub(crate) fn round(&self) -> Option<Duration> {
        self.round
    }

    /// Takes every connection out of its spot.
    pub(crate) fn recall(&self) -> impl Iterator<Item = Loan<C>> {
        let take =
            |spot: &Apart<Mutex<Spot<C>>>| spot.0.lock().unwrap_or_else(PoisonError::into_inner).loan.take();
        self.spots.iter().filter_map(take)
    }

    /// How many connections are parked, and how often one was handed out from here.
    pub(crate) fn counts(&self) -> (usize, u64) {
        // All at once: one that moved from a spot to another would count twice.
        let spots = self.spots.iter();
        let all: Vec<_> = spots.map(|spot| spot.0.lock().unwrap_or_else(PoisonError::into_inner)).collect();
        let parked = all.iter().filter(|spot| spot.loan.is_some()).count();
        (parked, all.iter().map(|spot| spot.acquired).sum())
    }
}
