//! Pools in trouble: scenarios that broke real ones, for millpond's and its peers.

pub mod bed;
mod gate;
pub mod pools;
pub mod scenarios;
pub mod server;
