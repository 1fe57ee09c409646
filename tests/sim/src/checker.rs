//! Holds each answer against what the servers really had.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use millpond_core::Reason;

use crate::call::{Ask, Call, Purpose, Reader, Sent};
use crate::logs::{BranchId, Owner, Spot};
use crate::place::Place;
use crate::report::{Quantity, Report};
use crate::settings::{Profile, Settings};
use crate::world::World;

/// What has to be so, whatever fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Invariant {
    /// A plain handle reads what its process was told is written.
    OwnWrites,
    /// A session reads what it was told is written.
    Session,
    /// Who was given a token reads what its maker had written.
    Token,
    /// A read shows all that had been acknowledged, by the primary that its process knew, so long before it was decided as it may
    /// be old. A replica that crashed and fell back since it was asked is excepted.
    Age,
    /// A read by bytes shows all but so many of what the primary had when its process had asked it last. The same exception.
    Distance,
    /// A session whose reads never show less than one before does not, but for what a failover discarded, and what was read from a server
    /// that had taken part in a failover of which the process did not hear before the next read.
    Monotonic,
    /// What a failover discarded is not read behind it, but for reads of any age by a name with many servers.
    Discarded,
    /// No write goes to a lower timeline than its process knows.
    LowerTimeline,
    /// No statement runs on a copy, or on another cluster.
    Elsewhere,
    /// No write goes to a replica.
    WriteOnReplica,
    /// Where commits wait for replicas no write is lost.
    Durability,
    /// When all is well, writes are done.
    WritesGoOn,
    /// When all is well, reads are answered.
    ReadsGoOn,
    /// When all is well, most reads run on replicas.
    ReadsOnReplicas,
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::OwnWrites => "own writes",
            Self::Session => "session",
            Self::Token => "token",
            Self::Age => "age",
            Self::Distance => "distance",
            Self::Monotonic => "monotonic",
            Self::Discarded => "discarded",
            Self::LowerTimeline => "lower timeline",
            Self::Elsewhere => "elsewhere",
            Self::WriteOnReplica => "write on a replica",
            Self::Durability => "durability",
            Self::WritesGoOn => "writes go on",
            Self::ReadsGoOn => "reads go on",
            Self::ReadsOnReplicas => "reads on replicas",
        })
    }
}

/// An invariant that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// When it was seen.
    pub at: Duration,
    /// What was read, where, and what was owed.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} s: {}: {}", self.at.as_secs_f64(), self.invariant, self.what)
    }
}

/// Looks at all that happens.
#[derive(Debug)]
pub(crate) struct Checker {
    violations: Vec<Violation>,
    broken: BTreeMap<Invariant, u64>,
    quantities: BTreeMap<Quantity, u64>,
    faults: BTreeMap<&'static str, u64>,
    counts: BTreeMap<&'static str, u64>,
    reasons: BTreeMap<&'static str, u64>,
    /// Of a time when all is well: since when, and what each process did.
    quiet: Option<(Duration, Vec<Quiet>)>,
    processes: usize,
    /// The last promotion, until a write was done behind it.
    promoted: Option<(BranchId, Duration)>,
    to_first_write: Vec<Duration>,
    /// The furthest write on the present branch that was told to be done.
    told: Option<Spot>,
    history: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Quiet {
    reads: u64,
    on_replicas: u64,
}

/// More are counted, and not kept.
const MOST: usize = 50;

/// Fewer reads tell nothing of a share.
const FEW: u64 = 20;

impl Checker {
    pub(crate) fn new(processes: usize) -> Self {
        Self {
            violations: Vec::new(),
            broken: BTreeMap::new(),
            quantities: BTreeMap::new(),
            faults: BTreeMap::new(),
            counts: BTreeMap::new(),
            reasons: BTreeMap::new(),
            quiet: None,
            processes,
            promoted: None,
            to_first_write: Vec::new(),
            told: None,
            history: 0xcbf2_9ce4_8422_2325,
        }
    }

    pub(crate) fn violated(&mut self, invariant: Invariant, at: Duration, what: String) {
        let times = self.broken.entry(invariant).or_default();
        *times += 1;
        if self.violations.len() < MOST && *times <= 5 {
            self.violations.push(Violation { invariant, at, what });
        }
    }

    pub(crate) fn fault(&mut self, name: &'static str) {
        *self.faults.entry(name).or_default() += 1;
    }

    pub(crate) fn count(&mut self, name: &'static str) {
        *self.counts.entry(name).or_default() += 1;
    }

    pub(crate) fn reason(&mut self, reason: Reason) {
        *self.reasons.entry(reason.as_str()).or_default() += 1;
    }

    fn add(&mut self, quantity: Quantity) {
        *self.quantities.entry(quantity).or_default() += 1;
    }

