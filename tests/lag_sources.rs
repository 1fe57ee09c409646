//! Ages that something else than a position tells.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use millpond::postgres::tokio_postgres::Client;
use millpond::postgres::{Age, Db, Heartbeat, LagReading, LagSource};
use millpond::{Event, Lag, Role};
use millpond_lab::Lab;
use millpond_tests::{Events, builder, reads_on_replica, until, with_events};

const TABLE: &str = "create table beat (beat bigint not null, at timestamptz not null);
                     insert into beat values (0, now());
                     create table item (id int)";

async fn up(source: impl LagSource, table: &str) -> (Lab, Db, Events) {
    let lab = Lab::builder().replicas(1).up().await.unwrap();
    for text in table.split(';') {
        lab.primary().ask("postgres", text).await.unwrap();
    }
    lab.caught_up().await.unwrap();
    let events = Events::default();
    let db = builder(&lab, &events).lag_source(source).connect().await.unwrap();
    (lab, db, events)
}

fn lag(db: &Db) -> Lag {
    db.status().nodes[1].lag
}

#[tokio::test]
async fn by_a_heartbeat_a_replica_ages_while_it_is_held_back_and_no_longer() {
    let (lab, db, events) = up(Heartbeat::every("beat", Duration::from_millis(50)), TABLE).await;
    until("the replica serves", async || reads_on_replica(&db).await).await;
    let replica = lab.node("db-1").unwrap();
    replica.pause_replay().await.unwrap();
    // Nothing but the beat is written.
    until("it is too old", async || !reads_on_replica(&db).await).await;
    assert!(lag(&db).time().is_none_or(|lag| lag > Duration::from_secs(1)), "{:?}", lag(&db));
    replica.resume_replay().await.unwrap();
    until("it serves again", async || reads_on_replica(&db).await).await;
    assert!(!events.any(|event| matches!(event, Event::ProbeIncomplete { .. })));
}

#[tokio::test]
async fn by_a_heartbeat_a_delayed_replica_is_as_old_as_its_delay_at_least() {
    let (lab, db, _) = up(Heartbeat::new("beat"), TABLE).await;
    let delay = Duration::from_millis(600);
    lab.node("db-1").unwrap().delay_replay(delay).await.unwrap();
    let within = |most: Duration| async move {
        until("the beats of before are past", async || lag(&db).time().is_some_and(|lag| lag >= delay)).await;
        for _ in 0..100 {
            tokio::task::yield_now().await;
            let lag = lag(&db).time().unwrap();
            assert!(lag >= delay && lag < most, "{lag:?}");
        }
    };
    within(Duration::from_secs(3)).await;
}

#[tokio::test]
async fn a_clock_that_was_set_back_stops_no_heart() {
    let table = TABLE.replace("now()", "now() + '1 hour'");
    let (lab, db, _) = up(Heartbeat::every("beat", Duration::from_millis(50)), &table).await;
    until("the replica serves", async || reads_on_replica(&db).await).await;
    lab.primary().ask("postgres", "update beat set at = now() + '1 hour' returning 1").await.unwrap();
    let asked = std::time::Instant::now();
    until("and still does two ages later", async || {
        assert!(lag(&db).time().is_some(), "{:?}", lag(&db));
        asked.elapsed() > Duration::from_secs(2) && reads_on_replica(&db).await
    })
    .await;
}

#[tokio::test]
async fn without_the_table_no_age_is_known_and_an_event_says_why() {
    let (_lab, db, events) = up(Heartbeat::new("no_such_table"), "create table item (id int)").await;
    let is_told = |event: &Event| matches!(event, Event::ProbeIncomplete { cause, .. } if cause.contains("no_such_table"));
    until("it is told", async || events.any(is_told)).await;
    assert_eq!(lag(&db), Lag::Unknown);
    for _ in 0..50 {
        assert!(!reads_on_replica(&db).await);
    }
    let any: bool = db.any().query_one("select pg_is_in_recovery()", &[]).await.unwrap().get(0);
    assert!(any, "who takes any age is served");
}

