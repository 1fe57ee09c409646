//! What a call does until it is answered. The rules are those of `millpond-cluster`'s search and execution.

use std::rc::Rc;
use std::time::Duration;

use millpond_core::{
    Access, Decision, Epoch, Freshness, Health, Input, LastRead, NodeSet, Plan, Position as _, Reason,
    Request, Seen, Snapshot, Token, TokenPosition, decide,
};

use crate::call::{Ask, Call, Decided, Judged, Message, Purpose, Reader, Said, Sent, Stage, Wanted, Wish};
use crate::logs::Spot;
use crate::monitor::{CONNECT_TIMEOUT, PROBE_TIMEOUT};
use crate::owed::Owed;
use crate::place::Place;
use crate::process::{Connection, id};
use crate::server::{Power, Run};
use crate::settings::Lie;
use crate::world::{Event, World};

/// The defaults of `millpond-cluster`.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(100);
const PROMPT: Duration = Duration::from_millis(1);

/// How soon it is looked again whether a connection that led elsewhere is one to the node by now.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

const POOL: usize = 10;

/// How long a call may take.
const PATIENCE: Duration = Duration::from_secs(8);

/// Tokens that wait to be read with; beyond, the oldest goes.
const MAILBOX: usize = 32;

/// Who writes and reads, one call at a time.
pub(crate) struct Client {
    process: usize,
    session: Seen<Place>,
    owed: Owed,
    /// What its reads that never show less have shown.
    shown: Option<Shown>,
    /// For the check: the state that the last of them showed.
    last_state: Option<Spot>,
    call: Option<Call>,
    /// Counts its waits and messages: what belongs to an earlier one is void.
    round: u32,
    /// Calls left of this visit.
    left: u8,
}

impl Client {
    pub(crate) fn new(process: usize) -> Self {
        let (session, owed) = (Seen::default(), Owed::default());
        Self { process, session, owed, shown: None, last_state: None, call: None, round: 0, left: 0 }
    }

    /// Somebody else's visit.
    fn begin_anew(&mut self) {
        self.session = Seen::default();
        self.owed = Owed::default();
        self.shown = None;
        self.last_state = None;
    }

    /// A read that never shows less showed this. Gives what the one before did.
    pub(crate) fn has_shown(&mut self, state: Spot) -> Option<Spot> {
        self.last_state.replace(state)
    }
}

/// What was shown by a replica of which no position is known.
#[derive(Clone, Copy, Debug)]
struct Shown {
    /// Which, if it is sure to show as much again.
    node: Option<usize>,
    sent: Duration,
    answered: Duration,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Done,
    Failed(&'static str),
}

impl World {
    pub(crate) fn visit(&mut self, number: usize) {
        let ask = self.next_ask(number);
        let client = &mut self.clients[number];
        if client.left == 0 {
            client.left = self.random.u8(1..=4);
        }
        let process = client.process;
        let told = if ask == Ask::Read(Reader::Token) { self.open_mail(process) } else { None };
        if ask == Ask::Read(Reader::Token) && told.is_none() {
            return self.rest(number);
        }
        let call = Call {
            ask,
            begun: self.now,
            deadline: self.now + ACQUIRE_TIMEOUT,
            ends: self.now + PATIENCE,
            tried: NodeSet::EMPTY,
            told,
            plan: Plan::new(NodeSet::EMPTY, None, 0),
            decided: Decided {
                at: self.now,
                epoch: Epoch::default(),
                primary: None,
                to_prove: NodeSet::EMPTY,
                wanted: Wanted::Nothing,
                judged: Judged { at: self.now, snapshot: self.snapshot(process), branch: None },
            },
            stage: Stage::Waits,
        };
        if ask.is_read() {
            self.processes[process].budget.first_try();
        }
        self.clients[number].call = Some(call);
        self.processes[process].active.push(number);
        self.checker.begins(process, ask);
        self.search(number);
    }

    fn next_ask(&mut self, number: usize) -> Ask {
        if self.clients[number].left == 0 && self.random.u8(0..50) == 0 {
            self.clients[number].begin_anew();
        }
        match self.random.u8(0..100) {
            0..25 => Ask::Write,
            25..42 => Ask::Read(Reader::Session),
            42..50 => Ask::Read(Reader::Monotonic),
            50..65 => Ask::Read(Reader::Plain),
            65..70 => Ask::Read(Reader::Near(self.random.u64(0..2000))),
            70..82 => Ask::Read(Reader::Within(Duration::from_millis(self.random.u64(50..3000)))),
            82..90 => Ask::Read(Reader::Any),
            90..92 => Ask::Read(Reader::Latest),
            _ => Ask::Read(Reader::Token),
        }
    }

