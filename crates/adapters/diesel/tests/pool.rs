//! The pool on real servers, as a service that had one of diesel-async's would use it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use diesel::connection::InstrumentationEvent;
use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, deadpool};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use millpond_diesel::{Db, ErrorKind, Mode, Pool, PooledConnection, Session};
use millpond_lab::Lab;
use tokio::sync::oneshot;

mod schema {
    diesel::table! {
        item (id) {
            id -> Integer,
            name -> Nullable<Text>,
        }
    }

    #[diesel::declare_sql_function]
    extern "SQL" {
        fn pg_is_in_recovery() -> diesel::sql_types::Bool;
        fn current_setting(name: diesel::sql_types::Text) -> diesel::sql_types::Text;
        fn pg_backend_pid() -> diesel::sql_types::Integer;
    }
}

use schema::{item, pg_backend_pid, pg_is_in_recovery};

/// A primary and replicas, with a table, and a pool that routes.
struct Cluster {
    lab: Lab,
    pool: Pool,
}

impl Cluster {
    async fn up(replicas: usize) -> Self {
        Self::with(replicas, 10).await
    }

    async fn with(replicas: usize, connections: usize) -> Self {
        let lab = Lab::builder().replicas(replicas).up().await.unwrap();
        lab.primary().ask("postgres", "create table item (id int primary key, name text)").await.unwrap();
        lab.caught_up().await.unwrap();
        let pool = pool(&lab, connections).await;
        if replicas > 0 {
            until("a replica serves reads", async || is_on_replica(&mut pool.read().await.unwrap()).await)
                .await;
        }
        Self { lab, pool }
    }
}

async fn pool(lab: &Lab, connections: usize) -> Pool {
    let builder = Pool::builder(&lab.url("postgres")).unwrap().max_size(connections).mode(Mode::Route);
    let builder =
        builder.probe_interval(Duration::from_millis(50)).acquire_timeout(Duration::from_millis(500));
    Pool::connect_with(builder).await.unwrap()
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let (begun, mut looks) = (Instant::now(), tokio::time::interval(Duration::from_millis(5)));
    while !is_so().await {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}: not within 20 s");
        looks.tick().await;
    }
}

async fn is_on_replica(connection: &mut AsyncPgConnection) -> bool {
    diesel::select(pg_is_in_recovery()).get_result(connection).await.unwrap()
}

async fn insert(connection: &mut AsyncPgConnection, id: i32) -> QueryResult<usize> {
    diesel::insert_into(item::table).values(item::id.eq(id)).execute(connection).await
}

async fn count(connection: &mut AsyncPgConnection) -> i64 {
    item::table.count().get_result(connection).await.unwrap()
}

async fn count_by(pool: &Pool) -> i64 {
    count(&mut pool.read().await.unwrap()).await
}

#[tokio::test]
async fn a_lease_is_a_connection_of_diesels_and_leads_where_its_caller_wants() {
    let cluster = Cluster::up(1).await;
    let pool = &cluster.pool;
    // As code that is generic over connections has it.
    async fn first<C>(connection: &mut C) -> QueryResult<Option<i32>>
    where
        C: AsyncConnection<Backend = diesel::pg::Pg>,
    {
        item::table.select(item::id).order(item::id).first(connection).await.optional()
    }
    let mut write = pool.write().await.unwrap();
    for id in 1..=3 {
        insert(&mut write, id).await.unwrap();
    }
    let named = diesel::update(item::table.find(1)).set(item::name.eq("pond")).execute(&mut write).await;
    assert_eq!(named.unwrap(), 1);
    assert_eq!(first(&mut write).await.unwrap(), Some(1));
    drop(write);
    assert_eq!(count_by(pool).await, 3);
    until("a replica shows them", async || is_on_replica(&mut pool.read().await.unwrap()).await).await;
    let mut read = pool.read().await.unwrap();
    let names: Vec<(i32, Option<String>)> = item::table.order(item::id).load(&mut read).await.unwrap();
    assert_eq!(names[..2], [(1, Some("pond".to_owned())), (2, None)]);
    assert!(!is_on_replica(&mut pool.get().await.unwrap()).await);
    // Two at once on one connection.
    let (mut one, mut two) = (&*read, &*read);
    let both = futures_util::join!(
        item::table.count().get_result::<i64>(&mut one),
        item::table.find(2).select(item::id).first::<i32>(&mut two)
    );
    assert_eq!((both.0.unwrap(), both.1.unwrap()), (3, 2));
    // One for reading refuses writes, on a replica and on the primary.
    for mut read in [read, pool.latest().read().await.unwrap()] {
        let error = insert(&mut read, 9).await.unwrap_err();
        assert!(
            matches!(error, DieselError::DatabaseError(DatabaseErrorKind::ReadOnlyTransaction, _)),
            "{error}"
        );
    }
    assert!(insert(&mut pool.write().await.unwrap(), 9).await.is_ok(), "and leaves that behind for nobody");
}