    /// Makes a number of the history that is another when anything in it is.
    fn note(&mut self, parts: [u64; 4]) {
        for part in parts {
            for byte in part.to_le_bytes() {
                self.history = (self.history ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
            }
        }
    }

    pub(crate) fn begins(&mut self, process: usize, ask: Ask) {
        let _ = process;
        self.add(if ask.is_read() { Quantity::ReadsBegun } else { Quantity::WritesBegun });
    }

    pub(crate) fn ends(
        &mut self,
        process: usize,
        client: usize,
        call: &Call,
        now: Duration,
        failure: Option<&'static str>,
    ) {
        self.add(match (call.ask.is_read(), failure) {
            (true, None) => Quantity::ReadsDone,
            (false, None) => Quantity::WritesDone,
            (true, Some(_)) => Quantity::ReadsFailed,
            (false, Some(_)) => Quantity::WritesFailed,
        });
        let micros = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        let number = u64::try_from(client).unwrap_or(u64::MAX);
        self.note([micros, number, u64::from(call.ask.is_read()), u64::from(failure.is_some())]);
        let Some(why) = failure else { return };
        if self.quiet.as_ref().is_some_and(|(since, _)| call.begun >= *since) {
            let invariant = if call.ask.is_read() { Invariant::ReadsGoOn } else { Invariant::WritesGoOn };
            let what = format!("{:?} of client {client}, process {process}, failed: {why}", call.ask);
            self.violated(invariant, now, what);
        }
    }

    /// From now on all is well.
    pub(crate) fn begin_quiet(&mut self, now: Duration) {
        self.quiet = Some((now, vec![Quiet::default(); self.processes]));
    }

    /// Where a process takes a name for one of many servers, its reads need not be on replicas.
    pub(crate) fn end_quiet(&mut self, now: Duration, meets_many: &[bool]) {
        let Some((_, quiet)) = self.quiet.take() else { return };
        for (process, of) in quiet.iter().enumerate().filter(|(process, _)| !meets_many[*process]) {
            if of.reads >= FEW && of.on_replicas * 2 < of.reads {
                let what = format!("{} of {} reads of process {process}", of.on_replicas, of.reads);
                self.violated(Invariant::ReadsOnReplicas, now, what);
            }
        }
    }

    pub(crate) fn report(self, seed: u64, settings: &Settings, now: Duration) -> Report {
        Report {
            seed,
            profile: settings.profile,
            length: now,
            quantities: self.quantities,
            faults: self.faults,
            counts: self.counts,
            reasons: self.reasons,
            to_first_write: self.to_first_write,
            broken: self.broken,
            violations: self.violations,
            history: self.history,
        }
    }
}

impl World {
    /// What a state is, for people.
    fn name(&self, spot: Spot) -> String {
        format!("{} on timeline {}", spot.place, self.logs.timeline(spot.branch))
    }

    pub(crate) fn check_read(
        &mut self,
        client: usize,
        call: &Call,
        sent: &Sent,
        state: Spot,
        missing: Option<Spot>,
    ) {
        let Ask::Read(reader) = call.ask else { return };
        let on_replica = sent.purpose == Purpose::Read;
        self.checker.add(if on_replica { Quantity::OnReplicas } else { Quantity::OnThePrimary });
        let micros = u64::try_from(self.now.as_micros()).unwrap_or(u64::MAX);
        let node = u64::try_from(sent.node).unwrap_or(u64::MAX);
        self.checker.note([micros, node, state.place, u64::from(self.logs.timeline(state.branch))]);
        let who = |world: &Self| {
            format!(
                "client {client} read {} on node {}, {reader:?}, decided at {:.3} s",
                world.name(state),
                sent.node,
                call.decided.judged.at.as_secs_f64()
            )
        };
        if let Some(owed) = missing {
            let invariant = match reader {
                Reader::Session => Invariant::Session,
                Reader::Token => Invariant::Token,
                _ => Invariant::OwnWrites,
            };
            let what = format!("{}; {} was owed", who(self), self.name(owed));
            self.violated(invariant, what);
        }
        let owner = self.logs.owner(state.branch);
        if owner != Owner::Cluster {
            let what = format!("{}, a {owner:?}", who(self));
            return self.violated(Invariant::Elsewhere, what);
        }
        self.check_age(call, sent, state, &who);
        self.check_distance(call, sent, state, &who);
        if reader == Reader::Monotonic {
            self.check_monotonic(client, call, sent, state, &who);
        }
        // Of which server a name with many leads to nobody knows the timeline.
        let is_by_chance = reader == Reader::Any && call.decided.judged.snapshot.nodes[sent.node].hides_many;
        if let Some(known) = call.decided.judged.branch.filter(|_| !is_by_chance) {
            let is_known = self.logs.is_kept_by(known, state) || self.logs.part_of(known, state).is_some();
            if !is_known && !self.logs.is_kept_by(self.official(), state) {
                let what = format!("{}, when timeline {} was known", who(self), self.logs.timeline(known));
                self.violated(Invariant::Discarded, what);
            }
        }
        if let Some((since, quiet)) = &mut self.checker.quiet {
            let process = self.processes.len();
            let of = &mut quiet[client % process];
            if call.begun >= *since && reader != Reader::Latest {
                of.reads += 1;
                of.on_replicas += u64::from(on_replica);
            }
        }
    }

