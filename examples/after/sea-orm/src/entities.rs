//! The tables, as sea-orm knows them.

pub(crate) mod item;
pub(crate) mod order;
