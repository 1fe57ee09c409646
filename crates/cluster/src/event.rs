use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use millpond_core::{ClusterId, Refusal, Role};
use millpond_sql::Digest;

use crate::Mode;

/// What changed in the cluster, or went otherwise than expected. `Display` is a sentence for a log.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A node answers (again).
    NodeUp {
        /// Which node.
        node: Arc<str>,
    },
    /// A node does not answer.
    NodeDown {
        /// Which node.
        node: Arc<str>,
        /// What it or the network said last.
        cause: Option<Arc<str>>,
    },
    /// Connections for statements cannot be opened to a node, though it may answer its monitor. Told once, until one could be opened.
    ConnectFailed {
        /// Which node.
        node: Arc<str>,
        /// What it or the network said.
        cause: Arc<str>,
    },
    /// A node has fewer connections than all [processes](crate::Config::processes) together may open. Told again when either number is another.
    TooFewConnections {
        /// Which node.
        node: Arc<str>,
        /// How many may be opened.
        wanted: usize,
        /// How many it has.
        limit: usize,
    },
    /// A node is what it was not before.
    RoleChanged {
        /// Which node.
        node: Arc<str>,
        /// What it is now.
        role: Role,
    },
    /// Writes go to this node from here on: another than before, or, in the same epoch, the one that was lost and is back.
    PrimaryChanged {
        /// Which node.
        node: Arc<str>,
        /// Counts the changes from one to another.
        epoch: u64,
    },
    /// No node takes writes. Told once, until [`PrimaryChanged`](Self::PrimaryChanged) says that one does.
    PrimaryLost {
        /// The one that did.
        node: Arc<str>,
    },
    /// No node takes writes, and none did since the start. Told once, until [`PrimaryChanged`](Self::PrimaryChanged) says that one does.
    NoPrimary,
    /// The last primary was seen further than where the new one begins: a failover discards what lies between. What had not been acknowledged is among it,
    /// and what the last primary wrote behind its last answer is not.
    Discarded {
        /// The new primary.
        node: Arc<str>,
        /// How much at least, in bytes or transactions, as the backend counts.
        distance: u64,
    },
    /// A node says that it takes writes, and gets none. Told once for each reason.
    SecondPrimary {
        /// Which node.
        node: Arc<str>,
        /// Why it gets none, and what to do about it.
        why: Refusal,
    },
    /// Several nodes take writes and nothing tells which is right; none gets any.
    AmbiguousPrimary,
    /// A node belongs to another cluster; it gets nothing.
    OtherCluster {
        /// Which node.
        node: Arc<str>,
        /// The cluster it belongs to.
        cluster: ClusterId,
    },
    /// A replica refused a statement that was taken for a read; it ran on the primary, and will from now on.
    Healed {
        /// The replica.
        node: Arc<str>,
        /// The statement, without its literals.
        digest: Digest,
    },
    /// A caller holds a connection, or a transaction, for longer than [`Config::leak_after`](crate::Config::leak_after). Told once of each.
    Leaked {
        /// Where it was taken.
        site: &'static Location<'static>,
        /// How long it is held already.
        held: Duration,
    },
    /// What the database holds could not be asked, so that nothing is known of what views and functions hide: until it
    /// can, nothing is taken for a read, and everything goes to the primary.
    CatalogMissing {
        /// Why.
        cause: Arc<str>,
    },
    /// What the database holds could not be asked again: what was known of it last stays in use.
    CatalogKept {
        /// Why.
        cause: Arc<str>,
    },
    /// What the database holds could be asked again.
    CatalogLoaded,
    /// The database has code that runs without being named and is not known to only read, as that of an implicit cast: no
    /// statement is taken for a read, and everything goes to the primary.
    HiddenCode {
        /// The first of it, and why.
        hazard: Arc<str>,
    },
    /// A node takes long to answer its monitor beside the others, or no longer does: while it does, reads go to others first, though never away
    /// from more than half of the replicas.
    NodeSlow {
        /// Which node.
        node: Arc<str>,
        /// Whether it does.
        is_slow: bool,
    },
    /// A replica has been older than [`max_lag`](crate::Config::max_lag), or of an unknown age, for some answers in a row, or has not been for
    /// as many: while it is, it serves only reads that may be as old.
    NodeLagging {
        /// Which node.
        node: Arc<str>,
        /// Whether it is.
        is_lagging: bool,
    },
    /// All our connections to a node are in use and callers wait, or no longer. That says nothing against the node.
    NodeSaturated {
        /// Which node.
        node: Arc<str>,
        /// Whether they wait.
        is_saturated: bool,
    },
    /// Connections to a node lead to several servers, as those to a balancer do, or no longer. While they do, nothing is known of its age: it serves
    /// reads that may be of any, and connections for writes only where they lead to the server that was asked.
    ManyServers {
        /// Which node.
        node: Arc<str>,
        /// Whether there are several.
        are_many: bool,
    },
    /// A node does not let its monitor in any more, having no connection left for it, say. It is taken for what it said last, which ages.
    MonitorTurnedAway {
        /// Which node.
        node: Arc<str>,
        /// What it said.
        cause: Arc<str>,
    },
    /// A node answers its monitor, and does not say all that it was asked. What is not known counts against it.
    ProbeIncomplete {
        /// Which node.
        node: Arc<str>,
        /// What it did not say, and why.
        cause: Arc<str>,
    },
    /// A node was added.
    NodeAdded {
        /// Which node.
        node: Arc<str>,
    },
    /// A node was taken out.
    NodeRemoved {
        /// Which node.
        node: Arc<str>,
    },
    /// A node gets no reads any more, or gets some again.
    NodeDrained {
        /// Which node.
        node: Arc<str>,
        /// Whether it gets none.
        is_drained: bool,
    },
    /// Other statements or tables are sent to the primary.
    SwitchesChanged {
        /// All switches, as they are written.
        switches: Arc<str>,
    },
    /// The switches could not be read: the last ones stay in force.
    SwitchesUnreadable {
        /// Why.
        cause: Arc<str>,
    },
    /// The nodes could not be found anew: those that are there stay.
    DiscoveryFailed {
        /// Why.
        cause: Arc<str>,
    },
    /// The mode was switched.
    ModeChanged {
        /// To what.
        mode: Mode,
    },
    /// What an event told before is so no more: [`ConnectFailed`](Self::ConnectFailed), [`TooFewConnections`](Self::TooFewConnections),
    /// [`MonitorTurnedAway`](Self::MonitorTurnedAway), [`ProbeIncomplete`](Self::ProbeIncomplete), [`SecondPrimary`](Self::SecondPrimary),
    /// [`OtherCluster`](Self::OtherCluster), [`DiscoveryFailed`](Self::DiscoveryFailed) or [`SwitchesUnreadable`](Self::SwitchesUnreadable). Others end by an
    /// event of their own: what is of a node by [`NodeRemoved`](Self::NodeRemoved), too.
    Over {
        /// The word of that event: see [`as_str`](Self::as_str).
        what: &'static str,
        /// The node that it was about, if it was about one.
        node: Option<Arc<str>>,
    },
}

