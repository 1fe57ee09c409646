//! The server that all systems talk to: one PostgreSQL node of the lab.

use anyhow::{Context, Result};
use millpond_lab::Lab;
use tokio::runtime::{Builder, Runtime};

use crate::cpu::ProcessTree;

/// More than any table here needs, so that no figure is one of the disk or of the cache.
pub const SHARED_BUFFERS: &str = "512MB";

/// One running node, alone: whoever is compared talks to the same server.
#[derive(Debug)]
pub struct Server {
    lab: Lab,
    processes: ProcessTree,
    /// Apart from the runtimes under load.
    control: Runtime,
}

impl Server {
    /// Starts it.
    ///
    /// # Errors
    ///
    /// What the lab says.
    pub fn up() -> Result<Self> {
        let control = Builder::new_current_thread().enable_all().build()?;
        let lab = Lab::builder().replicas(0).setting("shared_buffers", SHARED_BUFFERS);
        let lab = control.block_on(lab.up()).context("the server does not start")?;
        let processes = ProcessTree::of_postgres(&lab.primary().data_folder())?;
        Ok(Self { lab, processes, control })
    }

    /// Its URL, past the lab's relay: that runs in this process, and would count as the client's CPU.
    #[must_use]
    pub fn url(&self) -> String {
        let port = self.lab.primary().direct_port();
        format!("postgres://postgres@127.0.0.1:{port}/postgres?sslmode=disable")
    }

    /// Its processes.
    #[must_use]
    pub const fn processes(&self) -> ProcessTree {
        self.processes
    }

    /// Runs statements, and gives the first value of the first row.
    ///
    /// # Errors
    ///
    /// What the server says.
    pub fn ask(&self, sql: &str) -> Result<String> {
        let answer = self.control.block_on(self.lab.primary().ask("postgres", sql));
        Ok(answer.with_context(|| format!("preparing the server: {sql}"))?.unwrap_or_default())
    }

    /// How many connections clients have to it now.
    ///
    /// # Errors
    ///
    /// What the server says.
    pub fn client_connections(&self) -> Result<f64> {
        let clients = "select count(*) from pg_stat_activity \
                       where backend_type = 'client backend' and pid <> pg_backend_pid()";
        self.ask(clients)?.parse().context("the server did not count")
    }

    /// Ends it.
    ///
    /// # Errors
    ///
    /// When something may be left.
    pub fn down(self) -> Result<()> {
        Ok(self.control.block_on(self.lab.down())?)
    }
}
