//! Runs the cases of `spec/route`: what a cluster's nodes said, and where a statement may then run. One named test each.

use std::path::Path;
use std::time::{Duration, Instant};
use std::{fs, io};

use libtest_mimic::{Arguments, Failed, Trial};
use millpond_core::{
    Access, Age, ClusterId, Freshness, Input, LastRead, NodeId, NodeSet, Observation, Request, Role, Seen,
    ServerId, Timeline, Token, TokenPosition, Topology, decide,
};
use serde::Deserialize;

/// One case. A field that is not here is refused, in all of these.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    nodes: usize,
    /// What the nodes said, in order.
    says: Vec<Says>,
    asks: Vec<Asks>,
}

/// What one node said, or that it said nothing. Times in milliseconds.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Says {
    at: u64,
    node: usize,
    role: Option<NodeRole>,
    /// `~` where it cannot tell.
    #[serde(default = "first_timeline")]
    timeline: Option<u32>,
    #[serde(default = "one_cluster")]
    cluster: u64,
    position: Option<u64>,
    #[serde(default)]
    unreachable: bool,
    /// It proved, with a read, that it has come so far.
    proved: Option<u64>,
    /// When that read was sent, if not at the time of its answer.
    asked: Option<u64>,
    /// It could not prove what it had to, to a read that was sent then, and answered at the time.
    behind_since: Option<u64>,
    /// How far it had not come, if not further than any other time.
    not_at: Option<u64>,
    /// The server that answered: which one, and when it was started.
    server: Option<(u64, u64)>,
    /// The server that another connection to it led to.
    elsewhere: Option<(u64, u64)>,
    /// The mark by which its age is told.
    mark: Option<u64>,
    /// How old it says that it is at most, in milliseconds; or `unknown`.
    age: Option<SaidAge>,
    /// It was added, where this process is or `elsewhere`.
    joined: Option<Zone>,
    /// As the name that decides who is written to.
    #[serde(default)]
    endpoint: bool,
    /// It was taken out.
    #[serde(default)]
    left: bool,
    /// It was drained, or is no more.
    drained: Option<bool>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Unknown {
    Unknown,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(untagged)]
enum SaidAge {
    AtMost(u64),
    Unknown(Unknown),
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Zone {
    Near,
    Elsewhere,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum NodeRole {
    Primary,
    Replica,
}

/// A question, and its answer.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asks {
    at: u64,
    /// A read when it is left out.
    access: Option<String>,
    /// At most so old, in milliseconds; or `any`, or `latest`.
    fresh: Fresh,
    /// What the caller has written, one after the other.
    #[serde(default)]
    written: Many,
    /// What the caller has read last, where it must not see less.
    read: Option<LastReadOn>,
    /// Whether the caller can ask a replica with the read.
    #[serde(default)]
    proves: bool,
    /// Those that the caller can have wait for it.
    #[serde(default)]
    waits: Vec<usize>,
    /// Those of the nodes that are asked.
    #[serde(default)]
    to_prove: Vec<usize>,
    /// The nodes that may serve it, the fallback among them, by number.
    nodes: Vec<usize>,
    reason: String,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct LastReadOn {
    node: Option<usize>,
    at: u64,
}

#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum Fresh {
    Within(u64),
    Word(String),
    /// At most so old, in milliseconds, and so far behind.
    Behind(u64, u64),
}

#[derive(Clone, Default, Deserialize)]
#[serde(untagged)]
enum Many {
    #[default]
    Nothing,
    One(Written),
    Several(Vec<Written>),
}

/// Later than all that a case tells.
const JUST_NOW: Duration = Duration::from_secs(24 * 60 * 60);

/// What the caller has written: at a position, or at a time, or both; the position asked for at a time. Without a time it was told of it just
/// now. Of another cluster, it was told of it before this one was known.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    position: Option<u64>,
    #[serde(default = "one")]
    timeline: u32,
    at: Option<u64>,
    asked: Option<u64>,
    #[serde(default = "one_cluster")]
    cluster: u64,
}

const fn one() -> u32 {
    1
}

#[expect(clippy::unnecessary_wraps, reason = "it stands for what may be left out")]
const fn first_timeline() -> Option<u32> {
    Some(one())
}

const fn one_cluster() -> u64 {
    1
}

fn node(index: usize) -> Result<NodeId, Failed> {
    NodeId::new(index).ok_or_else(|| format!("no node {index}").into())
}