#[tokio::test]
async fn reads_show_what_was_written_whatever_the_replica_does() {
    let cluster = Cluster::up(1).await;
    let (pool, session) = (&cluster.pool, cluster.pool.session());
    cluster.lab.node("db-1").unwrap().pause_replay().await.unwrap();
    for turn in 0..20 {
        insert(&mut pool.write().await.unwrap(), 3 * turn).await.unwrap();
        assert_eq!(count_by(pool).await, i64::from(3 * turn) + 1);
        insert(&mut session.write().await.unwrap(), 3 * turn + 1).await.unwrap();
        assert_eq!(count_by(&session).await, i64::from(3 * turn) + 2);
        let inserted = session.transaction::<_, DieselError, _>(async |tx| insert(tx, 3 * turn + 2).await);
        assert_eq!((inserted.await.unwrap(), count_by(&session).await), (1, i64::from(3 * turn) + 3));
    }
    // Without that it would be stale.
    assert_eq!(count_by(&pool.any()).await, 0);
}

#[tokio::test]
async fn reads_go_back_to_replicas_behind_a_write_though_they_go_on_all_the_time() {
    let cluster = Cluster::up(1).await;
    let pool = &cluster.pool;
    insert(&mut pool.write().await.unwrap(), 1).await.unwrap();
    // Some of them are on the primary until a replica is known to show it: that they are no writes lets the next go.
    until("reads are on the replica", async || {
        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(pool.read().await.unwrap());
        }
        let mut all = true;
        for read in &mut held {
            assert_eq!(count(read).await, 1);
            all &= is_on_replica(read).await;
        }
        all
    })
    .await;
}

#[tokio::test]
async fn while_one_for_writing_is_out_reads_go_to_the_primary() {
    let cluster = Cluster::up(1).await;
    let (pool, session) = (&cluster.pool, cluster.pool.session());
    let mut write = session.write().await.unwrap();
    write.batch_execute("begin").await.unwrap();
    insert(&mut write, 1).await.unwrap();
    for _ in 0..20 {
        assert!(!is_on_replica(&mut session.read().await.unwrap()).await);
        assert!(!is_on_replica(&mut pool.read().await.unwrap()).await);
        assert!(
            is_on_replica(&mut pool.session().read().await.unwrap()).await,
            "it has nothing to do with it"
        );
    }
    cluster.lab.node("db-1").unwrap().pause_replay().await.unwrap();
    write.batch_execute("commit").await.unwrap();
    assert_eq!((count_by(&session).await, count_by(pool).await), (1, 1));
    drop(write);
    assert_eq!((count_by(&session).await, count_by(pool).await), (1, 1));
}

