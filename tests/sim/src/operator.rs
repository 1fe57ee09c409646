//! Who runs the servers: does what a [`Step`] says, and what goes with it.

use std::time::Duration;

use millpond_core::Role;

use crate::call::Said;
use crate::logs::{BranchId, Owner, Spot};
use crate::server::Power;
use crate::settings::{Profile, Settings, Step};
use crate::world::{Event, World, usual_replication};

/// What the operator knows.
#[derive(Debug)]
pub(crate) struct Operator {
    /// The branch of the present primary: what it has is what the cluster has kept.
    pub(crate) official: BranchId,
    pub(crate) primary: usize,
    /// Counts how often all was mended: what was planned before is void.
    pub(crate) generation: u32,
    /// Until when a change of the primary is under way.
    pub(crate) busy_until: Duration,
    /// Until when nothing shows up that a process which knows nothing could take for the cluster.
    pub(crate) no_spares_until: Duration,
    /// Whether the primary ended in order.
    is_planned: bool,
}

impl Operator {
    pub(crate) const fn new(first: BranchId) -> Self {
        Self {
            official: first,
            primary: 0,
            generation: 0,
            busy_until: Duration::ZERO,
            no_spares_until: Duration::ZERO,
            is_planned: false,
        }
    }
}

impl World {
    pub(crate) fn later(&mut self, delay: Duration, step: Step) {
        let event = Event::Step(step, self.operator.generation);
        self.after(delay, event);
    }

    pub(crate) fn between(&mut self, shortest: u64, longest: u64) -> Duration {
        Duration::from_millis(self.random.u64(shortest..=longest))
    }

    pub(crate) fn step(&mut self, step: Step) {
        match step {
            Step::Crash(node, back) => self.crash(node, back),
            Step::Start(node) => self.start(node),
            Step::StartAsPrimary(node) => {
                if self.servers[node].power == Power::Down && self.servers[node].role == Role::Primary {
                    self.power_up(node);
                }
            }
            Step::Freeze(node) => self.freeze(node),
            Step::Thaw(node) => self.thaw(node),
            Step::PauseReplay(node) => self.change(node, |server| server.replication.is_paused = true),
            Step::ResumeReplay(node) => self.change(node, |server| server.replication.is_paused = false),
            Step::DelayReplay(node, delay) => self.change(node, |server| server.replication.replay = delay),
            Step::Disconnect(node) => self.change(node, |server| server.replication.is_connected = false),
            Step::Follow(node) => self.follow(node),
            Step::Promote(node) => self.promote(node),
            Step::Stop(node) => self.stop(node),
            Step::Restore(node) => self.restore(node),
            Step::Stranger(node) => self.stranger(node),
            Step::Vanish(node) => {
                if self.servers[node].is_spare {
                    self.power_down(node);
                }
            }
            Step::Cut { process, node } => self.processes[process].peers[node].is_cut = true,
            Step::Mend { process, node } => self.processes[process].peers[node].is_cut = false,
            Step::Exchange(one, other) => self.names.swap(one, other),
            Step::SlowNetwork(slowest) => self.slowest = Some(slowest).filter(|slowest| !slowest.is_zero()),
            Step::Restart(process) => self.restart(process),
            Step::PrimaryOnly(process, is_on) => self.processes[process].is_primary_only = is_on,
            Step::Heal => self.heal(),
        }
    }

    fn change(&mut self, node: usize, change: impl FnOnce(&mut crate::server::Server)) {
        let server = &mut self.servers[node];
        server.settle(&self.logs, self.now);
        change(server);
    }

    /// Its connections end, and what runs on them.
    fn power_down(&mut self, node: usize) {
        let server = &mut self.servers[node];
        if server.power == Power::Down {
            return;
        }
        server.power = Power::Down;
        server.start += 1;
        server.stopped_at = self.now;
        for event in std::mem::take(&mut server.held) {
            match event {
                Event::Arrives(message) | Event::Replicated(message, _) => {
                    let at = self.now + self.delay();
                    self.queue.push(at, Event::Answered(message, Said::Lost, self.now));
                }
                // They find nobody there.
                event => self.queue.push(self.now, event),
            }
        }
    }

    fn power_up(&mut self, node: usize) {
        let server = &mut self.servers[node];
        server.power = Power::Up;
        server.started_at = self.now;
    }

