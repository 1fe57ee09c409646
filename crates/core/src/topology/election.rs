//! Which node writes go to.

use std::fmt;

use super::node::Node;
use super::{Action, Age, Event, Observation, Topology};
use crate::{ClusterId, Health, NodeId, Position, Role, ServerId, Timeline};

/// Why a node that says it takes writes gets none, or one of another cluster gets nothing. `Display` says what to do about it, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// It belongs to another cluster.
    OtherCluster,
    /// A later timeline than its own was written to, or is followed by a replica.
    OlderTimeline {
        /// Its own, as far as it said.
        own: Option<Timeline>,
        /// The later one.
        highest: Timeline,
    },
    /// Its name leads to another server than before, that has less than the primary had.
    GoneBack,
    /// Another name decides who is written to.
    NotTheEndpoint,
    /// Not all nodes have answered or failed yet, and nobody was written to before.
    Undecided,
    /// It was not seen following this cluster, and no replica that was follows it: a restored copy looks the same.
    NeverFollowed,
    /// Another one says so with as much right.
    Rivals,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherCluster => {
                f.write_str("it belongs to another cluster: correct its address, or take it out; where all nodes are of a new one, as behind an \
                             upgrade, connect anew")
            }
            Self::OlderTimeline { own, highest } => {
                match own {
                    Some(own) => write!(f, "it is on timeline {own}")?,
                    None => f.write_str("its timeline is not known")?,
                }
                write!(
                    f,
                    ", and another was promoted to timeline {highest}: stop it, and have it follow that one (pg_rewind)"
                )
            }
            Self::GoneBack => f.write_str(
                "its name leads to another server than before, which has less than the primary had, as a restored copy does: lead it back, or take \
                 it out and add it again",
            ),
            Self::NotTheEndpoint => f.write_str(
                "another name decides who is written to (writer_endpoint), and does not lead here: behind a failover it will, else this is a copy",
            ),
            Self::Undecided => f.write_str("not all nodes have answered yet, or failed to"),
            Self::NeverFollowed => f.write_str(
                "it was not seen following this cluster, nor does a replica follow it, so that it may be a restored copy: if it is the right one, \
                 take out the last primary, or start this process anew",
            ),
            Self::Rivals => f.write_str(
                "another one says so with as much right: stop one of them, or take it out",
            ),
        }
    }
}

impl<P: Position> Topology<P> {
    /// Looks for the node to write to after something changed.
    pub(super) fn elect(&mut self) {
        if let Some(endpoint) = self.endpoint() {
            return self.elect_named(endpoint);
        }
        // The first choice is made over all nodes: whichever of two primaries answers first proves nothing.
        if !self.is_settled && self.nodes.iter().any(|node| node.health == Health::Unknown) {
            return;
        }
        let incumbent = self.writer.filter(|writer| self.is_writable(*writer));
        let claims: Vec<_> =
            self.nodes.iter().filter(|node| self.is_claim(node)).map(|node| node.id).collect();
        // A restored copy may be on any timeline: what may not be written to hides nothing that may.
        let may_be = |id: &NodeId| incumbent == Some(*id) || self.may_take_over(*id, incumbent);
        let rivals = match self.is_settled {
            true => self.highest_of(&claims.iter().copied().filter(may_be).collect::<Vec<_>>()),
            false => self.first_rivals(&claims),
        };
        let rivals = self.one_name_each(rivals, incumbent);
        match (rivals.as_slice(), incumbent) {
            ([], None) if !self.is_settled => self.tell_none(),
            ([], _) => self.look_for_demotion(),
            ([one], _) => self.adopt(*one),
            (_, Some(_)) => {}
            (_, None) => {
                if !std::mem::replace(&mut self.ambiguity_told, true) {
                    self.actions.push_back(Action::Tell(Event::AmbiguousPrimary));
                }
            }
        }
        if rivals.len() < 2 {
            self.ambiguity_told = false;
        }
        self.tell_refusals();
    }

    /// The node whose name decides, where there is one.
    pub(super) fn endpoint(&self) -> Option<NodeId> {
        self.nodes.iter().find(|node| node.is_endpoint).map(|node| node.id)
    }

    /// The name decides. What others say is told, and moves nothing.
    fn elect_named(&mut self, endpoint: NodeId) {
        if self.is_writable(endpoint) {
            self.adopt(endpoint);
        } else if self.is_settled {
            self.look_for_demotion();
        } else if self.nodes.iter().all(|node| node.health != Health::Unknown) {
            self.tell_none();
        }
        self.tell_refusals();
    }

