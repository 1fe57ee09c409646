//! `up --detach`: this program again, in the background.

use std::{env, fs, process::Stdio};

use tokio::{
    process::{Child, Command},
    time::{Duration, sleep},
};

use super::{CliError, args::Up, control, operation::Operation, run_folder, say};

pub(crate) async fn up(name: &str, up: &Up) -> Result<(), CliError> {
    // Mistakes in the arguments are said here and not in a log.
    up.builder()?;
    if control::is_up(name)? {
        return Err(CliError::UpAlready { name: name.to_owned() });
    }
    let path = run_folder::log(name)?;
    let failed = || CliError::io(format!("cannot write {}", path.display()));
    let log = fs::File::create(&path).map_err(failed())?;
    let copy = log.try_clone().map_err(failed())?;
    let program = env::current_exe().map_err(CliError::io("cannot find this program again"))?;
    // The same words again, and a word that says who we are then.
    let words = env::args_os().skip(1).filter(|word| word != "--detach");
    let mut child = Command::new(program)
        .args(words)
        .arg("--in-background")
        .stdin(Stdio::null())
        .stdout(copy)
        .stderr(log)
        .spawn()
        .map_err(CliError::io("cannot start this program again"))?;
    tokio::select! {
        came_up = wait(name, &mut child) => came_up?,
        _ = tokio::signal::ctrl_c() => {
            // Its guardian removes what it had started.
            let _ = child.kill().await;
            return Err(CliError::Refused("interrupted before it was up".to_owned()));
        }
    }
    say(fs::read_to_string(&path).unwrap_or_default().trim_end());
    Ok(())
}

/// The socket is there at once, and is answered once the lab is up.
async fn wait(name: &str, child: &mut Child) -> Result<(), CliError> {
    let question = Operation::Url { database: "postgres".to_owned() };
    loop {
        if control::request(name, &question).await.is_ok() {
            return Ok(());
        }
        if let Ok(Some(_)) | Err(_) = child.try_wait() {
            let text = fs::read_to_string(run_folder::log(name)?).unwrap_or_default();
            let text = text.trim_start_matches("millpond-lab: ").trim_end();
            return Err(CliError::Refused(text.to_owned()));
        }
        sleep(Duration::from_millis(10)).await;
    }
}
