//! Pools in trouble: scenarios that broke real ones, for millpond's engine and its peers.

pub mod pools;
pub mod scenarios;
pub mod server;
