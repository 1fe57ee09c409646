//! What the pools connect to: nothing but counts and faults, in this process or at the gate of a real server.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::bed::Upstream;
use crate::gate;

/// How a step goes.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Step {
    /// At once.
    Well,
    /// After so long.
    Slowly(Duration),
    /// It is refused.
    Refused,
}

/// Why a step did not end well.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
#[non_exhaustive]
pub struct Refused(pub String);

impl From<&str> for Refused {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// Words of a refusal, by which the cause is told from a pool's own error: ours, and those of systems and drivers.
pub const WORDS: [&str; 3] = ["the server said no", "refused", "reset by peer"];

/// A server, or a cluster of them.
#[derive(Clone, Debug)]
pub struct Server {
    inner: Arc<Inner>,
    /// Real servers, as their clients see them.
    nodes: Vec<Upstream>,
}

#[derive(Debug)]
struct Inner {
    connect: watch::Sender<Step>,
    check: watch::Sender<Step>,
    /// Connections that are older than this went deaf.
    deaf_before: AtomicUsize,
    /// Those who were let in, and those who tried.
    accepted: AtomicUsize,
    tried: AtomicUsize,
    alive: AtomicUsize,
    most: AtomicUsize,
}

impl Default for Server {
    fn default() -> Self {
        let inner = Inner {
            connect: watch::Sender::new(Step::Well),
            check: watch::Sender::new(Step::Well),
            deaf_before: AtomicUsize::new(0),
            accepted: AtomicUsize::new(0),
            tried: AtomicUsize::new(0),
            alive: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        };
        Self { inner: Arc::new(inner), nodes: Vec::new() }
    }
}

async fn go(step: &watch::Sender<Step>) -> Result<(), Refused> {
    let step = *step.borrow();
    match step {
        Step::Well => Ok(()),
        Step::Slowly(time) => {
            sleep(time).await;
            Ok(())
        }
        Step::Refused => Err(WORDS[0].into()),
    }
}

impl Server {
    /// A real server, behind a gate that does as it is told.
    ///
    /// # Errors
    ///
    /// When no port can be had.
    pub fn behind_gate(upstream: &Upstream) -> Result<Self> {
        let server = Self::default();
        let address = gate::open(&server, upstream.address)?;
        Ok(Self { nodes: vec![upstream.at(address)], ..server })
    }

    /// Real servers of one cluster, as they are.
    #[must_use]
    pub fn cluster(nodes: Vec<Upstream>) -> Self {
        Self { nodes, ..Self::default() }
    }

    /// The URL of the first node.
    ///
    /// # Errors
    ///
    /// When the server is in this process.
    pub fn url(&self) -> Result<String> {
        Ok(self.nodes.first().context("the server has no URL")?.url())
    }

    /// The URL of all nodes.
    ///
    /// # Errors
    ///
    /// When the server is in this process.
    pub fn url_of_all(&self) -> Result<String> {
        let (first, others) = self.nodes.split_first().context("the server has no URL")?;
        Ok(first.url_with(others))
    }

    /// Lets a client in, or not.
    ///
    /// # Errors
    ///
    /// As [`set_connect`](Self::set_connect) said.
    pub async fn connect(&self) -> Result<Connection, Refused> {
        self.inner.tried.fetch_add(1, Ordering::SeqCst);
        go(&self.inner.connect).await?;
        let number = self.inner.accepted.fetch_add(1, Ordering::SeqCst);
        let alive = self.inner.alive.fetch_add(1, Ordering::SeqCst) + 1;
        self.inner.most.fetch_max(alive, Ordering::SeqCst);
        Ok(Connection { server: self.clone(), number, is_dead: AtomicBool::new(false) })
    }

    /// What the next connects do.
    pub fn set_connect(&self, step: Step) {
        self.inner.connect.send_replace(step);
    }

    pub(crate) fn connects(&self) -> watch::Receiver<Step> {
        self.inner.connect.subscribe()
    }

    /// What the next checks do; at a gate, whatever a client says.
    pub fn set_check(&self, step: Step) {
        self.inner.check.send_replace(step);
    }

    /// All connections that are there never hear or say anything again. New ones do.
    pub fn go_deaf(&self) {
        self.inner.deaf_before.store(self.accepted(), Ordering::SeqCst);
    }

    /// How many were let in so far.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.inner.accepted.load(Ordering::SeqCst)
    }

    /// How many tried to get in so far.
    #[must_use]
    pub fn tried(&self) -> usize {
        self.inner.tried.load(Ordering::SeqCst)
    }

    /// How many were turned away so far. At a gate that is the system's doing, and it counts those of all programs together;
    /// `None` where it does not tell.
    #[must_use]
    pub fn refusals(&self) -> Option<usize> {
        if self.nodes.is_empty() { Some(self.tried() - self.accepted()) } else { failed_connects() }
    }

    /// How many connections there are.
    #[must_use]
    pub fn alive(&self) -> usize {
        self.inner.alive.load(Ordering::SeqCst)
    }

    /// How many there were at once since this was asked last.
    pub fn take_most(&self) -> usize {
        self.inner.most.swap(self.alive(), Ordering::SeqCst)
    }
}

/// How many connects failed on this system so far, as Linux counts.
fn failed_connects() -> Option<usize> {
    let text = fs::read_to_string("/proc/net/snmp").ok()?;
    let mut lines = text.lines().filter(|line| line.starts_with("Tcp:"));
    let (names, values) = (lines.next()?, lines.next()?);
    let (_, value) = names.split(' ').zip(values.split(' ')).find(|(name, _)| *name == "AttemptFails")?;
    value.parse().ok()
}

/// A connection to a [`Server`].
#[derive(Debug)]
pub struct Connection {
    server: Server,
    number: usize,
    is_dead: AtomicBool,
}

impl Connection {
    /// Asks whether the server is there.
    ///
    /// # Errors
    ///
    /// As [`Server::set_check`] said.
    pub async fn check(&self) -> Result<(), Refused> {
        if self.is_deaf() {
            std::future::pending().await
        }
        let result = go(&self.server.inner.check).await;
        self.is_dead.store(result.is_err(), Ordering::SeqCst);
        result
    }

    /// Whether a check failed.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.is_dead.load(Ordering::SeqCst)
    }

    /// Whether it hears nothing any more.
    #[must_use]
    pub fn is_deaf(&self) -> bool {
        self.number < self.server.inner.deaf_before.load(Ordering::SeqCst)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.server.inner.alive.fetch_sub(1, Ordering::SeqCst);
    }
}
