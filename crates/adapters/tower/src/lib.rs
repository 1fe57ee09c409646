#![doc = include_str!("../README.md")]

#[cfg(feature = "axum")]
mod axum;
mod carrier;
mod layer;

#[cfg(feature = "axum")]
pub use axum::{NoSession, Unavailable};
pub use layer::{
    CurrentSession, Deadline, SessionCounts, SessionLayer, SessionService, UnusableToken, with_token,
};

#[cfg(feature = "cookie")]
pub use cookie::Key;
pub use millpond_cluster::Sessions;
