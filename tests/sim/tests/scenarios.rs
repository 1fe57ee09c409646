//! What goes wrong by a list, one named test each. The servers take 0 for the primary and the rest for replicas; a spare comes last.

use std::time::Duration;

use millpond_sim::report::Quantity;
use millpond_sim::settings::Faults;
use millpond_sim::{Profile, Report, Settings, Step, run};

const NO_TIME: Duration = Duration::ZERO;
const SECOND: Duration = Duration::from_secs(1);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Runs it in both profiles, each with some seeds, and gives what came of all.
#[track_caller]
fn all_is_well(steps: &[(u64, Step)]) -> Report {
    sum(well(Profile::Synchronous, steps), well(Profile::Asynchronous, steps))
}

#[track_caller]
fn well(profile: Profile, steps: &[(u64, Step)]) -> Report {
    let steps = steps.iter().map(|(at, step)| (ms(*at), *step)).collect();
    let settings = Settings { profile, faults: Faults::Scripted(steps), ..Settings::default() };
    let runs = (1..=2).map(|seed| {
        let report = run(seed, &settings);
        assert!(report.is_good(), "{profile}, seed {seed}\n{report}");
        assert!(report.quantity(Quantity::WritesDone) > 100, "{profile}, seed {seed}\n{report}");
        report
    });
    runs.reduce(sum).expect("there are seeds")
}

fn sum(mut all: Report, one: Report) -> Report {
    all.add(&one);
    all
}

/// The worst time from a promotion to the first write behind it.
fn worst(report: &Report) -> Duration {
    report.to_first_write.iter().copied().max().unwrap_or(Duration::MAX)
}

#[test]
fn when_nothing_fails_nothing_fails() {
    let report = all_is_well(&[]);
    assert_eq!(
        report.quantity(Quantity::WritesFailed) + report.quantity(Quantity::ReadsFailed),
        0,
        "{report}"
    );
    assert!(report.share_on_replicas() > 0.9, "{report}");
}

#[test]
fn failover() {
    let report =
        all_is_well(&[(5000, Step::Crash(0, NO_TIME)), (6500, Step::Promote(None)), (9000, Step::Start(0))]);
    assert_eq!(report.to_first_write.len(), 4, "{report}");
    let asynchronous =
        well(Profile::Asynchronous, &[(5000, Step::Crash(0, NO_TIME)), (6500, Step::Promote(None))]);
    assert!(worst(&asynchronous) < SECOND, "a promotion is followed within a second\n{asynchronous}");
}

#[test]
fn failover_that_discards_writes() {
    // Nothing reaches the replicas any more, and then the primary dies.
    let steps = [
        (5000, Step::Disconnect(1)),
        (5000, Step::Disconnect(2)),
        (6000, Step::Crash(0, NO_TIME)),
        (7000, Step::Promote(Some(1))),
        (9000, Step::Start(0)),
    ];
    let report = well(Profile::Asynchronous, &steps);
    assert_eq!(report.counts["promotions that discarded acknowledged writes"], 2, "{report}");
}

#[test]
fn switchover() {
    let report = all_is_well(&[(5000, Step::Stop(0)), (5200, Step::Promote(None)), (7000, Step::Start(0))]);
    assert!(!report.counts.contains_key("promotions that discarded acknowledged writes"), "{report}");
    assert_eq!(report.to_first_write.len(), 4, "{report}");
}

#[test]
fn primary_restarted() {
    all_is_well(&[(5000, Step::Crash(0, NO_TIME)), (6000, Step::Start(0))]);
}

#[test]
fn old_primary_back_as_a_second_writer() {
    all_is_well(&[
        (5000, Step::Crash(0, NO_TIME)),
        (6000, Step::Promote(Some(1))),
        (6100, Step::StartAsPrimary(0)),
        (12_000, Step::Crash(1, NO_TIME)),
        (14_000, Step::Start(1)),
        (20_000, Step::Follow(0)),
    ]);
}

