//! One pool of sqlx's whose connections lead to whichever node is the primary.

use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use millpond_cluster::Handle;
use millpond_postgres::foundation::{WHICH_SERVER, server_id};
use sqlx::postgres::{PgConnection, PgPool, PgPoolOptions};
use sqlx::{Connection as _, Executor as _, Row as _};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::sleep;

use crate::backend::Sqlx;
use crate::foreign::Watched;
use crate::pool::run_on_primary;
use crate::query::Query;

/// A connection that was in use so short a time ago is handed out without being asked whether it is there.
const BYPASS: Duration = Duration::from_millis(500);

/// How often the server is asked which of its processes still run what nobody told the end of.
const OFTEN: Duration = Duration::from_secs(1);

/// The pool, and what has its connections lead to the primary of now.
pub(crate) struct Writer {
    pub(crate) pool: PgPool,
    pub(crate) watched: Watched,
    /// Has new connections opened as the options of now say.
    again: Arc<Notify>,
    follower: AbortHandle,
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

impl Writer {
    /// One of so many connections, which are opened when they are wanted. Call it inside a runtime.
    pub(crate) fn new(options: PgPoolOptions, handle: Handle<Sqlx>) -> Self {
        let first = handle.cluster().backend().driver().options_of_primary(&handle);
        let (changed, watched) = (Changed::default(), Watched::default());
        let pool = options
            .test_before_acquire(false)
            .after_connect({
                let handle = handle.clone();
                move |connection, _| {
                    let handle = handle.clone();
                    Box::pin(async move { refuse_others(&handle, connection).await })
                }
            })
            .before_acquire({
                let changed = changed.clone();
                move |connection, of| {
                    let is_outdated = of.age > changed.elapsed();
                    Box::pin(async move {
                        // Opened before, it leads to another node, or to one that was lost.
                        Ok(!is_outdated && (of.idle_for < BYPASS || connection.ping().await.is_ok()))
                    })
                }
            })
            .after_release({
                let watched = watched.clone();
                move |connection, _| {
                    let watched = watched.clone();
                    Box::pin(async move {
                        if !watched.is_empty() {
                            watched.over(pid_of(connection).await?);
                        }
                        Ok(true)
                    })
                }
            })
            .connect_lazy_with(first);
        let again = Arc::<Notify>::default();
        let follower =
            Follower { pool: pool.clone(), watched: watched.clone(), changed, again: Arc::clone(&again) };
        let follower = tokio::spawn(follower.run(handle)).abort_handle();
        Self { pool, watched, again, follower }
    }

    /// The options are others now.
    pub(crate) fn look_again(&self) {
        self.again.notify_one();
    }
}

/// When the connections of before became of no use.
#[derive(Clone, Default)]
struct Changed(Arc<Mutex<Option<Instant>>>);

impl Changed {
    fn now(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn elapsed(&self) -> Duration {
        let at = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        at.map_or(Duration::MAX, |at| at.elapsed())
    }
}

/// Has the pool lead to the primary.
struct Follower {
    pool: PgPool,
    watched: Watched,
    changed: Changed,
    again: Arc<Notify>,
}

impl Follower {
    /// Runs until it is aborted, or the handle is closed.
    async fn run(self, handle: Handle<Sqlx>) {
        let mut last = None;
        loop {
            let Ok((primary, _)) = handle.primary().await else { return };
            let epoch = handle.epoch();
            let options = || handle.cluster().backend().driver().options(handle.address(primary));
            self.pool.set_connect_options(options());
            if last.replace(epoch).is_some_and(|last| last != epoch) {
                self.changed.now();
                // What is committed on another one than this counts for nothing.
                self.watched.all_over();
            }
            let mut replaced = pin!(handle.until_other_epoch(epoch));
            loop {
                tokio::select! {
                    () = replaced.as_mut() => break,
                    () = self.again.notified() => self.pool.set_connect_options(options()),
                    () = sleep(OFTEN) => self.look_for_gone(&handle).await,
                }
            }
        }
    }

    async fn look_for_gone(&self, handle: &Handle<Sqlx>) {
        let pids = self.watched.pids();
        if !pids.is_empty() {
            let gone = gone(handle, &pids).await.unwrap_or_default();
            gone.into_iter().for_each(|pid| self.watched.over(pid));
        }
    }
}

/// Those of the processes that the primary has no more.
async fn gone(handle: &Handle<Sqlx>, pids: &[i32]) -> Result<Vec<i32>, sqlx::Error> {
    let query = sqlx::query(
        "select pid from unnest($1::int4[]) as pid where pid not in (select pid from pg_catalog.pg_stat_get_activity(null))",
    );
    let rows = run_on_primary(handle, Query::of(query.bind(pids))?).await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

/// Refuses a connection that does not lead to the primary of now: while it was opened another may have been adopted, and an old one that is back
/// takes writes too.
async fn refuse_others(handle: &Handle<Sqlx>, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let row = sqlx::raw_sql(WHICH_SERVER).fetch_one(connection).await?;
    let leads_to = server_id(row.try_get(0)?, row.try_get(1)?);
    if handle.primary_server().is_some_and(|primary| primary == leads_to) {
        return Ok(());
    }
    // Whatever it is, the primary may be another, or was started anew.
    handle.look_again();
    let text = "the connection does not lead to the primary, as far as is known now";
    Err(sqlx::Error::Io(io::Error::other(text)))
}

/// The process of the server that a connection has.
pub(crate) async fn pid_of(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    connection.fetch_one("select pg_catalog.pg_backend_pid()").await?.try_get(0)
}
