//! What chance brings, from a fixed list of seeds.

use std::time::Duration;

use millpond_sim::report::Quantity;
use millpond_sim::settings::Faults;
use millpond_sim::{Profile, Report, Settings, run};

fn settings(profile: Profile, nodes: usize, clients: usize, seconds: u64) -> Settings {
    Settings {
        profile,
        nodes,
        clients,
        processes: 3,
        spares: 2,
        length: Duration::from_secs(seconds),
        faults: Faults::Random(Duration::from_secs(120)),
        ..Settings::default()
    }
}

#[track_caller]
fn all_good(seeds: std::ops::Range<u64>, settings: &Settings) -> Report {
    let runs = seeds.map(|seed| {
        let report = run(seed, settings);
        assert!(report.is_good(), "{}, seed {seed}\n{report}", settings.profile);
        report
    });
    let sum = |mut all: Report, one| {
        all.add(&one);
        all
    };
    let all = runs.reduce(sum).expect("there are seeds");
    assert!(all.quantity(Quantity::WritesDone) > 1000 && all.share_on_replicas() > 0.4, "{all}");
    all
}

#[test]
fn three_nodes_with_commits_that_wait() {
    let all = all_good(0..3, &settings(Profile::Synchronous, 3, 25, 400));
    assert!(all.to_first_write.len() > 20, "{all}");
}

#[test]
fn three_nodes_with_commits_that_do_not_wait() {
    let all = all_good(0..3, &settings(Profile::Asynchronous, 4, 25, 400));
    assert!(all.counts["acknowledged writes discarded by failovers"] > 0, "{all}");
}

#[test]
fn two_nodes() {
    all_good(0..2, &settings(Profile::Asynchronous, 2, 25, 400));
}

#[test]
fn many_nodes_and_clients() {
    let settings =
        Settings { think: Duration::from_secs(8), ..settings(Profile::Asynchronous, 40, 1000, 100) };
    all_good(0..1, &settings);
}

#[test]
fn the_same_seed_gives_the_same_history() {
    let settings = settings(Profile::Asynchronous, 4, 20, 100);
    let [one, same, other] = [8, 8, 9].map(|seed| run(seed, &settings));
    assert_eq!(one.history, same.history);
    assert_eq!(one.to_string(), same.to_string());
    assert_ne!(one.history, other.history);
}
