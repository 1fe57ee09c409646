//! Asks a throw-away server one thing, and prints the first value of the first row:
//! `cargo run -p millpond-lab --example ask -- "select version()"`.

use std::{env, process::ExitCode};

use millpond_lab::{Lab, LabError};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Some(sql) = env::args().nth(1) else {
        eprintln!("usage: ask SQL");
        return ExitCode::from(2);
    };
    match ask(&sql).await {
        Ok(answer) => {
            println!("{}", answer.unwrap_or_default());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("ask: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn ask(sql: &str) -> Result<Option<String>, LabError> {
    let lab = Lab::builder().replicas(0).up().await?;
    let answer = lab.primary().ask("postgres", sql).await;
    lab.down().await?;
    answer
}