    /// A token from another process, read as text.
    fn open_mail(&mut self, process: usize) -> Option<(Seen<Place>, Owed)> {
        let (text, owed) = self.processes[process].mail.pop_front()?;
        let token = text.parse::<Token<Place>>().ok()?;
        let seen = if self.is_told(Lie::ForgetsTokens) {
            Seen::default()
        } else {
            Seen::told(token, self.instant(self.now))
        };
        Some((seen, owed))
    }

    fn seen<'a>(&'a self, number: usize, call: &'a Call) -> Option<&'a Seen<Place>> {
        match call.ask {
            Ask::Write | Ask::Read(Reader::Session | Reader::Monotonic) => {
                Some(&self.clients[number].session)
            }
            Ask::Read(Reader::Plain) => Some(&self.processes[self.clients[number].process].written),
            Ask::Read(Reader::Token) => call.told.as_ref().map(|(seen, _)| seen),
            Ask::Read(_) => None,
        }
    }

    /// Decides by what is known now.
    fn decide(&mut self, number: usize, call: &Call, seed: u64) -> (Decision, Wanted, Rc<Snapshot<Place>>) {
        let process = self.clients[number].process;
        let snapshot = self.snapshot(process);
        let now = self.instant(self.now);
        let nothing = Seen::default();
        let is_forgotten = self.is_told(Lie::ForgetsWrites) && call.ask.is_read();
        let seen = self.seen(number, call).filter(|_| !is_forgotten).unwrap_or(&nothing);
        let wanted = match seen.position_on(snapshot.timeline) {
            Some(position) => Wanted::Position(*position),
            None if seen.is_nothing() => Wanted::Nothing,
            None => Wanted::Unknown,
        };
        let access = if self.is_told(Lie::WritesAnywhere) { Access::Read } else { call.ask.access() };
        let freshness = match call.ask.freshness() {
            Freshness::Within(_) if self.is_told(Lie::ForgetsAge) => Freshness::Any,
            _ if self.is_told(Lie::ReadsOnThePrimary) => Freshness::Latest,
            Freshness::Behind { time, .. } if self.is_told(Lie::ForgetsDistance) => Freshness::Within(time),
            freshness => freshness,
        };
        let last_read = self.last_read(number, call);
        let request = Request::new(access, freshness, seen, seed).behind(last_read).proving(true);
        let mut decision = decide(&request, &snapshot, now);
        let is_routed = matches!(decision.reason, Reason::FreshReplica | Reason::ProvingReplica);
        if is_routed && self.processes[process].is_primary_only {
            decision = decide(&Request::new(access, Freshness::Latest, seen, seed), &snapshot, now);
        }
        if self.is_told(Lie::Nobody) {
            decision.plan = Plan::new(NodeSet::EMPTY, None, seed);
        }
        (decision, wanted, snapshot)
    }

    /// What the read must not show less of than.
    fn last_read(&self, number: usize, call: &Call) -> Option<LastRead> {
        let is_heeded = call.ask == Ask::Read(Reader::Monotonic) && !self.is_told(Lie::ForgetsReads);
        let shown = self.clients[number].shown.filter(|_| is_heeded)?;
        Some(LastRead { node: shown.node.map(id), answered: self.instant(shown.answered) })
    }

    /// Whether the replica that served the last read may have crashed since, and shows less: its connection is newer than that read.
    fn may_have_gone_back(&mut self, number: usize, node: usize, connection: Connection) -> bool {
        let snapshot = self.snapshot(self.clients[number].process);
        let Some(call) = &self.clients[number].call else { return false };
        let Some(last) = self.last_read(number, call) else { return false };
        let is_on = |shown: &Shown| shown.node == Some(node) && connection.opened >= shown.sent;
        let is_newer = self.clients[number].shown.as_ref().is_some_and(is_on);
        let by_age = LastRead { node: None, ..last };
        is_newer && !by_age.is_shown_by(&snapshot.nodes[node]) && !self.is_told(Lie::IgnoresCrashes)
    }

