//! What the routed verbs do on one connection.

use std::pin::Pin;

use futures_util::TryStreamExt;
use millpond_cluster::core::Access;
use millpond_cluster::sql::{Classification, Effects};
use millpond_cluster::{Answer, NodeLease, Operation, Purpose, Target};
use tokio_postgres::{Row, SimpleQueryMessage};

use crate::connection::{Capture, Values};
use crate::{DriverError, Lsn, Postgres};

/// Where the primary is behind a write; a replica has nothing to tell, and a read nothing to see again.
const fn capture(target: Target) -> Capture {
    match target.purpose {
        Purpose::Write if !target.access.is_read() => Capture::Position,
        _ => Capture::Nothing,
    }
}

/// Notes what a statement will leave behind. What turned out to be no read, whatever its text shows, may leave anything.
fn soil(lease: &NodeLease<Postgres>, classification: &Classification, target: Target) {
    lease.soil_by(classification);
    if classification.is_plain_read() && !target.access.is_read() {
        lease.soil_unseen();
    }
}

/// Rows, all of them.
pub(crate) struct Query<'a> {
    pub(crate) sql: &'a str,
    pub(crate) classification: Classification,
    pub(crate) values: Values<'a>,
}

impl Operation<Postgres> for Query<'_> {
    type Output = Vec<Row>;

    async fn run(
        &mut self,
        lease: NodeLease<Postgres>,
        target: Target,
    ) -> Result<Answer<Vec<Row>, Lsn>, DriverError> {
        let capture = capture(target);
        soil(&lease, &self.classification, target);
        let (value, position) = lease.query(self.sql, self.values, capture).await?;
        Ok(Answer { value, position })
    }
}

/// The number of rows affected.
pub(crate) struct Execute<'a> {
    pub(crate) sql: &'a str,
    pub(crate) classification: Classification,
    pub(crate) values: Values<'a>,
}

impl Operation<Postgres> for Execute<'_> {
    type Output = u64;

    async fn run(
        &mut self,
        lease: NodeLease<Postgres>,
        target: Target,
    ) -> Result<Answer<u64, Lsn>, DriverError> {
        let capture = capture(target);
        soil(&lease, &self.classification, target);
        let (value, position) = lease.execute(self.sql, self.values, capture).await?;
        Ok(Answer { value, position })
    }
}

/// Statements without parameters, by the simple protocol.
pub(crate) struct Batch<'a> {
    pub(crate) sql: &'a str,
    pub(crate) classification: Classification,
}

impl Operation<Postgres> for Batch<'_> {
    type Output = ();

    async fn run(
        &mut self,
        lease: NodeLease<Postgres>,
        target: Target,
    ) -> Result<Answer<(), Lsn>, DriverError> {
        soil(&lease, &self.classification, target);
        let position = lease.batch_execute(self.sql, capture(target)).await?;
        Ok(Answer { value: (), position })
    }
}

/// Statements without parameters and their rows as text, by the simple protocol.
pub(crate) struct Simple<'a> {
    pub(crate) sql: &'a str,
    pub(crate) classification: Classification,
}

impl Operation<Postgres> for Simple<'_> {
    type Output = Vec<SimpleQueryMessage>;

    async fn run(
        &mut self,
        lease: NodeLease<Postgres>,
        target: Target,
    ) -> Result<Answer<Vec<SimpleQueryMessage>, Lsn>, DriverError> {
        soil(&lease, &self.classification, target);
        let (value, position) = lease.simple_query(self.sql, capture(target)).await?;
        Ok(Answer { value, position })
    }
}

/// A stream of rows, with the connection that it comes from.
pub(crate) struct Stream<'a> {
    pub(crate) sql: &'a str,
    pub(crate) classification: Classification,
    pub(crate) values: Values<'a>,
}

/// What a [`RowStream`](crate::RowStream) is made of.
pub(crate) struct Rows {
    /// Already read: with it come the refusals and lost connections that another node can still make good.
    pub(crate) first: Option<Row>,
    pub(crate) rest: Pin<Box<tokio_postgres::RowStream>>,
    pub(crate) connection: NodeLease<Postgres>,
    /// What it ran as: a read can have become more on the way here.
    pub(crate) access: Access,
}

impl Operation<Postgres> for Stream<'_> {
    type Output = Rows;

    async fn run(
        &mut self,
        lease: NodeLease<Postgres>,
        target: Target,
    ) -> Result<Answer<Rows, Lsn>, DriverError> {
        soil(&lease, &self.classification, target);
        let mut rest = Box::pin(lease.query_raw(self.sql, self.values).await?);
        let first = lease.call(rest.try_next()).await?;
        Ok(Answer { value: Rows { first, rest, connection: lease, access: target.access }, position: None })
    }
}

/// A connection inside a transaction.
pub(crate) struct Begin<'a> {
    pub(crate) text: &'a str,
}

impl Operation<Postgres> for Begin<'_> {
    type Output = NodeLease<Postgres>;

    async fn run(
        &mut self,
        lease: NodeLease<Postgres>,
        _: Target,
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
        target: Target,
    ) -> Result<Answer<Self::Output, Lsn>, DriverError> {
        Ok(Answer { value: (lease, target.purpose), position: None })
    }
}
