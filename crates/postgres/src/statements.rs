use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;
use tokio::sync::OnceCell;
use tokio_postgres::{Client, Error, Statement};

/// The prepared statements of one connection, by text and what it was read under. Bounded: the least recently used goes first.
#[derive(Debug, Default)]
pub(crate) struct Statements {
    cached: Mutex<Cache>,
}

#[derive(Debug, Default)]
struct Cache {
    by_text: HashMap<Box<str>, Entry, RandomState>,
    /// Counts uses; a statement's `used` is its age.
    clock: u64,
}

#[derive(Debug)]
struct Entry {
    /// Empty while it is being prepared: whoever wants it meanwhile waits for that. If that is given up, the next one does it.
    statement: Arc<OnceCell<Statement>>,
    used: u64,
}

/// A statement, or the place where it will be.
enum Found {
    Prepared(Statement),
    Not(Arc<OnceCell<Statement>>),
}

impl Statements {
    /// Enough for the statements of most services, and some 2 MB on the server at most.
    const MOST: usize = 256;

    /// The statement for a text, kept under `key`; prepares it when it is not there, once for all that ask at the same time.
    pub(crate) async fn prepare(&self, client: &Client, key: &str, sql: &str) -> Result<Statement, Error> {
        let cell = match self.find(key) {
            Found::Prepared(statement) => return Ok(statement),
            Found::Not(cell) => cell,
        };
        let prepared = cell.get_or_try_init(|| client.prepare(sql)).await;
        if prepared.is_err() {
            self.forget_failed(key, &cell);
        }
        prepared.cloned()
    }

    /// The statement that is kept under `key`.
    pub(crate) fn prepared(&self, key: &str) -> Option<Statement> {
        let mut cache = self.lock();
        cache.clock += 1;
        let used = cache.clock;
        let entry = cache.by_text.get_mut(key)?;
        entry.used = used;
        entry.statement.get().cloned()
    }

    /// Forgets a statement, so that it is prepared again. Whether it was there.
    pub(crate) fn forget(&self, key: &str) -> bool {
        self.lock().by_text.remove(key).is_some()
    }

    /// How many are kept.
    pub(crate) fn len(&self) -> usize {
        self.lock().by_text.values().filter(|entry| entry.statement.initialized()).count()
    }

    /// Forgets those with such keys.
    pub(crate) fn forget_all(&self, is_one: impl Fn(&str) -> bool) {
        self.lock().by_text.retain(|key, _| !is_one(key));
    }

    /// A text that cannot be prepared takes no place.
    fn forget_failed(&self, sql: &str, cell: &Arc<OnceCell<Statement>>) {
        let mut cache = self.lock();
        let is_it = |entry: &Entry| Arc::ptr_eq(&entry.statement, cell) && !cell.initialized();
        if cache.by_text.get(sql).is_some_and(is_it) {
            cache.by_text.remove(sql);
        }
    }

    fn find(&self, sql: &str) -> Found {
        let mut cache = self.lock();
        cache.clock += 1;
        let used = cache.clock;
        if let Some(entry) = cache.by_text.get_mut(sql) {
            entry.used = used;
            return match entry.statement.get() {
                Some(statement) => Found::Prepared(statement.clone()),
                None => Found::Not(Arc::clone(&entry.statement)),
            };
        }
        if cache.by_text.len() >= Self::MOST {
            // A walk over the cache, once per statement that is new to a full one.
            let oldest =
                cache.by_text.iter().min_by_key(|(_, entry)| entry.used).map(|(text, _)| text.clone());
            oldest.and_then(|text| cache.by_text.remove(&text));
        }
        let statement = Arc::default();
        cache.by_text.insert(sql.into(), Entry { statement: Arc::clone(&statement), used });
        Found::Not(statement)
    }

    fn lock(&self) -> MutexGuard<'_, Cache> {
        self.cached.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
