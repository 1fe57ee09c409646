//! Notifications: wherever the primary is, and with gaps told.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use millpond::postgres::{Db, Heard, Listener};
use millpond::{ErrorKind, Outcome};
use millpond_lab::StopMode;
use millpond_tests::{Cluster, one_connection, until};

/// The payload of the next notification, or nothing for a gap.
async fn next(listener: &mut Listener) -> Option<String> {
    let heard = tokio::time::timeout(std::time::Duration::from_secs(20), listener.recv());
    match heard.await.expect("something is heard").unwrap() {
        Heard::Notification(notification) => Some(notification.payload().to_owned()),
        Heard::Gap { .. } => None,
    }
}

async fn notify(db: &Db, channel: &str, payload: &str) {
    db.execute("select pg_notify($1, $2)", &[&channel, &payload]).await.unwrap();
}

#[tokio::test]
async fn what_is_sent_is_heard_on_the_channels_that_are_listened_to() {
    let cluster = one_connection().await;
    let db = &cluster.db;
    let mut listener = db.listener();
    listener.listen("Jobs").await.unwrap();
    listener.listen("\"odd\"").await.unwrap();
    notify(db, "Jobs", "one").await;
    notify(db, "other", "not heard").await;
    notify(db, "\"odd\"", "two").await;
    assert_eq!(next(&mut listener).await.as_deref(), Some("one"));
    assert_eq!(next(&mut listener).await.as_deref(), Some("two"));
    assert_eq!(listener.channels().collect::<Vec<_>>(), ["\"odd\"", "Jobs"]);
    listener.unlisten("Jobs").await.unwrap();
    notify(db, "Jobs", "not heard").await;
    notify(db, "\"odd\"", "three").await;
    assert_eq!(next(&mut listener).await.as_deref(), Some("three"));
    // The connection is the listener's own.
    drop(listener);
    let sessions = "select count(*)::text from pg_stat_activity where query like 'UNLISTEN%'";
    until("it is gone", async || cluster.ask("db-0", sessions).await == "0").await;
}

#[tokio::test]
async fn a_broken_connection_is_a_gap_and_then_all_goes_on() {
    let cluster = Cluster::up(0).await;
    let db = &cluster.db;
    let mut listener = db.listener();
    listener.listen("jobs").await.unwrap();
    let kill = "select pg_terminate_backend(pid)::text from pg_stat_activity where query like 'LISTEN%'";
    assert_eq!(cluster.ask("db-0", kill).await, "true");
    assert_eq!(next(&mut listener).await, None, "a gap");
    notify(db, "jobs", "after").await;
    assert_eq!(next(&mut listener).await.as_deref(), Some("after"));
}

#[tokio::test]
async fn a_listener_follows_the_primary() {
    let cluster = Cluster::up(1).await;
    let db = &cluster.db;
    let mut listener = db.listener();
    listener.listen("jobs").await.unwrap();
    cluster.lab.primary().stop(StopMode::Immediate).await.unwrap();
    let heard = tokio::spawn(async move {
        let gap = next(&mut listener).await;
        (gap, listener)
    });
    cluster.lab.node("db-1").unwrap().promote().await.unwrap();
    let (gap, mut listener) = heard.await.unwrap();
    assert_eq!(gap, None);
    notify(db, "jobs", "from the new one").await;
    assert_eq!(next(&mut listener).await.as_deref(), Some("from the new one"));
}

#[tokio::test]
async fn who_does_not_read_is_told_of_a_gap_and_holds_up_nobody() {
    let cluster = Cluster::up(0).await;
    let db = &cluster.db;
    let mut listener = db.listener();
    listener.listen("jobs").await.unwrap();
    db.execute("select pg_notify('jobs', n::text) from generate_series(1, 5000) n", &[]).await.unwrap();
    // Heard behind all of them by another one.
    let usage = "select pg_notification_queue_usage()::text";
    until("the server is rid of them", async || cluster.ask("db-0", usage).await == "0").await;
    let mut heard = 0;
    while let Some(payload) = next(&mut listener).await {
        heard += 1;
        assert_eq!(payload, heard.to_string(), "in order, and none twice");
        if heard == 1 {
            // There is room again, and what comes now is behind the gap, be the inbox never empty.
            notify(db, "jobs", "after").await;
        }
    }
    assert!((1..5000).contains(&heard), "{heard}");
    assert_eq!(next(&mut listener).await.as_deref(), Some("after"));
}

#[tokio::test]
async fn a_closed_handle_ends_its_listeners_and_monitors() {
    let cluster = Cluster::up(1).await;
    let mut listener = cluster.db.listener();
    listener.listen("jobs").await.unwrap();
    let waits = tokio::spawn(async move { listener.recv().await });
    assert!(cluster.db.close(std::time::Duration::from_secs(5)).await);
    assert_eq!(waits.await.unwrap().unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(cluster.db.listener().listen("jobs").await.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(cluster.db.query("select 1", &[]).await.unwrap_err().kind(), ErrorKind::Closed);
    for node in ["db-0", "db-1"] {
        let sessions = "select count(*)::text from pg_stat_activity where application_name = 'millpond'";
        until("no connection is left", async || cluster.ask(node, sessions).await == "0").await;
    }
}

#[tokio::test]
async fn without_a_primary_to_listen_is_an_error_and_to_wait_is_not() {
    let cluster =
        Cluster::up_with(0, |builder| builder.acquire_timeout(std::time::Duration::from_millis(300))).await;
    cluster.lab.primary().stop(StopMode::Immediate).await.unwrap();
    let mut listener = cluster.db.listener();
    let error = listener.listen("jobs").await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotSent, "{error}");
    assert_eq!(listener.channels().count(), 0);
    cluster.lab.primary().start().await.unwrap();
    until("it listens", async || listener.listen("jobs").await.is_ok()).await;
    let refused = Db::for_test(cluster.db.begin().await.unwrap()).unwrap().listener().listen("jobs").await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::SessionStatement);
}
