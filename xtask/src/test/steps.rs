//! The steps, in the order in which they run: what is quick to fail comes first.

use std::collections::BTreeSet;
use std::env;

use anyhow::Result;

use super::{Options, examples, report::Outcome};
use crate::{
    command::{Cmd, Kept},
    fuzz,
    metadata::Metadata,
    pgbouncer, postgres, postgres19, setup,
    workspace::Workspace,
};

/// What a step does.
type Run = Box<dyn FnOnce(&Workspace, &Kept) -> Result<Outcome>>;

/// One line of the report.
pub(super) struct Step {
    pub(super) name: String,
    pub(super) run: Run,
}

/// What starts servers, in nextest's language.
const WITHOUT_SERVERS: &str = "not (package(millpond-tests) or package(millpond-service-tests) or package(/^(before|after)-sqlx$/) or (package(/^millpond-(lab|deadpool|diesel|sea-orm|sqlx|tower)$/) and kind(test)))";

/// What starts a pooler in front of them, left out.
const WITHOUT_POOLER: &str = "not binary(pooler)";

/// What starts servers of PostgreSQL 19, left out.
const WITHOUT_POSTGRES_19: &str = "not binary(wait_for_lsn)";

/// Where the advisories are fetched from.
const ADVISORIES: &str = "https://github.com/RustSec/advisory-db";

pub(super) fn all(workspace: &Workspace, options: &Options) -> Result<Vec<Step>> {
    let metadata = Metadata::read(workspace)?;
    let (full, servers) = (!options.quick, !options.skip_servers);
    let deny = full && env::var("MILLPOND_DENY").as_deref() != Ok("no");
    let mut steps = vec![prerequisites(servers, deny)];
    steps.push(cargo("format", "fmt --all --check"));
    steps.push(cargo("clippy", "clippy --workspace --all-targets --all-features -- -D warnings"));
    if full {
        steps.extend(alone(&metadata));
        steps.extend(oldest_rust(&metadata));
        steps.push(rustdoc());
    }
    steps.push(xtask("check-layers", &["check-layers"]));
    if full {
        steps.push(xtask("check-dependencies", &["check-dependencies"]));
    }
    steps.push(xtask("check-docs", &["check-docs"]));
    if deny {
        steps.push(Step { name: "cargo-deny".to_owned(), run: Box::new(run_deny) });
    }
    if servers {
        // The tests start them, and cargo does not build the programs of other packages for a test. This program must not be built anew under itself.
        steps.push(cargo("services", "build --workspace --exclude xtask --bins --all-features"));
    }
    steps.push(tests(servers));
    if full {
        steps.push(cargo("doctests", "test --doc --workspace --all-features --no-fail-fast"));
    }
    if full {
        steps.push(xtask("sim", &["sim", "--quick"]));
        steps.push(model());
        steps.push(fuzzers(servers));
    }
    if full && servers {
        steps.push(xtask("functions", &["functions", "--check"]));
        steps.push(Step { name: "examples".to_owned(), run: Box::new(examples::run) });
        steps.push(xtask("demo", &["demo", "--seconds", "8"]));
        steps.push(xtask("chaos", &["chaos", "--quick"]));
        steps.push(xtask("bench compare", &["bench", "compare", "--quick"]));
        steps.push(xtask("bench adapters", &["bench", "adapters", "--quick"]));
        steps.push(xtask("bench own-writes", &["bench", "own-writes", "--quick"]));
        steps.push(xtask("bench shop-mix", &["bench", "shop-mix", "--quick"]));
    }
    if full {
        const SHORT: &[&str] = &["bench", "pool", "--quick", "--", "--rounds", "1", "--window-ms", "20"];
        steps.push(xtask("bench pool", SHORT));
        steps.push(xtask("bench route", &["bench", "route", "--quick"]));
        steps.push(xtask("rivals", &["rivals", "--quick"]));
    }
    Ok(steps)
}

/// A step that is one command.
fn command(name: impl Into<String>, build: impl FnOnce(&Workspace) -> Cmd + 'static) -> Step {
    let run = |workspace: &Workspace, kept: &Kept| build(workspace).run_kept(kept).map(|()| Outcome::Passed);
    Step { name: name.into(), run: Box::new(run) }
}

fn cargo(name: impl Into<String>, words: impl Into<String>) -> Step {
    let words = words.into();
    command(name, move |workspace| workspace.cargo().words(&words))
}

/// A command of ours, in a process of its own so that its output is kept as any other's.
fn xtask(name: &str, args: &'static [&'static str]) -> Step {
    command(name, move |workspace| match env::current_exe() {
        Ok(program) => Cmd::new(program).folder(&workspace.path("")).args(args),
        Err(_) => workspace.cargo().args(["xtask"]).args(args),
    })
}

fn prerequisites(servers: bool, deny: bool) -> Step {
    let run = move |workspace: &Workspace, _: &Kept| {
        setup::toolchain(workspace)?;
        setup::cargo_tool(workspace, "nextest")?;
        if deny {
            setup::cargo_tool(workspace, "deny")?;
        }
        if servers {
            postgres::ensure(workspace)?;
        }
        Ok(Outcome::Passed)
    };
    Step { name: "prerequisites".to_owned(), run: Box::new(run) }
}

