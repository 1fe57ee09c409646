use std::cmp::Reverse;
use std::fmt;
use std::time::Duration;

use millpond_core::Reason;
use millpond_sql::Digest;

/// Which statements [`Mode::Route`](crate::Mode::Route) would have sent to replicas, and what would have kept the others on the primary, as
/// recorded while the mode was [`Mode::Shadow`](crate::Mode::Shadow).
///
/// `Display` draws the statements that took most time as a table.
///
/// A statement counts when its call is over: when it is answered, has failed, or nobody waits for it any more. It counts once for each
/// node that it was sent to, and what never was sent does not count. It is known by its [digest](millpond_sql::digest()), so its values do not count; a batch
/// is one statement.
/// Its time is as the caller had to wait, from when it had a connection; of a stream, until the first row.
///
/// Not seen is what runs in transactions, on leases and through `COPY … FROM`: of these only [how many](Self::connections) were begun. Nor is
/// what the handle refuses.
///
/// Three things are otherwise in [`Mode::Route`](crate::Mode::Route), where replicas are asked. One that is asked for a write and does not show it yet leaves the
/// read to the primary; here it counts as one that would move. One that showed the write is not asked again; here each read of it counts
/// as an own-write read. And a session with monotonic reads stays on the replica where it read last; here it has read on the primary.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ShadowReport {
    /// How long it was recorded: the time in the mode.
    #[cfg_attr(feature = "serde", serde(rename = "recorded_ms", serialize_with = "crate::json::millis"))]
    pub recorded: Duration,
    /// All statements.
    pub total: ShadowCounts,
    statements: Vec<ShadowedStatement>,
    /// The statements that came when 1024 others were known.
    pub remainder: ShadowCounts,
    /// Connections for transactions, leases and `COPY … FROM`; not in the total. Their time is that of beginning.
    pub connections: ShadowCounts,
}

/// What was recorded of the statements that differ only in their values.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ShadowedStatement {
    /// What [`Switches::digest`](crate::Switches::digest) takes, in code and, behind `digest`, in a file.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::json::text"))]
    pub digest: Digest,
    /// Its text [without values](millpond_sql::normalized()): at most 200 characters.
    pub text: Box<str>,
    /// The counts.
    #[cfg_attr(feature = "serde", serde(flatten))]
    pub counts: ShadowCounts,
}

/// How many calls there were, how long they took, and where they would have gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ShadowCounts {
    /// All of them.
    pub calls: u64,
    /// How long all of them took together.
    #[cfg_attr(feature = "serde", serde(rename = "time_ms", serialize_with = "crate::json::millis"))]
    pub time: Duration,
    /// Those that would have gone to a replica.
    pub moved: u64,
    /// How long those took together, on the primary.
    #[cfg_attr(feature = "serde", serde(rename = "moved_time_ms", serialize_with = "crate::json::millis"))]
    pub moved_time: Duration,
    /// Those that would have gone to a replica, and read what the caller had written: the replica would have been asked whether it has that. Those
    /// that would have stayed on the primary for it are [kept](Self::kept) for [`Reason::OwnWrite`].
    pub own_write_reads: u64,
    /// Those that would have stayed on the primary, by reason.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::json::by_reason"))]
    kept: Vec<(Reason, u64)>,
}

impl ShadowCounts {
    /// Those that would have stayed on the primary, by reason, the most frequent first.
    #[must_use]
    pub fn kept(&self) -> &[(Reason, u64)] {
        &self.kept
    }

    /// The share that its time is of the time of `whole`, from 0 to 1; `None` when that is none.
    #[must_use]
    pub fn share_of(&self, whole: &Self) -> Option<f64> {
        share(self.time.as_secs_f64(), whole.time.as_secs_f64())
    }

    pub(super) fn add(&mut self, reason: Reason, time: Duration) {
        self.calls += 1;
        self.time += time;
        match reason {
            Reason::FreshReplica | Reason::ProvingReplica => {
                self.moved += 1;
                self.moved_time += time;
                self.own_write_reads += u64::from(reason == Reason::ProvingReplica);
            }
            reason => self.keep(reason, 1),
        }
    }

