//! What is done wrong on purpose is found, each by the invariant that forbids it.

use std::time::Duration;

use millpond_sim::checker::Invariant;
use millpond_sim::settings::Faults;
use millpond_sim::{Lie, Profile, Report, Settings, Step, run};

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn with(lie: Option<Lie>, profile: Profile, steps: &[(u64, Step)]) -> Report {
    let steps = steps.iter().map(|(at, step)| (ms(*at), *step)).collect();
    run(1, &Settings { profile, lie, faults: Faults::Scripted(steps), ..Settings::default() })
}

/// With the fault the invariant breaks, and without it nothing does.
#[track_caller]
fn finds(lie: Lie, invariant: Invariant, profile: Profile, steps: &[(u64, Step)]) {
    let honest = with(None, profile, steps);
    assert!(honest.is_good(), "{honest}");
    let report = with(Some(lie), profile, steps);
    assert!(report.broken.contains_key(&invariant), "{lie:?} does not break {invariant}\n{report}");
    let told = report.violations.iter().find(|violation| violation.invariant == invariant);
    assert!(told.is_some_and(|violation| !violation.what.is_empty()), "{report}");
}

const DELAYED: [(u64, Step); 2] = [
    (3000, Step::DelayReplay(1, Duration::from_millis(2500))),
    (3000, Step::DelayReplay(2, Duration::from_millis(600))),
];

const FAILOVER: [(u64, Step); 4] = [
    (5000, Step::Disconnect(2)),
    (6000, Step::Crash(0, Duration::ZERO)),
    (6500, Step::Promote(Some(2))),
    (7000, Step::StartAsPrimary(0)),
];

#[test]
fn reads_that_forget_writes() {
    finds(Lie::ForgetsWrites, Invariant::OwnWrites, Profile::Asynchronous, &DELAYED);
    finds(Lie::ForgetsWrites, Invariant::Session, Profile::Asynchronous, &DELAYED);
}

#[test]
fn tokens_that_are_not_heeded() {
    finds(Lie::ForgetsTokens, Invariant::Token, Profile::Asynchronous, &DELAYED);
}

#[test]
fn reads_of_any_age() {
    finds(Lie::ForgetsAge, Invariant::Age, Profile::Asynchronous, &DELAYED);
}

#[test]
fn reads_any_number_of_bytes_behind() {
    finds(Lie::ForgetsDistance, Invariant::Distance, Profile::Asynchronous, &DELAYED);
}

#[test]
fn reads_that_forget_what_was_read_before() {
    // Both are fresh enough.
    let steps = [(3000, Step::DelayReplay(1, ms(100))), (3000, Step::DelayReplay(2, ms(600)))];
    finds(Lie::ForgetsReads, Invariant::Monotonic, Profile::Asynchronous, &steps);
}

#[test]
fn proofs_that_are_not_looked_at() {
    finds(Lie::IgnoresProofs, Invariant::Session, Profile::Asynchronous, &DELAYED);
}

/// So fast that nobody looks while it is down.
#[test]
fn knowledge_of_a_replica_from_before_it_crashed() {
    let crashes: Vec<_> = (0..20)
        .flat_map(|round| {
            let at = 4000 + 1210 * round;
            let node = 1 + usize::try_from(round % 2).unwrap();
            [(at, Step::Crash(node, ms(700))), (at + 2, Step::Start(node))]
        })
        .collect();
    finds(Lie::IgnoresNews, Invariant::Session, Profile::Asynchronous, &crashes);
    finds(Lie::IgnoresCrashes, Invariant::Monotonic, Profile::Asynchronous, &crashes);
}

#[test]
fn replicas_on_a_timeline_that_was_left() {
    let steps =
        [(5000, Step::Disconnect(2)), (6000, Step::Crash(0, Duration::ZERO)), (6500, Step::Promote(Some(2)))];
    finds(Lie::IgnoresReplicaTimeline, Invariant::Discarded, Profile::Asynchronous, &steps);
}

#[test]
fn a_writer_because_it_answered_last() {
    finds(Lie::TrustsTheLast, Invariant::LowerTimeline, Profile::Asynchronous, &FAILOVER);
}

#[test]
fn a_writer_because_it_claims_the_highest_timeline() {
    let steps = [(5000, Step::Restore(3))];
    finds(Lie::TrustsTheHighest, Invariant::Elsewhere, Profile::Synchronous, &steps);
    finds(Lie::TrustsTheHighest, Invariant::Durability, Profile::Synchronous, &steps);
}

#[test]
fn servers_whose_identity_is_not_looked_at() {
    let steps: Vec<_> = (0..8)
        .flat_map(|round| [(4000 + 3000 * round, Step::Stranger(3)), (6000 + 3000 * round, Step::Vanish(3))])
        .collect();
    finds(Lie::IgnoresCluster, Invariant::Elsewhere, Profile::Asynchronous, &steps);
}

/// A replica that is told to be fresh is another one.
#[test]
fn connections_that_lead_to_another_server() {
    let mut steps = vec![(3000, Step::DelayReplay(1, Duration::from_millis(2500)))];
    steps.extend((0..8).map(|round| (5000 + 3000 * round, Step::Exchange(1, 2))));
    finds(Lie::IgnoresServers, Invariant::Session, Profile::Asynchronous, &steps);
}

#[test]
fn writes_that_are_sent_as_reads() {
    finds(Lie::WritesAnywhere, Invariant::WriteOnReplica, Profile::Asynchronous, &[]);
}

#[test]
fn acknowledgements_that_did_not_wait() {
    let steps = [
        (5000, Step::Disconnect(1)),
        (5000, Step::Disconnect(2)),
        (6000, Step::Crash(0, Duration::ZERO)),
        (7000, Step::Promote(None)),
    ];
    finds(Lie::AcknowledgesEarly, Invariant::Durability, Profile::Synchronous, &steps);
}

#[test]
fn a_core_that_uses_no_replica() {
    finds(Lie::ReadsOnThePrimary, Invariant::ReadsOnReplicas, Profile::Synchronous, &[]);
}

#[test]
fn a_core_that_serves_nobody() {
    finds(Lie::Nobody, Invariant::WritesGoOn, Profile::Synchronous, &[]);
    finds(Lie::Nobody, Invariant::ReadsGoOn, Profile::Synchronous, &[]);
}
