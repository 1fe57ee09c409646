use std::collections::HashSet;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwap;
use millpond_core::{
    Action, Event as Change, Health, Input, MAX_NODES, Membership, NodeId, NodeView, Observation, Refusal,
    RetryBudget, Role, Timeline,
};
use millpond_sql::{Classifier, Digest, digest};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::catalog::{self, Knowledge};
use crate::failed::Failed;
use crate::growing::Growing;
use crate::handle::Sees;
use crate::limits::LiveLimits;
use crate::loans::{self, Loans};
use crate::members::{State, View};
use crate::mode::ModeSwitch;
use crate::node::{Node, in_time, now};
use crate::on_primary::ReadsOnPrimary;
use crate::shadow::Shadow;
use crate::switches::Board;
use crate::unseen::Out;
use crate::watchers::{Place, Watchers};
use crate::written::Written;
use crate::{
    Backend, Config, Error, ErrorKind, Event, Handle, Limits, Mode, NodeConfig, NodeKey, NodeStatus, Outcome,
    Purpose, ShadowReport, Status,
};

/// How often a node is asked who it is, unless something else is set.
const USUAL_PROBE_INTERVAL: Duration = Duration::from_millis(200);

/// What a short `max_lag` makes of that at least.
const SHORTEST_PROBE_INTERVAL: Duration = Duration::from_millis(20);

/// A database cluster: its nodes, a pool and a monitor for each. Cheap to clone; all clones are one cluster. When the
/// last is dropped the monitors end.
pub struct Cluster<B: Backend> {
    pub(crate) shared: Arc<Shared<B>>,
    /// The monitors and whatever else runs in the background; aborted when the last clone is dropped.
    pub(crate) tasks: Arc<Mutex<JoinSet<()>>>,
}

impl<B: Backend> Clone for Cluster<B> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), tasks: Arc::clone(&self.tasks) }
    }
}

impl<B: Backend> fmt::Debug for Cluster<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("status", &self.status()).finish_non_exhaustive()
    }
}

impl<B: Backend> Cluster<B> {
    /// Starts monitors for the nodes and waits until each has answered once or failed to.
    ///
    /// A node that is down is an event, not an error: the start is degraded.
    ///
    /// # Errors
    ///
    /// A setting that cannot be, or no node at all that answers within the connect timeout.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a dropped future ends the monitors.
    pub async fn connect(
        backend: B,
        nodes: Vec<NodeConfig<B::Address>>,
        config: Config,
    ) -> Result<Self, Error> {
        config.check()?;
        // A little longer than a monitor waits, so that what it has to say of a silent node is heard.
        let patience = Instant::now() + config.connect_timeout + config.probe_timeout;
        let cluster = Self::start(backend, nodes, config)?;
        let mut changes = cluster.shared.changes.subscribe();
        let all_known = changes.wait_for(|()| cluster.is_known());
        let _ = timeout_at(patience, all_known).await;
        let is_needed = catalog::is_needed(&cluster.shared.view.load());
        let is_up = cluster.shared.view.load().members().any(|node| node.health == Health::Up);
        if !is_up {
            return Err(cluster.shared.no_node_answers());
        }
        if is_needed && cluster.shared.config.catalog_interval.is_some() {
            let _ = timeout_at(patience, cluster.shared.knowledge.first()).await;
        }
        Ok(cluster)
    }

    /// Starts monitors for the nodes without waiting for any.
    ///
    /// # Errors
    ///
    /// A setting that cannot be.
    pub fn start(backend: B, nodes: Vec<NodeConfig<B::Address>>, config: Config) -> Result<Self, Error> {
        let (shared, keys) = Shared::new(backend, nodes, config)?;
        let mut tasks = JoinSet::new();
        if let Some(interval) = shared.config.catalog_interval {
            tasks.spawn(catalog::run(Arc::clone(&shared), interval));
        }
        if let Some(after) = shared.config.leak_after {
            tasks.spawn(loans::run(Arc::clone(&shared), after));
        }
        let cluster = Self { shared, tasks: Arc::new(Mutex::new(tasks)) };
        keys.into_iter().for_each(|key| cluster.watch(key));
        Ok(cluster)
    }

