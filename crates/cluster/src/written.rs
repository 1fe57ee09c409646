//! What this process has written: as a whole, and by table where it is known which tables a write changes.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::{ArcSwap, Guard};
use millpond_core::{Position, Seen};
use millpond_sql::{Classification, ReasonKind, Table};

use crate::{Backend, Handle};

/// What a text may change in the database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is no fourth answer")]
pub enum Changes {
    /// Nothing that a read could show: it reads, or locks rows.
    #[default]
    Nothing,
    /// Tables of these names, in whatever schema, and nothing else.
    Tables(BTreeSet<Box<str>>),
    /// It is not known what.
    Anything,
}

impl Changes {
    /// Adds what another text may change.
    pub fn add(&mut self, other: Self) {
        match (&mut *self, other) {
            (_, Self::Nothing) | (Self::Anything, _) => {}
            (Self::Tables(tables), Self::Tables(others)) => tables.extend(others),
            (_, other) => *self = other,
        }
    }
}

/// Longer texts are read anew each time, and are not worth that.
const LONGEST: usize = 8 * 1024;

impl<B: Backend> Handle<B> {
    /// What a text may change, as far as the catalog shows. Asked when the text was run, or before with a look at
    /// [`definitions`](Self::definitions) behind it: what was defined here meanwhile, a trigger say, counts.
    #[must_use]
    pub fn changes(&self, sql: &str, classification: &Classification) -> Changes {
        if classification.is_plain_read() {
            return Changes::Nothing;
        }
        if sql.len() > LONGEST || !self.shared().knowledge.is_current() {
            return Changes::Anything;
        }
        let analysis = self.analyze(sql);
        let tables = analysis.tables();
        if !tables.is_closed() {
            return Changes::Anything;
        }
        let written: BTreeSet<_> = tables.written().map(Table::name).map(Into::into).collect();
        match classification.reason().kind() {
            _ if !written.is_empty() => Changes::Tables(written),
            ReasonKind::RowLocks => Changes::Nothing,
            _ => Changes::Anything,
        }
    }

    /// What a read has to show of this process's writes: less than all of them, where it is known which tables it reads.
    pub(crate) fn seen_by_tables_of(&self, sql: &str) -> Option<Seen<B::Position>> {
        let shared = self.shared();
        if sql.len() > LONGEST || !self.reads_as_process() || !shared.knowledge.is_current() {
            return None;
        }
        let analysis = self.analyze(sql);
        let tables = analysis.tables();
        tables.is_closed().then(|| shared.written.to(tables.iter().map(Table::name)))
    }
}

/// What was written.
#[derive(Debug)]
pub(crate) struct Written<P> {
    all: ArcSwap<Seen<P>>,
    by_table: Mutex<ByTable<P>>,
    /// So that nobody looks before the first write.
    has_any: AtomicBool,
}

#[derive(Debug)]
struct ByTable<P> {
    /// To tables that are not known, or not listed.
    others: Seen<P>,
    tables: HashMap<Box<str>, Seen<P>>,
}

impl<P> Default for Written<P> {
    fn default() -> Self {
        let by_table = ByTable { others: Seen::default(), tables: HashMap::new() };
        Self { all: ArcSwap::default(), by_table: Mutex::new(by_table), has_any: AtomicBool::new(false) }
    }
}

impl<P: Position> Written<P> {
    /// With more of them the list begins anew: what was in it counts for every table then.
    const MOST: usize = 1024;

    /// Whether this process has written nothing yet.
    pub(crate) fn is_nothing(&self) -> bool {
        !self.has_any.load(Ordering::Acquire)
    }

    /// All of it.
    pub(crate) fn all(&self) -> Guard<Arc<Seen<P>>> {
        self.all.load()
    }

