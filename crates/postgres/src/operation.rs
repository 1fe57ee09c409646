//! What the routed verbs do on one connection.

use millpond_cluster::sql::Effects;
use millpond_cluster::{Answer, NodeLease, Operation, Purpose};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::connection::Capture;
use crate::{DriverError, Lsn, Postgres};

pub(crate) type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

/// Where the primary is behind a write; a replica has nothing to tell, and a read nothing to see again.
const fn capture(purpose: Purpose, is_write: bool) -> Capture {
    match purpose {
        Purpose::Write if is_write => Capture::Position,
        _ => Capture::Nothing,
    }
}

/// Rows, all of them.
pub(crate) struct Query<'a> {
    pub(crate) sql: &'a str,
    pub(crate) params: Params<'a>,
    pub(crate) is_write: bool,
}

impl Operation<Postgres> for Query<'_> {
    type Output = Vec<Row>;

    async fn run(
        &mut self,
        lease: NodeLease<Postgres>,
        purpose: Purpose,
    ) -> Result<Answer<Vec<Row>, Lsn>, DriverError> {
        let capture = capture(purpose, self.is_write);
        let (value, position) = lease.query(self.sql, self.params, capture).await?;
        Ok(Answer { value, position })
    }
}

/// The number of rows affected.
pub(crate) struct Execute<'a> {
    pub(crate) sql: &'a str,
    pub(crate) params: Params<'a>,
    pub(crate) is_write: bool,
}

impl Operation<Postgres> for Execute<'_> {
    type Output = u64;

    async fn run(
        &mut self,
        lease: NodeLease<Postgres>,
        purpose: Purpose,
    ) -> Result<Answer<u64, Lsn>, DriverError> {
        let capture = capture(purpose, self.is_write);
        let (value, position) = lease.execute(self.sql, self.params, capture).await?;
        Ok(Answer { value, position })
    }
}

/// Statements without parameters, by the simple protocol.
pub(crate) struct Batch<'a> {
    pub(crate) sql: &'a str,
    pub(crate) effects: Effects,
    pub(crate) is_write: bool,
}

impl Operation<Postgres> for Batch<'_> {
    type Output = ();

    async fn run(
        &mut self,
        lease: NodeLease<Postgres>,
        purpose: Purpose,
    ) -> Result<Answer<(), Lsn>, DriverError> {
        lease.soil(self.effects);
        let position = lease.batch_execute(self.sql, capture(purpose, self.is_write)).await?;
        Ok(Answer { value: (), position })
    }
}

/// A stream of rows, with the connection that it comes from.
pub(crate) struct Stream<'a> {
    pub(crate) sql: &'a str,
    pub(crate) params: Params<'a>,
}

impl Operation<Postgres> for Stream<'_> {
    type Output = (tokio_postgres::RowStream, NodeLease<Postgres>);

    async fn run(
        &mut self,
        lease: NodeLease<Postgres>,
        _: Purpose,
    ) -> Result<Answer<Self::Output, Lsn>, DriverError> {
        let stream = lease.query_raw(self.sql, self.params).await?;
        Ok(Answer { value: (stream, lease), position: None })
    }
}

/// A connection inside a transaction.
pub(crate) struct Begin {
    pub(crate) text: &'static str,
}

impl Operation<Postgres> for Begin {
    type Output = NodeLease<Postgres>;

    async fn run(
        &mut self,
        lease: NodeLease<Postgres>,
        _: Purpose,
    ) -> Result<Answer<NodeLease<Postgres>, Lsn>, DriverError> {
        lease.soil(Effects::TRANSACTION);
        lease.batch_execute(self.text, Capture::Nothing).await?;
        Ok(Answer { value: lease, position: None })
    }
}

/// A connection, for whatever its caller does with it.
pub(crate) struct Take;

impl Operation<Postgres> for Take {
    type Output = (NodeLease<Postgres>, Purpose);

    async fn run(
        &mut self,
        lease: NodeLease<Postgres>,
        purpose: Purpose,
    ) -> Result<Answer<Self::Output, Lsn>, DriverError> {
        lease.soil_unseen();
        Ok(Answer { value: (lease, purpose), position: None })
    }
}