    fn keep(&mut self, reason: Reason, count: u64) {
        match self.kept.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, known)) => *known += count,
            None => self.kept.push((reason, count)),
        }
    }

    fn merge(&mut self, other: &Self) {
        self.calls += other.calls;
        self.time += other.time;
        self.moved += other.moved;
        self.moved_time += other.moved_time;
        self.own_write_reads += other.own_write_reads;
        other.kept.iter().for_each(|(reason, count)| self.keep(*reason, *count));
    }

    fn sort(&mut self) {
        self.kept.sort_by_key(|(reason, count)| (Reverse(*count), reason.as_str()));
    }
}

impl ShadowedStatement {
    pub(super) const fn new(digest: Digest, text: Box<str>, counts: ShadowCounts) -> Self {
        Self { digest, text, counts }
    }
}

impl ShadowReport {
    pub(super) fn new(
        recorded: Duration,
        mut statements: Vec<ShadowedStatement>,
        mut remainder: ShadowCounts,
        mut connections: ShadowCounts,
    ) -> Self {
        let mut total = remainder.clone();
        for statement in &mut statements {
            total.merge(&statement.counts);
            statement.counts.sort();
        }
        [&mut total, &mut remainder, &mut connections].into_iter().for_each(ShadowCounts::sort);
        // By digest where the time is the same, so that two reports of the same are the same.
        statements.sort_by_key(|statement| (Reverse(statement.counts.time), statement.digest));
        Self { recorded, total, statements, remainder, connections }
    }

    /// The statements, at most 1024, those that took most time first.
    #[must_use]
    pub fn statements(&self) -> &[ShadowedStatement] {
        &self.statements
    }
}

/// How many statements the table shows.
const SHOWN: usize = 20;

impl fmt::Display for ShadowReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { recorded, total, statements, .. } = self;
        let (calls, time) = (total.calls, total.time);
        writeln!(f, "recorded for {recorded:.1?}: {calls} calls took {time:.1?} on the primary")?;
        let (moved, moved_time) = (calls_of(total.moved, calls), time_of(total.moved_time, time));
        writeln!(f, "would move to replicas: {moved} of the calls, {moved_time} of the time")?;
        let shown = &statements[..statements.len().min(SHOWN)];
        let kept: Vec<_> = shown.iter().map(|statement| words(&statement.counts)).collect();
        let widest = kept.iter().map(String::len).max().unwrap_or_default().max("kept for".len());
        writeln!(
            f,
            "\n{:>9} {:>6} {:>6} {:>10}  {:widest$}  {:16}  statement",
            "calls", "time", "moves", "own writes", "kept for", "digest"
        )?;
        for (ShadowedStatement { digest, text, counts }, kept) in shown.iter().zip(&kept) {
            writeln!(
                f,
                "{:>9} {:>6} {:>6} {:>10}  {kept:widest$}  {digest}  {text}",
                counts.calls,
                time_of(counts.time, time),
                calls_of(counts.moved, counts.calls),
                calls_of(counts.own_write_reads, counts.calls),
            )?;
        }
        self.fmt_rest(f)
    }
}

impl ShadowReport {
    /// What has no line of its own.
    fn fmt_rest(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = ShadowCounts::default();
        let more = self.statements.get(SHOWN..).unwrap_or_default();
        more.iter().for_each(|statement| rest.merge(&statement.counts));
        let lines = [
            (&rest, format!("{} more statements", more.len())),
            (&self.remainder, "further statements, of which only the first 1024 are told apart".to_owned()),
        ];
        for (counts, what) in lines.iter().filter(|(counts, _)| counts.calls > 0) {
            let (calls, share) = (counts.calls, time_of(counts.time, self.total.time));
            let moves = calls_of(counts.moved, calls);
            writeln!(f, "{calls} calls of {what}: {share} of the time, {moves} would move")?;
        }
        let ShadowCounts { calls, moved, .. } = self.connections;
        if calls > 0 {
            writeln!(
                f,
                "{calls} transactions and leases, {moved} of them to a replica; what ran in them is not seen"
            )?;
        }
        Ok(())
    }
}

