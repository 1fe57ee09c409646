//! Keeps what is known of the database: asked of a node at the start, on an interval, and when a definition was seen.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use millpond_core::{Health, NodeId, Snapshot};
use millpond_sql::{Cache, Classification, Classifier, Dialect};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use crate::cluster::Shared;
use crate::error::describe;
use crate::{Backend, Purpose};

/// The classifier that all handles use, with its answers, and its renewal.
pub(crate) struct Knowledge {
    statements: ArcSwap<Cache>,
    /// Told when the catalog may be another.
    outdated: Notify,
    /// How many definitions were run, and how many of them the catalog shows.
    defined: AtomicU64,
    shown: AtomicU64,
    /// How often the database was asked, in vain or not.
    asked: watch::Sender<u64>,
}

impl Knowledge {
    pub(crate) fn new(dialect: Dialect) -> Self {
        Self {
            statements: ArcSwap::from_pointee(Cache::new(Classifier::new(dialect))),
            outdated: Notify::new(),
            defined: AtomicU64::new(0),
            shown: AtomicU64::new(0),
            asked: watch::Sender::new(0),
        }
    }

    pub(crate) fn classify(&self, sql: &str) -> Classification {
        self.statements.load().classify(sql)
    }

    /// A definition was run: the catalog has to be loaded again.
    pub(crate) fn defined(&self) {
        self.defined.fetch_add(1, Ordering::AcqRel);
        self.outdated.notify_one();
    }

    /// Whether the catalog shows every definition that was run through the cluster. Until it does, what looks like a read
    /// may name a view that it has not heard of.
    pub(crate) fn is_current(&self) -> bool {
        self.shown.load(Ordering::Acquire) == self.defined.load(Ordering::Acquire)
    }

    /// Waits until the database was asked once.
    pub(crate) async fn first(&self) {
        // The sender lives as long as `self`, so the channel is never closed.
        let _ = self.asked.subscribe().wait_for(|asked| *asked > 0).await;
    }
}

/// How soon to ask again after an error.
const RETRY: Duration = Duration::from_secs(1);

/// Runs until it is aborted, with the last clone of its cluster.
pub(crate) async fn run<B: Backend>(shared: Arc<Shared<B>>, interval: Duration) {
    let knowledge = &shared.knowledge;
    loop {
        shared.wait_until(|snapshot| is_known(snapshot) && source(snapshot).is_some()).await;
        // A definition that is run meanwhile may be missed.
        let defined = knowledge.defined.load(Ordering::Acquire);
        let is_loaded = match load(&*shared).await {
            Ok(classifier) => {
                // Remembered answers are those of the old catalog.
                knowledge.statements.store(Arc::new(Cache::new(classifier)));
                knowledge.shown.store(defined, Ordering::Release);
                true
            }
            Err(why) => {
                tracing::warn!(target: "millpond", "the catalog was not loaded: {why}");
                false
            }
        };
        knowledge.asked.send_modify(|asked| *asked += 1);
        let pause = if is_loaded { interval } else { interval.min(RETRY) };
        let _ = timeout(pause, knowledge.outdated.notified()).await;
    }
}

fn is_known<P>(snapshot: &Snapshot<P>) -> bool {
    snapshot.nodes.iter().all(|node| node.health != Health::Unknown)
}

/// The primary has every definition first. Without one, any node that answers.
fn source<P>(snapshot: &Snapshot<P>) -> Option<NodeId> {
    let any = || snapshot.nodes.iter().position(|node| node.health == Health::Up).and_then(NodeId::new);
    snapshot.primary.or_else(any)
}

async fn load<B: Backend>(shared: &Shared<B>) -> Result<Classifier, String> {
    let node = source(&shared.snapshot.load()).ok_or_else(|| "no node answers".to_owned())?;
    let ask = async {
        let mut connection = shared.backend.connect(node, Purpose::Probe).await?;
        shared.backend.classifier(&mut connection).await
    };
    match timeout(shared.config.connect_timeout, ask).await {
        Ok(Ok(classifier)) => Ok(classifier),
        Ok(Err(error)) => {
            Err(describe("asking what the database holds", &error, &shared.backend.failure(&error)))
        }
        Err(_) => Err(format!("no answer within {:?}", shared.config.connect_timeout)),
    }
}
