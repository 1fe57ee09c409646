//! One run: a cluster, traffic over it, faults, and the check.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use fastrand::Rng;
use millpond::postgres::Db;
use millpond_lab::{Lab, Node, Replication};
use tokio::sync::mpsc;

use crate::checker::{Durability, check};
use crate::clock::Clock;
use crate::faults::{Fault, Faults, Promotion, Timed};
use crate::history::{Entry, Fate, Fork, History, Read, Write};
use crate::peer::{Order, Peer, WAITING};
use crate::report::Report;
use crate::sends::Sends;
use crate::statements::{TABLE, connect};
use crate::traffic::{Notes, Traffic};

/// How a run goes: faults at random first, and then those that are timed.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "what can be said of a run")]
pub struct Plan {
    /// What commits wait for.
    pub durability: Durability,
    /// How long faults are inflicted at random.
    pub random: Duration,
    /// How many promotions are timed then.
    pub promotions: u32,
    /// How many replicas are killed then.
    pub kills: u32,
    /// How many nodes are frozen then.
    pub freezes: u32,
    /// How many clients of each process write and read.
    pub clients: u32,
    /// The order of faults and statements follows from it, their times do not.
    pub seed: u64,
}

impl Plan {
    /// How many faults are timed.
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.promotions + self.kills + self.freezes
    }

    /// The same, with faults at random only.
    #[must_use]
    pub const fn without_timed(self) -> Self {
        Self { promotions: 0, kills: 0, freezes: 0, ..self }
    }

    /// The faults behind those at random.
    fn timed(&self) -> impl Iterator<Item = Fault> {
        let promotions = [Fault::Failover, Fault::Switchover].into_iter().cycle();
        let kills = std::iter::repeat(Fault::KillReplica);
        // Most nodes are replicas.
        let freezes = [Fault::FreezeReplica, Fault::FreezeReplica, Fault::FreezePrimary].into_iter().cycle();
        let times = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
        promotions
            .take(times(self.promotions))
            .chain(kills.take(times(self.kills)))
            .chain(freezes.take(times(self.freezes)))
    }
}

/// Runs it. What happens meanwhile is told on the standard error.
///
/// # Errors
///
/// When the servers do not do what they are told, or cannot be asked in the end.
pub async fn run(plan: &Plan, clock: Clock, sends: &Sends) -> Result<(Report, History)> {
    let replication = match plan.durability {
        Durability::Synchronous => Replication::Synchronous,
        Durability::Asynchronous => Replication::Asynchronous,
    };
    let lab = Lab::builder().replicas(2).replication(replication).up().await?;
    lab.primary().ask("postgres", TABLE).await?;
    lab.caught_up().await?;
    let db = connect(&lab.url("postgres")).await?;
    let mut random = Rng::with_seed(plan.seed);
    let begun = clock.now();
    let (tokens, to_say) = mpsc::channel(WAITING);
    let (hear, told) = mpsc::channel(WAITING);
    let order = Order {
        url: lab.url("postgres"),
        start_nanos: clock.start_nanos(),
        clients: plan.clients,
        seed: random.u64(..),
    };
    let peer = Peer::start(&order, to_say, hear)?;
    let traffic = Traffic::new(db.clone(), clock, 0, plan.clients, tokens);
    let clients = traffic.spawn(told, &mut random);

    let mut faults = Faults::new((&lab, &db), (clock, sends), plan.durability, random.fork());
    let inflicting = inflict(plan, &mut faults, &traffic, clock, begun).await;
    let Faults { timed, inflicted, .. } = faults;

    traffic.end();
    let theirs = peer.end().await;
    let mut notes = traffic.notes(clients).await?;
    inflicting.with_context(|| format!("seed {}\n{}", plan.seed, ends_of_logs(&lab)))?;
    let share = on_replicas(&db, &notes);
    notes.extend(theirs?);
    lab.caught_up().await?;
    let (kept, forks) = (kept(&db).await?, forks(&lab).await?);
    db.close(Duration::from_secs(5)).await;
    lab.down().await?;

    let Notes { writes, reads, token_reads, failed_reads, failed_bound_reads, failed_token_reads } = notes;
    let history = History { writes, reads, token_reads, kept, forks };
    let count = |is: fn(&Fate) -> bool| history.writes.iter().filter(|write| is(&write.fate)).count();
    let report = Report {
        durability: plan.durability,
        findings: check(&history, plan.durability),
        faults: around(&inflicted, &history.reads),
        acknowledged: count(|fate| matches!(fate, Fate::Acknowledged { .. })),
        not_done: count(|fate| *fate == Fate::NotDone),
        unknown: count(|fate| *fate == Fate::Unknown),
        reads: history.reads.len(),
        failed_reads,
        failed_bound_reads,
        token_reads: history.token_reads.len(),
        failed_token_reads,
        on_replicas: share,
        first_writes: first_writes(&timed.promotions, &history.writes),
        promotions: timed.promotions.len(),
        timed: Timed { promotions: Vec::new(), ..timed },
    };
    Ok((report, history))
}

