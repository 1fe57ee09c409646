//! How a node that answers is not well: slow beside the others, or too old.
//!
//! What is entered at one threshold is left at a lower one, and both only after some looks in a row, so that a node which is near a threshold
//! does not go to and fro.

use std::time::{Duration, Instant};

use super::node::Node;
use super::{Action, Age, Event, Topology};
use crate::{Health, Look, NodeId, Position, Role};

/// A node is slow from so many times the time on that the others take to answer.
const SLOW_FROM: f64 = 5.0;

/// It is so no longer below so many times that.
const SLOW_TO: f64 = 2.0;

/// Nor is it while it takes no longer than this beyond the others: servers that answer in no time differ by any factor.
const SLOW_BY: f64 = 0.02;

/// The part that one answer has in the average.
const SHARE_OF_LATEST: f64 = 0.3;

/// A replica lags no longer at this part of the age from which on it does.
const CAUGHT_UP_AT: f64 = 0.75;

impl<P> Node<P> {
    /// Takes in how long an answer took.
    pub(super) fn took(&mut self, took: Duration) {
        let took = took.as_secs_f64();
        self.pace = Some(self.pace.map_or(took, |pace| pace + SHARE_OF_LATEST * (took - pace)));
    }
}

impl<P: Position> Topology<P> {
    /// Looks at how a node that has answered stands beside the others.
    pub(super) fn look_at_condition(&mut self, id: NodeId, now: Instant) {
        let (slowness, age) = (self.slowness(id), self.age(id, now));
        let Some(node) = self.node_mut(id) else { return };
        let (slow, lagging) = (node.slow.take(slowness, now), node.lagging.take(age, now));
        if slow == Some(false) {
            node.serves_since = Some(now);
        }
        let told = [slow.map(|is_so| Event::Slow(id, is_so)), lagging.map(|is_so| Event::Lagging(id, is_so))];
        self.actions.extend(told.into_iter().flatten().map(Action::Tell));
    }

    /// Beside the middle one of all others that answer. Alone, nobody is slow.
    fn slowness(&self, id: NodeId) -> Look {
        let others = self.nodes.iter().filter(|node| node.id != id && node.health == Health::Up);
        let mut paces: Vec<_> = others.filter_map(|node| node.pace).collect();
        paces.sort_unstable_by(f64::total_cmp);
        let middle = paces.get(paces.len().saturating_sub(1) / 2);
        let Some((middle, pace)) = middle.zip(self.nodes[id.index()].pace) else { return Look::Good };
        let is_beyond = |factor: f64, by: f64| pace > middle * factor && pace > middle + by;
        Look::of(is_beyond(SLOW_FROM, SLOW_BY), !is_beyond(SLOW_TO, SLOW_BY / 2.0))
    }

    /// Without a primary nobody can be behind it.
    fn age(&self, id: NodeId, now: Instant) -> Look {
        let node = &self.nodes[id.index()];
        let is_replica = node.latest.as_ref().is_some_and(|(_, seen)| seen.role == Role::Replica);
        if !is_replica || !self.writer.is_some_and(|writer| self.is_writable(writer)) {
            return if is_replica { Look::Between } else { Look::Good };
        }
        // What is old since nobody asked the primary for long says nothing of the replica.
        let is_long_ago =
            |at: Instant| now.saturating_duration_since(at) > self.max_lag.mul_f64(CAUGHT_UP_AT);
        let writer = self.writer.and_then(|writer| self.nodes[writer.index()].latest.as_ref());
        // Nor does a mark that was there before the first look: nobody knows since when.
        let by_mark = node.latest.as_ref().is_some_and(|(_, seen)| matches!(seen.age, Age::ByMark(_)));
        let is_new = by_mark && self.marks.oldest().is_some_and(|at| !is_long_ago(at));
        if is_new || writer.is_some_and(|(asked, _)| is_long_ago(*asked)) {
            return Look::Between;
        }
        let age = self.as_of(node).map(|as_of| now.saturating_duration_since(as_of));
        let is_within = |limit: Duration| age.is_some_and(|age| age <= limit);
        Look::of(!is_within(self.max_lag), is_within(self.max_lag.mul_f64(CAUGHT_UP_AT)))
    }
}
