//! Clusters that fail at random in virtual time, and a look at what their users were told.
//!
//! Servers, networks, processes and clients are simulated; the decisions are those of `millpond-core`, driven by the rules of
//! `millpond-cluster`. Nothing looks at a clock and all chance comes from one seed, so the same seed gives the same history, and a
//! virtual day takes minutes. Each answer is held against what the servers really had: see [`checker`].

mod call;
pub mod checker;
mod client;
mod fault;
mod logs;
mod monitor;
mod operator;
mod owed;
mod place;
mod process;
mod queue;
pub mod report;
mod server;
mod service;
pub mod settings;
mod world;

pub use report::Report;
pub use settings::{Lie, Profile, Settings, Step};
pub use world::{run, run_with};
