//! How a cluster stands, as one value that is serialised: what a service logs, or shows to whatever scrapes it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::time::Duration;

use futures_util::join;
use millpond::postgres::Db;
use millpond::{Error, Event, Health, Lag, Mode, Reason};
use millpond_lab::Lab;
use millpond_tests::{Cluster, until};
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};

fn json(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).unwrap()
}

/// Takes out what is another number each time. It has to be one, and not negative.
fn number(value: &mut Value, path: &str) -> f64 {
    let found = value.pointer_mut(path).unwrap_or_else(|| panic!("{path}")).take();
    found.as_f64().filter(|number| *number >= 0.0).unwrap_or_else(|| panic!("{path}: {found}"))
}

#[tokio::test]
async fn what_is_held_for_too_long_is_told_of_with_the_place_where_it_was_taken() {
    let lab = Lab::builder().replicas(0).up().await.unwrap();
    let (told, mut events) = mpsc::unbounded_channel();
    let builder = Db::builder(&lab.url("postgres")).unwrap().leak_after(Some(Duration::from_millis(100)));
    let builder = builder.on_event(move |event| {
        if let Event::Leaked { site, held } = event {
            assert!(site.file().ends_with("status.rs") && *held >= Duration::from_millis(100), "{event}");
            told.send(site.line()).unwrap();
        }
    });
    let db = builder.connect().await.unwrap();
    let line = line!();
    let lease = db.get().await.unwrap();
    let reading = db.get_read().await.unwrap();
    let begun = db.begin().await.unwrap();
    let reading_only = db.begin_read_only().await.unwrap();
    let is_over = Notify::new();
    let held = db.build_transaction().run(async |_| {
        is_over.notified().await;
        Ok::<_, Error>(())
    });
    let sites = async {
        let mut sites = Vec::new();
        while sites.len() < 5 {
            sites.push(events.recv().await.unwrap() - line);
        }
        is_over.notify_one();
        sites.sort_unstable();
        sites
    };
    let (held, sites) = join!(held, sites);
    held.unwrap();
    assert_eq!(sites, [1, 2, 3, 4, 6]);
    drop((lease, reading, begun, reading_only));
    assert!(events.try_recv().is_err(), "once of each");
}

