//! Tokens from elsewhere: those that say what was written, and those that are old, forged or none.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::time::Duration;

use millpond::postgres::{Db, Session, Token};
use millpond::{ErrorKind, Event, Outcome, TokenError};
use millpond_tests::{Cluster, Events, builder, reads_on_replica, until};

const INSERT: &str = "insert into item values ($1, 'pond')";

async fn shows(session: &Session, id: i32) -> bool {
    !session.query("select from item where id = $1", &[&id]).await.unwrap().is_empty()
}

/// The number of the cluster, as tokens have it.
fn number_of(db: &Db) -> String {
    let token = db.session().token().to_string();
    token.split('.').nth(1).unwrap().to_owned()
}

#[tokio::test]
async fn what_came_by_another_way_than_a_token_is_shown_by_who_wants_to_see_the_latest() {
    let cluster = Cluster::up(1).await;
    cluster.lab.node("db-1").unwrap().pause_replay().await.unwrap();
    let (plain, session) = (&cluster.db, cluster.db.session());
    let insert = async |id: i32| {
        let text = format!("insert into item values ({id}, 'pond')");
        cluster.lab.primary().ask("postgres", &text).await.unwrap();
    };
    insert(1).await;
    // Whoever wrote it, this process has not heard of it by itself.
    assert!(!shows(&session, 1).await && reads_on_replica(&session).await);
    session.see_latest();
    assert!(shows(&session, 1).await);
    assert!(reads_on_replica(plain).await, "it is the session's");
    plain.see_latest();
    assert_eq!(plain.query("select from item where id = 1", &[]).await.unwrap().len(), 1);
    // In a task's session it is that one's.
    let other = plain.session();
    other.scope(async { plain.see_latest() }).await;
    assert!(shows(&other, 1).await);
    cluster.lab.node("db-1").unwrap().resume_replay().await.unwrap();
    until("a replica shows it", async || reads_on_replica(&session).await).await;
}

#[tokio::test]
async fn a_token_carries_a_write_to_another_process() {
    let cluster = Cluster::up(1).await;
    cluster.lab.node("db-1").unwrap().pause_replay().await.unwrap();
    let here = cluster.db.session();
    here.execute("insert into item values (1, 'pond')", &[]).await.unwrap();
    let cookie = here.token().to_string();
    assert!(cookie.len() < 60, "{cookie}");

    // A handle of its own, as in another process.
    let elsewhere = builder(&cluster.lab, &Events::default()).connect().await.unwrap();
    let there = elsewhere.session();
    there.see(cookie.parse::<Token>().unwrap()).unwrap();
    assert_eq!(there.query("select from item where id = 1", &[]).await.unwrap().len(), 1);
    assert!(!reads_on_replica(&there).await);
    cluster.lab.node("db-1").unwrap().resume_replay().await.unwrap();
    until("a replica has reached the token", async || reads_on_replica(&there).await).await;
    assert_eq!(there.query("select from item where id = 1", &[]).await.unwrap().len(), 1);
}

/// A write whose answer was lost, say: its owner's next requests must not all go to the primary until the next write.
#[tokio::test]
async fn what_is_at_no_known_place_gets_one_with_the_first_read() {
    let cluster = Cluster::up(1).await;
    let replica = cluster.lab.node("db-1").unwrap();
    replica.pause_replay().await.unwrap();
    cluster.db.execute(INSERT, &[&1]).await.unwrap();
    let unplaced = format!("mp1.{}.1.*", number_of(&cluster.db));
    let session = cluster.db.session();
    session.see(unplaced.parse().unwrap()).unwrap();
    assert!(shows(&session, 1).await);
    let token = session.token().to_string();
    assert!(token.contains(".1.") && !token.ends_with('*'), "{token}");

    // Whoever comes with that is served by whichever replica has come so far.
    let next = cluster.db.session();
    next.see(token.parse().unwrap()).unwrap();
    assert!(!reads_on_replica(&next).await);
    replica.resume_replay().await.unwrap();
    until("the replica has come so far", async || reads_on_replica(&next).await).await;
    assert!(shows(&next, 1).await);
}

#[tokio::test]
async fn whoever_comes_with_what_is_no_token_reads_all_that_was_written_before() {
    let cluster = Cluster::up(1).await;
    let replica = cluster.lab.node("db-1").unwrap();
    let number = number_of(&cluster.db);
    let texts = [
        ("".to_owned(), TokenError::Malformed),
        ("12:34; path=/".to_owned(), TokenError::Malformed),
        (format!("mp1.{number}.1.zero"), TokenError::Malformed),
        (format!("mp7.{number}.1.0/10"), TokenError::UnknownVersion),
    ];
    let foreign = "mp1.1.1.0/10".to_owned();
    for (id, text) in (1..).zip(texts.iter().map(|(text, _)| text).chain([&foreign])) {
        replica.pause_replay().await.unwrap();
        // By whom is not known: not by this process.
        cluster.ask("db-0", &format!("insert into item values ({id})")).await;
        let session = cluster.db.session();
        let error = session.see_or_latest(text).await.unwrap();
        match texts.iter().find(|(one, _)| one == text) {
            Some((_, expected)) => assert_eq!(error, *expected, "{text}"),
            None => assert!(matches!(error, TokenError::OtherCluster { .. }), "{error}"),
        }
        assert!(shows(&session, id).await, "{text}");
        assert!(!reads_on_replica(&session).await, "{text}");
        replica.resume_replay().await.unwrap();
        until("the replica shows it", async || reads_on_replica(&session).await).await;
        assert!(shows(&session, id).await, "{text}");
        // Nothing of it stays for the next request.
        assert!(session.token().to_string().starts_with(&format!("mp1.{number}.1.")), "{text}");
    }
}

