//! Clients that write rows and read them back, and note what they were told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use millpond::postgres::{Db, Session};
use millpond::{Error, Outcome};
use millpond_core::TokenPosition;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use crate::history::{Asks, Entry, Fate, Read, Write};

/// Where rows go. Without a key, so that one that is written twice is there twice.
pub const TABLE: &str = "create table entry (writer int not null, number int not null); \
                         create index on entry (writer, number)";

/// The timeline is that of the server which runs the statement.
const INSERT: &str = "insert into entry values ($1, $2) \
    returning ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int4";

/// The numbers of one writer's rows behind another.
pub const ROWS: &str = "select number from entry where writer = $1 and number > $2";

/// How many rows back a reader looks.
const WINDOW: u32 = 20;

/// How long a call may take: longer than any fault, so that most are survived.
const PATIENCE: Duration = Duration::from_secs(8);

/// The most that a bounded read may be behind.
const LIMIT: Duration = Duration::from_secs(1);

/// What all clients of a process share.
#[derive(Debug)]
pub struct Traffic {
    db: Db,
    start: Instant,
    /// The last number of each writer that was acknowledged.
    last: Vec<AtomicU32>,
    is_over: AtomicBool,
    /// Tokens for another process, each with its row.
    tokens: mpsc::Sender<(String, Entry)>,
    failed: Counts,
}

/// How calls failed.
#[derive(Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "the outcomes there are, for each kind of call")]
pub struct Counts {
    /// Reads that were not answered.
    pub reads: AtomicUsize,
    /// Writes that were not done.
    pub not_done: AtomicUsize,
    /// Writes that may have been done.
    pub unknown: AtomicUsize,
}

/// What one client noted.
#[derive(Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "a part of a history")]
pub struct Notes {
    /// What it wrote.
    pub writes: Vec<Write>,
    /// What it read.
    pub reads: Vec<Read>,
}

impl Traffic {
    /// Traffic of so many writers through a handle.
    #[must_use]
    pub fn new(db: Db, writers: u32, tokens: mpsc::Sender<(String, Entry)>) -> Arc<Self> {
        Arc::new(Self {
            db,
            start: Instant::now(),
            last: (0..writers).map(|_| AtomicU32::new(0)).collect(),
            is_over: AtomicBool::new(false),
            tokens,
            failed: Counts::default(),
        })
    }

    /// How calls failed so far.
    #[must_use]
    pub const fn failed(&self) -> &Counts {
        &self.failed
    }

    /// The last number that each writer was told to be written.
    #[must_use]
    pub fn acknowledged(&self) -> u32 {
        self.last.iter().map(|last| last.load(Ordering::Relaxed)).sum()
    }

    /// Lets the clients end.
    pub fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// One client: writes, and reads its own and others' rows, until the end.
    pub async fn write_and_read(self: Arc<Self>, writer: u32, mut random: fastrand::Rng) -> Notes {
        let session = self.db.timeout(PATIENCE).session();
        // However old, but never older than before.
        let monotonic = self.db.timeout(PATIENCE).session().any().monotonic();
        let mut notes = Notes::default();
        let mut number = 0;
        while !self.is_over.load(Ordering::Relaxed) {
            number += 1;
            let write = self.write(&session, Entry { writer, number }, &mut random).await;
            notes.writes.push(write);
            for _ in 0..random.u8(1..=3) {
                notes.reads.extend(self.read(&session, &monotonic, writer, &mut random).await);
            }
            sleep(Duration::from_micros(random.u64(200..8000))).await;
        }
        notes
    }

    async fn write(&self, session: &Session, entry: Entry, random: &mut fastrand::Rng) -> Write {
        let begun = self.now();
        let timeline = match random.u8(0..10) {
            0..2 => in_transaction(session, entry).await,
            2 => with_settings(session, entry).await.map_err(|error| error.outcome()),
            _ => insert(session, entry).await.map_err(|error| error.outcome()),
        };
        let ended = self.now();
        let fate = match timeline {
            Ok(timeline) => {
                let token = session.token();
                let position = match token.position() {
                    TokenPosition::UpTo(position) => Some(position.get()),
                    _ => None,
                };
                self.last[entry.writer as usize].fetch_max(entry.number, Ordering::Relaxed);
                if random.u8(0..5) == 0 {
                    // A reader that has too much to do gets no more.
                    let _ = self.tokens.try_send((token.to_string(), entry));
                }
                Fate::Acknowledged { timeline, position }
            }
            Err(Outcome::MayHaveRun) => {
                self.failed.unknown.fetch_add(1, Ordering::Relaxed);
                Fate::Unknown
            }
            Err(_) => {
                self.failed.not_done.fetch_add(1, Ordering::Relaxed);
                Fate::NotDone
            }
        };
        Write { entry, begun, ended, fate }
    }

