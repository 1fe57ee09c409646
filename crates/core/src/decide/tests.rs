use proptest::collection::vec;
use proptest::prelude::{
    Just, ProptestConfig, Strategy, TestCaseError, any, prop_assert_eq, prop_oneof, proptest,
};

use super::*;
use crate::{Age, Input, Observation, ServerId, Topology};

const NODES: usize = 5;
const CLUSTER: ClusterId = ClusterId::new(7);

fn at(start: Instant, millis: u64) -> Instant {
    start + Duration::from_millis(millis)
}

/// Something that becomes known, so many milliseconds behind what did before.
#[derive(Clone, Copy, Debug)]
enum News {
    /// As it should be, but for one thing, now and then.
    Answered {
        oddity: Option<Oddity>,
        /// How far behind, where the primary's position is the clock's.
        behind: u64,
    },
    Silent,
    Unreachable,
    Drained(bool),
    Left,
    Proved(u64),
    Behind(u64),
}

#[derive(Clone, Copy, Debug)]
enum Oddity {
    OtherRole,
    OtherCluster,
    Timeline(u32),
    NoPosition,
    Age(Age),
    Server(u64),
}

fn oddities() -> impl Strategy<Value = Oddity> {
    prop_oneof![
        Just(Oddity::OtherRole),
        Just(Oddity::OtherCluster),
        (1_u32..4).prop_map(Oddity::Timeline),
        Just(Oddity::NoPosition),
        (0_u64..5).prop_map(|mark| Oddity::Age(Age::ByMark(mark))),
        (0_u64..200).prop_map(|millis| Oddity::Age(Age::AtMost(Duration::from_millis(millis)))),
        Just(Oddity::Age(Age::Unknown)),
        (0..NODES as u64).prop_map(Oddity::Server),
    ]
}

fn news() -> impl Strategy<Value = (u64, usize, News)> {
    let oddity = prop_oneof![20 => Just(None), 1 => oddities().prop_map(Some)];
    let behind = prop_oneof![1 => Just(0), 1 => 0_u64..60];
    let answered = (oddity, behind).prop_map(|(oddity, behind)| News::Answered { oddity, behind });
    let news = prop_oneof![
        40 => answered,
        1 => Just(News::Silent),
        1 => Just(News::Unreachable),
        1 => any::<bool>().prop_map(News::Drained),
        1 => Just(News::Left),
        2 => (0_u64..400).prop_map(News::Proved),
        4 => (0_u64..400).prop_map(News::Behind),
    ];
    (0_u64..30, 0..NODES, news)
}

fn topology(start: Instant, all: &[(u64, usize, News)]) -> (Topology<u64>, u64) {
    let (mut topology, mut clock) = (Topology::new(NODES), 0);
    for (later, node, news) in all {
        clock += later;
        let (node, now) = (NodeId::new(*node).unwrap(), at(start, clock));
        topology.handle(match *news {
            News::Answered { oddity, behind } => {
                let is_first = node.index() == 0;
                let mut observation = Observation::of(if is_first { Role::Primary } else { Role::Replica });
                observation.cluster = Some(CLUSTER);
                observation.timeline = Some(Timeline::new(2));
                observation.position = Some(if is_first { clock } else { clock.saturating_sub(behind) });
                observation.server = Some(ServerId::new(None, node.index() as u64));
                match oddity {
                    None => {}
                    Some(Oddity::OtherRole) => {
                        observation.role = if is_first { Role::Replica } else { Role::Primary };
                    }
                    Some(Oddity::OtherCluster) => observation.cluster = Some(ClusterId::new(1)),
                    Some(Oddity::Timeline(timeline)) => observation.timeline = Some(Timeline::new(timeline)),
                    Some(Oddity::NoPosition) => observation.position = None,
                    Some(Oddity::Age(age)) => observation.age = age,
                    Some(Oddity::Server(server)) => observation.server = Some(ServerId::new(None, server)),
                }
                Input::Answered { node, asked: now, took: Duration::ZERO, observation }
            }
            News::Silent => Input::Silent { node },
            News::Unreachable => Input::Unreachable { node },
            News::Drained(is_drained) => Input::Drained { node, is_drained },
            News::Left => Input::Left { node },
            News::Proved(position) => Input::Proved { node, position, asked: now },
            News::Behind(wanted) => Input::Behind { node, wanted, asked: now, answered: now },
        });
        while topology.poll_action().is_some() {}
    }
    (topology, clock)
}

#[derive(Clone, Debug)]
struct Read {
    freshness: Freshness,
    token: Option<(u32, TokenPosition<u64>)>,
    written: Option<u64>,
    last_read: Option<(Option<usize>, u64)>,
    may_prove: bool,
    may_wait: Vec<usize>,
}

