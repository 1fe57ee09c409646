//! Statements in a frame: in a transaction of their own, for the settings that they run with, or because a pooler gives each
//! transaction another server connection.

use std::borrow::Cow;
use std::pin::pin;

use futures_util::future::join;
use millpond_cluster::sql::Effects;
use tokio_postgres::{RowStream, Statement};

use crate::connection::{Capture, Connection};
use crate::scope::{Frame, Nesting, Scope};
use crate::verb::{Values, Verb};
use crate::{DriverError, Lsn};

const COMMIT: &str = "COMMIT";
const RELEASE: &str = "RELEASE SAVEPOINT millpond";

impl Connection {
    /// Runs one statement in a frame.
    pub(crate) async fn framed<V: Verb>(
        &self,
        verb: &V,
        frame: Frame<'_>,
        capture: Capture,
    ) -> Result<(V::Output, Option<Lsn>), DriverError> {
        let sql = verb.to_prepare();
        let own_key = sql.and_then(|sql| frame.key(sql));
        let key = own_key.as_deref().or(sql);
        let answer = self.in_frame(verb, frame, key, capture).await;
        match key {
            // It was rolled back, so that there is a once more.
            Some(key) if self.is_outdated(key, &answer) => {
                self.in_frame(verb, frame, Some(key), capture).await
            }
            _ => answer,
        }
    }

    async fn in_frame<V: Verb>(
        &self,
        verb: &V,
        frame: Frame<'_>,
        key: Option<&str>,
        capture: Capture,
    ) -> Result<(V::Output, Option<Lsn>), DriverError> {
        let opening = frame.opening();
        match frame {
            Frame::Bare => self.bare(verb, capture).await,
            Frame::Savepoint(scope) => Ok((self.in_savepoint(verb, &opening, scope, key).await?, None)),
            Frame::Transaction { is_read_only, .. } => {
                self.soil(Effects::TRANSACTION);
                let kept = key.and_then(|key| self.statements.prepared(key));
                if is_read_only && (kept.is_some() || key.is_none()) {
                    return Ok((self.in_one_flight(verb, &opening, kept.as_ref()).await?, None));
                }
                let statement = self.open(&opening, key.zip(verb.to_prepare())).await?;
                let closed = pin!(self.closed(verb, statement.as_ref()));
                self.captured(capture, closed).await
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
    ) -> Result<V::Output, DriverError> {
        let flight = pin!(async {
            // Polled, and so sent, in this order.
            let (opened, answer) =
                join(self.client().batch_execute(opening), self.closed(verb, statement)).await;
            opened.and(answer)
        });
        self.call(flight).await
    }

    /// Opens the transaction and waits for it. The statement is prepared in it, where names mean what they will mean.
    async fn open(
        &self,
        opening: &str,
        to_prepare: Option<(&str, &str)>,
    ) -> Result<Option<Statement>, DriverError> {
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
        self.call(flight).await
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
            self.call(pin!(verb.send(self.client(), statement.as_ref()))).await
        };
        let answer = answer.await;
        let end = if answer.is_ok() { &*close } else { Nesting::InTest.rollback() };
        self.close_frame(end).await?;
        answer
    }

    /// Opens a frame and waits for it. Gives what closes it.
    pub(crate) async fn open_frame(&self, frame: Frame<'_>) -> Result<Option<String>, DriverError> {
        let opening = frame.opening();
        match frame {
            Frame::Bare => Ok(None),
            Frame::Transaction { .. } => {
                self.soil(Effects::TRANSACTION);
                self.open(&opening, None).await?;
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

    /// Begins to read rows in a frame. Gives, with them, what closes it behind the last one.
    pub(crate) async fn stream(
        &self,
        sql: &str,
        values: Values<'_>,
        frame: Frame<'_>,
    ) -> Result<(RowStream, Option<String>), DriverError> {
        let close = self.open_frame(frame).await?;
        let rows = match values {
            Values::Inferred(params) => {
                let own_key = frame.key(sql);
                let key = own_key.as_deref().map_or_else(|| self.key(sql), Cow::Borrowed);
                let statement = self.call(pin!(self.prepare_as(&key, sql))).await?;
                let mut rows =
                    self.call(pin!(self.client().query_raw(&statement, params.iter().copied()))).await;
                let is_whole = !self.soil_left().contains(Effects::TRANSACTION);
                if self.is_outdated(&key, &rows) && is_whole {
                    let statement = self.call(pin!(self.prepare_as(&key, sql))).await?;
                    rows = self.call(pin!(self.client().query_raw(&statement, params.iter().copied()))).await;
                }
                rows?
            }
            Values::Typed(params) => {
                let params = params.iter().map(|(value, of)| (*value, of.clone()));
                self.call(pin!(self.client().query_typed_raw(sql, params))).await?
            }
        };
        Ok((rows, close))
    }
}