impl Event {
    /// The word for it, as in the field `event` of what is logged: the name of the variant, in lower case.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::NodeUp { .. } => "node_up",
            Self::NodeDown { .. } => "node_down",
            Self::ConnectFailed { .. } => "connect_failed",
            Self::TooFewConnections { .. } => "too_few_connections",
            Self::RoleChanged { .. } => "role_changed",
            Self::PrimaryChanged { .. } => "primary_changed",
            Self::PrimaryLost { .. } => "primary_lost",
            Self::NoPrimary => "no_primary",
            Self::Discarded { .. } => "discarded",
            Self::SecondPrimary { .. } => "second_primary",
            Self::AmbiguousPrimary => "ambiguous_primary",
            Self::OtherCluster { .. } => "other_cluster",
            Self::Healed { .. } => "healed",
            Self::Leaked { .. } => "leaked",
            Self::CatalogMissing { .. } => "catalog_missing",
            Self::CatalogKept { .. } => "catalog_kept",
            Self::CatalogLoaded => "catalog_loaded",
            Self::HiddenCode { .. } => "hidden_code",
            Self::NodeSlow { .. } => "node_slow",
            Self::NodeLagging { .. } => "node_lagging",
            Self::NodeSaturated { .. } => "node_saturated",
            Self::ManyServers { .. } => "many_servers",
            Self::MonitorTurnedAway { .. } => "monitor_turned_away",
            Self::ProbeIncomplete { .. } => "probe_incomplete",
            Self::NodeAdded { .. } => "node_added",
            Self::NodeRemoved { .. } => "node_removed",
            Self::NodeDrained { .. } => "node_drained",
            Self::SwitchesChanged { .. } => "switches_changed",
            Self::SwitchesUnreadable { .. } => "switches_unreadable",
            Self::DiscoveryFailed { .. } => "discovery_failed",
            Self::ModeChanged { .. } => "mode_changed",
            Self::Over { .. } => "over",
        }
    }

    /// The node that it is about, if it is about one.
    #[must_use]
    pub fn node(&self) -> Option<&str> {
        match self {
            Self::NodeUp { node, .. }
            | Self::NodeDown { node, .. }
            | Self::ConnectFailed { node, .. }
            | Self::TooFewConnections { node, .. }
            | Self::RoleChanged { node, .. }
            | Self::PrimaryChanged { node, .. }
            | Self::PrimaryLost { node, .. }
            | Self::Discarded { node, .. }
            | Self::SecondPrimary { node, .. }
            | Self::OtherCluster { node, .. }
            | Self::Healed { node, .. }
            | Self::NodeSlow { node, .. }
            | Self::NodeLagging { node, .. }
            | Self::NodeSaturated { node, .. }
            | Self::ManyServers { node, .. }
            | Self::MonitorTurnedAway { node, .. }
            | Self::ProbeIncomplete { node, .. }
            | Self::NodeAdded { node, .. }
            | Self::NodeRemoved { node, .. }
            | Self::NodeDrained { node, .. }
            | Self::Over { node: Some(node), .. } => Some(node),
            Self::NoPrimary
            | Self::AmbiguousPrimary
            | Self::Leaked { .. }
            | Self::CatalogMissing { .. }
            | Self::CatalogKept { .. }
            | Self::CatalogLoaded
            | Self::HiddenCode { .. }
            | Self::SwitchesChanged { .. }
            | Self::SwitchesUnreadable { .. }
            | Self::DiscoveryFailed { .. }
            | Self::ModeChanged { .. }
            | Self::Over { node: None, .. } => None,
        }
    }

    /// Whether somebody should look.
    #[must_use]
    pub const fn is_warning(&self) -> bool {
        !matches!(
            self,
            Self::NodeUp { .. }
                | Self::RoleChanged { .. }
                | Self::PrimaryChanged { .. }
                | Self::CatalogLoaded
                | Self::SwitchesChanged { .. }
                | Self::NodeAdded { .. }
                | Self::NodeRemoved { .. }
                | Self::NodeDrained { .. }
                | Self::NodeSlow { is_slow: false, .. }
                | Self::NodeLagging { is_lagging: false, .. }
                | Self::NodeSaturated { is_saturated: false, .. }
                | Self::ManyServers { are_many: false, .. }
                | Self::ModeChanged { .. }
                | Self::Over { .. }
        )
    }

    /// That what it tells is so no more.
    pub(crate) fn is_over(&self) -> Self {
        Self::over(self.as_str(), self.node().map(Into::into))
    }

    pub(crate) const fn over(what: &'static str, node: Option<Arc<str>>) -> Self {
        Self::Over { what, node }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NodeUp { node } => write!(f, "{node} answers"),
            Self::NodeDown { node, cause: Some(cause) } => write!(f, "{node} does not answer: {cause}"),
            Self::NodeDown { node, cause: None } => write!(f, "{node} does not answer"),
            Self::ConnectFailed { node, cause } => {
                write!(f, "{node}: connections for statements cannot be opened: {cause}")
            }
            Self::TooFewConnections { node, wanted, limit } => write!(
                f,
                "{node} has {limit} connections, and all processes together may open {wanted}: lower max_size, raise the server's \
                 max_connections, or put a pooler in between"
            ),
            Self::RoleChanged { node, role } => write!(f, "{node} is a {role} now"),
            Self::PrimaryChanged { node, epoch } => write!(f, "{node} takes writes (epoch {epoch})"),
            Self::PrimaryLost { node } => {
                write!(f, "{node} takes no writes any more: they wait for a node that does, as long as they may")
            }
            Self::NoPrimary => f.write_str("no node takes writes: they wait for one that does, as long as they may"),
            Self::Discarded { node, distance } => write!(
                f,
                "{node} takes writes and begins before where the last primary was seen: a distance of {distance} in its log at least is discarded"
            ),
            Self::SecondPrimary { node, why } => {
                write!(f, "{node} says that it takes writes, and gets none: {why}")
            }
            Self::AmbiguousPrimary => f.write_str(
                "several nodes take writes and nothing tells which is right, so that none gets any: stop all but one, or take them out",
            ),
            Self::OtherCluster { node, cluster } => write!(
                f,
                "{node} belongs to another cluster ({cluster}) and gets nothing: correct its address, or take it out"
            ),
            Self::Healed { node, digest } => {
                write!(f, "{node} refused statement {digest} as a write: it runs on the primary from now on")
            }
            Self::Leaked { site, held } => {
                write!(f, "the connection that was taken at {site} is held for {held:.1?} already: is it forgotten?")
            }
            Self::CatalogMissing { cause } => write!(
                f,
                "the catalog was not loaded, and until it is, everything goes to the primary: {cause}; it is tried \
                 again; switched off (CatalogSetting::Off), reads would be judged by their text alone"
            ),
            Self::CatalogKept { cause } => {
                write!(f, "the catalog was not loaded again, the last one stays in use: {cause}")
            }
            Self::CatalogLoaded => f.write_str("the catalog is loaded again"),
            Self::HiddenCode { hazard } => write!(
                f,
                "every statement may run {hazard}: all of them go to the primary until that code is known to only read; \
                 allow_function says so of its function"
            ),
            Self::NodeSlow { node, is_slow: true } => {
                write!(f, "{node} is slow beside the others: reads go to those first")
            }
            Self::NodeSlow { node, is_slow: false } => write!(f, "{node} is no longer slow"),
            Self::NodeLagging { node, is_lagging: true } => {
                write!(f, "{node} is too old for most reads, or nobody knows how old")
            }
            Self::NodeLagging { node, is_lagging: false } => write!(f, "{node} has caught up"),
            Self::NodeSaturated { node, is_saturated: true } => write!(
                f,
                "all connections of this process to {node} are in use, and callers wait: raise max_size, or see what holds them"
            ),
            Self::NodeSaturated { node, is_saturated: false } => {
                write!(f, "nobody waits for {node} any more")
            }
            Self::ManyServers { node, are_many: true } => write!(
                f,
                "{node} stands for several servers, so that nobody knows the age of its data: name the servers themselves, \
                 or have the name looked up (resolve_names)"
            ),
            Self::ManyServers { node, are_many: false } => write!(f, "{node} stands for one server again"),
            Self::MonitorTurnedAway { node, cause } => {
                write!(f, "{node} does not let its monitor in, and is taken for what it said last: {cause}")
            }
            Self::ProbeIncomplete { node, cause } => write!(f, "{node} does not say {cause}"),
            Self::NodeAdded { node } => write!(f, "{node} was added"),
            Self::NodeRemoved { node } => write!(f, "{node} was taken out"),
            Self::NodeDrained { node, is_drained: true } => write!(f, "{node} is drained: it gets no reads"),
            Self::NodeDrained { node, is_drained: false } => {
                write!(f, "{node} is not drained any more: it gets reads")
            }
            Self::SwitchesChanged { switches } => write!(f, "the switches are: {switches}"),
            Self::SwitchesUnreadable { cause } => {
                write!(f, "the switches could not be read, the last ones stay in force: {cause}")
            }
            Self::DiscoveryFailed { cause } => {
                write!(f, "the nodes could not be found anew, those that are there stay: {cause}")
            }
            Self::ModeChanged { mode } => write!(f, "the mode is {mode}"),
            Self::Over { what, node: Some(node) } => write!(f, "{node}: {what} is over"),
            Self::Over { what, node: None } => write!(f, "{what} is over"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_is_the_name_of_the_variant() {
        let node: Arc<str> = "db-0".into();
        let events = [
            Event::NodeDown { node: Arc::clone(&node), cause: None },
            Event::PrimaryLost { node: Arc::clone(&node) },
            Event::ManyServers { node: Arc::clone(&node), are_many: true },
            Event::AmbiguousPrimary,
            Event::CatalogKept { cause: "none".into() },
            Event::ConnectFailed { node, cause: "none".into() }.is_over(),
            Event::DiscoveryFailed { cause: "none".into() }.is_over(),
        ];
        for event in events {
            let named = format!("{event:?}").split([' ', '{']).next().map(str::to_lowercase);
            assert_eq!(named, Some(event.as_str().replace('_', "")));
            assert_eq!(event.node(), format!("{event:?}").contains("db-0").then_some("db-0"));
        }
    }
}
