//! One process: what it knows of the cluster, and what it has written. The rules are those of `millpond-cluster`.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use millpond_core::{
    Action, Event as Change, Health, Input, NodeId, PeakEwma, RetryBudget, Role, Seen, Snapshot, Topology,
};

use crate::call::{Purpose, Wish};
use crate::logs::BranchId;
use crate::monitor::Monitor;
use crate::owed::Owed;
use crate::place::Place;
use crate::server::Run;
use crate::settings::Lie;
use crate::world::{Event, World};

pub(crate) struct Process {
    pub(crate) topology: Topology<Place>,
    snapshot: Rc<Snapshot<Place>>,
    /// Whether something was taken in since the snapshot was made. Made when somebody looks, it is the same.
    is_stale: bool,
    pub(crate) peers: Vec<Peer>,
    /// What the process has written, as the core keeps it, and as it is checked.
    pub(crate) written: Seen<Place>,
    pub(crate) owed: Owed,
    pub(crate) budget: RetryBudget,
    /// The clients with a call.
    pub(crate) active: Vec<usize>,
    /// The branch of the primary last adopted.
    pub(crate) branch: Option<BranchId>,
    /// The highest timeline that was adopted, or that a replica was seen on.
    pub(crate) highest: u32,
    pub(crate) is_primary_only: bool,
    /// Tokens from other processes, each with what its reader has to see.
    pub(crate) mail: VecDeque<(String, Owed)>,
}

/// What a process keeps of one node.
pub(crate) struct Peer {
    pub(crate) monitor: Monitor,
    pub(crate) average: PeakEwma,
    pub(crate) in_flight: usize,
    pub(crate) readers: Pool,
    pub(crate) writers: Pool,
    /// The network between the two swallows everything.
    pub(crate) is_cut: bool,
    /// The branch that it was on when it answered last.
    branch: Option<BranchId>,
    /// When it was asked last and answered, as who claims to be primary.
    claimed: Option<Duration>,
}

/// The connections of a node for one purpose, without a limit to how many.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    /// Counts how often its connections were closed.
    pub(crate) generation: u32,
    pub(crate) idle: Vec<Connection>,
    /// Who waits for one, the longest first. Some have one by now, or gave up.
    pub(crate) wishes: VecDeque<Wish>,
}

/// A connection at rest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connection {
    pub(crate) opened: Duration,
    pub(crate) run: Run,
    pub(crate) generation: u32,
}

impl Process {
    pub(crate) fn new(names: usize, origin: Instant) -> Self {
        let topology = Topology::new(names);
        let reserve = u32::try_from(names * 10).unwrap_or(u32::MAX);
        let peer = || Peer {
            monitor: Monitor::default(),
            average: PeakEwma::new(origin),
            in_flight: 0,
            readers: Pool::default(),
            writers: Pool::default(),
            is_cut: false,
            branch: None,
            claimed: None,
        };
        Self {
            snapshot: Rc::new(topology.snapshot()),
            topology,
            is_stale: false,
            peers: (0..names).map(|_| peer()).collect(),
            written: Seen::default(),
            owed: Owed::default(),
            budget: RetryBudget::new(reserve),
            active: Vec::new(),
            branch: None,
            highest: 0,
            is_primary_only: false,
            mail: VecDeque::new(),
        }
    }
}

impl Peer {
    pub(crate) fn pool(&mut self, purpose: Purpose) -> &mut Pool {
        match purpose {
            Purpose::Write => &mut self.writers,
            Purpose::Read => &mut self.readers,
        }
    }
}

impl Pool {
    fn evict(&mut self) {
        self.generation += 1;
        self.idle.clear();
    }
}

pub(crate) fn id(node: usize) -> NodeId {
    NodeId::new(node).expect("no more nodes than a cluster may have")
}

