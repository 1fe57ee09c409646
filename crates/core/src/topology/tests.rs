use super::*;
use crate::Lag;

struct Cluster {
    topology: Topology<u64>,
    start: Instant,
    clock: u64,
    told: Vec<Event>,
}

const MOMENT: Duration = Duration::from_millis(1);

fn id(index: usize) -> NodeId {
    NodeId::new(index).unwrap()
}

fn observation(role: Role, timeline: u32, position: u64) -> Observation<u64> {
    Observation {
        cluster: Some(ClusterId::new(7)),
        timeline: Some(Timeline::new(timeline)),
        position: Some(position),
        ..Observation::of(role)
    }
}

impl Cluster {
    fn new(nodes: usize) -> Self {
        Self { topology: Topology::new(nodes), start: Instant::now(), clock: 0, told: Vec::new() }
    }

    fn now(&self) -> Instant {
        self.start + Duration::from_millis(self.clock)
    }

    fn handle(&mut self, input: Input<u64>) {
        self.topology.handle(input);
        while let Some(action) = self.topology.poll_action() {
            if let Action::Tell(event) = action {
                self.told.push(event);
            }
        }
    }

    fn answers(&mut self, node: usize, role: Role, timeline: u32, position: u64) {
        self.clock += 100;
        self.says(node, observation(role, timeline, position));
    }

    fn says(&mut self, node: usize, observation: Observation<u64>) {
        self.handle(Input::Answered { node: id(node), asked: self.now(), took: MOMENT, observation });
    }

    fn primary(&self) -> Option<usize> {
        self.topology.snapshot().primary.map(NodeId::index)
    }
}

/// A primary and two replicas, all caught up.
fn three() -> Cluster {
    let mut cluster = Cluster::new(3);
    cluster.answers(0, Role::Primary, 1, 100);
    cluster.answers(1, Role::Replica, 1, 100);
    cluster.answers(2, Role::Replica, 1, 100);
    cluster.told.clear();
    cluster
}

#[test]
fn a_promoted_replica_takes_over_from_a_dead_primary() {
    let mut cluster = three();
    cluster.handle(Input::Unreachable { node: id(0) });
    assert_eq!(cluster.primary(), None);
    cluster.answers(1, Role::Primary, 2, 120);
    assert_eq!(cluster.primary(), Some(1));
    assert!(cluster.told.contains(&Event::PrimaryChanged(id(1), Epoch::default().next().next())));
}

#[test]
fn the_old_primary_gets_no_write_when_it_comes_back_as_a_second_one() {
    let mut cluster = three();
    cluster.handle(Input::Unreachable { node: id(0) });
    cluster.answers(1, Role::Primary, 2, 120);
    cluster.answers(0, Role::Primary, 1, 500);
    assert_eq!(cluster.primary(), Some(1));
    cluster.handle(Input::Unreachable { node: id(1) });
    assert_eq!(cluster.primary(), None);
}

#[test]
fn a_promoted_replica_takes_over_from_a_primary_that_still_answers() {
    let mut cluster = three();
    cluster.answers(2, Role::Primary, 2, 120);
    cluster.answers(0, Role::Primary, 1, 130);
    assert_eq!(cluster.primary(), Some(2));
}

#[test]
fn a_restored_copy_moves_nothing_and_is_told_once() {
    let mut cluster = Cluster::new(2);
    cluster.answers(0, Role::Primary, 1, 100);
    cluster.handle(Input::Unreachable { node: id(1) });
    for _ in 0..3 {
        cluster.answers(1, Role::Primary, 2, 100);
    }
    assert_eq!(cluster.primary(), Some(0));
    cluster.handle(Input::Unreachable { node: id(0) });
    assert_eq!(cluster.primary(), None);
    let told = cluster
        .told
        .iter()
        .filter(|event| **event == Event::SecondPrimary(id(1), Refusal::NeverFollowed))
        .count();
    assert_eq!(told, 1);
}

#[test]
fn a_copy_on_the_primarys_timeline_is_not_followed_by_the_primarys_replicas() {
    let mut cluster = three();
    cluster.handle(Input::Joined { node: id(3), is_near: false, is_endpoint: false });
    cluster.answers(3, Role::Primary, 1, 500);
    cluster.handle(Input::Unreachable { node: id(0) });
    cluster.answers(3, Role::Primary, 1, 500);
    assert_eq!((cluster.primary(), cluster.topology.refusal(id(3))), (None, Some(Refusal::NeverFollowed)));
    cluster.answers(0, Role::Primary, 1, 130);
    assert_eq!(cluster.primary(), Some(0));
}

