//! What can go wrong, said once and with the next step.

use std::{error::Error, fmt, io, path::PathBuf, time::Duration};

/// What the lab was doing when something went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// Making the first data folder with `initdb`.
    InitDb,
    /// Writing settings and certificates.
    Configure,
    /// Starting a server and waiting for it to answer.
    Start,
    /// Stopping a server.
    Stop,
    /// Killing a server.
    Kill,
    /// Stopping the processes of a server where they stand.
    Freeze,
    /// Letting them go on.
    Thaw,
    /// Copying a data folder with `pg_basebackup`.
    Copy,
    /// Taking a data folder back to the fork with `pg_rewind`.
    Rewind,
    /// Waiting for a replica to stream.
    Stream,
    /// Pausing, resuming or delaying replay.
    Replay,
    /// Waiting for a replica to replay what the primary has.
    CatchUp,
    /// Promoting a replica.
    Promote,
    /// Attaching a replica to another primary.
    Follow,
    /// Running a statement for the caller.
    Ask,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InitDb => "initdb",
            Self::Configure => "writing settings",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Kill => "kill",
            Self::Freeze => "freeze",
            Self::Thaw => "thaw",
            Self::Copy => "base backup",
            Self::Rewind => "rewind",
            Self::Stream => "waiting for streaming",
            Self::Replay => "changing replay",
            Self::CatchUp => "catching up",
            Self::Promote => "promote",
            Self::Follow => "follow",
            Self::Ask => "asking",
        })
    }
}

/// An operation of the lab that did not succeed. The message names the node, the phase and the next step.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LabError {
    /// The server programs are not on this machine, or not complete.
    #[error(
        "{what}; install them with `apt-get install postgresql` or `brew install postgresql`, or set MILLPOND_LAB_PG_BIN to the folder that holds initdb"
    )]
    #[non_exhaustive]
    Binaries {
        /// What was looked for and where.
        what: String,
    },
    /// Started by root, and no other user to run the servers as.
    #[error(
        "PostgreSQL refuses to run as root and {what}; create the user `postgres` or name another in MILLPOND_LAB_USER"
    )]
    #[non_exhaustive]
    User {
        /// Which users were tried.
        what: String,
    },
    /// A setting of the builder that cannot be.
    #[error("the setting `{setting}` of the lab cannot be used: {reason}")]
    #[non_exhaustive]
    Setting {
        /// Which one.
        setting: String,
        /// Why not, and what would do.
        reason: String,
    },
    /// A port that the caller fixed is taken.
    #[error(
        "port {port} for node {node} cannot be had ({source}); choose another port, or none and the lab finds free ones"
    )]
    #[non_exhaustive]
    Port {
        /// The node that was to have it.
        node: String,
        /// The port.
        port: u16,
        /// What the system said.
        source: io::Error,
    },
    /// A file or folder could not be made or read.
    #[error("{what} {}: {source}; check the permissions and the free space, or choose another folder with MILLPOND_LAB_FOLDER", path.display())]
    #[non_exhaustive]
    Folder {
        /// What was tried.
        what: &'static str,
        /// With which path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A program of PostgreSQL, or the guardian's shell, could not be run at all.
    #[error("cannot run {} ({source}); check that it exists and that the user of the servers may run it", program.display())]
    #[non_exhaustive]
    Spawn {
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A program of PostgreSQL ended with an error.
    #[error("{node}: {phase} failed: {output}{}", hint(output))]
    #[non_exhaustive]
    Program {
        /// The node it worked for.
        node: String,
        /// What was going on.
        phase: Phase,
        /// The last lines that it wrote.
        output: String,
    },
    /// A server did not start, or ended while it started.
    #[error("{node}: the server ended during {phase}; the end of its log:\n{log}\nthe whole log is {}: start the lab with MILLPOND_LAB_KEEP=1 to keep it", path.display())]
    #[non_exhaustive]
    Server {
        /// The node.
        node: String,
        /// What was going on.
        phase: Phase,
        /// The last lines of the server's log.
        log: String,
        /// Where the log is.
        path: PathBuf,
    },
    /// Nothing changed for as long as the lab waits.
    #[error("{node}: {phase} did not end within {waited:?}; {seen}")]
    #[non_exhaustive]
    Timeout {
        /// The node.
        node: String,
        /// What was going on.
        phase: Phase,
        /// How long it was waited for.
        waited: Duration,
        /// What was seen last, and what to try.
        seen: String,
    },
    /// The server answered with an error, or not at all.
    #[error("{node}: {phase} failed: {}", said(source.as_ref()))]
    #[non_exhaustive]
    Sql {
        /// The node.
        node: String,
        /// What was going on.
        phase: Phase,
        /// What the driver said.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The node is not in a state in which this can be done.
    #[error("{node} is {state}, so {phase} cannot be done; {next}")]
    #[non_exhaustive]
    State {
        /// The node.
        node: String,
        /// What was asked for.
        phase: Phase,
        /// The state it is in.
        state: &'static str,
        /// What to do first.
        next: &'static str,
    },
    /// There is no node of this name.
    #[error("there is no node `{name}`; the nodes are {known}")]
    #[non_exhaustive]
    NoSuchNode {
        /// The name asked for.
        name: String,
        /// The names that exist.
        known: String,
    },
    /// The process list could not be read or a signal not sent.
    #[error("{node}: {phase}: cannot signal or list its processes ({source})")]
    #[non_exhaustive]
    Process {
        /// The node.
        node: String,
        /// What was going on.
        phase: Phase,
        /// What the system said.
        source: io::Error,
    },
    /// The lab is down: this node has no servers any more.
    #[error("the lab is down; keep the `Lab` alive for as long as its nodes are used")]
    Down,
    /// Something may have survived the lab.
    #[error("the lab in {} was not torn down completely ({what}); look for processes that work in that folder, end them and remove it", folder.display())]
    #[non_exhaustive]
    TearDown {
        /// The folder of the lab.
        folder: PathBuf,
        /// What the guardian reported.
        what: String,
    },
}

/// The driver's own text says only "db error"; what the server said is in its source.
fn said(error: &(dyn Error + Send + Sync + 'static)) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

fn hint(output: &str) -> &'static str {
    if output.contains("Permission denied") {
        "\nthe user of the servers must be able to enter the folder: choose another with MILLPOND_LAB_FOLDER"
    } else if output.contains("No space left") {
        "\nfree some space, or choose another folder with MILLPOND_LAB_FOLDER"
    } else {
        ""
    }
}
