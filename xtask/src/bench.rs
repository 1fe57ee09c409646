//! `bench`: measures a group of figures.

use std::fs;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::{libclang, postgres, workspace::Workspace};

/// One group of figures: a program of the package `millpond-benches` of the same name.
#[derive(Debug)]
struct Group {
    name: &'static str,
    what: &'static str,
    needs: Needs,
}

/// What a group takes beside cargo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    Nothing,
    Servers,
    /// What compiles libpg_query, a system that is left out where that is not there.
    Libclang,
}

/// How the program of a group is told that libpg_query can be built.
const PG_QUERY: &str = "--pg-query";

const GROUPS: [Group; 7] = [
    Group {
        name: "adapters",
        what: "point reads by sqlx, sea-orm and diesel-async, and by ours in their place; over two replicas",
        needs: Needs::Servers,
    },
    Group {
        name: "classify",
        what: "reading a statement: millpond beside sqlparser, libpg_query, a scan and a look-up",
        needs: Needs::Libclang,
    },
    Group {
        name: "compare",
        what: "point reads on loopback: millpond beside deadpool-postgres and tokio-postgres",
        needs: Needs::Servers,
    },
    Group {
        name: "own-writes",
        what: "reading an own write from a replica over a relay of 1 ms, beside reading from any",
        needs: Needs::Servers,
    },
    Group {
        name: "pool",
        what: "taking a connection and giving it back: millpond beside deadpool, bb8, mobc and fast_pool",
        needs: Needs::Nothing,
    },
    Group {
        name: "route",
        what: "deciding where a statement runs, and the whole way without a server, beside a checkout of deadpool's",
        needs: Needs::Nothing,
    },
    Group {
        name: "shop-mix",
        what: "a shop's traffic by one plain handle over two replicas: how much of it they serve",
        needs: Needs::Servers,
    },
];

/// Measure a group and write target/figures/GROUP.json.
///
/// Every figure stands beside a peer's of the same run, and a comparison is a ratio within one file.
#[derive(Debug, clap::Args)]
#[command(after_help = groups())]
pub(crate) struct Options {
    /// What to measure, see below
    #[arg(value_name = "GROUP")]
    group: String,

    /// The short form: fewer scenarios and repeats, for CI
    #[arg(long)]
    quick: bool,

    /// Further arguments for the program; `cargo xtask bench GROUP -- --help` lists them
    #[arg(last = true, value_name = "ARGS")]
    rest: Vec<String>,
}

fn groups() -> String {
    let lines = GROUPS.iter().map(|group| format!("  {:<11} {}", group.name, group.what));
    format!("Groups:\n{}", lines.collect::<Vec<_>>().join("\n"))
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let Some(group) = GROUPS.iter().find(|group| group.name == options.group) else {
        bail!("there is no group `{}`\n\n{}", options.group, groups());
    };
    let more = match group.needs {
        Needs::Nothing => None,
        Needs::Servers => postgres::ensure(workspace).map(|()| None)?,
        Needs::Libclang => pg_query(&options.rest),
    };
    // In the repository also where cargo builds somewhere else: it is what people look for.
    let file = workspace.path("target/figures").join(format!("{}.json", group.name));
    let before = fs::metadata(&file).and_then(|file| file.modified()).ok();
    let cargo = workspace.cargo().words("run --release --package millpond-benches --bin");
    cargo
        .args([group.name, "--"])
        .args(options.quick.then_some("--quick"))
        .args(more)
        .args(&options.rest)
        .run()?;
    if options.rest.iter().any(|arg| arg == "--help") {
        return Ok(());
    }
    let shown = workspace.relative(&file);
    let after = fs::metadata(&file).and_then(|file| file.modified()).ok();
    if after.is_none() || after == before {
        bail!("the program ended well and wrote no {shown}");
    }
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {shown}"))?;
    let figures = count(&text, group.name).with_context(|| format!("{shown} is not as it should be"))?;
    println!("{figures} figures in {shown}");
    Ok(())
}

/// The argument that takes libpg_query in, where it can be built.
fn pg_query(rest: &[String]) -> Option<&'static str> {
    let missing = libclang::missing();
    if missing.is_empty() {
        return (!rest.iter().any(|arg| arg == PG_QUERY)).then_some(PG_QUERY);
    }
    let missing = missing.join(" and ");
    println!(
        "pg_query is left out: {missing} not found; `cargo xtask setup --libclang` installs what it takes"
    );
    None
}

/// How many figures and checks a file of a group holds.
fn count(text: &str, group: &str) -> Result<usize> {
    let file: Value = serde_json::from_str(text)?;
    if file["group"] != group {
        bail!("it is of group {} and not `{group}`", file["group"]);
    }
    let held = ["figures", "checks"].iter().filter_map(|list| file[*list].as_array()).map(Vec::len).sum();
    if held == 0 {
        bail!("it holds no figures");
    }
    Ok(held)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_figures_names_its_group_and_is_not_empty() {
        let text = r#"{ "group": "compare", "figures": [{ "median": 1.0 }], "checks": [] }"#;
        assert_eq!(count(text, "compare").unwrap(), 1);
        assert!(count(text, "pool").unwrap_err().to_string().contains("\"compare\""));
        assert!(count(r#"{ "group": "compare", "figures": [] }"#, "compare").is_err());
    }

    #[test]
    fn the_help_lists_every_group() {
        for group in GROUPS {
            assert!(groups().contains(group.name));
        }
    }
}
