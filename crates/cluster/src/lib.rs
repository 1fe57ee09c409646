#![doc = include_str!("../README.md")]

mod backend;
mod catalog;
mod cluster;
mod config;
mod definition;
mod discovery;
mod error;
mod event;
mod execute;
mod failed;
mod growing;
mod handle;
mod identity;
#[cfg(feature = "serde")]
mod json;
mod latency;
mod limits;
mod line;
mod loans;
mod members;
mod mode;
mod monitor;
mod node;
mod on_primary;
mod report;
mod search;
mod sessions;
mod shadow;
mod shards;
mod sight;
mod status;
mod switches;
#[cfg(test)]
mod testing;
mod tokens;
mod told;
mod unseen;
mod watchers;
mod written;

pub use backend::{Backend, Failure, FailureKind, Purpose};
pub use cluster::Cluster;
pub use config::{Config, EventListener, connections_per_node};
pub use discovery::{Discovered, Discovery, DiscoveryError, Found};
pub use error::{Error, ErrorKind, Outcome, Result, in_words};
pub use event::Event;
pub use execute::{Answer, GivenUp, Operation, Statement, Target, timed_out};
pub use handle::{Explanation, Handle, ReadsUntilDropped};
pub use latency::Latencies;
pub use limits::Limits;
pub use loans::OnLoan;
pub use members::{NodeConfig, NodeKey};
pub use mode::Mode;
pub use node::{NodeLease, NodeManager};
pub use report::{Report, Served};
pub use sessions::Sessions;
pub use shadow::{ShadowCounts, ShadowReport, ShadowedStatement};
pub use sight::StatementSpan;
pub use status::{NodeStatus, Status};
pub use switches::{ParseSwitchesError, Switches};
pub use unseen::{Unseen, was_turned_away};
pub use written::Changes;

pub use millpond_core as core;
pub use millpond_pool as pool;
pub use millpond_sql as sql;
