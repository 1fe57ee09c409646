//! The command line `millpond-lab`: real PostgreSQL clusters on loopback.
//!
//! `up` holds the cluster; every other command asks it over a socket, so each operation is the library's.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