    /// Those that follow the branch of a primary hear of nothing new.
    fn disconnect_followers(&mut self, primary: usize) {
        let branch = self.servers[primary].branch;
        for node in 0..self.settings.nodes {
            let server = &self.servers[node];
            if server.role == Role::Replica && server.branch == branch {
                self.change(node, |server| server.replication.is_connected = false);
            }
        }
    }

    fn crash(&mut self, node: usize, back: Duration) {
        if self.servers[node].power == Power::Down {
            return;
        }
        if self.servers[node].role == Role::Primary {
            self.disconnect_followers(node);
        } else {
            self.change(node, |server| server.replication.is_connected = false);
            let server = &mut self.servers[node];
            let behind = server.replication.transfer + server.replication.replay + back;
            let place = self.logs.written_as_of(server.branch, self.now.saturating_sub(behind));
            server.fall_back_to(place);
            server.replication.is_paused = false;
            server.setback = behind;
        }
        self.power_down(node);
    }

    fn is_primary_up(&self) -> bool {
        self.servers[self.operator.primary].is_up()
    }

    fn start(&mut self, node: usize) {
        let server = &self.servers[node];
        if server.power != Power::Down || server.is_spare {
            return;
        }
        if server.role == Role::Primary && server.branch == self.operator.official {
            self.power_up(node);
            self.followed_by_all();
            return;
        }
        self.rejoin(node);
        self.power_up(node);
        if self.servers[node].setback > Duration::ZERO {
            // It replays what it had shown, and the rest, bit by bit.
            let server = &mut self.servers[node];
            let stopped = self.now - server.stopped_at;
            server.replication.replay = stopped + std::mem::take(&mut server.setback);
            let usual = Duration::from_micros(self.random.u64(200..4000));
            let until = self.between(50, 3000);
            self.later(until, Step::DelayReplay(node, usual));
        }
    }

    /// Makes a server that is down, or has what the present primary has, a replica of that.
    fn rejoin(&mut self, node: usize) {
        let official = self.operator.official;
        let is_connected = self.is_primary_up();
        let server = &mut self.servers[node];
        server.settle(&self.logs, self.now);
        let durable = server.durable(&self.logs, self.now);
        if self.logs.is_kept_by(official, durable) {
            server.branch = official;
        } else {
            let common = self.logs.kept_by(official, durable);
            server.begin_at(Spot { branch: official, place: common.place });
        }
        server.role = Role::Replica;
        server.replication.is_connected = is_connected;
    }

    fn follow(&mut self, node: usize) {
        let server = &self.servers[node];
        let is_official = server.role == Role::Primary && server.branch == self.operator.official;
        if is_official || server.is_spare || server.power == Power::Frozen {
            return;
        }
        if server.power == Power::Down {
            return self.start(node);
        }
        let durable = server.durable(&self.logs, self.now);
        if server.role == Role::Replica && self.logs.is_kept_by(self.operator.official, durable) {
            return self.rejoin(node);
        }
        // It has what the others do not: it is rewound, which takes a while.
        self.crash(node, Duration::ZERO);
        let while_down = self.between(600, 3000);
        self.later(while_down, Step::Start(node));
    }

    fn followed_by_all(&mut self) {
        for node in 0..self.settings.nodes {
            let server = &self.servers[node];
            if server.role == Role::Replica && server.power == Power::Up {
                let delay = self.between(50, 2000);
                self.later(delay, Step::Follow(node));
            }
        }
    }

    fn freeze(&mut self, node: usize) {
        if !self.servers[node].is_up() {
            return;
        }
        if self.servers[node].role == Role::Primary {
            self.disconnect_followers(node);
        } else {
            self.change(node, |server| server.replication.is_connected = false);
        }
        self.servers[node].power = Power::Frozen;
    }

    fn thaw(&mut self, node: usize) {
        if self.servers[node].power != Power::Frozen {
            return;
        }
        self.servers[node].power = Power::Up;
        for event in std::mem::take(&mut self.servers[node].held) {
            self.queue.push(self.now, event);
        }
        if self.servers[node].is_spare {
            return;
        }
        match self.servers[node].role {
            Role::Replica => self.follow(node),
            Role::Primary if node == self.operator.primary => self.followed_by_all(),
            Role::Primary => {}
        }
    }

