//! What is recorded while the mode is Shadow: what would move to replicas, and what keeps the rest.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::time::Duration;

use millpond::postgres::{Builder, Db};
use millpond::{ErrorKind, Mode, Reason, Report, Role, ShadowCounts, ShadowReport, Switches};
use millpond_tests::{Cluster, reads_on_replica, until};

/// Monitors that say nothing new for as long as a test lasts.
const NEVER: Duration = Duration::from_secs(60);

/// A cluster whose replica is known to show everything, in the mode Shadow.
async fn up() -> Cluster {
    let cluster = Cluster::up_with(1, |builder| builder.probe_interval(NEVER).max_lag(NEVER)).await;
    cluster.db.batch_execute("create table other (id int)").await.unwrap();
    cluster.lab.caught_up().await.unwrap();
    // The question goes with the read: what it says is known from then on.
    until("the replica is known", async || reads_on_replica(&cluster.db).await).await;
    cluster.db.set_mode(Mode::Shadow);
    cluster
}

/// What was recorded of a text.
fn counts(report: &ShadowReport, text: &str) -> ShadowCounts {
    let mut found = report.statements().iter().filter(|statement| &*statement.text == text);
    found.next().unwrap_or_else(|| panic!("{text} in {report}")).counts.clone()
}

/// Calls, those that would move, and those of them that read own writes.
fn moves(counts: &ShadowCounts) -> (u64, u64, u64) {
    (counts.calls, counts.moved, counts.own_write_reads)
}

fn kept(counts: &ShadowCounts) -> Vec<(&'static str, u64)> {
    counts.kept().iter().map(|(reason, count)| (reason.as_str(), *count)).collect()
}

async fn read(db: &Db, sql: &str) {
    db.query(sql, &[]).await.unwrap();
}

#[tokio::test]
async fn a_day_in_shadow_says_what_would_move_and_why_the_rest_stays() {
    let cluster = up().await;
    let db = &cluster.db;
    for id in 1..=3 {
        read(db, &format!("SELECT name FROM item WHERE id = {id} -- by hand")).await;
    }
    let session = db.session();
    for id in 1..=2 {
        session.execute("insert into item values ($1, 'secret')", &[&id]).await.unwrap();
        session.query("select * from item where id = $1", &[&id]).await.unwrap();
    }
    // The same text without anything written before, and one of another table behind this process's own writes.
    db.session().query("select * from item where id = $1", &[&1]).await.unwrap();
    read(db, "select * from other").await;
    read(db, "select * from item where id = 1 for update").await;
    let transaction = db.begin().await.unwrap();
    transaction.query("select pg_advisory_xact_lock(1)", &[]).await.unwrap();
    transaction.commit().await.unwrap();
    read(db, "select count(*) from other, pg_sleep(0.5)").await;
    read(&db.latest(), "select * from item where id = 7").await;
    db.query("select 1 / id from (values (0)) as none (id)", &[]).await.unwrap_err();
    db.batch(&[("select 'secret'", &[]), ("select 2", &[])]).await.unwrap();
    let stream = db.query_raw("select 'streamed', 1", &[]).await.unwrap();
    drop(stream);

    let report = db.shadow_report();
    let of = |text| counts(&report, text);
    assert_eq!(moves(&of("select name from item where id = ?")), (3, 3, 0));
    let own = of("select * from item where id = ?");
    assert_eq!((moves(&own), kept(&own)), ((4, 3, 2), vec![("asked_for_primary", 1)]));
    assert_eq!(moves(&of("select * from other")), (1, 1, 0), "what was written is no concern of it");
    let write = of("insert into item values (?, ?)");
    assert_eq!((moves(&write), kept(&write)), ((2, 0, 0), vec![("not_a_read", 2)]));
    assert_eq!(kept(&of("select * from item where id = ? for update")), [("not_a_read", 1)]);
    assert_eq!((moves(&report.connections), kept(&report.connections)), ((1, 0, 0), vec![("not_a_read", 1)]));
    assert_eq!(of("select ? / id from (values (?)) as none (id)").calls, 1, "what fails is load too");
    // Nobody knows what a transaction with a lock wrote: every read behind it has to show that.
    assert_eq!(moves(&of("select ?; select ?")), (1, 1, 1), "a batch is one statement");
    assert_eq!(moves(&of("select ?, ?")), (1, 1, 1));
    assert_eq!(report.statements().len(), 9);
    assert_eq!(moves(&report.total), (15, 11, 6), "{report}");
    assert_eq!(kept(&report.total), [("not_a_read", 3), ("asked_for_primary", 1)]);
    assert_eq!(db.status().shadowed, 11);
    assert!(!report.to_string().contains("secret") && !report.to_string().contains("hand"), "{report}");

    let slow = of("select count(*) from other, pg_sleep(?)");
    assert!(slow.time >= Duration::from_millis(500), "{report}");
    assert!(report.statements().is_sorted_by(|a, b| a.counts.time >= b.counts.time), "{report}");
    assert_eq!(report.total.time, report.statements().iter().map(|statement| statement.counts.time).sum());
    assert!(report.total.moved_time > Duration::ZERO && report.recorded >= report.total.time, "{report}");
}

