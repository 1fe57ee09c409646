use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio_postgres::{Client, Error, Statement};

/// The prepared statements of one connection, by text. Bounded: the least recently used goes first.
#[derive(Debug, Default)]
pub(crate) struct Statements {
    cached: Mutex<Cache>,
}

#[derive(Debug, Default)]
struct Cache {
    by_text: HashMap<Box<str>, Entry>,
    /// Counts uses; a statement's `used` is its age.
    clock: u64,
}

#[derive(Debug)]
struct Entry {
    statement: Statement,
    used: u64,
}

impl Statements {
    /// Enough for the statements of most services, and some 2 MB on the server at most.
    const MOST: usize = 256;

    /// The statement for a text; prepares it when it is not there.
    pub(crate) async fn prepare(&self, client: &Client, sql: &str) -> Result<Statement, Error> {
        if let Some(statement) = self.find(sql) {
            return Ok(statement);
        }
        let statement = client.prepare(sql).await?;
        self.insert(sql, statement.clone());
        Ok(statement)
    }

    /// Forgets a statement, so that it is prepared again. Whether it was there.
    pub(crate) fn forget(&self, sql: &str) -> bool {
        self.cached.lock().unwrap_or_else(PoisonError::into_inner).by_text.remove(sql).is_some()
    }

    fn find(&self, sql: &str) -> Option<Statement> {
        let mut cache = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        cache.clock += 1;
        let now = cache.clock;
        let entry = cache.by_text.get_mut(sql)?;
        entry.used = now;
        Some(entry.statement.clone())
    }

    fn insert(&self, sql: &str, statement: Statement) {
        let mut cache = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.by_text.len() >= Self::MOST {
            // A walk over the cache, once per statement that is new to a full one.
            let oldest =
                cache.by_text.iter().min_by_key(|(_, entry)| entry.used).map(|(text, _)| text.clone());
            oldest.and_then(|text| cache.by_text.remove(&text));
        }
        let used = cache.clock;
        cache.by_text.insert(sql.into(), Entry { statement, used });
    }
}
