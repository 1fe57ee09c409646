//! The second process: the same traffic over the same cluster, by a handle of its own. The two send each other tokens.
//!
//! A line of its input is what it is [told](Told); its end is the end of the run. A line of its output is a `Message`.

use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use fastrand::Rng;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, stdin, stdout};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::statements::connect;
use crate::traffic::{Notes, Told, Traffic};

/// How many tokens wait for the other process.
pub const WAITING: usize = 64;

/// What the second process needs to know.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "a message")]
pub struct Order {
    /// The cluster.
    pub url: String,
    /// When the run began, as [`Clock::start_nanos`] gives it.
    pub start_nanos: u64,
    /// How many clients write and read.
    pub clients: u32,
    /// The order of its statements.
    pub seed: u64,
}

/// What the second process says.
#[derive(Debug, Serialize, Deserialize)]
enum Message {
    /// A row was written.
    Told(Told),
    /// All that was noted: the last one.
    Notes(Notes),
}

/// Is the second process: runs until the input ends.
///
/// # Errors
///
/// No node that answers, or input that cannot be read.
pub async fn run(order: &Order) -> Result<()> {
    let db = connect(&order.url).await?;
    let (tokens, to_say) = mpsc::channel(WAITING);
    let (hear, told) = mpsc::channel(WAITING);
    let saying = tokio::spawn(say(to_say));
    let clock = Clock::of_start(order.start_nanos);
    let traffic = Traffic::new(db, clock, 1, order.clients, tokens);
    let clients = traffic.spawn(told, &mut Rng::with_seed(order.seed));
    let mut lines = BufReader::new(stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        // The last one may be cut short; and who has too much to do hears no more.
        if let Ok(told) = serde_json::from_str(&line) {
            let _ = hear.try_send(told);
        }
    }
    traffic.end();
    drop(hear);
    let notes = traffic.notes(clients).await?;
    // With it the last sender goes.
    drop(traffic);
    saying.await??;
    write_line(&mut stdout(), &Message::Notes(notes)).await
}

async fn say(mut tokens: mpsc::Receiver<Told>) -> Result<()> {
    let mut output = stdout();
    while let Some(told) = tokens.recv().await {
        write_line(&mut output, &Message::Told(told)).await?;
    }
    Ok(())
}

async fn write_line(
    output: &mut (impl tokio::io::AsyncWrite + Unpin),
    message: &impl Serialize,
) -> Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    output.write_all(&line).await?;
    Ok(output.flush().await?)
}

/// The second process, as the first one has it.
#[derive(Debug)]
pub struct Peer {
    child: Child,
    writing: JoinHandle<ChildStdin>,
    reading: JoinHandle<Result<Notes>>,
}

impl Peer {
    /// Starts it; `to_say` is what it is told, and what it tells goes to `hear`.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn start(order: &Order, to_say: mpsc::Receiver<Told>, hear: mpsc::Sender<Told>) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--peer", &serde_json::to_string(order)?])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("the second process")?;
        let input = child.stdin.take().context("its input")?;
        let output = child.stdout.take().context("its output")?;
        let (writing, reading) = (tokio::spawn(tell(input, to_say)), tokio::spawn(listen(output, hear)));
        Ok(Self { child, writing, reading })
    }

    /// Lets it end, and gives what it noted.
    ///
    /// # Errors
    ///
    /// When it failed.
    pub async fn end(mut self) -> Result<Notes> {
        // Its input ends with the task that writes it.
        self.writing.abort();
        drop(self.writing.await);
        let notes = self.reading.await?;
        let status = self.child.wait().await?;
        ensure!(status.success(), "the second process ended with {status}");
        notes
    }
}

/// Gives the input back when there is no more to tell, since its end is the end of the run.
async fn tell(mut input: ChildStdin, mut tokens: mpsc::Receiver<Told>) -> ChildStdin {
    while let Some(told) = tokens.recv().await {
        if write_line(&mut input, &told).await.is_err() {
            break;
        }
    }
    input
}

async fn listen(output: ChildStdout, hear: mpsc::Sender<Told>) -> Result<Notes> {
    let mut lines = BufReader::new(output).lines();
    while let Some(line) = lines.next_line().await? {
        match serde_json::from_str(&line)? {
            Message::Told(told) => drop(hear.try_send(told)),
            Message::Notes(notes) => return Ok(notes),
        }
    }
    anyhow::bail!("it said nothing of what it noted")
}