    /// One node of which everything is known that will be: it is the primary, and nobody asks it.
    ///
    /// # Errors
    ///
    /// A setting that cannot be.
    pub fn of_one(backend: B, node: NodeConfig<B::Address>, config: Config) -> Result<Self, Error> {
        let (shared, _) = Shared::new(backend, vec![node], config)?;
        let node = shared.nodes.at(0);
        let (took, observation) = (Duration::ZERO, Observation::of(Role::Primary));
        shared.take_in(node, Input::Answered { node: node.id, asked: now(), took, observation });
        Ok(Self { shared, tasks: Arc::default() })
    }

    /// A handle whose reads show this process's own writes and are at most [`max_lag`](Config::max_lag) old.
    #[must_use]
    pub fn handle(&self) -> Handle<B> {
        Handle::new(self.clone(), Sees::Process)
    }

    /// How the cluster stands now.
    #[must_use]
    pub fn status(&self) -> Status {
        let shared = &self.shared;
        let snapshot = shared.view.load();
        let now = now();
        let refusals: Vec<_> = {
            let state = shared.state();
            shared.members(&snapshot).map(|node| state.topology.refusal(node.id)).collect()
        };
        let node = |(node, refusal): (&Node<B>, Option<Refusal>)| {
            let view = snapshot.of(node);
            let (read, write) = (node.pool(Purpose::Read).status(), node.pool(Purpose::Write).status());
            let (reads, primary_statements) = node.counts();
            NodeStatus {
                name: Arc::clone(&node.name),
                found_as: node.found_as.clone(),
                zone: node.zone(),
                weight: node.weight(),
                is_drained: view.is_some_and(|view| view.membership == Membership::Drained),
                role: view.and_then(|view| view.role),
                health: view.map_or(Health::Unknown, |view| view.health),
                last_failure: node.last_failure(),
                refusal: refusal.map(|refusal| refusal.to_string().into()),
                is_slow: view.is_some_and(|view| view.slow_since.is_some()),
                is_lagging: view.is_some_and(|view| view.is_lagging),
                timeline: view.and_then(|view| view.timeline).map(Timeline::get),
                is_saturated: node.is_saturated.load(Ordering::Relaxed),
                lag: view.map_or(millpond_core::Lag::Unknown, |view| view.lag(now)),
                in_flight: node.in_flight(),
                connections: read.size + write.size,
                idle: read.idle + write.idle,
                connect_failures: node.connects.failures(),
                waiting: read.waiting + write.waiting,
                reads,
                primary_statements,
                latencies: node.latencies(),
            }
        };
        Status {
            mode: shared.mode.get(),
            switches: shared.switches(),
            epoch: snapshot.epoch,
            primary: snapshot.primary.map(|primary| Arc::clone(&shared.node(&snapshot, primary).name)),
            timeline: snapshot.timeline.map(Timeline::get),
            healed: shared.healed.load(Ordering::Relaxed),
            retried: shared.retried.load(Ordering::Relaxed),
            over_budget: shared.over_budget.load(Ordering::Relaxed),
            shadowed: shared.shadowed.load(Ordering::Relaxed),
            failed: shared.failed.read(),
            reads_on_primary: shared.reads_on_primary.read(),
            no_reads: shared.why_no_reads(&snapshot),
            waiting: shared.waiting_for_node.load(Ordering::Relaxed),
            nodes: shared.members(&snapshot).zip(refusals).map(node).collect(),
        }
    }

    /// Switches the mode, from the next statement on.
    pub fn set_mode(&self, mode: Mode) {
        self.shared.set_mode(mode);
    }

    /// Which statements [`Mode::Route`] would have sent to replicas, as recorded in [`Mode::Shadow`] since the start or since it was
    /// [cleared](Self::clear_shadow_report). Leaving that mode, and coming back, keeps what was recorded.
    #[must_use]
    pub fn shadow_report(&self) -> ShadowReport {
        self.shared.shadow.report()
    }

