//! Keeps what is known of the database: asked of a node at the start, on an interval, and when a definition was seen.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use millpond_core::{Health, NodeId, Position, Role, Snapshot};
use millpond_sql::{Analysis, Cache, Catalog, Classification, Classifier, Digest, ReasonKind};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use crate::cluster::Shared;
use crate::error::describe;
use crate::execute::unless;
use crate::{Backend, Event, NodeKey, Purpose};

/// The classifier that all handles use, with its answers, and its renewal.
pub(crate) struct Knowledge {
    answers: Cache,
    /// Those for sessions with a search path of their own.
    under_any_path: Cache,
    /// What the answers are by.
    catalog: ArcSwapOption<Catalog>,
    /// What is known whatever the database holds.
    base: Classifier,
    /// Told when the catalog may be another.
    outdated: Notify,
    /// How many definitions were run, and how many of them the catalog shows. What the database held before the start counts
    /// as the first, where a catalog is wanted.
    defined: AtomicU64,
    shown: AtomicU64,
    /// How often the database was asked, in vain or not.
    asked: watch::Sender<u64>,
}

/// In which schemas a session finds names without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SearchPath {
    /// In those that the catalog was asked for with.
    Usual,
    /// In any.
    Any,
}

/// What helps against what is hidden.
const SAYS_SO: &str = "if it only reads, declare its functions STABLE, or name them to allow_function()";

/// What the database held before the start, as a count of definitions.
const FIRST: u64 = 1;

impl Knowledge {
    /// Knows nothing yet, and is content with that when no catalog is wanted.
    pub(crate) fn new(base: Classifier, interval: Option<Duration>) -> Self {
        Self {
            answers: Cache::new(base.clone()),
            under_any_path: Cache::new(base.clone().any_search_path(true)),
            catalog: ArcSwapOption::new(base.catalog().cloned()),
            base,
            outdated: Notify::new(),
            defined: AtomicU64::new(if interval.is_some() { FIRST } else { 0 }),
            shown: AtomicU64::new(0),
            asked: watch::Sender::new(0),
        }
    }

    const fn under(&self, path: SearchPath) -> &Cache {
        match path {
            SearchPath::Usual => &self.answers,
            SearchPath::Any => &self.under_any_path,
        }
    }

    /// What a text does, as far as the last catalog shows.
    pub(crate) fn classify(&self, sql: &str, path: SearchPath) -> Classification {
        self.under(path).classify(sql)
    }

    /// All that a text shows.
    pub(crate) fn analyze(&self, sql: &str, path: SearchPath) -> Arc<Analysis> {
        self.under(path).analyze(sql)
    }

    /// The number that texts share which differ only in values.
    pub(crate) fn digest(&self, sql: &str) -> Digest {
        self.base.digest(sql)
    }

    /// A text without its values.
    pub(crate) fn normalized(&self, sql: &str) -> String {
        self.base.normalized(sql)
    }

    /// Why a text is no plain read.
    pub(crate) fn why(&self, classification: &Classification, sql: &str) -> String {
        let reason = classification.reason();
        let shown = reason.display(sql);
        match reason.kind() {
            ReasonKind::HiddenCode => {
                self.hidden_code().map_or_else(|| shown.to_string(), |event| event.to_string())
            }
            ReasonKind::HiddenView
            | ReasonKind::HiddenFunction
            | ReasonKind::HiddenOperator
            | ReasonKind::HiddenType
            | ReasonKind::RowSecurity => match self.hazard(reason.span().of(sql)) {
                Some(hazard) => format!("{shown}: {hazard}; {SAYS_SO}"),
                None => format!("{shown}; {SAYS_SO}"),
            },
            _ => shown.to_string(),
        }
    }

    /// What the catalog has against the object that a statement calls by `words`.
    fn hazard(&self, words: &str) -> Option<String> {
        let name = words.rsplit('.').next()?.trim();
        let unquoted = name.strip_prefix('"').and_then(|name| name.strip_suffix('"'));
        let name = unquoted.map_or_else(|| name.to_lowercase(), str::to_owned);
        let catalog = self.catalog()?;
        catalog.hazards().find(|hazard| hazard.name() == name).map(ToString::to_string)
    }

    /// What the database holds, as far as it was asked.
    pub(crate) fn catalog(&self) -> Option<Arc<Catalog>> {
        self.catalog.load_full()
    }

