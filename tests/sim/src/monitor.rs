//! What a monitor does: asks its node who it is, again and again, and tells the topology.

use std::time::Duration;

use millpond_core::{Age, ClusterId, Health, Input, Observation, Role, Timeline};

use crate::logs::{BranchId, Owner};
use crate::place::Place;
use crate::process::id;
use crate::server::{Power, Run};
use crate::world::{Event, Probe, World};

/// The defaults of `millpond-cluster`.
const PROBE_INTERVAL: Duration = Duration::from_millis(200);
const SHORTEST_INTERVAL: Duration = Duration::from_millis(20);
pub(crate) const PROBE_TIMEOUT: Duration = Duration::from_millis(350);
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The number of our cluster, and of another.
const CLUSTER: u64 = 7;
const STRANGER: u64 = 8;

/// The state of one monitor.
#[derive(Debug, Default)]
pub(crate) struct Monitor {
    /// Counts its questions and waits: what belongs to an earlier one is void.
    round: u32,
    stage: Stage,
    connection: Option<Run>,
    /// Where a connection that was begun then led instead.
    elsewhere: Option<(Duration, Run)>,
    /// Whether it is to ask over a new connection.
    asks_anew: bool,
    asked: Duration,
    /// Whether somebody asked for an answer while it could not begin.
    is_nudged: bool,
}

impl Monitor {
    /// That of the process after this one: what is on its way is void.
    pub(crate) fn successor(&self) -> Self {
        Self { round: self.round + 1, ..Self::default() }
    }

    /// Its first question.
    pub(crate) const fn first(&self, process: usize, node: usize) -> Probe {
        Probe { process, node, round: self.round }
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Asks,
    /// Not before this time.
    Rests(Duration),
}

/// What came of a question.
#[derive(Clone, Debug)]
pub(crate) enum Found {
    Answer(Observation<Place>, BranchId),
    Unreachable,
    Silent,
}

impl World {
    fn monitor(&mut self, probe: Probe) -> Option<&mut Monitor> {
        let monitor = &mut self.processes[probe.process].peers[probe.node].monitor;
        (monitor.round == probe.round).then_some(monitor)
    }

    pub(crate) fn nudge_all(&mut self, process: usize) {
        for node in 0..self.servers.len() {
            self.nudge(process, node);
        }
    }

    pub(crate) fn nudge(&mut self, process: usize, node: usize) {
        let now = self.now;
        let monitor = &mut self.processes[process].peers[node].monitor;
        let was_nudged = std::mem::replace(&mut monitor.is_nudged, true);
        if let (Stage::Rests(until), false) = (&monitor.stage, was_nudged) {
            monitor.round += 1;
            let (at, round) = (now.max(*until), monitor.round);
            self.queue.push(at, Event::ProbeDue(Probe { process, node, round }));
        }
    }

    pub(crate) fn probe_due(&mut self, probe: Probe) {
        let now = self.now;
        let Some(monitor) = self.monitor(probe) else { return };
        monitor.stage = Stage::Asks;
        monitor.is_nudged = false;
        let asks_anew = std::mem::take(&mut monitor.asks_anew) || monitor.elsewhere.is_some();
        let (connection, elsewhere) = (monitor.connection.take(), monitor.elsewhere.take());
        if let Some((at, run)) = elsewhere {
            // The next answer says where the name leads now.
            let at = self.instant(at);
            self.take_in(probe.process, Input::Elsewhere { node: id(probe.node), server: run.id(), at });
        }
        if let Some(run) = connection.filter(|run| !asks_anew && self.is_open(*run)) {
            // One that the server has closed is known to be.
            let Some(monitor) = self.monitor(probe) else { return };
            monitor.connection = Some(run);
            monitor.asked = now;
            return self.ask(probe, run);
        }
        // A node that traffic still goes to must be found out soon; one that answered until we asked who is there may take its time.
        let is_up = self.snapshot(probe.process).nodes[probe.node].health == Health::Up;
        let is_in_use = is_up && !asks_anew;
        let patience = if is_in_use { PROBE_TIMEOUT } else { CONNECT_TIMEOUT };
        if let Some(monitor) = self.monitor(probe) {
            monitor.asked = now + patience - PROBE_TIMEOUT;
        }
        if self.is_cut(probe.process, probe.node) {
            self.after(patience, Event::ProbeEnds(probe, Found::Silent));
        } else {
            let delay = self.delay();
            self.after(delay, Event::ProbeConnects(probe));
        }
    }

    /// When a question, or a wish for a connection, is given up.
    fn give_up_at(&mut self, probe: Probe) -> Option<Duration> {
        self.monitor(probe).map(|monitor| monitor.asked + PROBE_TIMEOUT)
    }