    /// Forgets what was recorded so far: the next [report](Self::shadow_report) begins now.
    pub fn clear_shadow_report(&self) {
        self.shared.shadow.clear();
    }

    /// The backend.
    #[must_use]
    pub fn backend(&self) -> &B {
        &self.shared.backend
    }

    /// Ends the monitors, hands out no more connections, and waits until those that are out came back or `patience` is over. Says
    /// whether all are closed.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: pools reached before the drop are closed, and closing again goes on from there.
    pub async fn close(&self, patience: Duration) -> bool {
        let deadline = in_time(patience);
        {
            // A node that is added at the same time is there, and closed with the others, or is not added.
            let _state = self.shared.state();
            self.shared.is_closed.store(true, Ordering::Release);
        }
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
        self.shared.woken();
        let mut all = true;
        for node in self.shared.nodes.iter() {
            all &= node.close(deadline).await;
        }
        all
    }

    /// Whether each node has answered once or failed to.
    pub(crate) fn is_known(&self) -> bool {
        self.shared.view.load().members().all(|node| node.health != Health::Unknown)
    }
}

pub(crate) struct Shared<B: Backend> {
    pub(crate) backend: Arc<B>,
    pub(crate) config: Config,
    /// All that ever were configured, by [`NodeKey`]. Those that were taken out stay, closed: statements may end on them still.
    pub(crate) nodes: Growing<Node<B>>,
    pub(crate) state: Mutex<State<B::Position>>,
    pub(crate) view: ArcSwap<View<B::Position>>,
    pub(crate) limits: LiveLimits,
    /// Told when a node's health or role, or the primary, is another.
    pub(crate) changes: watch::Sender<()>,
    /// Told of every answer of a node, when somebody waits for a fresher one.
    pub(crate) answers: watch::Sender<()>,
    /// Reads that run on the primary since no replica may serve them, where there is a limit.
    pub(crate) fallback_reads: AtomicUsize,
    /// Callers that wait while no node may run their statement.
    pub(crate) waiting_for_node: AtomicUsize,
    /// Calls that failed.
    pub(crate) failed: Failed,
    /// Work that is out of which nobody sees what it writes.
    pub(crate) unseen: Out,
    /// Connections that callers hold, where somebody wants to hear of those that are held for long.
    pub(crate) loans: Loans,
    /// Those of every statement in flight.
    watchers: Watchers,
    is_closed: AtomicBool,
    pub(crate) mode: ModeSwitch,
    /// What statements would do, by [`Mode::Shadow`].
    pub(crate) shadow: Shadow,
    /// What else an operator sends to the primary.
    pub(crate) board: Board,
    /// What this process has written.
    pub(crate) written: Written<B::Position>,
    pub(crate) refused: Refused,
    /// What texts do, as far as they were asked for.
    pub(crate) knowledge: Knowledge,
    pub(crate) healed: AtomicU64,
    /// How many reads may go on to another node.
    pub(crate) retry_budget: RetryBudget,
    pub(crate) retried: AtomicU64,
    pub(crate) over_budget: AtomicU64,
    pub(crate) shadowed: AtomicU64,
    pub(crate) reads_on_primary: ReadsOnPrimary,
    /// Counts how often switches were set.
    pub(crate) switchings: AtomicU64,
}

impl<B: Backend> Shared<B> {
    /// When a node goes down, all that runs on it may go on. Called under the lock, whenever there are more or less of them, or of their
    /// connections.
    pub(crate) fn size_retry_budget(&self, view: &View<B::Position>) {
        let connections = view.members().count() * self.limits.max_size();
        self.retry_budget.set_reserve(u32::try_from(connections).unwrap_or(u32::MAX).max(10));
    }

    /// How often each node is asked who it is.
    pub(crate) fn probe_interval(&self) -> Duration {
        let of_lag = || USUAL_PROBE_INTERVAL.min(self.limits.max_lag() / 4).max(SHORTEST_PROBE_INTERVAL);
        self.config.probe_interval.unwrap_or_else(of_lag)
    }

