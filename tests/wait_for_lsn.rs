//! Own writes read from replicas of PostgreSQL 19, which wait for them themselves.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::TryStreamExt;
use millpond::postgres::{Builder, Db, GenericClient, Session};
use millpond::{ErrorKind, Outcome, Reason, Report, Role};
use millpond_lab::{Lab, Node};
use millpond_tests::{Cluster, until};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Monitors that say nothing new for as long as a test lasts.
const NEVER: Duration = Duration::from_secs(60);
/// Longer than any wait here takes.
const LONG: Duration = Duration::from_secs(20);
/// Shorter than any wait that is in vain could be for another reason.
const SHORT: Duration = Duration::from_millis(300);

const PLACE: &str = "select pg_is_in_recovery() from item where id = $1";

/// The server programs: named, or where `cargo xtask test` puts them.
fn programs() -> PathBuf {
    let named = std::env::var_os("MILLPOND_PG19_BIN").map(PathBuf::from);
    let fetched = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../xtask/postgres19/bin");
    named.or_else(|| fetched.canonicalize().ok()).expect(
        "`cargo xtask test` fetches PostgreSQL 19, or MILLPOND_PG19_BIN names the folder of its programs",
    )
}

/// A cluster whose replicas are known as of the start, and old answers are fresh enough.
async fn up(replicas: usize) -> Cluster {
    up_with(replicas, |builder| builder).await
}

async fn up_with(replicas: usize, settings: impl FnOnce(Builder) -> Builder) -> Cluster {
    let lab = Lab::builder().replicas(replicas).binaries(programs()).up().await.unwrap();
    Cluster::of(lab, |builder| settings(builder.probe_interval(NEVER).max_lag(NEVER))).await
}

/// Whether it ran on a replica.
async fn place<C: GenericClient>(client: &C, id: i32) -> bool {
    client.query_one_scalar(PLACE, &[&id]).await.unwrap()
}

async fn write(db: &Db, id: i32) {
    db.execute("insert into item values ($1, 'pond')", &[&id]).await.unwrap();
}

/// A session that wrote what a paused replica does not show.
async fn write_behind(cluster: &Cluster, id: i32) -> Session {
    cluster.lab.node("db-1").unwrap().pause_replay().await.unwrap();
    let session = cluster.db.session();
    write(&session, id).await;
    session
}

/// How many connections of a node wait for a write.
async fn waiting(cluster: &Cluster, node: &str) -> usize {
    let sql =
        "select count(*)::text from pg_stat_activity where state = 'active' and query like 'WAIT FOR LSN%'";
    cluster.ask(node, sql).await.parse().unwrap()
}

async fn until_waiting(cluster: &Cluster, node: &str, count: usize) {
    until("so many wait", async || waiting(cluster, node).await == count).await;
}

fn replica(cluster: &Cluster) -> &Node {
    cluster.lab.node("db-1").unwrap()
}

#[tokio::test]
async fn a_read_with_patience_is_served_by_the_replica_in_one_flight_as_soon_as_that_has_the_write() {
    let cluster = up(1).await;
    let session = write_behind(&cluster, 1).await;
    // Asked in vain so often that it is left alone for long.
    let (mut reads, mut asked) = (0, Instant::now());
    until("it is left alone for a quarter of a second", async || {
        assert!(!place(&session, 1).await);
        let count = cluster.db.status().nodes[1].reads;
        let is_asked = count > std::mem::replace(&mut reads, count);
        let pause =
            if is_asked { std::mem::replace(&mut asked, Instant::now()).elapsed() } else { Duration::ZERO };
        pause >= Duration::from_millis(240)
    })
    .await;
    let report = Report::new();
    let patient = session.wait_for_replica(LONG).with_report(&report);
    let before = cluster.db.status();
    let (is_on_replica, ()) = tokio::join!(place(&patient, 1), async {
        until_waiting(&cluster, "db-1", 1).await;
        replica(&cluster).resume_replay().await.unwrap();
    });
    assert!(is_on_replica);
    let served = report.last().unwrap();
    assert_eq!((served.reason, served.tries), (Reason::ProvingReplica, 1));
    assert!(served.waited < Duration::from_millis(150), "it is asked all the same: {served}");
    let after = cluster.db.status();
    assert_eq!(after.nodes[1].reads, before.nodes[1].reads + 1, "one flight");
    assert_eq!(after.nodes[0].primary_statements, before.nodes[0].primary_statements);
}

