//! Traps of lag and failover that routers fell into, each by its number in the list of them; those of pure decisions are in
//! `spec/route`.

use std::time::Duration;

use millpond::{Event, Health};
use millpond_lab::{Lab, StopMode};
use millpond_tests::{Cluster, Events, builder, reads_on_replica, until};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn trap_26_what_a_node_says_of_itself_is_of_one_moment() {
    // The question is asked all the time while the role changes: no answer is half a replica's and half a primary's, which would be
    // a second primary or a position that is none.
    let cluster = Cluster::up_with(1, |builder| builder.probe_interval(Duration::from_millis(1))).await;
    let (old, new) = (cluster.lab.node("db-0").unwrap(), cluster.lab.node("db-1").unwrap());
    for (old, new) in [(old, new), (new, old)] {
        old.stop(StopMode::Fast).await.unwrap();
        new.promote().await.unwrap();
        until("writes follow", async || {
            cluster.db.execute("insert into item values (1) on conflict do nothing", &[]).await.is_ok()
        })
        .await;
        old.follow(new).await.unwrap();
        until("the other serves reads", async || reads_on_replica(&cluster.db).await).await;
    }
    let is_odd = |event: &Event| {
        matches!(event, Event::SecondPrimary { .. } | Event::AmbiguousPrimary | Event::OtherCluster { .. })
    };
    assert!(!cluster.events.any(is_odd));
    assert_eq!(cluster.db.status().epoch.get(), 3);
}

#[tokio::test]
async fn trap_28_lag_is_known_while_every_connection_is_in_use() {
    let cluster = Cluster::up_with(1, |builder| builder.max_size(1)).await;
    let held = (cluster.db.get().await.unwrap(), cluster.db.get_read().await.unwrap());
    let lag = || cluster.db.status().nodes[1].lag.time();
    // Probes go on over connections of their own: the lag goes up and down with them.
    for _ in 0..20 {
        until("a probe was answered", async || lag().is_some_and(|lag| lag < SECOND / 2)).await;
    }
    cluster.lab.node("db-1").unwrap().pause_replay().await.unwrap();
    cluster.lab.primary().ask("postgres", "insert into item values (1, 'pond')").await.unwrap();
    until("the lag is seen", async || lag().is_some_and(|lag| lag > SECOND)).await;
    drop(held);
}

#[tokio::test]
async fn trap_36_who_waits_in_vain_for_our_own_connections_says_nothing_of_the_node() {
    let cluster =
        Cluster::up_with(1, |builder| builder.max_size(1).acquire_timeout(Duration::from_millis(100))).await;
    let held = (cluster.db.get().await.unwrap(), cluster.db.get_read().await.unwrap());
    for _ in 0..10 {
        assert!(cluster.db.query("select from item", &[]).await.is_err());
    }
    assert!(cluster.db.status().nodes.iter().all(|node| node.health == Health::Up));
    assert!(!cluster.events.any(|event| matches!(event, Event::NodeDown { .. })));
    drop(held);
    assert!(reads_on_replica(&cluster.db).await);
}

#[tokio::test]
async fn trap_37_a_node_that_is_down_is_tried_by_its_monitor_and_by_no_read() {
    let cluster = Cluster::up_with(2, |builder| builder.probe_timeout(Duration::from_millis(100))).await;
    let frozen = cluster.lab.node("db-1").unwrap();
    frozen.freeze().await.unwrap();
    let is_down = || cluster.db.status().nodes[1].health == Health::Down;
    until("it is found out", async || is_down()).await;
    let before = cluster.db.status().nodes[1].reads;
    for _ in 0..200 {
        cluster.db.query("select from item", &[]).await.unwrap();
    }
    assert!(is_down());
    assert_eq!(cluster.db.status().nodes[1].reads, before);
    frozen.thaw().await.unwrap();
    until("it serves reads again", async || {
        cluster.db.query("select from item", &[]).await.unwrap();
        cluster.db.status().nodes[1].reads > before
    })
    .await;
}

#[tokio::test]
async fn trap_38_without_any_replica_reads_stay_on_the_primary_and_nobody_is_forgiven() {
    let cluster = Cluster::up_with(2, |builder| builder.probe_timeout(Duration::from_millis(100))).await;
    let replicas: Vec<_> = cluster.lab.replicas().collect();
    for replica in &replicas {
        replica.freeze().await.unwrap();
    }
    let down = |event: &&Event| matches!(event, Event::NodeDown { .. });
    until("both are found out", async || cluster.events.count(down) == 2).await;
    let up = cluster.events.count(|event| matches!(event, Event::NodeUp { .. }));
    for _ in 0..300 {
        assert!(!reads_on_replica(&cluster.db).await);
    }
    assert_eq!(
        cluster.events.count(|event| matches!(event, Event::NodeUp { .. })),
        up,
        "none is tried as a last resort"
    );
    for replica in &replicas {
        replica.thaw().await.unwrap();
    }
    until("they serve reads again", async || reads_on_replica(&cluster.db).await).await;
}

#[tokio::test]
async fn trap_39_a_replica_that_is_down_at_the_start_is_no_reason_not_to_start() {
    let lab = Lab::builder().replicas(2).up().await.unwrap();
    let absent = lab.node("db-2").unwrap();
    absent.stop(StopMode::Fast).await.unwrap();
    let events = Events::default();
    let db = builder(&lab, &events).connect().await.unwrap();
    let name = format!("127.0.0.1:{}", absent.port());
    assert!(events.any(|event| matches!(event, Event::NodeDown { node, .. } if **node == *name)));
    until("the other replica serves reads", async || reads_on_replica(&db).await).await;
    absent.start().await.unwrap();
    until("it serves reads too", async || {
        db.query("select 1", &[]).await.unwrap();
        db.status().nodes[2].reads > 0
    })
    .await;
}
