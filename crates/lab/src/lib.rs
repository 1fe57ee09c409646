#![doc = include_str!("../README.md")]

mod admin;
mod background;
mod binaries;
mod builder;
mod error;
mod guardian;
mod host;
mod lab;
mod network;
mod node;
mod ports;
mod processes;
mod server;
mod settings;
mod status;
mod tools;
mod url;
mod user;

pub use builder::LabBuilder;
pub use error::{LabError, Phase};
pub use guardian::Folder;
pub use lab::Lab;
pub use network::{Condition, Network};
pub use node::{Node, Rejoin, StopMode};
pub use settings::Replication;
pub use status::{Lsn, NodeStatus, Replay, Role, Running};
