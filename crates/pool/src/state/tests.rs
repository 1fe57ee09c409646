//! The state under every event that there is, in random order, beside a plain account of what is where.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::task::Poll;
use std::time::Duration;

use super::deliveries::Delivery;
use super::*;
use crate::config::Class;
use crate::{ConnectError, Phase, Severity};

type Tested = State<u64, io::Error>;

const MS: Duration = Duration::from_millis(1);

/// What is delivered, the first first, what is to be checked, and what is to be dropped.
type Parts = (Vec<Delivery<u64, io::Error>>, Vec<Loan<u64>>, Vec<Loan<u64>>);

fn parts(out: Deliveries<u64, io::Error>) -> Parts {
    let (mut all, mut checks, mut closed) = (Vec::from_iter(out.first), Vec::new(), Vec::new());
    if let Some(more) = out.more {
        all.extend(more.deliveries);
        checks.extend(more.checks);
        closed.extend(more.closed.into_iter().map(|(loan, _)| loan));
    }
    (all, checks, closed)
}

/// What the test knows of a pool, and the connections that it holds for it.
struct World {
    state: Tested,
    random: fastrand::Rng,
    now: Instant,
    next: u64,
    tickets: Vec<Ticket>,
    leased: Vec<Loan<u64>>,
    checking: Vec<Loan<u64>>,
    resetting: Vec<Loan<u64>>,
    /// Those who wait, by class, the first first.
    waiting: Vec<Vec<Place<u64, io::Error>>>,
    opened: BTreeSet<u64>,
    closed: BTreeSet<u64>,
    is_closed: bool,
}