    /// The replica that has most, or any that has only what the cluster has.
    fn successor(&mut self) -> Option<usize> {
        let fits = |world: &Self, node: &usize| {
            let server = &world.servers[*node];
            let durable = server.durable(&world.logs, world.now);
            server.role == Role::Replica && world.logs.is_kept_by(world.operator.official, durable)
        };
        let fit: Vec<_> = (0..self.settings.nodes).filter(|node| fits(self, node)).collect();
        if self.settings.profile == Profile::Synchronous || self.operator.is_planned {
            return fit.into_iter().max_by_key(|node| self.servers[*node].received(&self.logs, self.now));
        }
        let up: Vec<_> = fit.iter().copied().filter(|node| self.servers[*node].is_up()).collect();
        let of = if up.is_empty() { fit } else { up };
        (!of.is_empty()).then(|| of[self.random.usize(..of.len())])
    }

    fn promote(&mut self, node: Option<usize>) {
        if self.settings.profile == Profile::Synchronous {
            // Beside a primary that lives no write is safe: whoever promotes has to see to that it does not.
            self.crash(self.operator.primary, Duration::ZERO);
        }
        let Some(node) = node.or_else(|| self.successor()) else { return };
        if self.servers[node].role == Role::Primary {
            return;
        }
        match self.servers[node].power {
            Power::Down => self.power_up(node),
            Power::Frozen => self.thaw(node),
            Power::Up => {}
        }
        self.change(node, |server| server.replication.is_paused = false);
        let fork = self.servers[node].durable(&self.logs, self.now);
        let old = self.operator.official;
        let branch = self.logs.fork(fork, Owner::Cluster, self.now);
        let server = &mut self.servers[node];
        server.role = Role::Primary;
        server.branch = branch;
        server.setback = Duration::ZERO;
        self.operator.official = branch;
        self.operator.primary = node;
        self.operator.is_planned = false;
        self.check_promotion(old, branch);
        self.followed_by_all();
    }

    fn stop(&mut self, node: usize) {
        let server = &self.servers[node];
        if !server.is_up() || server.role != Role::Primary {
            return;
        }
        let end = Spot { branch: server.branch, place: self.logs.end(server.branch) };
        for other in 0..self.settings.nodes {
            let server = &mut self.servers[other];
            let follows = server.role == Role::Replica && server.branch == end.branch;
            if follows && server.is_up() && server.replication.is_connected {
                server.settle(&self.logs, self.now);
                server.receive(end.place);
            }
        }
        self.operator.is_planned = true;
        self.crash(node, Duration::ZERO);
    }

    fn restore(&mut self, node: usize) {
        if !self.servers[node].is_spare || self.servers[node].power != Power::Down {
            return;
        }
        let branch = self.operator.official;
        let place = self.logs.written_as_of(branch, self.now.saturating_sub(Duration::from_secs(60)));
        let copy = self.logs.fork(Spot { branch, place }, Owner::Copy, self.now);
        self.servers[node].branch = copy;
        self.servers[node].role = Role::Primary;
        self.power_up(node);
    }

    fn stranger(&mut self, node: usize) {
        if !self.servers[node].is_spare || self.servers[node].power != Power::Down {
            return;
        }
        let branch = self.logs.strange(self.random.u64(1..1 << 40), self.now);
        let place = self.logs.end(branch);
        let server = &mut self.servers[node];
        server.begin_at(Spot { branch, place });
        server.role = if self.random.bool() { Role::Primary } else { Role::Replica };
        self.power_up(node);
    }

    fn heal(&mut self) {
        self.operator.generation += 1;
        self.operator.is_planned = false;
        self.operator.busy_until = self.now + Settings::QUIET;
        self.slowest = None;
        for process in &mut self.processes {
            process.is_primary_only = false;
            process.peers.iter_mut().for_each(|peer| peer.is_cut = false);
        }
        // A copy or a stranger that stays does no harm.
        let primary = self.operator.primary;
        self.start(primary);
        for node in (0..self.settings.nodes).filter(|node| *node != primary) {
            self.thaw(node);
            self.change(node, |server| server.replication.is_paused = false);
            let delay = self.between(100, 2000);
            self.later(delay, Step::Follow(node));
            let usual = usual_replication(&mut self.random, 0).replay;
            self.later(delay + Duration::from_secs(4), Step::DelayReplay(node, usual));
        }
        self.thaw(primary);
    }
}