#[test]
fn a_primary_is_told_lost_once_and_found_again_in_its_place() {
    let mut cluster = three();
    let is_about_writes = |event: &Event| matches!(event, Event::PrimaryLost(_) | Event::PrimaryChanged(..));
    let epoch = cluster.topology.snapshot().epoch;
    cluster.told.clear();
    cluster.handle(Input::Unreachable { node: id(0) });
    cluster.answers(0, Role::Primary, 1, 100);
    // Superseded, gone, back, and a replica at last: all that while nobody takes writes.
    cluster.answers(1, Role::Replica, 2, 100);
    cluster.handle(Input::Unreachable { node: id(0) });
    cluster.answers(0, Role::Primary, 1, 100);
    cluster.answers(0, Role::Replica, 2, 100);
    cluster.told.retain(is_about_writes);
    let lost = Event::PrimaryLost(id(0));
    assert_eq!(cluster.told, [lost, Event::PrimaryChanged(id(0), epoch), lost]);
}

#[test]
fn a_rival_that_comes_back_when_the_other_was_adopted_is_told() {
    let mut cluster = three();
    // Nobody is chosen while one that was added has not answered.
    cluster.handle(Input::Joined { node: id(3), is_near: false, is_endpoint: false });
    cluster.handle(Input::Left { node: id(0) });
    cluster.answers(1, Role::Primary, 2, 100);
    cluster.answers(2, Role::Primary, 2, 100);
    cluster.handle(Input::Unreachable { node: id(3) });
    assert_eq!((cluster.primary(), cluster.topology.refusal(id(2))), (None, Some(Refusal::Rivals)));
    assert_eq!(cluster.told.iter().filter(|event| **event == Event::AmbiguousPrimary).count(), 1);
    cluster.handle(Input::Unreachable { node: id(2) });
    assert_eq!(cluster.primary(), Some(1));
    cluster.told.clear();
    cluster.answers(2, Role::Primary, 2, 100);
    assert_eq!(cluster.primary(), Some(1));
    assert_eq!(cluster.told, [Event::NodeUp(id(2)), Event::SecondPrimary(id(2), Refusal::Rivals)]);
}

#[test]
fn an_old_primary_that_comes_back_beside_the_new_one_is_told_with_what_was_promoted() {
    let mut cluster = three();
    cluster.handle(Input::Unreachable { node: id(0) });
    cluster.answers(1, Role::Primary, 2, 100);
    cluster.told.clear();
    for _ in 0..3 {
        cluster.answers(0, Role::Primary, 1, 130);
    }
    assert_eq!(cluster.primary(), Some(1));
    let why = Refusal::OlderTimeline { own: Some(Timeline::new(1)), highest: Timeline::new(2) };
    assert_eq!(cluster.told, [Event::NodeUp(id(0)), Event::SecondPrimary(id(0), why)]);
    // It follows, and does the same again.
    cluster.answers(0, Role::Replica, 2, 130);
    cluster.told.clear();
    cluster.answers(0, Role::Primary, 1, 130);
    assert_eq!(cluster.told, [Event::RoleChanged(id(0), Role::Primary), Event::SecondPrimary(id(0), why)]);
}

#[test]
fn a_primary_that_is_left_since_a_replica_follows_another_is_told_lost_and_why() {
    let mut cluster = three();
    cluster.told.clear();
    // Of a primary that is not among the nodes.
    for _ in 0..2 {
        cluster.answers(1, Role::Replica, 2, 100);
    }
    assert_eq!(cluster.primary(), None);
    let why = Refusal::OlderTimeline { own: Some(Timeline::new(1)), highest: Timeline::new(2) };
    assert_eq!(cluster.told, [Event::PrimaryLost(id(0)), Event::SecondPrimary(id(0), why)]);
}

