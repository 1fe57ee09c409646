//! A pooled connection of sqlx's, and what its users left in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::TryStreamExt as _;
use millpond_cluster::core::{Access, ServerId};
use millpond_cluster::pool::Returned;
use millpond_cluster::sql::{Classification, Effects};
use millpond_postgres::Lsn;
use millpond_postgres::foundation::{IN_TRANSACTION, resets};
use sqlx::postgres::{PgConnection, Postgres};
use sqlx::{AssertSqlSafe, Connection as _, Database, Row as _, ValueRef as _};
use sqlx_core::transaction::TransactionManager;

use crate::error::{BackendError, failure_of};

/// What begins and ends transactions, and knows how deep they are.
pub(crate) type Transactions = <Postgres as Database>::TransactionManager;

/// What no statement takes away.
const INDELIBLE: Effects = Effects::PREPARED.union(Effects::LOAD);

pub(crate) struct Connection {
    raw: PgConnection,
    pub(crate) server: ServerId,
    after_connect: Option<Arc<str>>,
    /// What has to be taken away before somebody else gets it.
    soil: Effects,
    /// Whether it was used by ways that we do not see, so that anything may be in it.
    is_unseen: bool,
    /// Whether a call was begun whose end nobody saw.
    is_busy: bool,
    is_broken: bool,
}

impl Connection {
    pub(crate) const fn new(raw: PgConnection, server: ServerId, after_connect: Option<Arc<str>>) -> Self {
        Self {
            raw,
            server,
            after_connect,
            soil: Effects::NONE,
            is_unseen: false,
            is_busy: false,
            is_broken: false,
        }
    }

    pub(crate) const fn is_open(&self) -> bool {
        !self.is_broken
    }

    /// Runs what every new connection runs first.
    pub(crate) async fn after_connect(&mut self) -> Result<(), sqlx::Error> {
        let Some(text) = self.after_connect.clone() else { return Ok(()) };
        self.batch(text.to_string()).await
    }

    async fn batch(&mut self, text: String) -> Result<(), sqlx::Error> {
        let raw = self.raw()?;
        sqlx::raw_sql(AssertSqlSafe(text)).execute(raw).await.map(drop)
    }

    /// The driver's connection, for whoever has the lease.
    pub(crate) fn raw(&mut self) -> Result<&mut PgConnection, sqlx::Error> {
        // One that was lost has been told already.
        if self.is_broken { Err(sqlx::Error::WorkerCrashed) } else { Ok(&mut self.raw) }
    }

    /// The same to look at.
    pub(crate) const fn client(&self) -> &PgConnection {
        &self.raw
    }

    /// The same for what is not seen: whatever it does is taken away behind it.
    pub(crate) const fn client_mut(&mut self) -> &mut PgConnection {
        self.is_unseen = true;
        &mut self.raw
    }

    /// Notes what a statement will leave behind, before it is sent.
    pub(crate) fn soil_by(&mut self, classification: &Classification) {
        self.soil = self.soil.union(classification.effects());
        // What a function of the user's or a block does no text shows.
        self.is_unseen |= classification.runs_hidden_code() || classification.access() == Access::Definition;
    }

    /// What turned out to be no read, whatever its text shows, may leave anything.
    pub(crate) const fn soil_unseen(&mut self) {
        self.is_unseen = true;
    }

    /// A call begins. Until [`answered`](Self::answered) nobody knows what the server is at.
    pub(crate) const fn begun(&mut self) {
        self.is_busy = true;
    }

    /// A call is over.
    pub(crate) fn answered<T>(&mut self, answer: &Result<T, sqlx::Error>) {
        self.is_busy = false;
        let Err(error) = answer else { return };
        match failure_of(error).kind {
            // Whatever else it did before the refusal is still there.
            millpond_cluster::FailureKind::ReadOnly => self.is_unseen = true,
            millpond_cluster::FailureKind::ConnectionLost => self.is_broken = true,
            _ => {}
        }
    }

    pub(crate) async fn check(&mut self) -> Result<(), sqlx::Error> {
        let checked = self.raw()?.ping().await;
        self.answered(&checked);
        checked
    }

