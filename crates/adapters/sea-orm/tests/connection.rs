//! The connection on real servers, as a service that had sea-orm's would use it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use millpond_lab::Lab;
use millpond_sea_orm::{
    DatabaseConnection, DatabaseTransaction, ErrorKind, Event, Mode, PgPoolOptions, Session, routing_error,
};
use sea_orm::prelude::*;
use sea_orm::{
    AccessMode, ConnAcquireErr, DatabaseBackend, IsolationLevel, MockDatabase, MockExecResult, QueryOrder,
    Set, SqlErr, Statement, StreamTrait, TransactionError, TransactionOptions, TransactionSession,
    TransactionTrait,
};

mod item {
    #![expect(unreachable_pub, reason = "the derive makes more of it public")]

    use sea_orm::entity::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "item")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        #[sea_orm(unique)]
        pub name: String,
    }

    impl ActiveModelBehavior for ActiveModel {}
}

use item::Entity as Item;

const IS_REPLICA: &str = "select pg_is_in_recovery() as it";

/// A primary and replicas, with a table, and a connection that routes.
struct Cluster {
    lab: Lab,
    db: DatabaseConnection,
}

impl Cluster {
    async fn up(replicas: usize) -> Self {
        Self::with(replicas, PgPoolOptions::new().route()).await
    }

    async fn with(replicas: usize, options: PgPoolOptions) -> Self {
        let lab = Lab::builder().replicas(replicas).up().await.unwrap();
        let table = "create table item (id serial primary key, name text not null unique)";
        lab.primary().ask("postgres", table).await.unwrap();
        lab.caught_up().await.unwrap();
        let db = connect(&lab, options).await;
        if replicas > 0 {
            until("a replica serves reads", async || is_on_replica(&db).await).await;
        }
        Self { lab, db }
    }
}

async fn connect(lab: &Lab, options: PgPoolOptions) -> DatabaseConnection {
    let options = options.settings(|builder| builder.probe_interval(Duration::from_millis(50)));
    options.connect(&lab.url("postgres")).await.unwrap().into()
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let (begun, mut looks) = (Instant::now(), tokio::time::interval(Duration::from_millis(5)));
    while !is_so().await {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}: not within 20 s");
        looks.tick().await;
    }
}

fn statement(sql: &str) -> Statement {
    Statement::from_string(DatabaseBackend::Postgres, sql)
}

async fn is_on_replica(db: &impl ConnectionTrait) -> bool {
    let row = db.query_one_raw(statement(IS_REPLICA)).await.unwrap().unwrap();
    row.try_get("", "it").unwrap()
}

async fn count(db: &impl ConnectionTrait) -> u64 {
    Item::find().count(db).await.unwrap()
}

fn named(name: impl Into<String>) -> item::ActiveModel {
    item::ActiveModel { name: Set(name.into()), ..Default::default() }
}

async fn insert(db: &impl ConnectionTrait, name: impl Into<String>) -> item::Model {
    named(name).insert(db).await.unwrap()
}

