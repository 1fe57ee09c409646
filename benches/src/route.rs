//! The group `route`: what it costs to decide where a statement runs, and the whole way to a connection and back, without a server.

use std::fmt;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use millpond::postgres::Lsn;
use millpond_cluster::core::{
    Access, ClusterId, Freshness, Input, Load, NodeId, Observation, PeakEwma, Request, Role, Seen, Snapshot,
    Timeline, Token, TokenPosition, Topology, decide,
};
use millpond_cluster::pool::Returned;
use millpond_cluster::sql::{Classifier, Dialect};
use millpond_cluster::{
    Answer, Backend, Cluster, Config, Failure, FailureKind, Handle, NodeConfig, NodeLease, Operation,
    Purpose, Statement, Target,
};

use crate::figures::{Check, Figure};
use crate::pools::deadpool::Deadpool;
use crate::pools::{Bed, Pool, WAIT_TIMEOUT, contender};
use crate::rounds::{Contender, Measured};
use crate::table::{Beside, Column, ratio, show_ratio};

/// The packages whose versions stand beside the figures.
pub const PACKAGES: [&str; 4] = ["deadpool", "millpond-cluster", "millpond-core", "tokio"];

/// What ratios refer to.
pub const REFERENCE: &str = Deadpool::NAME;

/// The columns of the table.
pub const COLUMNS: [Column; 2] = [
    Column::new("ns", "time", 1, Beside::EndsAndRatio),
    Column::new("busy cores", "busy_cores", 2, Beside::Nothing),
];

/// What takes turns: the ways of millpond, and a checkout of deadpool's.
#[must_use]
pub const fn systems() -> [Contender<Bed>; 8] {
    [
        contender::<Decide<3, ALIKE>>(),
        contender::<Decide<64, ALIKE>>(),
        contender::<Decide<3, APART>>(),
        contender::<Decide<64, APART>>(),
        contender::<Decide<3, EACH>>(),
        contender::<Decide<64, EACH>>(),
        contender::<Routed>(),
        contender::<Deadpool>(),
    ]
}

/// All replicas may serve the read, which is seen at one look.
const ALIKE: u8 = 0;

/// One of them lags, and the read has to show a write that is newer than all that is known of the others.
const APART: u8 = 1;

/// The same for a read that allows so many bytes of lag: each is looked at.
const EACH: u8 = 2;

/// The figures for the file: each way is a scenario, with deadpool's checkout beside it.
#[must_use]
pub fn figures(measured: &Measured) -> Vec<Figure> {
    let ways = [
        ("decide-3", Decide::<3, ALIKE>::NAME),
        ("decide-64", Decide::<64, ALIKE>::NAME),
        ("decide-apart-3", Decide::<3, APART>::NAME),
        ("decide-apart-64", Decide::<64, APART>::NAME),
        ("decide-each-3", Decide::<3, EACH>::NAME),
        ("decide-each-64", Decide::<64, EACH>::NAME),
        ("whole-path", Routed::NAME),
    ];
    let all = measured.figures();
    let of = |(scenario, way): (&str, &str)| {
        let here = all.iter().filter(|figure| figure.system == way || figure.system == REFERENCE);
        let named = here.map(|figure| {
            let system = if figure.system == way { "millpond" } else { REFERENCE };
            Figure { scenario: scenario.to_owned(), system: system.to_owned(), ..figure.clone() }
        });
        named.collect::<Vec<_>>()
    };
    ways.into_iter().flat_map(of).collect()
}

/// What each may take of a checkout of deadpool's.
#[must_use]
pub fn checks(measured: &Measured) -> Vec<Check> {
    let most = [
        (Decide::<3, ALIKE>::NAME, 0.3),
        (Decide::<64, ALIKE>::NAME, 1.0),
        (Decide::<3, APART>::NAME, 0.3),
        (Decide::<64, APART>::NAME, 1.0),
        (Decide::<3, EACH>::NAME, 0.3),
        (Decide::<64, EACH>::NAME, 1.0),
        (Routed::NAME, 1.0),
    ];
    let check = |(system, most): (&'static str, f64)| {
        let found = ratio(measured, "time", system, REFERENCE)?;
        Some(Check {
            name: format!("{}: {system} takes at most {most} of deadpool's checkout", measured.scenario),
            system: system.to_owned(),
            holds: found.of_medians <= most,
            figure: show_ratio(found),
        })
    };
    most.into_iter().filter_map(check).collect()
}

const CLUSTER: ClusterId = ClusterId::new(7);
const TIMELINE: Timeline = Timeline::new(1);
const END: Lsn = Lsn::new(1000);

fn observation(role: Role) -> Observation<Lsn> {
    let (cluster, timeline, position) = (Some(CLUSTER), Some(TIMELINE), Some(END));
    Observation { cluster, timeline, position, ..Observation::of(role) }
}

const fn role(node: usize) -> Role {
    if node == 0 { Role::Primary } else { Role::Replica }
}

/// Deciding about a read and choosing its node, of so many.
#[derive(Clone)]
pub struct Decide<const NODES: usize, const STANDING: u8>(Arc<Known>);

struct Known {
    snapshot: Snapshot<Lsn>,
    seen: Seen<Lsn>,
    latencies: Vec<PeakEwma>,
    now: Instant,
}

impl<const NODES: usize, const STANDING: u8> fmt::Debug for Decide<NODES, STANDING> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decide").field("nodes", &NODES).finish()
    }
}

