//! What became of a transaction whose COMMIT was not answered.

use std::fmt;

use millpond_cluster::core::{Access, ClusterId, Timeline};
use millpond_cluster::{Answer, NodeLease, Operation, Statement, Target};
use tokio_postgres::SimpleQueryMessage;
use tokio_postgres::types::{ToSql, Type};

use crate::beside::Beside;
use crate::verb::{Query, Values};
use crate::{Db, DriverError, Lsn, Postgres, Result};

/// Names a transaction on the server, so that [`Db::resolve`] can ask what became of it.
///
/// It is good for as long as the cluster stays on the timeline that the transaction began on, and the server does not crash: a promotion,
/// and a recovery, can give its number to another transaction.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TransactionId {
    /// Of 64 bits, in decimal: numbers of the server's that does not come round.
    xid: Box<str>,
    cluster: ClusterId,
    timeline: Timeline,
    /// When the server's counters began, in microseconds: they begin anew with every recovery from a crash, which can give the number of a
    /// transaction that left no trace to another one.
    recovered: i64,
}

impl fmt::Display for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.xid)
    }
}

/// What became of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "callers must see all four")]
pub enum TransactionStatus {
    /// It was committed.
    Committed,
    /// It was rolled back.
    RolledBack,
    /// The server is still at it: ask again.
    InProgress,
    /// Nobody can tell any more: another node has become the primary since, or the server crashed or has forgotten it.
    Unknown,
}

/// Gives the transaction its number, and asks where that is good. A read-only transaction has none.
pub(crate) const IDENTIFY: &str = "SELECT pg_catalog.pg_current_xact_id()::text AS xid, \
    ('x' || substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8))::bit(32)::int8 AS timeline, \
    system_identifier AS cluster, \
    (extract(epoch from pg_catalog.pg_stat_get_bgwriter_stat_reset_time()) * 1000000)::int8 AS recovered \
    FROM pg_catalog.pg_control_system()";

/// The same places asked first: on another timeline the number can be one that the server has not come to, which is an error.
const STATUS: &str = "SELECT CASE WHEN place.timeline = $2 AND place.cluster = $3 \
      AND (extract(epoch from pg_catalog.pg_stat_get_bgwriter_stat_reset_time()) * 1000000)::int8 = $4 \
      THEN pg_catalog.pg_xact_status($1::text::xid8) END \
    FROM (SELECT ('x' || substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8))::bit(32)::int8 \
      AS timeline, system_identifier AS cluster FROM pg_catalog.pg_control_system() OFFSET 0) AS place";

impl TransactionId {
    /// Reads the answer to [`IDENTIFY`].
    pub(crate) fn read(answers: &[SimpleQueryMessage]) -> Option<Self> {
        answers.iter().find_map(|answer| {
            let SimpleQueryMessage::Row(row) = answer else { return None };
            let value = |name| row.try_get(name).ok().flatten();
            let system: i64 = value("cluster")?.parse().ok()?;
            Some(Self {
                xid: value("xid")?.into(),
                cluster: ClusterId::new(u64::from_ne_bytes(system.to_ne_bytes())),
                timeline: Timeline::new(value("timeline")?.parse().ok()?),
                recovered: value("recovered")?.parse().ok()?,
            })
        })
    }
}

impl Db {
    /// Asks the primary what became of a transaction whose commit was not answered: its error has the outcome
    /// [`MayHaveRun`](crate::Outcome::MayHaveRun). The id is from
    /// [`Transaction::id`](crate::Transaction::id), which only a transaction has that was begun
    /// [`resolvable`](crate::TransactionBuilder::resolvable).
    ///
    /// ```
    /// # use millpond_postgres::{Db, Outcome, Result, TransactionStatus};
    /// # async fn pay(db: &Db) -> Result<bool> {
    /// let transaction = db.build_transaction().resolvable(true).start().await?;
    /// transaction.execute("update account set balance = balance - 10 where id = 7", &[]).await?;
    /// let id = transaction.id().cloned();
    /// match transaction.commit().await {
    ///     Err(error) if error.outcome() == Outcome::MayHaveRun => match id {
    ///         Some(id) => Ok(db.resolve(&id).await? == TransactionStatus::Committed),
    ///         None => Err(error),
    ///     },
    ///     result => result.map(|()| true),
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// No primary before the deadline, or what it says.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn resolve(&self, id: &TransactionId) -> Result<TransactionStatus> {
        // Only the primary has the last word.
        self.handle().run(Statement::connection(Access::Write), &mut Resolve(id)).await
    }
}

struct Resolve<'a>(&'a TransactionId);

impl Operation<Postgres> for Resolve<'_> {
    type Output = TransactionStatus;

    async fn run(
        &mut self,
        lease: NodeLease<Postgres>,
        _: Target<Lsn>,
    ) -> Result<Answer<TransactionStatus, Lsn>, DriverError> {
        let TransactionId { xid, cluster, timeline, recovered } = self.0;
        let timeline = i64::from(timeline.get());
        let system = i64::from_ne_bytes(cluster.get().to_ne_bytes());
        let params: [(&(dyn ToSql + Sync), Type); 4] =
            [(xid, Type::TEXT), (&timeline, Type::INT8), (&system, Type::INT8), (recovered, Type::INT8)];
        let query = Query { sql: STATUS, values: Values::Typed(&params) };
        let (rows, _) = lease.bare(&query, Beside::Nothing).await?;
        let status: Option<String> = rows.first().and_then(|row| row.get(0));
        let value = match status.as_deref() {
            Some("committed") => TransactionStatus::Committed,
            Some("aborted") => TransactionStatus::RolledBack,
            Some("in progress") => TransactionStatus::InProgress,
            _ => TransactionStatus::Unknown,
        };
        Ok(Answer::new(value, None))
    }
}
