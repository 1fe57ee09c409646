//! `functions`: the list of PostgreSQL's own functions that only read, from the server's catalog.

mod list;
mod reviewed;

use std::fs;

use anyhow::{Context as _, Result, bail};

use crate::{command::Cmd, postgres, workspace::Workspace};
use list::{Answer, List};

/// The list, and the tables that people keep beside it.
const LIST: &str = "crates/sql/src/functions/postgres_generated.rs";
const TABLES: &str = "crates/sql/src/functions/postgres.rs";

const AFTER: &str = "\
Starts a throw-away server and asks its pg_proc. What it says of its own version takes the place of what the list knew of that version; \
what the list knows of other versions stays. So a name is on the list when no version calls a function of that name volatile. A \
volatile function must stand in one of the tables that people keep in crates/sql/src/functions/postgres.rs: EFFECTS, or HARMLESS for \
those that a standby runs without harm.

MILLPOND_LAB_PG_BIN names the folder of another version's server programs. The lists of MySQL and MariaDB are kept by hand: those \
servers have no catalog of what their functions do.";

/// Update the list of PostgreSQL's functions that only read from the catalog of the installed server.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub(crate) struct Options {
    /// Compare instead of writing: fails when the list would change, or a volatile function was not reviewed
    #[arg(long)]
    check: bool,
}

/// The version, then a line for each function: its name, and how volatile it is. The names of types are among them, since
/// `inet(x)` is another spelling of `x::inet`. A volatile function that no statement can call is left out.
const ASK: &str = r"
select current_setting('server_version') || E'\n' || string_agg(name || ' ' || volatile, E'\n' order by name, volatile)
from (
    select proname::text as name, provolatile::text as volatile
    from pg_proc
    where pronamespace = 'pg_catalog'::regnamespace and not (
        provolatile = 'v' and (
            'internal'::regtype = any (proargtypes)
            or prorettype in ('internal'::regtype, 'trigger'::regtype, 'event_trigger'::regtype)
            or prorettype::regtype::text like '%\_handler'
        )
    )
    union select typname::text, 'i' from pg_type
    where typnamespace = 'pg_catalog'::regnamespace and typtype in ('b', 'r', 'm') and typname not like '\_%' and typrelid = 0
) of_the_server";

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    postgres::ensure(workspace)?;
    // With the features that the tests are built with, behind which there is nothing left to build.
    workspace.cargo().words("build --workspace --all-features --example ask").run()?;
    let ask = Cmd::new(workspace.target().join("debug/examples/ask")).folder(&workspace.path("")).args([ASK]);
    let answer = ask.output().context("cannot ask a server for its functions")?;
    let answer = Answer::parse(&answer).context("cannot understand the server's answer")?;
    let before = List::parse(&workspace.read(LIST)?).with_context(|| format!("cannot understand {LIST}"))?;
    let tables =
        reviewed::names(&workspace.read(TABLES)?).with_context(|| format!("cannot understand {TABLES}"))?;
    let mut after = before.clone();
    after.merge(&answer);

    let mut changes = before.changes(&after);
    if !before.knows(&answer) {
        changes.insert(0, format!("PostgreSQL {} was not asked before", answer.version));
    }
    let unreviewed: Vec<_> = after.volatile().filter(|name| !tables.contains(*name)).collect();
    println!("PostgreSQL {}: {} names, {} in {LIST}", answer.version, answer.count(), after.reads().count());
    if !changes.is_empty() {
        println!("\n{LIST} differs:");
        changes.iter().for_each(|change| println!("  {change}"));
    }
    if !unreviewed.is_empty() {
        println!("\nvolatile, and in no table of {TABLES}:");
        unreviewed.iter().for_each(|name| println!("  {name}: {}", after.origin(name)));
    }
    if !options.check {
        let path = workspace.path(LIST);
        fs::write(&path, after.text()).with_context(|| format!("cannot write {LIST}"))?;
        println!("\nwritten to {LIST}");
    }
    verdict(changes.len(), unreviewed.len(), options)
}

/// What is to be done next, as an error.
fn verdict(changes: usize, unreviewed: usize, options: &Options) -> Result<()> {
    if unreviewed > 0 {
        bail!(
            "volatile functions that were not reviewed: {unreviewed}. Find out what each does on a standby and to the session, and put it \
             into EFFECTS or HARMLESS of {TABLES}. Until then it is unknown, and goes to the primary"
        );
    }
    if options.check && changes > 0 {
        bail!("the list is not what the server says: run `cargo xtask functions`, and commit {LIST}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_check_fails_for_a_change_and_both_for_what_was_not_reviewed() {
        let (check, write) = (Options { check: true }, Options { check: false });
        assert!(verdict(0, 0, &check).is_ok());
        assert!(verdict(1, 0, &write).is_ok());
        assert!(verdict(1, 0, &check).unwrap_err().to_string().contains("run `cargo xtask functions`"));
        for options in [check, write] {
            let error = verdict(0, 2, &options).unwrap_err().to_string();
            assert!(error.contains("not reviewed: 2.") && error.contains("HARMLESS"), "{error}");
        }
    }
}
