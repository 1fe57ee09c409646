//! Whoever waits for a change in the cluster, as every statement in flight does.
//!
//! A channel would do, but each statement would write to what all threads share, several times. Here each thread has a list of its own.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use crate::shards::{Shard, Shards};

/// The wakers of those that wait.
#[derive(Debug, Default)]
pub(crate) struct Watchers {
    lists: Shards<Mutex<List>>,
}

#[derive(Debug, Default)]
struct List {
    wakers: Vec<Option<Waker>>,
    free: Vec<usize>,
}

/// Where one is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    shard: Shard,
    index: usize,
}

fn lock(list: &Mutex<List>) -> MutexGuard<'_, List> {
    list.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watchers {
    /// Keeps a waker until it is removed.
    pub(crate) fn add(&self, waker: &Waker) -> Place {
        let shard = Shard::own();
        // A clone and a drop may run anything, so neither is made under the lock.
        let waker = Some(waker.clone());
        let mut list = lock(self.lists.at(shard));
        let index = match list.free.pop() {
            Some(index) => {
                list.wakers[index] = waker;
                index
            }
            None => {
                list.wakers.push(waker);
                list.wakers.len() - 1
            }
        };
        Place { shard, index }
    }

    /// Whether the waker in that place wakes the same one.
    pub(crate) fn will_wake(&self, place: Place, waker: &Waker) -> bool {
        let list = lock(self.lists.at(place.shard));
        list.wakers.get(place.index).and_then(Option::as_ref).is_some_and(|kept| kept.will_wake(waker))
    }

    pub(crate) fn remove(&self, place: Place) {
        let mut list = lock(self.lists.at(place.shard));
        let waker = list.wakers.get_mut(place.index).and_then(Option::take);
        list.free.push(place.index);
        drop(list);
        drop(waker);
    }

    pub(crate) fn wake_all(&self) {
        for list in self.lists.all() {
            let wakers: Vec<_> = lock(list).wakers.iter().flatten().cloned().collect();
            wakers.into_iter().for_each(Waker::wake);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn who_waits_is_woken_and_who_left_is_not() {
        let watchers = Watchers::default();
        let counts: [Arc<Count>; 3] = Default::default();
        let wakers = counts.each_ref().map(|count| Waker::from(Arc::clone(count)));
        let places = [watchers.add(&wakers[0]), watchers.add(&wakers[1])];
        assert!(watchers.will_wake(places[0], &wakers[0]) && !watchers.will_wake(places[0], &wakers[1]));
        watchers.remove(places[0]);
        assert!(!watchers.will_wake(places[0], &wakers[0]));
        watchers.wake_all();
        assert_eq!(counts.each_ref().map(|count| count.0.load(Ordering::SeqCst)), [0, 1, 0]);
        // A place is used again, and its waker is the new one's.
        let place = watchers.add(&wakers[2]);
        assert_eq!(place.index, places[0].index);
        watchers.wake_all();
        assert_eq!(counts.each_ref().map(|count| count.0.load(Ordering::SeqCst)), [0, 2, 1]);
        watchers.remove(place);
        watchers.remove(places[1]);
        assert!(wakers.iter().zip(&counts).all(|(_, count)| Arc::strong_count(count) == 2));
    }
}
