//! A cluster that fails at random under traffic, and a look at what its users were told.
//!
//! Clients in two processes write rows and read them back, and hand tokens over to the other process, while servers are killed,
//! frozen, cut off, held back and promoted. Everything that was sent and answered is noted in a [history](history::History), and in
//! the end a [checker] holds it against what the cluster has kept. Where each statement was [sent](sends), and when, gives the
//! [durations] that are printed.

pub mod checker;
pub mod clock;
pub mod durations;
pub mod faults;
pub mod history;
pub mod peer;
pub mod report;
pub mod run;
pub mod sends;
pub mod statements;
pub mod traffic;
