//! Clients that write rows and read them back, and note what they were told.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use fastrand::Rng;
use millpond::Outcome;
use millpond::postgres::{Db, Session, Token};
use millpond_core::TokenPosition;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::clock::Clock;
use crate::history::{Asks, Entry, Fate, Read, TokenRead, Write};
use crate::statements::{self, PATIENCE, ReadBy, WriteBy};

/// How many rows back a reader looks.
const WINDOW: u32 = 20;

/// The most that a bounded read may be behind.
const LIMIT: Duration = Duration::from_secs(1);

/// How many clients of a process go on from what the other one has written.
const FOLLOWERS: u32 = 4;

/// How many of a process read all the time, slowly.
const READERS: u32 = 4;

/// How often a statement arrives beside those of the clients, whether or not the one before is answered: who waits for answers sends
/// nothing to a node that gives none.
const ARRIVAL: Duration = Duration::from_millis(5);

/// The most of them that wait.
const MOST_WAITING: usize = 1000;

/// A row that was written, and the token to see it with, for the other process.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "a message")]
pub struct Told {
    /// As text, as it would go through a cookie.
    pub token: String,
    /// The row.
    pub entry: Entry,
}

/// How calls failed.
#[derive(Debug, Default)]
struct Counts {
    reads: AtomicUsize,
    bound_reads: AtomicUsize,
    token_reads: AtomicUsize,
}

/// What clients noted.
#[derive(Debug, Default, Serialize, Deserialize)]
#[expect(clippy::exhaustive_structs, reason = "a part of a history")]
pub struct Notes {
    /// What they wrote.
    pub writes: Vec<Write>,
    /// What they read.
    pub reads: Vec<Read>,
    /// What they looked for with the other process's tokens.
    pub token_reads: Vec<TokenRead>,
    /// Reads that were not answered.
    pub failed_reads: usize,
    /// Reads in transactions, or row by row, that were not answered: they stay where they are.
    pub failed_bound_reads: usize,
    /// Reads with tokens that were not answered.
    pub failed_token_reads: usize,
}

impl Notes {
    /// Adds those of others.
    pub fn extend(&mut self, other: Self) {
        self.writes.extend(other.writes);
        self.reads.extend(other.reads);
        self.token_reads.extend(other.token_reads);
        self.failed_reads += other.failed_reads;
        self.failed_bound_reads += other.failed_bound_reads;
        self.failed_token_reads += other.failed_token_reads;
    }
}

/// How many writers each process has.
const fn writers(clients: u32) -> u32 {
    clients + FOLLOWERS + 1
}

/// One process's part of the traffic.
#[derive(Debug)]
pub struct Traffic {
    db: Db,
    clock: Clock,
    process: u32,
    clients: u32,
    /// The last number of each writer that is known to be written, of both processes.
    last: Vec<AtomicU32>,
    is_over: AtomicBool,
    /// For the other process.
    tokens: mpsc::Sender<Told>,
    failed: Counts,
    answered: AtomicUsize,
}

impl Traffic {
    /// Of the process of this number, 0 or 1, with so many clients; what it tells the other goes to `tokens`.
    #[must_use]
    pub fn new(db: Db, clock: Clock, process: u32, clients: u32, tokens: mpsc::Sender<Told>) -> Arc<Self> {
        Arc::new(Self {
            db,
            clock,
            process,
            clients,
            last: (0..2 * writers(clients)).map(|_| AtomicU32::new(0)).collect(),
            is_over: AtomicBool::new(false),
            tokens,
            failed: Counts::default(),
            answered: AtomicUsize::new(0),
        })
    }

    /// Lets all its clients begin; `told` is what the other process says.
    pub fn spawn(self: &Arc<Self>, told: mpsc::Receiver<Told>, random: &mut Rng) -> JoinSet<Notes> {
        let mut clients = JoinSet::new();
        let Range { start, end } = self.own();
        let told = Arc::new(Mutex::new(told));
        for writer in start..start + self.clients {
            clients.spawn(Arc::clone(self).write_and_read(writer, random.fork()));
        }
        for writer in start + self.clients..end - 1 {
            clients.spawn(Arc::clone(self).follow(writer, Arc::clone(&told), random.fork()));
        }
        clients.spawn(Arc::clone(self).arrive(end - 1, random.fork()));
        for _ in 0..READERS {
            clients.spawn(Arc::clone(self).read_slowly(random.fork()));
        }
        clients
    }

