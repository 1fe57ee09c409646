use std::future::{pending, ready};
use std::sync::Mutex;

use millpond_core::{ServerId, Timeline, Token, TokenPosition};
use millpond_sql::{Dialect, classify};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::sleep;

use super::*;
use crate::execute::unless;
use crate::testing::{Connecting, Down, Servers, Where, answers, server};
use crate::{Answer, Cluster, Config, ErrorKind, Limits, NodeConfig, Operation, Outcome, Target};

/// A primary and two replicas: servers 1, 2 and 3. All have answered just now, and show the same.
fn cluster(connect: impl Fn(u64) -> Connecting + Send + Sync + 'static) -> Cluster<Servers> {
    cluster_with(Duration::from_secs(3600), connect)
}

fn cluster_with(
    max_lag: Duration,
    connect: impl Fn(u64) -> Connecting + Send + Sync + 'static,
) -> Cluster<Servers> {
    cluster_of(Servers::new(connect), |config| config.max_lag = max_lag)
}

fn cluster_of(servers: Servers, settings: impl FnOnce(&mut Config)) -> Cluster<Servers> {
    let mut config = Config::default();
    (config.catalog_interval, config.connect_timeout) = (None, Duration::from_secs(60));
    (config.max_size, config.acquire_timeout) = (1, Duration::from_secs(600));
    (config.max_lag, config.probe_timeout) = (Duration::from_secs(3600), Duration::from_secs(3600));
    settings(&mut config);
    let nodes = [("a", 1), ("b", 2), ("c", 3)].map(|(name, address)| NodeConfig::new(name.into(), address));
    let cluster = Cluster::start(servers, nodes.to_vec(), config).unwrap();
    for (node, role) in [("a", Role::Primary), ("b", Role::Replica), ("c", Role::Replica)] {
        answers(&cluster, node, role, 1);
    }
    cluster
}

fn named<'c>(cluster: &'c Cluster<Servers>, node: &str) -> &'c Node<Servers> {
    cluster.shared.named(node).unwrap()
}

/// A read that goes to the replica `b` first, since the other one is busy. Gives where it ran.
async fn read_that_waits_for_b(cluster: &Cluster<Servers>) -> JoinHandle<Result<ServerId, Error>> {
    let busy: Vec<_> = (0..9).map(|_| named(cluster, "c").begin(Shard::own())).collect();
    let handle = cluster.handle();
    let read = tokio::spawn(async move { handle.run(Statement::connection(Access::Read), &mut Where).await });
    while named(cluster, "b").pool(Purpose::Read).status().waiting == 0 {
        yield_now().await;
    }
    drop(busy);
    read
}

#[tokio::test(start_paused = true)]
async fn a_read_does_not_run_on_a_replica_that_may_not_serve_it_any_more_however_short_it_waited() {
    let cluster = cluster(|address| Box::pin(ready(Ok(server(address)))));
    let held = named(&cluster, "b").pool(Purpose::Read).acquire().await.unwrap();
    let read = read_that_waits_for_b(&cluster).await;
    answers(&cluster, "b", Role::Replica, 2);
    drop(held);
    assert_ne!(read.await.unwrap().unwrap(), server(2));
}

#[tokio::test(start_paused = true)]
async fn a_read_runs_where_it_waited_when_what_is_known_says_so_still() {
    let cluster = cluster(|address| Box::pin(ready(Ok(server(address)))));
    let held = named(&cluster, "b").pool(Purpose::Read).acquire().await.unwrap();
    let read = read_that_waits_for_b(&cluster).await;
    answers(&cluster, "b", Role::Replica, 1);
    drop(held);
    assert_eq!(read.await.unwrap().unwrap(), server(2));
}

