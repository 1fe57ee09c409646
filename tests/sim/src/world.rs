//! The world of one run, and the loop that moves it on.

use std::time::{Duration, Instant};

use fastrand::Rng;
use millpond_core::Role;

use crate::call::{Message, Said, Wish};
use crate::checker::{Checker, Invariant};
use crate::client::Client;
use crate::logs::{BranchId, Logs};
use crate::monitor::Found;
use crate::operator::Operator;
use crate::process::Process;
use crate::queue::Queue;
use crate::report::Report;
use crate::server::{Power, Replication, Run, Server};
use crate::settings::{Faults, Lie, Settings, Step};

/// Something that is going to happen.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A monitor asks its node.
    ProbeDue(Probe),
    /// A monitor's wish for a connection comes to the node.
    ProbeConnects(Probe),
    /// A monitor has a connection.
    ProbeAsks(Probe, Run),
    /// Its question comes to the node.
    ProbeArrives(Probe, Run),
    /// A monitor knows what came of it.
    ProbeEnds(Probe, Found),
    /// A client begins a visit, or its next call.
    Visit {
        client: usize,
    },
    /// A call looks again for a node.
    Retry {
        client: usize,
        round: u32,
    },
    /// A wish for a connection comes to the node.
    Connects(Wish),
    /// A call has its connection, or was refused.
    Connected(Wish, Option<Run>),
    /// A call has waited for a connection as long as it may.
    Waited {
        client: usize,
        round: u32,
    },
    /// A statement comes to the server.
    Arrives(Message),
    /// The server looks whether a replica has a write.
    Replicated(Message, crate::logs::Spot),
    /// An answer comes to the client.
    Answered(Message, Said, Duration),
    /// A call has taken as long as it may.
    Over {
        client: usize,
        round: u32,
    },
    /// Something is done to the cluster; void when all was mended since.
    Step(Step, u32),
    /// Chance brings the next fault.
    Fault(u32),
    /// A round of faults begins, is over, has settled, and was looked at.
    Round,
    Heal,
    Settled,
    Inspected,
}

/// One question of a monitor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Probe {
    pub(crate) process: usize,
    pub(crate) node: usize,
    pub(crate) round: u32,
}

/// Everything there is.
pub(crate) struct World {
    pub(crate) settings: Settings,
    /// All times are since then. Nothing depends on when that was.
    pub(crate) origin: Instant,
    pub(crate) now: Duration,
    pub(crate) random: Rng,
    pub(crate) queue: Queue,
    pub(crate) logs: Logs,
    pub(crate) servers: Vec<Server>,
    /// To which server each node's name leads.
    pub(crate) names: Vec<usize>,
    pub(crate) processes: Vec<Process>,
    pub(crate) clients: Vec<Client>,
    pub(crate) operator: Operator,
    pub(crate) checker: Checker,
    /// The most that a slow message takes, while some are slow.
    pub(crate) slowest: Option<Duration>,
    is_over: bool,
}

/// When clients begin: monitors have answered by then.
const FIRST_VISIT: Duration = Duration::from_secs(2);

/// Simulates a cluster. The same seed and settings give the same history.
#[must_use]
pub fn run(seed: u64, settings: &Settings) -> Report {
    run_with(seed, settings, |_| {})
}

/// The same, telling how much of the virtual time is over, each time a round of faults is.
#[must_use]
pub fn run_with(seed: u64, settings: &Settings, mut tell: impl FnMut(Duration)) -> Report {
    let mut world = World::new(seed, settings.clone());
    world.begin();
    while let Some((at, event)) = world.queue.pop() {
        world.now = at;
        let is_inspected = matches!(event, Event::Inspected);
        world.take(event);
        if is_inspected {
            tell(world.now);
        }
        if world.is_over {
            break;
        }
    }
    world.checker.report(seed, settings, world.now)
}

impl World {
    fn new(seed: u64, settings: Settings) -> Self {
        let mut random = Rng::with_seed(seed);
        let (logs, first) = Logs::new();
        let servers = (0..settings.names())
            .map(|node| Server {
                power: if node < settings.nodes { Power::Up } else { Power::Down },
                role: if node == 0 { Role::Primary } else { Role::Replica },
                branch: first,
                start: 0,
                stopped_at: Duration::ZERO,
                started_at: Duration::ZERO,
                is_spare: node >= settings.nodes,
                replication: usual_replication(&mut random, logs.end(first)),
                held: Vec::new(),
                setback: Duration::ZERO,
            })
            .collect();
        let origin = Instant::now();
        let processes: Vec<_> =
            (0..settings.processes).map(|_| Process::new(settings.names(), origin)).collect();
        let clients = (0..settings.clients).map(|number| Client::new(number % settings.processes)).collect();
        let checker = Checker::new(settings.processes);
        Self {
            origin,
            now: Duration::ZERO,
            random,
            queue: Queue::default(),
            logs,
            servers,
            names: (0..settings.names()).collect(),
            processes,
            clients,
            operator: Operator::new(first),
            checker,
            slowest: None,
            is_over: false,
            settings,
        }
    }