    fn new(
        backend: B,
        nodes: Vec<NodeConfig<B::Address>>,
        config: Config,
    ) -> Result<(Arc<Self>, Vec<NodeKey>), Error> {
        config.check()?;
        if nodes.is_empty() || nodes.len() > MAX_NODES {
            return Err(Error::config(format!("a cluster has 1 to {MAX_NODES} nodes, not {}", nodes.len())));
        }
        let mut state = State::new(config.max_lag);
        let base = config.classifier.clone().unwrap_or_else(|| Classifier::new(B::DIALECT));
        let shared = Arc::new(Self {
            view: ArcSwap::from_pointee(state.view()),
            state: Mutex::new(state),
            nodes: Growing::default(),
            limits: LiveLimits::new(&Limits::of(&config)),
            changes: watch::Sender::new(()),
            answers: watch::Sender::new(()),
            fallback_reads: AtomicUsize::new(0),
            waiting_for_node: AtomicUsize::new(0),
            failed: Failed::default(),
            unseen: Out::default(),
            loans: Loans::default(),
            watchers: Watchers::default(),
            is_closed: AtomicBool::new(false),
            mode: ModeSwitch::new(config.switches.mode),
            shadow: Shadow::new(config.switches.mode),
            board: Board::new(&config.switches),
            written: Written::default(),
            refused: Refused::default(),
            knowledge: Knowledge::new(base, config.catalog_interval),
            healed: AtomicU64::new(0),
            retry_budget: RetryBudget::new(0),
            retried: AtomicU64::new(0),
            over_budget: AtomicU64::new(0),
            shadowed: AtomicU64::new(0),
            reads_on_primary: ReadsOnPrimary::default(),
            switchings: AtomicU64::new(0),
            backend: Arc::new(backend),
            config,
        });
        let keys = nodes.into_iter().map(|node| shared.join(node)).collect::<Result<_, _>>()?;
        Ok((shared, keys))
    }

    pub(crate) fn set_mode(&self, mode: Mode) {
        self.switchings.fetch_add(1, Ordering::Relaxed);
        let before = {
            // Both under its lock, so that it goes by the last of two that are set at the same time.
            let mut records = self.shadow.records();
            records.switch(mode);
            self.mode.set(mode)
        };
        if before != mode {
            self.tell(&Event::ModeChanged { mode });
        }
    }

    /// Whether it is known what the database holds, as far as it matters to the nodes there are.
    pub(crate) fn knows_catalog(&self, snapshot: &View<B::Position>) -> bool {
        self.knowledge.is_current() || !catalog::is_needed(snapshot)
    }

    /// Why nothing is taken for a read, if nothing is.
    fn why_no_reads(&self, snapshot: &View<B::Position>) -> Option<Arc<str>> {
        if !self.knows_catalog(snapshot) {
            return Some("what the database holds is not known yet, or was changed since".into());
        }
        self.knowledge.hidden_code().map(|event| event.to_string().into())
    }

    /// Whether what is taken for a read is one, since the catalog shows what its text hides.
    pub(crate) fn is_sure_of_reads(&self) -> bool {
        self.config.catalog_interval.is_some() && self.knowledge.is_current()
    }

    /// Takes in what happened, and publishes what is known now. Gives what has to follow, without the lock.
    pub(crate) fn handle(&self, state: &mut State<B::Position>, input: Input<B::Position>) -> Vec<Todo> {
        state.topology.handle(input);
        let mut todos = Vec::new();
        let view = Arc::new(state.view());
        if is_other_choice(&self.view.load(), &view) {
            // Whatever is told of it or not: who waits for it looks only then.
            todos.push(Todo::Wake);
        }
        // In this order: what is opened from here on is held against what is known now, what was opened before is not handed out any more, and
        // only then anybody chooses by it. Listeners take their time.
        for node in self.members(&view) {
            if let Some(known) = view.of(node) {
                node.identity.learn(known);
            }
        }
        while let Some(action) = state.topology.poll_action() {
            match action {
                Action::Evict(node) => self.node_of(state.key(node)).evict(),
                Action::AskAnew(node) => self.node_of(state.key(node)).identity.ask_anew(),
                Action::EvictWrites(node) => self.node_of(state.key(node)).pool(Purpose::Write).evict(),
                Action::Tell(change) => todos.extend(self.todo(state, change)),
                _ => {}
            }
        }
        // Under the lock, so that views are published in the order they were made.
        self.view.store(view);
        if self.answers.receiver_count() > 0 {
            self.answers.send_replace(());
        }
        todos
    }