#[tokio::test]
async fn a_status_is_one_plain_value() {
    let cluster = Cluster::up_with(1, |builder| builder.max_size(3)).await;
    let db = &cluster.db;
    db.nodes().add("127.0.0.1:1").unwrap();
    db.execute("insert into item values (1, 'pond')", &[]).await.unwrap();
    let is_found_down = || db.status().nodes[2].health == Health::Down;
    until("what does not answer is found down", async || is_found_down()).await;
    let is_known = || matches!(db.status().nodes[1].lag, Lag::Known { distance: Some(0), .. });
    until("the replica has all", async || is_known()).await;
    let status = db.status();
    let mut told = json(&status);
    for (node, of) in status.nodes.iter().enumerate().take(2) {
        assert!(of.latencies.count() > 0);
        for quantile in ["p50_ms", "p90_ms", "p99_ms", "p999_ms"] {
            assert!(number(&mut told, &format!("/nodes/{node}/latencies/{quantile}")) > 0.0);
        }
    }
    let lag = number(&mut told, "/nodes/1/lag/time_ms");
    let observed_ago = number(&mut told, "/nodes/1/lag/observed_ago_ms");
    let uncertainty = number(&mut told, "/nodes/1/lag/uncertainty_ms");
    assert!(observed_ago + uncertainty <= lag + 1e-6, "{observed_ago} and {uncertainty} of {lag}");
    assert!((lag - status.nodes[1].lag.time().unwrap().as_secs_f64() * 1e3).abs() < 1e-6, "{lag}");
    // While the replica was not known to be fresh, say.
    assert!(told["reads_on_primary"].take().is_object());
    let failures = number(&mut told, "/nodes/2/connect_failures");
    assert!(failures.fract() == 0.0);
    let node = |node: usize, role: &str, lag: Value| {
        let of = &status.nodes[node];
        json!({
            "name": &*of.name, "found_as": null, "zone": null, "weight": 1.0, "is_drained": false, "role": role, "health": "up", "lag": lag,
            "last_failure": null, "refusal": null, "timeline": 1,
            "is_slow": false, "is_lagging": false, "is_saturated": false,
            "in_flight": 0, "connections": of.connections, "idle": of.idle, "connect_failures": 0, "waiting": 0, "reads": of.reads,
            "primary_statements": of.primary_statements,
            "latencies": {"count": of.latencies.count(), "p50_ms": null, "p90_ms": null, "p99_ms": null, "p999_ms": null},
        })
    };
    let silent = json!({
        "name": "127.0.0.1:1", "found_as": null, "zone": null, "weight": 1.0, "is_drained": false, "role": null, "health": "down", "lag": null,
        "last_failure": &*status.nodes[2].last_failure.clone().unwrap(), "refusal": null, "timeline": null,
        "is_slow": false, "is_lagging": false, "is_saturated": false,
        "in_flight": 0, "connections": 0, "idle": 0, "connect_failures": null, "waiting": 0, "reads": 0, "primary_statements": 0,
        "latencies": {"count": 0, "p50_ms": null, "p90_ms": null, "p99_ms": null, "p999_ms": null},
    });
    let replica = node(
        1,
        "replica",
        json!({"time_ms": null, "distance": 0, "observed_ago_ms": null, "uncertainty_ms": null}),
    );
    let expected = json!({
        "mode": "route", "switches": "route", "epoch": 1, "primary": &*status.nodes[0].name, "timeline": 1,
        "healed": 0, "retried": 0, "over_budget": 0, "shadowed": 0, "failed": {}, "reads_on_primary": null, "no_reads": null, "waiting": 0,
        "nodes": [node(0, "primary", json!({"time_ms": 0.0, "distance": 0, "observed_ago_ms": 0.0, "uncertainty_ms": 0.0})), replica, silent],
    });
    assert_eq!(told, expected);
    db.set_mode(Mode::PrimaryOnly);
    assert_eq!(json(&db.status())["mode"], "primary-only");
    assert_eq!(json(&db.status())["switches"], "primary-only");
    for _ in 0..3 {
        db.query("select 1", &[]).await.unwrap();
    }
    db.latest().query("select 1", &[]).await.unwrap();
    let status = db.status();
    for (reason, count) in [(Reason::PrimaryOnlyMode, 3), (Reason::AskedForPrimary, 1)] {
        assert!(status.reads_on_primary.contains(&(reason, count)), "{status}");
        assert_eq!(json(&status)["reads_on_primary"][reason.as_str()], count);
        assert!(status.to_string().contains(&format!("{count} {}", reason.as_str())), "{status}");
    }
    db.query("select nothing", &[]).await.unwrap_err();
    assert_eq!(json(&db.status())["failed"], json!({"rejected": 1}));
    assert!(db.status().to_string().contains("failed calls: 1 rejected"), "{}", db.status());
}

#[tokio::test]
async fn a_shadow_report_is_one_plain_value() {
    let cluster = Cluster::up_with(0, |builder| builder.probe_interval(Duration::from_secs(60))).await;
    let db = &cluster.db;
    assert_eq!(json(&db.shadow_report())["statements"], json!([]));
    db.set_mode(Mode::Shadow);
    db.execute("insert into item values (1, 'secret')", &[]).await.unwrap();
    drop(db.get().await.unwrap());
    let mut told = json(&db.shadow_report());
    assert!(number(&mut told, "/recorded_ms") >= number(&mut told, "/total/time_ms"));
    assert!(
        number(&mut told, "/statements/0/time_ms") > 0.0 && number(&mut told, "/connections/time_ms") > 0.0
    );
    let counts = |calls: u64, time: Value, kept: Value| {
        json!({
            "calls": calls, "time_ms": time, "moved": 0, "moved_time_ms": 0.0, "own_write_reads": 0, "kept": kept,
        })
    };
    let once = counts(1, Value::Null, json!({"not_a_read": 1}));
    let mut statement = once.clone();
    statement["text"] = "insert into item values (?, ?)".into();
    statement["digest"] = db.analyze("insert into item values ($1, $2)").digest().to_string().into();
    let expected = json!({
        "recorded_ms": null, "total": once, "statements": [statement],
        "remainder": counts(0, json!(0.0), json!({})), "connections": once,
    });
    assert_eq!(told, expected);
}
