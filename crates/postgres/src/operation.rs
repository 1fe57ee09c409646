//! What the routed verbs do on one connection.

use futures_util::TryStreamExt;
use millpond_cluster::sql::{Classification, Effects};
use millpond_cluster::{Answer, NodeLease, Operation, Purpose, Target};
use tokio_postgres::{Row, RowStream};

use crate::beside::{Beside, Proof};
use crate::frame::{Frame, Kind};
use crate::resolve::IDENTIFY;
use crate::rest::Begun;
use crate::scope::Scope;
use crate::verb::{Batch, Simple, Values, Verb};
use crate::{DriverError, Lsn, Postgres, TransactionId};

/// Where the primary is behind a write, and what a replica has to show before a read; a test has nobody to wait for.
pub(crate) fn beside(lease: &NodeLease<Postgres>, target: Target<Lsn>) -> Beside {
    match target.purpose {
        Purpose::Read | Purpose::Probe => Proof::of(target).map_or(Beside::Nothing, Beside::Proof),
        Purpose::Write if (!target.access.is_read() || target.is_placed) && lease.kind() != Kind::Test => {
            Beside::Position
        }
        Purpose::Write => Beside::Nothing,
    }
}

/// Notes what a statement will leave behind. What turned out to be no read, whatever its text shows, may leave anything.
pub(crate) fn soil(lease: &NodeLease<Postgres>, classification: &Classification, target: Target<Lsn>) {
    lease.soil_by(classification);
    if classification.is_plain_read() && !target.access.is_read() {
        lease.soil_unseen();
    }
}

/// One statement, or some without parameters.
pub(crate) struct Run<'a, V> {
    pub(crate) verb: V,
    pub(crate) classification: Classification,
    pub(crate) scope: Option<&'a Scope>,
}

impl<V: Verb + Send> Operation<Postgres> for Run<'_, V> {
    type Output = V::Output;

    async fn run(
        &mut self,
        lease: NodeLease<Postgres>,
        target: Target<Lsn>,
    ) -> Result<Answer<V::Output, Lsn>, DriverError> {
        let untimed = target.untimed;
        let beside = beside(&lease, target);
        soil(&lease, &self.classification, target);
        let frame = Frame::new(lease.kind(), self.scope, target);
        let (value, position) = lease.run(&self.verb, frame, beside).await?;
        let is_other_role = lease.is_promoted();
        Ok(Answer::new(value, position).with_other_role(is_other_role).with_lease_back(lease, untimed))
    }
}

/// A stream of rows, with the connection that it comes from.
pub(crate) struct Stream<'a> {
    pub(crate) sql: &'a str,
    pub(crate) classification: Classification,
    pub(crate) values: Values<'a>,
    pub(crate) scope: Option<&'a Scope>,
}

impl Operation<Postgres> for Stream<'_> {
    type Output = Begun<Row, RowStream>;

    async fn run(
        &mut self,
        lease: NodeLease<Postgres>,
        target: Target<Lsn>,
    ) -> Result<Answer<Self::Output, Lsn>, DriverError> {
        let position = lease.prove(target).await?;
        soil(&lease, &self.classification, target);
        let frame = Frame::new(lease.kind(), self.scope, target);
        let (rest, close) = lease.stream(self.sql, self.values, frame).await?;
        let mut rest = Box::pin(rest);
        let first = lease.call(rest.try_next()).await?;
        Ok(Answer::new(Begun::new(first, rest, lease, close, target.access), position))
    }
}

/// A connection inside a transaction.
pub(crate) struct Begin<'a> {
    /// The modes of the transaction, as they stand behind BEGIN.
    pub(crate) modes: &'a str,
    pub(crate) is_read_only: bool,
    /// Whether to ask for its id.
    pub(crate) identify: bool,
    pub(crate) scope: Option<&'a Scope>,
}

/// A transaction that has begun.
pub(crate) struct Opened {
    pub(crate) lease: NodeLease<Postgres>,
    pub(crate) purpose: Purpose,
    pub(crate) id: Option<TransactionId>,
}

impl Operation<Postgres> for Begin<'_> {
    type Output = Opened;

    async fn run(
        &mut self,
        lease: NodeLease<Postgres>,
        target: Target<Lsn>,
    ) -> Result<Answer<Self::Output, Lsn>, DriverError> {
        let beside = Proof::of(target).map_or(Beside::Nothing, Beside::Proof);
        lease.set_back_later(self.scope).await?;
        lease.soil(Effects::TRANSACTION);
        lease.reading().under(self.scope.map_or("", Scope::prepared_under));
        let mut text = lease.kind().nesting().begin(self.modes, self.is_read_only, self.scope);
        if !self.identify {
            let ((), position) = lease.bare(&Batch(&text), beside).await?;
            let value = Opened { lease, purpose: target.purpose, id: None };
            return Ok(Answer::new(value, position));
        }
        text.push_str("; ");
        text.push_str(IDENTIFY);
        let (answers, _) = lease.bare(&Simple(&text), Beside::Nothing).await?;
        let value = Opened { lease, purpose: target.purpose, id: TransactionId::read(&answers) };
        Ok(Answer::new(value, None))
    }
}

/// A connection, for whatever its caller does with it.
pub(crate) struct Take<'a> {
    pub(crate) scope: Option<&'a Scope>,
}

impl Operation<Postgres> for Take<'_> {
    type Output = (NodeLease<Postgres>, Purpose);

    async fn run(
        &mut self,
        lease: NodeLease<Postgres>,
        target: Target<Lsn>,
    ) -> Result<Answer<Self::Output, Lsn>, DriverError> {
        let position = lease.prove(target).await?;
        if let Some(scope) = self.scope {
            lease.set_back_later(self.scope).await?;
            lease.soil(Effects::SETTING);
            lease.bare(&Batch(scope.session()), Beside::Nothing).await?;
        }
        Ok(Answer::new((lease, target.purpose), position))
    }
}
