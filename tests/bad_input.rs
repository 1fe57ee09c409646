//! What is wrong from outside gets one clear error, or a degraded start: never a panic, a hang or a password.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::time::Duration;

use millpond::postgres::{Builder, Db};
use millpond::{Error, ErrorKind, Event, Outcome};
use millpond_lab::{Lab, StopMode};
use millpond_tests::{Events, builder, reads_on_replica, until};

/// The error of a connect that must fail, quickly, and must not tell the password.
async fn refused(url: &str) -> Error {
    let connect = Db::builder(url).unwrap().connect_timeout(Duration::from_secs(3)).connect();
    let error = tokio::time::timeout(Duration::from_secs(10), connect).await.expect("no hang").unwrap_err();
    assert!(!error.to_string().contains("secret") && !format!("{error:?}").contains("secret"), "{error:?}");
    assert_eq!(error.outcome(), Outcome::NotSent);
    error
}

#[track_caller]
fn says(error: &Error, words: &[&str]) {
    for word in words {
        assert!(error.to_string().contains(word), "{word:?} is not in: {error}");
    }
}

#[tokio::test]
async fn a_url_that_cannot_be_read() {
    let error = Db::connect("mysql://app:secret@db/shop").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    says(&error, &["postgres://"]);
}

#[tokio::test]
async fn a_host_that_nobody_knows() {
    let error = refused("postgres://app:secret@no-such-host.invalid/shop?sslmode=disable").await;
    assert_eq!(error.kind(), ErrorKind::Start);
    says(&error, &["no-such-host.invalid:5432", "connecting", "check the host name"]);
}

#[tokio::test]
async fn a_port_where_nobody_listens() {
    // Bound and let go: nobody is there now.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = refused(&format!("postgres://app:secret@127.0.0.1:{port}/shop")).await;
    says(&error, &[&format!("127.0.0.1:{port}"), "refused", "is a server listening there?"]);
}

#[tokio::test]
async fn several_nodes_of_which_none_lets_us_in_fail_as_soon_as_one() {
    let lab = Lab::builder().replicas(1).password("app", "right").up().await.unwrap();
    let asked = std::time::Instant::now();
    let error = refused(&lab.url_for("app", "secret", "postgres")).await;
    says(&error, &["password authentication failed"]);
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn a_wrong_password_and_a_missing_database() {
    let lab = Lab::builder().replicas(0).password("app", "right").up().await.unwrap();
    let error = refused(&lab.url_for("app", "secret", "postgres")).await;
    says(&error, &["password authentication failed", "check the user name and the password"]);
    let error = refused(&lab.url_for("app", "right", "atlantis")).await;
    says(&error, &["\"atlantis\" does not exist", "create the database"]);
}

#[tokio::test]
async fn a_server_that_accepts_and_says_nothing() {
    let lab = Lab::builder().replicas(0).up().await.unwrap();
    lab.primary().network().stall();
    let error = refused(&lab.url("postgres")).await;
    says(&error, &[&lab.primary().port().to_string(), "no connection within 3s"]);
}

#[tokio::test]
async fn a_setting_that_cannot_be() {
    let builder = || Db::builder("postgres://db/shop?sslmode=disable").unwrap();
    says(&builder().max_size(0).connect().await.unwrap_err(), &["max_size"]);
    says(&builder().probe_interval(Duration::ZERO).connect().await.unwrap_err(), &["probe_interval"]);
    assert!(builder().ssl_mode("maybe").is_err());
    let refused = async |builder: Builder| builder.connect().await.unwrap_err();
    says(&refused(builder().allow_function("rate(int)")).await, &["rate(int)", "without parentheses"]);
    says(
        &refused(builder().allow_function("f").allow_function("nextval")).await,
        &["nextval", "cannot be allowed"],
    );
    says(
        &refused(builder().deny_function("shop.rate.x")).await,
        &["shop.rate.x", "is no name of a function"],
    );
}

#[tokio::test]
async fn several_statements_where_one_is_asked_for() {
    let lab = Lab::builder().replicas(0).up().await.unwrap();
    let db = Db::connect(&lab.url("postgres")).await.unwrap();
    let text = "create table t (); create table u ()";
    let transaction = db.begin().await.unwrap();
    for error in [
        db.query(text, &[]).await.unwrap_err(),
        db.execute(text, &[]).await.unwrap_err(),
        db.query_raw(text, &[]).await.err().unwrap(),
        transaction.query(text, &[]).await.unwrap_err(),
        transaction.execute(text, &[]).await.unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::SeveralStatements, Outcome::NotSent));
        says(&error, &["2 statements", "batch_execute"]);
    }
    transaction.batch_execute(text).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(db.query("select from t, u;", &[]).await.unwrap().len(), 0);
}

#[test]
fn a_builder_does_not_show_its_password() {
    let builder = Db::builder("postgres://app:secret@db/shop")
        .unwrap()
        .password_callback(|| async { Ok::<_, std::io::Error>("secret".to_owned()) });
    let shown = format!("{builder:?}");
    assert!(shown.contains("shop") && !shown.contains("secret"), "{shown}");
}

#[tokio::test]
async fn all_replicas_down_at_the_start_is_an_event() {
    let lab = Lab::builder().replicas(2).up().await.unwrap();
    for replica in ["db-1", "db-2"] {
        lab.node(replica).unwrap().stop(StopMode::Immediate).await.unwrap();
    }
    let events = Events::default();
    let db = builder(&lab, &events).connect().await.unwrap();
    assert_eq!(events.count(|event| matches!(event, Event::NodeDown { cause: Some(_), .. })), 2);
    assert!(!reads_on_replica(&db).await);
    assert_eq!(db.explain("select 1").to_string(), "primary: no replica answers");
    lab.node("db-2").unwrap().start().await.unwrap();
    until("the replica serves reads", async || reads_on_replica(&db).await).await;
}

#[tokio::test]
async fn the_primary_down_at_the_start_leaves_reads_that_may_be_old() {
    let lab = Lab::builder().replicas(1).up().await.unwrap();
    let primary = lab.primary().port().to_string();
    lab.primary().stop(StopMode::Immediate).await.unwrap();
    let events = Events::default();
    let db = builder(&lab, &events).acquire_timeout(Duration::from_millis(300)).connect().await.unwrap();
    assert!(reads_on_replica(&db.any()).await);
    let error = db.execute("create table t ()", &[]).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::NoPrimary, Outcome::NotSent));
    says(&error, &["no node takes writes", &primary, "is a replica"]);
    let error = db.query("select 1", &[]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoPrimary, "how old the replica is cannot be known: {error}");
    lab.primary().start().await.unwrap();
    until("writes run", async || db.execute("create table if not exists t ()", &[]).await.is_ok()).await;
}

#[tokio::test]
async fn a_replica_of_another_cluster_gets_nothing() {
    let (lab, other) = tokio::join!(Lab::builder().replicas(0).up(), Lab::builder().replicas(1).up());
    let (lab, other) = (lab.unwrap(), other.unwrap());
    let (here, stranger) = (lab.primary().port(), other.node("db-1").unwrap().port());
    let url = format!("postgres://postgres@127.0.0.1:{here},127.0.0.1:{stranger}/postgres");
    let events = Events::default();
    let note = events.clone();
    let db = Db::builder(&url).unwrap().on_event(move |event| note.note(event)).connect().await.unwrap();
    assert!(!reads_on_replica(&db.any()).await);
    let is_named = |event: &Event| matches!(event, Event::OtherCluster { node, .. } if node.ends_with(&stranger.to_string()));
    until("the stranger is told by name", async || events.any(is_named)).await;
}
