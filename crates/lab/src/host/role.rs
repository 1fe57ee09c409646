//! Promote, and follow the promoted.

use std::{fs, io::Write as _, sync::atomic::Ordering, time::Duration};

use super::{Host, at};
use crate::{
    LabError,
    error::Phase,
    node::{Rejoin, StopMode},
    server::{self, Motion, Server},
    settings, tools, user,
};

/// How long a replica that was pointed at another primary may take to stream before it is made anew. A replica
/// that is beyond the fork never will.
const REPOINT: Duration = Duration::from_secs(3);

/// One statement that a server that does not take writes refuses.
const WRITES: &str = "select pg_current_xact_id()";

impl Host {
    pub(crate) async fn promote(&self) -> Result<(), LabError> {
        self.check_moving(Phase::Promote).await?;
        if self.in_recovery(Phase::Promote).await? {
            let seconds = self.shared.patience.as_secs().max(1);
            let sql = format!("select pg_promote(true, {seconds})");
            if self.ask(Phase::Promote, &sql).await?.as_deref() != Some("t") {
                return Err(self.timeout(Phase::Promote, "pg_promote gave up; look at the server's log"));
            }
        }
        let wait = self.wait(Phase::Promote, self.shared.patience);
        while wait.judge(self.ask(Phase::Promote, WRITES).await.map(Ok)).await?.is_none() {}
        self.shared.primary.store(self.index, Ordering::Release);
        Ok(())
    }

    /// Makes this node a replica of `primary`, in the least costly way that works.
    pub(crate) async fn follow(&self, primary: &Self) -> Result<Rejoin, LabError> {
        if self.index == primary.index {
            return Err(self.state(Phase::Follow, "the node to follow", "choose another node"));
        }
        primary.check_moving(Phase::Follow).await?;
        if primary.in_recovery(Phase::Follow).await? {
            return Err(primary.state(Phase::Follow, "a replica", "promote it first"));
        }
        let mut server = self.member().server.lock().await;
        if server.pid().is_some() && server.motion == Motion::Frozen {
            return Err(self.state(Phase::Follow, "frozen", "thaw it first, or kill it"));
        }
        self.member().upstream.store(primary.index, Ordering::Release);
        self.member().replication.hang_up();
        let runs = server.pid().is_some() && self.in_recovery(Phase::Follow).await?;
        if runs && self.streams_from(primary, REPOINT).await.is_ok() && self.goes_along(primary).await.is_ok()
        {
            return Ok(Rejoin::Repointed);
        }
        self.stop_server(&mut server, StopMode::Fast).await?;
        self.rejoin(&mut server, primary).await
    }

    async fn rejoin(&self, server: &mut Server, primary: &Self) -> Result<Rejoin, LabError> {
        // pg_rewind reads the timeline of the other side from its control file, which a promotion alone does
        // not bring up to date in versions before 16.
        primary.ask(Phase::Follow, "checkpoint").await?;
        match self.rejoin_rewound(server, primary).await {
            Ok(()) => return Ok(Rejoin::Rewound),
            // Not an error of the caller's: a copy does it as well. Who wonders why finds it in the log.
            Err(reason) => self.note(&format!("made anew, since it could not be rewound: {reason}"))?,
        }
        self.stop_server(server, StopMode::Immediate).await?;
        let data = self.data();
        server::release_memory(&data);
        fs::remove_dir_all(&data).map_err(at("cannot remove", &data))?;
        self.copy_from(primary).await?;
        server.start(self).await?;
        self.streams_from(primary, self.shared.patience).await?;
        Ok(Rejoin::Copied)
    }

    async fn rejoin_rewound(&self, server: &mut Server, primary: &Self) -> Result<(), LabError> {
        self.rewind(primary).await?;
        self.become_standby()?;
        server.start(self).await?;
        self.streams_from(primary, REPOINT).await
    }

    /// Adds a line to the server's log.
    fn note(&self, text: &str) -> Result<(), LabError> {
        let path = self.member().folder.join("server.log");
        let file = fs::OpenOptions::new().create(true).append(true).open(&path);
        let written = file.and_then(|mut file| writeln!(file, "millpond-lab: {text}"));
        written.map_err(at("cannot write", &path))
    }

    async fn rewind(&self, primary: &Self) -> Result<(), LabError> {
        let port = primary.direct_port();
        let source = format!("host=127.0.0.1 port={port} user=postgres dbname=postgres sslmode=disable");
        let arguments = [
            "-D".into(),
            self.data().into_os_string(),
            "--source-server".into(),
            source.into(),
            "--no-sync".into(),
        ];
        tools::run(&self.shared, self.name(), Phase::Rewind, "pg_rewind", arguments).await
    }

    /// A fresh copy of `primary`, ready to start as its replica.
    pub(crate) async fn copy_from(&self, primary: &Self) -> Result<(), LabError> {
        let port = primary.direct_port().to_string();
        let data = self.data();
        let data = data.to_string_lossy();
        let arguments = [
            "--host=127.0.0.1",
            "--port",
            &port,
            "--username=postgres",
            "--no-password",
            "--wal-method=stream",
            "--checkpoint=fast",
            "--no-manifest",
            "--no-sync",
            "--pgdata",
            &data,
        ];
        tools::run(&self.shared, self.name(), Phase::Copy, "pg_basebackup", arguments).await?;
        self.member().upstream.store(primary.index, Ordering::Release);
        self.become_standby()
    }

    /// What another node was told by ALTER SYSTEM came with the copy and is not for this one.
    fn become_standby(&self) -> Result<(), LabError> {
        for name in ["postgresql.auto.conf", "standby.signal"] {
            let path = self.data().join(name);
            fs::write(&path, "").map_err(at("cannot write", &path))?;
            user::give(self.shared.user, &path)?;
        }
        Ok(())
    }

    /// Waits until `primary` says that this node streams from it.
    pub(crate) async fn streams_from(&self, primary: &Self, within: Duration) -> Result<(), LabError> {
        let sql = format!(
            "select count(*) from pg_stat_replication where state = 'streaming' and application_name = {}",
            settings::literal(self.name())
        );
        let wait = self.wait(Phase::Stream, within);
        loop {
            let count = primary.ask(Phase::Stream, &sql).await;
            let streams = count.map(|count| match count.as_deref() {
                None | Some("0") => Err(format!("{} does not say that it streams", primary.name())),
                Some(_) => Ok(()),
            });
            if wait.judge(streams).await?.is_some() {
                return Ok(());
            }
        }
    }

    /// Waits until this node hears `primary`'s own timeline. One that is beyond the fork streams too, now and then: the end of the timeline
    /// before, again and again, over what it has.
    async fn goes_along(&self, primary: &Self) -> Result<(), LabError> {
        let timeline =
            "select ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int4::text";
        let timeline = primary.ask(Phase::Follow, timeline).await?;
        let wait = self.wait(Phase::Stream, REPOINT);
        loop {
            let heard = self.ask(Phase::Stream, "select received_tli::text from pg_stat_wal_receiver").await;
            let goes_along = heard.map(|heard| {
                if heard == timeline { Ok(()) } else { Err(format!("it hears timeline {heard:?}")) }
            });
            if wait.judge(goes_along).await?.is_some() {
                return Ok(());
            }
        }
    }

    pub(crate) async fn in_recovery(&self, phase: Phase) -> Result<bool, LabError> {
        Ok(self.ask(phase, "select pg_is_in_recovery()").await?.as_deref() == Some("t"))
    }
}
