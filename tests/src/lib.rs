//! What the whole-system tests share: a cluster in the lab, a handle to it, and waiting for what is seen.

mod front;

/// So that what the page on operating shows compiles.
#[cfg(doctest)]
#[doc = include_str!("../../docs/operate.md")]
struct Operating;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use millpond::Event;
use millpond::postgres::{Builder, Db};
use millpond_lab::Lab;
use tokio::task::JoinSet;

pub use front::Front;

/// A real cluster and a handle to it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Cluster {
    /// The servers.
    pub lab: Lab,
    /// A handle with settings that make tests quick.
    pub db: Db,
    /// What the handle told.
    pub events: Events,
}

impl Cluster {
    /// A primary and so many replicas, all caught up and known.
    pub async fn up(replicas: usize) -> Self {
        Self::up_with(replicas, |builder| builder).await
    }

    /// The same with other settings.
    pub async fn up_with(replicas: usize, settings: impl FnOnce(Builder) -> Builder) -> Self {
        let lab = Lab::builder().replicas(replicas).up().await.expect("the lab comes up");
        Self::of(lab, settings).await
    }

    /// The same of servers that are up already.
    ///
    /// # Panics
    ///
    /// When they cannot be asked.
    pub async fn of(lab: Lab, settings: impl FnOnce(Builder) -> Builder) -> Self {
        lab.primary()
            .ask("postgres", "create table item (id int primary key, name text)")
            .await
            .expect("a table");
        lab.caught_up().await.expect("replicas catch up");
        let events = Events::default();
        let builder = builder(&lab, &events);
        let db = settings(builder).connect().await.expect("a handle");
        let cluster = Self { lab, db, events };
        if cluster.lab.nodes().len() > 1 {
            // Known to be fresh, so that what a test sees is the test's doing.
            until("a replica serves reads", async || reads_on_replica(&cluster.db).await).await;
        }
        cluster
    }

    /// Whether the node has run a statement since the test began that mentions `text`, as the server itself sees it.
    pub async fn ask(&self, node: &str, sql: &str) -> String {
        let node = self.lab.node(node).expect("a node of that name");
        node.ask("postgres", sql).await.expect("an answer").unwrap_or_default()
    }
}

/// A handle's settings that make tests quick, with its events noted.
///
/// # Panics
///
/// When the lab's own URL cannot be read.
#[must_use]
pub fn builder(lab: &Lab, events: &Events) -> Builder {
    let builder = Db::builder(&lab.url("postgres")).expect("the lab's URL can be read");
    with_events(builder, events)
}

/// The same on top of other settings.
#[must_use]
pub fn with_events(builder: Builder, events: &Events) -> Builder {
    builder.probe_interval(Duration::from_millis(50)).on_event({
        let events = events.clone();
        move |event| events.note(event)
    })
}

/// What a handle told, in order.
#[derive(Clone, Debug, Default)]
pub struct Events(Arc<Mutex<Vec<Event>>>);

impl Events {
    /// Notes one.
    pub fn note(&self, event: &Event) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(event.clone());
    }

    /// Whether one like this was told.
    pub fn any(&self, is_it: impl FnMut(&Event) -> bool) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().any(is_it)
    }

    /// How many like this were told.
    pub fn count(&self, is_it: impl FnMut(&&Event) -> bool) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().filter(is_it).count()
    }
}

/// Readers that go on until they are told to stop; the count of their reads and of what failed.
#[derive(Debug)]
pub struct Readers {
    tasks: JoinSet<()>,
    stop: Arc<AtomicBool>,
    reads: Arc<AtomicU64>,
    failed: Arc<Mutex<Vec<String>>>,
}

impl Readers {
    /// So many.
    #[must_use]
    pub fn start(db: &Db, count: usize) -> Self {
        let (stop, reads, failed) = (Arc::default(), Arc::default(), Arc::default());
        let mut readers = Self { tasks: JoinSet::new(), stop, reads, failed };
        for _ in 0..count {
            let (stop, reads, failed) =
                (Arc::clone(&readers.stop), Arc::clone(&readers.reads), Arc::clone(&readers.failed));
            let db = db.clone();
            readers.tasks.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    if let Err(error) = db.query("select count(*) from item", &[]).await {
                        failed.lock().unwrap_or_else(PoisonError::into_inner).push(error.to_string());
                    }
                    reads.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        readers
    }

    /// Waits until so many more reads are done.
    pub async fn more(&self, count: u64) {
        let target = self.reads.load(Ordering::Relaxed) + count;
        until("more reads are done", async || self.reads.load(Ordering::Relaxed) >= target).await;
    }

    /// Ends them. Gives what failed.
    pub async fn stop(mut self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        while self.tasks.join_next().await.is_some() {}
        std::mem::take(&mut *self.failed.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One connection, so that the next user gets what the last one left.
#[must_use = "it ends when it is dropped"]
pub async fn one_connection() -> Cluster {
    Cluster::up_with(0, |builder| builder.max_size(1)).await
}

/// Whether the next user of the primary finds nothing of those before.
///
/// # Panics
///
/// When the primary cannot be asked.
pub async fn is_clean(db: &Db) -> bool {
    let lease = db.get().await.expect("an answer");
    let row = lease
        .query_one(
            "select current_setting('work_mem') = '4MB', current_user = 'postgres', to_regclass('t') is null,
                    (select count(*) from pg_cursors where name <> '') = 0, (select count(*) from pg_listening_channels()) = 0",
            &[],
        )
        .await
        .expect("an answer");
    (0..5).all(|column| row.get(column))
}

/// Whether a plain read of this handle runs on a replica now.
///
/// # Panics
///
/// When the read fails.
pub async fn reads_on_replica(db: &Db) -> bool {
    db.query_one("select pg_is_in_recovery()", &[]).await.expect("a read").get(0)
}

/// Waits until something is so, as seen from outside.
///
/// # Panics
///
/// When it is not so after 20 s.
pub async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let mut looks = tokio::time::interval(Duration::from_millis(5));
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !is_so().await {
        assert!(tokio::time::Instant::now() < deadline, "never came about: {what}");
        looks.tick().await;
    }
}