    /// A definition was run: the catalog has to be loaded again.
    pub(crate) fn defined(&self) {
        self.defined.fetch_add(1, Ordering::AcqRel);
        self.outdated.notify_one();
    }

    /// Counts the definitions.
    pub(crate) fn definitions(&self) -> u64 {
        self.defined.load(Ordering::Acquire)
    }

    /// Whether the catalog shows every definition that was run through the cluster. Until it does, what looks like a read
    /// may name a view that it has not heard of.
    pub(crate) fn is_current(&self) -> bool {
        self.shown.load(Ordering::Acquire) == self.definitions()
    }

    /// Waits until the database was asked once.
    pub(crate) async fn first(&self) {
        // The sender lives as long as `self`, so the channel is never closed.
        let _ = self.asked.subscribe().wait_for(|asked| *asked > 0).await;
    }

    /// A catalog that shows so many definitions. Says whether it is another one than before; then what is remembered by its names is forgotten.
    fn learn(&self, classifier: Classifier, shown: u64, forget_names: impl Fn()) -> bool {
        let is_same = match (classifier.catalog(), self.catalog()) {
            (Some(new), Some(old)) => Arc::ptr_eq(new, &old),
            _ => false,
        };
        if !is_same {
            // Remembered answers are those of the old catalog. They go before the new count is seen, and names before those who ask by the new
            // ones; and once more, for what was noted by an old one meanwhile.
            forget_names();
            self.catalog.store(classifier.catalog().cloned());
            self.under_any_path.renew(classifier.clone().any_search_path(true));
            self.answers.renew(classifier);
            forget_names();
        }
        self.shown.store(shown, Ordering::Release);
        !is_same
    }

    fn search_path(&self) -> Option<Vec<String>> {
        self.catalog().map(|catalog| catalog.search_path().map(str::to_owned).collect())
    }

    /// What runs without being named and keeps every read on the primary.
    pub(crate) fn hidden_code(&self) -> Option<Event> {
        let catalog = self.catalog()?;
        let hazard = catalog.hazards().find(|hazard| hazard.is_unnamed())?;
        Some(Event::HiddenCode { hazard: hazard.to_string().into() })
    }

    /// Whom to ask. The primary has every definition first. A replica may be behind: it is asked only for the first catalog,
    /// while there is no primary and nothing was defined since the start.
    fn source<P: Position>(&self, snapshot: &Snapshot<P>) -> Option<NodeId> {
        let is_new = self.shown.load(Ordering::Acquire) == 0 && self.definitions() == FIRST;
        let any = || snapshot.members().find(|node| node.health == Health::Up).map(|node| node.id);
        snapshot.primary.or_else(|| if is_new { any() } else { None })
    }
}

/// Whether a replica may be given a read. A lone primary runs every statement, whatever that does.
pub(crate) fn is_needed<P: Position>(snapshot: &Snapshot<P>) -> bool {
    !snapshot.is_lone() || snapshot.members().any(|node| node.role == Some(Role::Replica))
}

/// How soon to ask again after an error, and how soon at the latest after many.
const RETRY: Duration = Duration::from_millis(250);
const LONGEST_RETRY: Duration = Duration::from_secs(30);

/// Over so long the processes that follow a failover ask the new primary.
const SPREAD: Duration = Duration::from_secs(5);

/// Runs until it is aborted, with the last clone of its cluster.
pub(crate) async fn run<B: Backend>(shared: Arc<Shared<B>>, interval: Duration) {
    let knowledge = &shared.knowledge;
    let source = || {
        let view = shared.view.load();
        knowledge.source(&view).map(|id| view.key(id))
    };
    let mut failures = Failures::default();
    loop {
        shared.wait_until(|snapshot| is_ready(snapshot) && knowledge.source(snapshot).is_some()).await;
        let Some(node) = source() else { continue };
        let is_of_primary = shared.view.load().is_primary(shared.node_of(node));
        // A definition that is run meanwhile may be missed.
        let defined = knowledge.definitions();
        let pause = match load(&*shared, node).await {
            Ok(classifier) => {
                let path = knowledge.search_path();
                let is_new = knowledge.learn(classifier, defined, || shared.written.forget_tables());
                if path.is_some() && path != knowledge.search_path() {
                    // Connections look names up as they did when they were opened.
                    shared.members(&shared.view.load()).for_each(|node| node.evict());
                }
                failures.over(&shared);
                if let Some(event) = knowledge.hidden_code().filter(|_| is_new) {
                    shared.tell(&event);
                }
                // Those that were started at the same time do not stay together.
                interval.mul_f64(0.9 + 0.1 * fastrand::f64())
            }
            Err(why) => failures.add(&shared, why).min(interval),
        };
        knowledge.asked.send_modify(|asked| *asked += 1);
        // Another primary may know more than the one before, or than a replica.
        let is_other = pin!(
            shared.wait_until(|view| knowledge.source(view).is_some_and(|source| view.key(source) != node))
        );
        let ended = timeout(pause, unless(is_other, pin!(knowledge.outdated.notified()))).await;
        if matches!(ended, Ok(None)) && is_of_primary && knowledge.is_current() {
            // Behind a failover: what is known is of the primary before, which the new one has followed. All processes hear of it in the same
            // moment, and the question is a long one.
            let _ = timeout(SPREAD.mul_f64(fastrand::f64()), knowledge.outdated.notified()).await;
        }
    }
}

