#![doc = include_str!("../README.md")]

mod connection;
mod error;
mod savepoints;
mod session;
mod statement;
mod stream;
mod transaction;

pub use connection::{Database, DatabaseConnection, DbConn};
pub use error::routing_error;
pub use session::Session;
pub use stream::QueryStream;
pub use transaction::DatabaseTransaction;

pub use millpond_sqlx::{
    Builder, Error, ErrorKind, Event, Mode, NodeSettings, Outcome, PgPool, PgPoolOptions, Report,
    ShadowReport, Status, Switches, Token, TokenError,
};
