use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use millpond_cluster::FailureKind;
use millpond_cluster::core::{Access, ServerId};
use millpond_cluster::pool::Returned;
use millpond_cluster::sql::{Classification, Effects};
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_postgres::error::{DbError, SqlState};
use tokio_postgres::{Client, Row, SimpleQueryMessage, Statement};

use crate::beside::Beside;
use crate::client::TypedParams;
use crate::connector::{Canceller, Promoted};
use crate::frame::{Frame, Kind, Nesting};
use crate::known::Known;
use crate::reading::Reading;
use crate::scope::Scope;
use crate::statements::Statements;
use crate::verb::Verb;
use crate::{DriverError, Lsn};

/// A pooled connection: the driver's client, its prepared statements, and what its users left in it.
///
/// Its methods take `&self`, as the driver's do: calls made at the same time are pipelined.
pub struct Connection {
    pub(crate) setup: Arc<Setup>,
    /// Taken out only when it is dropped.
    client: Option<Client>,
    pub(crate) statements: Statements,
    /// Typed texts whose columns this connection has asked for.
    pub(crate) known: Known,
    /// What has to be taken away before somebody else gets it.
    soil: Mutex<Effects>,
    /// How it reads texts now.
    reading: Reading,
    /// In a test, what sets back the settings that its last user ran with.
    restore: Mutex<Option<String>>,
    /// Whether it was used by ways that we do not see, so that anything may be in it.
    is_unseen: AtomicBool,
    /// Whether a call was dropped before its answer came: the server may still be at it.
    is_interrupted: AtomicBool,
    /// How many answers are not read to their end.
    unread: AtomicUsize,
    /// Whether an answer is on its way that the driver will throw away.
    is_draining: AtomicBool,
    /// Taken when it is used.
    canceller: Option<Canceller>,
    /// Whether what was given up is over.
    is_quiet: AtomicBool,
    /// Whether the server has said that it is no replica any more.
    is_promoted: Promoted,
    /// Whether what runs here waits for no lock for long, as a monitor's questions.
    has_lock_limit: AtomicBool,
    /// Where it leads, where that was asked.
    pub(crate) server: Option<ServerId>,
    /// Whether the server has `WAIT FOR LSN`.
    pub(crate) can_wait: bool,
    /// For the cancel, which may have to be sent from outside a runtime.
    runtime: Handle,
}

/// What is the same for all connections to one node.
#[derive(Debug)]
pub(crate) struct Setup {
    /// The node, as it stands in errors.
    pub(crate) node: Arc<str>,
    pub(crate) kind: Kind,
    /// What was run when the connection was opened, and has to be again when its settings were reset.
    pub(crate) after_connect: Option<Box<str>>,
    /// Typed texts whose columns all connections know.
    pub(crate) known: Known,
    /// The servers' WAL segment size in bytes, 0 while it is not known.
    pub(crate) segment_size: Arc<AtomicU64>,
    /// How many connections the server has for users without special rights, 0 while it is not known.
    pub(crate) connection_limit: AtomicUsize,
    /// What its monitor could not find out last, and why.
    pub(crate) complaint: Mutex<Option<Arc<str>>>,
    /// How long a source of ages may take.
    pub(crate) source_limit: Duration,
    /// Whether the server tells positions.
    pub(crate) has_positions: bool,
    /// Whether the server has `WAIT FOR LSN`, as the connection opened last says.
    pub(crate) can_wait: AtomicBool,
}

impl Setup {
    pub(crate) fn complain(&self, complaint: Option<String>) {
        *self.complaint.lock().unwrap_or_else(PoisonError::into_inner) = complaint.map(Into::into);
    }