#[test]
fn each_node_that_claims_writes_in_vain_has_a_reason() {
    let mut cluster = Cluster::new(3);
    cluster.answers(0, Role::Primary, 1, 100);
    assert_eq!(cluster.topology.refusal(id(0)), Some(Refusal::Undecided));
    cluster.answers(1, Role::Primary, 1, 100);
    cluster.handle(Input::Unreachable { node: id(2) });
    assert_eq!(
        [0, 1, 2].map(|node| cluster.topology.refusal(id(node))),
        [Some(Refusal::Rivals), Some(Refusal::Rivals), None]
    );
    assert!(
        !cluster.told.iter().any(|event| matches!(event, Event::SecondPrimary(..))),
        "one event for both"
    );
    cluster.handle(Input::Unreachable { node: id(1) });
    assert_eq!((cluster.primary(), cluster.topology.refusal(id(0))), (Some(0), None));
    cluster.says(2, Observation { cluster: Some(ClusterId::new(9)), ..observation(Role::Primary, 5, 100) });
    assert_eq!(cluster.topology.refusal(id(2)), Some(Refusal::OtherCluster));
    cluster.handle(Input::Unreachable { node: id(0) });
    cluster.answers(1, Role::Primary, 2, 100);
    assert_eq!((cluster.primary(), cluster.topology.refusal(id(1))), (None, Some(Refusal::NeverFollowed)));
    assert_eq!(cluster.topology.refusal(id(0)), None, "it says nothing now");
}

#[test]
fn of_two_primaries_that_nothing_tells_apart_none_is_written_to() {
    let mut cluster = Cluster::new(2);
    cluster.answers(0, Role::Primary, 1, 100);
    assert_eq!(cluster.primary(), None, "the other may be one too");
    cluster.answers(1, Role::Primary, 1, 100);
    assert_eq!(cluster.primary(), None);
    assert_eq!(cluster.told.last(), Some(&Event::AmbiguousPrimary));
    cluster.handle(Input::Unreachable { node: id(0) });
    assert_eq!(cluster.primary(), Some(1));
}

#[test]
fn of_two_primaries_at_the_start_the_higher_timeline_is_written_to() {
    let mut cluster = Cluster::new(2);
    cluster.answers(0, Role::Primary, 1, 900);
    cluster.answers(1, Role::Primary, 2, 100);
    assert_eq!(cluster.primary(), Some(1));
}

#[test]
fn a_node_that_is_down_at_the_start_does_not_hold_up_the_others() {
    let mut cluster = Cluster::new(2);
    cluster.answers(0, Role::Primary, 1, 100);
    cluster.handle(Input::Silent { node: id(1) });
    assert_eq!(cluster.primary(), Some(0));
}

#[test]
fn a_timeline_that_a_replica_follows_stops_writes_to_a_lower_one() {
    let mut cluster = three();
    // The new primary, node 1, cannot be reached from here.
    cluster.handle(Input::Unreachable { node: id(1) });
    cluster.answers(2, Role::Replica, 2, 120);
    cluster.answers(0, Role::Primary, 1, 130);
    assert_eq!(cluster.primary(), None);
    cluster.answers(1, Role::Primary, 2, 140);
    assert_eq!(cluster.primary(), Some(1));
}

#[test]
fn a_primary_that_a_replica_follows_takes_over_though_it_was_never_seen_following() {
    let mut cluster = Cluster::new(3);
    cluster.answers(0, Role::Primary, 1, 100);
    cluster.handle(Input::Unreachable { node: id(1) });
    cluster.answers(2, Role::Replica, 1, 100);
    assert_eq!(cluster.primary(), Some(0));
    cluster.answers(1, Role::Primary, 2, 120);
    assert_eq!(cluster.primary(), Some(0), "nothing follows it yet");
    cluster.answers(2, Role::Replica, 2, 120);
    cluster.answers(0, Role::Primary, 1, 130);
    assert_eq!(cluster.primary(), Some(1));
}

#[test]
fn a_primary_that_is_on_a_later_timeline_by_the_same_name_has_its_connections_closed() {
    let mut cluster = three();
    let asked = cluster.now() + MOMENT;
    let observation = observation(Role::Primary, 2, 110);
    cluster.topology.handle(Input::Answered { node: id(0), asked, took: MOMENT, observation });
    let actions: Vec<_> = std::iter::from_fn(|| cluster.topology.poll_action()).collect();
    assert!(actions.contains(&Action::Evict(id(0))), "{actions:?}");
}

#[test]
fn a_demoted_primary_is_written_to_no_more() {
    let mut cluster = three();
    cluster.answers(0, Role::Replica, 1, 100);
    assert_eq!(cluster.primary(), None);
    assert!(cluster.told.contains(&Event::PrimaryLost(id(0))));
}

