//! Every example, run against a cluster of its own.

use std::{
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, Stdio},
};

use anyhow::{Context as _, Result, bail};

use super::report::Outcome;
use crate::{
    command::{Cmd, Kept},
    metadata::Metadata,
    workspace::Workspace,
};

const PACKAGE: &str = "millpond-examples";

pub(super) fn run(workspace: &Workspace, kept: &Kept) -> Result<Outcome> {
    let examples = Metadata::read(workspace)?.member(PACKAGE)?.examples.clone();
    if examples.is_empty() {
        bail!("{PACKAGE} has no examples");
    }
    workspace.cargo().words("build --package millpond-lab --bin millpond-lab").run_kept(kept)?;
    let program = workspace.target().join("debug").join("millpond-lab");
    let mut failed = Vec::new();
    for example in &examples {
        // Each on a new cluster, so that none depends on what another left.
        let lab = Running::up(&program, &format!("xtask-{}-{example}", std::process::id()))?;
        let cargo = workspace.cargo().args(["run", "--quiet", "--package", PACKAGE, "--example", example]);
        if let Err(error) = cargo.env("DATABASE_URL", lab.url()?).run_kept(kept) {
            failed.push(format!("{error:#}"));
        }
    }
    if !failed.is_empty() {
        bail!("{} of {} examples failed: {}", failed.len(), examples.len(), failed.join("; "));
    }
    println!("{} examples passed: {}", examples.len(), examples.join(", "));
    Ok(Outcome::Passed)
}

/// A lab that ends with this value. It is in our process group, so Ctrl-C ends it too.
struct Running {
    program: PathBuf,
    name: String,
    process: Child,
}

impl Running {
    fn up(program: &std::path::Path, name: &str) -> Result<Self> {
        let up = Cmd::new(program).args(["up", "--replicas", "2", "--name", name]);
        let mut process = up
            .into_command()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start a lab")?;
        let stdout = process.stdout.take().context("a lab without output")?;
        let lab = Self { program: program.to_owned(), name: name.to_owned(), process };
        // It speaks once it is up; when it cannot come up it ends, and said why on stderr.
        let mut line = String::new();
        let mut stdout = BufReader::new(stdout);
        if stdout.read_line(&mut line)? == 0 {
            bail!("the lab did not come up");
        }
        println!("{}", line.trim_end());
        // The rest of what it says, which nobody needs, must not block it.
        std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
        Ok(lab)
    }

    fn url(&self) -> Result<String> {
        let url = Cmd::new(&self.program).args(["url", "--name", &self.name]).output()?;
        Ok(url.trim().to_owned())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let told = Cmd::new(&self.program).args(["down", "--name", &self.name]).works();
        if !told {
            // Its guardian ends the servers.
            let _ = self.process.kill();
        }
        let _ = self.process.wait();
    }
}
