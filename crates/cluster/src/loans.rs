//! Connections that callers hold, and where they took them.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::Location;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::cluster::Shared;
use crate::node::now;
use crate::{Backend, Event, Handle};

/// Nobody looks more often.
const SHORTEST: Duration = Duration::from_millis(10);

/// Those that are out, by number: the ones that were taken first come first.
#[derive(Debug, Default)]
pub(crate) struct Loans(Mutex<Taken>);

#[derive(Debug, Default)]
struct Taken {
    made: u64,
    out: BTreeMap<u64, Loan>,
}

#[derive(Debug)]
struct Loan {
    site: &'static Location<'static>,
    since: Instant,
    is_told: bool,
}

impl Loans {
    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, site: &'static Location<'static>) -> u64 {
        let mut taken = self.taken();
        taken.made += 1;
        let number = taken.made;
        taken.out.insert(number, Loan { site, since: now(), is_told: false });
        number
    }

    /// Those that have been out for longer, and were not told of yet.
    fn overdue(&self, after: Duration) -> Vec<Event> {
        let now = now();
        let held = |loan: &Loan| now.saturating_duration_since(loan.since);
        let mut taken = self.taken();
        let overdue = taken.out.values_mut().filter(|loan| !loan.is_told && held(loan) >= after);
        let tell = |loan: &mut Loan| {
            loan.is_told = true;
            Event::Leaked { site: loan.site, held: held(loan) }
        };
        overdue.map(tell).collect()
    }
}

/// A connection that a caller holds: made by [`Handle::on_loan`].
#[must_use = "dropped at once, it is given back"]
pub struct OnLoan<B: Backend>(Option<(Arc<Shared<B>>, u64)>);

impl<B: Backend> Drop for OnLoan<B> {
    fn drop(&mut self) {
        if let Some((shared, number)) = &self.0 {
            shared.loans.taken().out.remove(number);
        }
    }
}

impl<B: Backend> Handle<B> {
    /// Notes that a caller has a connection that it took there, for as long as the note is kept: an event tells of one that is held for longer than it
    /// should be ([`Config::leak_after`](crate::Config::leak_after)). Without that it costs nothing.
    pub fn on_loan(&self, site: &'static Location<'static>) -> OnLoan<B> {
        let shared = &self.cluster().shared;
        OnLoan(shared.config.leak_after.map(|_| (Arc::clone(shared), shared.loans.take(site))))
    }
}

impl<B: Backend> fmt::Debug for OnLoan<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OnLoan").field(&self.0.as_ref().map(|(_, number)| number)).finish()
    }
}

/// Looks for those that are held for too long, until it is aborted.
pub(crate) async fn run<B: Backend>(shared: Arc<Shared<B>>, after: Duration) {
    // At the latest after one and a half of the time it is told, where that is not next to nothing.
    let mut looks = tokio::time::interval((after / 2).max(SHORTEST));
    loop {
        looks.tick().await;
        shared.loans.overdue(after).iter().for_each(|event| shared.tell(event));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_is_told_of_once_when_it_is_held_for_too_long() {
        let (loans, second) = (Loans::default(), Duration::from_secs(1));
        let take = || loans.take(Location::caller());
        let told = |number: usize| {
            let events = loans.overdue(2 * second);
            assert_eq!(events.len(), number, "{events:?}");
        };
        let first = take();
        tokio::time::advance(second).await;
        let other = take();
        told(0);
        tokio::time::advance(second).await;
        told(1);
        told(0);
        loans.taken().out.remove(&other);
        tokio::time::advance(second).await;
        told(0);
        loans.taken().out.remove(&first);
        assert!(loans.taken().out.is_empty());
    }
}
