#![doc = include_str!("../README.md")]

mod connection;
mod driver;
mod error;
mod follow;
mod lease;
mod pool;
mod session;
mod transaction;
mod watch;

pub use error::{Error, is_lost};
pub use follow::{Follow, primary, replica};
pub use lease::PooledConnection;
pub use pool::Pool;
pub use session::Session;
pub use transaction::Callback;

pub use millpond_postgres::{
    Builder, Db, ErrorKind, Event, Mode, NodeSettings, Outcome, Report, ShadowReport, Status, Switches,
    Token, TokenError,
};