    /// Where the server is; nothing where it does not say.
    pub(crate) async fn place(&mut self, question: &'static str) -> Result<Option<Lsn>, sqlx::Error> {
        self.begun();
        let row = sqlx::raw_sql(question).fetch_one(self.raw()?).await;
        self.answered(&row);
        let row = row?;
        // By this protocol values come as text.
        let value = row.try_get_raw(0)?;
        if value.is_null() {
            return Ok(None);
        }
        Ok(value.as_str().map_err(sqlx::Error::Decode)?.parse().ok())
    }

    pub(crate) fn returned(&self) -> Returned {
        if self.is_broken || self.soil.intersects(INDELIBLE) {
            return Returned::Broken;
        }
        let is_soiled =
            self.is_busy || self.is_unseen || self.soil.outlives_statement() || self.raw.is_in_transaction();
        if is_soiled { Returned::Soiled } else { Returned::Clean }
    }

    /// Takes away what was left behind, and keeps the prepared statements. What was given up is waited for.
    pub(crate) async fn reset(&mut self) -> Result<(), BackendError> {
        let anything = self.is_unseen || self.is_busy;
        let reset = self.reset_session(anything).await;
        self.answered(&reset);
        if !reset? {
            self.is_broken = true;
            return Err(BackendError::Unclean);
        }
        self.soil = Effects::NONE;
        self.is_unseen = false;
        Ok(())
    }

    /// Says whether all is as it was.
    async fn reset_session(&mut self, anything: bool) -> Result<bool, sqlx::Error> {
        let soil = self.soil;
        let after_connect = self.after_connect.clone();
        let raw = &mut self.raw;
        while Transactions::get_transaction_depth(raw) > 0 {
            Transactions::rollback(raw).await?;
        }
        if anything || soil.intersects(Effects::TRANSACTION) {
            // One that sqlx knows nothing of: begun by a text, or by a call that was given up. The server warns of a ROLLBACK outside of one.
            if is_in_transaction(raw).await? {
                sqlx::raw_sql("ROLLBACK").execute(&mut *raw).await?;
            }
        }
        if soil.intersects(Effects::SETTING.union(Effects::TEMPORARY)) {
            // Prepared then, a statement was read by what is taken away now.
            raw.clear_cached_statements().await?;
        }
        let number = RESETS_SO_FAR.fetch_add(1, Ordering::Relaxed);
        let mut texts = resets(soil, anything, false, after_connect.as_deref());
        let proof = proof_of(number, anything);
        texts.push(&proof);
        // A comment at the end of one must not hide the next.
        let text = texts.join("\n;");
        let rows = sqlx::raw_sql(AssertSqlSafe(text)).fetch_all(&mut *raw).await?;
        let Some(last) = rows.last() else { return Ok(false) };
        let is_ours = last.try_get::<i64, _>("is_reset").is_ok_and(|said| u64::try_from(said) == Ok(number));
        let count = |name: &str| last.try_get::<i64, _>(name).ok();
        let kept = count("prepared_by_us").is_none_or(|count| {
            usize::try_from(count).is_ok_and(|count| count >= raw.cached_statements_size())
        });
        Ok(is_ours && count("prepared_by_text").is_none_or(|count| count == 0) && kept)
    }
}

/// Counts resets, so that each knows its own answer.
static RESETS_SO_FAR: AtomicU64 = AtomicU64::new(0);

/// What says that a reset was answered, and where anything may have been done, what is prepared: by a text, whose names cannot be told from what
/// the next user chooses, and by the driver, as far as it was not deallocated.
fn proof_of(number: u64, counts_prepared: bool) -> String {
    let mut proof = format!("SELECT {number}::int8 AS is_reset");
    if counts_prepared {
        proof.push_str(
            ", pg_catalog.count(*) FILTER (WHERE from_sql) AS prepared_by_text, \
             pg_catalog.count(*) FILTER (WHERE NOT from_sql) AS prepared_by_us FROM pg_catalog.pg_prepared_statements",
        );
    }
    proof
}

/// Whether a transaction is open, aborted ones among them.
async fn is_in_transaction(raw: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let row = sqlx::raw_sql(IN_TRANSACTION).fetch(&mut *raw).try_next().await;
    match row {
        Ok(row) => row.ok_or(sqlx::Error::RowNotFound)?.try_get(0),
        Err(sqlx::Error::Database(said)) if said.code().as_deref() == Some("25P02") => Ok(true),
        Err(error) => Err(error),
    }
}