fn limits(random: &mut fastrand::Rng) -> Limits {
    let max_size = random.usize(1..6);
    let first = random.usize(0..max_size);
    let maybe = |random: &mut fastrand::Rng, duration: Duration| random.bool().then_some(duration);
    let mut limits = Limits {
        max_size,
        min_idle: random.usize(0..=max_size),
        max_connecting: random.usize(1..4),
        max_waiting: random.bool().then_some(5),
        check_after: maybe(random, 20 * MS),
        idle_timeout: maybe(random, 80 * MS),
        max_lifetime: maybe(random, 300 * MS),
        max_uses: random.bool().then_some(7),
        keepalive: maybe(random, 50 * MS),
        leak_after: maybe(random, 40 * MS),
        fail_fast: random.bool(),
        seed: Some(random.u64(..)),
        ..Limits::default()
    };
    if random.u8(..3) == 0 {
        limits.classes.push(Class { name: "first", reserved: first });
    }
    limits.classes.push(Class { name: "default", reserved: 0 });
    if random.u8(..4) == 0 {
        limits.shedding = Some(crate::codel::Shedding { target: 5 * MS, interval: 20 * MS });
    }
    limits
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let (limits, now) = (limits(&mut random), Instant::now());
        let waiting = limits.classes.iter().map(|_| Vec::new()).collect();
        Self {
            state: State::new(Box::new(limits), now),
            random,
            now,
            next: 0,
            tickets: Vec::new(),
            leased: Vec::new(),
            checking: Vec::new(),
            resetting: Vec::new(),
            waiting,
            opened: BTreeSet::new(),
            closed: BTreeSet::new(),
            is_closed: false,
        }
    }

    fn close_one(&mut self, loan: &Loan<u64>) {
        assert!(self.closed.insert(loan.connection), "{} is closed twice", loan.connection);
        self.state.gone();
    }

    fn close_all(&mut self, loans: Vec<Loan<u64>>) {
        loans.iter().for_each(|loan| self.close_one(loan));
    }

    /// What a driver does behind every transition.
    fn follow(&mut self, placement: Placement<u64>, out: Deliveries<u64, io::Error>) {
        if let Placement::Closed(loan, _) = placement {
            self.close_one(&loan);
        }
        let (mut all, checks, closed) = parts(out);
        self.checking.extend(checks);
        self.close_all(closed);
        // Those of one class come in the order in which they waited, be they served or refused.
        for (place, outcome) in all.drain(..) {
            let waiting = &mut self.waiting[place.who.class];
            let at = waiting.iter().position(|other| Arc::ptr_eq(other, &place)).expect("it waits");
            if outcome.is_ok() {
                assert_eq!(at, 0, "somebody was overtaken");
            }
            waiting.remove(at);
            if let Ok(loan) = outcome {
                self.leased.push(loan);
            }
        }
        while let Some(ticket) = self.state.start_connect(self.now) {
            self.tickets.push(ticket);
        }
        if let Some(hopeless) = self.state.refuse_hopeless(self.now) {
            self.follow(Placement::Placed, hopeless);
        }
    }

    fn placed(&mut self, out: Deliveries<u64, io::Error>) {
        self.follow(Placement::Placed, out);
    }

    fn take<T>(random: &mut fastrand::Rng, from: &mut Vec<T>) -> Option<T> {
        (!from.is_empty()).then(|| from.swap_remove(random.usize(..from.len())))
    }

    fn fate(&mut self) -> Fate {
        if self.random.u8(..5) == 0 { Fate::Close(CloseReason::Broken) } else { Fate::Clean }
    }

    fn step(&mut self) {
        let mut out = Deliveries::new();
        match self.random.u8(..16) {
            0..=3 => self.acquire(),
            4 | 5 => {
                let Some(loan) = Self::take(&mut self.random, &mut self.leased) else { return };
                let fate = self.fate();
                let at_hand = self.state.time_at_hand().filter(|_| fate == Fate::Clean);
                assert!(at_hand.is_none_or(|at_hand| at_hand <= self.now));
                let placement = self.state.release(loan, fate, at_hand.unwrap_or(self.now), &mut out);
                if at_hand.is_some() && matches!(placement, Placement::Placed) {
                    assert!(matches!(out.first, Some((_, Ok(_)))), "somebody waited for it");
                }
                self.follow(placement, out);
            }
            6 => {
                let Some(loan) = Self::take(&mut self.random, &mut self.leased) else { return };
                match self.state.release_soiled(loan, self.now, &mut out) {
                    Ok(loan) => self.resetting.push(loan),
                    Err((loan, _)) => self.close_one(&loan),
                }
                self.placed(out);
            }
            7 => {
                let Some(loan) = Self::take(&mut self.random, &mut self.resetting) else { return };
                let fate = self.fate();
                let placement = self.state.reset_done(loan, fate, self.now, &mut out);
                self.follow(placement, out);
            }
            8 => {
                let Some(loan) = Self::take(&mut self.random, &mut self.checking) else { return };
                let fate = self.fate();
                let placement = self.state.check_done(loan, fate, self.now, &mut out);
                self.follow(placement, out);
            }
            9 => {
                let Some(loan) = Self::take(&mut self.random, &mut self.leased) else { return };
                // It was kept at hand by a thread, or nobody saw it.
                let placement = if self.random.bool() {
                    self.state.recalled(loan, self.now, &mut out)
                } else {
                    let fate = self.fate();
                    self.state.not_used(loan, fate, self.now, &mut out)
                };
                self.follow(placement, out);
            }
            10 => self.connect(),
            11 => {
                let class = self.random.usize(..self.waiting.len());
                if self.waiting[class].is_empty() {
                    return;
                }
                let at = self.random.usize(..self.waiting[class].len());
                let place = self.waiting[class].remove(at);
                self.state.leave(&place);
                self.placed(out);
            }
            12 | 13 => {
                self.now += MS * self.random.u32(..30);
                // Upkeep may be late.
                if self.random.u8(..4) == 0 {
                    return;
                }
                let chores = self.state.upkeep(self.now);
                self.close_all(chores.closed.into_iter().map(|(loan, _)| loan).collect());
                self.checking.extend(chores.checks);
                self.placed(chores.out);
                let planned = self.state.plan_next(None, self.now);
                assert!(planned.is_none_or(|at| at > self.now), "upkeep would never rest");
            }
            14 if self.random.u8(..8) == 0 => {
                let closed = self.state.evict_before(self.state.generation() + 1);
                self.close_all(closed);
                self.placed(out);
            }
            15 if self.random.u8(..4) == 0 => {
                let size = self.random.usize(1..7);
                if let Ok(closed) = self.state.resize(size, self.now, &mut out) {
                    self.close_all(closed);
                }
                self.placed(out);
            }
            _ => {}
        }
    }

    fn acquire(&mut self) {
        let class = self.random.usize(..self.waiting.len());
        let deadline = self.now + MS * self.random.u32(1..60);
        let caller = Caller { class, asked: self.now, deadline, site: Location::caller(), is_first: false };
        let waited = !self.waiting[class].is_empty();
        let mut out = Deliveries::new();
        match self.state.admit(&caller, Waker::noop(), &mut None, self.now, &mut out) {
            Admission::Loan(loan) => {
                assert!(!waited, "a newcomer overtook its own class");
                self.leased.push(loan);
            }
            Admission::Stale(loan) => {
                let placement =
                    self.state.release(loan, Fate::Close(CloseReason::Expired), self.now, &mut out);
                return self.follow(placement, out);
            }
            Admission::Queued(place) => self.waiting[class].push(place),
            Admission::Refused(_) => {}
        }
        self.placed(out);
    }

    fn connect(&mut self) {
        let Some(ticket) = Self::take(&mut self.random, &mut self.tickets) else { return };
        let mut out = Deliveries::new();
        let Some(ticket) = self.state.confirm_connect(ticket, self.now) else { return self.placed(out) };
        match self.random.u8(..4) {
            0 => self.state.abandon_connect(ticket),
            1 => {
                let severity = match self.random.u8(..3) {
                    0 => Severity::Transient,
                    1 => Severity::Refreshable,
                    _ => Severity::Permanent,
                };
                let error = Arc::new(ConnectError::Panicked);
                let after = self.state.connect_failed(ticket, &error, severity, self.now, &mut out);
                if let AfterFailure::Refresh(ticket) = after {
                    self.tickets.push(ticket);
                }
            }
            _ => {
                self.next += 1;
                self.opened.insert(self.next);
                let (placement, old) = self.state.connected(ticket, self.next, self.now, &mut out);
                self.close_all(old.into_iter().collect());
                return self.follow(placement, out);
            }
        }
        self.placed(out);
    }

    /// What holds at all times.
    fn check(&self, before: usize) {
        let status = self.state.status();
        let (size, max_size) = (status.size, status.max_size);
        assert_eq!(status.connecting, self.tickets.len());
        assert_eq!(status.checking, self.checking.len());
        assert_eq!(status.resetting, self.resetting.len());
        assert_eq!(status.waiting, self.waiting.iter().map(Vec::len).sum::<usize>());
        assert_eq!(
            size,
            status.idle + status.connecting + status.checking + status.resetting + self.leased.len()
        );
        assert!(size <= max_size.max(before), "it grew to {size} of {max_size}");
        let alive = self.opened.len() - self.closed.len();
        assert_eq!(alive + status.connecting, size, "a connection was lost, or is there twice");
        // Every connection that is alive is in one place.
        let mut places: BTreeMap<u64, u32> = BTreeMap::new();
        let out = self.leased.iter().chain(&self.checking).chain(&self.resetting);
        out.chain(&self.state.idle).for_each(|loan| *places.entry(loan.connection).or_default() += 1);
        assert!(places.values().all(|count| *count == 1) && places.len() == alive);
        // Nobody waits beside a connection that rests and that it may have, unless one is being checked for it.
        assert!(
            status.idle == 0 || self.state.callers() <= status.checking,
            "somebody waits beside idle ones"
        );
        // Nor for a server that is down, which nobody tries to reach.
        assert!(
            status.waiting == 0
                || status.connecting > 0
                || !self.state.limits.fail_fast
                || !self.state.is_down(),
            "somebody waits for a server that is down"
        );
        for place in self.waiting.iter().flatten() {
            assert!(matches!(place.poll(Waker::noop()), Poll::Pending));
        }
        if self.is_closed {
            assert_eq!((status.idle, status.waiting), (0, 0));
        }
    }

    /// Everything comes back, and nothing is left.
    fn end(mut self) {
        let mut out = Deliveries::new();
        self.is_closed = true;
        let closed = self.state.close(&mut out);
        self.close_all(closed);
        self.placed(out);
        self.check(usize::MAX);
        for _ in 0..1000 {
            self.step();
            self.check(usize::MAX);
        }
        let tickets = std::mem::take(&mut self.tickets);
        tickets.into_iter().for_each(|ticket| self.state.abandon_connect(ticket));
        for loan in std::mem::take(&mut self.leased) {
            let mut out = Deliveries::new();
            let placement = self.state.release(loan, Fate::Clean, self.now, &mut out);
            self.follow(placement, out);
        }
        for loan in std::mem::take(&mut self.checking) {
            let mut out = Deliveries::new();
            let placement = self.state.check_done(loan, Fate::Clean, self.now, &mut out);
            self.follow(placement, out);
        }
        for loan in std::mem::take(&mut self.resetting) {
            let mut out = Deliveries::new();
            let placement = self.state.reset_done(loan, Fate::Clean, self.now, &mut out);
            self.follow(placement, out);
        }
        assert!(self.state.is_drained());
        assert_eq!(self.opened, self.closed);
    }
}

