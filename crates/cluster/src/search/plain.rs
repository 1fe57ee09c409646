//! The short way of a plain read.

use millpond_core::{NodeView, Reason, Request, Seen, plan_for_all};

use super::{Leased, Search};
use crate::members::View;
use crate::shards::Shard;
use crate::{Backend, Mode, Purpose};

impl<'a, B: Backend> Search<'a, B> {
    /// A connection that is at hand for a read with which nothing is the matter: all replicas may serve it as it is, and nobody overrules that.
    /// Everything else is decided in full.
    #[inline(always)]
    pub(super) fn plain_lease(&mut self, view: &View<B::Position>, seed: u64) -> Option<Leased<'a, B>> {
        let (handle, shared) = (self.handle, self.handle.shared());
        let is_overruled = self.is_switched || shared.mode.get() != Mode::Route;
        let is_judged = self.text.is_none()
            || (shared.knowledge.definitions() == self.definitions && shared.knows_catalog(view));
        // Before what was written is looked at: what was out and is over was noted before.
        let is_overruled = is_overruled || handle.has_unseen_out();
        if is_overruled || self.shown.is_some() || !self.tried.is_empty() || !is_judged {
            return None;
        }
        let (seen, nothing) = (handle.seen(), Seen::default());
        let seen = seen.as_ref().map_or(&nothing, |seen| seen);
        let request = Request::new(self.access, handle.freshness(), seen, seed);
        let mut plan = plan_for_all(&request, view, self.now.into_std())?;
        let (shard, tick) = (Shard::own(), self.tick);
        let node = shared.node(view, plan.next(|id| shared.node(view, id).load(shard, tick))?);
        let lease = node.pool(Purpose::Read).at_hand(self.now)?;
        // One that crashed begins again further back: so what was said before this connection was opened says nothing.
        let is_told_since = |asked| asked >= lease.opened_at();
        let shows = |known: &NodeView<_>| seen.is_nothing() || known.observed.is_some_and(is_told_since);
        if !view.of(node).is_some_and(|known| shows(known) && self.leads_to(known, Purpose::Read, &lease)) {
            return None;
        }
        let reason = Reason::FreshReplica;
        (self.reason, self.shadow) = (Some(reason), None);
        tracing::trace!(target: "millpond", reason = reason.as_str(), "decided");
        let (purpose, epoch, is_for_unplaced) = (Purpose::Read, view.epoch, false);
        let (must_show, wait_until) = (None, None);
        let in_flight = node.begin(shard);
        Some(Leased { node, purpose, lease, epoch, must_show, wait_until, is_for_unplaced, in_flight })
    }
}
