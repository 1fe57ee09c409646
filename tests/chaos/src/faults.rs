//! What goes wrong with the servers: one thing at a time, at random, and each mended before the next.

use std::fmt;
use std::time::Duration;

use anyhow::{Context as _, Result};
use fastrand::Rng;
use millpond::Mode;
use millpond::postgres::Db;
use millpond_lab::{Lab, Node, StopMode};
use tokio::time::{Instant, sleep};

use crate::checker::Durability;

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Fault {
    /// A replica is killed, and started again.
    KillReplica,
    /// A replica stands still: it accepts and says nothing.
    FreezeReplica,
    /// The primary does.
    FreezePrimary,
    /// A node's network swallows everything.
    Stall,
    /// A node's connections are cut.
    Reset,
    /// A replica shows nothing new.
    PauseReplay,
    /// The primary is killed, a replica promoted, and the old one comes back as a replica.
    Failover,
    /// The primary is stopped in order, a replica promoted, and the old one comes back as a replica.
    Switchover,
    /// The primary is killed, a replica promoted, and the old one comes back as a second writer, for a while.
    SecondWriter,
    /// A replica is promoted while the primary stands still, which then goes on as a second writer, for a while.
    Split,
    /// Everything goes to the primary, for a while.
    PrimaryOnly,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::KillReplica => "a replica killed",
            Self::FreezeReplica => "a replica frozen",
            Self::FreezePrimary => "the primary frozen",
            Self::Stall => "a network stalled",
            Self::Reset => "connections cut",
            Self::PauseReplay => "replay paused",
            Self::Failover => "failover",
            Self::Switchover => "planned switchover",
            Self::SecondWriter => "the old primary back as a second writer",
            Self::Split => "a promotion beside a frozen primary",
            Self::PrimaryOnly => "mode primary-only",
        })
    }
}

/// Where a promotion ended, as the servers saw it.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "a note")]
pub struct Promotion {
    /// When the new primary took writes.
    pub at: Instant,
}

/// Breaks and mends.
#[derive(Debug)]
pub struct Faults<'a> {
    lab: &'a Lab,
    db: &'a Db,
    durability: Durability,
    random: Rng,
    /// The promotions so far.
    pub promotions: Vec<Promotion>,
    /// The faults so far, and when each began.
    pub inflicted: Vec<(Fault, Instant)>,
}

impl<'a> Faults<'a> {
    /// The faults that a cluster with such commits has to bear.
    #[must_use]
    pub const fn new(lab: &'a Lab, db: &'a Db, durability: Durability, random: Rng) -> Self {
        Self { lab, db, durability, random, promotions: Vec::new(), inflicted: Vec::new() }
    }

    /// One of them, at random.
    pub fn choose(&mut self) -> Fault {
        match (self.random.u8(0..20), self.durability) {
            (0..2, _) => Fault::KillReplica,
            (2, _) => Fault::FreezeReplica,
            (3, _) => Fault::FreezePrimary,
            (4..6, _) => Fault::Stall,
            (6..8, _) => Fault::Reset,
            (8..11, _) => Fault::PauseReplay,
            (11..14, _) => Fault::Failover,
            (14..16, _) => Fault::Switchover,
            (16..18, _) => Fault::SecondWriter,
            // Beside a primary that lives no write is safe: whoever promotes has to see to that it does not.
            (18, Durability::Asynchronous) => Fault::Split,
            _ => Fault::PrimaryOnly,
        }
    }

    /// Lets it go wrong, and mends it.
    ///
    /// # Errors
    ///
    /// When the servers do not do what they are told.
    pub async fn inflict(&mut self, fault: Fault) -> Result<()> {
        self.inflicted.push((fault, Instant::now()));
        let inflicted = self.go_wrong(fault).await;
        inflicted.with_context(|| format!("inflicting: {fault}"))
    }