/// Each published crate without the others, since together they turn on each other's features.
fn alone(metadata: &Metadata) -> Vec<Step> {
    let published = metadata.members.iter().filter(|package| package.published);
    let mut steps: Vec<_> = published
        .map(|package| {
            let name = &package.name;
            cargo(format!("clippy {name} alone"), format!("clippy --package {name} -- -D warnings"))
        })
        .collect();
    let words = "clippy --package millpond --features rustls --all-targets -- -D warnings";
    steps.push(cargo("clippy millpond with rustls", words));
    steps
}

/// The published crates by the oldest compilers that they say they take.
fn oldest_rust(metadata: &Metadata) -> Vec<Step> {
    let published = || metadata.members.iter().filter(|package| package.published);
    let versions: BTreeSet<_> = published().filter_map(|package| package.rust_version.clone()).collect();
    let one = |version: String| {
        let those = published().filter(|package| package.rust_version.as_ref() == Some(&version));
        let packages = those.map(|package| format!("--package={}", package.name)).collect();
        by_rust(version, packages)
    };
    versions.into_iter().map(one).collect()
}

/// Packages by a compiler, which is installed where that is ours to do.
fn by_rust(version: String, packages: Vec<String>) -> Step {
    let name = format!("rust {version}");
    let run = move |workspace: &Workspace, kept: &Kept| {
        let rustup = |words: &str| Cmd::new("rustup").folder(&workspace.path("")).words(words);
        let is_there = || rustup(&format!("run {version} cargo --version")).works();
        let install = format!("toolchain install {version} --profile minimal");
        if !is_there() && is_ci() {
            let _ = rustup(&install).works();
        }
        if !is_there() {
            return Ok(Outcome::PassedWithout(format!("no Rust {version}: `rustup {install}`")));
        }
        // Two compilers in one folder would build everything anew each time.
        let folder = workspace.target().join(format!("rust-{version}"));
        let check = rustup(&format!("run {version} cargo check --all-features")).args(packages);
        check.env("CARGO_TARGET_DIR", folder).run_kept(kept).map(|()| Outcome::Passed)
    };
    Step { name, run: Box::new(run) }
}

/// Whether nobody watches.
fn is_ci() -> bool {
    env::var("CI").is_ok_and(|value| !matches!(value.as_str(), "" | "0" | "false"))
}

fn rustdoc() -> Step {
    command("documentation", |workspace| {
        workspace.cargo().words("doc --no-deps --workspace --all-features").env("RUSTDOCFLAGS", "-D warnings")
    })
}

fn tests(servers: bool) -> Step {
    let run = move |workspace: &Workspace, kept: &Kept| {
        let cargo = workspace.cargo().words("nextest run --workspace --all-features --no-fail-fast");
        let cargo = cargo.args(is_ci().then_some("--profile=ci"));
        if !servers {
            cargo.args([format!("--filterset={WITHOUT_SERVERS}")]).run_kept(kept)?;
            return Ok(Outcome::Passed);
        }
        let (mut cargo, mut left_out, mut filters) = (cargo, Vec::new(), Vec::new());
        match pgbouncer::find_or_fetch(workspace)? {
            Some(program) => cargo = cargo.env(pgbouncer::VARIABLE, program),
            None => {
                left_out.push("the tests behind a pooler: no PgBouncer 1.21 or later");
                filters.push(WITHOUT_POOLER);
            }
        }
        match postgres19::find_or_fetch(workspace)? {
            Some(folder) => cargo = cargo.env(postgres19::VARIABLE, folder),
            None => {
                left_out.push("the tests of WAIT FOR LSN: no PostgreSQL 19");
                filters.push(WITHOUT_POSTGRES_19);
            }
        }
        if left_out.is_empty() {
            return cargo.run_kept(kept).map(|()| Outcome::Passed);
        }
        cargo.args([format!("--filterset={}", filters.join(" and "))]).run_kept(kept)?;
        Ok(Outcome::PassedWithout(left_out.join("; ")))
    };
    Step { name: "tests".to_owned(), run: Box::new(run) }
}

/// The pool's threads in some thousand orders, by a model checker that stands in for the runtime.
fn model() -> Step {
    command("model checker", |workspace| {
        // What is built for it is nothing that anybody else could use.
        let folder = workspace.target().join("model");
        let cargo = workspace.cargo().words("test --release --package millpond-pool --test shuttle");
        cargo.env("RUSTFLAGS", "--cfg shuttle").env("CARGO_TARGET_DIR", folder)
    })
}

/// The fuzzers' checks for some seconds each.
fn fuzzers(servers: bool) -> Step {
    let run = move |workspace: &Workspace, kept: &Kept| {
        let without = fuzz::run_smoke(workspace, kept, servers)?;
        Ok(without.map_or(Outcome::Passed, Outcome::PassedWithout))
    };
    Step { name: "fuzz".to_owned(), run: Box::new(run) }
}

fn run_deny(workspace: &Workspace, kept: &Kept) -> Result<Outcome> {
    let advisories = Cmd::new("git")
        .words("-c http.lowSpeedLimit=1 -c http.lowSpeedTime=10 ls-remote --quiet --exit-code")
        .args([ADVISORIES, "HEAD"]);
    let reachable = advisories.env("GIT_TERMINAL_PROMPT", "0").works();
    let which: &[&str] = if reachable { &["advisories"] } else { &[] };
    workspace
        .cargo()
        .words("deny --all-features check --hide-inclusion-graph bans licenses sources")
        .args(which)
        .run_kept(kept)?;
    if reachable {
        return Ok(Outcome::Passed);
    }
    Ok(Outcome::PassedWithout(format!("advisories: {ADVISORIES} cannot be reached")))
}
