//! What is recorded while the mode is Shadow: which statements would move to replicas, and what keeps the others.

mod report;

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use millpond_core::Reason;
use millpond_sql::Digest;

use crate::Mode;
use crate::catalog::Knowledge;
use crate::node::now;

pub use report::{ShadowCounts, ShadowReport, ShadowedStatement};

/// So many statements are told apart; what comes later counts together.
const MOST: usize = 1024;

/// What was recorded. A statement in [`Mode::Shadow`] takes its lock once, for as long as its place in a map is found; in another mode
/// none does.
#[derive(Debug, Default)]
pub(crate) struct Shadow {
    records: Mutex<Records>,
}

/// What the lock guards.
#[derive(Debug, Default)]
pub(crate) struct Records {
    /// Since when the mode is Shadow, if it is.
    since: Option<Instant>,
    /// How long it was before.
    before: Duration,
    statements: HashMap<Digest, Record>,
    remainder: ShadowCounts,
    connections: ShadowCounts,
}

#[derive(Debug)]
struct Record {
    text: Box<str>,
    counts: ShadowCounts,
}

impl Shadow {
    pub(crate) fn new(mode: Mode) -> Self {
        let shadow = Self::default();
        shadow.records().switch(mode);
        shadow
    }

    pub(crate) fn records(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn report(&self) -> ShadowReport {
        let records = self.records();
        let recorded = records.before + records.since.map_or(Duration::ZERO, elapsed);
        let statement = |(digest, record): (&Digest, &Record)| {
            ShadowedStatement::new(*digest, record.text.clone(), record.counts.clone())
        };
        let statements = records.statements.iter().map(statement).collect();
        ShadowReport::new(recorded, statements, records.remainder.clone(), records.connections.clone())
    }

    /// Forgets what was recorded.
    pub(crate) fn clear(&self) {
        let mut records = self.records();
        let since = records.since.map(|_| now());
        *records = Records { since, ..Records::default() };
    }

    fn record(&self, knowledge: &Knowledge, text: &str, reason: Reason, time: Duration) {
        let digest = knowledge.digest(text);
        let mut records = self.records();
        if !records.statements.contains_key(&digest) && records.statements.len() < MOST {
            // Not under the lock, as long as a text may be.
            drop(records);
            let text = knowledge.normalized(text).into();
            records = self.records();
            if records.statements.len() < MOST {
                records
                    .statements
                    .entry(digest)
                    .or_insert_with(|| Record { text, counts: ShadowCounts::default() });
            }
        }
        let records = &mut *records;
        let counts = match records.statements.get_mut(&digest) {
            Some(record) => &mut record.counts,
            None => &mut records.remainder,
        };
        counts.add(reason, time);
    }
}

impl Records {
    /// Takes in that the mode is this from now on.
    pub(crate) fn switch(&mut self, mode: Mode) {
        match (mode, self.since) {
            (Mode::Shadow, None) => self.since = Some(now()),
            (Mode::Route | Mode::PrimaryOnly, Some(since)) => {
                self.before += elapsed(since);
                self.since = None;
            }
            _ => {}
        }
    }
}

fn elapsed(since: Instant) -> Duration {
    now().saturating_duration_since(since)
}

/// A statement that was sent in [`Mode::Shadow`]. It is recorded when this is dropped, so also when nobody waits for its answer any more.
pub(crate) struct Recording<'a> {
    pub(crate) shadow: &'a Shadow,
    pub(crate) knowledge: &'a Knowledge,
    /// None where a connection was asked for.
    pub(crate) text: Option<&'a str>,
    /// What [`Mode::Route`] would have said.
    pub(crate) reason: Reason,
    pub(crate) sent: Instant,
}

impl Drop for Recording<'_> {
    fn drop(&mut self) {
        let time = elapsed(self.sent);
        match self.text {
            Some(text) => self.shadow.record(self.knowledge, text, self.reason, time),
            None => self.shadow.records().connections.add(self.reason, time),
        }
    }
}

#[cfg(test)]
mod tests {
    use millpond_core::Access;
    use millpond_sql::{Classifier, Dialect};

    use super::*;

    const WRITE: Reason = Reason::NotARead(Access::Write);
    const MS: Duration = Duration::from_millis(1);

    fn knowledge() -> Knowledge {
        Knowledge::new(Classifier::new(Dialect::Postgres), None)
    }

    #[test]
    fn what_comes_behind_the_first_1024_statements_counts_together() {
        let (shadow, knowledge) = (Shadow::new(Mode::Shadow), knowledge());
        let text = |n| format!("select a{n} from t where b = 'secret'");
        for n in 0..1100 {
            shadow.record(&knowledge, &text(n), Reason::FreshReplica, MS);
        }
        shadow.record(&knowledge, &text(0), WRITE, MS);
        shadow.record(&knowledge, &text(1099), WRITE, 2 * MS);
        let report = shadow.report();
        assert_eq!(report.statements().len(), 1024);
        assert_eq!((report.remainder.calls, report.remainder.time), (77, 78 * MS));
        assert_eq!((report.total.calls, report.total.time, report.total.moved), (1102, 1103 * MS, 1100));
        let first = &report.statements()[0];
        assert_eq!((first.counts.calls, &*first.text), (2, "select a0 from t where b = ?"));
        assert!(report.to_string().contains("77 calls of further statements"), "{report}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_in_other_modes_does_not_count() {
        let shadow = Shadow::new(Mode::Route);
        let recorded = || shadow.report().recorded;
        let stay = async |mode, millis| {
            shadow.records().switch(mode);
            tokio::time::advance(millis * MS).await;
        };
        stay(Mode::Route, 100).await;
        assert_eq!(recorded(), Duration::ZERO);
        stay(Mode::Shadow, 20).await;
        stay(Mode::Shadow, 3).await;
        assert_eq!(recorded(), 23 * MS);
        stay(Mode::PrimaryOnly, 100).await;
        stay(Mode::Route, 100).await;
        stay(Mode::Shadow, 4).await;
        stay(Mode::Route, 100).await;
        stay(Mode::Shadow, 1).await;
        assert_eq!(recorded(), 28 * MS);
        shadow.clear();
        assert_eq!(recorded(), Duration::ZERO);
        stay(Mode::Shadow, 5).await;
        stay(Mode::Route, 100).await;
        assert_eq!(recorded(), 5 * MS);
        shadow.clear();
        stay(Mode::Route, 100).await;
        assert_eq!(recorded(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_statement_that_nobody_waits_for_any_more_is_recorded() {
        let (shadow, knowledge) = (Shadow::new(Mode::Shadow), knowledge());
        let begin = |text| Recording {
            shadow: &shadow,
            knowledge: &knowledge,
            text,
            reason: Reason::OwnWrite,
            sent: now(),
        };
        let (statement, connection) = (begin(Some("select 1")), begin(None));
        tokio::time::advance(7 * MS).await;
        drop(statement);
        tokio::time::advance(MS).await;
        drop(connection);
        let report = shadow.report();
        assert_eq!((report.total.calls, report.total.time), (1, 7 * MS));
        assert_eq!((report.connections.calls, report.connections.time), (1, 8 * MS));
        assert_eq!(report.total.kept(), [(Reason::OwnWrite, 1)]);
    }
}
