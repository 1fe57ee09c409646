//! A list that grows while others read it.

use std::iter::successors;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

/// What is in it stays there, and where it is, so that nobody counts who looks at it.
pub(crate) struct Growing<T> {
    first: Block<T>,
    count: AtomicUsize,
    /// One adds at a time.
    adding: Mutex<()>,
}

struct Block<T> {
    items: [OnceLock<T>; BLOCK],
    next: OnceLock<Box<Self>>,
}

/// As many as most will ever have.
const BLOCK: usize = 16;

impl<T> Default for Block<T> {
    fn default() -> Self {
        Self { items: [const { OnceLock::new() }; BLOCK], next: OnceLock::new() }
    }
}

impl<T> Default for Growing<T> {
    fn default() -> Self {
        Self { first: Block::default(), count: AtomicUsize::new(0), adding: Mutex::new(()) }
    }
}

impl<T> Growing<T> {
    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Adds what is made with the number that it will have.
    pub(crate) fn add<E>(&self, make: impl FnOnce(usize) -> Result<T, E>) -> Result<&T, E> {
        let _adding = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
        let number = self.count();
        let item = make(number)?;
        let mut block = &self.first;
        for _ in 0..number / BLOCK {
            block = block.next.get_or_init(Box::default);
        }
        let added = block.items[number % BLOCK].get_or_init(|| item);
        self.count.store(number + 1, Ordering::Release);
        Ok(added)
    }

    /// The one of that number.
    ///
    /// # Panics
    ///
    /// There is none.
    #[inline(always)]
    pub(crate) fn at(&self, number: usize) -> &T {
        // Mostly there is no other block.
        let block = if number < BLOCK { Some(&self.first) } else { self.later_block(number / BLOCK) };
        let item = block.and_then(|block| block.items[number % BLOCK].get());
        item.expect("numbers are of what was added")
    }

    fn later_block(&self, number: usize) -> Option<&Block<T>> {
        successors(Some(&self.first), |block| block.next.get().map(Box::as_ref)).nth(number)
    }

    /// All of them, in the order of their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        (0..self.count()).map(|number| self.at(number))
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn what_is_added_stays_where_it_is() {
        let list = Growing::default();
        let first: &usize = list.add(Ok::<_, ()>).unwrap();
        for _ in 1..5 * BLOCK {
            list.add(Ok::<_, ()>).unwrap();
        }
        assert!(std::ptr::eq(first, list.at(0)));
        assert!(list.iter().copied().eq(0..5 * BLOCK));
        list.add(Err::<usize, _>).unwrap_err();
        assert_eq!(list.count(), 5 * BLOCK, "what could not be made is not there");
    }

    #[test]
    fn many_may_add_at_the_same_time() {
        let list = Growing::default();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        list.add(Ok::<_, ()>).unwrap();
                    }
                });
            }
            while list.count() < 400 {
                let all: Vec<_> = list.iter().copied().collect();
                assert!(all.iter().copied().eq(0..all.len()));
            }
        });
        assert!(list.iter().copied().eq(0..400));
    }
}
