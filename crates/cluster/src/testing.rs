//! What unit tests share: servers that only their test speaks for.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use millpond_core::{ClusterId, Input, Observation, Role, ServerId, Timeline};
use millpond_pool::Returned;
use millpond_sql::{Classifier, Dialect};

use crate::node::now;
use crate::{Answer, Backend, Cluster, Failure, FailureKind, NodeLease, Operation, Purpose, Target};

/// What opening a connection comes to: the server that it leads to.
pub(crate) type Connecting = Pin<Box<dyn Future<Output = Result<ServerId, Down>> + Send>>;

type Connect = Box<dyn Fn(u64) -> Connecting + Send + Sync>;

/// Servers whose connections for statements are opened by a function of their address. Monitors get none, and nobody a catalog, unless
/// [said](Self::with_probes): what they would find out is told with [`Shared::take_in`](crate::cluster::Shared::take_in).
pub(crate) struct Servers {
    connect: Connect,
    probe: Connect,
    can_prove: bool,
}

impl Servers {
    pub(crate) fn new(connect: impl Fn(u64) -> Connecting + Send + Sync + 'static) -> Self {
        let probe = Box::new(|_: u64| -> Connecting { Box::pin(std::future::pending()) });
        Self { connect: Box::new(connect), probe, can_prove: false }
    }

    /// The same, whose replicas can be asked with a read how far they have come.
    pub(crate) fn proving(self) -> Self {
        Self { can_prove: true, ..self }
    }

    /// The same, whose connections for questions are opened by such a function too. Who they are nobody says.
    pub(crate) fn with_probes(self, probe: impl Fn(u64) -> Connecting + Send + Sync + 'static) -> Self {
        Self { probe: Box::new(probe), ..self }
    }
}

/// It cannot be reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Down {
    /// Nobody is there.
    #[error("it is down")]
    Gone,
    /// Somebody is there, and says no.
    #[error("it is starting")]
    Starting,
    /// It went while something ran on it.
    #[error("it went")]
    Lost,
}

impl Backend for Servers {
    type Position = u64;
    type Address = u64;
    type Connection = ServerId;
    type Error = Down;

    const DIALECT: Dialect = Dialect::Postgres;

    async fn connect(&self, address: &u64, purpose: Purpose) -> Result<ServerId, Down> {
        match purpose {
            Purpose::Probe => (self.probe)(*address).await,
            Purpose::Read | Purpose::Write => (self.connect)(*address).await,
        }
    }

    async fn observe(&self, _: &mut ServerId) -> Result<Observation<u64>, Down> {
        std::future::pending().await
    }

    async fn classifier(&self, _: &mut ServerId, known: &Classifier) -> Result<Classifier, Down> {
        Ok(known.clone())
    }

    fn is_open(&self, _: &ServerId) -> bool {
        true
    }

    async fn check(&self, _: &mut ServerId) -> Result<(), Down> {
        Ok(())
    }

    fn returned(&self, _: &mut ServerId) -> Returned {
        Returned::Clean
    }

    async fn reset(&self, _: &mut ServerId) -> Result<(), Down> {
        Ok(())
    }

    fn can_prove(&self) -> bool {
        self.can_prove
    }

    fn server(&self, connection: &ServerId) -> Option<ServerId> {
        Some(*connection)
    }

    fn wrong_server(&self) -> Down {
        Down::Gone
    }

    fn failure(&self, error: &Down) -> Failure {
        let code = matches!(error, Down::Starting).then(|| "57P03".to_owned());
        let is_lost = matches!(error, Down::Lost);
        let kind = if is_lost { FailureKind::ConnectionLost } else { FailureKind::NotSent };
        Failure { kind, code, hint: None }
    }
}

/// A node answers, as the primary or a replica of this timeline.
pub(crate) fn answers(cluster: &Cluster<Servers>, node: &str, role: Role, timeline: u32) {
    let (cluster_id, timeline) = (Some(ClusterId::new(1)), Some(Timeline::new(timeline)));
    let position = Some(1);
    says(cluster, node, Observation { cluster: cluster_id, timeline, position, ..Observation::of(role) });
}

/// A node says this of itself.
pub(crate) fn says(cluster: &Cluster<Servers>, node: &str, observation: Observation<u64>) {
    let node = cluster.shared.named(node).expect("the test has such a node");
    let (asked, took) = (now(), Duration::ZERO);
    cluster.shared.take_in(node, Input::Answered { node: node.id, asked, took, observation });
}

/// Says where its connection leads.
pub(crate) struct Where;

impl Operation<Servers> for Where {
    type Output = ServerId;

    async fn run(
        &mut self,
        lease: NodeLease<Servers>,
        _: Target<u64>,
    ) -> Result<Answer<ServerId, u64>, Down> {
        Ok(Answer::new(*lease, None))
    }
}

/// A server of this number.
pub(crate) const fn server(number: u64) -> ServerId {
    ServerId::new(None, number)
}
