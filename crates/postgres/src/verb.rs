//! What is asked of a server with one text.

use std::future::Future;

use tokio_postgres::{Client, Error, Row, SimpleQueryMessage, Statement};

use crate::client::{Params, TypedParams};

/// The values for a statement's parameters.
#[derive(Clone, Copy)]
pub(crate) enum Values<'a> {
    /// Of types that the server infers: the statement is prepared, and kept.
    Inferred(Params<'a>),
    /// Of types that the caller says: sent with the text, in one round trip.
    Typed(TypedParams<'a>),
}

/// One call of the driver, that can be made again.
pub(crate) trait Verb: Sync {
    type Output: Send;

    /// The text to prepare for it, if it wants a statement.
    fn to_prepare(&self) -> Option<&str>;

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

    async fn send(&self, client: &Client, statement: Option<&Statement>) -> Result<Vec<Row>, Error> {
        match (self.values, statement) {
            (Values::Inferred(params), Some(statement)) => client.query(statement, params).await,
            (Values::Inferred(params), None) => client.query(self.sql, params).await,
            (Values::Typed(params), _) => client.query_typed(self.sql, params).await,
        }
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