#[tokio::test]
async fn every_way_to_run_a_statement_reads_on_a_replica_and_writes_on_the_primary() {
    let cluster = Cluster::up(1).await;
    let db = &cluster.db;
    assert_eq!(
        (ConnectionTrait::get_database_backend(db), db.is_mock_connection()),
        (DatabaseBackend::Postgres, false)
    );
    assert!(db.support_returning());
    let pond = insert(db, "pond").await;
    assert_eq!(Item::find_by_id(pond.id).one(db).await.unwrap(), Some(pond.clone()));
    Item::insert_many([named("mill"), named("weir")]).exec(db).await.unwrap();
    let result =
        db.execute_raw(statement("update item set name = 'wheel' where name = 'weir'")).await.unwrap();
    assert_eq!(result.rows_affected(), 1);
    let several = "insert into item (name) values ('a'); insert into item (name) values ('b')";
    db.execute_unprepared(several).await.unwrap();
    let deleted = Item::delete_many().filter(item::Column::Name.is_in(["a", "b"])).exec(db).await.unwrap();
    assert_eq!(deleted.rows_affected, 2);
    let mut model: item::ActiveModel = pond.into();
    model.name = Set("lake".into());
    assert_eq!(model.update(db).await.unwrap().name, "lake");

    until("a replica shows them", async || is_on_replica(db).await).await;
    let where_it_ran = "select name, pg_is_in_recovery() as it from item where id > $1 order by id";
    let read = || Statement::from_sql_and_values(DatabaseBackend::Postgres, where_it_ran, [0.into()]);
    let rows = db.query_all_raw(read()).await.unwrap();
    assert!(rows.len() == 3 && rows.iter().all(|row| row.try_get("", "it").unwrap()));
    let rows: Vec<_> = db.stream_raw(read()).await.unwrap().try_collect().await.unwrap();
    assert!(rows.len() == 3 && rows.iter().all(|row| row.try_get("", "it").unwrap()));
    let models = Item::find().order_by_asc(item::Column::Id).stream(db).await.unwrap();
    let names: Vec<_> = models.map_ok(|model| model.name).try_collect().await.unwrap();
    assert_eq!(names, ["lake", "mill", "wheel"]);
    let mut pages = Item::find().order_by_asc(item::Column::Id).paginate(db, 2).into_stream();
    assert_eq!(pages.try_next().await.unwrap().unwrap().len(), 2);
    assert_eq!(pages.try_next().await.unwrap().unwrap().len(), 1);
    assert!(db.query_one_raw(statement("select 1 where false")).await.unwrap().is_none());
    db.ping().await.unwrap();
}

#[tokio::test]
async fn reads_show_what_was_written_whatever_the_replica_does() {
    let cluster = Cluster::up(1).await;
    let (db, session) = (&cluster.db, cluster.db.session());
    cluster.lab.node("db-1").unwrap().pause_replay().await.unwrap();
    for turn in 1..=20 {
        insert(db, format!("plain {turn}")).await;
        assert_eq!(count(db).await, 2 * turn - 1);
        insert(&session, format!("session {turn}")).await;
        assert_eq!(count(&session).await, 2 * turn);
        assert_eq!(
            Item::find().stream(&session).await.unwrap().try_collect::<Vec<_>>().await.unwrap().len() as u64,
            2 * turn
        );
    }
    // Without that it would be stale.
    assert_eq!((count(&db.any()).await, count(&session.any()).await), (0, 40));
}

#[tokio::test]
async fn transactions_nest_and_what_is_dropped_or_left_open_is_undone() {
    let cluster = Cluster::up(1).await;
    let db = &cluster.db;
    cluster.lab.node("db-1").unwrap().pause_replay().await.unwrap();
    let names = async |db: &DatabaseConnection| -> Vec<String> {
        let all = Item::find().order_by_asc(item::Column::Name).all(db).await.unwrap();
        all.into_iter().map(|model| model.name).collect()
    };

    let outer = db.begin().await.unwrap();
    insert(&outer, "outer").await;
    let kept = outer.begin().await.unwrap();
    insert(&kept, "kept").await;
    let innermost = kept.begin().await.unwrap();
    insert(&innermost, "dropped inside").await;
    drop(innermost);
    assert_eq!(count(&kept).await, 2);
    kept.commit().await.unwrap();
    let taken_back = outer.begin().await.unwrap();
    insert(&taken_back, "taken back").await;
    taken_back.rollback().await.unwrap();
    let dropped = outer.begin().await.unwrap();
    // A statement that fails aborts what it is nested in, and no more.
    insert(&dropped, "dropped").await;
    dropped.execute_unprepared("select 1/0").await.unwrap_err();
    drop(dropped);
    insert(&outer, "behind it").await;
    let left = outer.begin().await.unwrap();
    insert(&left, "left open").await;
    outer.commit().await.unwrap();
    let error = left.execute_unprepared("select 1").await.unwrap_err();
    assert!(error.to_string().contains("the transaction is over"), "{error}");
    left.commit().await.unwrap_err();
    assert_eq!(names(db).await, ["behind it", "kept", "outer"]);

    let dropped = db.begin().await.unwrap();
    let nested = dropped.begin().await.unwrap();
    insert(&nested, "in vain").await;
    drop(dropped);
    nested.execute_unprepared("select 1").await.unwrap_err();
    let rolled_back = db.begin().await.unwrap();
    insert(&rolled_back, "in vain, too").await;
    rolled_back.rollback().await.unwrap();
    // By the names that generic code has for them.
    let generic = db.begin().await.unwrap();
    insert(&generic, "generic").await;
    TransactionSession::commit(generic).await.unwrap();
    let generic = db.begin().await.unwrap();
    insert(&generic, "generic, in vain").await;
    TransactionSession::rollback(generic).await.unwrap();
    assert_eq!(names(db).await, ["behind it", "generic", "kept", "outer"]);
}

