use std::time::Duration;

use millpond_cluster::{Cluster, Limits, NodeConfig};

use crate::backend::Source;
use crate::connector::Connectors;
use crate::url::Address;
use crate::{DiscoveryError, Error, Postgres, Result, Server};

/// A node: where it is, and how it takes part. For [`Builder::node`](crate::Builder::node) and [`Nodes::add`].
///
/// User, database, TLS and whatever else opens a connection are as in the URL of the handle.
#[derive(Clone, Debug)]
pub struct NodeSettings {
    /// Or why it cannot be read, until somebody can be told.
    address: std::result::Result<Address, String>,
    monitored_at: Option<std::result::Result<Address, String>>,
    weight: f64,
    is_endpoint: bool,
    zone: Option<String>,
    is_drained: bool,
}

impl NodeSettings {
    /// The node at `address`: a host, or `host:port`, with 5432 where no port is named; an IPv6 address stands in brackets, and a path is the
    /// folder of a Unix socket.
    #[must_use]
    pub fn new(address: &str) -> Self {
        Self::of(Address::parse(address))
    }

    pub(crate) const fn at(address: Address) -> Self {
        Self::of(Ok(address))
    }

    const fn of(address: std::result::Result<Address, String>) -> Self {
        Self { address, monitored_at: None, weight: 1.0, is_endpoint: false, zone: None, is_drained: false }
    }

    /// How much it can do beside others: of two that are equally fast, one of weight 2 gets reads until it has twice as many in flight. At
    /// least 0.001. Default 1.
    #[must_use]
    pub const fn weight(mut self, weight: f64) -> Self {
        self.weight = weight;
        self
    }

    /// Where its monitor asks, and what the database holds is asked, if not at the node's own address: the server itself behind a
    /// [pooler](crate::Builder::behind_pooler). Through that a question waits for a connection as everything else does, so that a full pool looks like
    /// a server that does not answer. The way through the pooler is seen by nobody then: see [`call_timeout`](crate::Builder::call_timeout).
    #[must_use]
    pub fn monitored_at(mut self, address: &str) -> Self {
        self.monitored_at = Some(Address::parse(address));
        self
    }

    /// The node's name stands for whichever server takes writes, as the writer endpoint of a managed service does: that name alone decides who is
    /// written to, on whichever timeline it is. It is looked up about every second, and soon after the server behind it turns out to be a
    /// replica. Another node that takes writes, as a promoted copy or a restored clone, is told as an event and moves nothing. At most one node
    /// is such; list the others by their own names beside it.
    ///
    /// Without such a node who takes writes is found by evidence: for clusters that one manages oneself.
    #[must_use]
    pub const fn writer_endpoint(mut self) -> Self {
        self.is_endpoint = true;
        self
    }

    /// Where it is. Reads go first to the nodes that are where the process is, by [`Builder::zone`](crate::Builder::zone).
    #[must_use]
    pub fn zone(mut self, zone: &str) -> Self {
        self.zone = Some(zone.to_owned());
        self
    }

    /// The node gets no reads from the start on, until it is [undrained](Nodes::undrain): for one that stands by, or that others work on. Writes go to
    /// it as to any other where it is the primary.
    #[must_use]
    pub const fn drained(mut self) -> Self {
        self.is_drained = true;
        self
    }

    pub(crate) fn name(&self) -> Option<String> {
        self.address.as_ref().ok().map(Address::name)
    }

    /// The same settings for each server that its name stands for now.
    pub(crate) async fn resolve(self) -> std::result::Result<Vec<Self>, DiscoveryError> {
        if self.is_endpoint || self.monitored_at.is_some() {
            // It is looked up by its monitor, and stays one node.
            return Ok(vec![self]);
        }
        let address = self.address?;
        let name = address.name();
        let found = address.resolve().await.map_err(|error| format!("{name}: {error}"))?;
        let (weight, zone, is_drained) = (self.weight, self.zone, self.is_drained);
        let one = |address| {
            let (address, zone) = (Ok(address), zone.clone());
            Self { weight, zone, is_drained, ..Self::of(address) }
        };
        Ok(found.into_iter().map(one).collect())
    }

