//! `test`: all set-up, then everything, in order, with a table of what happened.

mod examples;
mod report;
mod steps;

use std::{
    io::{self, Write as _},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

use crate::{command::Kept, workspace::Workspace};
use report::{Outcome, Row};

/// How long one step may take. The longest, with everything still to be compiled, takes a quarter of this.
const LIMIT: Duration = Duration::from_secs(25 * 60);

/// Do all set-up and run every check and test.
///
/// A step that fails does not hide the later ones. The last line counts the steps, and the exit status is 0 only
/// when none failed.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The daily loop: format, clippy of the whole workspace, layers, documents, unit and integration tests
    #[arg(long)]
    quick: bool,

    /// Leave out what starts PostgreSQL: lab tests, whole-system tests, the list of functions, examples, demo and benches
    #[arg(long)]
    skip_servers: bool,

    /// Print the steps and run nothing
    #[arg(long)]
    list: bool,

    /// Run only steps whose name contains this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let mut steps = steps::all(workspace, options)?;
    if let Some(text) = &options.only {
        steps.retain(|step| step.name.contains(text.as_str()));
        if steps.is_empty() {
            bail!("no step's name contains `{text}`; `cargo xtask test --list` prints them");
        }
    }
    if options.list {
        for step in &steps {
            println!("{}", step.name);
        }
        return Ok(());
    }
    let count = steps.len();
    let rows: Vec<Row> = steps
        .into_iter()
        .enumerate()
        .map(|(number, step)| {
            println!("\n== {} of {count}: {} ==", number + 1, step.name);
            let _ = io::stdout().flush();
            let (start, kept) = (Instant::now(), Kept::default());
            let _limited = limited(step.name.clone());
            let outcome = match (step.run)(workspace, &kept) {
                Ok(outcome) => outcome,
                Err(error) => {
                    let text = format!("error: {error:#}");
                    println!("{text}");
                    text.lines().for_each(|line| kept.add(line));
                    Outcome::Failed(kept.into_lines())
                }
            };
            let row = Row { name: step.name, outcome, seconds: start.elapsed().as_secs_f64() };
            println!("-- {}: {} after {:.1} s", row.name, row.outcome, row.seconds);
            row
        })
        .collect();
    print!("{}", report::text(&rows));
    if rows.iter().any(|row| matches!(row.outcome, Outcome::Failed(_))) {
        // The report has said it all.
        std::process::exit(1);
    }
    Ok(())
}

/// Ends this program with a message if what is returned still stands at the limit: better one lost run than one that
/// never ends.
fn limited(step: String) -> mpsc::Sender<()> {
    let (standing, ended) = mpsc::channel();
    thread::spawn(move || {
        if ended.recv_timeout(LIMIT) == Err(RecvTimeoutError::Timeout) {
            println!(
                "\n== {step} did not end within {} minutes; nothing after it was run ==",
                LIMIT.as_secs() / 60
            );
            std::process::exit(1);
        }
    });
    standing
}