#[test]
fn no_connection_is_lost_nobody_is_overtaken_and_nobody_waits_beside_an_idle_one() {
    for seed in 0..400 {
        let mut world = World::new(seed);
        for step in 0..400 {
            let before = world.state.status().size;
            let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                world.step();
                world.check(before);
            }));
            assert!(caught.is_ok(), "seed {seed}, step {step}");
        }
        world.end();
    }
}

/// A pool of the default settings but for those, in which connections open when the test says so.
fn state(change: impl FnOnce(&mut Limits)) -> (Tested, Instant) {
    let mut limits = Limits { seed: Some(1), ..Limits::default() };
    limits.classes.push(Class { name: "default", reserved: 0 });
    change(&mut limits);
    let now = Instant::now();
    (State::new(Box::new(limits), now), now)
}

fn caller(now: Instant) -> Caller {
    Caller { class: 0, asked: now, deadline: now + 1000 * MS, site: Location::caller(), is_first: false }
}

fn wait(state: &mut Tested, now: Instant) -> Place<u64, io::Error> {
    match state.admit(&caller(now), Waker::noop(), &mut None, now, &mut Deliveries::new()) {
        Admission::Queued(place) => place,
        other => panic!("{other:?}"),
    }
}

fn open(state: &mut Tested, connection: u64, now: Instant) -> Deliveries<u64, io::Error> {
    let ticket = state.start_connect(now).expect("one is wanted");
    let mut out = Deliveries::new();
    let (placement, old) = state.connected(ticket, connection, now, &mut out);
    assert!(matches!(placement, Placement::Placed) && old.is_none());
    out
}