    /// Does what follows from what happened.
    pub(crate) fn follow(&self, todos: Vec<Todo>) {
        let is_change = !todos.is_empty();
        for todo in todos {
            match todo {
                // What reads on it holds a connection that may never answer.
                Todo::EvictReads(node) => self.node_of(node).pool(Purpose::Read).evict(),
                Todo::Tell(event) => self.tell(&event),
                Todo::Wake => {}
            }
        }
        // Only then: every statement in flight listens.
        if is_change {
            self.woken();
        }
    }

    /// Has everybody who waits for a change look.
    pub(crate) fn woken(&self) {
        self.changes.send_replace(());
        self.watchers.wake_all();
    }

    /// Waits until what is known of the cluster is so. Costs nothing before it is first polled.
    pub(crate) const fn wait_until<F>(&self, is_so: F) -> Until<'_, B, F>
    where
        F: Fn(&View<B::Position>) -> bool + Unpin,
    {
        Until { shared: self, is_so, place: None }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    /// Asks every monitor to probe now.
    pub(crate) fn nudge_all(&self) {
        self.members(&self.view.load()).for_each(|node| node.nudged.notify_one());
    }

    pub(crate) fn tell(&self, event: &Event) {
        let (name, node) = (event.as_str(), event.node());
        if event.is_warning() {
            tracing::warn!(target: "millpond", event = name, node, "{event}");
        } else {
            tracing::info!(target: "millpond", event = name, node, "{event}");
        }
        if let Some(listener) = &self.config.on_event {
            // A monitor must outlive what its listener does.
            if catch_unwind(AssertUnwindSafe(|| listener(event))).is_err() {
                tracing::error!(target: "millpond", "the event listener panicked");
            }
        }
    }

    fn todo(&self, state: &State<B::Position>, change: Change) -> impl Iterator<Item = Todo> + use<B> {
        let named = |node: NodeId| self.node_of(state.key(node));
        let name = |node: NodeId| Arc::clone(&named(node).name);
        let mut evicted = None;
        let event = match change {
            Change::NodeUp(node) => Event::NodeUp { node: name(node) },
            Change::NodeDown(node) => {
                evicted = Some(Todo::EvictReads(state.key(node)));
                Event::NodeDown { node: name(node), cause: named(node).last_failure() }
            }
            Change::RoleChanged(node, role) => Event::RoleChanged { node: name(node), role },
            Change::PrimaryChanged(node, epoch) => {
                Event::PrimaryChanged { node: name(node), epoch: epoch.get() }
            }
            Change::PrimaryLost(node) => Event::PrimaryLost { node: name(node) },
            Change::NoPrimary => Event::NoPrimary,
            Change::Discarded(node, distance) => Event::Discarded { node: name(node), distance },
            Change::SecondPrimary(node, why) => Event::SecondPrimary { node: name(node), why },
            Change::NotRefused(node, why) => {
                let name = name(node);
                match why {
                    Refusal::OtherCluster => Event::over("other_cluster", Some(name)),
                    _ => Event::over("second_primary", Some(name)),
                }
            }
            Change::AmbiguousPrimary => Event::AmbiguousPrimary,
            Change::OtherCluster(node, cluster) => Event::OtherCluster { node: name(node), cluster },
            Change::Slow(node, is_slow) => Event::NodeSlow { node: name(node), is_slow },
            Change::Lagging(node, is_lagging) => Event::NodeLagging { node: name(node), is_lagging },
            Change::ManyServers(node, are_many) => Event::ManyServers { node: name(node), are_many },
            _ => return evicted.into_iter().chain(None),
        };
        evicted.into_iter().chain(Some(Todo::Tell(event)))
    }

    fn no_node_answers(&self) -> Error {
        Error::new(ErrorKind::Start, Outcome::NotSent, format!("no node answers: {}", self.why_not()))
    }

    /// No node takes writes: what is known of each.
    pub(crate) fn no_primary(&self) -> Error {
        let text = format!("no node takes writes: {}", self.why_not());
        Error::new(ErrorKind::NoPrimary, Outcome::NotSent, text)
    }

    fn why_not(&self) -> String {
        let (view, state) = (self.view.load(), self.state());
        let why = |node: &Node<B>| {
            let known = view.of(node);
            let refusal = known.and_then(|known| state.topology.refusal(known.id));
            let timeline = known.and_then(|known| known.timeline);
            let why = match (node.last_failure(), refusal, known.and_then(|known| known.role), timeline) {
                (Some(failure), ..) => failure.to_string(),
                (None, Some(refusal), Some(role), _) => format!("is a {role} and gets no writes: {refusal}"),
                (None, _, Some(role), Some(timeline)) => format!("is a {role} on timeline {timeline}"),
                (None, _, Some(role), None) => format!("is a {role}"),
                (None, _, None, _) => "no answer yet".to_owned(),
            };
            format!("{}: {why}", node.name)
        };
        self.members(&view).map(why).collect::<Vec<_>>().join("; ")
    }
}

/// Whether another node may be chosen by one view than by the other, ages aside.
fn is_other_choice<P>(before: &View<P>, now: &View<P>) -> bool {
    let of = |view: &View<P>| (view.primary, view.epoch, view.timeline);
    let is_like = |a: &NodeView<P>, b: &NodeView<P>| {
        (a.health, a.role, a.timeline, a.membership) == (b.health, b.role, b.timeline, b.membership)
    };
    of(before) != of(now)
        || before.nodes.len() != now.nodes.len()
        || !before.nodes.iter().zip(&now.nodes).all(|(a, b)| is_like(a, b))
}

/// What has to be done about what happened.
pub(crate) enum Todo {
    /// Close a node's pooled connections for reads.
    EvictReads(NodeKey),
    /// Have everybody who waits look, which follows in any case.
    Wake,
    /// Tell whoever listens.
    Tell(Event),
}

/// Made by [`Shared::wait_until`].
pub(crate) struct Until<'s, B: Backend, F> {
    shared: &'s Shared<B>,
    is_so: F,
    place: Option<Place>,
}