    /// Lets the clients end; those that follow end with what the other process says.
    pub fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// What all clients noted, when they have ended.
    ///
    /// # Errors
    ///
    /// When one panicked.
    pub async fn notes(&self, mut clients: JoinSet<Notes>) -> anyhow::Result<Notes> {
        let mut notes = Notes::default();
        while let Some(client) = clients.join_next().await {
            notes.extend(client?);
        }
        notes.failed_reads = self.failed.reads.load(Ordering::Relaxed);
        notes.failed_bound_reads = self.failed.bound_reads.load(Ordering::Relaxed);
        notes.failed_token_reads = self.failed.token_reads.load(Ordering::Relaxed);
        Ok(notes)
    }

    /// How many calls of this process were answered so far.
    #[must_use]
    pub fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }

    /// The writers of this process: its clients, those that follow, and one for what arrives.
    fn own(&self) -> Range<u32> {
        let each = writers(self.clients);
        self.process * each..(self.process + 1) * each
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Writes, and reads its own and others' rows, until the end.
    async fn write_and_read(self: Arc<Self>, writer: u32, mut random: Rng) -> Notes {
        let session = self.db.timeout(PATIENCE).session();
        // However old, but never older than before.
        let monotonic = self.db.timeout(PATIENCE).session().any().monotonic();
        let mut notes = Notes::default();
        let mut number = 0;
        while !self.is_over() {
            number += 1;
            let write = self.write(&session, Entry { writer, number }, 0, &mut random).await;
            notes.writes.push(write);
            for _ in 0..random.u8(1..=3) {
                notes.reads.extend(self.read(&session, &monotonic, writer, &mut random).await);
            }
            sleep(Duration::from_micros(random.u64(200..8000))).await;
        }
        notes
    }

    /// Takes what the other process wrote, looks for it, and writes behind it in the same session.
    async fn follow(
        self: Arc<Self>,
        writer: u32,
        told: Arc<Mutex<mpsc::Receiver<Told>>>,
        mut random: Rng,
    ) -> Notes {
        let mut notes = Notes::default();
        let mut number = 0;
        loop {
            let Some(Told { token, entry }) = told.lock().await.recv().await else { return notes };
            self.last[entry.writer as usize].fetch_max(entry.number, Ordering::Relaxed);
            let Ok(token) = token.parse::<Token>() else { continue };
            if self.is_over() {
                continue;
            }
            let session = self.db.timeout(PATIENCE).session();
            let timeline = token.timeline().get();
            if session.see(token).is_err() {
                self.failed.token_reads.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            notes.token_reads.extend(self.look_for(&session, entry).await);
            if random.u8(0..3) == 0 {
                number += 1;
                let write = self.write(&session, Entry { writer, number }, timeline, &mut random).await;
                notes.writes.push(write);
                notes.reads.extend(self.noted(&session, Asks::OwnWrites, writer, ReadBy::Statement).await);
                notes.token_reads.extend(self.look_for(&session, entry).await);
            }
        }
    }

    /// Writes and reads at fixed times, until the end.
    async fn arrive(self: Arc<Self>, writer: u32, mut random: Rng) -> Notes {
        let mut notes = Notes::default();
        let mut waiting = JoinSet::new();
        let mut times = interval(ARRIVAL);
        times.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut number = 0;
        while !self.is_over() {
            times.tick().await;
            while let Some(one) = waiting.try_join_next() {
                notes.extend(one.unwrap_or_default());
            }
            if waiting.len() < MOST_WAITING {
                number += 1;
                waiting.spawn(Arc::clone(&self).arrive_once(Entry { writer, number }, random.fork()));
            }
        }
        waiting.join_all().await.into_iter().for_each(|one| notes.extend(one));
        notes
    }

    async fn arrive_once(self: Arc<Self>, entry: Entry, mut random: Rng) -> Notes {
        let mut notes = Notes::default();
        if random.u8(0..4) == 0 {
            let session = self.db.timeout(PATIENCE).session();
            notes.writes.push(self.write(&session, entry, 0, &mut random).await);
        } else {
            let bounded = self.db.timeout(PATIENCE).within(LIMIT);
            let writer = random.u32(0..u32::try_from(self.last.len()).unwrap_or(u32::MAX));
            notes
                .reads
                .extend(self.noted(&bounded, Asks::Within(LIMIT), writer, ReadBy::SlowStatement).await);
        }
        notes
    }

    /// Reads others' rows with a statement that takes its time, until the end.
    async fn read_slowly(self: Arc<Self>, mut random: Rng) -> Notes {
        let mut notes = Notes::default();
        let bounded = self.db.timeout(PATIENCE).within(LIMIT);
        while !self.is_over() {
            let writer = random.u32(0..u32::try_from(self.last.len()).unwrap_or(u32::MAX));
            notes
                .reads
                .extend(self.noted(&bounded, Asks::Within(LIMIT), writer, ReadBy::SlowStatement).await);
        }
        notes
    }

    async fn write(&self, session: &Session, entry: Entry, told: u32, random: &mut Rng) -> Write {
        let begun = self.clock.now();
        let timeline = statements::write(session, entry, WriteBy::random(random)).await;
        let ended = self.clock.now();
        let fate = match timeline {
            Ok(timeline) => {
                let token = session.token();
                let position = match token.position() {
                    TokenPosition::UpTo(position) => Some(position.get()),
                    _ => None,
                };
                self.answered.fetch_add(1, Ordering::Relaxed);
                self.last[entry.writer as usize].fetch_max(entry.number, Ordering::Relaxed);
                if random.u8(0..5) == 0 {
                    // The other process that has too much to do gets no more.
                    let _ = self.tokens.try_send(Told { token: token.to_string(), entry });
                }
                Fate::Acknowledged { timeline, position }
            }
            Err(Outcome::MayHaveRun) => Fate::Unknown,
            Err(_) => Fate::NotDone,
        };
        Write { process: self.process, entry, begun, ended, told, fate }
    }

    async fn look_for(&self, session: &Session, entry: Entry) -> Option<TokenRead> {
        let above = entry.number.saturating_sub(1);
        match statements::numbers(session, entry.writer, above, ReadBy::Statement).await {
            Ok(saw) => {
                self.answered.fetch_add(1, Ordering::Relaxed);
                Some(TokenRead { entry, saw: saw.contains(entry.number) })
            }
            Err(_) => {
                self.failed.token_reads.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    }

    async fn read(
        &self,
        session: &Session,
        monotonic: &Session,
        writer: u32,
        random: &mut Rng,
    ) -> Option<Read> {
        let own = self.own();
        // The same one each time: reads in an order have to be of the same rows.
        let next = if writer + 1 == own.end { own.start } else { writer + 1 };
        // What this process wrote, and what both did.
        let ours = random.u32(own);
        let any = random.u32(0..u32::try_from(self.last.len()).unwrap_or(u32::MAX));
        let plain = self.db.timeout(PATIENCE);
        let by = ReadBy::random(random);
        match random.u8(0..10) {
            0..4 => self.noted(session, Asks::OwnWrites, writer, by).await,
            4..6 => self.noted(&plain, Asks::OwnWrites, ours, by).await,
            6..8 => self.noted(monotonic, Asks::NoLess { client: writer }, next, by).await,
            _ => self.noted(&plain.within(LIMIT), Asks::Within(LIMIT), any, by).await,
        }
    }

    /// Reads a writer's last rows.
    async fn noted(&self, client: &Db, asks: Asks, writer: u32, by: ReadBy) -> Option<Read> {
        let last = self.last[writer as usize].load(Ordering::Relaxed);
        // What a bounded read may miss lies further back.
        let window = if matches!(asks, Asks::Within(_)) { 20 * WINDOW } else { WINDOW };
        let above = last.saturating_sub(window);
        let begun = self.clock.now();
        let result = statements::numbers(client, writer, above, by).await;
        let ended = self.clock.now();
        match result {
            Ok(saw) => {
                self.answered.fetch_add(1, Ordering::Relaxed);
                Some(Read { process: self.process, begun, ended, asks, writer, above, saw })
            }
            Err(error) if by.goes_on() => {
                let (at, after) = (begun.as_secs_f64(), (ended - begun).as_millis());
                eprintln!("{at:>7.1} s  a read failed after {after} ms: {error}");
                self.failed.reads.fetch_add(1, Ordering::Relaxed);
                None
            }
            Err(_) => {
                self.failed.bound_reads.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    }
}
