use std::fmt;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use millpond_cluster::core::{Age, ClusterId, Observation, Role, ServerId, Timeline};
use millpond_cluster::pool::Returned;
use millpond_cluster::sql::{Classifier, Dialect};
use millpond_cluster::{Backend, Failure, FailureKind, Purpose};
use tokio_postgres::types::PgLsn;
use tokio_postgres::{Client, Row};

use crate::catalog;
use crate::connection::Connection;
use crate::connector::{Connector, Connectors};
use crate::foundation::server_id;
use crate::frame::Kind;
use crate::{DriverError, Lsn, lag_source};

/// PostgreSQL, as a [`Backend`].
pub struct Postgres {
    /// Makes what opens connections to nodes; a test has its connection.
    pub(crate) connectors: Option<Arc<Connectors>>,
    pub(crate) segment_size: Arc<AtomicU64>,
    pub(crate) last_catalog: Arc<catalog::Last>,
}

/// Where the connections to a node come from.
pub struct Server(pub(crate) Source);

pub(crate) enum Source {
    /// They are opened.
    Opened(Box<Connector>),
    /// There is one, in the transaction of a test.
    Test(Mutex<Option<Box<Connection>>>),
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::Opened(connector) => f.debug_tuple("Server").field(&connector.setup.node).finish(),
            Source::Test(_) => f.write_str("Server(test)"),
        }
    }
}

impl Postgres {
    /// What is at the other end of its connections.
    pub(crate) fn kind(&self) -> Kind {
        self.connectors.as_ref().map_or(Kind::Test, |connectors| connectors.kind())
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres").field("kind", &self.kind()).finish_non_exhaustive()
    }
}

/// Where the server says that it is, which it cannot by a socket, and which run of it this is.
macro_rules! which_server {
    () => {
        "
       pg_catalog.hashtextextended(pg_catalog.host(pg_catalog.inet_server_addr()) || ':'
                                   || pg_catalog.current_setting('port'), 0),
       pg_catalog.hashtextextended(pg_catalog.concat(extract(epoch from pg_catalog.pg_postmaster_start_time()), ':',
                                                     pg_catalog.current_setting('port')), 0)"
    };
}

/// Who are you, and how far have you come?
///
/// - The role is asked once, so that the other answers are of that role even during a promotion.
/// - Last, which server this is, as new connections are asked too.
macro_rules! identity {
    ($position:literal, $timeline:literal) => {
        concat!(
            "
select r.is_replica,",
            $position,
            ",
       s.system_identifier,",
            $timeline,
            ",
       pg_catalog.pg_size_bytes(pg_catalog.current_setting('wal_segment_size')),
       pg_catalog.current_setting('max_connections')::int8
           - pg_catalog.current_setting('superuser_reserved_connections')::int8
           - coalesce(pg_catalog.current_setting('reserved_connections', true)::int8, 0),
       pg_catalog.pg_has_role('pg_read_all_stats', 'usage'),
",
            which_server!(),
            "
from (select pg_catalog.pg_is_in_recovery() as is_replica offset 0) as r,
     pg_catalog.pg_control_system() as s,
     pg_catalog.pg_control_recovery() as c,
     pg_catalog.pg_control_checkpoint() as p"
        )
    };
}

/// - A primary's timeline is the one it writes WAL files of; its control data tell the old one until a checkpoint.
/// - A replica's is the one it receives. Without the right to see that (`pg_read_all_stats`), or a receiver, it is the
///   one that its control data name, which come later: then it is found on the new timeline later, never too early.
const IDENTITY: &str = identity!(
    "
       case when r.is_replica then pg_catalog.pg_last_wal_replay_lsn()
            else pg_catalog.pg_current_wal_insert_lsn() end",
    "
       case when r.is_replica
            then coalesce((select received_tli from pg_catalog.pg_stat_wal_receiver),
                          greatest(c.min_recovery_end_timeline, p.timeline_id))::int8
            else ('x' || substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8))::bit(32)::int8 end"
);

/// The same of servers that tell no positions: all are on one timeline, so that writes, though at no known place, have tokens.
const IDENTITY_ALONE: &str = identity!(" null::pg_catalog.pg_lsn", " 0::int8");

/// What a replica does not say to a login without rights.
const UNSEEN: &str = "which timeline it receives, so that behind a failover it serves reads again only after its next restart point: \
                      GRANT pg_read_all_stats to the login of this process";

/// Which server is this? A number for its place, or nothing, and one for its run.
pub const WHICH_SERVER: &str = concat!("select", which_server!());

/// Asks a new connection where it leads. Once for each connection, a round trip beside the several that opening one takes.
pub(crate) async fn who(client: &Client) -> Result<ServerId, tokio_postgres::Error> {
    server_of(&client.query_typed_one(WHICH_SERVER, &[]).await?, 0)
}

/// From the column with this index on.
fn server_of(row: &Row, index: usize) -> Result<ServerId, tokio_postgres::Error> {
    // By a socket it has no address.
    Ok(server_id(row.try_get(index)?, row.try_get(index + 1)?))
}

impl Backend for Postgres {
    type Position = Lsn;
    type Address = Server;
    type Connection = Connection;
    type Error = DriverError;

    const DIALECT: Dialect = Dialect::Postgres;

    fn namespace(&self) -> Option<&str> {
        let config = &self.connectors.as_ref()?.url.config;
        // As the server has it.
        config.get_dbname().or_else(|| config.get_user())
    }

