//! The frame for millpond's figures: systems under test, interleaved rounds, and one form for what they give.
//!
//! A group is a binary in `src/bin`. It makes [`rounds::Measured`] from a [`load::Work`] and some
//! [`systems::System`]s; [`figures`] turns that into a file and [`table`] into a table for people.
#![expect(
    clippy::exhaustive_enums,
    clippy::exhaustive_structs,
    reason = "unpublished: nobody else builds on these types"
)]

pub mod adapters;
pub mod classify;
pub mod compare;
pub mod cpu;
pub mod criterion;
pub mod figures;
pub mod group;
pub mod load;
pub mod machine;
pub mod own_writes;
pub mod point;
pub mod pools;
pub mod rounds;
pub mod route;
pub mod server;
pub mod shop;
pub mod spread;
pub mod statements;
pub mod systems;
pub mod table;
pub mod throttle;