    /// Nobody may be written to: whether that is since the one that was is a replica now.
    fn look_for_demotion(&mut self) {
        if let Some(writer) = self.writer.filter(|writer| self.is_replica(*writer)) {
            self.writer = None;
            self.tell_lost(writer);
        }
    }

    /// Nobody takes writes, and nobody did before: once, until somebody does.
    fn tell_none(&mut self) {
        if !std::mem::replace(&mut self.is_lost, true) {
            self.actions.push_back(Action::Tell(Event::NoPrimary));
        }
    }

    /// Nobody takes writes: once, until somebody does.
    pub(super) fn tell_lost(&mut self, writer: NodeId) {
        if !std::mem::replace(&mut self.is_lost, true) {
            self.actions.push_back(Action::Tell(Event::PrimaryLost(writer)));
        }
    }

    /// One server may be listed under several names; then it is no rival of itself.
    fn one_name_each(&self, mut claims: Vec<NodeId>, incumbent: Option<NodeId>) -> Vec<NodeId> {
        claims.sort_by_key(|id| (incumbent != Some(*id), *id));
        let mut servers = Vec::new();
        claims.retain(|id| {
            let server = self.server_of(*id);
            let is_known = server.is_some() && servers.contains(&server);
            servers.push(server);
            !is_known
        });
        claims
    }

    /// Whether two names are one server's, or one name.
    fn is_one_server(&self, one: NodeId, other: NodeId) -> bool {
        one == other || self.server_of(one).is_some_and(|server| self.server_of(other) == Some(server))
    }

    pub(super) fn server_of(&self, id: NodeId) -> Option<ServerId> {
        self.nodes.get(id.index())?.latest.as_ref().and_then(|(_, seen)| seen.server)
    }

    fn highest_of(&self, claims: &[NodeId]) -> Vec<NodeId> {
        let highest = claims.iter().filter_map(|id| self.timeline_of(*id)).max();
        claims.iter().copied().filter(|id| self.timeline_of(*id) == highest).collect()
    }

    /// Those among which the first choice is. It is of the cluster that most nodes are of, and on the highest timeline there; but where replicas
    /// follow a lower one and none follows that, it may be that of a restored copy, and nothing tells.
    fn first_rivals(&self, claims: &[NodeId]) -> Vec<NodeId> {
        let cluster_of = |id: NodeId| {
            let latest = self.nodes.get(id.index()).and_then(|node| node.latest.as_ref());
            latest.and_then(|(_, seen)| seen.cluster)
        };
        let is_like = |id: NodeId, node: &Node<P>| {
            node.health == Health::Up && node.latest.is_some() && cluster_of(node.id) == cluster_of(id)
        };
        let size = |id: NodeId| self.nodes.iter().filter(|node| is_like(id, node)).count();
        let most = claims.iter().map(|id| size(*id)).max();
        let mut claims: Vec<_> = claims.iter().copied().filter(|id| Some(size(*id)) == most).collect();
        let Some(cluster) = claims.first().map(|id| cluster_of(*id)) else { return claims };
        if claims.iter().any(|id| cluster_of(*id) != cluster) {
            return claims;
        }
        let followed = self.followed_in(cluster);
        claims.retain(|id| self.timeline_of(*id).flatten() >= followed);
        let highest = self.highest_of(&claims);
        let is_doubtful =
            !highest.iter().any(|id| self.is_followed(*id)) && claims.iter().any(|id| self.is_followed(*id));
        if is_doubtful { claims } else { highest }
    }

    /// Before a primary named the cluster: that which most nodes are of, once all have answered or failed to.
    pub(super) fn first_cluster(&self) -> Option<ClusterId> {
        if self.cluster.is_some() || self.nodes.iter().any(|node| node.health == Health::Unknown) {
            return None;
        }
        let named = || {
            let up = self.nodes.iter().filter(|node| node.health == Health::Up);
            up.filter_map(|node| node.latest.as_ref().and_then(|(_, seen)| seen.cluster))
        };
        let size = |cluster: ClusterId| named().filter(|named| *named == cluster).count();
        let largest = named().max_by_key(|cluster| size(*cluster))?;
        let is_alone = named().all(|other| other == largest || size(other) < size(largest));
        is_alone.then_some(largest)
    }

    /// The highest timeline that a replica of a cluster is on.
    fn followed_in(&self, cluster: Option<ClusterId>) -> Option<Timeline> {
        let latest = self.nodes.iter().filter_map(|node| node.latest.as_ref().map(|(_, seen)| seen));
        let replicas = latest.filter(|seen| seen.role == Role::Replica && seen.cluster == cluster);
        replicas.filter_map(|seen| seen.timeline).max()
    }

