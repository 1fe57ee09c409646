//! What is asked of a server with one text.

use std::future::Future;
use std::pin::pin;

use futures_util::TryStreamExt as _;
use tokio_postgres::{Client, Error, Row, SimpleQueryMessage, Statement};

use crate::client::{Params, TypedParams};

/// The values for a statement's parameters.
#[derive(Clone, Copy)]
pub(crate) enum Values<'a> {
    /// Of types that the server infers: the statement is prepared, and kept.
    Inferred(Params<'a>),
    /// Of types that the caller says: sent with the text.
    Typed(TypedParams<'a>),
}

/// One call of the driver, that can be made again.
pub(crate) trait Verb: Sync {
    type Output: Send;

    /// The text to prepare for it, if it wants a statement.
    fn to_prepare(&self) -> Option<&str>;

    /// The text whose columns the driver has to know before it is sent, with its values.
    fn to_describe(&self) -> Option<(&str, TypedParams<'_>)> {
        None
    }

    /// Makes the call: it is on its way when the future was polled once.
    fn send(
        &self,
        client: &Client,
        statement: Option<&Statement>,
    ) -> impl Future<Output = Result<Self::Output, Error>> + Send;
}

/// The rows of a statement.
#[derive(Clone, Copy)]
pub(crate) struct Query<'a> {
    pub(crate) sql: &'a str,
    pub(crate) values: Values<'a>,
}

impl Verb for Query<'_> {
    type Output = Vec<Row>;

    fn to_prepare(&self) -> Option<&str> {
        matches!(self.values, Values::Inferred(_)).then_some(self.sql)
    }

    fn to_describe(&self) -> Option<(&str, TypedParams<'_>)> {
        match self.values {
            Values::Typed(params) => Some((self.sql, params)),
            Values::Inferred(_) => None,
        }
    }

    async fn send(&self, client: &Client, statement: Option<&Statement>) -> Result<Vec<Row>, Error> {
        match (self.values, statement) {
            (Values::Inferred(params), Some(statement)) => client.query(statement, params).await,
            (Values::Inferred(params), None) => client.query(self.sql, params).await,
            (Values::Typed(params), _) => client.query_typed(self.sql, params).await,
        }
    }
}

/// The row of a statement that should give one. Without a list, as most reads are of this kind.
#[derive(Clone, Copy)]
pub(crate) struct QueryOne<'a> {
    pub(crate) sql: &'a str,
    pub(crate) values: Values<'a>,
}

/// What such a statement gave.
pub(crate) enum OneRow {
    None,
    One(Row),
    /// So many.
    More(usize),
}

impl Verb for QueryOne<'_> {
    type Output = OneRow;

    fn to_prepare(&self) -> Option<&str> {
        matches!(self.values, Values::Inferred(_)).then_some(self.sql)
    }

    fn to_describe(&self) -> Option<(&str, TypedParams<'_>)> {
        match self.values {
            Values::Typed(params) => Some((self.sql, params)),
            Values::Inferred(_) => None,
        }
    }

    async fn send(&self, client: &Client, statement: Option<&Statement>) -> Result<OneRow, Error> {
        let rows = match (self.values, statement) {
            (Values::Inferred(params), Some(statement)) => {
                client.query_raw(statement, params.iter().copied()).await?
            }
            (Values::Inferred(params), None) => client.query_raw(self.sql, params.iter().copied()).await?,
            (Values::Typed(params), _) => {
                let params = params.iter().map(|(value, of)| (*value, of.clone()));
                client.query_typed_raw(self.sql, params).await?
            }
        };
        let mut rows = pin!(rows);
        let Some(first) = rows.try_next().await? else { return Ok(OneRow::None) };
        let mut count = 1;
        // To the end: the next one on the connection would have to wait for it.
        while rows.try_next().await?.is_some() {
            count += 1;
        }
        Ok(if count == 1 { OneRow::One(first) } else { OneRow::More(count) })
    }
}

/// The number of rows that a statement affects.
#[derive(Clone, Copy)]
pub(crate) struct Execute<'a> {
    pub(crate) sql: &'a str,
    pub(crate) values: Values<'a>,
}

impl Verb for Execute<'_> {
    type Output = u64;

    fn to_prepare(&self) -> Option<&str> {
        matches!(self.values, Values::Inferred(_)).then_some(self.sql)
    }

    async fn send(&self, client: &Client, statement: Option<&Statement>) -> Result<u64, Error> {
        match (self.values, statement) {
            (Values::Inferred(params), Some(statement)) => client.execute(statement, params).await,
            (Values::Inferred(params), None) => client.execute(self.sql, params).await,
            (Values::Typed(params), _) => client.execute_typed(self.sql, params).await,
        }
    }
}

/// Statements without parameters, by the simple protocol.
#[derive(Clone, Copy)]
pub(crate) struct Batch<'a>(pub(crate) &'a str);

impl Verb for Batch<'_> {
    type Output = ();

    fn to_prepare(&self) -> Option<&str> {
        None
    }

    async fn send(&self, client: &Client, _: Option<&Statement>) -> Result<(), Error> {
        client.batch_execute(self.0).await
    }
}

/// Statements without parameters and their rows as text, by the simple protocol.
#[derive(Clone, Copy)]
pub(crate) struct Simple<'a>(pub(crate) &'a str);

impl Verb for Simple<'_> {
    type Output = Vec<SimpleQueryMessage>;

    fn to_prepare(&self) -> Option<&str> {
        None
    }

    async fn send(&self, client: &Client, _: Option<&Statement>) -> Result<Vec<SimpleQueryMessage>, Error> {
        client.simple_query(self.0).await
    }
}
