//! What goes wrong with the servers: one thing at a time, and each mended before the next.

use std::fmt;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use fastrand::Rng;
use millpond::Mode;
use millpond::postgres::Db;
use millpond_core::Health;
use millpond_lab::{Lab, Node, StopMode};
use tokio::time::{Instant, sleep};

use crate::checker::Durability;
use crate::clock::Clock;
use crate::durations::{Outage, Rescued, last_send};
use crate::sends::Sends;

mod promotion;

pub use promotion::Promotion;

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Fault {
    /// A replica is killed, and started again.
    KillReplica,
    /// The primary is killed, and started again as what it was.
    KillPrimary,
    /// A replica stands still: it accepts and says nothing.
    FreezeReplica,
    /// The primary does.
    FreezePrimary,
    /// A node's network swallows everything.
    Stall,
    /// A node's connections are cut.
    Reset,
    /// A replica shows nothing new, since it does not replay.
    PauseReplay,
    /// A replica shows nothing new, since it hears nothing from the primary.
    HoldBack,
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
    /// Everything goes to the primary, and what would be routed is counted, for a while.
    Shadow,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::KillReplica => "a replica killed",
            Self::KillPrimary => "the primary killed and started again",
            Self::FreezeReplica => "a replica frozen",
            Self::FreezePrimary => "the primary frozen",
            Self::Stall => "a network stalled",
            Self::Reset => "connections cut",
            Self::PauseReplay => "replay paused",
            Self::HoldBack => "a replica cut off from the primary",
            Self::Failover => "failover",
            Self::Switchover => "planned switchover",
            Self::SecondWriter => "the old primary back as a second writer",
            Self::Split => "a promotion beside a frozen primary",
            Self::PrimaryOnly => "mode primary-only",
            Self::Shadow => "mode shadow",
        })
    }
}

/// A node that is frozen for less says nothing of when it would have got no more statements.
const LONG_ENOUGH: Duration = Duration::from_millis(1500);

/// So short that it may be over before anybody has noticed.
const SHORT_FREEZE: Duration = Duration::from_millis(100);

const LONG_FREEZE: Duration = Duration::from_millis(2500);

/// How long nodes may take to be in use again.
const SETTLED: Duration = Duration::from_secs(30);

/// What was seen of failures that are timed.
#[derive(Clone, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "notes")]
pub struct Timed {
    /// The promotions.
    pub promotions: Vec<Promotion>,
    /// The reads that were on their way to a replica that was killed.
    pub killed: Rescued,
    /// The reads that were on their way to a node that was frozen.
    pub frozen: Rescued,
    /// From each freeze to the last statement that was sent to the node.
    pub last_sends: Vec<Duration>,
}

/// Breaks and mends.
#[derive(Debug)]
pub struct Faults<'a> {
    lab: &'a Lab,
    db: &'a Db,
    clock: Clock,
    sends: &'a Sends,
    durability: Durability,
    random: Rng,
    /// Whether the last fault was over when this one began, and its end is timed.
    is_settled: bool,
    /// What was timed so far.
    pub timed: Timed,
    /// The faults so far, and when each began.
    pub inflicted: Vec<(Fault, Duration)>,
}

