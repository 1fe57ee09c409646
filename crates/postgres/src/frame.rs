//! Frames of statements: a transaction of their own, for the settings that they run with, or because a pooler gives each transaction another
//! server connection; and a savepoint, where a test has begun the transaction.

use std::borrow::Cow;
use std::pin::pin;

use futures_util::future::join;
use millpond_cluster::Target;
use millpond_cluster::sql::Effects;
use tokio_postgres::{RowStream, Statement};

use crate::beside::Beside;
use crate::connection::Connection;
use crate::scope::Scope;
use crate::verb::{Values, Verb};
use crate::{DriverError, Lsn};

/// What is at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A server.
    Direct,
    /// A pooler that gives each transaction another server connection.
    Pooled,
    /// A server, in a transaction that a test has begun and will roll back.
    Test,
}

impl Kind {
    pub(crate) const fn nesting(self) -> Nesting {
        match self {
            Self::Direct | Self::Pooled => Nesting::Own,
            Self::Test => Nesting::InTest,
        }
    }
}

/// How transactions begin and end on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nesting {
    /// As they do.
    Own,
    /// Inside the one of a test, as savepoints.
    InTest,
}

impl Nesting {
    /// Begins one, with its settings.
    pub(crate) fn begin(self, modes: &str, is_read_only: bool, scope: Option<&Scope>) -> String {
        let begin = match self {
            Self::Own => format!("BEGIN{modes}"),
            // An isolation level is the outer one's.
            Self::InTest if is_read_only => "SAVEPOINT millpond; SET TRANSACTION READ ONLY".to_owned(),
            Self::InTest => "SAVEPOINT millpond".to_owned(),
        };
        match scope.map(Scope::local) {
            Some(settings) if !settings.is_empty() => format!("{begin}; {settings}"),
            _ => begin,
        }
    }

    /// Commits one. The server answers the COMMIT of an aborted transaction with a rollback and no error, which the driver does not
    /// show. A statement before it fails there, and then the COMMIT is not run.
    pub(crate) const fn commit(self) -> &'static str {
        match self {
            Self::Own => "SELECT; COMMIT",
            Self::InTest => "SELECT; RELEASE SAVEPOINT millpond",
        }
    }

    /// Rolls one back.
    pub(crate) const fn rollback(self) -> &'static str {
        match self {
            Self::Own => "ROLLBACK",
            Self::InTest => "ROLLBACK TO SAVEPOINT millpond; RELEASE SAVEPOINT millpond",
        }
    }
}

/// What stands around one statement.
#[derive(Clone, Copy)]
pub(crate) enum Frame<'s> {
    /// Nothing: it is a transaction by itself.
    Bare,
    /// A transaction.
    Transaction {
        /// Whether a write in it is refused.
        is_read_only: bool,
        /// What is set in it.
        scope: Option<&'s Scope>,
    },
    /// A savepoint, in the transaction of a test.
    Savepoint(Option<&'s Scope>),
}

impl<'s> Frame<'s> {
    /// The frame of a statement with these settings.
    pub(crate) const fn new(kind: Kind, scope: Option<&'s Scope>, target: Target<Lsn>) -> Self {
        let is_read_only = target.access.is_read();
        match kind {
            Kind::Test => Self::Savepoint(scope),
            Kind::Pooled if is_read_only => Self::Transaction { is_read_only, scope },
            Kind::Pooled | Kind::Direct => match scope {
                Some(_) => Self::Transaction { is_read_only, scope },
                None => Self::Bare,
            },
        }
    }

    /// Under what a statement is kept that was prepared in the frame.
    pub(crate) fn key(&self, sql: &str) -> Option<String> {
        match self {
            Self::Transaction { scope: Some(scope), .. } | Self::Savepoint(Some(scope))
                if !scope.prepared_under().is_empty() =>
            {
                Some(format!("{}{sql}", scope.prepared_under()))
            }
            _ => None,
        }
    }

    /// What opens it.
    pub(crate) fn opening(&self) -> String {
        match self {
            Self::Bare => String::new(),
            Self::Transaction { is_read_only, scope } => {
                let modes = if *is_read_only { " READ ONLY" } else { "" };
                Nesting::Own.begin(modes, *is_read_only, *scope)
            }
            Self::Savepoint(None) => "SAVEPOINT millpond".to_owned(),
            // What they were is asked first: a savepoint that is released leaves its settings to what follows.
            Self::Savepoint(Some(scope)) => {
                format!("{}; SAVEPOINT millpond; {}", scope.show(), scope.local())
            }
        }
    }
}

