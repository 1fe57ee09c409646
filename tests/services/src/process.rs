//! A service that runs as a process.

use std::env;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::SERVICES;
use crate::client::Client;

/// A service that runs. Dropped, it is killed.
#[derive(Debug)]
pub struct Service {
    _process: Child,
    client: Client,
}

impl Service {
    /// Starts one, and waits until it listens.
    ///
    /// # Panics
    ///
    /// When it was not built, or does not start.
    pub async fn start(name: &str, url: &str) -> Self {
        let mut command = Command::new(program(name));
        command.env("DATABASE_URL", url).env("LISTEN", "127.0.0.1:0");
        // What it says goes to the test's output, where a failure is told.
        let mut process = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let mut lines = BufReader::new(process.stdout.take().expect("its output is piped")).lines();
        let line = timeout(Duration::from_secs(30), lines.next_line()).await;
        let line = line.unwrap_or_else(|_| panic!("{name} does not listen within 30 s"));
        let line = line.expect("its output is text").unwrap_or_else(|| panic!("{name} ended at once"));
        let address = line.strip_prefix("listening on ").unwrap_or_else(|| panic!("{name} said {line}"));
        Self { client: Client::new(address), _process: process }
    }

    /// One who calls it.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client.clone()
    }
}

/// The program of a package, in the folder above that of this test.
fn program(name: &str) -> PathBuf {
    let test = env::current_exe().expect("a test knows where it is");
    let folder = test.ancestors().nth(2).expect("a test is in a folder of a folder");
    let program = folder.join(name).with_extension(env::consts::EXE_EXTENSION);
    if !program.is_file() {
        let packages = SERVICES.map(|service| format!(" -p {service}")).concat();
        panic!("there is no {}: build it by `cargo build{packages}`", program.display());
    }
    program
}