impl<const NODES: usize, const STANDING: u8> Pool for Decide<NODES, STANDING> {
    const NAME: &'static str = match (NODES, STANDING) {
        (3, ALIKE) => "decide and choose, 3 nodes",
        (3, APART) => "the same, where 3 differ",
        (3, _) => "the same, with a look at each of 3",
        (_, ALIKE) => "decide and choose, 64 nodes",
        (_, APART) => "the same, where 64 differ",
        (_, _) => "the same, with a look at each of 64",
    };
    type Lease = ();

    async fn open(_: usize) -> Result<Self> {
        let (mut topology, now) = (Topology::new(NODES), Instant::now());
        for (index, node) in (0..NODES).filter_map(NodeId::new).enumerate() {
            let (took, mut observation) = (Duration::ZERO, observation(role(index)));
            if STANDING != ALIKE && index == 1 {
                observation.position = Some(Lsn::new(1));
            }
            topology.handle(Input::Answered { node, asked: now, took, observation });
            while topology.poll_action().is_some() {}
        }
        let wanted = if STANDING == ALIKE { END } else { Lsn::new(2000) };
        let token = Token::new(CLUSTER, TIMELINE, TokenPosition::UpTo(wanted));
        let written = if STANDING == ALIKE { now } else { now + Duration::from_millis(1) };
        Ok(Self(Arc::new(Known {
            snapshot: topology.snapshot(),
            seen: Seen::told(token, written),
            latencies: vec![PeakEwma::new(now); NODES],
            now,
        })))
    }

    async fn take(&self) -> Result<()> {
        let known = &*self.0;
        // The time comes in: reading the clock is a part of the whole way.
        let now = black_box(known.now);
        let load = |node: NodeId| -> Load { known.latencies[node.index()].load(1, now) };
        let freshness = match STANDING {
            EACH => Freshness::Behind { time: WAIT_TIMEOUT, distance: END.get() / 2 },
            _ => Freshness::Within(WAIT_TIMEOUT),
        };
        let request = Request::new(Access::Read, freshness, &known.seen, fastrand::u64(..));
        let mut decision = decide(&request.proving(true), &known.snapshot, now);
        black_box(decision.plan.next(load));
        Ok(())
    }
}

/// The whole way of a read: classified from the cache, decided, a node chosen, a connection taken, and given back.
#[derive(Clone, Debug)]
pub struct Routed(Handle<Numbers>);

const READ: &str = "select name, price from product where id = $1";

impl Pool for Routed {
    const NAME: &'static str = "the whole way, 3 nodes";
    type Lease = ();

    async fn open(size: usize) -> Result<Self> {
        let mut config = Config::default();
        config.max_size = size;
        config.acquire_timeout = WAIT_TIMEOUT;
        config.catalog_interval = None;
        // Nobody is asked while it is measured, and what was said stays fresh.
        config.probe_interval = Some(Duration::from_secs(3600));
        config.max_lag = Duration::from_secs(3600);
        let nodes = ["a", "b", "c"].into_iter().enumerate();
        let nodes = nodes.map(|(node, name)| NodeConfig::new(name.into(), node)).collect();
        Ok(Self(Cluster::connect(Numbers, nodes, config).await?.handle()))
    }

    async fn take(&self) -> Result<()> {
        let classification = self.0.classify(READ);
        let statement = Statement::text(READ, &classification, Dialect::Postgres);
        Ok(self.0.run(statement, &mut Nothing).await?)
    }
}

/// Does nothing with its connection.
struct Nothing;

impl Operation<Numbers> for Nothing {
    type Output = ();

    async fn run(
        &mut self,
        lease: NodeLease<Numbers>,
        target: Target<Lsn>,
    ) -> Result<Answer<(), Lsn>, NoServer> {
        Ok(Answer::new((), None).with_lease_back(lease, target.untimed))
    }
}

/// A database whose connections cost nothing.
#[derive(Debug)]
pub struct Numbers;

/// There is nothing that could fail.
#[derive(Debug, thiserror::Error)]
#[error("there is no server")]
pub struct NoServer;

impl Backend for Numbers {
    type Position = Lsn;
    type Address = usize;
    type Connection = usize;
    type Error = NoServer;

    const DIALECT: Dialect = Dialect::Postgres;

    async fn connect(&self, node: &usize, _: Purpose) -> Result<usize, NoServer> {
        Ok(*node)
    }

    async fn observe(&self, connection: &mut usize) -> Result<Observation<Lsn>, NoServer> {
        Ok(observation(role(*connection)))
    }

    async fn classifier(&self, _: &mut usize, known: &Classifier) -> Result<Classifier, NoServer> {
        Ok(known.clone())
    }

    fn is_open(&self, _: &usize) -> bool {
        true
    }

    async fn check(&self, _: &mut usize) -> Result<(), NoServer> {
        Ok(())
    }

    fn returned(&self, _: &mut usize) -> Returned {
        Returned::Clean
    }

    async fn reset(&self, _: &mut usize) -> Result<(), NoServer> {
        Ok(())
    }

    fn can_prove(&self) -> bool {
        true
    }

    fn wrong_server(&self) -> Self::Error {
        unreachable!("they do not say who they are")
    }

    fn failure(&self, _: &NoServer) -> Failure {
        Failure { kind: FailureKind::Rejected, code: None, hint: None }
    }
}

#[cfg(test)]
mod tests {
    use allocation_counter::measure;

    use super::*;

    #[test]
    fn the_whole_way_allocates_nothing() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let routed = runtime.block_on(Routed::open(10)).unwrap();
        let reads = |count: usize| {
            let counted = measure(|| {
                runtime.block_on(async {
                    for _ in 0..count {
                        routed.take().await.unwrap()
                    }
                })
            });
            counted.count_total
        };
        // The first opens a connection to each replica.
        reads(100);
        assert_eq!(reads(1000), 0);
    }
}
