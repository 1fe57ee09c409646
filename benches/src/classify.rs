//! The group `classify`: the criterion bench of that name in interleaved rounds.

use std::collections::BTreeMap;
use std::process::Command;
use std::{env, fs};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use crate::figures::{Check, Reading};
use crate::machine::workspace;
use crate::rounds::{Measured, Runs};
use crate::statements::statements;
use crate::table::{Beside, Column, ratio};

/// The packages whose versions stand beside the figures.
pub const PACKAGES: [&str; 4] = ["criterion", "foldhash", "millpond-sql", "sqlparser"];

/// What takes part: the last word of the benches' names.
pub const SYSTEMS: [&str; 5] = ["millpond", "sqlparser", "floor", "millpond-cached", "floor-cached"];

/// What ratios refer to.
pub const REFERENCE: &str = "millpond";

/// The columns of the table.
pub const COLUMNS: [Column; 1] =
    [Column { title: "ns", metric: "time", decimals: 1, beside: Beside::EndsAndRatio }];

/// How often, and how long, criterion measures.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How often each system has its turn.
    pub rounds: usize,
    /// How long a bench counts, in seconds.
    pub seconds: f64,
}

/// What of criterion's estimates is read: nanoseconds.
#[derive(Debug, Deserialize)]
struct Estimates {
    median: Estimate,
}

#[derive(Debug, Deserialize)]
struct Estimate {
    point_estimate: f64,
}

/// Runs the bench, system by system and round by round; each round begins with another system.
///
/// # Errors
///
/// When the bench cannot be built or run, or leaves no estimate.
pub fn measure(plan: Plan) -> Result<Vec<Measured>> {
    let names: Vec<_> = statements().into_iter().map(|statement| statement.scenario).collect();
    let mut runs: BTreeMap<(&str, &str), Vec<Vec<Reading>>> = BTreeMap::new();
    for round in 0..plan.rounds {
        eprintln!("classify: round {} of {}", round + 1, plan.rounds);
        for place in 0..SYSTEMS.len() {
            let system = SYSTEMS[(round + place) % SYSTEMS.len()];
            // An estimate of an older run must not be taken for this round's.
            for name in &names {
                forget(name, system)?;
            }
            bench(system, plan.seconds)?;
            for name in &names {
                let value = estimate(name, system)?;
                runs.entry((name, system)).or_default().push(vec![Reading {
                    metric: "time",
                    unit: "ns",
                    value,
                }]);
            }
        }
    }
    let measured = names.into_iter().map(|name| {
        let of = |system| Runs { system, runs: runs.remove(&(name, system)).unwrap_or_default() };
        Measured { scenario: name.to_owned(), systems: SYSTEMS.map(of).into() }
    });
    Ok(measured.collect())
}

/// Every scenario of one system.
fn bench(system: &str, seconds: f64) -> Result<()> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(workspace()).env("CRITERION_HOME", folder());
    command.args(["bench", "--quiet", "--package", "millpond-benches", "--bench", "classify", "--"]);
    command.args(["--noplot", "--sample-size", "20", "--warm-up-time", "0.05"]);
    command.args(["--measurement-time", &seconds.to_string(), &format!("/{system}$")]);
    let output = command.output().context("cannot run cargo bench")?;
    ensure!(output.status.success(), "{system}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn folder() -> std::path::PathBuf {
    workspace().join("target/criterion")
}

fn file_of(scenario: &str, system: &str) -> std::path::PathBuf {
    folder().join(scenario).join(system).join("new/estimates.json")
}

fn forget(scenario: &str, system: &str) -> Result<()> {
    let file = file_of(scenario, system);
    match fs::remove_file(&file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", file.display()))
        }
        _ => Ok(()),
    }
}

fn estimate(scenario: &str, system: &str) -> Result<f64> {
    let file = file_of(scenario, system);
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(serde_json::from_str::<Estimates>(&text)?.median.point_estimate)
}

/// What the classifier is to reach.
#[must_use]
pub fn checks(measured: &Measured) -> Vec<Check> {
    let scenario = &measured.scenario;
    let mut all = Vec::new();
    let mut check = |what: &str, system: &str, reference: &str, holds: fn(f64) -> bool| {
        let Some(found) = ratio(measured, "time", system, reference) else { return };
        all.push(Check {
            name: format!("{scenario}: {what}"),
            system: system.to_owned(),
            holds: holds(found.of_medians),
            figure: format!("{:.2}", found.of_medians),
        });
    };
    if scenario != "begin" {
        check("at most 1/30 of sqlparser's time", "millpond", "sqlparser", |ratio| ratio <= 1.0 / 30.0);
        check("at most 6 times the scan", "millpond", "floor", |ratio| ratio <= 6.0);
    }
    check("a hit at most twice a look-up", "millpond-cached", "floor-cached", |ratio| ratio <= 2.0);
    all
}
