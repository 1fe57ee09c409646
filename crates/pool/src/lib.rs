#![doc = include_str!("../README.md")]

mod config;
mod error;
mod lease;
mod manager;
mod pool;
mod state;

pub use config::{Builder, ConfigError};
pub use error::{AcquireError, ConnectError, Phase};
pub use lease::Lease;
pub use manager::{Manager, Returned};
pub use pool::Pool;
pub use state::Status;