#[tokio::test]
async fn a_nested_transaction_may_only_read_and_its_parent_goes_on() {
    let cluster = Cluster::up(0).await;
    let outer = cluster.db.begin().await.unwrap();
    let nested = outer.begin_with_config(None, Some(AccessMode::ReadOnly)).await.unwrap();
    let error = named("pond").insert(&nested).await.unwrap_err();
    assert!(error.to_string().contains("read-only transaction"), "{error}");
    nested.rollback().await.unwrap();
    insert(&outer, "pond").await;
    // Behind a statement there is no other level any more.
    outer.begin_with_config(Some(IsolationLevel::Serializable), None).await.unwrap_err();
    outer.commit().await.unwrap();
    assert_eq!(count(&cluster.db).await, 1);
}

#[tokio::test]
async fn a_nested_commit_that_is_given_up_is_undone_or_fails_the_whole() {
    let cluster = Cluster::up(0).await;
    let db = &cluster.db;
    let (mut undone, mut failed) = (0, 0);
    for polls in 1..30 {
        let outer = db.begin().await.unwrap();
        insert(&outer, format!("outer {polls}")).await;
        let nested = outer.begin().await.unwrap();
        insert(&nested, format!("nested {polls}")).await;
        let is_over = {
            let mut commit = Box::pin(nested.commit());
            let mut is_over = false;
            for _ in 0..polls {
                is_over = futures_util::poll!(commit.as_mut()).is_ready();
                if is_over {
                    break;
                }
                tokio::task::yield_now().await;
            }
            is_over
        };
        if is_over {
            outer.rollback().await.unwrap();
            continue;
        }
        match outer.commit().await {
            Ok(()) => undone += 1,
            Err(_) => failed += 1,
        }
    }
    let kept = Item::find().filter(item::Column::Name.starts_with("nested")).count(db).await.unwrap();
    assert_eq!((kept, count(db).await), (0, undone));
    assert!(undone + failed > 0, "some are given up");
}

#[tokio::test]
async fn a_nested_transaction_whose_parent_was_undone_is_over() {
    let cluster = Cluster::up(0).await;
    let outer = cluster.db.begin().await.unwrap();
    let parent = outer.begin().await.unwrap();
    let child = parent.begin().await.unwrap();
    insert(&child, "child").await;
    drop(parent);
    // What it would run now would be the outer one's.
    child.execute_unprepared("insert into item (name) values ('stray')").await.unwrap_err();
    child.commit().await.unwrap_err();
    outer.commit().await.unwrap();
    assert_eq!(count(&cluster.db).await, 0);
}

