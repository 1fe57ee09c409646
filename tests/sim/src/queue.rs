use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::world::Event;

/// What is going to happen, the next first; of two at the same time the one that was noted first.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// When, the how manieth, and its slot. Events are large, and a heap moves what it holds about.
    heap: BinaryHeap<Reverse<(Duration, u64, usize)>>,
    slots: Vec<Option<Event>>,
    free: Vec<usize>,
    number: u64,
    now: Duration,
}

impl Queue {
    /// Notes what happens at a time, or now if that is over.
    pub(crate) fn push(&mut self, at: Duration, event: Event) {
        self.number += 1;
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot] = Some(event);
                slot
            }
            None => {
                self.slots.push(Some(event));
                self.slots.len() - 1
            }
        };
        self.heap.push(Reverse((at.max(self.now), self.number, slot)));
    }

    pub(crate) fn pop(&mut self) -> Option<(Duration, Event)> {
        let Reverse((at, _, slot)) = self.heap.pop()?;
        self.now = at;
        self.free.push(slot);
        self.slots[slot].take().map(|event| (at, event))
    }
}