    /// Looks for a node, as often as what is known tells of one.
    fn search(&mut self, number: usize) {
        let Some(mut call) = self.clients[number].call.take() else { return };
        let process = self.clients[number].process;
        let seed = self.random.u64(..);
        let (decision, wanted, snapshot) = self.decide(number, &call, seed);
        self.checker.reason(decision.reason);
        let branch = self.processes[process].branch;
        call.decided = Decided {
            at: self.now,
            epoch: snapshot.epoch,
            primary: snapshot.primary,
            to_prove: decision.to_prove,
            wanted,
            judged: Judged { at: self.now, snapshot, branch },
        };
        call.plan = decision.plan;
        if matches!(decision.reason, Reason::OwnWrite | Reason::TooOld) {
            self.nudge_all(process);
        }
        self.clients[number].call = Some(call);
        self.go_on(number);
    }

    /// Goes on with the plan that was made.
    fn go_on(&mut self, number: usize) {
        let process = self.clients[number].process;
        let now = self.instant(self.now);
        self.clients[number].round += 1;
        let round = self.clients[number].round;
        loop {
            let peers = &self.processes[process].peers;
            let Some(call) = &mut self.clients[number].call else { return };
            let Some(next) = call.plan.next(|node| {
                let peer = &peers[node.index()];
                peer.average.load(peer.in_flight, now)
            }) else {
                break;
            };
            if call.tried.contains(next) {
                continue;
            }
            let purpose = if call.decided.primary == Some(next) { Purpose::Write } else { Purpose::Read };
            let node = next.index();
            match self.take_connection(process, node, purpose) {
                Some(connection) => {
                    if !self.is_still_right(number, node, purpose) {
                        self.search(number);
                        return self.give_back(process, node, purpose, connection);
                    }
                    if self.lease(number, node, purpose, connection) {
                        return;
                    }
                }
                None => {
                    let (begun, is_told) = (self.now, false);
                    return self.connect(Wish { client: number, round, node, purpose, begun, is_told });
                }
            }
        }
        self.wait(number, round);
    }

    /// The plan is used up: waits for a change, or a while.
    fn wait(&mut self, number: usize, round: u32) {
        let (now, names) = (self.now, self.servers.len());
        let process = self.clients[number].process;
        let Some(call) = &mut self.clients[number].call else { return };
        if call.tried.len() == names || now >= call.deadline {
            return self.finish(number, End::Failed("no node served it"));
        }
        call.stage = Stage::Waits;
        let at = (now + RETRY).min(call.deadline);
        self.nudge_all(process);
        self.queue.push(at, Event::Retry { client: number, round });
    }

    fn take_connection(&mut self, process: usize, node: usize, purpose: Purpose) -> Option<Connection> {
        while let Some(connection) = self.processes[process].peers[node].pool(purpose).idle.pop() {
            // One that the server has closed is known to be.
            if self.is_open(connection.run) {
                return Some(connection);
            }
        }
        None
    }

    fn connect(&mut self, wish: Wish) {
        let now = self.now;
        let Wish { client: number, round, node, purpose, .. } = wish;
        let process = self.clients[number].process;
        let Some(call) = &mut self.clients[number].call else { return };
        call.stage = Stage::Connects { node, purpose };
        let others = call.plan.nodes().iter().any(|other| !call.tried.contains(other));
        let rest = call.deadline.saturating_sub(now);
        let patience = if call.ask.is_read() && others { rest / 4 } else { rest };
        self.after(patience.min(CONNECT_TIMEOUT), Event::Waited { client: number, round });
        let peer = &mut self.processes[process].peers[node];
        peer.in_flight += 1;
        peer.pool(purpose).wishes.push_back(wish);
        if !self.is_cut(process, node) {
            let delay = self.delay();
            self.after(delay, Event::Connects(wish));
        }
    }

    pub(crate) fn connects(&mut self, wish: Wish) {
        let process = self.clients[wish.client].process;
        if self.is_cut(process, wish.node) {
            return;
        }
        let run = self.run_behind(wish.node);
        let server = &mut self.servers[run.server];
        let run = match server.power {
            Power::Down => None,
            Power::Up => Some(run),
            Power::Frozen => return server.held.push(Event::Connects(wish)),
        };
        let delay = self.delay();
        self.after(delay, Event::Connected(wish, run));
    }