    fn adopt(&mut self, id: NodeId) {
        let Some((asked, observation)) = self.nodes[id.index()].latest.clone() else { return };
        let is_same = self.writer == Some(id) && observation.timeline == self.timeline;
        let servers = self.writer_server.zip(observation.server);
        let has_moved = servers.is_some_and(|(before, now)| !before.is_of(now));
        if is_same && !has_moved {
            // It may have been started anew.
            self.writer_server = observation.server.or(self.writer_server);
            if std::mem::take(&mut self.is_lost) {
                self.actions.push_back(Action::Tell(Event::PrimaryChanged(id, self.epoch)));
            }
            return;
        }
        // By the same name too: what is pooled is of before.
        if let Some(before) = self.writer {
            self.actions.push_back(Action::Evict(before));
        }
        self.writer = Some(id);
        self.is_lost = false;
        self.writer_server = observation.server;
        self.is_settled = true;
        self.epoch = self.epoch.next();
        self.cluster = self.cluster.or(observation.cluster);
        self.tell_discarded(id, &observation);
        self.timeline = observation.timeline;
        let followed = self.followed_in(observation.cluster).filter(|_| self.endpoint().is_none());
        self.highest = self.highest.max(observation.timeline).max(followed);
        self.history.clear();
        if let Some(position) = observation.position {
            self.history.record(asked, position);
        }
        self.marks.clear();
        if let Age::ByMark(mark) = observation.age {
            self.marks.record(asked, mark);
        }
        self.actions.push_back(Action::Tell(Event::PrimaryChanged(id, self.epoch)));
        self.tell_foreigners();
    }

    /// The last primary was seen further than where this one goes on: what lies between is discarded.
    fn tell_discarded(&mut self, id: NodeId, observation: &Observation<P>) {
        let is_promotion = observation.timeline > self.timeline && self.timeline.is_some();
        let end = self.history.latest().map(|(_, end)| end).filter(|_| is_promotion);
        let distance = end.zip(observation.position.as_ref()).map(|(end, begins)| end.distance(begins));
        if let Some(distance) = distance.filter(|distance| *distance > 0) {
            self.actions.push_back(Action::Tell(Event::Discarded(id, distance)));
        }
    }

    /// Once the cluster is known: who of those that answered before does not belong to it.
    fn tell_foreigners(&mut self) {
        for node in &mut self.nodes {
            let told = node.latest.as_ref().and_then(|(_, seen)| seen.cluster);
            if let Some(foreign) = told.filter(|id| self.cluster.is_some_and(|cluster| cluster != *id)) {
                node.has_followed = false;
                self.actions.push_back(Action::Tell(Event::OtherCluster(node.id, foreign)));
            }
        }
    }

    /// Whether a node that says it takes writes is the one to write to.
    ///
    /// The one that was before is. Another must have been seen following this
    /// cluster: a restored copy has the same identifier and a higher timeline too. A replica that follows the new one is
    /// evidence as well; but on the timeline of the last one that is who followed that, and none of a copy.
    fn may_take_over(&self, id: NodeId, incumbent: Option<NodeId>) -> bool {
        let known = self.writer == Some(id) || self.is_last_writer(id) || self.has_followed(id);
        let last = incumbent.map_or(Some(self.timeline), |incumbent| self.timeline_of(incumbent));
        let is_later = self.timeline_of(id) > last;
        known || (is_later && self.is_followed(id))
    }

    /// Whether it is the one that was written to last, by its other name; where it was started anew since, with all that it had: a copy that was
    /// restored in its place has less.
    fn is_last_writer(&self, id: NodeId) -> bool {
        let latest = self.nodes.get(id.index()).and_then(|node| node.latest.as_ref());
        let (Some(before), Some((_, seen))) = (self.writer_server, latest) else { return false };
        let has_all = || {
            let end = self.history.latest().zip(seen.position.as_ref());
            seen.timeline == self.timeline && end.is_some_and(|((_, end), at)| at.covers(end))
        };
        seen.server.is_some_and(|now| now == before || (now.is_of(before) && has_all()))
    }

    fn is_followed(&self, id: NodeId) -> bool {
        let timeline = self.timeline_of(id);
        let follows = |node: &Node<P>| {
            node.health == Health::Up
                && node.has_followed
                && self.is_replica(node.id)
                && self.timeline_of(node.id) == timeline
        };
        self.nodes.iter().any(follows)
    }