#[tokio::test]
async fn every_way_to_read_has_the_replica_wait() {
    let cluster = up(1).await;
    for way in 0..7 {
        let patient = write_behind(&cluster, way).await.wait_for_replica(LONG);
        let read = async {
            match way {
                0 => place(&patient.with_settings([("app.tenant", "1")]).unwrap(), way).await,
                1 => {
                    let answers = patient.batch(&[(PLACE, &[&way]), (PLACE, &[&way])]).await.unwrap();
                    answers.into_iter().all(|answer| answer.unwrap()[0].get::<_, bool>(0))
                }
                2 => {
                    let rows: Vec<_> =
                        patient.query_raw(PLACE, &[&way]).await.unwrap().try_collect().await.unwrap();
                    rows[0].get(0)
                }
                3 => {
                    let transaction = patient.begin_read_only().await.unwrap();
                    let is_on_replica = place(&transaction, way).await;
                    transaction.commit().await.unwrap();
                    is_on_replica
                }
                4 => {
                    let copy = format!("copy ({}) to stdout", PLACE.replace("$1", &way.to_string()));
                    let rows: Vec<_> = patient.copy_out(&copy).await.unwrap().try_collect().await.unwrap();
                    rows == ["t\n"]
                }
                5 => place(&patient.get_read().await.unwrap(), way).await,
                _ => place(&patient, way).await,
            }
        };
        let (is_on_replica, ()) = tokio::join!(read, async {
            until_waiting(&cluster, "db-1", 1).await;
            replica(&cluster).resume_replay().await.unwrap();
        });
        assert!(is_on_replica, "{way}");
    }
}

#[tokio::test]
async fn without_patience_nobody_waits() {
    let cluster = up(1).await;
    let session = write_behind(&cluster, 1).await;
    let begun = Instant::now();
    for _ in 0..20 {
        assert!(!place(&session, 1).await);
        assert_eq!(waiting(&cluster, "db-1").await, 0);
    }
    assert!(begun.elapsed() < LONG);
}

#[tokio::test]
async fn a_wait_in_vain_ends_with_the_budget() {
    let cluster = up(1).await;
    let session = write_behind(&cluster, 1).await;
    let report = Report::new();
    let patient = session.wait_for_replica(SHORT).with_report(&report);
    let begun = Instant::now();
    assert!(!place(&patient, 1).await, "on the primary");
    let took = begun.elapsed();
    assert!(took >= SHORT && took < 4 * SHORT, "{took:?}");
    let served = report.last().unwrap();
    assert_eq!((served.role, served.reason), (Role::Primary, Reason::OwnWrite));
    // It waits once. What is left then is too short for it.
    assert!((2..10).contains(&served.tries), "{served}");

    let begun = Instant::now();
    let error = patient.replicas_only().query(PLACE, &[&1]).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::NoReplica, Outcome::NotSent), "{error}");
    let took = begun.elapsed();
    assert!(took >= SHORT && took < 4 * SHORT, "{took:?}");

    // The limit of a call stands over it.
    let limited = session.wait_for_replica(LONG).timeout(SHORT);
    let begun = Instant::now();
    let ended = limited.query(PLACE, &[&1]).await;
    assert!(begun.elapsed() < 4 * SHORT, "{ended:?}");
    until("nothing waits any more", async || waiting(&cluster, "db-1").await == 0).await;
    // What waited is whole.
    assert_eq!(cluster.db.any().query("select from item", &[]).await.unwrap().len(), 0);
}

#[tokio::test]
async fn a_replica_that_stands_still_takes_no_more_than_the_budget() {
    let cluster = up(1).await;
    let patient = write_behind(&cluster, 1).await.wait_for_replica(SHORT);
    replica(&cluster).freeze().await.unwrap();
    let begun = Instant::now();
    assert!(!place(&patient, 1).await);
    assert!(begun.elapsed() < 4 * SHORT, "{:?}", begun.elapsed());
    replica(&cluster).thaw().await.unwrap();
}