#[tokio::test]
async fn one_that_is_dropped_while_another_is_at_work_in_it_is_over() {
    let cluster = Cluster::up(0).await;
    let outer = cluster.db.begin().await.unwrap();
    let nested = outer.begin().await.unwrap();
    let mut rows = nested.stream_raw(statement("select generate_series(1, 3)")).await.unwrap();
    assert!(rows.try_next().await.unwrap().is_some());
    drop(outer);
    drop(rows);
    nested.execute_unprepared("insert into item (name) values ('stray')").await.unwrap_err();
    until("its connection is back", async || cluster.db.status().unwrap().nodes[0].in_flight == 0).await;
    assert_eq!(count(&cluster.db).await, 0);
}

#[tokio::test]
async fn closures_commit_what_gives_a_value_and_roll_back_what_fails() {
    let cluster = Cluster::up(1).await;
    let (db, session) = (&cluster.db, cluster.db.session());
    cluster.lab.node("db-1").unwrap().pause_replay().await.unwrap();
    let id = session
        .transaction::<_, i32, DbErr>(|tx| Box::pin(async move { Ok(named("one").insert(tx).await?.id) }));
    let id = id.await.unwrap();
    assert_eq!(Item::find_by_id(id).one(&session).await.unwrap().unwrap().name, "one");
    let failed = db.transaction::<_, (), DbErr>(|tx| {
        Box::pin(async move {
            named("two").insert(tx).await?;
            tx.transaction::<_, (), DbErr>(|tx| {
                Box::pin(async move { named("three").insert(tx).await.map(drop) })
            })
            .await
            .unwrap();
            Err(DbErr::Custom("no".into()))
        })
    });
    let error = failed.await.unwrap_err();
    assert!(matches!(&error, TransactionError::Transaction(DbErr::Custom(no)) if no == "no"), "{error}");
    let value = db.transaction_async(async |tx| {
        named("four").insert(tx).await?;
        let failed = tx.transaction_async(async |tx| {
            named("five").insert(tx).await?;
            Err::<(), _>(DbErr::Custom("no".into()))
        });
        assert!(failed.await.is_err());
        Ok::<_, DbErr>(4)
    });
    assert_eq!((value.await.unwrap(), count(db).await), (4, 2));
}

#[tokio::test]
async fn a_transaction_that_only_reads_is_on_a_replica() {
    let cluster = Cluster::up(1).await;
    let (db, read_only) = (&cluster.db, Some(AccessMode::ReadOnly));
    let repeatable = Some(IsolationLevel::RepeatableRead);
    let level = async |tx: &DatabaseTransaction| -> String {
        let row = tx.query_one_raw(statement("show transaction_isolation")).await.unwrap().unwrap();
        row.try_get("", "transaction_isolation").unwrap()
    };
    let tx = db.begin_with_config(repeatable, read_only).await.unwrap();
    assert_eq!((is_on_replica(&tx).await, level(&tx).await.as_str()), (true, "repeatable read"));
    let error = named("pond").insert(&tx).await.unwrap_err();
    assert!(error.to_string().contains("read-only transaction"), "{error}");
    tx.rollback().await.unwrap();
    let options = TransactionOptions { access_mode: read_only, ..Default::default() };
    let tx = db.begin_with_options(options).await.unwrap();
    let nested = tx.begin_with_config(None, read_only).await.unwrap();
    assert!(is_on_replica(&nested).await);
    nested.commit().await.unwrap();
    tx.commit().await.unwrap();
    // No replica knows that level.
    let tx = db.begin_with_config(Some(IsolationLevel::Serializable), read_only).await.unwrap();
    assert_eq!((is_on_replica(&tx).await, level(&tx).await.as_str()), (false, "serializable"));
    named("pond").insert(&tx).await.unwrap_err();
    drop(tx);
    let counted = db.transaction_with_config::<_, _, DbErr>(
        |tx| Box::pin(async move { Ok((is_on_replica(tx).await, count(tx).await)) }),
        None,
        read_only,
    );
    assert_eq!(counted.await.unwrap(), (true, 0));
    // It shows what was written, and goes where that is.
    cluster.lab.node("db-1").unwrap().pause_replay().await.unwrap();
    for turn in 1..=10 {
        insert(db, format!("{turn}")).await;
        let tx = db.begin_with_config(repeatable, read_only).await.unwrap();
        assert_eq!(count(&tx).await, turn);
        let counted =
            db.transaction_with_config_async(async |tx| Item::find().count(tx).await, repeatable, read_only);
        assert_eq!(counted.await.unwrap(), turn);
    }
}