#[test]
fn a_node_of_another_cluster_is_refused_by_name() {
    let mut cluster = three();
    cluster.clock += 1000;
    let foreigner = Observation { cluster: Some(ClusterId::new(8)), ..observation(Role::Replica, 1, 100) };
    cluster.says(2, foreigner);
    assert!(cluster.told.contains(&Event::OtherCluster(id(2), ClusterId::new(8))));
    assert!(!cluster.topology.snapshot().nodes[2].same_cluster);
}

#[test]
fn one_silence_is_a_hiccup_and_two_are_an_outage() {
    let mut cluster = three();
    cluster.handle(Input::Silent { node: id(0) });
    assert_eq!(cluster.primary(), Some(0));
    cluster.handle(Input::Silent { node: id(0) });
    assert_eq!(cluster.primary(), None);
    cluster.answers(0, Role::Primary, 1, 100);
    assert_eq!(cluster.primary(), Some(0));
    assert_eq!(cluster.topology.snapshot().epoch.get(), 1, "it is the same primary");
}

/// The nodes are asked so often, each answering after so many milliseconds.
fn paces(cluster: &mut Cluster, times: usize, paces: [u64; 3]) {
    for _ in 0..times {
        for (node, pace) in paces.into_iter().enumerate() {
            cluster.clock += 10;
            let role = if node == 0 { Role::Primary } else { Role::Replica };
            let (observation, took) = (observation(role, 1, 100), Duration::from_millis(pace));
            cluster.handle(Input::Answered { node: id(node), asked: cluster.now(), took, observation });
        }
    }
}

fn slow(cluster: &Cluster) -> Vec<usize> {
    cluster.topology.snapshot().replicas.slow.iter().map(NodeId::index).collect()
}

#[test]
fn a_replica_that_answers_slowly_beside_the_others_is_avoided_until_it_is_well_again() {
    let mut cluster = three();
    paces(&mut cluster, 2, [1, 1, 1]);
    paces(&mut cluster, 1, [1, 1, 400]);
    assert_eq!(slow(&cluster), [0; 0], "once is a hiccup");
    paces(&mut cluster, 3, [1, 1, 400]);
    assert_eq!((slow(&cluster), cluster.told.as_slice()), (vec![2], &[Event::Slow(id(2), true)][..]));
    // Of 400 ms, 0.7 ^ n are left, and a hundredth after 13 looks; three more say so.
    paces(&mut cluster, 10, [1, 1, 1]);
    assert_eq!(slow(&cluster), [2], "it is left at a lower threshold than it is entered");
    paces(&mut cluster, 6, [1, 1, 1]);
    assert_eq!((slow(&cluster), cluster.told.last()), (vec![], Some(&Event::Slow(id(2), false))));
    let ramp = cluster.topology.snapshot().nodes[2].serves_since;
    assert!(cluster.now() - ramp.unwrap() < Duration::from_millis(200), "it begins anew");
}

#[test]
fn servers_that_all_answer_at_once_are_not_slow_by_any_factor() {
    let mut cluster = three();
    paces(&mut cluster, 20, [1, 1, 19]);
    assert_eq!((slow(&cluster), cluster.told.len()), (vec![], 0));
}

#[test]
fn no_more_than_half_of_the_replicas_are_avoided() {
    let mut cluster = three();
    paces(&mut cluster, 20, [1, 500, 1]);
    paces(&mut cluster, 20, [1, 500, 500]);
    // Both are said to be, beside the primary and each other; the one that was so first is avoided.
    assert_eq!(slow(&cluster), [1]);
}

#[test]
fn a_replica_lags_after_three_old_answers_and_has_caught_up_after_three_fresh_ones() {
    let mut cluster = three();
    let mut probe = |position: u64, replica: u64| {
        cluster.clock += 300;
        cluster.answers(0, Role::Primary, 1, position);
        cluster.answers(1, Role::Replica, 1, replica);
        std::mem::take(&mut cluster.told)
    };
    // Its age is 500 ms with each round of 500 ms that it misses, and 100 ms more between the two answers.
    for (round, position) in [(1, 110), (2, 120), (3, 130)] {
        assert_eq!(probe(position, 100), [], "round {round}");
    }
    assert_eq!(probe(140, 100), [Event::Lagging(id(1), true)]);
    assert_eq!((probe(150, 150), probe(160, 160)), (vec![], vec![]));
    assert_eq!(probe(170, 170), [Event::Lagging(id(1), false)]);
}