    fn check_age(&mut self, call: &Call, sent: &Sent, state: Spot, who: &dyn Fn(&Self) -> String) {
        let Some(limit) = call.ask.limit() else { return };
        let (Some(known), Some(as_of)) =
            (call.decided.judged.branch, call.decided.judged.at.checked_sub(limit))
        else {
            return;
        };
        let owed = self.logs.shown_as_of(known, as_of);
        let owed = self.logs.kept_by(self.official(), owed);
        if self.logs.shows(state, owed) {
            return;
        }
        if self.fell_back(sent) {
            return;
        }
        let what = format!(
            "{}; {} had been acknowledged at {:.3} s",
            who(self),
            self.name(owed),
            as_of.as_secs_f64()
        );
        self.violated(Invariant::Age, what);
    }

    /// For age alone what a replica said last counts, though it may have crashed since.
    fn fell_back(&mut self, sent: &Sent) -> bool {
        let started = self.servers[sent.connection.run.server].started_at;
        let fell_back =
            sent.purpose == Purpose::Read && sent.observed.is_none_or(|observed| observed < started);
        if fell_back {
            self.checker.count("reads of a replica that fell back since it was asked");
        }
        fell_back
    }

    fn check_distance(&mut self, call: &Call, sent: &Sent, state: Spot, who: &dyn Fn(&Self) -> String) {
        let Ask::Read(Reader::Near(distance)) = call.ask else { return };
        // What a primary has it may not show yet, where commits wait.
        if sent.purpose != Purpose::Read {
            return;
        }
        let judged = &call.decided.judged;
        let primary =
            judged.snapshot.primary.and_then(|primary| judged.snapshot.nodes[primary.index()].position);
        let (Some(known), Some(Place(end))) = (judged.branch, primary) else { return };
        let Some(part) = self.logs.part_of(known, state) else { return };
        if part + distance < end && !self.fell_back(sent) {
            let what = format!("{}; {end} less {distance} was known", who(self));
            self.violated(Invariant::Distance, what);
        }
    }

    fn check_monotonic(
        &mut self,
        client: usize,
        call: &Call,
        sent: &Sent,
        state: Spot,
        who: &dyn Fn(&Self) -> String,
    ) {
        let Some(before) = self.clients[client].has_shown(state) else { return };
        let mut owed = self.logs.kept_by(self.official(), before);
        if sent.purpose == Purpose::Write {
            // What a replica shows while its commit waits for replicas, the primary does not show yet.
            let over = self.logs.shown_as_of(owed.branch, call.begun);
            owed = if self.logs.shows(over, owed) { owed } else { over };
        }
        if self.logs.shows(state, owed) {
            return;
        }
        let is_known = |known| self.logs.is_kept_by(known, owed);
        if !call.decided.judged.branch.is_some_and(is_known) {
            return self.checker.count("reads behind one on a timeline that was not known yet");
        }
        let what = format!("{}; {} had been read before", who(self), self.name(owed));
        self.violated(Invariant::Monotonic, what);
    }

    /// Looks at a write that its client was told is done.
    pub(crate) fn check_write(&mut self, write: Spot) {
        let micros = u64::try_from(self.now.as_micros()).unwrap_or(u64::MAX);
        self.checker.note([micros, write.place, u64::from(self.logs.timeline(write.branch)), 1]);
        if let Some((_, since)) = self.checker.promoted.take_if(|(branch, _)| *branch == write.branch) {
            self.checker.to_first_write.push(self.now - since);
        }
        if self.logs.is_kept_by(self.official(), write) {
            if write.branch == self.official() {
                let further = self.checker.told.filter(|told| told.place > write.place);
                self.checker.told = Some(further.unwrap_or(write));
            }
        } else if self.settings.profile == Profile::Synchronous {
            let what = format!("a write at {} was acknowledged and is gone", self.name(write));
            self.violated(Invariant::Durability, what);
        } else {
            self.checker.count("acknowledged writes discarded by failovers");
        }
    }

    /// Looks at what a promotion leaves behind.
    pub(crate) fn check_promotion(&mut self, old: BranchId, new: BranchId) {
        self.checker.promoted = Some((new, self.now));
        let told = self.checker.told.take().filter(|told| told.branch == old);
        let Some(told) = told.filter(|told| !self.logs.is_kept_by(new, *told)) else { return };
        if self.settings.profile == Profile::Synchronous {
            let what = format!("a write at {} was acknowledged and is gone", self.name(told));
            self.violated(Invariant::Durability, what);
        } else {
            self.checker.count("promotions that discarded acknowledged writes");
        }
    }
}
