//! One operation on a lab: typed, sent as a line, and done.

use std::{fmt, time::Duration};

use clap::{Parser, Subcommand};
use millpond_lab::{Lab, LabError, Network, StopMode};

use super::table;

/// What can be asked of a lab that is up.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub(crate) enum Operation {
    /// Show the nodes: role, state, positions, lag, faults
    Status,
    /// Print the URL that names all nodes
    Url {
        /// The database in it
        #[arg(default_value = "postgres")]
        database: String,
    },
    /// End the cluster and remove its folder
    Down,
    /// Hold a replica's replay where it is
    Pause { node: String },
    /// Let a replica's replay go on
    Resume { node: String },
    /// Let a replica show each commit this much later; 0 ends that
    Delay {
        node: String,
        #[arg(value_name = "MS")]
        millis: u32,
    },
    /// Stop all processes of a node where they stand (SIGSTOP)
    Freeze { node: String },
    /// Let a frozen node go on (SIGCONT)
    Thaw { node: String },
    /// Stop a node's server: fast, with an orderly end
    Stop {
        node: String,
        /// Drop everything; the next start recovers
        #[arg(long)]
        immediate: bool,
    },
    /// Kill all processes of a node at once (SIGKILL)
    Kill { node: String },
    /// Start a node's server again, as what it was
    Start { node: String },
    /// Stop and start a node's server
    Restart {
        node: String,
        /// Drop everything when stopping
        #[arg(long)]
        immediate: bool,
    },
    /// Make a replica the primary; the old one is left alone
    Promote { node: String },
    /// Make a node a replica of the current primary, rewound or copied anew when it has to be
    Follow { node: String },
    /// Make or end a fault in the network to a node
    Net {
        node: String,
        /// Between the node and its primary, instead of between clients and the node
        #[arg(long)]
        replication: bool,
        #[command(subcommand)]
        fault: Fault,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub(crate) enum Fault {
    /// Let everything pass this much later, each way
    Delay {
        #[arg(value_name = "MS")]
        millis: u32,
    },
    /// Accept connections and hold every byte
    Stall,
    /// Reset all connections, open and new
    Reset,
    /// End the fault
    Restore,
}

/// A line holds the same words as the command line, so there is one grammar.
#[derive(Debug, Parser)]
#[command(no_binary_name = true)]
struct Line {
    #[command(subcommand)]
    operation: Operation,
}

impl Operation {
    pub(crate) fn parse(line: &str) -> Result<Self, String> {
        let parsed = Line::try_parse_from(line.split_whitespace());
        parsed.map(|line| line.operation).map_err(|error| error.to_string())
    }

    /// Does it. `Down` is for whoever holds the lab, and does nothing here.
    pub(crate) async fn run(&self, lab: &Lab) -> Result<String, LabError> {
        let done = match self {
            Self::Status => return Ok(table::of(&lab.status().await?)),
            Self::Url { database } => return Ok(lab.url(database)),
            Self::Follow { node } => {
                let how = lab.node(node)?.follow(lab.primary()).await?;
                return Ok(format!("{node} follows {} ({how})", lab.primary().name()));
            }
            Self::Net { node, replication, fault } => {
                let node = lab.node(node)?;
                fault.make(if *replication { node.replication() } else { node.network() });
                Ok(())
            }
            Self::Down => Ok(()),
            Self::Pause { node } => lab.node(node)?.pause_replay().await,
            Self::Resume { node } => lab.node(node)?.resume_replay().await,
            Self::Delay { node, millis } => lab.node(node)?.delay_replay(ms(*millis)).await,
            Self::Freeze { node } => lab.node(node)?.freeze().await,
            Self::Thaw { node } => lab.node(node)?.thaw().await,
            Self::Stop { node, immediate } => lab.node(node)?.stop(mode(*immediate)).await,
            Self::Kill { node } => lab.node(node)?.kill().await.map(|_| ()),
            Self::Start { node } => lab.node(node)?.start().await,
            Self::Restart { node, immediate } => lab.node(node)?.restart(mode(*immediate)).await,
            Self::Promote { node } => lab.node(node)?.promote().await,
        };
        done.map(|()| String::new())
    }
}

impl Fault {
    fn make(&self, network: &Network) {
        match self {
            Self::Delay { millis } => network.delay(ms(*millis)),
            Self::Stall => network.stall(),
            Self::Reset => network.reset(),
            Self::Restore => network.restore(),
        }
    }
}

fn ms(millis: u32) -> Duration {
    Duration::from_millis(millis.into())
}

fn mode(immediate: bool) -> StopMode {
    if immediate { StopMode::Immediate } else { StopMode::Fast }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flag = |immediate: &bool| if *immediate { " --immediate" } else { "" };
        match self {
            Self::Status => f.write_str("status"),
            Self::Url { database } => write!(f, "url {database}"),
            Self::Down => f.write_str("down"),
            Self::Pause { node } => write!(f, "pause {node}"),
            Self::Resume { node } => write!(f, "resume {node}"),
            Self::Delay { node, millis } => write!(f, "delay {node} {millis}"),
            Self::Freeze { node } => write!(f, "freeze {node}"),
            Self::Thaw { node } => write!(f, "thaw {node}"),
            Self::Stop { node, immediate } => write!(f, "stop {node}{}", flag(immediate)),
            Self::Kill { node } => write!(f, "kill {node}"),
            Self::Start { node } => write!(f, "start {node}"),
            Self::Restart { node, immediate } => write!(f, "restart {node}{}", flag(immediate)),
            Self::Promote { node } => write!(f, "promote {node}"),
            Self::Follow { node } => write!(f, "follow {node}"),
            Self::Net { node, replication, fault } => {
                let way = if *replication { " --replication" } else { "" };
                write!(f, "net {node}{way} {fault}")
            }
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delay { millis } => write!(f, "delay {millis}"),
            Self::Stall => f.write_str("stall"),
            Self::Reset => f.write_str("reset"),
            Self::Restore => f.write_str("restore"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_read_back_from_the_line_it_writes() {
        let node = || "db-1".to_owned();
        let net = |replication, fault| Operation::Net { node: node(), replication, fault };
        let all = [
            Operation::Status,
            Operation::Url { database: "shop".to_owned() },
            Operation::Down,
            Operation::Pause { node: node() },
            Operation::Resume { node: node() },
            Operation::Delay { node: node(), millis: 250 },
            Operation::Freeze { node: node() },
            Operation::Thaw { node: node() },
            Operation::Stop { node: node(), immediate: true },
            Operation::Stop { node: node(), immediate: false },
            Operation::Kill { node: node() },
            Operation::Start { node: node() },
            Operation::Restart { node: node(), immediate: true },
            Operation::Promote { node: node() },
            Operation::Follow { node: node() },
            net(false, Fault::Delay { millis: 5 }),
            net(true, Fault::Stall),
            net(false, Fault::Reset),
            net(true, Fault::Restore),
        ];
        for operation in all {
            assert_eq!(Operation::parse(&operation.to_string()), Ok(operation));
        }
    }

    #[test]
    fn a_line_that_is_no_operation_is_an_error_that_says_so() {
        let error = Operation::parse("explode db-1").unwrap_err();
        assert!(error.contains("unrecognized subcommand 'explode'"), "{error}");
        Operation::parse("").unwrap_err();
    }
}