fn fail(state: &mut Tested, ticket: Ticket, severity: Severity, now: Instant) -> (AfterFailure, usize) {
    let mut out = Deliveries::new();
    let after = state.connect_failed(ticket, &Arc::new(ConnectError::Panicked), severity, now, &mut out);
    (after, parts(out).0.len())
}

#[test]
fn the_clock_is_left_alone_only_where_somebody_waits_and_lifetimes_are_long() {
    for (lifetime, is_long) in [(LONG_LIFE, true), (LONG_LIFE - MS, false)] {
        let (mut state, start) = state(|limits| (limits.max_size, limits.max_lifetime) = (1, Some(lifetime)));
        wait(&mut state, start);
        let out = open(&mut state, 1, start);
        let Some((_, Ok(_held))) = out.first else { panic!("it was waited for") };
        assert_eq!(state.time_at_hand(), None, "nobody waits");
        wait(&mut state, start + 1000 * MS);
        assert_eq!(state.time_at_hand(), is_long.then_some(start + 1000 * MS));
    }
}

#[test]
fn a_caller_whose_time_is_over_and_who_leaves_counts_once() {
    let (mut state, start) = state(|limits| limits.max_size = 1);
    let place = wait(&mut state, start);
    let chores = state.upkeep(start + 2000 * MS);
    assert!(place.leave().is_none(), "its end is on its way");
    state.leave(&place);
    drop(chores);
    let counters = state.counters();
    assert_eq!(counters.timed_out.iter().sum::<u64>() + counters.cancelled, 1);
}