/// How a session of one process writes a row.
#[derive(Clone, Copy, Debug)]
enum Way {
    Statement,
    Stream,
    Transaction,
    Nested,
    Closure,
}

async fn write(session: &Session, way: Way, name: String) {
    match way {
        Way::Statement => drop(insert(session, name).await),
        Way::Stream => {
            let sql = format!("insert into item (name) values ('{name}') returning id");
            let rows = session.stream_raw(statement(&sql)).await.unwrap();
            assert_eq!(rows.try_collect::<Vec<_>>().await.unwrap().len(), 1);
        }
        Way::Transaction => {
            let tx = session.begin().await.unwrap();
            insert(&tx, name).await;
            tx.commit().await.unwrap();
        }
        Way::Nested => {
            let tx = session.begin().await.unwrap();
            let nested = tx.begin().await.unwrap();
            insert(&nested, name).await;
            nested.commit().await.unwrap();
            tx.commit().await.unwrap();
        }
        Way::Closure => {
            let inserted = session.transaction_async(async |tx| named(name).insert(tx).await);
            inserted.await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_token_shows_in_another_process_what_was_written_here_in_whichever_way() {
    let cluster = Cluster::up(2).await;
    let (here, there) = (&cluster.db, connect(&cluster.lab, PgPoolOptions::new().route()).await);
    until("a replica serves there, too", async || is_on_replica(&there).await).await;
    let (mut written, mut stale) = (0, 0);
    for _ in 0..50 {
        for way in [Way::Statement, Way::Stream, Way::Transaction, Way::Nested, Way::Closure] {
            let session = here.session();
            write(&session, way, format!("{written}")).await;
            written += 1;
            let token = session.token().unwrap();
            stale += u64::from(count(&there.any()).await < written);
            let reader = there.session();
            reader.see(token).unwrap();
            for counted in [count(&reader).await, count(&session).await, count(here).await] {
                assert_eq!(counted, written, "{way:?}");
            }
        }
    }
    assert!(stale > 0, "without tokens it would have been stale at times");
}

#[tokio::test]
async fn errors_are_sea_orms_own_and_those_of_the_routing_can_be_told_apart() {
    let options = PgPoolOptions::new().max_connections(1).acquire_timeout(Duration::from_millis(200)).route();
    let cluster = Cluster::with(0, options).await;
    let db = &cluster.db;
    insert(db, "pond").await;
    let error = named("pond").insert(db).await.unwrap_err();
    assert!(matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))), "{error}");
    assert!(routing_error(&error).is_none());
    let error = db.execute_unprepared("insert into nowhere values (1)").await.unwrap_err();
    assert!(matches!(error, DbErr::Exec(_)), "{error:?}");
    let error = db.query_one_raw(statement("select * from nowhere")).await.unwrap_err();
    assert!(matches!(error, DbErr::Query(_)), "{error:?}");
    let rows = db.stream_raw(statement("select * from nowhere")).await.unwrap();
    assert!(matches!(rows.try_collect::<Vec<_>>().await.unwrap_err(), DbErr::Query(_)));
    let held = db.begin().await.unwrap();
    for error in [
        Item::find().one(db).await.unwrap_err(),
        named("mill").insert(db).await.unwrap_err(),
        db.begin().await.unwrap_err(),
    ] {
        assert_eq!(routing_error(&error).map(|error| error.kind()), Some(ErrorKind::Acquire), "{error}");
    }
    drop(held);
    db.clone().close().await.unwrap();
    let error = Item::find().one(db).await.unwrap_err();
    assert_eq!(error, DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed));
}