    fn hold(&mut self, probe: Probe, event: Event) {
        let Some(limit) = self.give_up_at(probe) else { return };
        // A question is held by the server that has its connection.
        let server = match &event {
            Event::ProbeArrives(_, run) => run.server,
            _ => self.names[probe.node],
        };
        self.servers[server].held.push(event);
        self.queue.push(limit, Event::ProbeEnds(probe, Found::Silent));
    }

    /// Sends something back to a monitor: in time, or not for it.
    fn reply(&mut self, probe: Probe, event: Event) {
        let Some(limit) = self.give_up_at(probe) else { return };
        let at = self.now + self.delay();
        if at > limit || self.is_cut(probe.process, probe.node) {
            self.queue.push(limit.max(self.now), Event::ProbeEnds(probe, Found::Silent));
        } else {
            self.queue.push(at, event);
        }
    }

    pub(crate) fn probe_connects(&mut self, probe: Probe) {
        let run = self.run_behind(probe.node);
        match self.servers[run.server].power {
            Power::Down => self.reply(probe, Event::ProbeEnds(probe, Found::Unreachable)),
            Power::Frozen => self.hold(probe, Event::ProbeConnects(probe)),
            Power::Up => self.reply(probe, Event::ProbeAsks(probe, run)),
        }
    }

    pub(crate) fn probe_asks(&mut self, probe: Probe, run: Run) {
        let now = self.now;
        let Some(monitor) = self.monitor(probe) else { return };
        monitor.connection = Some(run);
        monitor.asked = now;
        self.ask(probe, run);
    }

    fn ask(&mut self, probe: Probe, run: Run) {
        if self.is_cut(probe.process, probe.node) {
            self.after(PROBE_TIMEOUT, Event::ProbeEnds(probe, Found::Silent));
        } else {
            let delay = self.delay();
            self.after(delay, Event::ProbeArrives(probe, run));
        }
    }

    /// The next question goes over a new connection, at once.
    pub(crate) fn ask_anew(&mut self, process: usize, node: usize) {
        self.processes[process].peers[node].monitor.asks_anew = true;
        self.nudge(process, node);
    }

    /// A pooled connection that was begun then led to another server than the one that was asked: the monitor is to say whether the name
    /// has moved.
    pub(crate) fn led_elsewhere(&mut self, process: usize, node: usize, begun: Duration, run: Run) {
        self.processes[process].peers[node].monitor.elsewhere = Some((begun, run));
        self.nudge(process, node);
    }

    pub(crate) fn probe_arrives(&mut self, probe: Probe, run: Run) {
        let server = &self.servers[run.server];
        if server.start != run.start || server.power == Power::Down {
            return self.reply(probe, Event::ProbeEnds(probe, Found::Unreachable));
        }
        if server.power == Power::Frozen {
            return self.hold(probe, Event::ProbeArrives(probe, run));
        }
        let place = match server.role {
            // What is written, whether or not it is acknowledged.
            Role::Primary => self.logs.end(server.branch),
            Role::Replica => server.shown(&self.logs, self.now),
        };
        let owner = self.logs.owner(server.branch);
        let observation = Observation {
            role: server.role,
            cluster: Some(ClusterId::new(if owner == Owner::Stranger { STRANGER } else { CLUSTER })),
            timeline: Some(Timeline::new(self.logs.timeline(server.branch))),
            position: Some(Place(place)),
            server: Some(run.id()),
            age: Age::ByPosition,
        };
        let branch = server.branch;
        self.reply(probe, Event::ProbeEnds(probe, Found::Answer(observation, branch)));
    }

    pub(crate) fn probe_ends(&mut self, probe: Probe, found: Found) {
        let now = self.now;
        let Probe { process, node, .. } = probe;
        let Some(monitor) = self.monitor(probe) else { return };
        // Whatever is still on its way is void.
        monitor.round += 1;
        let asked = monitor.asked;
        if !matches!(found, Found::Answer(..)) {
            monitor.connection = None;
        }
        monitor.stage = Stage::Rests(now + SHORTEST_INTERVAL);
        let is_silent = matches!(found, Found::Silent);
        let input = match found {
            Found::Answer(observation, branch) => {
                self.note_branch(process, node, branch, observation.role);
                let took = now.saturating_sub(asked);
                Input::Answered { node: id(node), asked: self.instant(asked), took, observation }
            }
            Found::Unreachable => Input::Unreachable { node: id(node) },
            Found::Silent => Input::Silent { node: id(node) },
        };
        self.take_in(process, input);
        // Traffic still goes to it: one more silence decides.
        let is_in_doubt = is_silent && self.snapshot(process).nodes[node].health == Health::Up;
        let monitor = &mut self.processes[process].peers[node].monitor;
        let wait = if is_in_doubt || monitor.is_nudged { Duration::ZERO } else { PROBE_INTERVAL };
        monitor.round += 1;
        monitor.is_nudged |= wait.is_zero();
        let round = monitor.round;
        self.after(SHORTEST_INTERVAL + wait, Event::ProbeDue(Probe { process, node, round }));
    }
}