    /// The node that a call waits for a connection of, if it still does.
    fn connecting(&self, number: usize, round: u32) -> Option<usize> {
        let client = &self.clients[number];
        match client.call.as_ref().map(|call| &call.stage) {
            Some(Stage::Connects { node, .. }) if client.round == round => Some(*node),
            _ => None,
        }
    }

    pub(crate) fn connected(&mut self, wish: Wish, run: Option<Run>) {
        let Wish { client, round, node, purpose, begun, is_told } = wish;
        let process = self.clients[client].process;
        if let Some(run) = run.filter(|run| !self.is_admitted(process, node, purpose, *run)) {
            if !is_told {
                self.led_elsewhere(process, node, begun, run);
            }
            // The monitor is given a while to say that the name has moved.
            let is_given_up = self.now >= begun + PROBE_TIMEOUT || !self.is_open(run);
            let answer = Some(run).filter(|_| !is_given_up);
            return self.after(LOOK_AGAIN, Event::Connected(Wish { is_told: true, ..wish }, answer));
        }
        let is_wanted = self.connecting(client, round).is_some();
        let peer = &mut self.processes[process].peers[node];
        match run {
            Some(run) => {
                let generation = peer.pool(purpose).generation;
                let connection = Connection { opened: self.now, run, generation };
                if is_wanted {
                    self.has_connection(wish, connection);
                } else {
                    self.give_back(process, node, purpose, connection);
                }
            }
            None if is_wanted => {
                peer.in_flight -= 1;
                self.cannot_connect(client, node);
            }
            None => {}
        }
    }

    /// Whether a connection to this server is one to the node.
    fn is_admitted(&mut self, process: usize, node: usize, purpose: Purpose, run: Run) -> bool {
        let snapshot = self.snapshot(process);
        let known = &snapshot.nodes[node];
        self.is_told(Lie::IgnoresServers)
            || known.server.is_none_or(|server| server == run.id())
            || (known.hides_many && purpose == Purpose::Read)
    }

    /// A call has the connection that it waited for.
    fn has_connection(&mut self, wish: Wish, connection: Connection) {
        let Wish { client: number, round, node, purpose, .. } = wish;
        if self.connecting(number, round).is_none() {
            return;
        }
        let process = self.clients[number].process;
        self.processes[process].peers[node].in_flight -= 1;
        if !self.is_still_right(number, node, purpose) {
            // Marked as done before somebody else gets the connection.
            self.search(number);
            return self.give_back(process, node, purpose, connection);
        }
        if !self.lease(number, node, purpose, connection) {
            self.go_on(number);
        }
    }

    pub(crate) fn waited(&mut self, number: usize, round: u32) {
        let Some(node) = self.connecting(number, round) else { return };
        let process = self.clients[number].process;
        self.processes[process].peers[node].in_flight -= 1;
        self.cannot_connect(number, node);
    }

    fn cannot_connect(&mut self, number: usize, node: usize) {
        let process = self.clients[number].process;
        self.nudge(process, node);
        let deadline = self.clients[number].call.as_ref().map(|call| call.deadline);
        if deadline.is_none_or(|deadline| self.now >= deadline) {
            return self.finish(number, End::Failed("no connection"));
        }
        self.go_on(number);
    }

    fn is_still_right(&mut self, number: usize, node: usize, purpose: Purpose) -> bool {
        let known = self.snapshot(self.clients[number].process);
        let Some(mut call) = self.clients[number].call.take() else { return false };
        let since = self.now - call.decided.at;
        let is_outdated = since >= PROMPT || !Rc::ptr_eq(&known, &call.decided.judged.snapshot);
        if purpose == Purpose::Read && !is_outdated {
            self.clients[number].call = Some(call);
            return true;
        }
        let (decision, _, snapshot) = self.decide(number, &call, 0);
        let is_primary = snapshot.primary == Some(id(node));
        let branch = self.processes[self.clients[number].process].branch;
        let is_right = match purpose {
            Purpose::Write => is_primary,
            Purpose::Read => !is_primary && decision.plan.nodes().contains(id(node)),
        };
        if is_right && purpose == Purpose::Read {
            call.decided.judged = Judged { at: self.now, snapshot, branch };
        }
        self.clients[number].call = Some(call);
        is_right
    }