#[tokio::test]
async fn a_call_that_is_dropped_at_any_poll_leaves_nothing_behind() {
    let cluster = Cluster::with(0, PgPoolOptions::new().max_connections(2).route()).await;
    let db = &cluster.db;
    let in_flight = || db.status().unwrap().nodes[0].in_flight;
    for polls in 0..40 {
        for what in 0..4 {
            let mut work = Box::pin(async {
                match what {
                    0 => drop(named(format!("statement {polls}")).insert(db).await),
                    1 => {
                        let many = db.stream_raw(statement("select generate_series(1, 1000)")).await;
                        drop(many.unwrap().try_collect::<Vec<_>>().await);
                    }
                    2 => {
                        let tx = db.begin().await.unwrap();
                        let nested = tx.begin().await.unwrap();
                        let _ = named(format!("nested {polls}")).insert(&nested).await;
                        nested.commit().await.unwrap();
                        drop(tx.begin().await.unwrap());
                        tx.commit().await.unwrap();
                    }
                    _ => {
                        let closure = db.transaction_async(async |tx| {
                            named(format!("closure {polls}")).insert(tx).await?;
                            Err::<(), _>(DbErr::Custom("no".into()))
                        });
                        let _ = closure.await;
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
        // Whoever comes next gets a connection that works.
        insert(db, format!("next {polls}")).await;
    }
    until("all are back", async || in_flight() == 0).await;
    let open = "select count(*) as it from pg_stat_activity where state like 'idle in transaction%'";
    until("none is in a transaction", async || {
        let row = db.latest().query_one_raw(statement(open)).await.unwrap().unwrap();
        row.try_get::<i64>("", "it").unwrap() == 0
    })
    .await;
    let taken_back = Item::find().filter(item::Column::Name.starts_with("closure")).count(db).await.unwrap();
    assert_eq!(taken_back, 0);
}

#[tokio::test]
async fn a_nested_transaction_that_is_dropped_at_any_poll_leaves_its_parent_usable() {
    let cluster = Cluster::up(0).await;
    let db = &cluster.db;
    for polls in 0..30 {
        let outer = db.begin().await.unwrap();
        insert(&outer, format!("outer {polls}")).await;
        {
            // To the middle of its statement, and not of its end: whether that ran nobody knows.
            let mut work = Box::pin(async {
                let nested = outer.begin().await.unwrap();
                let _ = named(format!("nested {polls}")).insert(&nested).await;
                std::future::pending::<()>().await;
            });
            for _ in 0..polls {
                assert!(futures_util::poll!(work.as_mut()).is_pending());
                tokio::task::yield_now().await;
            }
        }
        insert(&outer, format!("behind {polls}")).await;
        outer.commit().await.unwrap();
    }
    let nested = Item::find().filter(item::Column::Name.starts_with("nested")).count(db).await.unwrap();
    assert_eq!((nested, count(db).await), (0, 60));
}

#[tokio::test]
async fn one_that_is_not_told_to_route_records_what_it_would() {
    let cluster = Cluster::with(0, PgPoolOptions::new()).await;
    assert!(!is_on_replica(&cluster.db).await);
    assert_eq!(cluster.db.status().unwrap().mode, Mode::Shadow);
    let report = cluster.db.shadow_report().unwrap().to_string();
    assert!(report.contains("pg_is_in_recovery"), "{report}");
}

#[tokio::test]
async fn one_of_sea_orms_is_used_as_it_is() {
    let pond = item::Model { id: 1, name: "pond".into() };
    let mock = MockDatabase::new(DatabaseBackend::Postgres)
        .append_query_results([[pond.clone()], [pond.clone()]])
        .append_exec_results([MockExecResult { last_insert_id: 0, rows_affected: 1 }]);
    let mock = mock.into_connection();
    let db = DatabaseConnection::from(mock.clone());
    assert!(db.is_mock_connection() && db.status().is_none() && db.session().token().is_none());
    assert_eq!(Item::find().one(&db.session()).await.unwrap(), Some(pond.clone()));
    let tx = db.begin().await.unwrap();
    assert_eq!(Item::find().all(&tx).await.unwrap(), [pond]);
    let nested = tx.begin().await.unwrap();
    assert_eq!(nested.execute_unprepared("delete from item").await.unwrap().rows_affected(), 1);
    nested.commit().await.unwrap();
    tx.commit().await.unwrap();
    drop(db);
    assert_eq!(mock.into_transaction_log().len(), 2);
}

#[tokio::test]
async fn what_is_held_for_too_long_is_told_of_with_the_place_where_it_was_taken() {
    let (told, mut events) = tokio::sync::mpsc::unbounded_channel();
    let options = PgPoolOptions::new().settings(move |builder| {
        let builder = builder.leak_after(Some(Duration::from_millis(100)));
        builder.on_event(move |event| {
            if let Event::Leaked { site, .. } = event {
                told.send((site.file(), site.line())).unwrap();
            }
        })
    });
    let cluster = Cluster::with(0, options).await;
    let (db, session) = (&cluster.db, cluster.db.session());
    let line = line!();
    let plain = db.begin().await.unwrap();
    let of_session = session.begin().await.unwrap();
    let read_only = session.begin_with_config(None, Some(AccessMode::ReadOnly)).await.unwrap();
    let mut sites = Vec::new();
    while sites.len() < 3 {
        let (file, line) = events.recv().await.unwrap();
        assert!(file.ends_with("tests/connection.rs"), "{file}");
        sites.push(line);
    }
    sites.sort_unstable();
    assert_eq!(sites, [line + 1, line + 2, line + 3]);
    drop((plain, of_session, read_only));
}

mod migrations {
    use sea_orm_migration::prelude::*;

    pub(crate) struct Migrator;

    #[async_trait::async_trait]
    impl MigratorTrait for Migrator {
        fn migrations() -> Vec<Box<dyn MigrationTrait>> {
            vec![Box::new(AddView)]
        }
    }

    #[derive(DeriveMigrationName)]
    struct AddView;

    #[async_trait::async_trait]
    impl MigrationTrait for AddView {
        async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
            let view = "create view items as select id, name from item";
            manager.get_connection().execute_unprepared(view).await.map(drop)
        }
    }
}

#[tokio::test]
async fn migrations_run_by_the_writer_which_leads_to_the_primary() {
    use sea_orm_migration::MigratorTrait;

    let cluster = Cluster::up(1).await;
    let db = &cluster.db;
    migrations::Migrator::up(&db.writer(), None).await.unwrap();
    db.defined();
    assert!(migrations::Migrator::get_pending_migrations(&db.writer()).await.unwrap().is_empty());
    insert(db, "pond").await;
    let row = db.query_one_raw(statement("select count(*) as it from items")).await.unwrap().unwrap();
    assert_eq!(row.try_get::<i64>("", "it").unwrap(), 1);
    // A transaction of sea-orm's own is one of the writer's.
    let tx: sea_orm::DatabaseTransaction = db.writer().begin().await.unwrap();
    named("mill").insert(&tx).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(count(&db.latest()).await, 2);
    cluster.lab.primary().kill().await.unwrap();
    cluster.lab.node("db-1").unwrap().promote().await.unwrap();
    let writer = db.writer();
    until("it leads there", async || named("weir").insert(&writer).await.is_ok()).await;
    let tx = db.begin().await.unwrap();
    insert(&tx, "wheel").await;
    tx.commit().await.unwrap();
    assert!(count(db).await >= 2);
}
