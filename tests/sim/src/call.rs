//! A statement on its way.

use std::rc::Rc;
use std::time::Duration;

use millpond_core::{Access, Epoch, Freshness, NodeId, NodeSet, Plan, Seen, Snapshot};

use crate::logs::{BranchId, Spot};
use crate::owed::Owed;
use crate::place::Place;
use crate::process::Connection;
use crate::server::Run;

/// What a client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// By its session.
    Write,
    Read(Reader),
}

/// Through what it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reader {
    /// The process's own handle.
    Plain,
    Session,
    /// A session that was given a token from another process.
    Token,
    Any,
    Within(Duration),
    /// At most so many bytes behind.
    Near(u64),
    /// By its session, and never less than its last read of that kind showed.
    Monotonic,
    Latest,
}

impl Ask {
    pub(crate) const fn access(self) -> Access {
        match self {
            Self::Write => Access::Write,
            Self::Read(_) => Access::Read,
        }
    }

    pub(crate) const fn freshness(self) -> Freshness {
        match self {
            Self::Read(Reader::Any) => Freshness::Any,
            Self::Read(Reader::Within(limit)) => Freshness::Within(limit),
            Self::Read(Reader::Latest) => Freshness::Latest,
            Self::Read(Reader::Near(distance)) => Freshness::Behind { time: MAX_LAG, distance },
            Self::Write | Self::Read(Reader::Plain | Reader::Session | Reader::Token | Reader::Monotonic) => {
                Freshness::Within(MAX_LAG)
            }
        }
    }

    pub(crate) const fn is_read(self) -> bool {
        matches!(self, Self::Read(_))
    }

    /// How old what it shows may be.
    pub(crate) const fn limit(self) -> Option<Duration> {
        match self.freshness() {
            Freshness::Within(limit) | Freshness::Behind { time: limit, .. } => Some(limit),
            Freshness::Latest => Some(Duration::ZERO),
            _ => None,
        }
    }
}

/// The default of `millpond-cluster`.
const MAX_LAG: Duration = Duration::from_secs(1);

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Write,
    Read,
}

/// A wish for a connection. Who has it takes whichever comes first, a new one or one that comes back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    pub(crate) client: usize,
    pub(crate) round: u32,
    pub(crate) node: usize,
    pub(crate) purpose: Purpose,
    pub(crate) begun: Duration,
    /// Whether the monitor was told that the connection led elsewhere.
    pub(crate) is_told: bool,
}

/// What a read has to show of the caller's writes, as a replica can be asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Nothing,
    Position(Place),
    Unknown,
}

/// A call, from its first look for a node to its end.
pub(crate) struct Call {
    pub(crate) ask: Ask,
    pub(crate) begun: Duration,
    /// Until when it may wait for connections.
    pub(crate) deadline: Duration,
    /// Until when it has to be over.
    pub(crate) ends: Duration,
    pub(crate) tried: NodeSet,
    /// With a token: what it asks for, and what has to be shown for it.
    pub(crate) told: Option<(Seen<Place>, Owed)>,
    pub(crate) plan: Plan,
    pub(crate) decided: Decided,
    pub(crate) stage: Stage,
}

/// What was decided, and by what knowledge.
pub(crate) struct Decided {
    pub(crate) at: Duration,
    pub(crate) epoch: Epoch,
    pub(crate) primary: Option<NodeId>,
    pub(crate) to_prove: NodeSet,
    pub(crate) wanted: Wanted,
    pub(crate) judged: Judged,
}

/// What it was last judged by: behind a long wait once more.
pub(crate) struct Judged {
    pub(crate) at: Duration,
    pub(crate) snapshot: Rc<Snapshot<Place>>,
    /// The branch of the primary that was known.
    pub(crate) branch: Option<BranchId>,
}

pub(crate) enum Stage {
    /// For what is known to change, or for a while.
    Waits,
    /// For a connection.
    Connects { node: usize, purpose: Purpose },
    /// For an answer.
    Sent(Rc<Sent>),
}

/// What a client keeps of a statement that was sent.
pub(crate) struct Sent {
    pub(crate) node: usize,
    pub(crate) purpose: Purpose,
    pub(crate) epoch: Epoch,
    pub(crate) connection: Connection,
    pub(crate) at: Duration,
    pub(crate) must_show: Option<Place>,
    /// When the node was asked last, as was known when it was chosen.
    pub(crate) observed: Option<Duration>,
}

/// A statement on the wire. The server runs it, whether or not somebody still waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message {
    pub(crate) client: usize,
    pub(crate) process: usize,
    pub(crate) round: u32,
    pub(crate) ask: Ask,
    pub(crate) node: usize,
    pub(crate) purpose: Purpose,
    /// What its connection belongs to.
    pub(crate) run: Run,
    pub(crate) must_show: Option<Place>,
    /// The highest timeline that its process knew when it was sent.
    pub(crate) highest: u32,
    pub(crate) ends: Duration,
}

/// What an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// The state that was read, and how far the replica was, if it was asked before.
    Read(Spot, Option<Place>),
    /// It is written there; the primary was so far behind it.
    Written(Spot, Place),
    /// The replica does not show what it has to.
    Behind,
    /// The server is a replica.
    ReadOnly,
    /// The connection was lost.
    Lost,
}
