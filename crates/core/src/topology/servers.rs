//! Names that stand for more than one server: one that moves, or several at a time.
//!
//! A pooled connection counts as one to the server that the monitor asks, and is held against that when it is opened. Where they differ the name
//! may have moved, or there are several behind it: the monitor's next connection tells.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::node::Node;
use super::{Action, Event, Topology};
use crate::{NodeId, Position, ServerId};

/// How long no connection may have led elsewhere until a name stands for one server again.
const CALM: Duration = Duration::from_secs(60);

/// What was met behind one name.
#[derive(Clone, Debug)]
pub(super) struct Servers {
    /// Those that it answered from before, the last ones.
    former: VecDeque<ServerId>,
    /// Where another connection led, until the next answer.
    elsewhere: Option<(Instant, ServerId)>,
    /// When connections last led to several.
    several_at: Option<Instant>,
    /// Since when it answers from the one it does.
    since: Option<Instant>,
}

/// Which of the pooled connections may lead to another server than the one that answers now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outdated {
    Nothing,
    /// Those for writes. What reads behind a name of many servers may be any of them.
    Writes,
    All,
}

impl Servers {
    pub(super) const NONE: Self =
        Self { former: VecDeque::new(), elsewhere: None, several_at: None, since: None };

    const MOST: usize = 8;
}

impl<P> Node<P> {
    /// Whether connections to it lead to several servers.
    pub(super) const fn hides_many(&self) -> bool {
        self.servers.several_at.is_some()
    }

    /// It was answered by this server. Says what is outdated by that.
    pub(super) fn is_answered_by(
        &mut self,
        server: Option<ServerId>,
        asked: Instant,
        actions: &mut VecDeque<Action>,
    ) -> Outdated {
        let before = self.latest.as_ref().and_then(|(_, seen)| seen.server);
        let Some(server) = server else { return Outdated::Nothing };
        let is_other = before.is_some_and(|before| before != server);
        let servers = &mut self.servers;
        let elsewhere = servers.elsewhere.take_if(|(at, _)| *at <= asked);
        // It has moved and is where it was again, or the connection behind it did not lead to where another one had led.
        let is_back = is_other && servers.former.contains(&server);
        let is_several = is_back || elsewhere.is_some_and(|(_, other)| other != server);
        if is_other {
            // Evidence of a copy that was restored elsewhere, not of one that followed.
            self.has_followed &= before.is_some_and(|before| before.is_of(server));
            servers.former.extend(before);
            servers.since = Some(asked);
            if servers.former.len() > Servers::MOST {
                servers.former.pop_front();
            }
        }
        let was_several = servers.several_at.is_some();
        let is_calm = servers.several_at.is_some_and(|last| asked.saturating_duration_since(last) > CALM);
        if is_several {
            servers.several_at = Some(asked);
        } else if is_calm {
            servers.several_at = None;
            servers.former.clear();
        }
        if was_several != servers.several_at.is_some() {
            actions.push_back(Action::Tell(Event::ManyServers(self.id, !was_several)));
        }
        match (was_several, servers.several_at.is_some()) {
            // Each connection has to be looked at anew.
            (true, false) => Outdated::All,
            (false, _) if is_other => Outdated::All,
            (true, true) if is_other => Outdated::Writes,
            _ => Outdated::Nothing,
        }
    }
}

impl<P: Position> Topology<P> {
    /// A name moved to this server. If that answers by another name too, that one may have moved as well: the connection by which it is asked
    /// stays with the server, and would not tell.
    pub(super) fn ask_namesakes_anew(&mut self, moved: NodeId, server: ServerId) {
        let others = self.nodes.iter().filter(|node| node.is_there() && node.id != moved).map(|node| node.id);
        let namesakes: Vec<_> = others.filter(|other| self.server_of(*other) == Some(server)).collect();
        self.actions.extend(namesakes.into_iter().map(Action::AskAnew));
    }

    /// A connection led elsewhere.
    pub(super) fn elsewhere(&mut self, id: NodeId, server: ServerId, at: Instant) {
        let Some(node) = self.node_mut(id) else { return };
        let asked_last = node.latest.as_ref().and_then(|(_, seen)| seen.server);
        // One that was under way when the name moved may lead to where it stood before.
        if asked_last == Some(server) || node.servers.since.is_some_and(|since| at < since) {
            return;
        }
        if let Some(several_at) = &mut node.servers.several_at {
            *several_at = at.max(*several_at);
        }
        node.servers.elsewhere = Some((at, server));
    }
}
