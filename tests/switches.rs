//! What an operator sends to the primary while everything runs.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::time::{Duration, Instant};

use millpond::postgres::Db;
use millpond::{Event, Mode, Reason, Report, Role, Switches};
use millpond_lab::Lab;
use millpond_tests::{Cluster, Events, Readers, builder, until};

/// Where, and why, a text runs.
async fn served(db: &Db, sql: &str) -> (Role, Reason) {
    let report = Report::new();
    db.with_report(&report).query(sql, &[]).await.unwrap();
    let served = report.last().unwrap();
    (served.role, served.reason)
}

const SENT: (Role, Reason) = (Role::Primary, Reason::SwitchedToPrimary);
const READ: (Role, Reason) = (Role::Replica, Reason::FreshReplica);

#[tokio::test]
async fn statements_and_tables_are_sent_to_the_primary() {
    let cluster = Cluster::up(1).await;
    let db = &cluster.db;
    let definitions = "create table other (id int); create schema shop; create table shop.cart (id int);
        create view hidden as select * from shop.cart";
    db.batch_execute(definitions).await.unwrap();
    cluster.lab.caught_up().await.unwrap();
    let texts =
        ["select id from item", "select id from other", "select id from shop.cart", "select * from hidden"];
    for text in texts {
        until("it is known", async || served(db, text).await == READ).await;
    }

    db.set_switches(&Switches::mode(Mode::Route).table(Some("shop"), "cart"));
    assert_eq!(served(db, texts[0]).await, READ);
    assert_eq!(served(db, texts[2]).await, SENT);
    assert_eq!(served(db, "select 1 from \"shop\".CART").await, SENT);
    assert_eq!(served(db, texts[3]).await, SENT, "what the view reads");
    assert_eq!(db.explain(texts[2]).role(), Some(Role::Primary));
    assert_eq!(db.switches().to_string(), "route; table shop.cart");

    let digest = db.analyze(texts[1]).digest();
    db.set_switches(&Switches::mode(Mode::Route).digest(digest));
    assert_eq!(served(db, "SELECT id /* again */ FROM other").await, SENT);
    assert_eq!(served(db, texts[2]).await, READ);
    db.set_mode(Mode::PrimaryOnly);
    assert_eq!(served(db, texts[2]).await.0, Role::Primary);
    assert_eq!(db.switches(), Switches::mode(Mode::PrimaryOnly).digest(digest));
    db.set_switches(&Switches::default());
    assert_eq!(served(db, texts[1]).await, READ);
    let told = cluster.events.count(|event| matches!(event, Event::SwitchesChanged { .. }));
    assert_eq!(told, 3, "each change once");
}

#[tokio::test]
async fn a_watched_file_switches_within_a_second_under_load_and_without_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("switches");
    let cluster = Cluster::up_with(1, |builder| builder.switches_file(&file)).await;
    let db = &cluster.db;
    let readers = Readers::start(db, 8);
    readers.more(100).await;
    let on_replica = || db.status().nodes[1].reads;
    for _ in 0..3 {
        std::fs::write(&file, "primary-only").unwrap();
        let begun = Instant::now();
        until("the mode is switched", async || db.switches().mode == Mode::PrimaryOnly).await;
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
        // Those that had been decided are on their way.
        readers.more(20).await;
        let before = on_replica();
        readers.more(200).await;
        assert_eq!(on_replica(), before);
        std::fs::write(&file, "table item # for a while").unwrap();
        until("the table is switched", async || served(db, "select 1 from item").await == SENT).await;
        std::fs::remove_file(&file).unwrap();
        until("nothing is switched", async || served(db, "select 1 from item").await == READ).await;
    }
    // The mode is somebody else's where the file says none.
    db.set_mode(Mode::PrimaryOnly);
    std::fs::write(&file, "table item").unwrap();
    let both = Switches::mode(Mode::PrimaryOnly).table(None, "item");
    until("the table is switched", async || db.switches() == both).await;
    std::fs::write(&file, "shadow").unwrap();
    until("the file says a mode", async || db.switches() == Switches::mode(Mode::Shadow)).await;
    std::fs::write(&file, "").unwrap();
    until("it is taken back", async || db.switches() == Switches::mode(Mode::PrimaryOnly)).await;
    db.set_mode(Mode::Route);
    std::fs::write(&file, "primary-onyl").unwrap();
    let is_told = |event: &Event| matches!(event, Event::SwitchesUnreadable { cause } if cause.contains("primary-onyl"));
    until("it is told", async || cluster.events.any(is_told)).await;
    assert_eq!(db.switches(), Switches::default());
    std::fs::write(&file, "route").unwrap();
    let is_over = |event: &Event| matches!(event, Event::Over { what: "switches_unreadable", node: None });
    until("it is over", async || cluster.events.any(is_over)).await;
    assert_eq!(readers.stop().await, Vec::<String>::new());
}

#[tokio::test]
async fn what_a_file_says_is_in_force_when_the_handle_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("switches");
    std::fs::write(&file, "primary-only; table item").unwrap();
    let lab = Lab::builder().replicas(0).up().await.unwrap();
    let of_file = Switches::mode(Mode::PrimaryOnly).table(None, "item");
    let watching = || builder(&lab, &Events::default()).mode(Mode::Shadow).switches_file(&file);
    assert_eq!(watching().connect().await.unwrap().switches(), of_file);
    let db = watching().connect_lazy().unwrap();
    assert_eq!(db.switches(), of_file);
    std::fs::remove_file(&file).unwrap();
    until("the start's mode is back", async || db.switches() == Switches::mode(Mode::Shadow)).await;
    // One that is not there undoes nothing.
    let item = Switches::mode(Mode::Shadow).table(None, "item");
    assert_eq!(watching().switches(item.clone()).connect().await.unwrap().switches(), item);
}

#[tokio::test]
async fn a_file_takes_back_what_it_said_and_nothing_that_was_set_since() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("switches");
    let lab = Lab::builder().replicas(0).up().await.unwrap();
    let own = Switches::mode(Mode::Shadow).table(None, "cart");
    let settings = builder(&lab, &Events::default()).switches(own.clone()).switches_file(&file);
    let db = settings.connect().await.unwrap();
    std::fs::write(&file, "primary-only; table item").unwrap();
    let of_file = Switches::mode(Mode::PrimaryOnly).table(None, "item");
    until("it is read", async || db.switches() == of_file).await;
    std::fs::remove_file(&file).unwrap();
    until("what was before is back", async || db.switches() == own).await;

    std::fs::write(&file, "primary-only").unwrap();
    let with_own = Switches::mode(Mode::PrimaryOnly).table(None, "cart");
    until("it says nothing of tables", async || db.switches() == with_own).await;
    // Somebody means it, though it is the same.
    db.set_mode(Mode::Shadow);
    db.set_mode(Mode::PrimaryOnly);
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, "table item").unwrap();
    until("it is read", async || db.switches() == of_file).await;
    std::fs::remove_file(&file).unwrap();
    until("the table is taken back", async || db.switches() != of_file).await;
    assert_eq!(db.switches().mode, Mode::PrimaryOnly);
}
