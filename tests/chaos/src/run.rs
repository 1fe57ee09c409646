//! One run: a cluster, traffic over it, faults, and the check.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, Result};
use fastrand::Rng;
use millpond::postgres::Db;
use millpond_lab::{Lab, Replication};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep};

use crate::checker::{Durability, check};
use crate::faults::{Fault, Faults};
use crate::history::{Entry, Fate, Fork, History, Read, TokenRead, Write};
use crate::reader::{Found, read_answer};
use crate::report::Report;
use crate::traffic::{Notes, TABLE, Traffic};

/// How a run goes.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "what can be said of a run")]
pub struct Plan {
    /// What commits wait for.
    pub durability: Durability,
    /// How long faults are inflicted.
    pub length: Duration,
    /// How many clients write and read.
    pub clients: u32,
    /// The order of faults and statements follows from it, their times do not.
    pub seed: u64,
}

/// Runs it.
///
/// # Errors
///
/// When the servers do not do what they are told, or cannot be asked in the end.
pub async fn run(plan: &Plan) -> Result<Report> {
    let replication = match plan.durability {
        Durability::Synchronous => Replication::Synchronous,
        Durability::Asynchronous => Replication::Asynchronous,
    };
    let lab = Lab::builder().replicas(2).replication(replication).up().await?;
    lab.primary().ask("postgres", TABLE).await?;
    lab.caught_up().await?;
    let url = lab.url("postgres");
    let db = Db::connect(&url).await?;
    let (tokens, to_read) = mpsc::channel(64);
    let reader = Reader::start(&url, to_read)?;
    let traffic = Traffic::new(db.clone(), plan.clients, tokens);
    let start = Instant::now();
    let mut random = Rng::with_seed(plan.seed);
    let mut clients = JoinSet::new();
    for writer in 0..plan.clients {
        clients.spawn(traffic.clone().write_and_read(writer, random.fork()));
    }

    let mut faults = Faults::new(&lab, &db, plan.durability, random.fork());
    while start.elapsed() < plan.length {
        sleep(Duration::from_millis(random.u64(200..1500))).await;
        let fault = faults.choose();
        eprintln!(
            "{:>7.1} s  {fault}; {} writes so far",
            start.elapsed().as_secs_f64(),
            traffic.acknowledged()
        );
        faults.inflict(fault).await?;
    }
    let inflicted: Vec<_> = faults.inflicted.iter().map(|(fault, at)| (*fault, *at - start)).collect();
    let promotions: Vec<Duration> = faults.promotions.iter().map(|promotion| promotion.at - start).collect();

    traffic.end();
    let mut notes = Notes::default();
    while let Some(client) = clients.join_next().await {
        let client = client?;
        notes.writes.extend(client.writes);
        notes.reads.extend(client.reads);
    }
    let status = db.status();
    let (reads, primary) =
        status.nodes.iter().fold((0, 0), |(r, p), node| (r + node.reads, p + node.primary_statements));
    let failed = traffic.failed();
    let (failed_reads, not_done, unknown) = (
        failed.reads.load(Ordering::Relaxed),
        failed.not_done.load(Ordering::Relaxed),
        failed.unknown.load(Ordering::Relaxed),
    );
    // The last sender of tokens goes, so the reader ends.
    drop(traffic);
    let (token_reads, failed_token_reads) = reader.end().await?;
    lab.caught_up().await?;
    let history = History {
        kept: kept(&db).await?,
        forks: forks(&lab).await?,
        writes: notes.writes,
        reads: notes.reads,
        token_reads,
    };
    db.close(Duration::from_secs(5)).await;
    lab.down().await?;

    let acknowledged =
        history.writes.iter().filter(|write| matches!(write.fate, Fate::Acknowledged { .. })).count();
    let writes = acknowledged + not_done + unknown;
    // Reads are what a handle ran beside its writes.
    let answered = history.reads.len();
    Ok(Report {
        findings: check(&history, plan.durability),
        faults: around(&inflicted, &history.reads),
        acknowledged,
        not_done,
        unknown,
        reads: answered,
        failed_reads,
        token_reads: history.token_reads.len(),
        failed_token_reads,
        on_replicas: share(reads, reads + primary.saturating_sub(u64::try_from(writes)?)),
        to_first_write: promotions
            .iter()
            .enumerate()
            .filter_map(|(number, at)| to_first_write(number, *at, &history.writes))
            .collect(),
    })
}