#[test]
fn promotion_beside_a_frozen_primary_that_thaws() {
    let steps = [
        (5000, Step::Freeze(0)),
        (6000, Step::Promote(Some(2))),
        (6100, Step::Thaw(0)),
        (12_000, Step::Follow(0)),
    ];
    well(Profile::Asynchronous, &steps);
}

#[test]
fn old_primary_known_to_one_process_only() {
    // One process does not get through to the new primary, the other not to the old one.
    let steps = [
        (4000, Step::Cut { process: 0, node: 1 }),
        (4000, Step::Cut { process: 1, node: 0 }),
        (5000, Step::Promote(Some(1))),
        (15_000, Step::Mend { process: 0, node: 1 }),
        (15_000, Step::Mend { process: 1, node: 0 }),
        (16_000, Step::Follow(0)),
    ];
    well(Profile::Asynchronous, &steps);
}

#[test]
fn restored_copy() {
    all_is_well(&[(5000, Step::Restore(3))]);
}

#[test]
fn failover_beside_a_restored_copy() {
    let steps = [
        (5000, Step::Restore(3)),
        (8000, Step::Crash(0, NO_TIME)),
        (9000, Step::Promote(Some(1))),
        (12_000, Step::Start(0)),
    ];
    let report = well(Profile::Asynchronous, &steps);
    assert!(worst(&report) < SECOND, "{report}");
    all_is_well(&steps);
}

#[test]
fn restored_copy_after_a_switchover() {
    // The old primary is seen as a replica before there is a new one, and then the copy comes.
    all_is_well(&[
        (5000, Step::Cut { process: 0, node: 1 }),
        (5000, Step::Stop(0)),
        (5100, Step::Promote(Some(1))),
        (7000, Step::Start(0)),
        (9000, Step::Restore(3)),
        (20_000, Step::Mend { process: 0, node: 1 }),
    ]);
}

#[test]
fn server_of_another_cluster() {
    all_is_well(&[(5000, Step::Stranger(3)), (9000, Step::Crash(0, NO_TIME)), (10_000, Step::Promote(None))]);
}

#[test]
fn crashed_replica_that_goes_back() {
    let steps: Vec<_> = (0..12)
        .flat_map(|round| {
            let at = 4000 + 2000 * round;
            let node = 1 + usize::try_from(round % 2).unwrap();
            [(at, Step::Crash(node, ms(700))), (at + 260, Step::Start(node))]
        })
        .collect();
    all_is_well(&steps);
}

/// So that a late proof, or a connection that came late, would be believed.
#[test]
fn replicas_that_crash_again_and_again_while_answers_are_late() {
    let mut steps = vec![(ms(3000), Step::SlowNetwork(ms(500)))];
    for round in 0..110 {
        let at = 4000 + 1000 * round;
        let node = 1 + usize::try_from(round % 2).unwrap();
        steps.extend([(ms(at), Step::Crash(node, ms(450))), (ms(at + 5), Step::Start(node))]);
    }
    let settings = Settings {
        profile: Profile::Asynchronous,
        clients: 100,
        length: ms(140_000),
        faults: Faults::Scripted(steps),
        ..Settings::default()
    };
    for seed in 0..2 {
        let report = run(seed, &settings);
        assert!(report.is_good(), "seed {seed}\n{report}");
    }
}

#[test]
fn frozen_replica() {
    let report = all_is_well(&[(5000, Step::Freeze(1)), (15_000, Step::Thaw(1))]);
    // It is found out, and what it holds runs elsewhere.
    assert_eq!(report.quantity(Quantity::ReadsFailed), 0, "{report}");
    assert!(report.counts["reads tried again"] > 0, "{report}");
}

#[test]
fn frozen_primary() {
    all_is_well(&[(5000, Step::Freeze(0)), (10_000, Step::Thaw(0))]);
}

#[test]
fn partition_between_processes() {
    all_is_well(&[
        (4000, Step::Cut { process: 0, node: 0 }),
        (4000, Step::Cut { process: 0, node: 1 }),
        (5000, Step::Crash(0, NO_TIME)),
        (6000, Step::Promote(Some(1))),
        (8000, Step::Start(0)),
        (14_000, Step::Mend { process: 0, node: 0 }),
        (18_000, Step::Mend { process: 0, node: 1 }),
    ]);
}

