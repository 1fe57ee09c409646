//! Typed texts whose columns the driver can read without asking.
//!
//! It asks the server for a type that it does not know behind the rows of that type, and reads no rows meanwhile: where they fill what it reads
//! them into, neither comes to an end (rust-postgres, issue 1348). So the columns of a text are described before it is run for the
//! first time.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use foldhash::fast::RandomState;
use tokio_postgres::Statement;
use tokio_postgres::types::Type;

use crate::client::TypedParams;
use crate::connection::Connection;

/// Texts. Bounded: when it is full it forgets all, which costs a round trip for each.
#[derive(Debug, Default)]
pub(crate) struct Known(Mutex<HashSet<Box<str>, RandomState>>);

impl Known {
    const MOST: usize = 1024;

    fn has(&self, sql: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(sql)
    }

    fn add(&self, sql: &str) {
        let mut texts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if texts.len() >= Self::MOST {
            texts.clear();
        }
        texts.insert(sql.into());
    }
}

impl Connection {
    /// Whether the driver can read the columns of a text.
    pub(crate) fn knows_columns(&self, sql: &str) -> bool {
        self.setup.known.has(sql) || self.known.has(sql)
    }

    /// Has the driver ask for what it needs to read the columns of a text.
    pub(crate) async fn learn_columns(
        &self,
        sql: &str,
        params: TypedParams<'_>,
    ) -> Result<(), tokio_postgres::Error> {
        if self.knows_columns(sql) {
            return Ok(());
        }
        let types: Vec<_> = params.iter().map(|(_, of)| of.clone()).collect();
        let statement = self.client().prepare_typed(sql, &types).await?;
        let known = if is_built_in(&statement) { &self.setup.known } else { &self.known };
        known.add(sql);
        Ok(())
    }
}

/// Whether every connection can read its columns.
fn is_built_in(statement: &Statement) -> bool {
    statement.columns().iter().all(|column| Type::from_oid(column.type_().oid()).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_bounded() {
        let known = Known::default();
        for number in 0..=Known::MOST {
            known.add(&number.to_string());
        }
        assert!(known.has(&Known::MOST.to_string()));
        assert!(!known.has("0"));
    }
}