    /// A connection goes to who waits for one, or rests.
    fn give_back(&mut self, process: usize, node: usize, purpose: Purpose, connection: Connection) {
        // Some are at the end of their life.
        let is_old = self.random.u8(0..100) == 0;
        let peer = &mut self.processes[process].peers[node];
        if connection.generation != peer.pool(purpose).generation || is_old {
            return;
        }
        while let Some(wish) = self.processes[process].peers[node].pool(purpose).wishes.pop_front() {
            let waits_here = self.connecting(wish.client, wish.round).is_some();
            if waits_here {
                return self.has_connection(wish, connection);
            }
        }
        let pool = self.processes[process].peers[node].pool(purpose);
        if pool.idle.len() < POOL {
            pool.idle.push(connection);
        }
    }

    /// Sends the statement over a connection. Not when the node would have to prove what cannot be asked for.
    fn lease(&mut self, number: usize, node: usize, purpose: Purpose, connection: Connection) -> bool {
        let process = self.clients[number].process;
        let now = self.now;
        if !self.is_admitted(process, node, purpose, connection.run) {
            // It is closed, and decided anew.
            self.search(number);
            return true;
        }
        if purpose == Purpose::Read && self.may_have_gone_back(number, node, connection) {
            // It is one like any other then.
            if let Some(shown) = &mut self.clients[number].shown {
                shown.node = None;
            }
            self.search(number);
            self.give_back(process, node, purpose, connection);
            return true;
        }
        let latest = self.snapshot(process).epoch;
        let must_prove = purpose == Purpose::Read && self.must_prove(number, node, connection);
        let origin = self.origin;
        let round = self.clients[number].round;
        let Some(call) = &mut self.clients[number].call else { return true };
        let wanted = call.decided.wanted;
        let is_to_prove = call.decided.to_prove.contains(id(node)) || must_prove;
        let must_show = match wanted {
            Wanted::Position(position) if is_to_prove => Some(position),
            Wanted::Unknown if is_to_prove => {
                call.stage = Stage::Waits;
                self.give_back(process, node, purpose, connection);
                self.nudge(process, node);
                return false;
            }
            _ => None,
        };
        let epoch = if purpose == Purpose::Write { latest } else { call.decided.epoch };
        let observed = call.decided.judged.snapshot.nodes[node].observed.map(|at| at.duration_since(origin));
        let sent = Sent { node, purpose, epoch, connection, at: now, must_show, observed };
        call.stage = Stage::Sent(Rc::new(sent));
        let message = Message {
            client: number,
            process,
            round,
            ask: call.ask,
            node,
            purpose,
            run: connection.run,
            must_show,
            highest: self.processes[process].highest,
            ends: call.ends,
        };
        self.processes[process].peers[node].in_flight += 1;
        if self.is_cut(process, node) {
            self.swallowed(&message);
        } else {
            let delay = self.delay();
            self.after(delay, Event::Arrives(message));
        }
        true
    }

    /// Whether what is known of a replica now does not show what it has to, or may be of before it crashed.
    fn must_prove(&mut self, number: usize, node: usize, connection: Connection) -> bool {
        let snapshot = self.snapshot(self.clients[number].process);
        let view = &snapshot.nodes[node];
        let Some(call) = &self.clients[number].call else { return false };
        if call.decided.wanted == Wanted::Nothing || self.is_told(Lie::IgnoresNews) {
            return false;
        }
        let opened = self.instant(connection.opened);
        let is_shown = self.seen(number, call).is_none_or(|seen| seen.is_shown_by(view));
        !is_shown || view.observed.is_none_or(|asked| asked < opened)
    }

    pub(crate) fn retry(&mut self, number: usize, round: u32) {
        let client = &self.clients[number];
        if client.round == round && matches!(client.call, Some(Call { stage: Stage::Waits, .. })) {
            self.search(number);
        }
    }

