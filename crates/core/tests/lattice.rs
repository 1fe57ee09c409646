//! Tokens are a lattice, whatever positions are; and what a session asks for, joined of whatever it wrote or was told, is shown by no replica
//! that lacks a part of it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use millpond_core::{
    Access, ClusterId, Freshness, Input, NodeId, Observation, Position, Reason, Request, Role, Seen,
    Timeline, Token, TokenPosition, Topology, decide,
};
use proptest::collection::{btree_set, vec};
use proptest::prelude::{
    Just, ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest,
};

/// Transactions, as in a set of GTIDs: of two neither need cover the other.
#[derive(Clone, Debug, Default, PartialEq)]
struct Set(BTreeSet<u8>);

impl Position for Set {
    fn covers(&self, other: &Self) -> bool {
        self.0.is_superset(&other.0)
    }

    fn merge(&self, other: &Self) -> Self {
        Self(self.0.union(&other.0).copied().collect())
    }

    fn distance(&self, other: &Self) -> u64 {
        self.0.difference(&other.0).count() as u64
    }
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        write!(f, "{{{}}}", numbers.join(","))
    }
}

impl FromStr for Set {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let inner = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).ok_or(())?;
        let numbers = inner.split(',').filter(|number| !number.is_empty());
        numbers.map(str::parse).collect::<Result<_, _>>().map(Self).map_err(|_| ())
    }
}

const CLUSTER: ClusterId = ClusterId::new(7);

fn sets() -> impl Strategy<Value = Set> {
    btree_set(0_u8..4, 0..4).prop_map(Set)
}

fn tokens() -> impl Strategy<Value = Token<Set>> {
    let positions = prop_oneof![
        1 => Just(TokenPosition::Nothing),
        4 => sets().prop_map(TokenPosition::UpTo),
        1 => Just(TokenPosition::Everything),
    ];
    (1_u32..4, positions)
        .prop_map(|(timeline, position)| Token::new(CLUSTER, Timeline::new(timeline), position))
}

/// Of the history that sessions and servers have in common: one transaction every ten milliseconds, and a failover.
const FORK: u64 = 30;

fn committed_at(millis: u64) -> Set {
    Set((0..=u8::try_from(millis / 10).unwrap()).collect())
}

fn timeline_at(millis: u64) -> Timeline {
    Timeline::new(if millis < FORK { 1 } else { 2 })
}

/// A millisecond, and one a little later with no failover in between.
fn spans() -> impl Strategy<Value = (u64, u64)> {
    let (before, behind) = ((0..FORK - 5, 0_u64..5), (FORK..100, 0_u64..20));
    prop_oneof![1 => before, 2 => behind].prop_map(|(from, took)| (from, from + took))
}

/// What was written or told in that history.
#[derive(Clone, Copy, Debug)]
enum Part {
    /// At a place, of which another process heard later.
    Told(u64, u64),
    /// At no known place.
    Written(u64),
    /// Begun and answered then, with where the primary was in between.
    WrittenUpTo(u64, u64),
}

impl Part {
    fn seen(self, start: Instant) -> Seen<Set> {
        let at = |millis: u64| start + Duration::from_millis(millis);
        let token = |millis, position| Token::new(CLUSTER, timeline_at(millis), position);
        let up_to = |millis| token(millis, TokenPosition::UpTo(committed_at(millis)));
        match self {
            Self::Told(written, told) => Seen::told(up_to(written), at(told)),
            Self::Written(answered) => {
                Seen::written(Some(token(answered, TokenPosition::Everything)), at(answered))
            }
            Self::WrittenUpTo(asked, answered) => {
                Seen::written_up_to(up_to(answered), at(asked), at(answered))
            }
        }
    }
}

impl Part {
    /// When it had been committed for certain.
    fn written_at(self) -> u64 {
        match self {
            Self::Told(at, _) | Self::Written(at) | Self::WrittenUpTo(_, at) => at,
        }
    }
}

fn parts() -> impl Strategy<Value = Part> {
    prop_oneof![
        spans().prop_map(|(written, told)| Part::Told(written, told)),
        spans().prop_map(|(answered, _)| Part::Written(answered)),
        spans().prop_map(|(asked, answered)| Part::WrittenUpTo(asked, answered)),
    ]
}