#[tokio::test]
async fn transactions_commit_what_gives_a_value_and_roll_back_what_fails() {
    let cluster = Cluster::up(1).await;
    let pool = cluster.pool.clone();
    // In a task of its own: its future can be sent.
    let inserted = tokio::spawn(async move {
        pool.transaction::<_, DieselError, _>(async |tx| {
            insert(tx, 1).await?;
            let failed = tx.transaction::<(), DieselError, _>(async |tx| {
                insert(tx, 2).await?;
                Err(DieselError::RollbackTransaction)
            });
            assert_eq!(failed.await, Err(DieselError::RollbackTransaction));
            tx.transaction::<_, DieselError, _>(async |tx| insert(tx, 3).await).await
        })
        .await
    });
    assert_eq!(inserted.await.unwrap(), Ok(1));
    let pool = &cluster.pool;
    assert_eq!(count_by(pool).await, 2);
    let failed = pool.transaction::<(), DieselError, _>(async |tx| {
        insert(tx, 4).await?;
        insert(tx, 1).await.map(drop)
    });
    let error = failed.await.unwrap_err();
    assert!(matches!(error, DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _)), "{error}");
    assert_eq!(count_by(pool).await, 2);
    // One whose error shows at the commit.
    pool.write()
        .await
        .unwrap()
        .batch_execute("alter table item add constraint once unique (name) deferrable initially deferred")
        .await
        .unwrap();
    let failed = pool.transaction::<_, DieselError, _>(async |tx| {
        let same = (item::id.eq(5), item::name.eq("same"));
        let again = (item::id.eq(6), item::name.eq("same"));
        diesel::insert_into(item::table).values([same, again]).execute(tx).await
    });
    let error = failed.await.unwrap_err();
    assert!(matches!(error, DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _)), "{error}");
    until("a replica shows it", async || is_on_replica(&mut pool.read().await.unwrap()).await).await;
    let read = pool.read_transaction::<_, DieselError, _>(async |tx| {
        assert!(is_on_replica(tx).await);
        let error = insert(tx, 7).await.unwrap_err();
        assert!(
            matches!(error, DieselError::DatabaseError(DatabaseErrorKind::ReadOnlyTransaction, _)),
            "{error}"
        );
        Ok(())
    });
    read.await.unwrap();
    cluster.lab.node("db-1").unwrap().pause_replay().await.unwrap();
    let session = pool.session();
    let latest = session.latest();
    let read = latest
        .read_transaction::<_, DieselError, _>(async |tx| Ok((is_on_replica(tx).await, count(tx).await)));
    assert_eq!(read.await.unwrap(), (false, 2));
    assert!(is_on_replica(&mut session.any().read().await.unwrap()).await, "it was no write");
}

/// How a session of one process writes a row.
#[derive(Clone, Copy, Debug)]
enum Way {
    Connection,
    OwnTransactionOfAConnection,
    Transaction,
}