    fn begin(&mut self) {
        for process in 0..self.settings.processes {
            for node in 0..self.settings.names() {
                let at = Duration::from_micros(self.random.u64(0..20_000));
                self.queue.push(at, Event::ProbeDue(Probe { process, node, round: 0 }));
            }
        }
        let spread = self.settings.think.min(Duration::from_secs(20));
        for client in 0..self.settings.clients {
            let at = FIRST_VISIT + spread.mul_f64(self.random.f64());
            self.queue.push(at, Event::Visit { client });
        }
        if let Faults::Scripted(steps) = self.settings.faults.clone() {
            for (at, step) in steps {
                self.queue.push(at, Event::Step(step, 0));
            }
        }
        self.queue.push(FIRST_VISIT, Event::Round);
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::ProbeDue(probe) => self.probe_due(probe),
            Event::ProbeConnects(probe) => self.probe_connects(probe),
            Event::ProbeAsks(probe, run) => self.probe_asks(probe, run),
            Event::ProbeArrives(probe, run) => self.probe_arrives(probe, run),
            Event::ProbeEnds(probe, found) => self.probe_ends(probe, found),
            Event::Visit { client } => self.visit(client),
            Event::Retry { client, round } => self.retry(client, round),
            Event::Connects(wish) => self.connects(wish),
            Event::Connected(wish, run) => self.connected(wish, run),
            Event::Waited { client, round } => self.waited(client, round),
            Event::Arrives(message) => self.arrives(message),
            Event::Replicated(message, spot) => self.replicated(message, spot),
            Event::Answered(message, said, left) => self.answered(message, said, left),
            Event::Over { client, round } => self.over(client, round),
            Event::Step(step, generation) => {
                if generation == self.operator.generation {
                    self.step(step);
                }
            }
            Event::Fault(generation) => {
                if generation == self.operator.generation {
                    self.next_fault();
                }
            }
            Event::Round => self.begin_round(),
            Event::Heal => {
                self.step(Step::Heal);
                self.queue.push(self.now + Settings::SETTLE, Event::Settled);
            }
            Event::Settled => {
                self.checker.begin_quiet(self.now);
                self.queue.push(self.now + Settings::QUIET - Settings::SETTLE, Event::Inspected);
            }
            Event::Inspected => self.end_round(),
        }
    }

    fn begin_round(&mut self) {
        let rest = self.settings.length.saturating_sub(self.now + Settings::QUIET);
        let length = match self.settings.faults {
            Faults::Scripted(_) => rest,
            Faults::Random(length) => {
                self.queue.push(self.now, Event::Fault(self.operator.generation));
                length.min(rest)
            }
        };
        self.queue.push(self.now + length, Event::Heal);
    }

    fn end_round(&mut self) {
        let processes = 0..self.settings.processes;
        let meets_many = |process| self.snapshot(process).nodes.iter().any(|node| node.hides_many);
        let meets_many: Vec<_> = processes.map(meets_many).collect();
        self.checker.end_quiet(self.now, &meets_many);
        if self.now + Settings::QUIET < self.settings.length {
            self.queue.push(self.now, Event::Round);
        } else {
            self.is_over = true;
        }
    }

    /// What a connection that is opened to a node now belongs to.
    pub(crate) fn run_behind(&self, node: usize) -> Run {
        let server = self.names[node];
        Run { server, start: self.servers[server].start }
    }

    /// Whether a connection is open still.
    pub(crate) fn is_open(&self, run: Run) -> bool {
        self.servers[run.server].start == run.start
    }

    /// The time as the core sees it.
    pub(crate) fn instant(&self, at: Duration) -> Instant {
        self.origin + at
    }

    /// How long a message takes.
    pub(crate) fn delay(&mut self) -> Duration {
        let usual = Duration::from_micros(self.random.u64(100..600));
        match self.slowest {
            Some(slowest) if self.random.u8(0..20) == 0 => usual + slowest.mul_f64(self.random.f64()),
            _ => usual,
        }
    }

    pub(crate) fn after(&mut self, delay: Duration, event: Event) {
        self.queue.push(self.now + delay, event);
    }

    pub(crate) fn is_told(&self, lie: Lie) -> bool {
        self.settings.lie == Some(lie)
    }

    pub(crate) fn is_cut(&self, process: usize, node: usize) -> bool {
        self.processes[process].peers[node].is_cut
    }

    pub(crate) fn official(&self) -> BranchId {
        self.operator.official
    }

    pub(crate) fn violated(&mut self, invariant: Invariant, what: String) {
        self.checker.violated(invariant, self.now, what);
    }
}

/// How fast replicas mostly are.
pub(crate) fn usual_replication(random: &mut Rng, place: u64) -> Replication {
    let transfer = Duration::from_micros(random.u64(150..900));
    let replay = Duration::from_micros(random.u64(200..4000));
    Replication::new(place, transfer, replay)
}