fn input(says: &Says, start: Instant) -> Result<Input<u64>, Failed> {
    let node = node(says.node)?;
    if let Some(zone) = says.joined {
        return Ok(Input::Joined { node, is_near: zone == Zone::Near, is_endpoint: says.endpoint });
    }
    if says.left {
        return Ok(Input::Left { node });
    }
    if let Some(is_drained) = says.drained {
        return Ok(Input::Drained { node, is_drained });
    }
    if says.unreachable {
        return Ok(Input::Unreachable { node });
    }
    let server = |(place, start)| ServerId::new(Some(place), place << 32 | start);
    let at = start + Duration::from_millis(says.at);
    if let Some(elsewhere) = says.elsewhere {
        return Ok(Input::Elsewhere { node, server: server(elsewhere), at });
    }
    if let Some(position) = says.proved {
        let asked = start + Duration::from_millis(says.asked.unwrap_or(says.at));
        return Ok(Input::Proved { node, position, asked });
    }
    if let Some(asked) = says.behind_since {
        let after = |millis| start + Duration::from_millis(millis);
        let wanted = says.not_at.unwrap_or(u64::MAX);
        return Ok(Input::Behind { node, wanted, asked: after(asked), answered: after(says.at) });
    }
    let observation = Observation {
        role: match says.role.ok_or("a node that answers says its role")? {
            NodeRole::Primary => Role::Primary,
            NodeRole::Replica => Role::Replica,
        },
        cluster: Some(ClusterId::new(says.cluster)),
        timeline: says.timeline.map(Timeline::new),
        position: says.position,
        server: says.server.map(server),
        age: match (says.mark, says.age) {
            (Some(mark), _) => Age::ByMark(mark),
            (None, Some(SaidAge::AtMost(millis))) => Age::AtMost(Duration::from_millis(millis)),
            (None, Some(SaidAge::Unknown(_))) => Age::Unknown,
            (None, None) => Age::ByPosition,
        },
    };
    Ok(Input::Answered { node, asked: at, took: Duration::ZERO, observation })
}

fn seen(written: &Many, start: Instant) -> Seen<u64> {
    let written = match written {
        Many::Nothing => &[],
        Many::One(one) => std::slice::from_ref(one),
        Many::Several(several) => several,
    };
    let mut seen = Seen::default();
    let after = |millis| start + Duration::from_millis(millis);
    for one in written {
        let position = one.position.map_or(TokenPosition::Everything, TokenPosition::UpTo);
        let token = Token::new(ClusterId::new(one.cluster), Timeline::new(one.timeline), position);
        seen.merge(&match (one.asked, one.at) {
            (Some(asked), Some(at)) => Seen::written_up_to(token, after(asked), after(at)),
            (None, Some(at)) => Seen::written(Some(token), after(at)),
            (_, None) => Seen::told(token, start + JUST_NOW),
        });
    }
    seen
}

fn check(case: &Case) -> Result<(), Failed> {
    let start = Instant::now();
    let mut topology = Topology::new(case.nodes);
    for says in &case.says {
        topology.handle(input(says, start)?);
        while topology.poll_action().is_some() {}
    }
    let snapshot = topology.snapshot();
    for asks in &case.asks {
        let access = match asks.access.as_deref() {
            None | Some("read") => Access::Read,
            Some("write") => Access::Write,
            Some("unknown") => Access::Unknown,
            Some(other) => return Err(format!("no such access: {other}").into()),
        };
        let freshness = match &asks.fresh {
            Fresh::Within(millis) => Freshness::Within(Duration::from_millis(*millis)),
            Fresh::Behind(millis, distance) => {
                Freshness::Behind { time: Duration::from_millis(*millis), distance: *distance }
            }
            Fresh::Word(word) if word == "any" => Freshness::Any,
            Fresh::Word(word) if word == "latest" => Freshness::Latest,
            Fresh::Word(other) => return Err(format!("no such freshness: {other}").into()),
        };
        let seen = seen(&asks.written, start);
        let last_read = asks.read.map(|read| LastRead {
            node: read.node.and_then(NodeId::new),
            answered: start + Duration::from_millis(read.at),
        });
        let waits = asks.waits.iter().copied().filter_map(NodeId::new).collect();
        let request = Request::new(access, freshness, &seen, 7).behind(last_read).proving(asks.proves);
        let request = request.waiting(waits);
        let decision = decide(&request, &snapshot, start + Duration::from_millis(asks.at));
        let indices = |nodes: NodeSet| nodes.iter().map(NodeId::index).collect::<Vec<_>>();
        let got = (indices(decision.plan.nodes()), indices(decision.to_prove), decision.reason.as_str());
        let wanted = (asks.nodes.clone(), asks.to_prove.clone(), asks.reason.as_str());
        if got != wanted {
            return Err(format!("at {} ms: {got:?}, wanted {wanted:?}", asks.at).into());
        }
    }
    Ok(())
}

fn main() -> io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../spec/route");
    let mut trials = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let file = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let cases: Vec<Case> = serde_yaml_ng::from_str(&fs::read_to_string(&path)?)
            .map_err(|error| io::Error::other(format!("{}: {error}", path.display())))?;
        for case in cases {
            trials.push(Trial::test(format!("route::{file}::{}", case.name), move || check(&case)));
        }
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit()
}
