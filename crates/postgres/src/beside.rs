//! What goes with a statement in its flight: a question about positions, before or behind it.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;
use std::task::Poll;

use futures_util::future::join;
use millpond_cluster::Target;
use millpond_cluster::core::Position;
use tokio::time::{Instant, timeout_at};
use tokio_postgres::error::{Severity, SqlState};
use tokio_postgres::types::PgLsn;
use tokio_postgres::{SimpleQueryMessage, Statement};

use crate::connection::Connection;
use crate::{DriverError, Lsn};

/// What goes with a statement in its flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beside {
    Nothing,
    /// Behind it, the question where the primary is.
    Position,
    /// Before it, the question whether the replica has come so far.
    Proof(Proof),
}

/// What a replica has to show before a read counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Proof {
    wanted: Lsn,
    /// Until when it may wait for that.
    wait_until: Option<Instant>,
}

impl Proof {
    /// What a target asks for.
    pub(crate) fn of(target: Target<Lsn>) -> Option<Self> {
        target.must_show.map(|wanted| Self { wanted, wait_until: target.wait_until })
    }
}

/// How a replica is asked for a proof.
enum Question {
    /// How far it has come, as it stands.
    Position(Statement),
    /// Whether it has come so far, as soon as it has, or the time is over.
    Wait { text: String, until: Instant },
}

/// Where the primary is behind a write.
pub(crate) const WRITTEN: &str = "select pg_catalog.pg_current_wal_insert_lsn()";

/// Where a replica is; nothing on a primary.
pub(crate) const REPLAYED: &str = "select pg_catalog.pg_last_wal_replay_lsn()";

/// Has a replica wait. The server takes no parameter there: the text is of our own numbers.
fn wait_for(wanted: Lsn, millis: u128) -> String {
    format!("WAIT FOR LSN '{wanted}' WITH (TIMEOUT '{}ms', NO_THROW)", round_down(millis))
}

/// By less than an eighth, to one of few different numbers: `pg_stat_statements` keeps an entry for each that it meets there.
fn round_down(millis: u128) -> u32 {
    const SIGNIFICANT_BITS: u32 = 4;
    // The server's limit.
    let millis = u32::try_from(millis).unwrap_or(u32::MAX).min(i32::MAX.unsigned_abs());
    let surplus = (u32::BITS - millis.leading_zeros()).saturating_sub(SIGNIFICANT_BITS);
    millis >> surplus << surplus
}

/// Whether it has come so far; else it says `timeout`, or `not in recovery`.
fn is_success(answer: &SimpleQueryMessage) -> bool {
    matches!(answer, SimpleQueryMessage::Row(row) if row.get(0) == Some("success"))
}

/// Whether the server answers no more than this one question with an error.
fn is_refusal(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().is_some_and(|said| said.parsed_severity() == Some(Severity::Error))
}

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
            Beside::Proof(proof) => self.proven(proof, call).await,
        }
    }

    /// Asks where the primary is behind a call. The statement for that is prepared first, since the question must be on the wire right
    /// after the call, never before it.
    async fn captured<T>(
        &self,
        call: Pin<&mut impl Future<Output = Result<T, tokio_postgres::Error>>>,
    ) -> Result<(T, Option<Lsn>), DriverError> {
        if !self.setup.has_positions {
            return Ok((self.call(call).await?, None));
        }
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

    /// Asks a replica how far it has come, or has it wait until it has come so far, and sends a call that reads right behind that: what
    /// the call gives shows at least as much, since each is a transaction of its own, and the second begins when the first is over. Where
    /// the replica has not come as far as it must, the answer is thrown away unread.
    async fn proven<T>(
        &self,
        proof: Proof,
        mut call: Pin<&mut impl Future<Output = Result<T, tokio_postgres::Error>>>,
    ) -> Result<(T, Option<Lsn>), DriverError> {
        let question = self.question(proof).await?;
        let flight = pin!(async {
            let mut asked = pin!(self.reached(proof.wanted, &question));
            let mut early = Poll::Pending;
            // In this order, since the driver sends on the first poll.
            let reached = poll_fn(|cx| {
                let reached = asked.as_mut().poll(cx);
                if early.is_pending() {
                    early = call.as_mut().poll(cx);
                }
                reached
            });
            match (reached.await?, early) {
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

    /// What to ask the replica. A statement for that is prepared first, since the call must be on the wire right after the question.
    async fn question(&self, proof: Proof) -> Result<Question, DriverError> {
        let wait = proof.wait_until.filter(|_| self.can_wait).and_then(|until| {
            let millis = until.saturating_duration_since(Instant::now()).as_millis();
            // To the server 0 is for ever.
            (millis > 0).then(|| Question::Wait { text: wait_for(proof.wanted, millis), until })
        });
        match wait {
            Some(wait) => Ok(wait),
            None => Ok(Question::Position(self.prepare(REPLAYED).await?)),
        }
    }

    /// How far the replica has come, if it is as far as it must be.
    async fn reached(&self, wanted: Lsn, question: &Question) -> Result<Option<Lsn>, tokio_postgres::Error> {
        let said = match question {
            Question::Position(statement) => {
                let said = self.client().query_one(statement, &[]).await;
                self.forget_if_gone(REPLAYED, &said);
                said.and_then(|row| Ok(row.try_get::<_, Option<PgLsn>>(0)?.map(Lsn::from)))
            }
            Question::Wait { text, until } => {
                match timeout_at(*until, self.client().simple_query(text)).await {
                    Ok(said) => said.map(|answers| answers.iter().any(is_success).then_some(wanted)),
                    // The server is slow, or stands still: its answer is on its way still.
                    Err(_) => {
                        self.leave_unread();
                        Ok(None)
                    }
                }
            }
        };
        match said {
            Ok(reached) => Ok(reached.filter(|reached| reached.covers(&wanted))),
            Err(error) if is_refusal(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The same for a call that is not one flight: the question is one of its own.
    pub(crate) async fn prove(&self, target: Target<Lsn>) -> Result<Option<Lsn>, DriverError> {
        match Proof::of(target) {
            Some(proof) => Ok(self.proven(proof, pin!(async { Ok(()) })).await?.1),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_is_told_to_wait_no_longer_than_the_server_takes() {
        let text = |millis| wait_for(Lsn::new(0x1_0000_00ab), millis);
        assert_eq!(text(299), "WAIT FOR LSN '1/AB' WITH (TIMEOUT '288ms', NO_THROW)");
        assert_eq!(text(u128::MAX), "WAIT FOR LSN '1/AB' WITH (TIMEOUT '2013265920ms', NO_THROW)");
    }

    #[test]
    fn the_limits_of_waits_are_few_and_nearly_as_long_as_they_may_be() {
        let mut limits: Vec<_> = (1..=60_000).map(round_down).collect();
        for (millis, limit) in (1..).zip(&limits) {
            assert!(*limit <= millis && 8 * millis < 9 * limit, "{limit} for {millis}");
        }
        limits.dedup();
        assert!(limits.len() < 120, "{}", limits.len());
    }
}
