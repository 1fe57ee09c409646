use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// How a connection reads texts now, as far as it is not how a new one does.
///
/// A prepared statement was read when it was prepared: its names and literals by the settings of then and the temporary tables that there
/// were. The server does not read it anew for the sake of those. So what was prepared otherwise is kept apart, by a
/// prefix of its key.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    /// Counts what changed it since the last reset.
    changes: AtomicU64,
    /// Whether what runs may change it.
    may_change: AtomicBool,
    /// Whether the driver's client was given out: whatever it sets, only its like read by it.
    is_raw: AtomicBool,
    /// The settings of the transaction, and whether there are any.
    under: Mutex<Box<str>>,
    is_under: AtomicBool,
}

/// Begins the keys of what was prepared behind a change.
const CHANGED: char = '\u{1}';

/// Begins the keys of what was prepared behind the driver's client.
const RAW: char = '\u{2}';

impl Reading {
    /// Under what a statement for a text is kept.
    pub(crate) fn key<'s>(&self, sql: &'s str) -> Cow<'s, str> {
        let changes = self.changes.load(Ordering::Relaxed);
        if changes > 0 {
            return format!("{CHANGED}{changes}\0{sql}").into();
        }
        if self.is_raw.load(Ordering::Relaxed) {
            return format!("{RAW}{sql}").into();
        }
        if !self.is_under.load(Ordering::Relaxed) {
            return sql.into();
        }
        format!("{}{sql}", self.under.lock().unwrap_or_else(PoisonError::into_inner)).into()
    }

    /// It changed.
    pub(crate) fn change(&self) {
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    /// Texts were prepared together, and any of them may have been what changed it.
    pub(crate) fn changed_meanwhile(&self) {
        if self.changes.load(Ordering::Relaxed) > 0 {
            self.change();
        }
    }

    /// What runs next may change it, for what comes behind that.
    pub(crate) fn may_change(&self) {
        self.may_change.store(true, Ordering::Relaxed);
    }

    /// Another text comes: what ran before it may have changed it.
    pub(crate) fn next(&self) {
        if self.may_change.swap(false, Ordering::Relaxed) {
            self.change();
        }
    }

    pub(crate) fn is_raw(&self) -> bool {
        self.is_raw.load(Ordering::Relaxed)
    }

    pub(crate) fn raw(&self) {
        self.is_raw.store(true, Ordering::Relaxed);
    }

    /// A transaction begins with such settings.
    pub(crate) fn under(&self, settings: &str) {
        *self.under.lock().unwrap_or_else(PoisonError::into_inner) = settings.into();
        self.is_under.store(!settings.is_empty(), Ordering::Relaxed);
    }

    /// The transaction is over.
    pub(crate) fn transaction_over(&self) {
        self.is_under.store(false, Ordering::Relaxed);
    }

    /// It is what it was at first. Says whether there can be statements that are of no use any more.
    pub(crate) fn reset(&self) -> bool {
        self.may_change.store(false, Ordering::Relaxed);
        self.is_under.store(false, Ordering::Relaxed);
        // Not one after the other in one expression: both have to be set back.
        let was_raw = self.is_raw.swap(false, Ordering::Relaxed);
        self.changes.swap(0, Ordering::Relaxed) > 0 || was_raw
    }

    /// Whether a key is of a statement that was prepared behind a change, or what may be one, and is of no use behind a reset.
    pub(crate) fn is_changed(key: &str) -> bool {
        key.starts_with([CHANGED, RAW])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_otherwise_is_kept_apart() {
        let reading = Reading::default();
        let mut keys = vec![reading.key("select 1").into_owned()];
        reading.under("timezone\0UTC\0");
        keys.push(reading.key("select 1").into_owned());
        reading.transaction_over();
        assert_eq!(reading.key("select 1"), keys[0]);
        reading.raw();
        keys.push(reading.key("select 1").into_owned());
        reading.may_change();
        assert_eq!(reading.key("select 1"), keys[2], "for what comes behind");
        reading.next();
        keys.push(reading.key("select 1").into_owned());
        reading.next();
        assert_eq!(reading.key("select 1"), keys[3], "once");
        reading.change();
        keys.push(reading.key("select 1").into_owned());
        assert_eq!(keys.iter().filter(|key| Reading::is_changed(key)).count(), 3);
        assert!(reading.reset() && !reading.reset());
        assert_eq!(reading.key("select 1"), keys[0]);
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), 5);
    }
}
