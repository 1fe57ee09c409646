#![doc = include_str!("../README.md")]

mod acquire;
mod codel;
mod config;
mod driver;
mod ended;
mod error;
mod event;
mod handoff;
mod lease;
mod manager;
mod owner;
mod panics;
mod parking;
mod pool;
mod rt;
mod snapshot;
mod state;

pub use acquire::Acquire;
pub use config::{Builder, ConfigError, HookFuture};
pub use error::{AcquireError, ConnectError, Phase};
pub use event::{CloseReason, Event};
pub use lease::Lease;
pub use manager::{Manager, Returned, Severity};
pub use pool::{AcquireOptions, Pool, WeakPool};
pub use snapshot::{Counters, Snapshot, Status};
