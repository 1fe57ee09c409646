//! The one form of every number that the project claims, and its file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{fmt, fs};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::machine::{self, Machine};
use crate::spread::Spread;

/// One value of one run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// What was measured.
    pub metric: &'static str,
    /// In what.
    pub unit: &'static str,
    /// How much.
    pub value: f64,
}

/// One number, over all repeats.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// What was done.
    pub scenario: String,
    /// By whom.
    pub system: String,
    /// What was measured.
    pub metric: String,
    /// In what.
    pub unit: String,
    /// The value in the middle.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The most.
    pub max: f64,
    /// How many runs gave a value.
    pub repeats: usize,
}

/// Something that holds or does not, and the figure that shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What should hold.
    pub name: String,
    /// For whom.
    pub system: String,
    /// Whether it does.
    pub holds: bool,
    /// What was measured.
    pub figure: String,
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", if self.holds { "holds" } else { "FAILS" }, self.name, self.figure)
    }
}

/// All figures of a group.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The group's name, which is the file's too.
    pub group: String,
    /// The commit of the sources.
    pub commit: String,
    /// When it was made.
    pub made: String,
    /// Where.
    pub machine: Machine,
    /// Of every program and library that takes part.
    pub versions: BTreeMap<String, String>,
    /// The numbers.
    pub figures: Vec<Figure>,
    /// What holds.
    pub checks: Vec<Check>,
}

impl Report {
    /// An empty one, of here and now.
    #[must_use]
    pub fn new(group: &str, versions: BTreeMap<String, String>) -> Self {
        Self {
            group: group.to_owned(),
            commit: machine::commit(),
            made: machine::now(),
            machine: Machine::this(),
            versions,
            figures: Vec::new(),
            checks: Vec::new(),
        }
    }

    /// Prints what holds, writes the file, and gives the exit status of the group: with `is_strict` a failure where something does not hold.
    /// Without, on a busy machine say, it is for its reader to judge.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn end(&self, is_strict: bool) -> Result<ExitCode> {
        self.print_checks();
        println!("\nwritten to {}", self.write(&folder())?.display());
        let is_well = !is_strict || self.all_hold();
        Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Prints what holds and what does not.
    pub fn print_checks(&self) {
        for check in &self.checks {
            println!("{check}");
        }
    }

    /// Whether all holds that should.
    #[must_use]
    pub fn all_hold(&self) -> bool {
        self.checks.iter().all(|check| check.holds)
    }

    /// Writes `GROUP.json` into a folder, and says where.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<PathBuf> {
        let file = folder.join(&self.group).with_extension("json");
        let text = serde_json::to_string_pretty(self)? + "\n";
        let written = fs::create_dir_all(folder).and_then(|()| fs::write(&file, text));
        written.with_context(|| format!("cannot write {}", file.display()))?;
        Ok(file)
    }
}

/// Where the files of all groups lie.
#[must_use]
pub fn folder() -> PathBuf {
    machine::workspace().join("target/figures")
}

/// The figures of one system in one scenario: each metric over the runs that have it, in the order of the first run.
#[must_use]
pub fn figures_of(scenario: &str, system: &str, runs: &[Vec<Reading>]) -> Vec<Figure> {
    let mut kinds = Vec::new();
    for reading in runs.iter().flatten() {
        if !kinds.contains(&(reading.metric, reading.unit)) {
            kinds.push((reading.metric, reading.unit));
        }
    }
    let figure = |(metric, unit): (&str, &str)| {
        let Spread { median, min, max, repeats } = Spread::of(values_of(runs, metric).flatten().collect())?;
        let (scenario, system) = (scenario.to_owned(), system.to_owned());
        let (metric, unit) = (metric.to_owned(), unit.to_owned());
        Some(Figure { scenario, system, metric, unit, median, min, max, repeats })
    };
    kinds.into_iter().filter_map(figure).collect()
}

/// The value of a metric in each run.
pub fn values_of(runs: &[Vec<Reading>], metric: &str) -> impl Iterator<Item = Option<f64>> {
    runs.iter()
        .map(move |run| run.iter().find(|reading| reading.metric == metric).map(|reading| reading.value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs() -> Vec<Vec<Reading>> {
        let run = |value| vec![Reading { metric: "qps", unit: "1/s", value }];
        let mut runs = vec![run(10.0), run(30.0), run(20.0)];
        runs[1].push(Reading { metric: "p50_ms", unit: "ms", value: 0.5 });
        runs
    }

    #[test]
    fn a_metric_is_summed_up_over_the_runs_that_have_it() {
        let figures = figures_of("point/c8/t1/loopback", "deadpool", &runs());
        let [qps, p50] = &figures[..] else { panic!("{figures:?}") };
        assert_eq!(
            (qps.metric.as_str(), qps.median, qps.min, qps.max, qps.repeats),
            ("qps", 20.0, 10.0, 30.0, 3)
        );
        assert_eq!((p50.metric.as_str(), p50.median, p50.repeats), ("p50_ms", 0.5, 1));
    }

    #[test]
    fn the_file_has_the_form_and_nothing_else() {
        let mut report = Report::new("compare", BTreeMap::from([("tokio".to_owned(), "1.2.3".to_owned())]));
        report.figures = figures_of("point/c8/t1/loopback", "deadpool", &runs()[..1]);
        let (name, system, figure) = ("fair".to_owned(), "millpond".to_owned(), "0 %".to_owned());
        report.checks.push(Check { name, system, holds: true, figure });
        assert!(report.all_hold());
        let fails = Check { holds: false, ..report.checks[0].clone() };
        assert!(!Report { checks: vec![report.checks[0].clone(), fails], ..report.clone() }.all_hold());
        let json: serde_json::Value = serde_json::from_str(&serde_json::to_string(&report).unwrap()).unwrap();
        let keys = |value: &serde_json::Value| {
            let mut keys: Vec<_> = value.as_object().unwrap().keys().cloned().collect();
            keys.sort();
            keys.join(" ")
        };
        assert_eq!(keys(&json), "checks commit figures group machine made versions");
        assert_eq!(keys(&json["machine"]), "cores cpu os rustc");
        assert_eq!(keys(&json["figures"][0]), "max median metric min repeats scenario system unit");
        assert_eq!(keys(&json["checks"][0]), "figure holds name system");
        assert_eq!(json["versions"]["tokio"], "1.2.3");
        assert_eq!(json["figures"][0]["median"], 10.0);
        assert_eq!(json["checks"][0]["holds"], true);
    }
}
