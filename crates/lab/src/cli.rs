//! What is typed, done.

mod args;
mod control;
mod detach;
mod operation;
mod run_folder;
mod serve;
mod table;

use std::{
    fmt::Display,
    io::{self, Write as _},
    process::ExitCode,
};

use clap::Parser as _;

use args::{Args, Command};

/// Why a command did not do what it was to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    #[error(transparent)]
    Lab(#[from] millpond_lab::LabError),
    /// What the process that holds the lab answered.
    #[error("{0}")]
    Refused(String),
    #[error("no lab `{name}` is up; start it with `millpond-lab up --name {name}`")]
    NotUp { name: String },
    #[error(
        "a lab `{name}` is up already; end it with `millpond-lab down --name {name}`, or choose another --name"
    )]
    UpAlready { name: String },
    #[error("{what}: {source}")]
    Io { what: String, source: io::Error },
}

impl CliError {
    fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// 2 is clap's, for what cannot be parsed.
    fn code(&self) -> ExitCode {
        match self {
            Self::NotUp { .. } => ExitCode::from(3),
            _ => ExitCode::FAILURE,
        }
    }
}

pub(crate) fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("cannot start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            error.code()
        }
    }
}

async fn run(args: Args) -> Result<(), CliError> {
    let name = args::checked(&args.name)?;
    match args.command {
        Command::Up(up) if up.detach => detach::up(&name, &up).await,
        Command::Up(up) => serve::up(&name, &up).await,
        Command::Operation(operation) => {
            say(control::request(&name, &operation).await?.trim_end());
            Ok(())
        }
    }
}

/// Prints a text, if there is one. That nobody reads it is no reason to end a lab.
pub(crate) fn say(text: &str) {
    if !text.is_empty() {
        let _ = writeln!(io::stdout(), "{text}");
    }
}

fn complain(error: &impl Display) {
    let _ = writeln!(io::stderr(), "millpond-lab: {error}");
}