#[tokio::test(start_paused = true)]
async fn a_read_does_not_go_on_to_a_node_that_took_the_place_of_one_of_its_plan() {
    let (fail, failed) = oneshot::channel();
    let failed = Mutex::new(Some(failed));
    let cluster = cluster(move |address| match (address, &mut *failed.lock().unwrap()) {
        (2, failed) => {
            let failed = failed.take();
            Box::pin(async {
                match failed {
                    Some(failed) => failed.await.map_err(|_| Down::Gone)?,
                    None => pending().await,
                }
                Err(Down::Gone)
            })
        }
        _ => Box::pin(ready(Ok(server(address)))),
    });
    let read = read_that_waits_for_b(&cluster).await;
    let place = named(&cluster, "c").id;
    assert!(cluster.remove_node("c", Duration::ZERO).await.unwrap());
    cluster.add_node(NodeConfig::new("d".into(), 4)).unwrap();
    assert_eq!(named(&cluster, "d").id, place);
    fail.send(()).unwrap();
    assert_eq!(read.await.unwrap().unwrap(), server(1), "nothing is known of d");
}

#[tokio::test(start_paused = true)]
async fn a_read_does_not_run_on_a_replica_that_grew_too_old_while_another_was_waited_for() {
    let cluster = cluster_with(Duration::from_secs(1), |address| Box::pin(ready(Ok(server(address)))));
    let _held = named(&cluster, "b").pool(Purpose::Read).acquire().await.unwrap();
    let read = read_that_waits_for_b(&cluster).await;
    // Nobody answers meanwhile, so that nothing else is known than when it was decided.
    assert_eq!(read.await.unwrap().unwrap(), server(1));
}

/// A write that is begun while there is no primary, in a cluster with such limits.
async fn write_without_a_primary(
    limits: impl FnMut(&mut Limits),
) -> (Cluster<Servers>, JoinHandle<Result<ServerId, Error>>) {
    let cluster = cluster(|address| Box::pin(ready(Ok(server(address)))));
    cluster.change_limits(limits).unwrap();
    answers(&cluster, "a", Role::Replica, 1);
    let handle = cluster.handle();
    let write =
        tokio::spawn(async move { handle.run(Statement::connection(Access::Write), &mut Where).await });
    yield_now().await;
    (cluster, write)
}

#[tokio::test(start_paused = true)]
async fn a_write_waits_for_a_primary_as_long_as_for_a_connection_unless_said_otherwise() {
    let begun = Instant::now();
    let (cluster, write) =
        write_without_a_primary(|limits| limits.acquire_timeout = Duration::from_secs(2)).await;
    assert_eq!(cluster.status().waiting, 1);
    let error = write.await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::NoPrimary, Outcome::NotSent), "{error}");
    assert_eq!((begun.elapsed().as_secs(), cluster.status().waiting), (2, 0));
    assert!(error.to_string().contains("; waited for 2000 ms, as acquire_timeout allows"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn as_many_wait_for_a_primary_as_may_and_others_are_told_at_once() {
    let (cluster, first) = write_without_a_primary(|limits| limits.max_waiting = Some(1)).await;
    let (begun, handle) = (Instant::now(), cluster.handle());
    let error = handle.run(Statement::connection(Access::Write), &mut Where).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Overloaded, Outcome::NotSent), "{error}");
    assert!(error.to_string().contains("1 callers wait for one, as many as may (max_waiting)"), "{error}");
    assert_eq!((begun.elapsed(), cluster.status().waiting), (Duration::ZERO, 1));
    // It keeps its place while it looks again and again.
    answers(&cluster, "c", Role::Replica, 2);
    cluster.shared.woken();
    yield_now().await;
    assert_eq!(cluster.status().waiting, 1);
    answers(&cluster, "b", Role::Primary, 2);
    assert_eq!(first.await.unwrap().unwrap(), server(2));
    assert_eq!(cluster.status().waiting, 0);
}