    async fn read(
        &self,
        session: &Session,
        monotonic: &Session,
        own: u32,
        random: &mut fastrand::Rng,
    ) -> Option<Read> {
        let writers = u32::try_from(self.last.len()).unwrap_or(u32::MAX);
        // The same one each time: reads in an order have to be of the same rows.
        let next = (own + 1) % writers;
        let any = random.u32(0..writers);
        let plain = self.db.timeout(PATIENCE);
        match random.u8(0..10) {
            0..4 => self.noted(session, Asks::OwnWrites, own).await,
            4..6 => self.noted(&plain, Asks::OwnWrites, any).await,
            6..8 => self.noted(monotonic, Asks::NoLess { client: own }, next).await,
            _ => self.noted(&plain.within(LIMIT), Asks::Within(LIMIT), any).await,
        }
    }

    /// Reads a writer's last rows.
    async fn noted(&self, client: &Db, asks: Asks, writer: u32) -> Option<Read> {
        let last = self.last[writer as usize].load(Ordering::Relaxed);
        // What a bounded read may miss lies further back.
        let window = if matches!(asks, Asks::Within(_)) { 20 * WINDOW } else { WINDOW };
        let above = last.saturating_sub(window);
        let begun = self.now();
        match numbers(client, writer, above).await {
            Ok(saw) => Some(Read { begun, ended: self.now(), asks, writer, above, saw }),
            Err(error) => {
                eprintln!(
                    "{:>7.1} s  a read failed after {:?}: {error}",
                    begun.as_secs_f64(),
                    self.now().saturating_sub(begun)
                );
                self.failed.reads.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    }
}

/// The numbers of a writer's rows above one.
///
/// # Errors
///
/// As [`Db::query`].
#[expect(
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "small counts, stored as the server's int4"
)]
pub async fn numbers(client: &Db, writer: u32, above: u32) -> Result<Vec<u32>, Error> {
    let rows = client.query(ROWS, &[&(writer as i32), &(above as i32)]).await?;
    Ok(rows.iter().map(|row| row.get::<_, i32>(0) as u32).collect())
}

#[expect(clippy::cast_possible_wrap, reason = "small counts, stored as the server's int4")]
const fn values(entry: Entry) -> (i32, i32) {
    (entry.writer as i32, entry.number as i32)
}

#[expect(clippy::cast_sign_loss, reason = "a timeline is above zero")]
async fn insert(client: &Db, entry: Entry) -> Result<u32, Error> {
    let (writer, number) = values(entry);
    Ok(client.query_one_scalar::<i32>(INSERT, &[&writer, &number]).await? as u32)
}

async fn with_settings(session: &Session, entry: Entry) -> Result<u32, Error> {
    insert(&*session.with_settings([("app.writer", entry.writer.to_string())])?, entry).await
}

#[expect(clippy::cast_sign_loss, reason = "a timeline is above zero")]
async fn in_transaction(session: &Session, entry: Entry) -> Result<u32, Outcome> {
    let (writer, number) = values(entry);
    let begun = async {
        let transaction = session.begin().await?;
        let savepoint = transaction.savepoint().await?;
        savepoint.execute("insert into entry values (-1, 0)", &[]).await?;
        savepoint.rollback().await?;
        let timeline = transaction.query_one_scalar::<i32>(INSERT, &[&writer, &number]).await?;
        Ok((transaction, timeline as u32))
    };
    let begun: Result<_, Error> = begun.await;
    // Whatever its statements may have done, without the commit nothing is kept.
    let (transaction, timeline) = begun.map_err(|_| Outcome::Rejected)?;
    transaction.commit().await.map_err(|error| error.outcome())?;
    Ok(timeline)
}