/// The slowest read of each fault, by what went wrong: of those in flight when it began, and those that began before the next.
fn around(faults: &[(Fault, Duration)], reads: &[Read]) -> BTreeMap<Fault, Vec<Duration>> {
    let mut slowest = BTreeMap::<Fault, Vec<Duration>>::new();
    let ends = faults.iter().skip(1).map(|(_, next)| *next).chain([Duration::MAX]);
    for ((fault, at), end) in faults.iter().zip(ends) {
        let touched = reads.iter().filter(|read| read.ended >= *at && read.begun < end);
        let worst = touched.map(|read| read.ended - read.begun).max();
        slowest.entry(*fault).or_default().extend(worst);
    }
    slowest
}

#[expect(clippy::cast_precision_loss, reason = "counts of statements are far below 2^52")]
fn share(part: u64, of: u64) -> f64 {
    part as f64 / of.max(1) as f64
}

/// From the how manieth promotion to the first answer of a write on its timeline; the first timeline is 1, and each promotion begins the
/// next. Nothing when one was answered before the server had said that it was promoted.
fn to_first_write(number: usize, promoted: Duration, writes: &[Write]) -> Option<Duration> {
    let is_on_it = |write: &&Write| matches!(write.fate, Fate::Acknowledged { timeline, .. } if usize::try_from(timeline).ok() == Some(number + 2));
    let first = writes.iter().filter(is_on_it).map(|write| write.ended).min()?;
    Some(first.saturating_sub(promoted))
}

/// The rows that are there in the end.
#[expect(clippy::cast_sign_loss, reason = "those below zero are left out")]
async fn kept(db: &Db) -> Result<Vec<Entry>> {
    let rows = db.latest().query("select writer, number from entry where writer >= 0", &[]).await?;
    Ok(rows
        .iter()
        .map(|row| Entry { writer: row.get::<_, i32>(0) as u32, number: row.get::<_, i32>(1) as u32 })
        .collect())
}

/// Where timelines ended, as the last one's history file tells.
async fn forks(lab: &Lab) -> Result<Vec<Fork>> {
    let file = "select coalesce(pg_read_file('pg_wal/' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) || '.history', 0, 100000, true), '')";
    let text = lab.primary().ask("postgres", file).await?.unwrap_or_default();
    text.lines().filter(|line| !line.trim().is_empty()).map(fork).collect()
}

fn fork(line: &str) -> Result<Fork> {
    let mut words = line.split_whitespace();
    let mut word = || words.next().with_context(|| format!("a history file has the line `{line}`"));
    let (timeline, place) = (word()?.parse()?, word()?);
    let (high, low) = place.split_once('/').with_context(|| format!("`{place}` is no place in a log"))?;
    Ok(Fork { timeline, at: (u64::from_str_radix(high, 16)? << 32) + u64::from_str_radix(low, 16)? })
}

/// The second process.
struct Reader {
    child: Child,
    writing: JoinHandle<()>,
    reading: JoinHandle<(Vec<TokenRead>, usize)>,
}

impl Reader {
    fn start(url: &str, mut tokens: mpsc::Receiver<(String, Entry)>) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--reader", url])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("the reading process")?;
        let mut input = child.stdin.take().context("its input")?;
        let mut output = BufReader::new(child.stdout.take().context("its output")?).lines();
        let writing = tokio::spawn(async move {
            while let Some((token, entry)) = tokens.recv().await {
                let line = format!("{token} {} {}\n", entry.writer, entry.number);
                if input.write_all(line.as_bytes()).await.is_err() {
                    return;
                }
            }
        });
        let reading = tokio::spawn(async move {
            let (mut reads, mut failed) = (Vec::new(), 0);
            while let Ok(Some(line)) = output.next_line().await {
                match read_answer(&line) {
                    Ok((entry, Found::There)) => reads.push(TokenRead { entry, saw: true }),
                    Ok((entry, Found::Missing)) => reads.push(TokenRead { entry, saw: false }),
                    Ok((_, Found::Failed)) | Err(_) => failed += 1,
                }
            }
            (reads, failed)
        });
        Ok(Self { child, writing, reading })
    }

    async fn end(mut self) -> Result<(Vec<TokenRead>, usize)> {
        self.writing.await?;
        let read = self.reading.await?;
        let status = self.child.wait().await?;
        anyhow::ensure!(status.success(), "the reading process ended with {status}");
        Ok(read)
    }
}
