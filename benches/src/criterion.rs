//! Plain criterion benches in rounds: built once, then run by filter, each time into an empty folder.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use serde_json::Value;

use crate::machine::workspace;

/// How much criterion does in one turn of one bench.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// How many samples it takes.
    pub samples: u32,
    /// How long it runs before it measures, in seconds.
    pub warm_up: f64,
    /// How long it measures, in seconds.
    pub measure: f64,
}

/// How often criterion draws its samples again to tell how sure it is, which nobody asks here.
const RESAMPLES: &str = "1001";

/// What of criterion's estimates is read: nanoseconds.
#[derive(Debug, Deserialize)]
struct Estimates {
    median: Estimate,
}

#[derive(Debug, Deserialize)]
struct Estimate {
    point_estimate: f64,
}

/// Builds the bench `name` as `cargo bench` with these arguments would, and gives its program. Cargo shows what it does on
/// standard error.
///
/// # Errors
///
/// When it cannot be built.
pub fn build(name: &str, arguments: &[&str], target: &Path) -> Result<PathBuf> {
    let wanted = ["bench", "--no-run", "--bench", name];
    build_with(&[&wanted[..], arguments].concat(), "bench", name, target)
}

/// Builds the program `name` of this package, and gives it.
///
/// # Errors
///
/// When it cannot be built.
pub fn build_program(name: &str, target: &Path) -> Result<PathBuf> {
    let package = env!("CARGO_PKG_NAME");
    build_with(&["build", "--release", "--package", package, "--bin", name], "bin", name, target)
}

fn build_with(arguments: &[&str], kind: &str, name: &str, target: &Path) -> Result<PathBuf> {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // What cargo told this program about its own package would make build scripts run again.
    let is_ours =
        |name: &str| ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"].iter().any(|p| name.starts_with(p));
    for (variable, _) in env::vars_os().filter(|(variable, _)| is_ours(&variable.to_string_lossy())) {
        command.env_remove(variable);
    }
    command.current_dir(workspace()).env("CARGO_TARGET_DIR", target);
    let output = command.args(arguments).args(["--message-format", "json-render-diagnostics"]);
    let output = output.stderr(Stdio::inherit()).output().context("cannot run cargo")?;
    ensure!(output.status.success(), "cannot build the {kind} `{name}`: cargo says above why");
    let messages = String::from_utf8_lossy(&output.stdout);
    program(&messages, kind, name).with_context(|| format!("cargo built no program of the {kind} `{name}`"))
}

/// The program of that kind and name in what `cargo --message-format json` prints.
fn program(messages: &str, kind: &str, name: &str) -> Option<PathBuf> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut ours = messages.filter(|message| {
        let kinds = message["target"]["kind"].as_array();
        message["target"]["name"] == name
            && kinds.is_some_and(|kinds| kinds.iter().any(|other| other == kind))
    });
    ours.find_map(|message| message["executable"].as_str().map(PathBuf::from))
}

/// One turn of one system: runs its bench of every scenario, `SCENARIO/SYSTEM`, and gives their medians in ns.
///
/// # Errors
///
/// When the program fails, or leaves no estimate of a scenario.
pub fn turn(program: &Path, system: &str, scenarios: &[&str], effort: Effort) -> Result<Vec<f64>> {
    // In a folder of its own no estimate of another turn can be taken for one of this.
    let home = tempfile::tempdir().context("cannot make a folder for criterion")?;
    let mut command = Command::new(program);
    command.current_dir(workspace()).env("CRITERION_HOME", home.path());
    command.args(["--bench", "--noplot", "--nresamples", RESAMPLES]);
    command.args(["--sample-size", &effort.samples.to_string()]);
    command.args(["--warm-up-time", &effort.warm_up.to_string()]);
    command.args(["--measurement-time", &effort.measure.to_string(), &format!("/{system}$")]);
    let output = command.output().with_context(|| format!("cannot run {}", program.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{system}: the bench ended with {}\n{}", output.status, said.trim_end());
    scenarios.iter().map(|scenario| median(home.path(), scenario, system)).collect()
}

fn median(home: &Path, scenario: &str, system: &str) -> Result<f64> {
    let file = home.join(scenario).join(system).join("new/estimates.json");
    let text = fs::read_to_string(&file);
    let text = text.with_context(|| format!("the bench left no estimate of {scenario}/{system}"))?;
    let estimates = serde_json::from_str::<Estimates>(&text);
    let estimates = estimates.with_context(|| format!("criterion's estimate of {scenario}/{system}"))?;
    Ok(estimates.median.point_estimate)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const EFFORT: Effort = Effort { samples: 10, warm_up: 0.1, measure: 0.1 };

    /// A program that stands for a bench.
    fn script(folder: &Path, text: &str) -> PathBuf {
        let file = folder.join("bench");
        fs::write(&file, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        file
    }

    #[test]
    fn each_turn_reads_what_it_measured_itself() {
        let folder = tempfile::tempdir().unwrap();
        // It counts its turns, and has nothing to say in the third.
        let count = folder.path().join("count");
        let text = format!(
            "echo >> {count}\nturn=$(wc -l < {count})\n[ $turn = 3 ] && exit\n\
             mkdir -p $CRITERION_HOME/begin/ours/new\n\
             echo \"{{\\\"median\\\": {{\\\"point_estimate\\\": $turn.5}}}}\" > $CRITERION_HOME/begin/ours/new/estimates.json",
            count = count.display()
        );
        let program = script(folder.path(), &text);
        let turn = || turn(&program, "ours", &["begin"], EFFORT);
        assert_eq!(turn().unwrap(), [1.5]);
        assert_eq!(turn().unwrap(), [2.5]);
        assert_eq!(turn().unwrap_err().to_string(), "the bench left no estimate of begin/ours");
    }

    #[test]
    fn a_bench_that_fails_is_told_with_its_own_words() {
        let folder = tempfile::tempdir().unwrap();
        let program = script(folder.path(), "echo 'no such filter' >&2\nexit 3");
        let error = turn(&program, "ours", &["begin"], EFFORT).unwrap_err().to_string();
        assert!(error.starts_with("ours: ") && error.contains("no such filter"), "{error}");
    }

    #[test]
    fn the_program_is_that_of_the_bench_and_not_of_another_target_of_its_name() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"classify","kind":["bin"]},"executable":"/t/a"}
{"reason":"compiler-artifact","target":{"name":"point","kind":["bench"]},"executable":"/t/b"}
{"reason":"compiler-artifact","target":{"name":"classify","kind":["bench"]},"executable":"/t/c"}
{"reason":"build-finished","success":true}"#;
        assert_eq!(program(messages, "bench", "classify"), Some(PathBuf::from("/t/c")));
        assert_eq!(program(messages, "bench", "missing"), None);
    }
}
