#![doc = include_str!("../README.md")]

mod access;
mod balance;
mod budget;
mod decide;
mod history;
mod hysteresis;
mod node;
mod position;
#[cfg(feature = "serde")]
mod serialize;
mod snapshot;
mod token;
mod topology;

pub use access::Access;
pub use balance::{Load, PeakEwma, Plan, SLOW_START};
pub use budget::RetryBudget;
pub use decide::{Decision, Freshness, LastRead, Reason, Request, Seen, decide, plan_for_all};
pub use history::PrimaryHistory;
pub use hysteresis::{Hysteresis, Look};
pub use node::{ClusterId, Epoch, MAX_NODES, NodeId, NodeSet, Role, ServerId, Timeline};
pub use position::Position;
pub use snapshot::{Health, Lag, Membership, NodeView, Snapshot};
pub use token::{Token, TokenError, TokenPosition};
pub use topology::{Action, Age, Event, Input, Observation, Refusal, Topology};