    /// What was written to these tables, and to those that are not known.
    fn to<'t>(&self, tables: impl Iterator<Item = &'t str>) -> Seen<P> {
        let by_table = self.by_table();
        let mut seen = by_table.others.clone();
        tables.filter_map(|table| by_table.tables.get(table)).for_each(|more| seen.merge(more));
        seen
    }

    /// Adds a write.
    pub(crate) fn add(&self, seen: &Seen<P>, changes: &Changes) {
        // By table first: who finds it among all looks there next.
        self.by_table().add(seen, changes);
        merge(&self.all, seen);
        self.has_any.store(true, Ordering::Release);
    }

    /// From now on what was written so far counts for every table: names may mean others.
    pub(crate) fn forget_tables(&self) {
        self.by_table().fold();
    }

    fn by_table(&self) -> MutexGuard<'_, ByTable<P>> {
        self.by_table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<P: Position> ByTable<P> {
    fn add(&mut self, seen: &Seen<P>, changes: &Changes) {
        match changes {
            Changes::Nothing => {}
            Changes::Anything => self.others.merge(seen),
            Changes::Tables(tables) => {
                if self.tables.len() + tables.len() > Written::<P>::MOST {
                    self.fold();
                }
                for table in tables {
                    match self.tables.get_mut(table) {
                        Some(before) => before.merge(seen),
                        None => {
                            self.tables.insert(table.clone(), seen.clone());
                        }
                    }
                }
            }
        }
    }

    fn fold(&mut self) {
        self.tables.drain().for_each(|(_, seen)| self.others.merge(&seen));
    }
}

/// Adds what was seen to what several may add to at the same time.
pub(crate) fn merge<P: Position>(into: &ArcSwap<Seen<P>>, seen: &Seen<P>) {
    into.rcu(|before| {
        let mut merged = Seen::clone(before);
        merged.merge(seen);
        merged
    });
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use millpond_core::{ClusterId, Timeline, Token, TokenPosition};

    use super::*;

    fn at(position: u64) -> Seen<u64> {
        let token = Token::new(ClusterId::new(1), Timeline::new(1), TokenPosition::UpTo(position));
        Seen::written_up_to(token, Instant::now(), Instant::now())
    }

    fn tables<const N: usize>(names: [&str; N]) -> Changes {
        Changes::Tables(names.into_iter().map(Into::into).collect())
    }

    fn needed(written: &Written<u64>, names: &[&str]) -> Option<u64> {
        let seen = written.to(names.iter().copied());
        seen.position_on(Some(Timeline::new(1))).copied()
    }

    #[test]
    fn a_read_needs_what_was_written_to_its_tables_and_to_unknown_ones() {
        let written = Written::default();
        written.add(&at(10), &tables(["item", "cart"]));
        written.add(&at(20), &tables(["cart"]));
        assert_eq!(needed(&written, &["item"]), Some(10));
        assert_eq!(needed(&written, &["item", "cart"]), Some(20));
        assert_eq!(needed(&written, &["shop"]), None);
        written.add(&at(30), &Changes::Nothing);
        assert_eq!(needed(&written, &["item"]), Some(10));
        written.add(&at(40), &Changes::Anything);
        assert_eq!(needed(&written, &["shop"]), Some(40));
        written.add(&at(50), &tables(["cart"]));
        assert_eq!(needed(&written, &["item"]), Some(40));
        assert_eq!(written.all().position_on(Some(Timeline::new(1))), Some(&50));
    }

    #[test]
    fn what_is_forgotten_counts_for_every_table() {
        let written = Written::default();
        written.add(&at(10), &tables(["item"]));
        written.forget_tables();
        assert_eq!(needed(&written, &["shop"]), Some(10));
        for number in 0..2000 {
            written.add(&at(100 + number), &Changes::Tables([format!("t{number}").into()].into()));
        }
        assert!(written.by_table().tables.len() <= Written::<u64>::MOST);
        assert!(needed(&written, &["t3"]) >= Some(103));
    }

    #[test]
    fn of_several_texts_the_strictest_counts() {
        let mut changes = Changes::default();
        changes.add(tables(["a"]));
        changes.add(Changes::Nothing);
        changes.add(tables(["b"]));
        assert_eq!(changes, tables(["a", "b"]));
        changes.add(Changes::Anything);
        changes.add(tables(["c"]));
        assert_eq!(changes, Changes::Anything);
    }
}
