//! Lines of statements whose reads show their own writes.

use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use millpond_cluster::Sessions;
use millpond_sqlx::{PgPool, Token, TokenError};
use sea_orm::{
    AccessMode, ConnectionTrait, DbBackend, DbErr, ExecResult, IsolationLevel, QueryResult, Statement,
    StreamTrait, TransactionOptions, TransactionTrait,
};
use tokio::time::Instant;

use crate::connection::{Beginning, DatabaseConnection, Transacting};
use crate::error::in_acquire;
use crate::stream::QueryStream;
use crate::transaction::DatabaseTransaction;

/// A line of statements whose reads show its own writes: a [`DatabaseConnection`], with a token. `&session` is what sea-orm's calls take, too. Clones are
/// the same session.
#[derive(Clone, Debug)]
pub struct Session {
    connection: DatabaseConnection,
    /// Nothing on one that was made of one of sea-orm's connections.
    session: Option<millpond_sqlx::Session>,
}

impl Session {
    pub(crate) fn routed(session: millpond_sqlx::Session) -> Self {
        Self { connection: PgPool::clone(&session).into(), session: Some(session) }
    }

    pub(crate) const fn plain(connection: DatabaseConnection) -> Self {
        Self { connection, session: None }
    }

    fn with(&self, session: impl FnOnce(&millpond_sqlx::Session) -> millpond_sqlx::Session) -> Self {
        match &self.session {
            Some(of) => Self::routed(session(of)),
            None => self.clone(),
        }
    }

    /// What a reader elsewhere must be able to see to see what was written here; nothing on one that was made of one of sea-orm's connections.
    #[must_use]
    pub fn token(&self) -> Option<Token> {
        self.session.as_ref()?.token()
    }

    /// Reads show what `token` asks for from here on.
    ///
    /// # Errors
    ///
    /// A token of another cluster.
    pub fn see(&self, token: Token) -> Result<(), DbErr> {
        self.session.as_ref().map_or(Ok(()), |session| session.see(token)).map_err(in_acquire)
    }

    /// Reads show what the token in `text` asks for from here on, if it can be used; if it cannot, all that had been written when it came. Gives what was
    /// wrong with it.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn see_or_latest(&self, text: &str) -> Option<TokenError> {
        self.session.as_ref()?.see_or_latest(text).await
    }

    /// The same session, for reads that never show less than one of its earlier ones did.
    #[must_use]
    pub fn monotonic(&self) -> Self {
        self.with(millpond_sqlx::Session::monotonic)
    }

    /// The same session, for reads that may be so old; they still show its own writes.
    #[must_use]
    pub fn within(&self, limit: Duration) -> Self {
        self.with(|session| session.within(limit))
    }

    /// The same session, for reads from any replica that has its own writes.
    #[must_use]
    pub fn any(&self) -> Self {
        self.with(millpond_sqlx::Session::any)
    }

    /// The same session, for reads from the primary.
    #[must_use]
    pub fn latest(&self) -> Self {
        self.with(millpond_sqlx::Session::latest)
    }
}

impl Deref for Session {
    type Target = DatabaseConnection;

    fn deref(&self) -> &DatabaseConnection {
        &self.connection
    }
}

impl Sessions for DatabaseConnection {
    type Session = Session;

    fn begin_session(&self, deadline: Option<Instant>) -> Session {
        match self.pool() {
            Some(pool) => Session::routed(pool.begin_session(deadline)),
            None => Session::plain(self.clone()),
        }
    }

    async fn take_token(session: &Session, text: &str) -> Option<TokenError> {
        session.see_or_latest(text).await
    }

    fn give_token(session: &Session) -> Option<String> {
        session.token().map(|token| token.to_string())
    }

    async fn run_in<F>(session: &Session, future: F) -> F::Output
    where
        F: Future + Send,
        F::Output: Send,
    {
        match &session.session {
            Some(session) => PgPool::run_in(session, future).await,
            None => future.await,
        }
    }
}

#[async_trait]
impl ConnectionTrait for Session {
    fn get_database_backend(&self) -> DbBackend {
        ConnectionTrait::get_database_backend(&self.connection)
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.connection.execute_raw(statement).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.connection.execute_unprepared(sql).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.connection.query_one_raw(statement).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.connection.query_all_raw(statement).await
    }

    fn is_mock_connection(&self) -> bool {
        self.connection.is_mock_connection()
    }
}

impl StreamTrait for Session {
    type Stream<'a> = QueryStream<'a>;

    fn get_database_backend(&self) -> DbBackend {
        ConnectionTrait::get_database_backend(&self.connection)
    }

    fn stream_raw<'a>(
        &'a self,
        statement: Statement,
    ) -> Pin<Box<dyn Future<Output = Result<QueryStream<'a>, DbErr>> + 'a + Send>> {
        self.connection.stream_raw(statement)
    }
}

// By hand, as that of the connection.
impl TransactionTrait for Session {
    type Transaction = DatabaseTransaction;

    #[track_caller]
    fn begin<'s, 'f>(&'s self) -> Beginning<'f>
    where
        's: 'f,
        Self: 'f,
    {
        self.connection.begin()
    }

    #[track_caller]
    fn begin_with_config<'s, 'f>(
        &'s self,
        isolation_level: Option<IsolationLevel>,
        access_mode: Option<AccessMode>,
    ) -> Beginning<'f>
    where
        's: 'f,
        Self: 'f,
    {
        self.connection.begin_with_config(isolation_level, access_mode)
    }

    #[track_caller]
    fn begin_with_options<'s, 'f>(&'s self, options: TransactionOptions) -> Beginning<'f>
    where
        's: 'f,
        Self: 'f,
    {
        self.connection.begin_with_options(options)
    }

    #[track_caller]
    fn transaction<'s, 'f, F, T, E>(&'s self, callback: F) -> Transacting<'f, T, E>
    where
        F: for<'c> FnOnce(&'c DatabaseTransaction) -> Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'c>>
            + Send
            + 'f,
        T: Send + 'f,
        E: fmt::Display + fmt::Debug + Send + 'f,
        's: 'f,
        Self: 'f,
    {
        self.connection.transaction(callback)
    }

    #[track_caller]
    fn transaction_with_config<'s, 'f, F, T, E>(
        &'s self,
        callback: F,
        isolation_level: Option<IsolationLevel>,
        access_mode: Option<AccessMode>,
    ) -> Transacting<'f, T, E>
    where
        F: for<'c> FnOnce(&'c DatabaseTransaction) -> Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'c>>
            + Send
            + 'f,
        T: Send + 'f,
        E: fmt::Display + fmt::Debug + Send + 'f,
        's: 'f,
        Self: 'f,
    {
        self.connection.transaction_with_config(callback, isolation_level, access_mode)
    }
}
