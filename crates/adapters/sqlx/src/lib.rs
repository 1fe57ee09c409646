#![doc = include_str!("../README.md")]

mod acquire;
mod backend;
mod connection;
mod error;
mod executor;
mod foreign;
mod operation;
mod options;
mod pool;
mod query;
mod transaction;
mod writer;

pub use acquire::PoolConnection;
pub use error::routing_error;
pub use options::PgPoolOptions;
pub use pool::{PgPool, Session};
pub use transaction::{PgTransaction, Transaction};

pub use millpond_postgres::{
    Builder, Error, ErrorKind, Event, Mode, NodeSettings, Outcome, Report, ShadowReport, Status, Switches,
    Token, TokenError,
};