impl<B, F> Future for Until<'_, B, F>
where
    B: Backend,
    F: Fn(&View<B::Position>) -> bool + Unpin,
{
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let watchers = &self.shared.watchers;
        if self.place.is_none_or(|place| !watchers.will_wake(place, context.waker())) {
            let added = watchers.add(context.waker());
            if let Some(place) = self.place.replace(added) {
                watchers.remove(place);
            }
        }
        // Looked at only now: it may have come about while there was nobody to wake, or that was another one.
        if (self.is_so)(&self.shared.view.load()) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl<B: Backend, F> Drop for Until<'_, B, F> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.shared.watchers.remove(place);
        }
    }
}

/// Texts that a replica refused: taken for writes from then on. Bounded; forgets all when full, since a text that is
/// forgotten is only refused, healed and remembered once more.
#[derive(Debug, Default)]
pub(crate) struct Refused {
    digests: Mutex<HashSet<Digest>>,
    /// So that statements need not be digested before the first refusal.
    was_used: AtomicBool,
}

impl Refused {
    const MOST: usize = 1024;

    #[inline(always)]
    pub(crate) fn contains(&self, sql: &str, dialect: millpond_sql::Dialect) -> bool {
        self.was_used.load(Ordering::Relaxed) && self.has(sql, dialect)
    }

    #[cold]
    fn has(&self, sql: &str, dialect: millpond_sql::Dialect) -> bool {
        self.digests.lock().unwrap_or_else(PoisonError::into_inner).contains(&digest(sql, dialect))
    }

    pub(crate) fn remember(&self, digest: Digest) {
        let mut digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        if digests.len() >= Self::MOST {
            digests.clear();
        }
        digests.insert(digest);
        self.was_used.store(true, Ordering::Relaxed);
    }
}
