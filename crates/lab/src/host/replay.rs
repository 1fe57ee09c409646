//! Holding replay back, and waiting for it.

use std::time::Duration;

use super::Host;
use crate::{LabError, Lsn, error::Phase};

/// A pause is a request until the startup process has seen it. While it holds a record back for a delay it
/// does not confirm, but applies nothing either.
const IS_HELD: &str = "select case when current_setting('server_version_num')::int < 140000 \
     then pg_is_wal_replay_paused() \
     else pg_get_wal_replay_pause_state() = 'paused' \
       or (pg_get_wal_replay_pause_state() = 'pause requested' \
           and current_setting('recovery_min_apply_delay') <> '0') end";

/// `pg_get_wal_replay_pause_state` is not known to versions before 14, even where it is not reached.
const IS_PAUSED: &str = "select pg_is_wal_replay_paused()";

impl Host {
    /// Refuses what only a replica can do.
    pub(crate) async fn check_replica(&self, phase: Phase) -> Result<(), LabError> {
        self.check_moving(phase).await?;
        match self.ask(phase, "select pg_is_in_recovery()").await?.as_deref() {
            Some("t") => Ok(()),
            _ => Err(self.state(phase, "a primary", "choose a replica")),
        }
    }

    pub(crate) async fn pause_replay(&self) -> Result<(), LabError> {
        self.check_replica(Phase::Replay).await?;
        self.ask(Phase::Replay, "select pg_wal_replay_pause()").await?;
        let version = self.ask(Phase::Replay, "show server_version_num").await?;
        let modern = version.and_then(|text| text.parse::<u32>().ok()).is_some_and(|v| v >= 140_000);
        let question = if modern { IS_HELD } else { IS_PAUSED };
        let wait = self.wait(Phase::Replay, self.shared.patience);
        loop {
            let held = self.ask(Phase::Replay, question).await;
            let held = held.map(|held| {
                held.filter(|held| held == "t").ok_or_else(|| "the pause is not confirmed".to_owned())
            });
            if wait.judge(held).await?.is_some() {
                return Ok(());
            }
        }
    }

    pub(crate) async fn resume_replay(&self) -> Result<(), LabError> {
        self.check_replica(Phase::Replay).await?;
        self.ask(Phase::Replay, "select pg_wal_replay_resume()").await.map(drop)
    }

    pub(crate) async fn delay_replay(&self, by: Duration) -> Result<(), LabError> {
        self.check_replica(Phase::Replay).await?;
        let millis = by.as_millis();
        if millis > 2_147_483_647 {
            let reason = "a replay delay must be below 2147483648 ms, about 24 days".to_owned();
            return Err(LabError::Setting { setting: "recovery_min_apply_delay".to_owned(), reason });
        }
        let sql = format!("alter system set recovery_min_apply_delay = '{millis}ms'");
        self.ask(Phase::Replay, &sql).await?;
        self.ask(Phase::Replay, "select pg_reload_conf()").await?;
        let question = "select setting from pg_settings where name = 'recovery_min_apply_delay'";
        let wait = self.wait(Phase::Replay, self.shared.patience);
        loop {
            let now = self.ask(Phase::Replay, question).await.map(Option::unwrap_or_default);
            let set = now.map(|now| {
                if now == millis.to_string() { Ok(()) } else { Err(format!("the delay is still {now} ms")) }
            });
            if wait.judge(set).await?.is_some() {
                return Ok(());
            }
        }
    }

    /// What the primary has written.
    pub(crate) async fn written(&self, phase: Phase) -> Result<Lsn, LabError> {
        self.check_moving(phase).await?;
        let text = self.ask(phase, "select pg_current_wal_lsn()").await?;
        text.as_deref().and_then(Lsn::parse).ok_or_else(|| self.timeout(phase, "the primary has no position"))
    }

    /// Waits until this replica has replayed `position`.
    pub(crate) async fn replayed(&self, position: Lsn) -> Result<(), LabError> {
        self.check_moving(Phase::CatchUp).await?;
        let sql = "select pg_last_wal_replay_lsn(), pg_is_wal_replay_paused()";
        let wait = self.wait(Phase::CatchUp, self.shared.patience);
        loop {
            let row = self.row_in("postgres", Phase::CatchUp, sql).await;
            if wait.judge(row.map(|row| reached(&row, position))).await?.is_some() {
                return Ok(());
            }
        }
    }

    pub(crate) async fn wait_for_replay(&self) -> Result<(), LabError> {
        self.check_replica(Phase::CatchUp).await?;
        let position = self.primary().written(Phase::CatchUp).await?;
        self.replayed(position).await
    }
}

/// Whether a row of replayed position and pause says that `position` is reached; how far it is, otherwise.
fn reached(row: &[Option<String>], position: Lsn) -> Result<(), String> {
    let text = |i: usize| row.get(i).and_then(Option::as_deref);
    if text(0).and_then(Lsn::parse).is_some_and(|replayed| replayed >= position) {
        return Ok(());
    }
    let paused = if text(1) == Some("t") { ", and its replay is paused: resume it" } else { "" };
    Err(format!("it has replayed {} of {position}{paused}", text(0).unwrap_or("nothing")))
}