#[test]
fn an_old_connection_goes_only_when_its_successor_is_there() {
    let (mut state, start) = state(|limits| limits.max_lifetime = Some(1000 * MS));
    wait(&mut state, start);
    let out = open(&mut state, 1, start);
    let Some((_, Ok(loan))) = out.first else { panic!("it was waited for") };
    let mut out = Deliveries::new();
    assert!(matches!(state.release(loan, Fate::Clean, start, &mut out), Placement::Placed));
    let due = state.idle[0].due.expect("it has a lifetime");
    assert!((start + 800 * MS..=start + 900 * MS).contains(&due));
    assert_eq!(state.plan_next(None, start), Some(due));
    assert!(state.upkeep(due).closed.is_empty(), "it stays until then");
    let ticket = state.start_connect(due).expect("a successor");
    assert!(state.start_connect(due).is_none(), "one is enough");
    let (placement, old) = state.connected(ticket, 2, due, &mut out);
    assert!(matches!(placement, Placement::Placed));
    assert_eq!(old.map(|old| old.connection), Some(1));
    assert_eq!(state.status().size, 2, "its place is free when it is dropped");
    state.gone();
    assert_eq!((state.status().size, state.idle[0].connection), (1, 2));
}

#[test]
fn a_full_pool_renews_few_connections_at_a_time() {
    let (mut state, start) = state(|limits| {
        (limits.max_size, limits.max_connecting) = (6, 1);
        limits.max_lifetime = Some(1000 * MS);
    });
    for connection in 0..6 {
        wait(&mut state, start);
        let out = open(&mut state, connection, start);
        // Each is held, so that the next one opens.
        std::mem::forget(out);
    }
    let mut loans: Vec<_> = Vec::new();
    assert_eq!(state.status().in_use(), 6);
    for connection in 0..6 {
        loans.push(Box::new(Entry {
            connection,
            generation: 0,
            opened: start,
            uses: 1,
            epoch: 0,
            due: Some(start + 850 * MS),
            expires: Some(start + 1000 * MS),
            wants_successor: false,
            proven: start,
            rests_since: start,
            class: 0,
            lent: None,
            is_kept_alive: false,
        }));
    }
    let now = start + 860 * MS;
    let mut closed = 0;
    for loan in loans {
        let mut out = Deliveries::new();
        closed +=
            usize::from(matches!(state.release(loan, Fate::Clean, now, &mut out), Placement::Closed(..)));
    }
    assert_eq!(closed, 1, "the others wait for their turn");
    state.gone();
    assert!(state.start_connect(now).is_some(), "what went is opened again");
    assert!(state.start_connect(now).is_none());
}