#[test]
fn while_there_is_no_primary_nobody_begins_to_lag() {
    let mut cluster = three();
    cluster.handle(Input::Unreachable { node: id(0) });
    cluster.told.clear();
    for _ in 0..20 {
        cluster.answers(1, Role::Replica, 1, 100);
    }
    assert_eq!(cluster.told, []);
}

#[test]
fn a_replica_left_on_the_old_timeline_has_no_known_age() {
    let mut cluster = three();
    cluster.answers(1, Role::Primary, 2, 120);
    cluster.answers(2, Role::Replica, 1, 10_000);
    assert_eq!(cluster.topology.snapshot().nodes[2].as_of, None);
    cluster.answers(2, Role::Replica, 2, 10_000);
    assert!(cluster.topology.snapshot().nodes[2].as_of.is_some());
}

/// When a server was started.
const START: u64 = 1_764_314_673_123_456;

/// By a server at this place, whose run is no other's.
fn by((place, run): (u64, u64), observation: Observation<u64>) -> Observation<u64> {
    Observation { server: Some(ServerId::new(Some(place), run)), ..observation }
}

/// The same, by its number and how often it was started.
fn at((server, start): (u64, u64), observation: Observation<u64>) -> Observation<u64> {
    by((server, server << 32 | start), observation)
}

#[test]
fn a_name_that_flipped_once_is_one_again_after_a_calm_minute() {
    let mut cluster = Cluster::new(2);
    cluster.says(0, at((1, 1), observation(Role::Primary, 1, 100)));
    for server in [(2, 1), (3, 1), (2, 1)] {
        cluster.clock += 100;
        cluster.says(1, at(server, observation(Role::Replica, 1, 100)));
    }
    // Nothing leads elsewhere for an hour.
    for _ in 0..3600 {
        cluster.clock += 1000;
        cluster.says(0, at((1, 1), observation(Role::Primary, 1, 100)));
        cluster.says(1, at((2, 1), observation(Role::Replica, 1, 100)));
    }
    assert!(!cluster.topology.snapshot().nodes[1].hides_many);
}

#[test]
fn of_a_name_known_to_hide_many_the_read_pool_is_not_evicted_with_each_answer() {
    let mut cluster = Cluster::new(2);
    cluster.says(0, at((1, 1), observation(Role::Primary, 1, 100)));
    let mut evictions = 0;
    for round in 0..100_u64 {
        cluster.clock += 200;
        let asked = cluster.now();
        let observation = at((2 + round % 2, 1), observation(Role::Replica, 1, 100));
        cluster.topology.handle(Input::Answered { node: id(1), asked, took: MOMENT, observation });
        while let Some(action) = cluster.topology.poll_action() {
            evictions += usize::from(action == Action::Evict(id(1)));
        }
    }
    assert!(evictions <= 2, "{evictions} in 20 s");
}

#[test]
fn replicas_of_an_idle_process_do_not_lag() {
    let mut cluster = three();
    // Every 2 s, the replica's monitor 1.5 s after the primary's.
    for _ in 0..5 {
        cluster.clock += 500;
        cluster.says(0, observation(Role::Primary, 1, 100));
        cluster.clock += 1500;
        cluster.says(1, observation(Role::Replica, 1, 100));
    }
    assert_eq!(cluster.told, []);
}

#[test]
fn a_lag_says_when_it_was_seen_and_how_much_less_it_may_have_been() {
    let mut cluster = Cluster::new(2);
    // Who takes writes is settled when all have answered.
    cluster.says(1, observation(Role::Replica, 1, 100));
    // At 100 and 200 ms; the replica is asked at 350, and looked at at 400 ms.
    cluster.answers(0, Role::Primary, 1, 100);
    cluster.answers(0, Role::Primary, 1, 200);
    let seen = |cluster: &mut Cluster, position| {
        cluster.clock = 350;
        cluster.says(1, observation(Role::Replica, 1, position));
        let now = cluster.start + Duration::from_millis(400);
        match cluster.topology.snapshot().nodes[1].lag(now) {
            Lag::Known { time, distance, observed_ago, uncertainty } => {
                (time.as_millis(), distance, observed_ago.as_millis(), uncertainty.as_millis())
            }
            Lag::Unknown => panic!("it is known"),
        }
    };
    // It showed what was acknowledged before 100 ms, and something after it may be older than 200 ms.
    assert_eq!(seen(&mut cluster, 150), (300, Some(50), 50, 100));
    // It had all that was known of, at 200 ms, and may have had all there was when it was asked.
    assert_eq!(seen(&mut cluster, 200), (200, Some(0), 50, 150));
}

