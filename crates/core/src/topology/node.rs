//! What is kept of one node.

use std::time::{Duration, Instant};

use super::Observation;
use super::election::Refusal;
use super::servers::Servers;
use crate::{Health, Hysteresis, Membership, NodeId};

#[derive(Clone, Debug)]
pub(super) struct Node<P> {
    pub(super) id: NodeId,
    pub(super) membership: Membership,
    pub(super) is_near: bool,
    /// Whether its name stands for whichever server takes writes.
    pub(super) is_endpoint: bool,
    pub(super) health: Health,
    pub(super) latest: Option<(Instant, Observation<P>)>,
    /// How far it said that it has come since.
    pub(super) proven: Option<P>,
    /// How it was behind, if it was when it was last asked to prove something.
    pub(super) behind: Option<Behind<P>>,
    /// Probes in a row without an answer in time.
    pub(super) silences: u32,
    /// Whether it was seen following a primary of this cluster: only such a node may take over from a live one.
    pub(super) has_followed: bool,
    /// Why it gets no writes though it says that it takes some, as it was told last.
    pub(super) refusal_told: Option<Refusal>,
    /// How long its answers take, in seconds.
    pub(super) pace: Option<f64>,
    /// Whether that is long beside the others.
    pub(super) slow: Hysteresis,
    /// Whether it is too old for most.
    pub(super) lagging: Hysteresis,
    /// Since when it gets its share.
    pub(super) serves_since: Option<Instant>,
    /// Which servers were met behind its name.
    pub(super) servers: Servers,
}

/// A replica that was asked in vain.
#[derive(Clone, Debug)]
pub(super) struct Behind<P> {
    /// How far it had not come: the least of what was asked for in vain.
    pub(super) wanted: P,
    /// When it last said so.
    pub(super) since: Instant,
    /// How long it is not asked again.
    pub(super) pause: Duration,
}

impl<P> Node<P> {
    pub(super) const fn new(id: NodeId, membership: Membership) -> Self {
        let health = match membership {
            Membership::Member | Membership::Drained => Health::Unknown,
            // So that nobody waits for what it says.
            Membership::Gone => Health::Down,
        };
        Self {
            id,
            membership,
            is_near: false,
            is_endpoint: false,
            health,
            latest: None,
            proven: None,
            behind: None,
            silences: 0,
            has_followed: false,
            refusal_told: None,
            pace: None,
            slow: Hysteresis::NO,
            lagging: Hysteresis::NO,
            serves_since: None,
            servers: Servers::NONE,
        }
    }

    pub(super) const fn is_there(&self) -> bool {
        !matches!(self.membership, Membership::Gone)
    }
}
