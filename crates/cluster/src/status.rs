use std::fmt;
use std::sync::Arc;

use millpond_core::{Epoch, Health, Lag, Reason, Role};

use crate::{ErrorKind, Latencies, Mode, Switches};

/// How a cluster stands at one moment. `Display` draws it as a table.
///
/// With the feature `serde` it is one value to serialise, with the fields' names: times are in milliseconds, with a fraction, in fields that
/// end in `_ms`; roles, healths and modes are their words; what is not known is `null`, and never zero. A lag is `null` or
/// `{"time_ms": 12.5, "distance": 4096, "observed_ago_ms": 2.5, "uncertainty_ms": 9.0}`, latencies are `{"count": 9, "p50_ms": 1.1, "p90_ms": 2.2, "p99_ms": 5.0, "p999_ms": 5.0}`.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Status {
    /// The mode in force.
    pub mode: Mode,
    /// All switches in force, the mode among them; serialised as their text.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::json::text"))]
    pub switches: Switches,
    /// Counts the changes of the primary.
    pub epoch: Epoch,
    /// The node that writes go to, while there is one. Others may say that they are primaries, too.
    pub primary: Option<Arc<str>>,
    /// The timeline of the primary last adopted.
    pub timeline: Option<u32>,
    /// Reads that a replica refused and that ran on the primary instead.
    pub healed: u64,
    /// Reads that failed on one node and went on to another.
    pub retried: u64,
    /// Reads that failed on one node and did not go on, since too many had lately: at most a fifth of all reads do, beside as many as the
    /// pools have connections.
    pub over_budget: u64,
    /// Statements that [`Mode::Shadow`] kept on the primary and [`Mode::Route`] would have sent to a replica.
    pub shadowed: u64,
    /// Calls that failed, by what went wrong, since the start; what happens most stands first. Statements of transactions and on leases are not among
    /// them. Serialised, it is a map from the kinds' words to counts.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::json::by_kind"))]
    pub failed: Vec<(ErrorKind, u64)>,
    /// Reads that ran on the primary although there are other nodes, by why, since the start; what happens most stands first. `FreshReplica` and
    /// `ProvingReplica` are those that a replica could have served, which gave no connection. Serialised, it is a map from the reasons'
    /// words to counts.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::json::by_reason"))]
    pub reads_on_primary: Vec<(Reason, u64)>,
    /// Why nothing is taken for a read now, so that everything goes to the primary, if that is so: the catalog is not there, say.
    pub no_reads: Option<Arc<str>>,
    /// Callers that wait now since no node may run their statement: for a primary, mostly.
    pub waiting: usize,
    /// Every node that is configured now.
    pub nodes: Vec<NodeStatus>,
}

/// How one node stands.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct NodeStatus {
    /// Its address as configured.
    pub name: Arc<str>,
    /// The name that it was found by, where that is another, as one that is looked up.
    pub found_as: Option<Arc<str>>,
    /// Where it is, if that is configured.
    pub zone: Option<Arc<str>>,
    /// How much it can do beside others.
    pub weight: f64,
    /// Whether it gets no reads, by [`Cluster::drain_node`](crate::Cluster::drain_node).
    pub is_drained: bool,
    /// What it said it is.
    pub role: Option<Role>,
    /// Whether it answers.
    pub health: Health,
    /// What failed when it was asked last, if that failed.
    pub last_failure: Option<Arc<str>>,
    /// Why it gets no writes though it says that it takes some, or nothing since it is of another cluster, and what to do about it.
    pub refusal: Option<Arc<str>>,
    /// Whether it takes long to answer beside the others: reads go to those first.
    pub is_slow: bool,
    /// Whether it is a replica that is too old for most reads, or of an unknown age.
    pub is_lagging: bool,
    /// The timeline that it is on, as far as it said. A replica on another than the primary's serves nothing until it follows.
    pub timeline: Option<u32>,
    /// Whether all our connections to it are in use and callers wait, which says nothing against the node.
    pub is_saturated: bool,
    /// How far it is behind.
    pub lag: Lag,
    /// Statements that run on it now.
    pub in_flight: usize,
    /// Its connections, idle and in use.
    pub connections: usize,
    /// Those of them that nobody uses.
    pub idle: usize,
    /// Connections for statements that could not be opened, since the start.
    pub connect_failures: u64,
    /// Callers that wait for one of its connections.
    pub waiting: usize,
    /// Statements that ran on it as reads on a replica, since the start.
    pub reads: u64,
    /// Statements that ran on it as on a primary, since the start.
    pub primary_statements: u64,
    /// How long statements on it took, since the start: of those that each thread sends within 200 µs behind one that it timed none is timed.
    pub latencies: Latencies,
}

impl NodeStatus {
    /// How it is, in words: `up`, `down` or `unknown`, and where it is up but not well, in what way.
    fn condition(&self) -> String {
        let ills = [(self.is_slow, "slow"), (self.is_lagging, "lagging"), (self.is_saturated, "saturated")];
        let ills: Vec<_> = ills.into_iter().filter(|(is_so, _)| *is_so).map(|(_, word)| word).collect();
        match self.health {
            Health::Up if !ills.is_empty() => ills.join(","),
            health => health.to_string(),
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widest = self.nodes.iter().map(|node| node.name.len()).max().unwrap_or_default();
        let condition = self.nodes.iter().map(|node| node.condition().len()).max().unwrap_or_default().max(7);
        writeln!(
            f,
            "{:widest$}  {:8} {:condition$} {:>9} {:>9} {:>5} {:>7} {:>10} {:>10}",
            "node", "role", "health", "lag", "in flight", "conns", "waiting", "as replica", "as primary"
        )?;
        for node in &self.nodes {
            let role = node.role.map_or("unknown", Role::as_str);
            writeln!(
                f,
                "{:widest$}  {role:8} {:condition$} {:>9} {:>9} {:>5} {:>7} {:>10} {:>10}",
                node.name,
                node.condition(),
                node.lag,
                node.in_flight,
                node.connections,
                node.waiting,
                node.reads,
                node.primary_statements
            )?;
        }
        for node in &self.nodes {
            for trouble in node.last_failure.iter().chain(&node.refusal) {
                writeln!(f, "{}: {trouble}", node.name)?;
            }
        }
        if self.waiting > 0 {
            writeln!(f, "{} callers wait for a node that may run their statement", self.waiting)?;
        }
        if let Some(why) = &self.no_reads {
            writeln!(f, "everything goes to the primary: {why}")?;
        }
        if !self.reads_on_primary.is_empty() {
            let counts =
                self.reads_on_primary.iter().map(|(reason, count)| format!("{count} {}", reason.as_str()));
            writeln!(f, "reads on the primary: {}", counts.collect::<Vec<_>>().join(", "))?;
        }
        if !self.failed.is_empty() {
            let counts = self.failed.iter().map(|(kind, count)| format!("{count} {}", kind.as_str()));
            writeln!(f, "failed calls: {}", counts.collect::<Vec<_>>().join(", "))?;
        }
        if self.switches.names_statements() {
            writeln!(f, "switches: {}", self.switches)?;
        }
        let primary = self.primary.as_deref().unwrap_or("none");
        write!(f, "mode {}, primary {primary}, epoch {}, healed {}", self.mode, self.epoch, self.healed)
    }
}