/// What the servers said last, since their logs go with them.
fn ends_of_logs(lab: &Lab) -> String {
    let end_of_log = |node: &Node| {
        let log = std::fs::read(node.log_file()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log).into_owned();
        let lines: Vec<&str> = log.lines().rev().take(20).collect();
        let lines: Vec<String> = lines.into_iter().rev().map(|line| format!("  {line}\n")).collect();
        format!("{}, at the end of its log:\n{}", node.name(), lines.concat())
    };
    lab.nodes().iter().map(end_of_log).collect()
}

async fn inflict(
    plan: &Plan,
    faults: &mut Faults<'_>,
    traffic: &Traffic,
    clock: Clock,
    begun: Duration,
) -> Result<()> {
    let tell = |faults: &Faults<'_>, fault: Fault| {
        let (at, number) = ((clock.now() - begun).as_secs_f64(), faults.inflicted.len() + 1);
        eprintln!("{at:>7.1} s  fault {number}: {fault}; {} statements answered", traffic.answered());
    };
    while clock.now() - begun < plan.random {
        faults.pause().await;
        let fault = faults.choose();
        tell(faults, fault);
        faults.inflict(fault).await?;
    }
    for fault in plan.timed() {
        faults.settle().await?;
        faults.pause().await;
        tell(faults, fault);
        faults.inflict(fault).await?;
    }
    Ok(())
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

/// The share of this process's reads that ran on replicas.
#[expect(clippy::cast_precision_loss, reason = "counts of statements are far below 2^52")]
fn on_replicas(db: &Db, notes: &Notes) -> f64 {
    let status = db.status();
    let (reads, primary) =
        status.nodes.iter().fold((0, 0), |(r, p), node| (r + node.reads, p + node.primary_statements));
    // What a handle ran on the primary beside its writes are reads.
    let writes = u64::try_from(notes.writes.len()).unwrap_or(u64::MAX);
    reads as f64 / (reads + primary.saturating_sub(writes)).max(1) as f64
}

/// From each promotion to the first answer of a write on its timeline, in the process in which they are counted.
fn first_writes(promotions: &[Promotion], writes: &[Write]) -> Vec<Duration> {
    let first = |promotion: &Promotion| {
        let is_on_it = |write: &&Write| {
            write.process == 0
                && matches!(write.fate, Fate::Acknowledged { timeline, .. } if timeline == promotion.timeline)
        };
        let first = writes.iter().filter(is_on_it).map(|write| write.ended).min()?;
        Some(first.saturating_sub(promotion.at))
    };
    promotions.iter().filter_map(first).collect()
}

/// The rows that are there in the end.
async fn kept(db: &Db) -> Result<Vec<Entry>> {
    let rows = db.latest().query("select writer, number from entry where writer >= 0", &[]).await?;
    let number = |value: i32| value.cast_unsigned();
    Ok(rows.iter().map(|row| Entry { writer: number(row.get(0)), number: number(row.get(1)) }).collect())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn the_first_write_is_the_first_on_the_timeline_in_the_process_that_counts() {
        let write = |process, timeline, ended| Write {
            process,
            entry: Entry { writer: 0, number: 1 },
            begun: ms(0),
            ended: ms(ended),
            told: 0,
            fate: Fate::Acknowledged { timeline, position: None },
        };
        let writes =
            [write(0, 1, 90), write(1, 2, 110), write(0, 2, 150), write(0, 2, 130), write(0, 3, 210)];
        let promotion = |at, timeline| Promotion { at: ms(at), timeline };
        let first = first_writes(&[promotion(100, 2), promotion(200, 3), promotion(300, 4)], &writes);
        assert_eq!(first, [ms(30), ms(10)]);
    }

    #[test]
    fn a_line_of_a_history_file_says_where_a_timeline_ended() {
        let line = "2\t1/A0000028\tno recovery target specified";
        assert_eq!(fork(line).unwrap(), Fork { timeline: 2, at: (1 << 32) + 0xA000_0028 });
        assert!(fork("2").is_err());
    }

    #[test]
    fn timed_faults_are_as_many_as_were_asked_for() {
        let plan = Plan {
            durability: Durability::Synchronous,
            random: ms(0),
            promotions: 3,
            kills: 1,
            freezes: 2,
            clients: 1,
            seed: 1,
        };
        let faults: Vec<Fault> = plan.timed().collect();
        let promotions = [Fault::Failover, Fault::Switchover, Fault::Failover];
        assert_eq!(faults[..3], promotions);
        assert_eq!(faults[3..], [Fault::KillReplica, Fault::FreezeReplica, Fault::FreezeReplica]);
    }
}
