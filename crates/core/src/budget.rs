//! How many statements may be tried again.

use std::sync::atomic::{AtomicU64, Ordering};

/// Lets a share of all tries be further tries, so that a fault that fails all of them does not multiply the load: the retry budget of
/// Finagle, without its clock. What was not used is kept up to a reserve, for when a node goes down with all that runs on it.
#[derive(Debug)]
pub struct RetryBudget {
    /// What is left, in parts of a retry.
    left: AtomicU64,
    most: AtomicU64,
}

/// So many first tries pay for a further one: one in five.
const PRICE: u64 = 5;

impl RetryBudget {
    /// A full one.
    #[must_use]
    pub const fn new(reserve: u32) -> Self {
        let most = reserve as u64 * PRICE;
        Self { left: AtomicU64::new(most), most: AtomicU64::new(most) }
    }

    /// Sets another reserve, which is there at once. Not by two callers at the same time.
    pub fn set_reserve(&self, reserve: u32) {
        let most = u64::from(reserve) * PRICE;
        let before = self.most.swap(most, Ordering::Relaxed);
        let adapt = |left: u64| Some((left + most.saturating_sub(before)).min(most));
        let _ = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, adapt);
    }

    /// Counts a first try.
    pub fn first_try(&self) {
        // Mostly it is full, and then nobody writes here. A count too many or too few does no harm.
        if self.left.load(Ordering::Relaxed) < self.most.load(Ordering::Relaxed) {
            self.left.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether there may be a further try; it is counted.
    pub fn try_again(&self) -> bool {
        let pay = |left: u64| left.checked_sub(PRICE);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, pay).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_reserve_is_there_at_once_and_gone_at_once() {
        let budget = RetryBudget::new(10);
        let rest = |reserve| {
            budget.set_reserve(reserve);
            (0..1000).filter(|_| budget.try_again()).count()
        };
        assert_eq!([rest(30), rest(30), rest(50), rest(20), rest(21)], [30, 0, 20, 0, 1]);
    }

    #[test]
    fn a_reserve_and_then_one_in_five() {
        let budget = RetryBudget::new(10);
        assert_eq!((0..1000).filter(|_| budget.try_again()).count(), 10);
        let mut retries = 0;
        for _ in 0..1000 {
            budget.first_try();
            retries += usize::from(budget.try_again());
        }
        assert_eq!(retries, 200);
    }

    #[test]
    fn no_more_than_the_reserve_is_kept() {
        let budget = RetryBudget::new(10);
        (0..1000).for_each(|_| budget.first_try());
        assert_eq!((0..1000).filter(|_| budget.try_again()).count(), 10);
    }
}
