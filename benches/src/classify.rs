//! The group `classify`: the criterion bench of that name in interleaved rounds.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::criterion::{Effort, build, turn};
use crate::figures::{Check, Reading};
use crate::machine::{target, versions_in, workspace};
use crate::rounds::{Measured, Runs};
use crate::statements::{Statement, statements};
use crate::table::{Beside, Column, Ratio, ratio, show_ratio};

/// The packages whose versions stand beside the figures.
pub const PACKAGES: [&str; 4] = ["criterion", "foldhash", "millpond-sql", "sqlparser"];

/// What takes part: the last word of the benches' names.
pub const SYSTEMS: [&str; 5] = ["millpond", "sqlparser", "floor", "millpond-cached", "floor-cached"];

/// What also does where it can be built: PostgreSQL's own parser, and its number of a statement's form.
pub const PG_QUERY: [&str; 2] = ["pg_query", "pg_query-fingerprint"];

/// The package of its bench, which is outside of the workspace.
const LIBPG_QUERY: &str = "fuzz/libpg_query";

/// What ratios refer to.
pub const REFERENCE: &str = "millpond";

/// The columns of the table.
pub const COLUMNS: [Column; 1] =
    [Column { title: "ns", metric: "time", decimals: 1, beside: Beside::EndsAndRatio }];

/// Texts from this length on, in bytes, are held to the aims of reading. What is shorter costs what a call costs.
const LONG: usize = 40;

/// How often, and how long, criterion measures.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How often each system has its turn.
    pub rounds: usize,
    /// What a turn does.
    pub effort: Effort,
}

/// A system, and the program that measures it.
#[derive(Clone, Debug)]
pub struct System {
    name: &'static str,
    program: PathBuf,
}

/// Builds what measures the systems.
///
/// # Errors
///
/// When it cannot be built.
pub fn systems() -> Result<Vec<System>> {
    eprintln!("classify: building the bench; the first time takes some minutes");
    let program = build("classify", &["--package", "millpond-benches", "--no-default-features"], &target())?;
    Ok(SYSTEMS.map(|name| System { name, program: program.clone() }).into())
}

/// Builds what measures libpg_query, and tells the version of its crate.
///
/// # Errors
///
/// When it cannot be built.
pub fn pg_query() -> Result<(Vec<System>, BTreeMap<String, String>)> {
    eprintln!("classify: building the bench of libpg_query; the first time takes some minutes");
    let package = workspace().join(LIBPG_QUERY);
    let manifest = package.join("Cargo.toml");
    let manifest = manifest.to_str().context("the path of the repository is no text")?;
    // Where the fuzzers are built: a clean of the workspace's folder takes it along.
    let folder = target().join("fuzz/build");
    let program = build("classify", &["--manifest-path", manifest, "--no-default-features"], &folder);
    let program = program.context("without --pg-query it is left out")?;
    let lock = fs::read_to_string(package.join("Cargo.lock")).context("the lock file of libpg_query")?;
    let systems = PG_QUERY.map(|name| System { name, program: program.clone() });
    Ok((systems.into(), versions_in(&lock, &["pg_query"])))
}

/// Runs the bench, system by system and round by round; each round begins with another system.
///
/// # Errors
///
/// When a bench cannot be run, or leaves no estimate.
pub fn measure(systems: &[System], plan: Plan) -> Result<Vec<Measured>> {
    let scenarios: Vec<_> = statements().into_iter().map(|statement| statement.scenario).collect();
    let mut runs: BTreeMap<(&str, &str), Vec<Vec<Reading>>> = BTreeMap::new();
    for round in 0..plan.rounds {
        eprintln!("classify: round {} of {}", round + 1, plan.rounds);
        for place in 0..systems.len() {
            let System { name, program } = &systems[(round + place) % systems.len()];
            let values = turn(program, name, &scenarios, plan.effort);
            let values = values.with_context(|| format!("round {}", round + 1))?;
            for (scenario, value) in scenarios.iter().zip(values) {
                let reading = Reading { metric: "time", unit: "ns", value };
                runs.entry((scenario, name)).or_default().push(vec![reading]);
            }
        }
    }
    let measured = scenarios.into_iter().map(|scenario| {
        let of = |system: &System| Runs {
            system: system.name,
            runs: runs.remove(&(scenario, system.name)).unwrap_or_default(),
        };
        Measured { scenario: scenario.to_owned(), systems: systems.iter().map(of).collect() }
    });
    Ok(measured.collect())
}