fn reads() -> impl Strategy<Value = Read> {
    let freshness = prop_oneof![
        1 => Just(Freshness::Any),
        4 => (0_u64..400).prop_map(|millis| Freshness::Within(Duration::from_millis(millis))),
        1 => Just(Freshness::Within(Duration::MAX)),
        2 => (0_u64..400, 0_u64..60).prop_map(|(millis, distance)| {
            Freshness::Behind { time: Duration::from_millis(millis), distance }
        }),
    ];
    let position = prop_oneof![
        1 => Just(TokenPosition::Nothing),
        6 => (0_u64..400).prop_map(TokenPosition::UpTo),
        1 => Just(TokenPosition::Everything),
    ];
    let timeline = prop_oneof![1 => Just(1_u32), 6 => Just(2)];
    let token = prop_oneof![1 => Just(None), 4 => (timeline, position).prop_map(Some)];
    let written = prop_oneof![1 => Just(None), 2 => (0_u64..400).prop_map(Some)];
    let last_node = prop_oneof![1 => Just(None), 1 => (0..NODES).prop_map(Some)];
    let last_read = prop_oneof![3 => Just(None), 1 => (last_node, 0_u64..400).prop_map(Some)];
    (freshness, token, written, last_read, any::<bool>(), vec(0..NODES, 0..3)).prop_map(
        |(freshness, token, written, last_read, may_prove, may_wait)| Read {
            freshness,
            token,
            written,
            last_read,
            may_prove,
            may_wait,
        },
    )
}

/// What may serve a read, and what may be asked to prove that it shows enough, by the words for what keeps each node from it.
fn by_obstacles(
    request: &Request<'_, u64>,
    snapshot: &Snapshot<u64>,
    now: Instant,
) -> (NodeSet, NodeSet, Option<Reason>) {
    let (mut eligible, mut to_prove, mut to_wait) = (NodeSet::EMPTY, NodeSet::EMPTY, NodeSet::EMPTY);
    let mut furthest = Obstacle::OnlyNode;
    for node in snapshot.members() {
        let Some(obstacle) = obstacle(node, request, snapshot, now) else {
            eligible.insert(node.id);
            continue;
        };
        furthest = furthest.max(obstacle);
        let is_on_timeline = node.timeline == snapshot.timeline;
        let Some(wanted) = request.seen.position_on(node.timeline).filter(|_| request.may_prove) else {
            continue;
        };
        if obstacle == Obstacle::OwnWrite && is_on_timeline {
            let lacked = node.resting.as_ref().filter(|(until, _)| *until > now);
            match lacked.is_some_and(|(_, lacked)| wanted >= lacked) {
                false => to_prove.insert(node.id),
                true if request.may_wait.contains(node.id) => to_wait.insert(node.id),
                true => {}
            }
        }
    }
    if eligible.is_empty() && to_prove.is_empty() {
        to_prove = to_wait;
    }
    let is_nobody = eligible.is_empty() && to_prove.is_empty();
    (eligible, to_prove, is_nobody.then(|| furthest.into()))
}

/// Holds a decision against the words for what keeps nodes from the read.
fn check(all: &[(u64, usize, News)], read: &Read) -> Result<(), TestCaseError> {
    let start = Instant::now();
    let (topology, clock) = topology(start, all);
    let (snapshot, now) = (topology.snapshot(), at(start, clock + clock % 3));
    let token =
        read.token.clone().map(|(timeline, position)| Token::new(CLUSTER, Timeline::new(timeline), position));
    let seen = match read.written {
        Some(written) => Seen::written(token, at(start, written)),
        None => Seen { token, ..Seen::default() },
    };
    if seen.beyond(snapshot.cluster, snapshot.timeline).is_some() {
        return Ok(());
    }
    let last_read = read
        .last_read
        .map(|(node, millis)| LastRead { node: node.and_then(NodeId::new), answered: at(start, millis) });
    let may_wait = read.may_wait.iter().filter_map(|node| NodeId::new(*node)).collect();
    let request = Request::new(Access::Read, read.freshness, &seen, 1)
        .behind(last_read)
        .proving(read.may_prove)
        .waiting(may_wait);
    let decision = decide(&request, &snapshot, now);
    let (eligible, to_prove, reason) = by_obstacles(&request, &snapshot, now);
    let of_replicas = if eligible.is_empty() { Reason::ProvingReplica } else { Reason::FreshReplica };
    prop_assert_eq!(decision.reason, reason.unwrap_or(of_replicas));
    prop_assert_eq!(decision.to_prove, to_prove);
    if reason.is_none() {
        let replicas = decision.plan.nodes().iter().filter(|node| Some(*node) != snapshot.primary);
        prop_assert_eq!(replicas.collect::<NodeSet>(), eligible.union(to_prove));
    }
    Ok(())
}

proptest! {
    // What it finds becomes a test by name.
    #![proptest_config(ProptestConfig { cases: 5000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_found_at_few_looks_is_what_keeps_no_node_from_the_read(all in vec(news(), 1..25), read in reads()) {
        check(&all, &read)?;
    }
}