#[tokio::test]
async fn a_read_goes_on_to_another_replica_when_the_one_that_waits_dies() {
    let cluster = up(2).await;
    for node in ["db-1", "db-2"] {
        cluster.lab.node(node).unwrap().pause_replay().await.unwrap();
    }
    let session = cluster.db.session();
    write(&session, 1).await;
    let patient = session.wait_for_replica(Duration::from_secs(8));
    let sought = async {
        let mut looks = ["db-1", "db-2"].into_iter().cycle();
        let mut one = "";
        until("one waits", async || {
            one = looks.next().unwrap();
            waiting(&cluster, one).await == 1
        })
        .await;
        let other = if one == "db-1" { "db-2" } else { "db-1" };
        cluster.lab.node(one).unwrap().kill().await.unwrap();
        until_waiting(&cluster, other, 1).await;
        cluster.lab.node(other).unwrap().resume_replay().await.unwrap();
    };
    let (is_on_replica, ()) = tokio::join!(place(&patient, 1), sought);
    assert!(is_on_replica);
}

#[tokio::test]
async fn of_two_replicas_the_one_that_is_stuck_gets_a_share_of_the_budget() {
    let cluster = up(2).await;
    let patient = cluster.db.wait_for_replica(4 * SHORT);
    // The first choice.
    let stuck = cluster.db.status().nodes[1].name.to_string();
    cluster.db.nodes().set_weight(&stuck, 1e6).unwrap();
    for id in 0..3 {
        // One shows the write and one does not, and which is which nobody knows.
        write_behind(&cluster, id).await;
        cluster.lab.node("db-2").unwrap().wait_for_replay().await.unwrap();
        let begun = Instant::now();
        assert!(place(&patient, id).await, "the other one serves it");
        assert!(begun.elapsed() < 3 * SHORT, "{:?}", begun.elapsed());
    }
    // Once that is known to show the write, nobody waits for the one that does not.
    let begun = Instant::now();
    while begun.elapsed() < SHORT {
        let sent = Instant::now();
        assert!(place(&patient, 0).await);
        assert!(sent.elapsed() < SHORT * 2 / 3, "{:?}", sent.elapsed());
    }
}

#[tokio::test]
async fn a_server_that_gives_the_wait_up_is_not_asked_again_and_again() {
    let lab = Lab::builder().replicas(1).binaries(programs());
    let lab = lab.node_setting("db-1", "statement_timeout", "100ms").setting("log_statement", "all");
    let cluster =
        Cluster::of(lab.up().await.unwrap(), |builder| builder.probe_interval(NEVER).max_lag(NEVER));
    let cluster = cluster.await;
    let patient = write_behind(&cluster, 1).await.wait_for_replica(4 * SHORT);
    let begun = Instant::now();
    assert!(!place(&patient, 1).await);
    assert!(begun.elapsed() >= 4 * SHORT, "it looks again as it does elsewhere");
    let log = std::fs::read_to_string(replica(&cluster).log_file()).unwrap();
    assert_eq!(log.matches("LOG:  statement: WAIT FOR LSN").count(), 1, "{log}");
}

#[tokio::test]
async fn a_replica_that_is_promoted_meanwhile_does_not_serve_what_it_never_had() {
    let cluster = up(1).await;
    let node = replica(&cluster);
    // It gets nothing from here on.
    node.replication().stall();
    cluster.lab.primary().replication().stall();
    let session = cluster.db.session();
    write(&session, 1).await;
    let patient = session.wait_for_replica(4 * SHORT).replicas_only();
    let (answer, ()) = tokio::join!(patient.query(PLACE, &[&1]), async {
        until_waiting(&cluster, "db-1", 1).await;
        cluster.lab.primary().kill().await.unwrap();
        node.promote().await.unwrap();
        until_waiting(&cluster, "db-1", 0).await;
    });
    let error = answer.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotSent, "{error}");
}

