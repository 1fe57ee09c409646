#![doc = include_str!("../README.md")]

mod admit;
mod backend;
mod batch;
mod begin;
mod beside;
mod builder;
mod catalog;
mod client;
mod connection;
mod connector;
mod copy;
mod db;
mod discovery;
mod error;
pub mod foundation;
mod frame;
mod known;
mod lag_source;
mod lease;
mod listener;
mod lsn;
mod nodes;
mod operation;
mod reading;
mod resolve;
mod rest;
mod rows;
mod savepoint;
mod scope;
mod statements;
mod testing;
mod tls;
mod transaction;
mod url;
mod verb;
mod writer;

pub use backend::{Postgres, Server};
pub use begin::TransactionBuilder;
pub use builder::{Builder, CatalogSetting};
pub use catalog::load_catalog;
pub use client::{GenericClient, Params, TypedParams};
pub use connection::Connection;
pub use copy::{CopyIn, CopyOut};
pub use db::{Db, Session};
pub use error::DriverError;
pub use lag_source::{Heartbeat, LagReading, LagSource};
pub use lease::Lease;
pub use listener::{Heard, Listener};
pub use lsn::{Lsn, ParseLsnError};
pub use nodes::{NodeSettings, Nodes};
pub use resolve::{TransactionId, TransactionStatus};
pub use rows::{BorrowedRowStream, RowStream};
pub use savepoint::Savepoint;
pub use transaction::Transaction;
pub use writer::WriterPool;

pub use millpond_cluster::DiscoveryError;
pub use millpond_cluster::core::{Age, TokenError};
pub use millpond_cluster::{
    Error, ErrorKind, Event, Explanation, Latencies, Limits, Mode, NodeStatus, Outcome, ParseSwitchesError,
    Report, Result, Served, ShadowCounts, ShadowReport, ShadowedStatement, Status, Switches,
};
pub use tokio_postgres;

/// What a reader in another process must be able to see. Short text; fits in a cookie or a header.
pub type Token = millpond_cluster::core::Token<Lsn>;
