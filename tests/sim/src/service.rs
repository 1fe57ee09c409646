//! What a server does with a statement.

use std::time::Duration;

use millpond_core::Role;

use crate::call::{Ask, Message, Purpose, Said};
use crate::checker::Invariant;
use crate::logs::{Owner, Spot};
use crate::place::Place;
use crate::server::Power;
use crate::settings::{Lie, Profile};
use crate::world::{Event, World};

/// How often a server that waits for its replicas looks.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

impl World {
    pub(crate) fn arrives(&mut self, message: Message) {
        if self.is_cut(message.process, message.node) {
            return self.swallowed(&message);
        }
        let server = &mut self.servers[message.run.server];
        if server.start != message.run.start || server.power == Power::Down {
            return self.answer(message, Said::Lost, Duration::ZERO);
        }
        if server.power == Power::Frozen {
            server.held.push(Event::Arrives(message));
            return self.swallowed(&message);
        }
        let work = Duration::from_micros(self.random.u64(50..1500));
        match message.ask {
            Ask::Write => self.write(message, work),
            Ask::Read(_) => {
                let said = self.read(&message);
                self.answer(message, said, work);
            }
        }
    }

    fn read(&self, message: &Message) -> Said {
        let server = &self.servers[message.run.server];
        let place = server.shown(&self.logs, self.now);
        let proof = match (message.must_show, server.role) {
            (None, _) => None,
            (Some(_), Role::Primary) => return Said::Behind,
            (Some(wanted), Role::Replica) if Place(place) < wanted && !self.is_told(Lie::IgnoresProofs) => {
                return Said::Behind;
            }
            (Some(wanted), Role::Replica) => Some(wanted.max(Place(place))),
        };
        Said::Read(Spot { branch: server.branch, place }, proof)
    }

    fn write(&mut self, message: Message, work: Duration) {
        let server = &self.servers[message.run.server];
        let (role, branch) = (server.role, server.branch);
        let (owner, timeline) = (self.logs.owner(branch), self.logs.timeline(branch));
        if message.purpose == Purpose::Read {
            let what =
                format!("a write of client {} came to {} as a read", message.client, message.run.server);
            self.violated(Invariant::WriteOnReplica, what);
        }
        if role == Role::Replica {
            self.checker.count("writes that came to a server that was primary before");
            return self.answer(message, Said::ReadOnly, work);
        }
        if owner != Owner::Cluster {
            let what = format!(
                "a write of client {} ran on server {}, a {owner:?}",
                message.client, message.run.server
            );
            self.violated(Invariant::Elsewhere, what);
        } else if timeline < message.highest {
            let what = format!(
                "a write of client {} was sent to server {} on timeline {timeline} when process {} knew {}",
                message.client, message.run.server, message.process, message.highest
            );
            self.violated(Invariant::LowerTimeline, what);
        }
        let bytes = self.random.u64(40..900);
        let place = self.logs.append(branch, bytes, self.now);
        let spot = Spot { branch, place };
        let waits = self.settings.profile == Profile::Synchronous && owner == Owner::Cluster;
        if waits && !self.is_told(Lie::AcknowledgesEarly) {
            let nearest =
                self.followers(message.run.server).map(|node| self.servers[node].replication.transfer).min();
            let there_and_back = 2 * nearest.unwrap_or(LOOK_AGAIN);
            self.after(there_and_back, Event::Replicated(message, spot));
        } else {
            self.logs.show(spot, self.now);
            self.answer(message, Said::Written(spot, Place(place)), work);
        }
    }

    /// The replicas that hear of what a primary writes.
    fn followers(&self, primary: usize) -> impl Iterator<Item = usize> {
        let branch = self.servers[primary].branch;
        (0..self.servers.len()).filter(move |node| {
            let server = &self.servers[*node];
            server.is_up()
                && server.role == Role::Replica
                && server.branch == branch
                && server.replication.is_connected
        })
    }

    pub(crate) fn replicated(&mut self, message: Message, spot: Spot) {
        let server = &mut self.servers[message.run.server];
        if server.start != message.run.start || server.power == Power::Down {
            return self.answer(message, Said::Lost, Duration::ZERO);
        }
        if server.power == Power::Frozen {
            server.held.push(Event::Replicated(message, spot));
            return self.swallowed(&message);
        }
        let has_it = |node: usize| self.servers[node].received(&self.logs, self.now) >= spot.place;
        if self.followers(message.run.server).any(has_it) {
            self.logs.show(spot, self.now);
            let behind = Place(self.logs.end(spot.branch));
            self.answer(message, Said::Written(spot, behind), Duration::ZERO);
        } else if self.now < message.ends {
            self.after(LOOK_AGAIN, Event::Replicated(message, spot));
        } else {
            self.swallowed(&message);
        }
    }

    fn answer(&mut self, message: Message, said: Said, work: Duration) {
        let left = self.now + work;
        let at = left + self.delay();
        self.queue.push(at, Event::Answered(message, said, left));
    }

    /// Nothing comes back: the call ends with its time, if with nothing else.
    pub(crate) fn swallowed(&mut self, message: &Message) {
        let over = Event::Over { client: message.client, round: message.round };
        self.queue.push(message.ends.max(self.now), over);
    }
}