#[test]
fn a_server_that_is_down_is_tried_by_one_while_all_others_fail_at_once() {
    let (mut state, start) = state(|limits| limits.max_connecting = 4);
    let (first, second) = (wait(&mut state, start), wait(&mut state, start));
    let tickets: Vec<_> = std::iter::from_fn(|| state.start_connect(start)).collect();
    assert_eq!(tickets.len(), 2);
    let mut told = 0;
    let mut pause = Duration::ZERO;
    for ticket in tickets {
        let (after, count) = fail(&mut state, ticket, Severity::Transient, start);
        told += count;
        let AfterFailure::Wait(next) = after else { panic!("{after:?}") };
        pause = next;
    }
    assert_eq!(told, 2, "both are told at once");
    drop((first, second));
    let refused = state.admit(&caller(start), Waker::noop(), &mut None, start, &mut Deliveries::new());
    let Admission::Refused(refusal) = refused else { panic!("it waits for a server that is down") };
    assert!(matches!(*refusal, AcquireError::Down { retry_after, .. } if retry_after == pause), "{refusal}");
    assert!(state.start_connect(start).is_none(), "not before the pause is over");
    let retry = start + pause;
    assert_eq!(state.plan_next(None, start), Some(retry));
    assert!(state.start_connect(retry).is_some(), "for those who asked");
    assert!(state.start_connect(retry).is_none(), "one at a time");
    let refused = state.admit(&caller(retry), Waker::noop(), &mut None, retry, &mut Deliveries::new());
    assert!(matches!(refused, Admission::Refused(refusal) if matches!(*refusal, AcquireError::Down { .. })));
}

#[test]
fn nobody_tries_for_long_when_nobody_asks() {
    let (mut state, start) = state(|_| {});
    wait(&mut state, start);
    let ticket = state.start_connect(start).expect("one is wanted");
    fail(&mut state, ticket, Severity::Transient, start);
    let later = start + Duration::from_secs(60);
    assert!(state.start_connect(later).is_none());
    assert_eq!(state.plan_next(None, later), None);
    // Whoever comes then has it tried at once, and waits for that.
    assert!(matches!(
        state.admit(&caller(later), Waker::noop(), &mut None, later, &mut Deliveries::new()),
        Admission::Queued(..)
    ));
    assert!(state.start_connect(later).is_some());
}

#[test]
fn what_may_be_refreshed_is_tried_once_more_at_once() {
    let (mut state, now) = state(|_| {});
    wait(&mut state, now);
    let ticket = state.start_connect(now).expect("one is wanted");
    let (AfterFailure::Refresh(ticket), 0) = fail(&mut state, ticket, Severity::Refreshable, now) else {
        panic!("it may go better at once");
    };
    let (AfterFailure::Wait(_), 1) = fail(&mut state, ticket, Severity::Refreshable, now) else {
        panic!("the second time is the last, and whoever waits is told");
    };
}

#[test]
fn pauses_grow_to_their_limit_and_no_further() {
    let (mut state, start) = state(|limits| limits.fail_fast = false);
    let mut now = start;
    wait(&mut state, now);
    let mut longest = Duration::ZERO;
    for failure in 0..40_u32 {
        now += Duration::from_secs(3);
        let caller = Caller { deadline: now + Duration::from_secs(1000), ..caller(now) };
        let _ = state.admit(&caller, Waker::noop(), &mut None, start, &mut Deliveries::new());
        let ticket = state.start_connect(now).expect("somebody waits");
        let (AfterFailure::Wait(pause), 0) = fail(&mut state, ticket, Severity::Transient, now) else {
            panic!("nobody is told");
        };
        assert!(pause <= (20 * MS).saturating_mul(1 << failure.min(20)).min(Duration::from_secs(1)));
        longest = longest.max(pause);
    }
    assert!(longest > Duration::from_millis(500), "{longest:?}");
}

#[test]
fn the_phase_is_what_the_one_in_that_place_waits_for() {
    let (mut state, start) = state(|limits| (limits.max_size, limits.max_connecting) = (2, 1));
    for _ in 0..3 {
        wait(&mut state, start);
    }
    assert!(state.start_connect(start).is_some());
    let chores = state.upkeep(start + 2000 * MS);
    let (all, ..) = parts(chores.out);
    let phases: Vec<_> = all
        .into_iter()
        .map(|(_, outcome)| match outcome.map_err(|refusal| *refusal) {
            Err(AcquireError::Timeout { phase, .. }) => phase,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(phases, [Phase::Connect, Phase::Connect, Phase::Wait]);
    assert_eq!(state.counters().timed_out(Phase::Wait), 1);
}
