//! A query of sqlx's in its parts, so that its text can be read, and it can be sent once more.

use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArguments, PgStatement, Postgres};
use sqlx::{Execute, SqlStr};

/// What any [`Execute`] is made of. A clone shares the text and copies the values.
#[derive(Clone)]
pub(crate) struct Query {
    sql: SqlStr,
    statement: Option<PgStatement>,
    arguments: Option<PgArguments>,
    is_persistent: bool,
}

impl Query {
    pub(crate) fn of<'q>(mut query: impl Execute<'q, Postgres>) -> Result<Self, sqlx::Error> {
        let arguments = query.take_arguments().map_err(sqlx::Error::Encode)?;
        let (statement, is_persistent) = (query.statement().cloned(), query.persistent());
        Ok(Self { sql: query.sql(), statement, arguments, is_persistent })
    }

    pub(crate) fn text(&self) -> SqlStr {
        self.sql.clone()
    }

    /// The same behind a change of its tables: what was known of its columns is not so any more. Not one without values, which may be several statements, of
    /// which some ran.
    pub(crate) fn anew(&self) -> Option<Self> {
        self.arguments.is_some().then(|| Self { statement: None, ..self.clone() })
    }
}

impl Execute<'_, Postgres> for Query {
    fn sql(self) -> SqlStr {
        self.sql
    }

    fn statement(&self) -> Option<&PgStatement> {
        self.statement.as_ref()
    }

    fn take_arguments(&mut self) -> Result<Option<PgArguments>, BoxDynError> {
        Ok(self.arguments.take())
    }

    fn persistent(&self) -> bool {
        self.is_persistent
    }
}