    /// What is known has changed: whether the call still waits for something.
    pub(crate) fn look_up(&mut self, number: usize) {
        let process = self.clients[number].process;
        let snapshot = self.snapshot(process);
        let Some(call) = &self.clients[number].call else { return };
        let is_down = |node: usize| snapshot.nodes[node].health == Health::Down;
        let is_primary = |node: usize| snapshot.primary == Some(id(node));
        match &call.stage {
            Stage::Waits => self.search(number),
            Stage::Connects { node, purpose, .. } => {
                let (node, purpose) = (*node, *purpose);
                let may_serve = match purpose {
                    Purpose::Write => is_primary(node),
                    Purpose::Read => !is_down(node),
                };
                if !may_serve {
                    self.processes[process].peers[node].in_flight -= 1;
                    self.go_on(number);
                }
            }
            Stage::Sent(sent) => {
                let sent = Rc::clone(sent);
                // By the same name, too.
                let is_replaced = snapshot.epoch != sent.epoch && snapshot.primary.is_some();
                let is_lost = match sent.purpose {
                    Purpose::Read => is_down(sent.node),
                    Purpose::Write => is_replaced || (call.ask.is_read() && is_down(sent.node)),
                };
                if is_lost {
                    self.processes[process].peers[sent.node].in_flight -= 1;
                    self.failed(number, sent.node);
                }
            }
        }
    }

    /// A statement that was sent came to nothing: a read goes on to another node, a write may have run.
    fn failed(&mut self, number: usize, node: usize) {
        let process = self.clients[number].process;
        let Some(call) = &mut self.clients[number].call else { return };
        if !call.ask.is_read() {
            self.wrote(number, TokenPosition::Everything, None);
            return self.finish(number, End::Failed("a write that may have run"));
        }
        call.tried.insert(id(node));
        if !self.processes[process].budget.try_again() {
            return self.finish(number, End::Failed("no further try"));
        }
        self.checker.count("reads tried again");
        self.search(number);
    }

    pub(crate) fn over(&mut self, number: usize, round: u32) {
        if self.clients[number].round != round {
            return;
        }
        let Some(Call { stage: Stage::Sent(sent), ask, .. }) = &self.clients[number].call else { return };
        let (node, ask) = (sent.node, *ask);
        let process = self.clients[number].process;
        self.processes[process].peers[node].in_flight -= 1;
        if !ask.is_read() {
            self.wrote(number, TokenPosition::Everything, None);
        }
        self.finish(number, End::Failed("out of time"));
    }

    /// Notes a write: the core's way, and for the check.
    fn wrote(&mut self, number: usize, position: TokenPosition<Place>, asked: Option<Duration>) {
        let now = self.instant(self.now);
        let process = self.clients[number].process;
        let snapshot = self.snapshot(process);
        let place = snapshot.cluster.zip(snapshot.timeline);
        let token = place.map(|(cluster, timeline)| Token::new(cluster, timeline, position));
        let seen = match (token, asked) {
            (Some(token), Some(asked)) => Seen::written_up_to(token, self.instant(asked), now),
            (token, _) => Seen::written(token, now),
        };
        self.clients[number].session.merge(&seen);
        self.processes[process].written.merge(&seen);
    }

    pub(crate) fn answered(&mut self, message: Message, said: Said, left: Duration) {
        let number = message.client;
        if self.clients[number].round != message.round {
            return;
        }
        let Some(Call { stage: Stage::Sent(sent), .. }) = &self.clients[number].call else { return };
        let sent = Rc::clone(sent);
        if self.is_cut(message.process, message.node) {
            return self.swallowed(&message);
        }
        let is_open = self.is_open(message.run);
        let was_cut_short = !is_open && self.servers[message.run.server].stopped_at < left;
        let said = if was_cut_short { Said::Lost } else { said };
        let now = self.instant(self.now);
        let (process, node) = (message.process, message.node);
        let peer = &mut self.processes[process].peers[node];
        peer.in_flight -= 1;
        match said {
            Said::Lost => peer.average.penalise(now),
            _ => peer.average.observe(self.now - sent.at, now),
        }
        if said != Said::Lost && is_open {
            self.give_back(process, node, sent.purpose, sent.connection);
        }
        match said {
            Said::Read(_, Some(place)) if !self.has_proved(process, &sent, place) => self.search(number),
            Said::Read(state, _) => {
                self.read_is_done(number, &sent, state);
                self.finish(number, End::Done);
            }
            Said::Written(spot, behind) => {
                self.wrote(number, TokenPosition::UpTo(behind), Some(sent.at));
                self.write_is_done(number, spot);
                self.finish(number, End::Done);
            }
            Said::Behind => {
                let wanted = sent.must_show.unwrap_or_default();
                let (asked, answered) = (self.instant(sent.at), now);
                self.take_in(process, Input::Behind { node: id(node), wanted, asked, answered });
                self.nudge(process, node);
                self.search(number);
            }
            Said::ReadOnly => {
                self.nudge_all(process);
                self.finish(number, End::Failed("a replica refused a write"));
            }
            Said::Lost => {
                self.nudge(process, node);
                self.failed(number, node);
            }
        }
    }