const COMMIT: &str = "COMMIT";
const RELEASE: &str = "RELEASE SAVEPOINT millpond";

impl Connection {
    /// Runs one statement in a frame.
    pub(crate) async fn framed<V: Verb>(
        &self,
        verb: &V,
        frame: Frame<'_>,
        beside: Beside,
    ) -> Result<(V::Output, Option<Lsn>), DriverError> {
        let key = verb.to_prepare().map(|sql| self.key_in(&frame, sql));
        let key = key.as_deref();
        let answer = self.in_frame(verb, frame, key, beside).await;
        match key {
            // It was rolled back, so that there is a once more.
            Some(key) if self.is_outdated(key, &answer) => {
                self.in_frame(verb, frame, Some(key), beside).await
            }
            _ => answer,
        }
    }

    /// Under what a statement for a text is kept that is prepared in a frame.
    fn key_in<'s>(&self, frame: &Frame<'_>, sql: &'s str) -> Cow<'s, str> {
        frame.key(sql).map_or_else(|| self.reading().key(sql), Cow::Owned)
    }

    async fn in_frame<V: Verb>(
        &self,
        verb: &V,
        frame: Frame<'_>,
        key: Option<&str>,
        beside: Beside,
    ) -> Result<(V::Output, Option<Lsn>), DriverError> {
        let opening = frame.opening();
        match frame {
            Frame::Bare => self.bare(verb, beside).await,
            Frame::Savepoint(scope) => Ok((self.in_savepoint(verb, &opening, scope, key).await?, None)),
            Frame::Transaction { is_read_only, .. } => {
                self.soil(Effects::TRANSACTION);
                let kept = key.and_then(|key| self.statements.prepared(key));
                let to_describe = verb.to_describe().filter(|(sql, _)| !self.knows_columns(sql));
                if is_read_only && (kept.is_some() || key.is_none()) && to_describe.is_none() {
                    return self.in_one_flight(verb, &opening, kept.as_ref(), beside).await;
                }
                // A proof goes with the first flight, and the question for a position with the last.
                let (first, last) = match beside {
                    Beside::Proof(_) => (beside, Beside::Nothing),
                    beside => (Beside::Nothing, beside),
                };
                let (statement, proven) = self.open(&opening, key.zip(verb.to_prepare()), first).await?;
                if let Some((sql, params)) = to_describe {
                    if let Err(error) = self.call(pin!(self.learn_columns(sql, params))).await {
                        return Err(self.roll_back_frame(error).await);
                    }
                }
                let closed = pin!(self.closed(verb, statement.as_ref()));
                let (output, position) = self.send(last, closed).await?;
                Ok((output, position.or(proven)))
            }
        }
    }

    /// Opens the transaction, runs the statement and commits. Should BEGIN fail, the statement runs by itself, without its settings: so
    /// only what reads comes here, and its rows are thrown away then.
    async fn in_one_flight<V: Verb>(
        &self,
        verb: &V,
        opening: &str,
        statement: Option<&Statement>,
        beside: Beside,
    ) -> Result<(V::Output, Option<Lsn>), DriverError> {
        let flight = pin!(async {
            // Polled, and so sent, in this order.
            let (opened, answer) =
                join(self.client().batch_execute(opening), self.closed(verb, statement)).await;
            opened.and(answer)
        });
        self.send(beside, flight).await
    }

    /// Opens the transaction and waits for it. The statement is prepared in it, where names mean what they will mean.
    async fn open(
        &self,
        opening: &str,
        to_prepare: Option<(&str, &str)>,
        beside: Beside,
    ) -> Result<(Option<Statement>, Option<Lsn>), DriverError> {
        let flight = pin!(async {
            let prepared = async {
                match to_prepare {
                    Some((key, sql)) => self.prepare_as(key, sql).await.map(Some),
                    None => Ok(None),
                }
            };
            let (opened, prepared) = join(self.client().batch_execute(opening), prepared).await;
            opened.and(prepared)
        });
        self.send(beside, flight).await
    }

    /// Opens a savepoint and waits for it. Gives what closes it: one that is released leaves its settings to what follows, so they
    /// are set back.
    async fn open_savepoint(&self, opening: &str, scope: Option<&Scope>) -> Result<String, DriverError> {
        let answers = self.call(pin!(self.client().simple_query(opening))).await?;
        Ok(match scope {
            Some(scope) => format!("{}; {RELEASE}", scope.restore_to(&answers)),
            None => RELEASE.to_owned(),
        })
    }