#[test]
fn one_server_under_two_names_is_told_as_no_second_primary() {
    let mut cluster = Cluster::new(2);
    cluster.says(0, at((1, 1), observation(Role::Primary, 1, 100)));
    cluster.says(1, at((1, 1), observation(Role::Primary, 1, 100)));
    assert_eq!(cluster.primary(), Some(0));
    assert!(
        !cluster.told.iter().any(|event| matches!(event, Event::SecondPrimary(..))),
        "{:?}",
        cluster.told
    );
}

#[test]
fn the_same_server_is_written_to_by_its_other_name_when_the_first_cannot_be_reached() {
    let mut cluster = Cluster::new(2);
    cluster.says(0, at((1, 1), observation(Role::Primary, 1, 100)));
    cluster.says(1, at((1, 1), observation(Role::Primary, 1, 100)));
    cluster.handle(Input::Unreachable { node: id(0) });
    cluster.clock += 100;
    cluster.says(1, at((1, 1), observation(Role::Primary, 1, 100)));
    assert_eq!(cluster.primary(), Some(1));
}

#[test]
fn a_primary_that_was_started_anew_is_written_to_by_its_other_name_if_it_has_all_that_it_had() {
    let moved = |position| {
        let mut cluster = three();
        cluster.says(0, at((1, 1), observation(Role::Primary, 1, 100)));
        cluster.clock += 100;
        cluster.says(0, at((1, 1), observation(Role::Primary, 1, 100)));
        cluster.handle(Input::Joined { node: id(3), is_near: false, is_endpoint: false });
        cluster.handle(Input::Unreachable { node: id(0) });
        cluster.clock += 100;
        cluster.says(3, at((1, 2), observation(Role::Primary, 1, position)));
        cluster.primary()
    };
    assert_eq!((moved(100), moved(99)), (Some(3), None));
}

#[test]
fn one_run_of_one_server_by_two_of_its_addresses_is_one_server() {
    let mut cluster = three();
    let mut evictions = 0;
    let before = cluster.topology.snapshot().epoch;
    for round in 0..6_u64 {
        cluster.clock += 200;
        let asked = cluster.now();
        // By IPv4 and by IPv6.
        let observation = by((4 + 2 * (round % 2), START), observation(Role::Primary, 1, 100));
        cluster.topology.handle(Input::Answered { node: id(0), asked, took: MOMENT, observation });
        while let Some(action) = cluster.topology.poll_action() {
            evictions += usize::from(action == Action::Evict(id(0)));
            if let Action::Tell(event) = action {
                cluster.told.push(event);
            }
        }
    }
    let snapshot = cluster.topology.snapshot();
    assert!(
        evictions == 0 && snapshot.epoch == before,
        "{evictions} evictions, epoch {before} -> {}, {:?}",
        snapshot.epoch,
        cluster.told
    );
}

#[test]
fn two_addresses_of_one_primary_are_no_rivals() {
    let mut cluster = Cluster::new(2);
    cluster.says(0, by((4, START), observation(Role::Primary, 1, 100)));
    cluster.says(1, by((6, START), observation(Role::Primary, 1, 100)));
    assert!(cluster.primary().is_some(), "{:?}", cluster.told);
}

/// As behind two services that exchange their endpoints: nobody would say who takes writes.
#[test]
fn when_a_name_moves_to_the_server_of_another_name_that_one_is_asked_anew() {
    let mut cluster = Cluster::new(3);
    for (node, role) in [(0, Role::Primary), (1, Role::Replica), (2, Role::Replica)] {
        cluster.says(node, at((node as u64, 1), observation(role, 1, 100)));
    }
    cluster.clock += 100;
    let (asked, observation) = (cluster.now(), at((1, 1), observation(Role::Replica, 1, 100)));
    cluster.topology.handle(Input::Answered { node: id(0), asked, took: MOMENT, observation });
    let actions: Vec<_> = std::iter::from_fn(|| cluster.topology.poll_action()).collect();
    let asked_anew = actions.iter().filter(|action| matches!(action, Action::AskAnew(_)));
    assert_eq!(asked_anew.collect::<Vec<_>>(), [&Action::AskAnew(id(1))]);
}

