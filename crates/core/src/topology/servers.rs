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
}

impl Servers {
    pub(super) const NONE: Self = Self { former: VecDeque::new(), elsewhere: None, several_at: None };

    const MOST: usize = 8;
}

impl<P> Node<P> {
    /// Whether connections to it lead to several servers.
    pub(super) const fn hides_many(&self) -> bool {
        self.servers.several_at.is_some()
    }

    /// It was answered by this server. Says whether that is another than before, or what is pooled may lead to another.
    pub(super) fn is_answered_by(
        &mut self,
        server: Option<ServerId>,
        asked: Instant,
        actions: &mut VecDeque<Action>,
    ) -> bool {
        let before = self.latest.as_ref().and_then(|(_, seen)| seen.server);
        let Some(server) = server else { return false };
        let is_other = before.is_some_and(|before| before != server);
        let servers = &mut self.servers;
        let elsewhere = servers.elsewhere.take_if(|(at, _)| *at <= asked);
        // It has moved and is where it was again, or the connection behind it did not lead to where another one had led.
        let is_several =
            servers.former.contains(&server) || elsewhere.is_some_and(|(_, other)| other != server);
        if is_other {
            // Evidence of a copy that was restored elsewhere, not of one that followed.
            self.has_followed &= before.is_some_and(|before| before.is_where(server));
            servers.former.extend(before);
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
        // Behind one that was several, each connection has to be looked at anew.
        is_other || (was_several && servers.several_at.is_none())
    }
}

impl<P: Position> Topology<P> {
    /// A connection led elsewhere.
    pub(super) fn elsewhere(&mut self, id: NodeId, server: ServerId, at: Instant) {
        let Some(node) = self.node_mut(id) else { return };
        let asked_last = node.latest.as_ref().and_then(|(_, seen)| seen.server);
        if asked_last == Some(server) {
            return;
        }
        if let Some(several_at) = &mut node.servers.several_at {
            *several_at = at;
        }
        node.servers.elsewhere = Some((at, server));
    }
}