/// Every node has answered or failed to, and a catalog is of use.
fn is_ready<P: Position>(snapshot: &Snapshot<P>) -> bool {
    is_needed(snapshot) && snapshot.members().all(|node| node.health != Health::Unknown)
}

/// The failures since the last success.
#[derive(Default)]
struct Failures {
    count: u32,
    /// What was told of them: the same trouble is told once.
    told: Option<Arc<str>>,
}

impl Failures {
    /// One more. Says how soon to try again.
    fn add<B: Backend>(&mut self, shared: &Shared<B>, why: String) -> Duration {
        let cause: Arc<str> = why.into();
        if self.told.as_ref() != Some(&cause) {
            let cause = Arc::clone(&cause);
            shared.tell(&if shared.knowledge.is_current() {
                Event::CatalogKept { cause }
            } else {
                Event::CatalogMissing { cause }
            });
        }
        self.told = Some(cause);
        let pause = RETRY.saturating_mul(2_u32.saturating_pow(self.count)).min(LONGEST_RETRY);
        self.count += 1;
        pause
    }

    fn over<B: Backend>(&mut self, shared: &Shared<B>) {
        if self.told.is_some() {
            shared.tell(&Event::CatalogLoaded);
        }
        *self = Self::default();
    }
}

async fn load<B: Backend>(shared: &Shared<B>, node: NodeKey) -> Result<Classifier, String> {
    let node = shared.node_of(node);
    let patience = shared.config.connect_timeout;
    let ask = async {
        let mut connection = shared.backend.connect(&node.address, Purpose::Probe).await?;
        shared.backend.classifier(&mut connection, &shared.knowledge.base).await
    };
    let name = &node.name;
    match timeout(patience, ask).await {
        Ok(Ok(classifier)) => Ok(classifier),
        Ok(Err(error)) => {
            let doing = format!("{name}: asking what the database holds");
            Err(describe(&doing, &error, &shared.backend.failure(&error)))
        }
        Err(_) => Err(format!(
            "{name}: asking what the database holds: no answer within {patience:?}; connect_timeout is the limit"
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use millpond_core::Topology;
    use millpond_sql::Dialect;
    use tokio::sync::mpsc;
    use tokio::time::{Instant, sleep};

    use super::*;
    use crate::testing::{Servers, answers, server};
    use crate::{Cluster, Config, NodeConfig};

    /// Node 0 is down, node 1 is a replica.
    fn without_primary() -> Snapshot<u64> {
        let mut snapshot = Topology::new(2).snapshot();
        snapshot.nodes[0].health = Health::Down;
        snapshot.nodes[1].health = Health::Up;
        snapshot.nodes[1].role = Some(Role::Replica);
        snapshot
    }

    fn knowledge() -> Knowledge {
        Knowledge::new(Classifier::new(Dialect::Postgres), Some(Duration::from_secs(60)))
    }

    #[test]
    fn a_replica_is_asked_only_while_nothing_better_can_be_known() {
        let knowledge = knowledge();
        let mut snapshot = without_primary();
        assert_eq!(knowledge.source(&snapshot), NodeId::new(1));
        // It may not show the definition.
        knowledge.defined();
        assert_eq!(knowledge.source(&snapshot), None);
        snapshot.primary = NodeId::new(0);
        assert_eq!(knowledge.source(&snapshot), NodeId::new(0));
        knowledge.learn(Classifier::new(Dialect::Postgres), knowledge.definitions(), || {});
        // Nor may it show what is known already.
        assert_eq!(knowledge.source(&without_primary()), None);
    }

    #[test]
    fn nothing_is_current_before_the_first_catalog_unless_none_is_wanted() {
        assert!(Knowledge::new(Classifier::new(Dialect::Postgres), None).is_current());
        let knowledge = knowledge();
        assert!(!knowledge.is_current());
        let before = knowledge.definitions();
        knowledge.defined();
        knowledge.learn(Classifier::new(Dialect::Postgres), before, || {});
        assert!(!knowledge.is_current(), "the definition came while it was loaded");
        knowledge.learn(Classifier::new(Dialect::Postgres), knowledge.definitions(), || {});
        assert!(knowledge.is_current());
    }

    #[test]
    fn an_unchanged_catalog_leaves_the_answers_as_they_are() {
        let knowledge = knowledge();
        let catalog = Arc::new(Catalog::default());
        let classifier = || Classifier::new(Dialect::Postgres).with_catalog(Arc::clone(&catalog));
        assert!(knowledge.learn(classifier(), FIRST, || {}));
        let _ = knowledge.classify("select 1", SearchPath::Usual);
        let _ = knowledge.classify("select 1", SearchPath::Any);
        let remembered = || [knowledge.answers.len(), knowledge.under_any_path.len()];
        knowledge.defined();
        assert!(!knowledge.learn(classifier(), knowledge.definitions(), || {}));
        assert_eq!(remembered(), [1, 1]);
        assert!(knowledge.is_current());
        knowledge.learn(Classifier::new(Dialect::Postgres).with_catalog(Arc::default()), FIRST, || {});
        assert_eq!(remembered(), [0, 0]);
    }

    #[test]
    fn code_that_keeps_every_read_on_the_primary_is_told_by_name() {
        let knowledge = knowledge();
        let with = |catalog: Catalog| knowledge.base.clone().with_catalog(catalog.into());
        knowledge.learn(with(Catalog::default()), FIRST, || {});
        assert_eq!(knowledge.hidden_code(), None);
        let catalog = Catalog::builder().unnamed_function("shop", "to_text").build();
        knowledge.learn(with(catalog), FIRST, || {});
        let told = knowledge.hidden_code().unwrap().to_string();
        assert!(told.contains("shop.to_text"), "{told}");
    }

    #[test]
    fn a_lone_primary_needs_no_catalog_and_a_lone_replica_does() {
        let mut snapshot = Topology::<u64>::new(1).snapshot();
        snapshot.nodes[0].role = Some(Role::Primary);
        assert!(!is_needed(&snapshot));
        snapshot.nodes[0].role = Some(Role::Replica);
        assert!(is_needed(&snapshot));
        assert!(is_needed(&Topology::<u64>::new(2).snapshot()));
    }

    /// How long behind a failover the new primary is asked.
    async fn asked_behind_a_failover(defines: bool) -> Duration {
        let (asked, mut questions) = mpsc::unbounded_channel();
        let probe = move |address| -> crate::testing::Connecting {
            // The monitors' first questions, which nobody answers, are told too.
            let _ = asked.send(address);
            Box::pin(ready(Ok(server(address))))
        };
        let servers = Servers::new(|_| Box::pin(pending())).with_probes(probe);
        let nodes = [("a", 1), ("b", 2)].map(|(name, address)| NodeConfig::new(name.into(), address));
        let config = Config { probe_timeout: Duration::from_secs(3600), ..Config::default() };
        let cluster = Cluster::start(servers, nodes.to_vec(), config).unwrap();
        answers(&cluster, "a", Role::Primary, 1);
        answers(&cluster, "b", Role::Replica, 1);
        cluster.shared.knowledge.first().await;
        while questions.try_recv().is_ok() {}
        answers(&cluster, "a", Role::Replica, 1);
        answers(&cluster, "b", Role::Primary, 2);
        let begun = Instant::now();
        if defines {
            sleep(Duration::from_millis(1)).await;
            cluster.handle().defined();
        }
        assert_eq!(questions.recv().await, Some(2));
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn processes_ask_a_new_primary_at_different_times_and_at_once_behind_a_definition() {
        let mut waits = Vec::new();
        for _ in 0..50 {
            waits.push(asked_behind_a_failover(false).await);
        }
        waits.sort_unstable();
        assert!(waits[49] <= SPREAD, "{waits:?}");
        assert!(waits[49] - waits[0] > SPREAD / 2, "of fifty, some come soon and some late: {waits:?}");
        assert!(asked_behind_a_failover(true).await < Duration::from_millis(10));
    }
}