#[tokio::test]
async fn a_read_that_is_dropped_leaves_nothing_waiting() {
    let cluster = up_with(1, |builder| builder.max_size(2)).await;
    let session = write_behind(&cluster, 1).await;
    for _ in 0..3 {
        let patient = session.wait_for_replica(LONG);
        let read = tokio::spawn(async move { place(&patient, 1).await });
        until_waiting(&cluster, "db-1", 1).await;
        read.abort();
        read.await.unwrap_err();
        until_waiting(&cluster, "db-1", 0).await;
    }
    // Nobody else gets an answer that was meant for those.
    for id in 0..10 {
        let rows = cluster.db.any().query_one_scalar::<i32>("select $1::int", &[&id]).await.unwrap();
        assert_eq!(rows, id);
    }
    replica(&cluster).resume_replay().await.unwrap();
    assert!(place(&session.wait_for_replica(LONG), 1).await);
}

#[tokio::test]
async fn reads_that_wait_leave_half_of_the_connections_to_others() {
    let cluster = up_with(1, |builder| builder.max_size(4)).await;
    let session = write_behind(&cluster, 1).await;
    let patient = session.wait_for_replica(LONG);
    let mut readers = JoinSet::new();
    for _ in 0..12 {
        let patient = patient.clone();
        readers.spawn(async move { place(&patient, 1).await });
    }
    let (are_on_replica, ()) = tokio::join!(readers.join_all(), async {
        until_waiting(&cluster, "db-1", 2).await;
        for id in 0..20 {
            let got = cluster.db.any().query_one_scalar::<i32>("select $1::int", &[&id]).await.unwrap();
            assert_eq!(got, id);
            assert_eq!(waiting(&cluster, "db-1").await, 2);
        }
        replica(&cluster).resume_replay().await.unwrap();
    });
    assert!(are_on_replica.into_iter().all(|is_on_replica| is_on_replica));
}

/// Reads of a handle with some patience, each behind a write, while replicas pause and go on.
async fn read_behind_writes(db: Db, reader: i32, seed: u64) -> HashMap<&'static str, usize> {
    let mut random = fastrand::Rng::with_seed(seed);
    let session = db.session();
    let mut served = HashMap::new();
    for version in 0..250 {
        let sql = "insert into item values ($1, $2) on conflict (id) do update set name = excluded.name";
        session.execute(sql, &[&reader, &version.to_string()]).await.unwrap();
        let patience = *random.choice(&[0, 2, 20, 200]).unwrap();
        let patience = Duration::from_millis(patience);
        let read = "select name, pg_is_in_recovery() from item where id = $1";
        let row = match random.u8(..3) {
            0 => session.wait_for_replica(patience).query_one(read, &[&reader]).await,
            1 => db.wait_for_replica(patience).query_one(read, &[&reader]).await,
            _ => {
                let told = db.session();
                told.see(session.token()).unwrap();
                told.wait_for_replica(patience).query_one(read, &[&reader]).await
            }
        };
        let row = row.unwrap();
        let seen: &str = row.get(0);
        assert_eq!(seen, version.to_string(), "reader {reader} with seed {seed}");
        *served.entry(if row.get(1) { "replica" } else { "primary" }).or_default() += 1;
    }
    served
}

#[tokio::test]
async fn a_thousand_reads_behind_writes_show_them_while_replicas_pause_and_go_on() {
    let cluster = up(2).await;
    let seed = fastrand::u64(..1 << 40);
    println!("seed {seed}");
    let mut readers = JoinSet::new();
    for (reader, seed) in (0..4).zip(seed..) {
        readers.spawn(read_behind_writes(cluster.db.clone(), reader, seed));
    }
    let mut readers = std::pin::pin!(readers.join_all());
    let served = loop {
        let pauses = async {
            for node in ["db-1", "db-2"] {
                let node = cluster.lab.node(node).unwrap();
                node.pause_replay().await.unwrap();
                let reads = cluster.db.status().nodes[0].primary_statements;
                until("some went on", async || cluster.db.status().nodes[0].primary_statements > reads + 10)
                    .await;
                node.resume_replay().await.unwrap();
            }
        };
        tokio::select! {
            served = &mut readers => break served,
            () = pauses => {}
        }
    };
    let on = |place| served.iter().map(|one| one.get(place).copied().unwrap_or(0)).sum::<usize>();
    assert_eq!(on("replica") + on("primary"), 1000);
    assert!(on("replica") > 100, "{served:?}");
}