    /// Tells of those that are not written to, though they say that they take writes: each once for each reason.
    fn tell_refusals(&mut self) {
        for index in 0..self.nodes.len() {
            let id = self.nodes[index].id;
            let Some(why) = self.refusal(id) else {
                // One that does not answer has not changed its mind.
                if self.nodes[index].health == Health::Up {
                    if let Some(told) = self.nodes[index].refusal_told.take() {
                        self.actions.push_back(Action::Tell(Event::NotRefused(id, told)));
                    }
                }
                continue;
            };
            // They are no news, or have an event for both.
            let is_told_otherwise =
                why == Refusal::Undecided || (why == Refusal::Rivals && self.ambiguity_told);
            if is_told_otherwise || self.nodes[index].refusal_told == Some(why) {
                continue;
            }
            let told = self.nodes[index].refusal_told.replace(why);
            // They have events of their own.
            if let Some(told) = told.filter(|told| is_of_others(*told) != is_of_others(why)) {
                self.actions.push_back(Action::Tell(Event::NotRefused(id, told)));
            }
            if self.writer == Some(id) {
                self.tell_lost(id);
            }
            // That one has an event of its own.
            if why != Refusal::OtherCluster {
                self.actions.push_back(Action::Tell(Event::SecondPrimary(id, why)));
            }
        }
    }

    /// Why a node that says it takes writes gets none, and one of another cluster nothing; nothing for others, and for the one that gets
    /// writes.
    #[must_use]
    pub fn refusal(&self, id: NodeId) -> Option<Refusal> {
        let node = self.nodes.get(id.index()).filter(|node| node.is_there() && node.health == Health::Up)?;
        let (_, seen) = node.latest.as_ref()?;
        if seen.role == Role::Replica {
            return (!self.is_same_cluster(Some(seen))).then_some(Refusal::OtherCluster);
        }
        let incumbent = self.writer.filter(|writer| self.is_writable(*writer));
        if incumbent.is_some_and(|writer| self.is_one_server(writer, id)) {
            return None;
        }
        if !self.is_same_cluster(Some(seen)) {
            return Some(Refusal::OtherCluster);
        }
        let followed = || self.followed_in(seen.cluster).filter(|_| !self.is_settled);
        if let Some(highest) = self.highest.max(followed()).filter(|highest| seen.timeline < Some(*highest)) {
            return Some(Refusal::OlderTimeline { own: seen.timeline, highest });
        }
        if self.has_gone_back(id, seen) {
            return Some(Refusal::GoneBack);
        }
        if self.endpoint().is_some_and(|endpoint| endpoint != id) {
            return Some(Refusal::NotTheEndpoint);
        }
        if !self.is_settled && self.nodes.iter().any(|node| node.health == Health::Unknown) {
            return Some(Refusal::Undecided);
        }
        let is_known = !self.is_settled || self.may_take_over(id, incumbent);
        Some(if is_known { Refusal::Rivals } else { Refusal::NeverFollowed })
    }

    /// Whether the node says that it takes writes, and may.
    fn is_claim(&self, node: &Node<P>) -> bool {
        node.health == Health::Up
            && node.latest.as_ref().is_some_and(|(_, seen)| {
                seen.role == Role::Primary
                    && self.is_same_cluster(Some(seen))
                    && seen.timeline >= self.highest
                    && !self.has_gone_back(node.id, seen)
            })
    }

    /// Whether the primary's own name leads elsewhere now, to less than the primary had on the same timeline: a restored copy is so, and a server
    /// that has moved with its data is not.
    pub(super) fn has_gone_back(&self, id: NodeId, seen: &Observation<P>) -> bool {
        let is_elsewhere =
            self.writer_server.zip(seen.server).is_some_and(|(before, now)| !before.is_of(now));
        self.writer == Some(id)
            && is_elsewhere
            && self.endpoint().is_none()
            && seen.timeline == self.timeline
            && self.history.latest().zip(seen.position.as_ref()).is_some_and(|((_, end), at)| !at.covers(end))
    }

    pub(super) fn is_writable(&self, id: NodeId) -> bool {
        self.nodes.get(id.index()).is_some_and(|node| self.is_claim(node))
    }

    fn is_replica(&self, id: NodeId) -> bool {
        let latest = self.nodes.get(id.index()).and_then(|node| node.latest.as_ref());
        latest.is_some_and(|(_, seen)| seen.role == Role::Replica)
    }

    fn has_followed(&self, id: NodeId) -> bool {
        self.nodes.get(id.index()).is_some_and(|node| node.has_followed)
    }

    fn timeline_of(&self, id: NodeId) -> Option<Option<Timeline>> {
        self.nodes.get(id.index())?.latest.as_ref().map(|(_, seen)| seen.timeline)
    }

    fn is_same_cluster(&self, observation: Option<&Observation<P>>) -> bool {
        let named = observation.and_then(|seen| seen.cluster);
        named.zip(self.cluster).is_none_or(|(named, cluster)| named == cluster)
    }
}

fn is_of_others(refusal: Refusal) -> bool {
    refusal == Refusal::OtherCluster
}
