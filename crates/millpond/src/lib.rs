#![doc = include_str!("../README.md")]

pub use millpond_cluster::core::{
    ClusterId, Epoch, Health, Lag, Reason, Refusal, Role, Timeline, TokenError,
};
/// The classifier by itself: what a text does, its digest, the tables it names.
#[doc(inline)]
pub use millpond_cluster::sql;
pub use millpond_cluster::sql::Digest;
pub use millpond_cluster::{
    DiscoveryError, Error, ErrorKind, Event, Explanation, Latencies, Limits, Mode, NodeStatus, Outcome,
    ParseSwitchesError, Report, Result, Served, ShadowCounts, ShadowReport, ShadowedStatement, Status,
    Switches,
};

/// PostgreSQL, on tokio-postgres.
#[cfg(feature = "postgres")]
pub mod postgres {
    pub use millpond_postgres::{
        Age, BorrowedRowStream, Builder, CatalogSetting, CopyIn, CopyOut, Db, DriverError, GenericClient,
        Heard, Heartbeat, LagReading, LagSource, Lease, Listener, Lsn, NodeSettings, Nodes, Params,
        ParseLsnError, RowStream, Savepoint, Session, Token, Transaction, TransactionBuilder, TransactionId,
        TransactionStatus, TypedParams, WriterPool, tokio_postgres,
    };
}
