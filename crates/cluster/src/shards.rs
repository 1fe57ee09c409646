//! What each thread writes by itself, so that no two cores take turns at one cache line.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::available_parallelism;

/// One value for each thread that a machine runs at a time.
#[derive(Debug)]
pub(crate) struct Shards<T> {
    /// A power of two.
    shards: Box<[Apart<T>]>,
}

/// On cache lines of its own; common processors fetch two at a time.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Apart<T>(T);

thread_local! {
    static NUMBER: usize = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed)
    };
}

impl<T: Default> Default for Shards<T> {
    fn default() -> Self {
        let threads = available_parallelism().map_or(1, usize::from).next_power_of_two().min(16);
        Self { shards: (0..threads).map(|_| Apart::default()).collect() }
    }
}

/// Which value is a thread's, of all such sets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shard(usize);

impl Shard {
    /// This thread's.
    pub(crate) fn own() -> Self {
        // A thread that is ending has no number any more; any will do.
        Self(NUMBER.try_with(|number| *number).unwrap_or_default())
    }
}

impl<T> Shards<T> {
    pub(crate) const fn len(&self) -> usize {
        self.shards.len()
    }

    pub(crate) fn at(&self, shard: Shard) -> &T {
        &self.shards[shard.0 & (self.shards.len() - 1)].0
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &T> {
        self.shards.iter().map(|shard| &shard.0)
    }
}