    async fn go_wrong(&mut self, fault: Fault) -> Result<()> {
        match fault {
            Fault::KillReplica => {
                let node = self.replica();
                node.kill().await?;
                self.a_while().await;
                node.start().await?;
            }
            Fault::FreezeReplica | Fault::FreezePrimary => {
                let node = if fault == Fault::FreezePrimary { self.lab.primary() } else { self.replica() };
                node.freeze().await?;
                self.a_while().await;
                node.thaw().await?;
            }
            Fault::Stall => {
                let node = self.any_node();
                node.network().stall();
                self.a_while().await;
                node.network().restore();
            }
            Fault::Reset => {
                let node = self.any_node();
                node.network().reset();
                self.a_while().await;
                node.network().restore();
            }
            Fault::PauseReplay => {
                let node = self.replica();
                node.pause_replay().await?;
                self.a_while().await;
                node.resume_replay().await?;
            }
            Fault::Failover => {
                let old = self.lab.primary();
                self.hold_back().await;
                old.kill().await?;
                self.let_go();
                let new = self.promote(old).await?;
                self.a_while().await;
                old.follow(new).await?;
            }
            Fault::Switchover => {
                let old = self.lab.primary();
                old.stop(StopMode::Fast).await?;
                let new = self.promote(old).await?;
                self.a_while().await;
                old.follow(new).await?;
            }
            Fault::SecondWriter => {
                let old = self.lab.primary();
                old.kill().await?;
                let new = self.promote(old).await?;
                old.start().await?;
                self.a_while().await;
                old.follow(new).await?;
            }
            Fault::Split => {
                let old = self.lab.primary();
                old.freeze().await?;
                let new = self.promote(old).await?;
                old.thaw().await?;
                self.a_while().await;
                old.follow(new).await?;
            }
            Fault::PrimaryOnly => {
                self.db.set_mode(Mode::PrimaryOnly);
                self.a_while().await;
                self.db.set_mode(Mode::Route);
            }
        }
        Ok(())
    }

    /// Where a failover may discard writes: sees to it that there are some.
    async fn hold_back(&mut self) {
        if self.durability == Durability::Asynchronous {
            self.lab.replicas().for_each(|node| node.replication().stall());
            sleep(Duration::from_millis(self.random.u64(5..300))).await;
        }
    }

    /// What was held back is lost.
    fn let_go(&self) {
        for node in self.lab.replicas() {
            node.replication().reset();
            node.replication().restore();
        }
    }

    /// Promotes: the most advanced replica where no write may be lost, and any otherwise. The others follow it.
    async fn promote(&mut self, old: &'a Node) -> Result<&'a Node> {
        let candidates: Vec<&Node> =
            self.lab.nodes().iter().filter(|node| node.name() != old.name()).collect();
        let new = match self.durability {
            Durability::Asynchronous => candidates[self.random.usize(..candidates.len())],
            Durability::Synchronous => self.most_advanced(&candidates).await?,
        };
        new.promote().await?;
        self.promotions.push(Promotion { at: Instant::now() });
        for node in candidates.into_iter().filter(|node| node.name() != new.name()) {
            node.follow(new).await?;
        }
        Ok(new)
    }

    async fn most_advanced(&self, candidates: &[&'a Node]) -> Result<&'a Node> {
        let received = "select (coalesce(pg_last_wal_receive_lsn(), '0/0') - '0/0')::text";
        let mut best: Option<(u64, &Node)> = None;
        for node in candidates.iter().copied() {
            let said = node.ask("postgres", received).await?.unwrap_or_default();
            let position: u64 = said.parse().with_context(|| format!("{} has no position", node.name()))?;
            if best.is_none_or(|(most, _)| position > most) {
                best = Some((position, node));
            }
        }
        Ok(best.context("there is no replica")?.1)
    }

    async fn a_while(&mut self) {
        sleep(Duration::from_millis(self.random.u64(100..2500))).await;
    }

    fn any_node(&mut self) -> &'a Node {
        &self.lab.nodes()[self.random.usize(..self.lab.nodes().len())]
    }

    fn replica(&mut self) -> &'a Node {
        let replicas: Vec<_> = self.lab.replicas().collect();
        replicas[self.random.usize(..replicas.len())]
    }
}