#[tokio::test]
async fn a_usable_token_is_taken_for_what_it_says_by_whoever_takes_any() {
    let cluster = Cluster::up(1).await;
    let writer = cluster.db.session();
    writer.execute(INSERT, &[&1]).await.unwrap();
    cluster.lab.caught_up().await.unwrap();
    cluster.lab.node("db-1").unwrap().pause_replay().await.unwrap();
    cluster.db.execute(INSERT, &[&2]).await.unwrap();
    let session = cluster.db.session();
    assert_eq!(session.see_or_latest(&writer.token().to_string()).await, None);
    assert_eq!(session.token(), writer.token());
    until("the replica is known to have the first", async || reads_on_replica(&session).await).await;
    assert!(!shows(&session, 2).await, "it does not ask for the second");
    // One that asks for nothing, as of whoever wrote nothing, asks for nothing anywhere.
    assert_eq!(session.see_or_latest("mp1.1.99.").await, None);
    assert!(reads_on_replica(&session).await);
}

#[tokio::test]
async fn a_token_of_another_cluster_is_refused() {
    let cluster = Cluster::up(0).await;
    let token: Token = "mp1.1.1.0/10".parse().unwrap();
    let error = cluster.db.session().see(token).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Token);
}

#[tokio::test]
async fn a_foreign_token_that_came_before_the_cluster_was_known_is_refused_when_it_is() {
    let cluster = Cluster::up(1).await;
    let db = builder(&cluster.lab, &Events::default()).connect_lazy().unwrap();
    let session = db.session();
    session.see("mp1.1.1.0/10".parse().unwrap()).unwrap();
    let error = session.query("select 1", &[]).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Token, Outcome::NotSent), "{error}");
    assert!(error.to_string().contains("another cluster"), "{error}");
    until("only the session is the worse for it", async || reads_on_replica(&db).await).await;
}

#[tokio::test]
async fn a_token_of_a_later_timeline_is_not_served_by_the_old_primary() {
    let cluster = Cluster::up(1).await;
    cluster.lab.caught_up().await.unwrap();
    // Knows only the old primary.
    let old = Db::builder(&cluster.lab.primary().url("postgres")).unwrap();
    let old = old.acquire_timeout(Duration::from_millis(300)).connect().await.unwrap();
    cluster.lab.node("db-1").unwrap().promote().await.unwrap();
    until("the promotion is noticed", async || cluster.db.status().epoch.get() == 2).await;
    let session = cluster.db.session();
    session.execute("insert into item values (1, 'pond')", &[]).await.unwrap();
    let behind = old.session();
    behind.see(session.token()).unwrap();
    for error in [
        behind.query("select from item", &[]).await.unwrap_err(),
        behind.execute("insert into item values (2, '')", &[]).await.unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Token, Outcome::NotSent), "{error}");
    }
}

#[tokio::test]
async fn a_promotion_that_a_token_tells_of_is_looked_for_before_the_token_is_given_up() {
    let cluster = Cluster::up(1).await;
    cluster.lab.caught_up().await.unwrap();
    let events = Events::default();
    let seldom = builder(&cluster.lab, &events).probe_interval(Duration::from_secs(600));
    let db = seldom.connect().await.unwrap();
    cluster.lab.node("db-1").unwrap().promote().await.unwrap();
    cluster.ask("db-1", "insert into item values (1)").await;
    assert_eq!(events.count(|event| matches!(event, Event::PrimaryChanged { .. })), 1, "not known yet");
    let session = db.session();
    assert_eq!(session.see_or_latest(&format!("mp1.{}.2.*", number_of(&db))).await, None);
    assert!(shows(&session, 1).await);
    assert_eq!(events.count(|event| matches!(event, Event::PrimaryChanged { .. })), 2);
}

#[tokio::test]
async fn a_timeline_that_nobody_is_on_stops_no_session_that_takes_any_token() {
    let cluster = Cluster::up(1).await;
    cluster.lab.node("db-1").unwrap().pause_replay().await.unwrap();
    cluster.ask("db-0", "insert into item values (1)").await;
    let session = cluster.db.session();
    let forged = format!("mp1.{}.4000000000.FFFFFFFF/FFFFFFFF", number_of(&cluster.db));
    let error = session.see_or_latest(&forged).await.unwrap();
    assert!(matches!(error, TokenError::LaterTimeline { .. }), "{error}");
    assert!(shows(&session, 1).await);
    // Where somebody is on it, it is of use: the next process gets it as it came.
    assert_eq!(session.token().to_string(), forged);
    assert_eq!(session.execute(INSERT, &[&2]).await.unwrap(), 1);
    assert!(shows(&session, 2).await);
}

#[tokio::test]
async fn a_good_token_is_one_while_nobody_takes_writes() {
    let cluster = Cluster::up(1).await;
    let writer = cluster.db.session();
    writer.execute(INSERT, &[&1]).await.unwrap();
    cluster.lab.caught_up().await.unwrap();
    cluster.lab.primary().kill().await.unwrap();
    // It has never seen the primary.
    let db = builder(&cluster.lab, &Events::default()).connect().await.unwrap();
    let session = db.session();
    assert_eq!(session.see_or_latest(&writer.token().to_string()).await, None);
    assert!(shows(&Session::clone(&session).any(), 1).await);
    assert_eq!(session.token(), writer.token());
}