    /// Runs the statement, and commits right behind it: a transaction that it aborted is rolled back by that.
    async fn closed<V: Verb>(
        &self,
        verb: &V,
        statement: Option<&Statement>,
    ) -> Result<V::Output, tokio_postgres::Error> {
        let (answer, closed) =
            join(verb.send(self.client(), statement), self.client().batch_execute(COMMIT)).await;
        if closed.is_ok() {
            self.clean(Effects::TRANSACTION);
        }
        let answer = answer?;
        closed.map(|()| answer)
    }

    /// Runs the statement in a savepoint, since a failure must not be the end of the test's transaction.
    async fn in_savepoint<V: Verb>(
        &self,
        verb: &V,
        opening: &str,
        scope: Option<&Scope>,
        key: Option<&str>,
    ) -> Result<V::Output, DriverError> {
        self.soil(Effects::TRANSACTION);
        let close = self.open_savepoint(opening, scope).await?;
        let answer = async {
            let statement = match key.zip(verb.to_prepare()) {
                Some((key, sql)) => Some(self.call(pin!(self.prepare_as(key, sql))).await?),
                None => None,
            };
            if let Some((sql, params)) = verb.to_describe() {
                self.learn(sql, params).await?;
            }
            self.call(pin!(verb.send(self.client(), statement.as_ref()))).await
        };
        let answer = answer.await;
        match answer {
            Ok(output) => self.close_frame(&close).await.map(|()| output),
            Err(error) => Err(self.roll_back_frame(error).await),
        }
    }

    /// Opens a frame and waits for it. Gives what closes it.
    pub(crate) async fn open_frame(&self, frame: Frame<'_>) -> Result<Option<String>, DriverError> {
        let opening = frame.opening();
        match frame {
            Frame::Bare => Ok(None),
            Frame::Transaction { .. } => {
                self.soil(Effects::TRANSACTION);
                self.open(&opening, None, Beside::Nothing).await?;
                Ok(Some(COMMIT.to_owned()))
            }
            Frame::Savepoint(scope) => {
                self.soil(Effects::TRANSACTION);
                Ok(Some(self.open_savepoint(&opening, scope).await?))
            }
        }
    }

    /// Ends a frame.
    pub(crate) async fn close_frame(&self, end: &str) -> Result<(), DriverError> {
        self.call(pin!(self.client().batch_execute(end))).await?;
        self.clean(Effects::TRANSACTION);
        Ok(())
    }

    /// Ends a frame whose statement failed, and gives back why. A connection on which that fails too has noted it.
    pub(crate) async fn roll_back_frame(&self, error: DriverError) -> DriverError {
        self.close_frame(self.kind().nesting().rollback()).await.err();
        error
    }

    /// Begins to read rows in a frame. Gives, with them, what closes it behind the last one.
    pub(crate) async fn stream(
        &self,
        sql: &str,
        values: Values<'_>,
        frame: Frame<'_>,
    ) -> Result<(RowStream, Option<String>), DriverError> {
        let close = self.open_frame(frame).await?;
        match self.stream_bare(sql, values, &frame).await {
            Ok(rows) => Ok((rows, close)),
            Err(error) if close.is_some() => Err(self.roll_back_frame(error).await),
            Err(error) => Err(error),
        }
    }

    async fn stream_bare(
        &self,
        sql: &str,
        values: Values<'_>,
        frame: &Frame<'_>,
    ) -> Result<RowStream, DriverError> {
        let params = match values {
            Values::Inferred(params) => params,
            Values::Typed(params) => {
                if matches!(frame, Frame::Bare) {
                    self.learn(sql, params).await?;
                } else {
                    self.call(pin!(self.learn_columns(sql, params))).await?;
                }
                let params = params.iter().map(|(value, of)| (*value, of.clone()));
                return self.call(pin!(self.client().query_typed_raw(sql, params))).await;
            }
        };
        let key = self.key_in(frame, sql);
        let begin = async || {
            let statement = self.call(pin!(self.prepare_as(&key, sql))).await?;
            self.call(pin!(self.client().query_raw(&statement, params.iter().copied()))).await
        };
        let rows = begin().await;
        if self.is_outdated(&key, &rows) && !self.soil_left().contains(Effects::TRANSACTION) {
            return begin().await;
        }
        rows
    }
}