    pub(crate) fn config(self, connectors: &Connectors) -> Result<NodeConfig<Server>> {
        let address = self.address.map_err(Error::config)?;
        let found_as = address.found_as();
        let monitored_at = self.monitored_at.transpose().map_err(Error::config)?;
        let connector = connectors.connector(&address, monitored_at.as_ref())?;
        let name = connector.setup.node.clone();
        let mut config = NodeConfig::new(name, Server(Source::Opened(Box::new(connector))));
        config.weight = self.weight;
        config.is_endpoint = self.is_endpoint;
        config.zone = self.zone.map(Into::into);
        config.is_drained = self.is_drained;
        config.found_as = found_as.map(Into::into);
        Ok(config)
    }
}

impl From<&str> for NodeSettings {
    fn from(address: &str) -> Self {
        Self::new(address)
    }
}

/// The nodes of a handle's cluster, to be changed while it runs: see [`Db::nodes`](crate::Db::nodes). A change is there from the next
/// statement on, for all clones, and nothing restarts: the other nodes keep their roles, their connections and what is known of them.
///
/// Nodes are named as in the URL, and as [`status`](crate::Db::status) names them; the port may be left out where it is 5432. One that was found by
/// a name ([`resolve_names`](crate::Builder::resolve_names)) goes by that name, too, as long as no other was; but for [`remove`](Nodes::remove).
#[derive(Clone, Copy, Debug)]
pub struct Nodes<'a> {
    cluster: &'a Cluster<Postgres>,
}

impl<'a> Nodes<'a> {
    pub(crate) const fn new(cluster: &'a Cluster<Postgres>) -> Self {
        Self { cluster }
    }

    /// Adds a node. It is asked who it is, and gets reads as soon as it is known to be fresh enough. Call it inside a runtime.
    ///
    /// # Errors
    ///
    /// An address that cannot be read; a node that is there; more than 64 nodes; a closed handle.
    pub fn add(&self, node: impl Into<NodeSettings>) -> Result<()> {
        let connectors = self.cluster.backend().connectors.as_ref();
        let connectors = connectors.ok_or_else(|| Error::config("the handle of a test has one node"))?;
        self.cluster.add_node(node.into().config(connectors)?)
    }

    /// Takes a node out. It gets nothing more from now on; what runs on it may go on for as long as `patience`. Then its reads go on to
    /// another node, and its writes and transactions are given up. Says whether all came back in time.
    ///
    /// When it was the primary, writes wait for another one, as in a failover. Where nodes are [found](crate::Builder::discovery), one that is still
    /// named comes back.
    ///
    /// # Errors
    ///
    /// There is no such node, or no other one.
    ///
    /// # Cancel safety
    ///
    /// The node is out from the first poll on; a dropped future has no more patience.
    pub async fn remove(&self, name: &str, patience: Duration) -> Result<bool> {
        self.cluster.remove_node(&in_full(name)?, patience).await
    }

    /// Gives a node no more reads, before it is taken out or worked on; what runs on it goes on. A primary takes writes as before, and reads
    /// when no replica may serve them.
    ///
    /// # Errors
    ///
    /// There is no such node.
    pub fn drain(&self, name: &str) -> Result<()> {
        self.cluster.drain_node(&in_full(name)?)
    }

    /// Gives a drained node reads again.
    ///
    /// # Errors
    ///
    /// There is no such node.
    pub fn undrain(&self, name: &str) -> Result<()> {
        self.cluster.undrain_node(&in_full(name)?)
    }

    /// How much a node can do beside others: see [`NodeSettings::weight`].
    ///
    /// # Errors
    ///
    /// There is no such node; a weight that cannot be.
    pub fn set_weight(&self, name: &str, weight: f64) -> Result<()> {
        self.cluster.set_weight(&in_full(name)?, weight)
    }

    /// The limits in force.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.cluster.limits()
    }

    /// Sets limits anew, as the [`Builder`](crate::Builder) set them first: `change` has those in force, and what it makes of them counts
    /// from the next statement on. It is called once more when somebody else has set them meanwhile.
    ///
    /// ```
    /// # fn change(db: &millpond_postgres::Db) -> millpond_postgres::Result<()> {
    /// db.nodes().change_limits(|limits| {
    ///     limits.max_size = 20;
    ///     limits.max_fallback_reads = Some(50);
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Limits that cannot be, by name; those before stay then.
    pub fn change_limits(&self, change: impl FnMut(&mut Limits)) -> Result<()> {
        self.cluster.change_limits(change)
    }
}

/// As the status has it.
fn in_full(name: &str) -> Result<String> {
    Address::parse(name).map(|address| address.name()).map_err(Error::config)
}