#[test]
fn new_primary_that_a_process_never_saw_following() {
    all_is_well(&[
        (0, Step::Cut { process: 0, node: 1 }),
        (5000, Step::Crash(0, NO_TIME)),
        (6000, Step::Promote(Some(1))),
        (7000, Step::Mend { process: 0, node: 1 }),
    ]);
}

#[test]
fn process_cut_off_from_all() {
    let cut = |process| (0..4).map(move |node| (5000, Step::Cut { process, node }));
    let mend = |process| (0..4).map(move |node| (17_000, Step::Mend { process, node }));
    all_is_well(&cut(1).chain(mend(1)).collect::<Vec<_>>());
}

#[test]
fn process_that_begins_again_beside_a_second_writer() {
    all_is_well(&[
        (5000, Step::Crash(0, NO_TIME)),
        (6000, Step::Promote(Some(1))),
        (7000, Step::StartAsPrimary(0)),
        (9000, Step::Restart(0)),
        (12_000, Step::Crash(1, NO_TIME)),
        (12_500, Step::Restart(1)),
        (16_000, Step::Start(1)),
        (20_000, Step::Follow(0)),
    ]);
}

#[test]
fn delayed_replica() {
    let steps = [(4000, Step::DelayReplay(1, ms(2500))), (4000, Step::DelayReplay(2, ms(400)))];
    let report = all_is_well(&steps);
    // The second one is fresh enough, and the first is not.
    assert!(report.share_on_replicas() > 0.4, "{report}");
}

#[test]
fn paused_replica() {
    all_is_well(&[
        (5000, Step::PauseReplay(1)),
        (5000, Step::PauseReplay(2)),
        (12_000, Step::ResumeReplay(1)),
    ]);
}

#[test]
fn disconnected_replica() {
    all_is_well(&[(5000, Step::Disconnect(1)), (12_000, Step::Follow(1))]);
}

#[test]
fn all_replicas_down() {
    let report = all_is_well(&[
        (5000, Step::Crash(1, SECOND)),
        (5000, Step::Crash(2, SECOND)),
        (12_000, Step::Start(1)),
        (13_000, Step::Start(2)),
    ]);
    assert!(report.reasons["replicas_down"] > 0, "{report}");
}

#[test]
fn mode_primary_only() {
    let report = well(
        Profile::Asynchronous,
        &[(2000, Step::PrimaryOnly(0, true)), (2000, Step::PrimaryOnly(1, true))],
    );
    assert!(report.share_on_replicas() < 0.6, "{report}");
}

#[test]
fn names_of_two_replicas_exchanged() {
    let steps = [(3000, Step::DelayReplay(1, ms(2500))), (6000, Step::Exchange(1, 2))];
    all_is_well(&steps);
}

#[test]
fn names_of_the_primary_and_a_replica_exchanged() {
    all_is_well(&[(5000, Step::Exchange(0, 1))]);
}

#[test]
fn two_nodes() {
    let steps = vec![
        (ms(5000), Step::Crash(0, NO_TIME)),
        (ms(6000), Step::Promote(None)),
        (ms(9000), Step::Start(0)),
    ];
    let settings = Settings {
        profile: Profile::Asynchronous,
        nodes: 2,
        spares: 0,
        faults: Faults::Scripted(steps),
        ..Settings::default()
    };
    let report = run(1, &settings);
    assert!(report.is_good(), "{report}");
}

#[test]
fn a_process_that_begins_beside_a_restored_copy_does_not_take_it() {
    // It cannot tell, and waits until the copy is gone.
    all_is_well(&[(5000, Step::Restore(3)), (8000, Step::Restart(0)), (10_000, Step::Vanish(3))]);
}

#[test]
fn a_process_that_begins_beside_a_stranger_does_not_take_it() {
    all_is_well(&[(5000, Step::Stranger(3)), (8000, Step::Restart(0))]);
}
