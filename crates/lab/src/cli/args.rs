//! The arguments.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use millpond_lab::{Folder, Lab, LabBuilder, Replication};

use super::{CliError, operation::Operation};

const AFTER: &str = "\
Environment:
  MILLPOND_LAB_PG_BIN   the folder of postgres, initdb and pg_basebackup
  MILLPOND_LAB_FOLDER   where labs make their folders, instead of TMPDIR, /dev/shm or /tmp
  MILLPOND_LAB_USER     whom the servers run as when this is started by root (postgres, else nobody)
  MILLPOND_LAB_KEEP     1 keeps the folder with data and logs

Exit codes: 0 done, 1 not done, 2 wrong usage, 3 no such lab is up.";

/// Real PostgreSQL clusters on loopback: a primary and streaming replicas to lag, freeze, stop, kill, promote
/// and cut off.
///
/// `up` starts one and stays; the other commands are typed in another terminal while it runs.
#[derive(Debug, Parser)]
#[command(name = "millpond-lab", version, after_help = AFTER)]
pub(crate) struct Args {
    /// Which lab, when several are up
    #[arg(long, global = true, default_value = "default")]
    pub(crate) name: String,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a cluster and hold it until Ctrl-C
    Up(Up),
    #[command(flatten)]
    Operation(Operation),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Up {
    /// How many replicas, besides the primary
    #[arg(short, long, default_value_t = 2)]
    pub(crate) replicas: usize,

    /// The first port for clients; the nodes have this and the next ones [default: free ones]
    #[arg(short, long)]
    pub(crate) port: Option<u16>,

    /// Let each commit wait until one replica has it
    #[arg(long)]
    pub(crate) synchronous: bool,

    /// A PostgreSQL setting for all nodes
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub(crate) settings: Vec<String>,

    /// The folder of postgres, initdb and pg_basebackup [default: looked for]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) bin: Option<PathBuf>,

    /// Where the lab makes its folder [default: TMPDIR, /dev/shm or /tmp]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) folder: Option<PathBuf>,

    /// Keep the folder with data and logs
    #[arg(long)]
    pub(crate) keep: bool,

    /// Return once the cluster is up; `millpond-lab down` ends it
    #[arg(long)]
    pub(crate) detach: bool,

    /// We are the process that `--detach` leaves in the background
    #[arg(long, hide = true)]
    pub(crate) in_background: bool,
}

impl Up {
    pub(crate) fn builder(&self) -> Result<LabBuilder, CliError> {
        let mut builder = Lab::builder().replicas(self.replicas);
        if self.synchronous {
            builder = builder.replication(Replication::Synchronous);
        }
        if self.keep {
            builder = builder.folder(Folder::Keep);
        }
        if let Some(port) = self.port {
            builder = builder.port(port);
        }
        if let Some(folder) = &self.bin {
            builder = builder.binaries(folder);
        }
        if let Some(folder) = &self.folder {
            builder = builder.parent_folder(folder);
        }
        for setting in &self.settings {
            let Some((name, value)) = setting.split_once('=') else {
                let text = format!("--set {setting}: say NAME=VALUE, as in --set work_mem=8MB");
                return Err(CliError::Refused(text));
            };
            builder = builder.setting(name.trim(), value.trim());
        }
        Ok(builder)
    }
}

/// A lab's name becomes a file name.
pub(crate) fn checked(name: &str) -> Result<String, CliError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if (1..=40).contains(&name.len()) && name.chars().all(plain) {
        return Ok(name.to_owned());
    }
    Err(CliError::Refused(format!("--name {name:?}: use 1 to 40 letters, digits, `-` and `_`")))
}