#[test]
fn who_is_there_and_lets_no_monitor_in_stays_what_it_was() {
    let mut cluster = three();
    cluster.handle(Input::TurnedAway { node: id(0) });
    cluster.handle(Input::TurnedAway { node: id(0) });
    assert_eq!((cluster.primary(), &*cluster.told), (Some(0), &[] as &[Event]));
    // It takes more than that to come back.
    cluster.handle(Input::Unreachable { node: id(0) });
    cluster.handle(Input::TurnedAway { node: id(0) });
    assert_eq!(cluster.primary(), None);
    // Nothing stands of one that never answered.
    let mut cluster = Cluster::new(1);
    cluster.handle(Input::TurnedAway { node: id(0) });
    assert_eq!(cluster.topology.snapshot().nodes[0].health, Health::Down);
}

#[test]
fn a_late_connection_to_the_server_before_does_not_make_many() {
    let mut cluster = Cluster::new(2);
    cluster.says(0, at((1, 1), observation(Role::Primary, 1, 100)));
    cluster.says(1, at((2, 1), observation(Role::Replica, 1, 100)));
    // Being opened when the name moves.
    let begun = cluster.now() + 50 * MOMENT;
    cluster.clock += 100;
    cluster.says(1, at((3, 1), observation(Role::Replica, 1, 100)));
    cluster.clock += 10;
    cluster.handle(Input::Elsewhere { node: id(1), server: ServerId::new(Some(2), 2 << 32 | 1), at: begun });
    cluster.clock += 10;
    cluster.says(1, at((3, 1), observation(Role::Replica, 1, 100)));
    assert!(!cluster.topology.snapshot().nodes[1].hides_many);
}

#[test]
fn a_copy_behind_the_primarys_name_that_is_further_back_on_its_timeline_gets_no_write() {
    let mut cluster = Cluster::new(2);
    cluster.says(0, at((1, 1), observation(Role::Primary, 1, 900)));
    cluster.says(1, at((2, 1), observation(Role::Replica, 1, 900)));
    cluster.clock += 100;
    // Another place, and less written than was acknowledged and replicated.
    for _ in 0..2 {
        cluster.clock += 100;
        cluster.says(0, at((3, 1), observation(Role::Primary, 1, 100)));
    }
    assert_eq!(cluster.primary(), None);
    assert_eq!(
        cluster.told.iter().filter(|event| **event == Event::SecondPrimary(id(0), Refusal::GoneBack)).count(),
        1
    );
    // The pod was moved with its data.
    cluster.clock += 100;
    cluster.says(0, at((3, 2), observation(Role::Primary, 1, 900)));
    assert_eq!(cluster.primary(), Some(0));
}

#[test]
fn a_proof_of_one_server_behind_a_name_of_many_counts_for_none_without_timelines_too() {
    let mut cluster = Cluster::new(2);
    let plain = |role| Observation { timeline: None, position: Some(100), ..Observation::of(role) };
    cluster.says(0, at((1, 1), plain(Role::Primary)));
    for server in [(2, 1), (3, 1), (2, 1)] {
        cluster.clock += 100;
        cluster.says(1, at(server, plain(Role::Replica)));
    }
    cluster.clock += 10;
    let asked = cluster.now();
    cluster.handle(Input::Proved { node: id(1), position: 150, asked });
    let snapshot = cluster.topology.snapshot();
    assert!(snapshot.nodes[1].hides_many);
    assert_eq!(snapshot.nodes[1].proven, None);
}

#[test]
fn a_refusal_is_told_over_when_it_is_another_kind_and_when_it_is_none() {
    let mut cluster = three();
    let over = |cluster: &Cluster, refusal| {
        cluster.told.iter().filter(|event| **event == Event::NotRefused(id(2), refusal)).count()
    };
    let foreign = Observation { cluster: Some(ClusterId::new(99)), ..observation(Role::Primary, 1, 100) };
    cluster.says(2, observation(Role::Primary, 1, 100));
    cluster.says(2, foreign);
    assert_eq!(cluster.told.iter().filter(|event| matches!(event, Event::SecondPrimary(..))).count(), 1);
    assert_eq!(cluster.told.iter().filter(|event| matches!(event, Event::NotRefused(..))).count(), 1);
    cluster.says(2, observation(Role::Replica, 1, 100));
    assert_eq!(over(&cluster, Refusal::OtherCluster), 1);
}