#[tokio::test(start_paused = true)]
async fn a_write_hears_of_a_primary_that_comes_back_again_and_again() {
    let cluster = cluster(|address| Box::pin(ready(Ok(server(address)))));
    // A replica follows another: by the primary's name there is one on either timeline now, by turns.
    answers(&cluster, "b", Role::Replica, 2);
    for _ in 0..3 {
        answers(&cluster, "a", Role::Primary, 1);
        assert_eq!(cluster.status().primary, None);
        let handle = cluster.handle();
        let write =
            tokio::spawn(async move { handle.run(Statement::connection(Access::Write), &mut Where).await });
        while cluster.status().waiting == 0 {
            yield_now().await;
        }
        let begun = Instant::now();
        answers(&cluster, "a", Role::Primary, 2);
        assert_eq!((write.await.unwrap().unwrap(), begun.elapsed()), (server(1), Duration::ZERO));
    }
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_is_closed_has_nobody_wait_for_a_primary() {
    let (cluster, write) =
        write_without_a_primary(|limits| limits.failover_timeout = Some(Duration::from_secs(60))).await;
    let begun = Instant::now();
    assert!(cluster.close(Duration::from_secs(1)).await);
    assert_eq!(write.await.unwrap().unwrap_err().kind(), ErrorKind::Closed);
    let error = cluster.handle().run(Statement::connection(Access::Write), &mut Where).await.unwrap_err();
    assert_eq!((error.kind(), begun.elapsed()), (ErrorKind::Closed, Duration::ZERO), "{error}");
}

#[tokio::test(start_paused = true)]
async fn who_has_a_token_that_nobody_can_serve_takes_no_place_of_those_that_wait_for_a_primary() {
    let cluster = cluster(|address| Box::pin(ready(Ok(server(address)))));
    cluster
        .change_limits(|limits| {
            (limits.max_waiting, limits.acquire_timeout) = (Some(0), Duration::from_secs(2));
        })
        .unwrap();
    let session = cluster.handle().session();
    let cluster_id = cluster.shared.view.load().cluster.unwrap();
    session.see(Token::new(cluster_id, Timeline::new(9), TokenPosition::UpTo(1))).unwrap();
    let error = session.run(Statement::connection(Access::Read), &mut Where).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Token, "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_handed_on_asks_for_what_was_written_here_too() {
    let cluster = cluster(|address| Box::pin(ready(Ok(server(address)))));
    let session = cluster.handle().session();
    let cluster_id = cluster.shared.view.load().cluster.unwrap();
    let later = Token::new(cluster_id, Timeline::new(9), TokenPosition::UpTo(1_u64));
    assert!(session.see_or_latest(&later.to_string()).await.is_some());
    assert_eq!(session.token(), later, "as it came");
    session.wrote();
    assert_eq!(session.token(), Token::new(cluster_id, Timeline::new(9), TokenPosition::Everything));
}

#[tokio::test(start_paused = true)]
async fn a_token_of_who_knows_no_timelines_lies_before_no_fork() {
    let cluster = cluster(|address| Box::pin(ready(Ok(server(address)))));
    let session = cluster.handle().session();
    let cluster_id = cluster.shared.view.load().cluster.unwrap();
    session.see(Token::new(cluster_id, Timeline::new(1), TokenPosition::UpTo(1))).unwrap();
    session.see(Token::new(cluster_id, Timeline::new(0), TokenPosition::Everything)).unwrap();
    assert_eq!(session.token(), Token::new(cluster_id, Timeline::new(1), TokenPosition::Everything));
}

#[tokio::test(start_paused = true)]
async fn a_write_waits_longer_for_a_primary_where_that_is_said_and_for_its_connection_behind_that() {
    let (cluster, write) = write_without_a_primary(|limits| {
        limits.acquire_timeout = Duration::from_secs(2);
        limits.failover_timeout = Some(Duration::from_secs(60));
    })
    .await;
    sleep(Duration::from_secs(30)).await;
    let held = named(&cluster, "b").pool(Purpose::Write).acquire().await.unwrap();
    answers(&cluster, "b", Role::Primary, 2);
    sleep(Duration::from_secs(1)).await;
    drop(held);
    assert_eq!(write.await.unwrap().unwrap(), server(2));
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_a_primary_and_a_connection_ends_with_both_limits_and_with_that_of_the_call() {
    let limits = |limits: &mut Limits| {
        limits.acquire_timeout = Duration::from_secs(2);
        limits.failover_timeout = Some(Duration::from_secs(60));
    };
    let begun = Instant::now();
    let (cluster, write) = write_without_a_primary(limits).await;
    sleep(Duration::from_secs(59)).await;
    let _held = named(&cluster, "b").pool(Purpose::Write).acquire().await.unwrap();
    answers(&cluster, "b", Role::Primary, 2);
    let error = write.await.unwrap().unwrap_err();
    assert_eq!((error.kind(), begun.elapsed().as_secs()), (ErrorKind::Acquire, 61), "{error}");

    let begun = Instant::now();
    answers(&cluster, "b", Role::Replica, 2);
    let handle = cluster.handle().with_timeout(Duration::from_secs(5));
    let error = handle.run(Statement::connection(Access::Write), &mut Where).await.unwrap_err();
    assert_eq!(begun.elapsed().as_secs(), 5);
    assert!(error.to_string().contains("; waited for 5000 ms, as timeout allows"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_write_does_not_wait_for_a_primary_where_it_must_not() {
    let begun = Instant::now();
    let (_cluster, write) =
        write_without_a_primary(|limits| limits.failover_timeout = Some(Duration::ZERO)).await;
    let error = write.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoPrimary);
    assert!(error.to_string().contains("; waited for 0 ms, as failover_timeout allows"), "{error}");
    assert!(begun.elapsed() < Duration::from_millis(1), "{:?}", begun.elapsed());
}

/// Gives where the primary is, once it may.
struct Placed(Option<oneshot::Receiver<()>>);

impl Operation<Servers> for Placed {
    type Output = ();

    async fn run(&mut self, _: NodeLease<Servers>, _: Target<u64>) -> Result<Answer<(), u64>, Down> {
        if let Some(may) = self.0.take() {
            may.await.map_err(|_| Down::Gone)?;
        }
        Ok(Answer::new((), Some(5)))
    }
}

/// The token of a session behind a statement that is answered when `meanwhile` has happened.
async fn token_behind(
    sql: &'static str,
    has_written: bool,
    meanwhile: impl FnOnce(&Cluster<Servers>),
) -> Token<u64> {
    let cluster = cluster(|address| Box::pin(ready(Ok(server(address)))));
    let session = cluster.handle().session();
    if has_written {
        // Behind what the replicas said.
        sleep(Duration::from_millis(1)).await;
        session.wrote();
    }
    let (answer, may) = oneshot::channel();
    let running = tokio::spawn({
        let session = session.clone();
        async move {
            let statement = Statement::text(sql, &classify(sql, Dialect::Postgres), Dialect::Postgres);
            session.run(statement, &mut Placed(Some(may))).await
        }
    });
    yield_now().await;
    meanwhile(&cluster);
    answer.send(()).unwrap();
    running.await.unwrap().unwrap();
    session.token()
}

fn is_replaced(cluster: &Cluster<Servers>) {
    answers(cluster, "a", Role::Replica, 1);
    answers(cluster, "b", Role::Primary, 2);
    assert_eq!(cluster.status().timeline, Some(2));
}

#[tokio::test(start_paused = true)]
async fn where_a_write_lies_counts_on_the_timeline_that_was_asked_and_on_no_later_one() {
    const WRITE: &str = "insert into item values (1)";
    let placed = token_behind(WRITE, false, |_| {}).await;
    assert_eq!((placed.timeline(), placed.position()), (Timeline::new(1), &TokenPosition::UpTo(5)));
    let unplaced = token_behind(WRITE, false, is_replaced).await;
    assert_eq!(*unplaced.position(), TokenPosition::Everything, "5 is another place on timeline 2");
}

#[tokio::test(start_paused = true)]
async fn a_read_gives_a_write_a_place_on_the_timeline_that_was_asked_and_on_no_later_one() {
    const READ: &str = "select 1 from item";
    let placed = token_behind(READ, true, |_| {}).await;
    assert_eq!((placed.timeline(), placed.position()), (Timeline::new(1), &TokenPosition::UpTo(5)));
    let unplaced = token_behind(READ, true, is_replaced).await;
    assert_eq!(*unplaced.position(), TokenPosition::Everything);
}

#[tokio::test(start_paused = true)]
async fn reads_that_full_replicas_leave_to_the_primary_are_counted_as_theirs() {
    let cluster = cluster(|address| Box::pin(ready(Ok(server(address)))));
    cluster.change_limits(|limits| limits.acquire_timeout = Duration::from_secs(3)).unwrap();
    let _held = [
        named(&cluster, "b").pool(Purpose::Read).acquire().await.unwrap(),
        named(&cluster, "c").pool(Purpose::Read).acquire().await.unwrap(),
    ];
    let handle = cluster.handle();
    let ran = handle.run(Statement::connection(Access::Read), &mut Where).await.unwrap();
    assert_eq!(ran, server(1));
    assert_eq!(cluster.status().reads_on_primary, [(Reason::FreshReplica, 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_gives_no_connections_is_not_chosen_again_and_again_for_having_nothing_in_flight() {
    let cluster =
        cluster(|address| Box::pin(ready(if address == 2 { Err(Down::Gone) } else { Ok(server(address)) })));
    let handle = cluster.handle();
    let mut chosen = 0;
    for _ in 0..100 {
        let load = |name| named(&cluster, name).load(Shard::own(), Tick::of(Instant::now().into_std()));
        chosen += u32::from(load("b") <= load("c"));
        let ran = handle.run(Statement::connection(Access::Read), &mut Where).await.unwrap();
        assert_eq!(ran, server(3));
    }
    assert!(chosen <= 10, "it was the better one {chosen} times of 100");
}

#[tokio::test(start_paused = true)]
async fn how_many_may_wait_can_be_changed() {
    let cluster = cluster(|address| Box::pin(ready(Ok(server(address)))));
    let held = named(&cluster, "a").pool(Purpose::Write).acquire().await.unwrap();
    cluster.change_limits(|limits| limits.max_waiting = Some(0)).unwrap();
    let handle = cluster.handle();
    let error = handle.run(Statement::connection(Access::Write), &mut Where).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Overloaded, "{error}");
    cluster.change_limits(|limits| limits.max_waiting = None).unwrap();
    let write =
        tokio::spawn(async move { handle.run(Statement::connection(Access::Write), &mut Where).await });
    yield_now().await;
    drop(held);
    assert_eq!(write.await.unwrap().unwrap(), server(1));
}

#[tokio::test(start_paused = true)]
async fn a_primary_that_gives_no_connection_is_waited_for_as_long_as_for_a_connection() {
    let begun = Instant::now();
    let comes = begun + Duration::from_secs(1);
    let cluster = cluster(move |address| {
        let is_there = Instant::now() >= comes;
        Box::pin(ready(if is_there { Ok(server(address)) } else { Err(Down::Starting) }))
    });
    let write = async |acquire, failover| {
        let limits = |limits: &mut Limits| {
            limits.acquire_timeout = Duration::from_millis(acquire);
            limits.failover_timeout = Some(Duration::from_secs(failover));
        };
        cluster.change_limits(limits).unwrap();
        let handle = cluster.handle();
        let mut operation = Where;
        let mut write = pin!(handle.run(Statement::connection(Access::Write), &mut operation));
        assert!(poll_fn(|cx| Poll::Ready(write.as_mut().poll(cx).is_pending())).await);
        assert_eq!(cluster.status().waiting, 0, "there is a node that may run it");
        write.await
    };
    // A longer limit for failovers does not count here, nor one of nothing.
    let error = write(500, 60).await.unwrap_err();
    assert_eq!((error.kind(), begun.elapsed().as_millis() / 10), (ErrorKind::Acquire, 50), "{error}");
    assert_eq!(write(2000, 0).await.unwrap(), server(1));
}

#[tokio::test(start_paused = true)]
async fn what_a_write_waited_for_a_connection_is_no_part_of_its_wait_for_a_primary() {
    let cluster = cluster(|address| Box::pin(ready(Ok(server(address)))));
    let limits = |limits: &mut Limits| {
        limits.acquire_timeout = Duration::from_secs(30);
        limits.failover_timeout = Some(Duration::from_secs(5));
    };
    cluster.change_limits(limits).unwrap();
    let _held = named(&cluster, "a").pool(Purpose::Write).acquire().await.unwrap();
    let handle = cluster.handle();
    let write =
        tokio::spawn(async move { handle.run(Statement::connection(Access::Write), &mut Where).await });
    sleep(Duration::from_secs(6)).await;
    answers(&cluster, "a", Role::Replica, 1);
    sleep(Duration::from_secs(4)).await;
    answers(&cluster, "b", Role::Primary, 2);
    assert_eq!(write.await.unwrap().unwrap(), server(2));
}

#[tokio::test(start_paused = true)]
async fn waits_for_a_primary_are_bounded_together_however_restless_the_cluster_is() {
    let begun = Instant::now();
    let limits = |limits: &mut Limits| {
        limits.acquire_timeout = Duration::from_secs(30);
        limits.failover_timeout = Some(Duration::from_secs(10));
    };
    let (cluster, write) = write_without_a_primary(limits).await;
    // Every second one is there for a moment, and lost.
    let restless = async {
        for timeline in 2.. {
            sleep(Duration::from_secs(1)).await;
            let held = named(&cluster, "b").pool(Purpose::Write).acquire().await;
            answers(&cluster, "b", Role::Primary, timeline);
            yield_now().await;
            answers(&cluster, "b", Role::Replica, timeline);
            drop(held);
        }
    };
    let write = unless(pin!(restless), pin!(write)).await.unwrap().unwrap();
    let error = write.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotSent, "{error}");
    assert_eq!(begun.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn that_nodes_were_not_asked_yet_is_not_that_none_may_run_it() {
    let servers = Servers::new(|address| Box::pin(ready(Ok(server(address)))));
    let mut config = Config::default();
    (config.catalog_interval, config.failover_timeout) = (None, Some(Duration::ZERO));
    let cluster = Cluster::start(servers, vec![NodeConfig::new("a".into(), 1)], config).unwrap();
    let handle = cluster.handle();
    let write =
        tokio::spawn(async move { handle.run(Statement::connection(Access::Write), &mut Where).await });
    sleep(Duration::from_millis(300)).await;
    answers(&cluster, "a", Role::Primary, 1);
    assert_eq!(write.await.unwrap().unwrap(), server(1));
}

/// Has each replica keep a connection at hand for reads.
async fn at_hand(cluster: &Cluster<Servers>, connections: usize) {
    for node in ["b", "c"] {
        let pool = named(cluster, node).pool(Purpose::Read);
        let mut leases = Vec::new();
        for _ in 0..connections {
            leases.push(pool.acquire().await.unwrap());
        }
    }
}

/// Says what the replica is asked to show, and that it does.
struct Proving;

impl Operation<Servers> for Proving {
    type Output = Option<u64>;

    async fn run(
        &mut self,
        _: NodeLease<Servers>,
        target: Target<u64>,
    ) -> Result<Answer<Option<u64>, u64>, Down> {
        Ok(Answer::new(target.must_show, target.must_show))
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_replica_said_before_a_connection_was_opened_shows_no_write_on_it() {
    let servers = Servers::new(|address| Box::pin(ready(Ok(server(address))))).proving();
    let cluster = cluster_of(servers, |_| {});
    let handle = cluster.handle();
    sleep(Duration::from_millis(1)).await;
    at_hand(&cluster, 1).await;
    handle.wrote_at(1, handle.epoch(), now(), &crate::Changes::Anything);
    let read = async || handle.run(Statement::connection(Access::Read), &mut Proving).await.unwrap();
    for _ in 0..8 {
        assert_eq!(read().await, Some(1), "it may have crashed in between");
    }
    for node in ["b", "c"] {
        answers(&cluster, node, Role::Replica, 1);
    }
    for _ in 0..8 {
        assert_eq!(read().await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_text_that_is_no_read_any_more_runs_on_no_replica_though_a_connection_is_at_hand() {
    let servers = Servers::new(|address| Box::pin(ready(Ok(server(address)))));
    // Nothing is known of the database.
    let cluster = cluster_of(servers, |config| config.catalog_interval = Some(Duration::from_secs(3600)));
    at_hand(&cluster, 1).await;
    let sql = "select 1 from item";
    let statement = Statement::text(sql, &classify(sql, Dialect::Postgres), Dialect::Postgres);
    assert_eq!(cluster.handle().run(statement, &mut Where).await.unwrap(), server(1));
}

/// Fails on the first node, when others have given back what they had there.
struct FailsFirst<'c>(Option<&'c Cluster<Servers>>);

impl Operation<Servers> for FailsFirst<'_> {
    type Output = ServerId;

    async fn run(
        &mut self,
        lease: NodeLease<Servers>,
        _: Target<u64>,
    ) -> Result<Answer<ServerId, u64>, Down> {
        let Some(cluster) = self.0.take() else { return Ok(Answer::new(*lease, None)) };
        at_hand(cluster, 1).await;
        Err(Down::Lost)
    }
}

#[tokio::test(start_paused = true)]
async fn a_read_that_failed_on_a_node_does_not_run_there_again_though_a_connection_is_at_hand() {
    let servers = Servers::new(|address| Box::pin(ready(Ok(server(address)))));
    let cluster = cluster_of(servers, |config| config.max_size = 2);
    at_hand(&cluster, 2).await;
    let gone = named(&cluster, "c").id;
    cluster.shared.take_in(named(&cluster, "c"), Input::Unreachable { node: gone });
    let mut operation = FailsFirst(Some(&cluster));
    let ran = cluster.handle().run(Statement::connection(Access::Read), &mut operation).await.unwrap();
    assert_eq!(ran, server(1));
}

#[tokio::test(start_paused = true)]
async fn a_read_waits_for_replicas_that_may_serve_it_soon_and_for_no_others() {
    let servers = Servers::new(|address| Box::pin(ready(Ok(server(address)))));
    let cluster = cluster_of(servers, |config| config.max_lag = Duration::from_secs(1));
    let patient = cluster.handle().with_wait(Duration::from_secs(60));
    let waited = async || {
        let begun = Instant::now();
        let ran = patient.run(Statement::connection(Access::Read), &mut Where).await.unwrap();
        assert_eq!(ran, server(1));
        begun.elapsed().as_secs()
    };
    sleep(Duration::from_secs(2)).await;
    assert_eq!(waited().await, 60, "they are too old, and may catch up");
    for node in ["b", "c"] {
        let node = named(&cluster, node);
        cluster.shared.take_in(node, Input::Unreachable { node: node.id });
    }
    assert_eq!(waited().await, 0);
}

#[tokio::test(start_paused = true)]
async fn reads_of_a_lone_node_are_none_that_a_replica_is_wanted_for() {
    let servers = Servers::new(|address| Box::pin(ready(Ok(server(address)))));
    let cluster = cluster_of(servers, |config| config.max_fallback_reads = Some(0));
    let read = async || cluster.handle().run(Statement::connection(Access::Read), &mut Where).await;
    for node in ["b", "c"] {
        let id = named(&cluster, node).id;
        cluster.shared.take_in(named(&cluster, node), Input::Unreachable { node: id });
    }
    assert_eq!(read().await.unwrap_err().kind(), ErrorKind::Overloaded);
    for node in ["b", "c"] {
        assert!(cluster.remove_node(node, Duration::ZERO).await.unwrap());
    }
    assert_eq!(read().await.unwrap(), server(1));
}