/// What the classifier is to reach: by the medians, as the file has them, with the ends of the rounds beside.
#[must_use]
pub fn checks(measured: &Measured) -> Vec<Check> {
    let scenario = &measured.scenario;
    let is_long = |statement: &Statement| statement.scenario == scenario && statement.sql.len() >= LONG;
    let mut all = Vec::new();
    let mut check = |what: &str, system: &str, found: Option<Ratio>, holds: fn(f64) -> bool| {
        all.extend(found.map(|ratio| Check {
            name: format!("{scenario}: {what}"),
            system: system.to_owned(),
            holds: holds(ratio.of_medians),
            figure: show_ratio(ratio),
        }));
    };
    if statements().iter().any(is_long) {
        let parsing = ratio(measured, "time", "sqlparser", "millpond");
        check("at least 30 times as fast as sqlparser", "millpond", parsing, |times| times >= 30.0);
        let scan = ratio(measured, "time", "millpond", "floor");
        check("at most 6 times the scan", "millpond", scan, |times| times <= 6.0);
    }
    let look_up = ratio(measured, "time", "millpond-cached", "floor-cached");
    check("a hit at most twice a look-up", "millpond-cached", look_up, |times| times <= 2.0);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_texts_are_as_long_as_the_group_says() {
        let lengths = statements().into_iter().map(|statement| (statement.scenario, statement.sql.len()));
        let expected = [
            ("pk-select", 47),
            ("ten-join", 754),
            ("insert-returning", 93),
            ("cte", 263),
            ("data-modifying-cte", 145),
            ("in-list-4k", 4519),
            ("update", 69),
            ("begin", 5),
        ];
        assert_eq!(lengths.collect::<Vec<_>>(), expected);
    }

    fn checked(scenario: &str, times: [f64; 5]) -> Vec<(String, bool, String)> {
        let runs = |(system, time): (&'static str, f64)| {
            let run = |factor| vec![Reading { metric: "time", unit: "ns", value: time * factor }];
            Runs { system, runs: [1.0, 4.0, 2.0].map(run).into() }
        };
        let systems = SYSTEMS.into_iter().zip(times).map(runs).collect();
        let checks = checks(&Measured { scenario: scenario.to_owned(), systems });
        checks.into_iter().map(|check| (check.name, check.holds, check.figure)).collect()
    }

    #[test]
    fn long_texts_are_held_to_all_aims_and_short_ones_to_that_of_the_cache() {
        // millpond, sqlparser, floor, millpond-cached, floor-cached
        let found = checked("pk-select", [10.0, 301.0, 1.6, 30.0, 16.0]);
        let [parsing, scan, hit] = &found[..] else { panic!("{found:?}") };
        assert!(parsing.1 && parsing.2 == "30.10 (30.10..30.10)", "{parsing:?}");
        assert!(!scan.1 && scan.2 == "6.25 (6.25..6.25)", "{scan:?}");
        assert!(hit.1 && hit.2 == "1.88 (1.88..1.88)", "{hit:?}");
        let found = checked("begin", [10.0, 20.0, 1.0, 33.0, 16.0]);
        let [hit] = &found[..] else { panic!("{found:?}") };
        assert!(hit.0.starts_with("begin: ") && !hit.1, "{hit:?}");
        assert!(!checked("update", [10.0, 299.0, 2.0, 1.0, 1.0])[0].1);
    }
}