impl World {
    /// What a process knows now.
    pub(crate) fn snapshot(&mut self, process: usize) -> Rc<Snapshot<Place>> {
        let lie = self.settings.lie;
        let process = &mut self.processes[process];
        if std::mem::take(&mut process.is_stale) {
            let mut snapshot = process.topology.snapshot();
            if let Some(lie @ (Lie::TrustsTheLast | Lie::TrustsTheHighest)) = lie {
                snapshot.primary = process.claimant(&snapshot, lie);
            }
            process.snapshot = Rc::new(snapshot);
        }
        Rc::clone(&process.snapshot)
    }

    pub(crate) fn take_in(&mut self, process: usize, mut input: Input<Place>) {
        if let Input::Answered { node, asked, observation, .. } = &mut input {
            if self.is_told(Lie::IgnoresReplicaTimeline) && observation.role == Role::Replica {
                observation.timeline = self.snapshot(process).timeline.or(observation.timeline);
            }
            if self.is_told(Lie::IgnoresCluster) {
                observation.cluster = None;
            }
            let claimed = asked.duration_since(self.origin);
            self.processes[process].peers[node.index()].claimed =
                Some(claimed).filter(|_| observation.role == Role::Primary);
        }
        let (mut is_change, mut asked_anew) = (false, Vec::new());
        self.processes[process].topology.handle(input);
        self.processes[process].is_stale = true;
        while let Some(action) = self.processes[process].topology.poll_action() {
            is_change = true;
            let this = &mut self.processes[process];
            match action {
                Action::Evict(node) => {
                    this.peers[node.index()].readers.evict();
                    this.peers[node.index()].writers.evict();
                }
                Action::AskAnew(node) => asked_anew.push(node.index()),
                Action::EvictWrites(node) => this.peers[node.index()].writers.evict(),
                Action::Tell(Change::NodeDown(node)) => this.peers[node.index()].readers.idle.clear(),
                Action::Tell(Change::PrimaryChanged(node, _)) => {
                    this.branch = this.peers[node.index()].branch;
                    if let Some(branch) = this.branch {
                        this.highest = this.highest.max(self.logs.timeline(branch));
                    }
                }
                _ => {}
            }
        }
        for node in asked_anew {
            self.ask_anew(process, node);
        }
        if is_change {
            self.wake(process);
        }
    }

    /// A process begins again, and knows nothing of what it knew.
    pub(crate) fn restart(&mut self, process: usize) {
        self.replace_clients(process);
        let mut fresh = Process::new(self.servers.len(), self.instant(self.now));
        for (peer, before) in fresh.peers.iter_mut().zip(&self.processes[process].peers) {
            peer.is_cut = before.is_cut;
            peer.monitor = before.monitor.successor();
        }
        self.processes[process] = fresh;
        for node in 0..self.servers.len() {
            let delay = Duration::from_micros(self.random.u64(0..20_000));
            let probe = self.processes[process].peers[node].monitor.first(process, node);
            self.after(delay, Event::ProbeDue(probe));
        }
    }

    /// Notes which branch a node was on when it said what it said.
    pub(crate) fn note_branch(&mut self, process: usize, node: usize, branch: BranchId, role: Role) {
        let is_ours = self.logs.owner(branch) == crate::logs::Owner::Cluster;
        let timeline = self.logs.timeline(branch);
        let process = &mut self.processes[process];
        process.peers[node].branch = Some(branch);
        if role == Role::Replica && is_ours {
            process.highest = process.highest.max(timeline);
        }
    }

    /// What is known of the cluster is another: who waits for that looks at it.
    fn wake(&mut self, process: usize) {
        for client in self.processes[process].active.clone() {
            self.look_up(client);
        }
    }
}

impl Process {
    /// Who says that it takes writes, as a naive library would have it.
    fn claimant(&self, snapshot: &Snapshot<Place>, lie: Lie) -> Option<NodeId> {
        let claims = snapshot
            .nodes
            .iter()
            .filter(|view| view.role == Some(Role::Primary) && view.health == Health::Up);
        let claim = match lie {
            Lie::TrustsTheLast => claims.max_by_key(|view| self.peers[view.id.index()].claimed),
            _ => claims.max_by_key(|view| view.timeline),
        };
        claim.map(|view| view.id)
    }
}