#[tokio::test]
async fn who_locks_the_heartbeats_table_stops_no_write() {
    let (lab, db, events) = up(Heartbeat::new("beat"), TABLE).await;
    until("the replica serves", async || reads_on_replica(&db).await).await;
    let locker = Db::connect(&lab.url("postgres")).await.unwrap();
    let lock = locker.begin().await.unwrap();
    lock.execute("update beat set at = at", &[]).await.unwrap();
    let is_told =
        |event: &Event| matches!(event, Event::ProbeIncomplete { cause, .. } if cause.contains("lock"));
    until("it is told", async || events.any(is_told)).await;
    until("its age is not known", async || !reads_on_replica(&db).await).await;
    for _ in 0..50 {
        db.execute("insert into item values (1)", &[]).await.unwrap();
    }
    let waiting = "select count(*)::text from pg_stat_activity where wait_event_type = 'Lock'";
    let waiting: i32 = lab.primary().ask("postgres", waiting).await.unwrap().unwrap().parse().unwrap();
    assert!(waiting <= 1, "{waiting} questions wait");
    assert!(!events.any(|event| matches!(event, Event::NodeDown { .. } | Event::PrimaryLost { .. })));
    lock.rollback().await.unwrap();
    until("the replica serves again", async || reads_on_replica(&db).await).await;
}

/// Says what it is told to say, in milliseconds.
struct Said(Arc<AtomicU64>);

impl LagSource for Said {
    fn ask<'a>(&'a self, _: &'a Client, role: Role) -> LagReading<'a> {
        let age = Duration::from_millis(self.0.load(Ordering::Relaxed));
        Box::pin(async move { Ok(if role == Role::Replica { Age::AtMost(age) } else { Age::ByPosition }) })
    }
}

#[tokio::test]
async fn a_source_of_ones_own_is_believed() {
    let said = Arc::new(AtomicU64::new(0));
    let (_lab, db, _) = up(Said(Arc::clone(&said)), TABLE).await;
    until("the replica serves", async || reads_on_replica(&db).await).await;
    said.store(5000, Ordering::Relaxed);
    until("it is too old", async || !reads_on_replica(&db).await).await;
    said.store(0, Ordering::Relaxed);
    until("it is fresh", async || reads_on_replica(&db).await).await;
}

#[tokio::test]
async fn without_positions_an_age_is_enough_and_what_was_written_is_seen_in_every_process() {
    let lab = Lab::builder().replicas(1).up().await.unwrap();
    let beat = TABLE.replace("item (id int)", "item (id bigint)");
    // A login that may not ask what such servers do not tell.
    let set_up = "create role app login; grant all on beat, item to app;
                  revoke execute on function pg_last_wal_replay_lsn() from public;
                  revoke execute on function pg_current_wal_insert_lsn() from public;
                  revoke execute on function pg_current_wal_lsn() from public";
    for text in beat.split(';').chain(set_up.split(';')) {
        lab.primary().ask("postgres", text).await.unwrap();
    }
    lab.caught_up().await.unwrap();
    let (events, url) = (Events::default(), lab.url_for("app", "", "postgres"));
    let connect = || {
        let source = Heartbeat::every("beat", Duration::from_millis(20)).without_positions();
        with_events(Db::builder(&url).unwrap(), &events).lag_source(source).connect()
    };
    let (db, other) = (connect().await.unwrap(), connect().await.unwrap());
    until("the replica serves", async || reads_on_replica(&db).await).await;
    assert!(matches!(lag(&db), Lag::Known { distance: None, .. }), "{:?}", lag(&db));
    assert!(!reads_on_replica(&db.within_bytes(1 << 30)).await);
    assert!(!events.any(|event| matches!(event, Event::ProbeIncomplete { .. })));
    let count =
        async |db: &Db| db.query_one("select count(*) from item", &[]).await.unwrap().get::<_, i64>(0);
    for id in 1..=20_i64 {
        let session = db.session();
        session.execute("insert into item values ($1)", &[&id]).await.unwrap();
        assert_eq!(count(&session).await, id);
        let elsewhere = other.session();
        elsewhere.see(session.token()).unwrap();
        assert_eq!(count(&elsewhere).await, id);
        until("the replica shows it", async || reads_on_replica(&session).await).await;
    }
    lab.node("db-1").unwrap().pause_replay().await.unwrap();
    until("it is too old", async || !reads_on_replica(&db).await).await;
}
