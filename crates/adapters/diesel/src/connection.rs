//! A pooled connection of diesel-async's, and what its users left in it.

use std::sync::Arc;
use std::time::Duration;

use diesel_async::{
    AnsiTransactionManager, AsyncConnection as _, AsyncPgConnection, SimpleAsyncConnection as _,
};
use futures_util::FutureExt as _;
use millpond_cluster::core::ServerId;
use millpond_cluster::pool::Returned;
use millpond_cluster::sql::Effects;
use millpond_postgres::DriverError;
use millpond_postgres::foundation::{Canceller, OpenedApart, WHICH_SERVER, resets, server_id};
use millpond_postgres::tokio_postgres::{self, Statement};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::driver::Diesel;
use crate::error::{BackendError, is_lost};
use crate::watch::{Left, Watch, Watched};

/// What diesel-async runs on every new connection, and has to be run again when settings were reset.
const SET_UP: &str = "SET TIME ZONE 'UTC'; SET CLIENT_ENCODING TO 'UTF8'";

/// Has a connection to the primary refuse writes, as one to a replica does.
const READ_ONLY: &str = "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY";

/// Takes that back.
const READ_WRITE: &str = "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE";

/// What no statement takes away.
const INDELIBLE: Effects = Effects::LOAD;

/// Fails where a transaction is open: without one it is as old as the message.
const OUTSIDE: &str =
    "SELECT 1 / (pg_catalog.transaction_timestamp() = pg_catalog.statement_timestamp())::int";

/// What stays prepared for as long as nobody deallocates what the driver prepared.
const CANARY: &str = "SELECT 'millpond'";

/// Fails where a text prepared something, whose name may be one of the next user's, or deallocated what the driver prepared.
const KEEPS_PREPARED: &str = "SELECT 1 / (pg_catalog.count(*) FILTER (WHERE from_sql) = 0 \
                                   AND pg_catalog.count(*) FILTER (WHERE statement = 'SELECT ''millpond''') > 0)::int \
                              FROM pg_catalog.pg_prepared_statements";

/// So long a cancel may take.
const PATIENCE: Duration = Duration::from_secs(1);

pub(crate) struct Connection {
    client: AsyncPgConnection,
    pub(crate) server: ServerId,
    /// What drives it: it ends with the connection.
    driven: JoinHandle<()>,
    /// Taken when it is used.
    canceller: Option<Canceller>,
    /// What has to be run when settings were reset.
    set_up: Arc<str>,
    watched: Watched,
    /// What its last user left.
    left: Left,
    /// Whether it was given out: nobody sees whether all answers are read to their end.
    is_used: bool,
    /// Whether it was told to refuse writes.
    refuses_writes: bool,
    is_broken: bool,
    /// For the cancel, which may have to be sent from outside a runtime.
    runtime: Handle,
    /// Held, so that it stays prepared.
    _canary: Statement,
}

impl Connection {
    pub(crate) async fn new(opened: OpenedApart, after_connect: Option<&str>) -> Result<Self, BackendError> {
        let OpenedApart { client, driven, canceller, .. } = opened;
        let driver = |error: tokio_postgres::Error| BackendError::Own(DriverError::Driver(error));
        let row = client.query_typed_one(WHICH_SERVER, &[]).await.map_err(driver)?;
        let place = row.try_get(0).map_err(driver)?;
        let server = server_id(place, row.try_get(1).map_err(driver)?);
        let canary = client.prepare(CANARY).await.map_err(driver)?;
        let (mut client, watched) = (AsyncPgConnection::try_from(client).await?, Watched::default());
        client.set_instrumentation(Watch::new(watched.clone()));
        Ok(Self {
            client,
            server,
            driven,
            canceller: Some(canceller),
            set_up: after_connect.map_or_else(|| SET_UP.into(), |text| format!("{text}\n;{SET_UP}").into()),
            left: watched.end(),
            watched,
            is_used: false,
            refuses_writes: false,
            is_broken: false,
            runtime: Handle::current(),
            _canary: canary,
        })
    }

