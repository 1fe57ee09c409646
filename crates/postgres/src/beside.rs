//! What goes with a statement in its flight: a question about positions, before or behind it.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;
use std::task::Poll;

use futures_util::future::join;
use millpond_cluster::core::Position;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::PgLsn;

use crate::connection::Connection;
use crate::{DriverError, Lsn};

/// What goes with a statement in its flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beside {
    Nothing,
    /// Behind it, the question where the primary is.
    Position,
    /// Before it, the question whether the replica has come so far.
    Proof(Lsn),
}

/// Where the primary is behind a write.
const WRITTEN: &str = "select pg_catalog.pg_current_wal_insert_lsn()";

/// Where a replica is; nothing on a primary.
const REPLAYED: &str = "select pg_catalog.pg_last_wal_replay_lsn()";

impl Connection {
    /// Sends a call with what goes beside it. Gives what the call gave, and the answer to the question.
    pub(crate) async fn send<T>(
        &self,
        beside: Beside,
        call: Pin<&mut impl Future<Output = Result<T, tokio_postgres::Error>>>,
    ) -> Result<(T, Option<Lsn>), DriverError> {
        match beside {
            Beside::Nothing => Ok((self.call(call).await?, None)),
            Beside::Position => self.captured(call).await,
            Beside::Proof(wanted) => self.proven(wanted, call).await,
        }
    }

    /// Asks where the primary is behind a call. The statement for that is prepared first, since the question must be on the wire right
    /// after the call, never before it.
    async fn captured<T>(
        &self,
        call: Pin<&mut impl Future<Output = Result<T, tokio_postgres::Error>>>,
    ) -> Result<(T, Option<Lsn>), DriverError> {
        let Ok(question) = self.prepare(WRITTEN).await else {
            return Ok((self.call(call).await?, None));
        };
        // `join` polls the call first, and the driver sends on the first poll.
        let both = pin!(async {
            let (result, position) = join(call, self.client().query_one(&question, &[])).await;
            result.map(|value| (value, position))
        });
        let (result, position) = self.call(both).await?;
        self.forget_if_gone(WRITTEN, &position);
        let insert = position.and_then(|row| row.try_get::<_, PgLsn>(0)).ok().map(u64::from);
        Ok((result, insert.map(|insert| Lsn::end_of_written(insert, self.segment_size()))))
    }

    /// Asks a replica how far it has come, and sends a call that reads right behind that: what the call gives shows at least as much,
    /// since each is a transaction of its own, and the second begins when the first is over. Where the replica has not come as far as
    /// it must, the answer is thrown away unread.
    async fn proven<T>(
        &self,
        wanted: Lsn,
        mut call: Pin<&mut impl Future<Output = Result<T, tokio_postgres::Error>>>,
    ) -> Result<(T, Option<Lsn>), DriverError> {
        let question = self.prepare(REPLAYED).await?;
        let flight = pin!(async {
            let mut asked = pin!(self.client().query_one(&question, &[]));
            let mut early = Poll::Pending;
            // In this order, since the driver sends on the first poll.
            let said = poll_fn(|cx| {
                let said = asked.as_mut().poll(cx);
                if early.is_pending() {
                    early = call.as_mut().poll(cx);
                }
                said
            });
            let said = said.await;
            self.forget_if_gone(REPLAYED, &said);
            let reached = match said {
                Ok(row) => row.try_get::<_, Option<PgLsn>>(0)?.map(Lsn::from),
                Err(error) if error.as_db_error().is_some() => None,
                Err(error) => return Err(error),
            };
            match (reached.filter(|reached| reached.covers(&wanted)), early) {
                (Some(reached), Poll::Ready(answer)) => answer.map(|value| Some((value, Some(reached)))),
                (Some(reached), Poll::Pending) => call.await.map(|value| Some((value, Some(reached)))),
                (None, early) => {
                    if early.is_pending() {
                        self.leave_unread();
                    }
                    Ok(None)
                }
            }
        });
        self.call(flight).await?.ok_or(DriverError::Behind)
    }

    /// The same for a call that is not one flight: the question is one of its own.
    pub(crate) async fn prove(&self, must_show: Option<Lsn>) -> Result<Option<Lsn>, DriverError> {
        match must_show {
            Some(wanted) => Ok(self.proven(wanted, pin!(async { Ok(()) })).await?.1),
            None => Ok(None),
        }
    }

    fn forget_if_gone<T>(&self, question: &str, answer: &Result<T, tokio_postgres::Error>) {
        let is_gone =
            |error: &tokio_postgres::Error| error.code() == Some(&SqlState::INVALID_SQL_STATEMENT_NAME);
        if answer.as_ref().is_err_and(is_gone) {
            self.statements.forget(question);
        }
    }

    fn segment_size(&self) -> u64 {
        self.setup.segment_size.load(Ordering::Relaxed)
    }
}