async fn write(session: &Session, way: Way, id: i32) {
    match way {
        Way::Connection => drop(insert(&mut session.write().await.unwrap(), id).await.unwrap()),
        Way::OwnTransactionOfAConnection => {
            let mut connection = session.write().await.unwrap();
            let inserted = connection.transaction::<_, DieselError, _>(async |tx| insert(tx, id).await);
            inserted.await.unwrap();
        }
        Way::Transaction => {
            let inserted = session.transaction::<_, DieselError, _>(async |tx| insert(tx, id).await);
            inserted.await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_token_shows_in_another_process_what_was_written_here_in_whichever_way() {
    let cluster = Cluster::up(2).await;
    let (here, there) = (&cluster.pool, pool(&cluster.lab, 10).await);
    until("a replica serves there, too", async || is_on_replica(&mut there.read().await.unwrap()).await)
        .await;
    let (mut written, mut stale) = (0, 0);
    for _ in 0..50 {
        for way in [Way::Connection, Way::OwnTransactionOfAConnection, Way::Transaction] {
            let session = here.session();
            write(&session, way, written).await;
            written += 1;
            let token = session.token();
            stale += i32::from(count_by(&there.any()).await < i64::from(written));
            let reader = there.session();
            reader.see(token).unwrap();
            for counted in [count_by(&reader).await, count_by(&session).await, count_by(here).await] {
                assert_eq!(counted, i64::from(written), "{way:?}");
            }
        }
    }
    assert!(stale > 0, "without tokens it would have been stale at times");
    let placed = here.session();
    write(&placed, Way::Transaction, written).await;
    assert!(!placed.token().to_string().contains('*'), "a transaction has a place: {}", placed.token());
}

#[tokio::test]
async fn what_one_user_left_the_next_does_not_find() {
    let cluster = Cluster::with(0, 1).await;
    let pool = &cluster.pool;
    let is_clean = async |connection: &mut PooledConnection| {
        let dirt = "do $$ begin
            assert current_setting('work_mem') = '4MB', 'a setting';
            assert current_setting('timezone') = 'UTC', 'a time zone';
            assert not exists (select from pg_locks where locktype = 'advisory'), 'a lock';
            assert not exists (select from pg_class where relpersistence = 't'), 'a table';
            assert not exists (select from pg_prepared_statements where from_sql), 'a prepared statement';
            assert transaction_timestamp() = statement_timestamp(), 'a transaction';
        end $$";
        connection.batch_execute(dirt).await.unwrap();
    };
    for text in [
        "set work_mem = '1MB'",
        // It looks like values of a query, and is none.
        "select ' -- binds: '; set work_mem = '1MB'",
        "set time zone 'Asia/Tokyo'",
        "select pg_advisory_lock(1)",
        "create temporary table mine (a int)",
        "prepare mine as select 1",
        "begin",
        "begin; set local work_mem = '1MB'; select 1",
        "deallocate all",
        "discard all",
    ] {
        let mut connection = pool.write().await.unwrap();
        assert_eq!(count(&mut connection).await, 0);
        connection.batch_execute(text).await.unwrap();
        drop(connection);
        let mut next = pool.write().await.unwrap();
        is_clean(&mut next).await;
        assert_eq!(count(&mut next).await, 0, "{text}");
        let inserted = next.transaction::<usize, DieselError, _>(async |tx| {
            insert(tx, 1).await?;
            Err(DieselError::RollbackTransaction)
        });
        assert!(inserted.await.is_err(), "it is the outermost one: {text}");
    }
    // An aborted one, and one that its driver thinks goes on.
    let mut connection = pool.write().await.unwrap();
    connection.batch_execute("begin; select 1/0").await.unwrap_err();
    drop(connection);
    let mut connection = pool.write().await.unwrap();
    is_clean(&mut connection).await;
    diesel_async::AnsiTransactionManager::begin_transaction_sql(&mut *connection, "begin").await.unwrap();
    insert(&mut connection, 1).await.unwrap();
    drop(connection);
    let inserted = pool.transaction::<_, DieselError, _>(async |tx| insert(tx, 1).await);
    assert_eq!((inserted.await.unwrap(), count_by(pool).await), (1, 1));
}

#[tokio::test]
async fn what_runs_is_seen_also_where_its_user_is_told_of_it() {
    let cluster = Cluster::with(0, 1).await;
    let pool = &cluster.pool;
    pool.write().await.unwrap().batch_execute("create function leave() returns int language sql volatile as $$ select set_config('work_mem', '1MB', false); select 1 $$").await.unwrap();
    let work_mem = async || -> String {
        let mut connection = pool.write().await.unwrap();
        diesel::select(schema::current_setting("work_mem")).get_result(&mut connection).await.unwrap()
    };
    // By a query with values, by a function of which the text shows nothing, behind a comment that looks like values, and where somebody else is told.
    let texts = [
        "select set_config('work_mem', $1, false)",
        "select leave()::text where $1 <> ''",
        "select $1 -- binds: []\n, set_config('work_mem', '1MB', false)",
    ];
    for text in texts {
        let mut connection = pool.write().await.unwrap();
        let query = diesel::sql_query(text).bind::<diesel::sql_types::Text, _>("1MB");
        query.execute(&mut connection).await.unwrap();
        drop(connection);
        assert_eq!(work_mem().await, "4MB", "{text}");
    }
    let told = Arc::new(AtomicUsize::new(0));
    let mut connection = pool.write().await.unwrap();
    let counter = Arc::clone(&told);
    connection.set_instrumentation(move |_: InstrumentationEvent<'_>| {
        counter.fetch_add(1, Ordering::Relaxed);
    });
    diesel::sql_query("set work_mem = '1MB'").execute(&mut connection).await.unwrap();
    drop(connection);
    let so_far = AtomicUsize::load(&told, Ordering::Relaxed);
    assert!(so_far > 0);
    for _ in 0..2 {
        assert_eq!(work_mem().await, "4MB");
        diesel::sql_query("set work_mem = '1MB'").execute(&mut pool.write().await.unwrap()).await.unwrap();
    }
    assert_eq!(AtomicUsize::load(&told, Ordering::Relaxed), so_far, "the next user is none of its business");
}

#[tokio::test]
async fn a_connection_stays_for_the_next_and_what_was_given_up_does_not_hold_it() {
    let cluster = Cluster::with(0, 1).await;
    let pool = &cluster.pool;
    let pid = async || -> i32 {
        diesel::select(pg_backend_pid()).get_result(&mut *pool.write().await.unwrap()).await.unwrap()
    };
    let first = pid().await;
    assert_eq!(pid().await, first);
    // A short one is waited for, a long one is cancelled.
    for (text, is_kept) in [("select pg_sleep(0.1)", true), ("select pg_sleep(600)", false)] {
        let before = pid().await;
        let mut connection = pool.write().await.unwrap();
        assert!(futures_util::poll!(Box::pin(connection.batch_execute(text)).as_mut()).is_pending());
        drop(connection);
        let mut after = None;
        until("there is a connection", async || {
            after = match pool.write().await {
                Ok(mut connection) => {
                    diesel::select(pg_backend_pid()).get_result(&mut *connection).await.ok()
                }
                Err(_) => None,
            };
            after.is_some()
        })
        .await;
        assert_eq!(after == Some(before), is_kept, "{text}");
    }
    let asleep = "select count(*) from pg_stat_activity where query like '%pg_sleep(600)%' and state = 'active' and pid <> pg_backend_pid()";
    until("it was cancelled", async || {
        cluster.lab.primary().ask("postgres", asleep).await.unwrap().as_deref() == Some("0")
    })
    .await;
}

#[tokio::test]
async fn a_call_that_is_dropped_at_any_poll_leaves_nothing_behind() {
    let cluster = Cluster::with(0, 2).await;
    let pool = &cluster.pool;
    for polls in 0..40 {
        for what in 0..3 {
            let mut work = Box::pin(async {
                match what {
                    0 => drop(insert(&mut pool.write().await.unwrap(), polls).await),
                    1 => {
                        let inserted = pool.transaction::<usize, DieselError, _>(async |tx| {
                            insert(tx, polls + 1000).await?;
                            Err(DieselError::RollbackTransaction)
                        });
                        drop(inserted.await);
                    }
                    _ => {
                        let mut connection = pool.write().await.unwrap();
                        let _ = connection.batch_execute("begin; set work_mem = '1MB'").await;
                        drop(item::table.select(item::id).load::<i32>(&mut connection).await);
                    }
                }
            });
            for _ in 0..polls {
                if futures_util::poll!(work.as_mut()).is_ready() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        let mut connection = pool.write().await.unwrap();
        let work_mem: String =
            diesel::select(schema::current_setting("work_mem")).get_result(&mut connection).await.unwrap();
        assert_eq!(work_mem, "4MB", "{polls}");
    }
    until("all are back", async || pool.status().nodes[0].in_flight == 0).await;
    let open = "select count(*) from pg_stat_activity where state like 'idle in transaction%'";
    until("none is in a transaction", async || {
        cluster.lab.primary().ask("postgres", open).await.unwrap().as_deref() == Some("0")
    })
    .await;
    let taken_back =
        item::table.filter(item::id.ge(1000)).count().get_result(&mut pool.read().await.unwrap()).await;
    assert_eq!(taken_back, Ok(0_i64));
}

#[tokio::test]
async fn errors_say_what_the_routing_says_and_are_diesels_too() {
    let cluster = Cluster::with(0, 1).await;
    let pool = &cluster.pool;
    let held = pool.write().await.unwrap();
    let error = pool.read().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Acquire, "{error}");
    let error = pool.transaction::<(), DieselError, _>(async |_| Ok(())).await.unwrap_err();
    assert!(
        matches!(error, DieselError::DatabaseError(DatabaseErrorKind::UnableToSendCommand, _)),
        "{error}"
    );
    drop(held);
    pool.close().await;
    assert!(pool.is_closed());
    let error = pool.write().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert!(matches!(error.into(), DieselError::DatabaseError(DatabaseErrorKind::ClosedConnection, _)));
    assert!(
        Pool::connect("postgres://app:secret@db:port/shop")
            .await
            .is_err_and(|error| !error.to_string().contains("secret"))
    );
    let pooled = Pool::builder(&cluster.lab.url("postgres")).unwrap().behind_pooler();
    let error = Pool::connect_with(pooled).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
}

#[tokio::test]
async fn a_pool_that_is_not_told_to_route_records_what_it_would() {
    let lab = Lab::builder().replicas(1).up().await.unwrap();
    let pool = Pool::connect(&lab.url("postgres")).await.unwrap();
    assert_eq!(pool.status().mode, Mode::Shadow);
    until("the replica could have served it", async || {
        assert!(!is_on_replica(&mut pool.read().await.unwrap()).await);
        pool.shadow_report().connections.moved > 0
    })
    .await;
    pool.set_mode(Mode::Route);
    until("it does", async || is_on_replica(&mut pool.read().await.unwrap()).await).await;
}

#[tokio::test]
async fn leases_and_transactions_follow_a_promotion() {
    let cluster = Cluster::up(1).await;
    let pool = &cluster.pool;
    insert(&mut pool.write().await.unwrap(), 1).await.unwrap();
    cluster.lab.caught_up().await.unwrap();
    let outdated = pool.write().await.unwrap();
    cluster.lab.primary().kill().await.unwrap();
    cluster.lab.node("db-1").unwrap().promote().await.unwrap();
    until("there is a primary", async || match pool.write().await {
        Ok(mut connection) => insert(&mut connection, 2).await.is_ok(),
        Err(_) => false,
    })
    .await;
    assert!(outdated.is_outdated());
    let inserted = pool.transaction::<_, DieselError, _>(async |tx| insert(tx, 3).await);
    inserted.await.unwrap();
    assert_eq!(count_by(pool).await, 3);
}

#[tokio::test]
async fn a_commit_on_a_primary_that_was_replaced_is_refused_and_says_that_nothing_ran() {
    let cluster = Cluster::up(1).await;
    let pool = &cluster.pool;
    let ((inside, is_inside), (go_on, may_go_on)) = (oneshot::channel(), oneshot::channel());
    let committed = pool.transaction::<(), millpond_or_diesel::Error, _>(async move |tx| {
        insert(tx, 1).await?;
        inside.send(()).unwrap();
        may_go_on.await.unwrap();
        Ok(())
    });
    let replaced = async {
        is_inside.await.unwrap();
        // The other one lives on, and would commit.
        cluster.lab.node("db-1").unwrap().promote().await.unwrap();
        let pool = pool.timeout(Duration::from_millis(200));
        until("the other one is written to", async || match pool.write().await {
            Ok(mut connection) => insert(&mut connection, 2).await.is_ok(),
            Err(_) => false,
        })
        .await;
        go_on.send(()).unwrap();
    };
    let (committed, ()) = futures_util::join!(committed, replaced);
    let millpond_or_diesel::Error::Millpond(error) = committed.unwrap_err() else { panic!("it is ours") };
    assert_eq!(error.outcome(), millpond_diesel::Outcome::Rejected, "{error}");
    let old = cluster.lab.node("db-0").unwrap();
    let written = old.ask("postgres", "select count(*) from item").await.unwrap();
    assert_eq!(written.as_deref(), Some("0"));
}

/// An error as a service has one.
mod millpond_or_diesel {
    #[derive(Debug)]
    pub(crate) enum Error {
        Millpond(millpond_diesel::Error),
        Diesel(#[expect(dead_code, reason = "shown when a test fails")] diesel::result::Error),
    }

    impl From<millpond_diesel::Error> for Error {
        fn from(error: millpond_diesel::Error) -> Self {
            Self::Millpond(error)
        }
    }

    impl From<diesel::result::Error> for Error {
        fn from(error: diesel::result::Error) -> Self {
            Self::Diesel(error)
        }
    }
}

fn pool_of_diesels(follow: millpond_diesel::Follow) -> deadpool::Pool<AsyncPgConnection> {
    let mut config = ManagerConfig::default();
    config.custom_setup = follow.into();
    let manager = AsyncDieselConnectionManager::new_with_config("", config);
    deadpool::Pool::builder(manager).max_size(2).build().unwrap()
}

#[tokio::test]
async fn pools_of_diesels_own_follow_roles() {
    let cluster = Cluster::up(1).await;
    let db = Db::connect(&cluster.lab.url("postgres")).await.unwrap();
    let patience = Duration::from_millis(500);
    let primary = pool_of_diesels(millpond_diesel::primary(&db).patience(patience));
    let replica = pool_of_diesels(millpond_diesel::replica(&db).patience(patience));
    insert(&mut primary.get().await.unwrap(), 1).await.unwrap();
    until("a replica is read from", async || {
        let mut connection = replica.get().await.unwrap();
        let is_there = is_on_replica(&mut connection).await;
        let error = insert(&mut connection, 9).await.unwrap_err();
        assert!(
            matches!(error, DieselError::DatabaseError(DatabaseErrorKind::ReadOnlyTransaction, _)),
            "{error}"
        );
        if !is_there {
            drop(deadpool::Object::take(connection));
        }
        is_there
    })
    .await;
    cluster.lab.caught_up().await.unwrap();
    cluster.lab.primary().kill().await.unwrap();
    until("it is known that there is none", async || {
        let error = primary.get().await.map(drop).unwrap_err().to_string();
        error.contains("no node takes writes within 500ms")
    })
    .await;
    cluster.lab.node("db-1").unwrap().promote().await.unwrap();
    until("it leads there", async || match primary.get().await {
        Ok(mut connection) => insert(&mut connection, 2).await.is_ok(),
        Err(_) => false,
    })
    .await;
    assert_eq!(count(&mut primary.get().await.unwrap()).await, 2);
}