impl<'a> Faults<'a> {
    /// The faults that a cluster with such commits has to bear.
    #[must_use]
    pub fn new(
        (lab, db): (&'a Lab, &'a Db),
        (clock, sends): (Clock, &'a Sends),
        durability: Durability,
        random: Rng,
    ) -> Self {
        let (timed, inflicted) = (Timed::default(), Vec::new());
        Self { lab, db, clock, sends, durability, random, is_settled: false, timed, inflicted }
    }

    /// One of them, at random.
    pub fn choose(&mut self) -> Fault {
        match (self.random.u8(0..24), self.durability) {
            (0..2, _) => Fault::KillReplica,
            (2, _) => Fault::KillPrimary,
            (3, _) => Fault::FreezeReplica,
            (4, _) => Fault::FreezePrimary,
            (5..7, _) => Fault::Stall,
            (7..9, _) => Fault::Reset,
            (9..11, _) => Fault::PauseReplay,
            (11, _) => Fault::HoldBack,
            (12..15, _) => Fault::Failover,
            (15..17, _) => Fault::Switchover,
            (17..20, _) => Fault::SecondWriter,
            // Beside a primary that lives no write is safe: whoever promotes has to see to that it does not.
            (20..22, Durability::Asynchronous) => Fault::Split,
            (20..23, _) => Fault::PrimaryOnly,
            _ => Fault::Shadow,
        }
    }

    /// A while between two faults.
    pub async fn pause(&mut self) {
        sleep(Duration::from_millis(self.random.u64(200..1500))).await;
    }

    /// Waits until all nodes are in use again, so that what comes next is timed by itself.
    ///
    /// # Errors
    ///
    /// When one is not in the end.
    pub async fn settle(&mut self) -> Result<()> {
        self.is_settled = true;
        self.lab.caught_up().await?;
        let ends = Instant::now() + SETTLED;
        while self.db.status().nodes.iter().any(|node| node.health != Health::Up || node.lag.time().is_none())
        {
            ensure!(Instant::now() < ends, "a node is not in use again:\n{}", self.db.status());
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Lets it go wrong, and mends it.
    ///
    /// # Errors
    ///
    /// When the servers do not do what they are told.
    pub async fn inflict(&mut self, fault: Fault) -> Result<()> {
        self.inflicted.push((fault, self.clock.now()));
        let inflicted = self.go_wrong(fault).await;
        inflicted.with_context(|| format!("inflicting: {fault}"))
    }

    async fn go_wrong(&mut self, fault: Fault) -> Result<()> {
        match fault {
            Fault::KillReplica => self.kill_replica().await,
            Fault::KillPrimary => {
                let node = self.lab.primary();
                node.kill().await?;
                self.a_while().await;
                Ok(node.start().await?)
            }
            Fault::FreezeReplica => {
                let node = self.replica();
                self.freeze(node).await
            }
            Fault::FreezePrimary => self.freeze(self.lab.primary()).await,
            Fault::Stall | Fault::Reset | Fault::PauseReplay | Fault::HoldBack => self.disturb(fault).await,
            Fault::Failover | Fault::Switchover | Fault::SecondWriter | Fault::Split => {
                self.replace_primary(fault).await
            }
            Fault::PrimaryOnly | Fault::Shadow => {
                let mode = if fault == Fault::Shadow { Mode::Shadow } else { Mode::PrimaryOnly };
                self.db.set_mode(mode);
                self.a_while().await;
                self.db.set_mode(Mode::Route);
                Ok(())
            }
        }
    }

    async fn kill_replica(&mut self) -> Result<()> {
        let node = self.replica();
        self.sends.watch();
        let killed = node.kill().await?;
        let until = self.clock.now();
        let from = until.saturating_sub(killed.elapsed());
        self.a_while().await;
        self.timed.killed.add(&self.sends.take(), Outage { port: node.port(), from, until });
        Ok(node.start().await?)
    }

    async fn freeze(&mut self, node: &Node) -> Result<()> {
        self.sends.watch();
        let from = self.clock.now();
        node.freeze().await?;
        let shortest = if self.is_settled { LONG_ENOUGH } else { SHORT_FREEZE };
        let holds = self.random.u64(millis(shortest)..millis(LONG_FREEZE));
        sleep(Duration::from_millis(holds)).await;
        let until = self.clock.now();
        let calls = self.sends.take();
        node.thaw().await?;
        let outage = Outage { port: node.port(), from, until };
        if until - from >= LONG_ENOUGH {
            self.timed.frozen.add(&calls, outage);
            self.timed.last_sends.push(last_send(&calls, outage));
        }
        Ok(())
    }

    async fn disturb(&mut self, fault: Fault) -> Result<()> {
        match fault {
            Fault::PauseReplay => {
                let node = self.replica();
                node.pause_replay().await?;
                self.a_while().await;
                node.resume_replay().await?;
            }
            Fault::HoldBack => {
                let node = self.replica();
                node.replication().stall();
                self.a_while().await;
                node.replication().restore();
            }
            _ => {
                let node = self.any_node();
                if fault == Fault::Stall {
                    node.network().stall()
                } else {
                    node.network().reset()
                }
                self.a_while().await;
                node.network().restore();
            }
        }
        Ok(())
    }

    async fn replace_primary(&mut self, fault: Fault) -> Result<()> {
        let old = self.lab.primary();
        match fault {
            Fault::Failover => {
                self.hold_back().await;
                old.kill().await?;
                self.let_go();
            }
            Fault::Switchover => old.stop(StopMode::Fast).await?,
            Fault::Split => old.freeze().await?,
            _ => {
                old.kill().await?;
            }
        }
        let new = self.promote(old).await?;
        match fault {
            Fault::SecondWriter => old.start().await?,
            Fault::Split => old.thaw().await?,
            _ => {}
        }
        self.a_while().await;
        old.follow(new).await?;
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
        let (new, promotion) = match self.durability {
            Durability::Asynchronous => self.promote_any(candidates.clone()).await?,
            Durability::Synchronous => {
                let new = promotion::most_advanced(&candidates).await?;
                (new, promotion::promote(new, self.clock).await?)
            }
        };
        self.timed.promotions.push(promotion);
        for node in candidates.into_iter().filter(|node| node.name() != new.name()) {
            node.follow(new).await?;
        }
        Ok(new)
    }

    /// A replica that was killed lately may not come through its promotion: then it is another's turn, as in real life.
    async fn promote_any(&mut self, mut candidates: Vec<&'a Node>) -> Result<(&'a Node, Promotion)> {
        self.random.shuffle(&mut candidates);
        let mut failed = None;
        for node in candidates {
            match promotion::promote(node, self.clock).await {
                Ok(promotion) => return Ok((node, promotion)),
                Err(error) => {
                    eprintln!("          {} could not be promoted: {error:#}", node.name());
                    failed = Some(error);
                }
            }
        }
        Err(failed.unwrap_or_else(|| anyhow!("there is no replica")))
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

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