/// What keeps a statement on the primary, with counts where it is more than one thing.
fn words(counts: &ShadowCounts) -> String {
    match counts.kept() {
        [] => String::new(),
        [(reason, _)] => reason.as_str().to_owned(),
        [(first, most), (second, more), rest @ ..] => {
            let rest = if rest.is_empty() { "" } else { ", …" };
            format!("{} {most}, {} {more}{rest}", first.as_str(), second.as_str())
        }
    }
}

fn share(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole)
}

fn time_of(part: Duration, whole: Duration) -> String {
    percent(part.as_secs_f64(), whole.as_secs_f64())
}

#[expect(clippy::cast_precision_loss, reason = "a share")]
fn calls_of(part: u64, whole: u64) -> String {
    percent(part as f64, whole as f64)
}

fn percent(part: f64, whole: f64) -> String {
    share(part, whole).map_or_else(|| "-".to_owned(), |share| format!("{:.1}%", share * 100.0))
}

#[cfg(test)]
mod tests {
    use millpond_core::Access;
    use millpond_sql::{Dialect, digest};

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn statement(text: &str, calls: &[(Reason, u32)]) -> ShadowedStatement {
        let mut counts = ShadowCounts::default();
        calls.iter().for_each(|(reason, millis)| counts.add(*reason, *millis * MS));
        ShadowedStatement::new(digest(text, Dialect::Postgres), text.into(), counts)
    }

    fn report(statements: Vec<ShadowedStatement>) -> ShadowReport {
        let none = ShadowCounts::default;
        ShadowReport::new(60_000 * MS, statements, none(), none())
    }

    #[test]
    fn a_report_is_drawn_for_people() {
        use Reason::{FreshReplica, OwnWrite, ProvingReplica, TooOld};
        let mut report = report(vec![
            statement(
                "select a",
                &[(FreshReplica, 10), (ProvingReplica, 20), (OwnWrite, 5), (FreshReplica, 5)],
            ),
            statement("insert into t values (?)", &[(Reason::NotARead(Access::Write), 150)]),
            statement("select b", &[(TooOld, 2), (OwnWrite, 4), (OwnWrite, 4)]),
        ]);
        report.connections.add(FreshReplica, MS);
        report.connections.add(Reason::NotARead(Access::Write), MS);
        let mut drawn = report.to_string();
        for statement in report.statements() {
            drawn = drawn.replacen(&statement.digest.to_string(), "0123456789abcdef", 1);
        }
        assert_eq!(
            drawn.lines().collect::<Vec<_>>(),
            [
                "recorded for 60.0s: 8 calls took 200.0ms on the primary",
                "would move to replicas: 37.5% of the calls, 17.5% of the time",
                "",
                "    calls   time  moves own writes  kept for                digest            statement",
                "        1  75.0%   0.0%       0.0%  not_a_read              0123456789abcdef  insert into t values (?)",
                "        4  20.0%  75.0%      25.0%  own_write               0123456789abcdef  select a",
                "        3   5.0%   0.0%       0.0%  own_write 2, too_old 1  0123456789abcdef  select b",
                "2 transactions and leases, 1 of them to a replica; what ran in them is not seen",
            ]
        );
        let share = report.statements()[1].counts.share_of(&report.total).unwrap();
        assert!((share - 0.2).abs() < 1e-9, "{share}");
        assert_eq!(report.total.share_of(&report.remainder), None);
    }

    #[test]
    fn the_table_has_twenty_statements_and_a_line_for_the_others() {
        let one = |n: u32| statement(&format!("select a{n}"), &[(Reason::FreshReplica, 100 - n)]);
        let drawn = report((0..25).map(one).collect()).to_string();
        assert!(drawn.contains("select a19") && !drawn.contains("select a20"), "{drawn}");
        assert!(
            drawn.contains("5 calls of 5 more statements: 17.7% of the time, 100.0% would move"),
            "{drawn}"
        );
        let nothing = report(Vec::new()).to_string();
        assert!(nothing.contains("0 calls took 0.0ns") && nothing.contains("- of the time"), "{nothing}");
    }
}