    pub(crate) fn is_open(&self) -> bool {
        !self.is_broken && !self.driven.is_finished()
    }

    /// It is given out: what is run on it from now on is watched. A look at the driver's connection is enough to run statements.
    pub(crate) fn given_out(&mut self, handle: &millpond_cluster::Handle<Diesel>) {
        self.is_used = true;
        self.watched.begin(handle);
    }

    pub(crate) const fn client(&self) -> &AsyncPgConnection {
        &self.client
    }

    pub(crate) const fn client_mut(&mut self) -> &mut AsyncPgConnection {
        &mut self.client
    }

    /// Sends word, on a connection to the primary, whether it is to refuse writes, in front of whatever is sent next, and does not wait for the answer.
    pub(crate) fn refuse_writes(&mut self, refuses: bool) {
        if self.refuses_writes != refuses {
            let text = if refuses { READ_ONLY } else { READ_WRITE };
            let sent = (&mut &self.client).batch_execute(text).now_or_never();
            self.is_broken |= sent.is_some_and(|answer| answer.is_err());
            self.refuses_writes = refuses;
        }
    }

    /// A call of ours is over.
    pub(crate) fn answered<T>(&mut self, answer: &diesel::QueryResult<T>) {
        self.is_broken |= answer.as_ref().is_err_and(is_lost);
    }

    pub(crate) async fn check(&mut self) -> Result<(), BackendError> {
        // An empty statement is answered, too.
        Ok(self.client.batch_execute("").await?)
    }

    pub(crate) fn returned(&mut self) -> Returned {
        self.left = self.watched.end();
        match (self.is_open() && !self.left.effects.intersects(INDELIBLE), self.is_used) {
            (false, _) => Returned::Broken,
            (true, true) => Returned::Soiled,
            (true, false) => Returned::Clean,
        }
    }

    /// Takes away what was left behind, and keeps the prepared statements. What was given up is waited for; where that takes too long the
    /// connection is closed.
    pub(crate) async fn reset(&mut self) -> Result<(), BackendError> {
        if self.watched.take_replaced() {
            self.client.set_instrumentation(Watch::new(self.watched.clone()));
        }
        self.reset_session().await.map_err(|_| BackendError::Unclean)?;
        self.watched.cleaned();
        self.is_used = false;
        Ok(())
    }

    async fn reset_session(&mut self) -> diesel::QueryResult<()> {
        // Of one that was given up it thinks that it goes on.
        *self.client.transaction_state() = AnsiTransactionManager::default();
        let Left { effects, is_unseen } = self.left;
        let mut texts = resets(effects, is_unseen, false, Some(&self.set_up));
        if is_unseen || effects.intersects(Effects::TRANSACTION) {
            texts.insert(0, OUTSIDE);
        }
        if is_unseen || effects.intersects(Effects::PREPARED) {
            texts.push(KEEPS_PREPARED);
        }
        if is_unseen || effects.intersects(Effects::SETTING) {
            self.refuses_writes = false;
        }
        // A comment at the end of one must not hide the next. Without any it is empty, and answered behind all that was given up.
        let text = texts.join("\n;");
        if self.client.batch_execute(&text).await.is_ok() {
            return Ok(());
        }
        // A transaction was left, which the server warns of a ROLLBACK outside of.
        self.client.batch_execute("ROLLBACK").await?;
        self.client.batch_execute(&text).await
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // The server should not go on for nobody with what was given up. Left alone, the driver would wait for its answer.
        let may_be_busy = self.is_used && !self.driven.is_finished();
        if let Some(canceller) = self.canceller.take().filter(|_| may_be_busy) {
            self.runtime.spawn(async move {
                let _ = timeout(PATIENCE, canceller.cancel()).await;
                canceller.cut_off();
            });
        }
    }
}
