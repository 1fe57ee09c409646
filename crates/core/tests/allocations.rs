//! To decide and to choose a node allocates nothing, whatever has to be looked at.

use std::time::{Duration, Instant};

use allocation_counter::measure;
use millpond_core::{
    Access, ClusterId, Freshness, Input, NodeId, Observation, PeakEwma, Reason, Request, Role, Seen,
    Timeline, Token, TokenPosition, Topology, decide,
};

const CLUSTER: ClusterId = ClusterId::new(7);
const TIMELINE: Timeline = Timeline::new(1);

/// A primary at 100 and so many replicas, of which the first has come to 1 and the others to 100.
fn topology(nodes: usize, now: Instant) -> Topology<u64> {
    let mut topology = Topology::new(nodes);
    for (index, node) in (0..nodes).filter_map(NodeId::new).enumerate() {
        let role = if index == 0 { Role::Primary } else { Role::Replica };
        let (cluster, timeline) = (Some(CLUSTER), Some(TIMELINE));
        let position = Some(if index == 1 { 1 } else { 100 });
        let observation = Observation { cluster, timeline, position, ..Observation::of(role) };
        topology.handle(Input::Answered { node, asked: now, took: Duration::ZERO, observation });
        while topology.poll_action().is_some() {}
    }
    topology
}

#[test]
fn a_decision_and_a_choice_allocate_nothing() {
    let now = Instant::now();
    let written = |position| {
        Seen::told(
            Token::new(CLUSTER, TIMELINE, TokenPosition::UpTo(position)),
            now + Duration::from_millis(1),
        )
    };
    let second = Duration::from_secs(1);
    let cases = [
        (Seen::default(), Freshness::Any, Reason::FreshReplica),
        (written(50), Freshness::Within(second), Reason::FreshReplica),
        (written(200), Freshness::Within(second), Reason::ProvingReplica),
        (written(50), Freshness::Behind { time: second, distance: 10 }, Reason::FreshReplica),
        (Seen::default(), Freshness::Latest, Reason::AskedForPrimary),
    ];
    for nodes in [3, 64] {
        let snapshot = topology(nodes, now).snapshot();
        let latencies = vec![PeakEwma::new(now); nodes];
        for (seen, freshness, reason) in &cases {
            let mut found = None;
            let allocated = measure(|| {
                let request = Request::new(Access::Read, *freshness, seen, 1).proving(true);
                let mut decision = decide(&request, &snapshot, now);
                while decision.plan.next(|node| latencies[node.index()].load(1, now)).is_some() {}
                found = Some(decision.reason);
            });
            assert_eq!((found, allocated.count_total), (Some(*reason), 0), "{nodes} nodes, {freshness:?}");
        }
    }
}