fn joined(start: Instant, parts: &[Part]) -> Seen<Set> {
    let mut all = Seen::default();
    for part in parts {
        all.merge(&part.seen(start));
    }
    all
}

/// When a primary, behind the failover, and a replica were asked, and how far behind the replica was.
#[derive(Clone, Debug)]
struct Servers {
    primary: Vec<u64>,
    replica: (u64, u64),
}

fn servers() -> impl Strategy<Value = Servers> {
    let primary = vec(FORK..120, 1..4);
    let replica = (FORK..120).prop_flat_map(|asked| (Just(asked), FORK..=asked));
    (primary, replica).prop_map(|(mut primary, replica)| {
        primary.sort_unstable();
        Servers { primary, replica }
    })
}

/// Whether a read that must show so much may go to the replica.
fn is_shown(servers: &Servers, start: Instant, seen: &Seen<Set>) -> bool {
    let mut topology = Topology::new(2);
    let mut says = |node: usize, role, at: u64, shown: u64| {
        let (cluster, timeline, position) =
            (Some(CLUSTER), Some(timeline_at(shown)), Some(committed_at(shown)));
        let observation = Observation { cluster, timeline, position, ..Observation::of(role) };
        let (node, asked) = (NodeId::new(node).unwrap(), start + Duration::from_millis(at));
        topology.handle(Input::Answered { node, asked, took: Duration::ZERO, observation });
    };
    let (asked, shown) = servers.replica;
    // Who takes writes is settled when all have answered.
    says(1, Role::Replica, FORK, FORK);
    for at in &servers.primary {
        says(0, Role::Primary, *at, *at);
    }
    says(1, Role::Replica, asked, shown);
    let request = Request::new(Access::Read, Freshness::Within(Duration::from_secs(60)), seen, 1);
    let now = start + Duration::from_millis(130);
    decide(&request, &topology.snapshot(), now).reason == Reason::FreshReplica
}

/// Two tokens that ask for nothing ask for the same, whatever timeline they name.
fn same(a: &Token<Set>, b: &Token<Set>) -> bool {
    a == b || [a, b].iter().all(|token| *token.position() == TokenPosition::Nothing)
}

proptest! {
    // What it finds becomes a test by name.
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn tokens_are_joined_in_any_order_and_any_number_of_times(a in tokens(), b in tokens(), c in tokens()) {
        prop_assert_eq!(&a.merge(&a).unwrap(), &a);
        let ab = a.merge(&b).unwrap();
        prop_assert!(same(&ab, &b.merge(&a).unwrap()));
        prop_assert!(same(&ab, &ab.merge(&b).unwrap()));
        prop_assert!(same(&ab.merge(&c).unwrap(), &a.merge(&b.merge(&c).unwrap()).unwrap()));
    }

    #[test]
    fn a_token_is_the_same_behind_its_text(token in tokens()) {
        prop_assert_eq!(token.to_string().parse::<Token<Set>>().unwrap(), token);
    }

    #[test]
    fn what_is_no_token_is_refused_and_nothing_breaks(text in any::<String>(), prefix in "mp[0-9]\\.[0-9a-f.]{0,20}") {
        for text in [&text, &prefix, &format!("{prefix}{text}")] {
            if let Ok(token) = text.parse::<Token<Set>>() {
                prop_assert_eq!(token.to_string().parse::<Token<Set>>().unwrap(), token);
            }
        }
    }

    #[test]
    fn a_replica_that_counts_as_showing_what_was_joined_has_every_part(servers in servers(), parts in vec(parts(), 1..5)) {
        let start = Instant::now();
        if is_shown(&servers, start, &joined(start, &parts)) {
            let has = committed_at(servers.replica.1);
            for part in &parts {
                prop_assert!(has.covers(&committed_at(part.written_at())), "{part:?}");
            }
        }
    }

    #[test]
    fn what_is_joined_again_asks_for_no_more(servers in servers(), parts in vec(parts(), 1..4)) {
        let start = Instant::now();
        let once = joined(start, &parts);
        let mut twice = once.clone();
        twice.merge(&once);
        prop_assert_eq!(is_shown(&servers, start, &once), is_shown(&servers, start, &twice));
    }
}