    fn has_proved(&mut self, process: usize, sent: &Sent, position: Place) -> bool {
        let snapshot = self.snapshot(process);
        if snapshot.epoch != sent.epoch {
            return false;
        }
        let known = snapshot.nodes[sent.node].proven;
        if known.is_none_or(|known| !known.covers(&position)) {
            let asked = self.instant(sent.at);
            self.take_in(process, Input::Proved { node: id(sent.node), position, asked });
        }
        true
    }

    fn write_is_done(&mut self, number: usize, spot: Spot) {
        let process = self.clients[number].process;
        let client = &mut self.clients[number];
        client.owed.add(spot, self.now);
        self.processes[process].owed.add(spot, self.now);
        self.check_write(spot);
        if self.random.u8(0..4) == 0 && self.settings.processes > 1 {
            let other = (process + self.random.usize(1..self.settings.processes)) % self.settings.processes;
            let Some(token) = self.clients[number].session.token().map(ToString::to_string) else { return };
            let owed = self.clients[number].owed.clone();
            let mail = &mut self.processes[other].mail;
            mail.push_back((token, owed));
            if mail.len() > MAILBOX {
                mail.pop_front();
            }
        }
    }

    fn read_is_done(&mut self, number: usize, sent: &Sent, state: Spot) {
        let Some(call) = self.clients[number].call.take() else { return };
        let process = self.clients[number].process;
        let owed = match call.ask {
            Ask::Read(Reader::Plain) => Some(&self.processes[process].owed),
            Ask::Read(Reader::Session | Reader::Monotonic) => Some(&self.clients[number].owed),
            Ask::Read(Reader::Token) => call.told.as_ref().map(|(_, owed)| owed),
            _ => None,
        };
        let missing =
            owed.and_then(|owed| owed.missing(&self.logs, state, call.begun, self.operator.official));
        self.check_read(number, &call, sent, state, missing);
        if call.ask == Ask::Read(Reader::Monotonic) {
            self.has_read(number, sent);
        }
        self.clients[number].call = Some(call);
    }

    /// Notes what later reads must not show less of than.
    fn has_read(&mut self, number: usize, sent: &Sent) {
        let now = self.now;
        if sent.purpose == Purpose::Read {
            let shown = Shown { node: Some(sent.node), sent: sent.at, answered: now };
            self.clients[number].shown = Some(shown);
            return;
        }
        // As where nobody asked the primary how far that is.
        let snapshot = self.snapshot(self.clients[number].process);
        let place = snapshot.cluster.zip(snapshot.timeline);
        let token = place.map(|(cluster, timeline)| Token::new(cluster, timeline, TokenPosition::Everything));
        let seen = Seen::written(token, self.instant(now));
        self.clients[number].session.merge(&seen);
        self.clients[number].shown = None;
    }

    fn finish(&mut self, number: usize, end: End) {
        let Some(call) = self.clients[number].call.take() else { return };
        self.clients[number].round += 1;
        let process = self.clients[number].process;
        self.processes[process].active.retain(|active| *active != number);
        let failure = match end {
            End::Done => None,
            End::Failed(why) => Some(why),
        };
        self.checker.ends(process, number, &call, self.now, failure);
        self.rest(number);
    }

    /// The clients of a process are gone with it, and others come.
    pub(crate) fn replace_clients(&mut self, process: usize) {
        for number in 0..self.clients.len() {
            let client = &mut self.clients[number];
            if client.process != process {
                continue;
            }
            client.begin_anew();
            client.round += 1;
            client.left = 0;
            if client.call.take().is_some() {
                self.rest(number);
            }
        }
    }

    /// The next call of the visit comes soon, the next visit later.
    fn rest(&mut self, number: usize) {
        let client = &mut self.clients[number];
        client.left = client.left.saturating_sub(1);
        let wait = match client.left {
            0 => self.settings.think.mul_f64(0.5 + self.random.f64()),
            _ => Duration::from_micros(self.random.u64(100..20_000)),
        };
        self.after(wait, Event::Visit { client: number });
    }
}
