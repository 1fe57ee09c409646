//! A cluster that fails at random under traffic, and a look at what its users were told.
//!
//! Clients write rows and read them back, in one process and, by tokens, in another, while servers are killed, frozen, cut off,
//! held back and promoted. Everything that was sent and answered is noted in a [history](history::History), and in the end a
//! [checker] holds it against what the cluster has kept.

pub mod checker;
pub mod faults;
pub mod history;
pub mod reader;
pub mod report;
pub mod run;
pub mod traffic;