    async fn connect(&self, server: &Server, purpose: Purpose) -> Result<Connection, DriverError> {
        match &server.0 {
            Source::Opened(connector) => connector.connect(purpose).await,
            Source::Test(one) => {
                let one = one.lock().unwrap_or_else(PoisonError::into_inner).take();
                let one = one.ok_or(DriverError::TestOver)?;
                one.never_commit().await?;
                Ok(*one)
            }
        }
    }

    async fn observe(&self, connection: &mut Connection) -> Result<Observation<Lsn>, DriverError> {
        let source = self.connectors.as_ref().and_then(|connectors| connectors.lag_source.as_deref());
        let has_positions = connection.setup.has_positions;
        let row = connection.query_one(if has_positions { IDENTITY } else { IDENTITY_ALONE }).await?;
        let limit = row.try_get::<_, i64>(5)?;
        connection.setup.connection_limit.store(usize::try_from(limit).unwrap_or(0), Ordering::Relaxed);
        let mut observation = self.read_identity(&row)?;
        let sees_all = observation.role == Role::Primary || !has_positions || row.try_get(6)?;
        let mut complaint = (!sees_all).then(|| UNSEEN.to_owned());
        if let Some(source) = source {
            let asked = lag_source::ask(source, connection, observation.role).await;
            observation.age = asked.as_ref().copied().unwrap_or(Age::Unknown);
            // What it costs to go without is more than the other.
            complaint = asked.err().or(complaint);
        }
        connection.setup.complain(complaint);
        Ok(observation)
    }

    async fn classifier(
        &self,
        connection: &mut Connection,
        known: &Classifier,
    ) -> Result<Classifier, DriverError> {
        let catalog = catalog::load(connection, known, &self.last_catalog).await?;
        Ok(known.clone().with_catalog(catalog))
    }

    fn is_open(&self, connection: &Connection) -> bool {
        !connection.client().is_closed()
    }

    async fn check(&self, connection: &mut Connection) -> Result<(), DriverError> {
        connection.call(pin!(connection.client().check_connection())).await
    }

    fn returned(&self, connection: &mut Connection) -> Returned {
        connection.returned()
    }

    async fn reset(&self, connection: &mut Connection) -> Result<(), DriverError> {
        connection.reset().await
    }

    fn can_prove(&self) -> bool {
        // A pooler may send the question and the statement to two servers.
        self.kind() == Kind::Direct
    }

    fn has_positions(&self) -> bool {
        let source = self.connectors.as_ref().and_then(|connectors| connectors.lag_source.as_deref());
        source.is_none_or(crate::LagSource::has_positions)
    }

    fn server(&self, connection: &Connection) -> Option<ServerId> {
        connection.server
    }

    fn wrong_server(&self) -> DriverError {
        DriverError::WrongServer
    }

    async fn resolve(&self, server: &Server) -> Option<u64> {
        match &server.0 {
            Source::Opened(connector) => connector.stands_for().await,
            Source::Test(_) => None,
        }
    }

    fn complaint(&self, server: &Server) -> Option<Arc<str>> {
        match &server.0 {
            Source::Opened(connector) => connector.setup.complaint(),
            Source::Test(_) => None,
        }
    }

    fn can_wait(&self, server: &Server) -> bool {
        match &server.0 {
            Source::Opened(connector) => connector.setup.can_wait.load(Ordering::Relaxed),
            Source::Test(_) => false,
        }
    }

    fn connection_limit(&self, server: &Server) -> Option<usize> {
        match &server.0 {
            // Behind a pooler nobody opens server connections but the pooler.
            Source::Opened(connector) if self.kind() == Kind::Direct => {
                let limit = connector.setup.connection_limit.load(Ordering::Relaxed);
                (limit > 0).then_some(limit)
            }
            Source::Opened(_) | Source::Test(_) => None,
        }
    }

    fn failure(&self, error: &DriverError) -> Failure {
        error.failure()
    }

    fn is_turned_away(&self, error: &DriverError) -> bool {
        let failure = error.failure();
        // It has no connection left; or our own callback gave no password to ask with.
        let is_full = failure.code.as_deref() == Some("53300");
        is_full || failure.kind == FailureKind::Denied || matches!(error, DriverError::Password(_))
    }
}

impl Postgres {
    fn read_identity(&self, row: &Row) -> Result<Observation<Lsn>, tokio_postgres::Error> {
        let is_replica: bool = row.try_get(0)?;
        let position: Option<PgLsn> = row.try_get(1)?;
        let system: i64 = row.try_get(2)?;
        let timeline: Option<i64> = row.try_get(3)?;
        let segment_size: i64 = row.try_get(4)?;
        let segment_size = u64::try_from(segment_size).unwrap_or_default();
        self.segment_size.store(segment_size, Ordering::Relaxed);
        let position = position.map(|position| match is_replica {
            true => Lsn::from(position),
            false => Lsn::end_of_written(position.into(), segment_size),
        });
        Ok(Observation {
            role: if is_replica { Role::Replica } else { Role::Primary },
            cluster: Some(ClusterId::new(u64::from_ne_bytes(system.to_ne_bytes()))),
            timeline: timeline.and_then(|timeline| u32::try_from(timeline).ok()).map(Timeline::new),
            position,
            server: Some(server_of(row, 7)?),
            age: Age::ByPosition,
        })
    }
}