    pub(crate) fn complaint(&self) -> Option<Arc<str>> {
        self.complaint.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Connection {
    pub(crate) fn new(
        setup: Arc<Setup>,
        client: Client,
        canceller: Canceller,
        is_promoted: Promoted,
        server: Option<ServerId>,
        can_wait: bool,
    ) -> Self {
        Self {
            setup,
            client: Some(client),
            statements: Statements::default(),
            known: Known::default(),
            soil: Mutex::new(Effects::NONE),
            reading: Reading::default(),
            restore: Mutex::new(None),
            is_unseen: AtomicBool::new(false),
            is_interrupted: AtomicBool::new(false),
            unread: AtomicUsize::new(0),
            is_draining: AtomicBool::new(false),
            is_quiet: AtomicBool::new(false),
            canceller: Some(canceller),
            is_promoted,
            has_lock_limit: AtomicBool::new(false),
            server,
            can_wait,
            runtime: Handle::current(),
        }
    }

    /// The same connection for a handle whose transaction is the one that it is in.
    pub(crate) fn into_test(mut self) -> Self {
        self.setup = Arc::new(Setup {
            node: Arc::clone(&self.setup.node),
            kind: Kind::Test,
            after_connect: None,
            known: Known::default(),
            segment_size: Arc::clone(&self.setup.segment_size),
            connection_limit: AtomicUsize::new(0),
            complaint: Mutex::new(None),
            source_limit: self.setup.source_limit,
            has_positions: self.setup.has_positions,
            can_wait: AtomicBool::new(false),
        });
        *self.soil.get_mut().unwrap_or_else(PoisonError::into_inner) = Effects::NONE;
        *self.is_unseen.get_mut() = false;
        self
    }

    /// Makes the transaction of a test one that cannot be committed, whoever tries: the session ends instead, so that nothing can be
    /// committed behind it either.
    pub(crate) async fn never_commit(&self) -> Result<(), DriverError> {
        self.call(pin!(self.client().batch_execute(NEVER_COMMIT))).await
    }

    /// Has what runs here from now on wait no longer than this for a lock. Costs a round trip once.
    pub(crate) async fn limit_locks(&self, limit: Duration) -> Result<(), tokio_postgres::Error> {
        if !self.has_lock_limit.load(Ordering::Relaxed) {
            let set = format!("set lock_timeout = {}", limit.as_millis().max(1));
            self.client().batch_execute(&set).await?;
            self.has_lock_limit.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Ends it, whatever is on its way.
    pub(crate) fn hang_up(&self) {
        self.canceller.iter().for_each(Canceller::cut_off);
    }

    pub(crate) fn node(&self) -> &Arc<str> {
        &self.setup.node
    }

    pub(crate) fn kind(&self) -> Kind {
        self.setup.kind
    }

    /// Whether the server has said, on a connection for reads on a replica, that it is none any more.
    pub(crate) fn is_promoted(&self) -> bool {
        self.is_promoted.is_so()
    }

    pub(crate) const fn client(&self) -> &Client {
        self.client.as_ref().expect("it is taken out only when the connection is dropped")
    }

    pub(crate) const fn client_mut(&mut self) -> &mut Client {
        self.client.as_mut().expect("it is taken out only when the connection is dropped")
    }

    pub(crate) const fn reading(&self) -> &Reading {
        &self.reading
    }

    /// Notes what the next text will leave behind. What it does not show, as a function or procedure of the user's, may
    /// leave anything.
    pub(crate) fn soil_by(&self, classification: &Classification) {
        self.reading.next();
        self.soil(classification.effects());
        // What a definition runs, as that of a table by a query, is not looked at.
        if classification.runs_hidden_code() || classification.access() == Access::Definition {
            self.soil_unseen();
        }
    }

    /// Notes that this will be left behind.
    pub(crate) fn soil(&self, effects: Effects) {
        let mut soil = self.soil.lock().unwrap_or_else(PoisonError::into_inner);
        // Going back to a savepoint takes back what was changed behind it, seen or not.
        let may_have_changed = soil.intersects(CHANGES_READING) || self.is_unseen.load(Ordering::Relaxed);
        let goes_back = effects.intersects(Effects::TRANSACTION) && may_have_changed;
        if effects.intersects(CHANGES_READING) || goes_back {
            self.reading.change();
        }
        *soil |= effects;
    }

    /// Takes the note back: it is gone from the connection.
    pub(crate) fn clean(&self, effects: Effects) {
        let mut soil = self.soil.lock().unwrap_or_else(PoisonError::into_inner);
        *soil = soil.difference(effects);
        if effects.contains(Effects::TRANSACTION) {
            self.reading.transaction_over();
        }
    }

    /// Notes that anything may be left behind, but for an open transaction: no function or block can leave one.
    pub(crate) fn soil_unseen(&self) {
        self.is_unseen.store(true, Ordering::Relaxed);
        self.reading.may_change();
    }

    /// Notes that anything may be left behind, since the driver's client was given out.
    pub(crate) fn soil_raw(&self) {
        self.is_unseen.store(true, Ordering::Relaxed);
        self.reading.raw();
    }

    /// A statement for a text. Behind a pooler none is kept: which server connection has it is the pooler's business.
    pub(crate) async fn prepare(&self, sql: &str) -> Result<Statement, DriverError> {
        self.call(pin!(self.prepare_as(&self.reading.key(sql), sql))).await
    }

    pub(crate) async fn prepare_as(&self, key: &str, sql: &str) -> Result<Statement, tokio_postgres::Error> {
        match self.kind() {
            Kind::Pooled => self.client().prepare(sql).await,
            Kind::Direct | Kind::Test => self.statements.prepare(self.client(), key, sql).await,
        }
    }

    /// The one row of a text of ours.
    pub(crate) async fn query_one(&self, sql: &str) -> Result<Row, DriverError> {
        match self.kind() {
            Kind::Pooled => self.call(pin!(self.client().query_typed_one(sql, &[]))).await,
            Kind::Direct | Kind::Test => {
                let statement = self.prepare(sql).await?;
                self.call(pin!(self.client().query_one(&statement, &[]))).await
            }
        }
    }

    /// Runs one statement in its frame, and says where the primary is behind it.
    pub(crate) async fn run<V: Verb>(
        &self,
        verb: &V,
        frame: Frame<'_>,
        beside: Beside,
    ) -> Result<(V::Output, Option<Lsn>), DriverError> {
        match frame {
            Frame::Bare => self.bare(verb, beside).await,
            // Apart, so that the futures of those without a frame stay small.
            framed => Box::pin(self.framed(verb, framed, beside)).await,
        }
    }

    /// Runs one statement as it is.
    pub(crate) async fn bare<V: Verb>(
        &self,
        verb: &V,
        beside: Beside,
    ) -> Result<(V::Output, Option<Lsn>), DriverError> {
        let sql = verb.to_prepare().filter(|_| beside == Beside::Nothing);
        let Some((sql, statement)) = sql.and_then(|sql| Some((sql, self.prepared(sql)?))) else {
            return Box::pin(self.bare_beside(verb, beside)).await;
        };
        // Most statements come here: a future for each step would cost as much as all that we do besides.
        let answer = self.call(pin!(verb.send(self.client(), Some(&statement)))).await;
        let is_outdated = answer.is_err() && self.is_outdated(&self.reading.key(sql), &answer);
        if is_outdated && !self.soil_left().contains(Effects::TRANSACTION) {
            return Box::pin(self.bare_beside(verb, beside)).await;
        }
        answer.map(|output| (output, None))
    }

    /// The same for one that is not prepared yet, or does not go alone.
    async fn bare_beside<V: Verb>(
        &self,
        verb: &V,
        beside: Beside,
    ) -> Result<(V::Output, Option<Lsn>), DriverError> {
        if let Some((sql, params)) = verb.to_describe() {
            self.learn(sql, params).await?;
        }
        let Some(sql) = verb.to_prepare() else {
            return self.send(beside, pin!(verb.send(self.client(), None))).await;
        };
        let (statement, beside, proven) = self.prepare_beside(sql, beside).await?;
        let answer = self.send(beside, pin!(verb.send(self.client(), Some(&statement)))).await;
        let is_outdated = self.is_outdated(&self.reading.key(sql), &answer);
        let answer = if is_outdated && !self.soil_left().contains(Effects::TRANSACTION) {
            let statement = self.prepare(sql).await?;
            self.send(beside, pin!(verb.send(self.client(), Some(&statement)))).await
        } else {
            answer
        };
        answer.map(|(output, position)| (output, position.or(proven)))
    }

    /// The statement for a text, if it is prepared already.
    fn prepared(&self, sql: &str) -> Option<Statement> {
        self.statements.prepared(&self.reading.key(sql))
    }

    /// Has the driver ask for what it needs to read the columns of a typed text. Behind a pooler that would leave a statement in a
    /// server connection.
    pub(crate) async fn learn(&self, sql: &str, params: TypedParams<'_>) -> Result<(), DriverError> {
        if self.kind() == Kind::Pooled || self.knows_columns(sql) {
            return Ok(());
        }
        Box::pin(self.call(pin!(self.learn_columns(sql, params)))).await
    }

    /// A statement for a text, and what is left to go beside it. A proof goes with the first flight: what the text names may have come
    /// to the replica with what it has to show.
    async fn prepare_beside(
        &self,
        sql: &str,
        beside: Beside,
    ) -> Result<(Statement, Beside, Option<Lsn>), DriverError> {
        if !matches!(beside, Beside::Proof(_)) {
            return Ok((self.prepare(sql).await?, beside, None));
        }
        if let Some(statement) = self.prepared(sql) {
            return Ok((statement, beside, None));
        }
        let (statement, proven) =
            self.send(beside, pin!(self.prepare_as(&self.reading.key(sql), sql))).await?;
        Ok((statement, Beside::Nothing, proven))
    }

    /// Notes, in a test, what settings are now, to set them back when the connection is returned: a savepoint that is released leaves
    /// them to what follows.
    pub(crate) async fn set_back_later(&self, scope: Option<&Scope>) -> Result<(), DriverError> {
        let Some(scope) = scope.filter(|_| self.kind() == Kind::Test) else { return Ok(()) };
        let answers = self.call(pin!(self.client().simple_query(&scope.show()))).await?;
        self.soil(Effects::SETTING);
        *self.restore.lock().unwrap_or_else(PoisonError::into_inner) = Some(scope.restore_to(&answers));
        Ok(())
    }

    /// Notes that an answer is being read; until [`settle`](Self::settle) the connection is of no use to anybody else.
    pub(crate) fn unsettle(&self) {
        self.unread.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn settle(&self) {
        self.unread.fetch_sub(1, Ordering::Relaxed);
    }

    /// Notes that what runs was given up, or broke.
    pub(crate) fn interrupt(&self) {
        self.is_interrupted.store(true, Ordering::Relaxed);
    }

    /// Whether a call was given up, or broke: nobody knows what the server makes of it.
    pub(crate) fn is_interrupted(&self) -> bool {
        self.is_interrupted.load(Ordering::Relaxed)
    }

    /// Notes that a read was given up whose answer is on its way: it is waited for before anybody else gets the connection.
    pub(crate) fn leave_unread(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
    }

    /// Whether the server may still be at something that nobody waits for.
    fn is_busy(&self) -> bool {
        self.is_interrupted.load(Ordering::Relaxed) || self.unread.load(Ordering::Relaxed) > 0
    }

    pub(crate) fn returned(&self) -> Returned {
        if self.client().is_closed() {
            return Returned::Broken;
        }
        if self.is_busy() {
            // Nobody else gets it, but it keeps its place until it is quiet: there are never more than may be.
            return Returned::Soiled;
        }
        let soil = self.soil_left();
        if soil.intersects(INDELIBLE) && self.kind() != Kind::Test {
            Returned::Broken
        } else if soil.outlives_statement()
            || self.is_unseen.load(Ordering::Relaxed)
            || self.is_draining.load(Ordering::Relaxed)
        {
            Returned::Soiled
        } else {
            Returned::Clean
        }
    }

    /// Takes away what was left behind, in one round trip, and keeps the prepared statements. What was given up is cancelled, and the
    /// connection is of no use then: the cancel may come late.
    pub(crate) async fn reset(&self) -> Result<(), DriverError> {
        if self.is_busy() {
            if let Some(canceller) = &self.canceller {
                quieten(self.client(), canceller, Duration::ZERO).await?;
                self.is_quiet.store(true, Ordering::Relaxed);
            }
            return Err(DriverError::Indelible);
        }
        match self.kind() {
            Kind::Direct => self.reset_session().await?,
            // The rest of a session is the pooler's, or another client's.
            Kind::Pooled => self.call(pin!(self.client().batch_execute("ROLLBACK"))).await?,
            Kind::Test => self.reset_in_test().await?,
        }
        self.clean(self.soil_left());
        self.is_unseen.store(false, Ordering::Relaxed);
        self.is_draining.store(false, Ordering::Relaxed);
        if self.reading.reset() {
            self.statements.forget_all(Reading::is_changed);
        }
        Ok(())
    }

    async fn reset_session(&self) -> Result<(), DriverError> {
        let is_unseen = self.is_unseen.load(Ordering::Relaxed);
        let soil = self.soil_left();
        // The server warns of a ROLLBACK outside of a transaction.
        let may_be_open = self.reading.is_raw() || soil.intersects(OPENS);
        let mut text = resets(soil, is_unseen, may_be_open, self.setup.after_connect.as_deref());
        if is_unseen {
            text.push(PREPARED);
        }
        let number = RESETS_SO_FAR.fetch_add(1, Ordering::Relaxed);
        let proof = format!("SELECT {number} AS is_reset");
        text.push(&proof);
        // A comment at the end of one must not hide the next.
        let answers = self.call(pin!(self.client().simple_query(&text.join("\n;")))).await?;
        let count = |name: &str| {
            answers.iter().find_map(|answer| match answer {
                SimpleQueryMessage::Row(row) => row.try_get(name).ok().flatten()?.parse::<usize>().ok(),
                _ => None,
            })
        };
        // The driver may take what was left for its answer: then all that follow are somebody else's.
        let is_ours = count("is_reset") == Some(number);
        let is_prepared_by_text = count("prepared_by_text").is_some_and(|count| count > 0);
        // It was all deallocated, what the driver asks for types with among it.
        let is_deallocated = count("prepared_by_us").is_some_and(|count| count < self.statements.len());
        if !is_ours || is_prepared_by_text || is_deallocated {
            return Err(DriverError::Indelible);
        }
        Ok(())
    }

    /// Takes away no more than a transaction that was left, and settings of its user's: the rest goes with the transaction of the test.
    async fn reset_in_test(&self) -> Result<(), DriverError> {
        if self.soil_left().contains(Effects::TRANSACTION) {
            self.call(pin!(self.client().batch_execute(Nesting::InTest.rollback()))).await?;
        }
        let restore = self.restore.lock().unwrap_or_else(PoisonError::into_inner).take();
        match restore {
            Some(restore) => self.call(pin!(self.client().batch_execute(&restore))).await,
            None => Ok(()),
        }
    }

    /// Runs one call of the driver. When the future is dropped in the middle, the connection is not used again. Callers
    /// pin the call first: handed over by value it would be stored twice.
    pub(crate) async fn call<T>(
        &self,
        call: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, DriverError> {
        let guard = Interruption { connection: self, is_over: false };
        let result = call.await.map_err(DriverError::from);
        guard.over();
        self.look_at(&result);
        result
    }

    /// Notes what an answer says of the connection.
    pub(crate) fn look_at<T>(&self, answer: &Result<T, DriverError>) {
        let Err(error) = answer else { return };
        match error.failure().kind {
            // Whatever else it did before the refusal, an advisory lock among it, is still there.
            FailureKind::ReadOnly => self.soil_unseen(),
            // The driver and the server no longer agree on where they are.
            FailureKind::ConnectionLost => self.interrupt(),
            _ if error.as_db_error().is_some_and(is_about_a_lost_type) => self.interrupt(),
            _ => {}
        }
    }

    /// Whether a prepared statement was refused before it ran, since its tables changed or it is gone from the server, and
    /// can be prepared anew and run once more. Inside a transaction there is no once more.
    pub(crate) fn is_outdated<T>(&self, key: &str, answer: &Result<T, DriverError>) -> bool {
        let Some(said) = answer.as_ref().err().and_then(DriverError::as_db_error) else { return false };
        // Said of a statement inside of it, by a function or a trigger, it has run in part.
        let is_own = said.where_().is_none();
        let is_gone = *said.code() == SqlState::INVALID_SQL_STATEMENT_NAME
            && said.routine() == Some("FetchPreparedStatement");
        let is_other = *said.code() == SqlState::FEATURE_NOT_SUPPORTED
            && said.routine() == Some("RevalidateCachedQuery");
        let is_outdated = is_own && (is_gone || is_other);
        is_outdated && self.statements.forget(key)
    }

    pub(crate) fn soil_left(&self) -> Effects {
        *self.soil.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What no statement takes away without taking away the prepared statements too, or at all.
const INDELIBLE: Effects = Effects::PREPARED.union(Effects::LOAD);

/// Whether a type that the driver knows is another's now: it would go on by the number of the one that is gone.
fn is_about_a_lost_type(said: &DbError) -> bool {
    *said.code() == SqlState::INTERNAL_ERROR && said.message().starts_with("cache lookup failed for type")
}

/// What changes how a text is read.
const CHANGES_READING: Effects = Effects::SETTING.union(Effects::TEMPORARY);

const NEVER_COMMIT: &str = "\
    CREATE TEMPORARY TABLE millpond_test (is_never_committed bool); \
    CREATE FUNCTION pg_temp.millpond_test() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
        PERFORM pg_catalog.pg_terminate_backend(pg_catalog.pg_backend_pid()); \
        RAISE EXCEPTION 'the transaction of a test is never committed'; \
    END $$; \
    CREATE CONSTRAINT TRIGGER millpond_test AFTER INSERT ON pg_temp.millpond_test \
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION pg_temp.millpond_test(); \
    INSERT INTO pg_temp.millpond_test VALUES (true)";

/// What a raw client prepared by text, whose names cannot be told from what the next user chooses; and what is left of ours.
const PREPARED: &str = "SELECT pg_catalog.count(*) FILTER (WHERE from_sql) AS prepared_by_text, \
    pg_catalog.count(*) FILTER (WHERE NOT from_sql) AS prepared_by_us FROM pg_catalog.pg_prepared_statements";

/// Counts resets, so that each knows its own answer.
static RESETS_SO_FAR: AtomicUsize = AtomicUsize::new(0);

/// How long a cancel may take: its caller is gone, and so may be the server.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

/// How long what was cancelled may go on until it is cancelled again; then twice as long, and so on.
const CANCEL_AGAIN: Duration = Duration::from_millis(20);

/// What can leave a transaction open, or needs one.
const OPENS: Effects =
    Effects::TRANSACTION.union(Effects::TABLE_LOCK).union(Effects::LARGE_OBJECT).union(Effects::CURSOR);

/// What [`after_connect`](crate::Builder::after_connect) may have made, and a reset takes away.
const TAKEN_AWAY: Effects =
    Effects::SETTING.union(Effects::LISTEN).union(Effects::ADVISORY_LOCK).union(Effects::TEMPORARY);

/// What takes away what, in an order that works: an aborted transaction refuses everything but its end.
const RESETS: [(Effects, &str); 7] = [
    (OPENS, "ROLLBACK"),
    (Effects::CURSOR, "CLOSE ALL"),
    (Effects::SETTING, "SET SESSION AUTHORIZATION DEFAULT; RESET ALL"),
    (Effects::LISTEN, "UNLISTEN *"),
    (Effects::ADVISORY_LOCK, "SELECT pg_catalog.pg_advisory_unlock_all()"),
    (Effects::TEMPORARY, "DISCARD TEMP"),
    // Only for what was not seen: a session's sequence values do no harm but to who asks for them unasked.
    (Effects::NONE, "DISCARD SEQUENCES"),
];

/// The texts that take away what was left in a session, in their order: what is known of it, or all but prepared statements where it was
/// used unseen; a transaction, if one may be open. Behind them what every new connection runs first, if it may be gone.
#[must_use]
pub fn resets(soil: Effects, is_unseen: bool, may_be_open: bool, after_connect: Option<&str>) -> Vec<&str> {
    let applies = |(effects, _): &&(Effects, &'static str)| {
        if *effects == OPENS { may_be_open } else { is_unseen || soil.intersects(*effects) }
    };
    let mut texts: Vec<&str> = RESETS.iter().filter(applies).map(|(_, text)| *text).collect();
    if is_unseen || soil.intersects(TAKEN_AWAY) {
        texts.extend(after_connect);
    }
    texts
}

/// A call under way. Dropped before it is over, it leaves the connection unfit for anybody else.
struct Interruption<'a> {
    connection: &'a Connection,
    is_over: bool,
}

impl Interruption<'_> {
    fn over(mut self) {
        self.is_over = true;
    }
}

impl Drop for Interruption<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.connection.interrupt();
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let is_busy = self.is_busy() || self.is_draining.load(Ordering::Relaxed);
        // What was done by the driver's client was not seen.
        let may_be_busy = is_busy || self.reading.is_raw();
        let is_quiet = self.is_quiet.load(Ordering::Relaxed);
        let client = self.client.take().filter(|client| may_be_busy && !is_quiet && !client.is_closed());
        if let Some((client, canceller)) = client.zip(self.canceller.take()) {
            let patience = if is_busy { Duration::ZERO } else { CANCEL_AGAIN };
            // Its caller is gone; the server should not go on for nobody.
            self.runtime.spawn(async move {
                match timeout(CANCEL_TIMEOUT, quieten(&client, &canceller, patience)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => {
                        tracing::debug!(target: "millpond", %error, "a statement without a caller was not cancelled");
                    }
                    Err(_) => {
                        tracing::debug!(target: "millpond", "a statement without a caller was not cancelled in time");
                        canceller.cut_off();
                    }
                }
            });
        }
    }
}

/// Cancels what still runs when `patience` is over, until nothing does. Once is not enough: a cancel comes by a way of its own, may overtake
/// what it is for, and then does nothing; and it ends one statement of several.
async fn quieten(
    client: &Client,
    canceller: &Canceller,
    mut patience: Duration,
) -> Result<(), tokio_postgres::Error> {
    // Its answer comes behind all others.
    let mut quiet = pin!(client.check_connection());
    loop {
        if timeout(patience, quiet.as_mut()).await.is_ok() {
            return Ok(());
        }
        canceller.cancel().await?;
        patience = (2 * patience).max(CANCEL_AGAIN);
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("is_closed", &self.client().is_closed()).finish_non_exhaustive()
    }
}
