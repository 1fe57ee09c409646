//! The control socket: one line asks, `ok` or `error` and a text answer, then the connection ends.

use std::{fs, io, os::unix::net::UnixStream as StdStream, path::PathBuf, time::Duration};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    time::timeout,
};

use super::{CliError, operation::Operation, run_folder};

/// Longer than any operation: each of its steps ends by itself.
const ANSWER: Duration = Duration::from_secs(180);

/// An operation is short; a peer that sends more, or nothing, is none of ours.
const LINE: u64 = 4096;

/// The socket of a lab, removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Control {
    pub(crate) listener: UnixListener,
    path: PathBuf,
}

impl Control {
    /// Takes the name, unless a lab that is up has it. A socket that nobody listens on is left from one that
    /// was killed.
    pub(crate) fn listen(name: &str) -> Result<Self, CliError> {
        let path = run_folder::socket(name)?;
        let failed = || CliError::io(format!("cannot listen on {}", path.display()));
        if is_up(name)? {
            return Err(CliError::UpAlready { name: name.to_owned() });
        }
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed()(error)),
            _ => {}
        }
        let listener = UnixListener::bind(&path).map_err(failed())?;
        Ok(Self { listener, path })
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // Left behind, it is removed by the next lab of this name.
        let _ = fs::remove_file(&self.path);
    }
}

/// Whether somebody listens on the socket of `name`.
pub(crate) fn is_up(name: &str) -> Result<bool, CliError> {
    Ok(StdStream::connect(run_folder::socket(name)?).is_ok())
}

/// Asks the lab `name`, and returns its text.
pub(crate) async fn request(name: &str, operation: &Operation) -> Result<String, CliError> {
    let path = run_folder::socket(name)?;
    let Ok(mut stream) = UnixStream::connect(&path).await else {
        return Err(CliError::NotUp { name: name.to_owned() });
    };
    let line = format!("{operation}\n");
    let mut answer = String::new();
    let asked = async {
        stream.write_all(line.as_bytes()).await?;
        stream.read_to_string(&mut answer).await
    };
    let failed = CliError::io(format!("no answer from the lab `{name}` to `{operation}`; is it still up?"));
    timeout(ANSWER, asked).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(failed)?;
    match answer.split_once('\n') {
        Some(("ok", text)) => Ok(text.to_owned()),
        Some(("error", text)) => Err(CliError::Refused(text.to_owned())),
        _ => Err(CliError::Refused(format!("the lab `{name}` ended before it answered `{operation}`"))),
    }
}

/// Reads what a client asks.
pub(crate) async fn receive(stream: &mut UnixStream) -> Result<Operation, String> {
    let mut line = String::new();
    let read = async { BufReader::new(stream.take(LINE)).read_line(&mut line).await };
    match timeout(Duration::from_secs(5), read).await {
        Ok(Ok(_)) => Operation::parse(&line),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("nothing was asked".to_owned()),
    }
}

/// Answers. That the client has gone meanwhile changes nothing.
pub(crate) async fn answer(mut stream: UnixStream, result: Result<String, String>) {
    let text = match result {
        Ok(text) => format!("ok\n{text}"),
        Err(text) => format!("error\n{text}"),
    };
    let _ = stream.write_all(text.as_bytes()).await;
    let _ = stream.shutdown().await;
}
