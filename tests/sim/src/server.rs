//! One server, as it really is.

use std::time::Duration;

use millpond_core::{Role, ServerId};

use crate::logs::{BranchId, Logs, Spot};
use crate::world::Event;

#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) power: Power,
    pub(crate) role: Role,
    pub(crate) branch: BranchId,
    /// Counts its starts: a connection belongs to one.
    pub(crate) start: u32,
    /// When it stopped last.
    pub(crate) stopped_at: Duration,
    /// When it was started last.
    pub(crate) started_at: Duration,
    /// Whether it shows a spare's data, or nobody is there.
    pub(crate) is_spare: bool,
    pub(crate) replication: Replication,
    /// What came while it was frozen.
    pub(crate) held: Vec<Event>,
    /// How far back a crash threw it.
    pub(crate) setback: Duration,
}

/// One run of a server: what a connection belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) server: usize,
    pub(crate) start: u32,
}

impl Run {
    /// Who it says it is.
    pub(crate) const fn id(self) -> ServerId {
        let place = self.server as u64;
        ServerId::new(Some(place), place << 32 | self.start as u64)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Power {
    Down,
    Up,
    Frozen,
}

/// How a replica gets what the primary writes. What it has is worked out when it is asked for, from how the log grew.
#[derive(Debug)]
pub(crate) struct Replication {
    /// How far it had received when something changed last.
    received: u64,
    /// How far it had shown then.
    replayed: u64,
    pub(crate) is_connected: bool,
    pub(crate) is_paused: bool,
    /// From the primary to it.
    pub(crate) transfer: Duration,
    /// From having it to showing it.
    pub(crate) replay: Duration,
}

impl Replication {
    pub(crate) const fn new(place: u64, transfer: Duration, replay: Duration) -> Self {
        Self { received: place, replayed: place, is_connected: true, is_paused: false, transfer, replay }
    }
}

impl Server {
    pub(crate) fn is_up(&self) -> bool {
        self.power == Power::Up
    }

    /// How far it has received; what it has written, as a primary.
    pub(crate) fn received(&self, logs: &Logs, now: Duration) -> u64 {
        let replication = &self.replication;
        match self.role {
            Role::Primary => logs.end(self.branch),
            Role::Replica if replication.is_connected => {
                let sent = now.saturating_sub(replication.transfer);
                replication.received.max(logs.written_as_of(self.branch, sent))
            }
            Role::Replica => replication.received,
        }
    }

    /// How far it shows.
    pub(crate) fn shown(&self, logs: &Logs, now: Duration) -> u64 {
        let replication = &self.replication;
        match self.role {
            Role::Primary => logs.shown(self.branch),
            Role::Replica if replication.is_paused || self.power == Power::Down => replication.replayed,
            Role::Replica => {
                let sent = now.saturating_sub(replication.transfer + replication.replay);
                let replayed = logs.written_as_of(self.branch, sent).min(self.received(logs, now));
                replication.replayed.max(replayed)
            }
        }
    }

    /// Notes how far it is, before something about its replication changes.
    pub(crate) fn settle(&mut self, logs: &Logs, now: Duration) {
        let (received, shown) = (self.received(logs, now), self.shown(logs, now));
        self.replication.received = received;
        self.replication.replayed = if self.role == Role::Primary { received } else { shown };
    }

    /// Goes on from a spot, and from nowhere else.
    pub(crate) const fn begin_at(&mut self, spot: Spot) {
        self.branch = spot.branch;
        self.replication.received = spot.place;
        self.replication.replayed = spot.place;
    }

    /// Has received so much, too.
    pub(crate) fn receive(&mut self, place: u64) {
        self.replication.received = self.replication.received.max(place);
    }

    /// Shows only so much; the rest is received.
    pub(crate) fn fall_back_to(&mut self, place: u64) {
        self.replication.replayed = self.replication.replayed.min(place);
    }

    /// What it has, whether it shows it or not.
    pub(crate) fn durable(&self, logs: &Logs, now: Duration) -> Spot {
        Spot { branch: self.branch, place: self.received(logs, now) }
    }
}