#[tokio::test]
async fn reads_that_no_replica_could_be_asked_for_stay_and_connections_are_counted_apart() {
    let cluster = up().await;
    let db = &cluster.db;
    db.begin_read_only().await.unwrap().commit().await.unwrap();
    drop(db.get_read().await.unwrap());
    let lease = db.get().await.unwrap();
    lease.execute("insert into item values (1, 'pond')", &[]).await.unwrap();
    drop(lease);
    // How far its write lies nobody has asked.
    read(db, "select * from item").await;
    let report = db.shadow_report();
    assert_eq!(kept(&counts(&report, "select * from item")), [("own_write", 1)]);
    assert_eq!((moves(&report.total), moves(&report.connections)), ((1, 0, 0), (3, 2, 0)));
    assert_eq!(kept(&report.connections), [("not_a_read", 1)]);
}

#[tokio::test]
async fn what_is_given_up_is_recorded_with_the_time_that_it_took() {
    let cluster = up().await;
    let limit = Duration::from_millis(100);
    let error = cluster.db.timeout(limit).query("select pg_sleep(60)", &[]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    let slept = counts(&cluster.db.shadow_report(), "select pg_sleep(?)");
    assert!(slept.calls == 1 && slept.time > limit / 2 && slept.time < NEVER, "{slept:?}");
}

#[tokio::test]
async fn nothing_is_recorded_in_other_modes_and_nothing_is_lost_by_them() {
    let cluster = up().await;
    let db = &cluster.db;
    db.set_mode(Mode::Route);
    db.clear_shadow_report();
    for mode in [Mode::Route, Mode::PrimaryOnly] {
        db.set_mode(mode);
        read(db, "select * from other").await;
        db.execute("insert into other values (1)", &[]).await.unwrap();
        drop(db.get().await.unwrap());
        let report = db.shadow_report();
        assert_eq!((report.recorded, report.statements().len()), (Duration::ZERO, 0));
        assert_eq!((report.total.calls, report.connections.calls), (0, 0));
    }
    db.set_mode(Mode::Shadow);
    read(db, "select * from item").await;
    db.set_mode(Mode::Route);
    read(db, "select * from item").await;
    let report = db.shadow_report();
    assert!(report.recorded > Duration::ZERO && report.total.calls == 1, "{report}");
    db.set_mode(Mode::Shadow);
    read(db, "select * from item").await;
    assert_eq!(db.shadow_report().total.calls, 2, "coming back goes on");
    db.clear_shadow_report();
    assert_eq!(db.shadow_report().total.calls, 0);
    read(db, "select * from item").await;
    assert_eq!(db.shadow_report().total.calls, 1);
}

#[tokio::test]
async fn a_digest_of_the_report_is_one_for_the_switches() {
    let cluster = up().await;
    let db = &cluster.db;
    let texts = ["select id from item where id in (1, 2)", "select E'\\'', id from other"];
    for text in texts {
        read(db, text).await;
    }
    let report = db.shadow_report();
    let first = counts(&report, "select id from item where id in (?)");
    assert_eq!(moves(&first), (1, 1, 0));
    for statement in report.statements() {
        let line = format!("shadow; digest {}", statement.digest);
        db.set_switches(&line.parse::<Switches>().unwrap());
        for text in texts {
            read(db, text).await;
        }
    }
    for statement in db.shadow_report().statements() {
        assert_eq!(moves(&statement.counts), (3, 2, 0), "{}", statement.text);
        assert_eq!(kept(&statement.counts), [("switched_to_primary", 1)], "{}", statement.text);
    }
    assert_eq!(db.status().shadowed, 4, "what a switch keeps is not moved by Route");
    let other = report.statements().iter().find(|statement| statement.text.contains("other")).unwrap();
    db.set_switches(&Switches::mode(Mode::Route).digest(other.digest));
    let said = Report::new();
    read(&db.with_report(&said), texts[1]).await;
    assert_eq!(
        said.last().map(|said| (said.role, said.reason)),
        Some((Role::Primary, Reason::SwitchedToPrimary))
    );
}

#[tokio::test]
async fn a_read_that_a_replica_refused_says_so() {
    let without_catalog = |builder: Builder| builder.catalog(millpond::postgres::CatalogSetting::Off);
    let cluster = Cluster::up_with(1, without_catalog).await;
    let db = &cluster.db;
    db.batch_execute("create sequence s; create view v as select nextval('s') as n").await.unwrap();
    until("the replica has the view", async || reads_on_replica(db).await).await;
    read(db, "select n from v").await;
    assert_eq!(db.status().healed, 1);
    db.set_mode(Mode::Shadow);
    read(db, "select n from v").await;
    assert_eq!(kept(&counts(&db.shadow_report(), "select n from v")), [("refused_before", 1)]);
}
