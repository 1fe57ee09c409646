use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use millpond_cluster::Purpose;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::{AbortHandle, JoinHandle};
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{CancelToken, Config, Error, NoTls, Socket};

use crate::DriverError;
use crate::backend::who;
use crate::connection::{Connection, Setup};
use crate::foundation::OpenedApart;
use crate::frame::Kind;
use crate::known::Known;
use crate::lag_source::LagSource;
use crate::listener::Notes;
use crate::tls::Tls;
use crate::url::{Address, SslMode, Url, config_of};

/// A password, fetched when a connection is opened.
pub(crate) type PasswordCallback = Arc<
    dyn Fn() -> Pin<Box<dyn Future<Output = Result<String, Box<dyn std::error::Error + Send + Sync>>> + Send>>
        + Send
        + Sync,
>;

/// Makes connectors, by what all servers have in common.
pub(crate) struct Connectors {
    pub(crate) url: Url,
    pub(crate) kind: Kind,
    pub(crate) after_connect: Option<Box<str>>,
    pub(crate) password: Option<PasswordCallback>,
    pub(crate) segment_size: Arc<AtomicU64>,
    /// What tells how old a node's data is, if not its position.
    pub(crate) lag_source: Option<Arc<dyn LagSource>>,
    /// How long the server works at a monitor's question at most, should nobody wait for the answer any more.
    pub(crate) probe_limit: Duration,
    /// How long a source of ages may take: who is asked for more than that is not down for it.
    pub(crate) source_limit: Duration,
}

impl Connectors {
    pub(crate) const fn kind(&self) -> Kind {
        self.kind
    }

    /// One for a server at this address, of which a monitor may ask at another one.
    pub(crate) fn connector(
        &self,
        address: &Address,
        monitored_at: Option<&Address>,
    ) -> crate::Result<Connector> {
        let node: Arc<str> = address.name().into();
        let way = self.way_to(address, &node)?;
        let monitors = monitored_at.map(|address| self.way_to(address, &node)).transpose()?;
        let setup = Setup {
            node,
            kind: self.kind,
            after_connect: self.after_connect.clone(),
            known: Known::default(),
            segment_size: Arc::clone(&self.segment_size),
            connection_limit: AtomicUsize::new(0),
            complaint: Mutex::new(None),
            source_limit: self.source_limit,
            has_positions: self.lag_source.as_ref().is_none_or(|source| source.has_positions()),
            can_wait: AtomicBool::new(false),
        };
        let (password, probe_limit) = (self.password.clone(), self.probe_limit);
        Ok(Connector { setup: Arc::new(setup), way, monitors, password, probe_limit })
    }

    fn way_to(&self, address: &Address, node: &str) -> crate::Result<Way> {
        let local_default = if address.is_local() { SslMode::Prefer } else { SslMode::VerifyFull };
        let mode = self.url.ssl_mode.unwrap_or(local_default);
        let mut config = config_of(&self.url.config, address);
        config.ssl_mode(match mode {
            SslMode::Disable => tokio_postgres::config::SslMode::Disable,
            SslMode::Prefer => tokio_postgres::config::SslMode::Prefer,
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => {
                tokio_postgres::config::SslMode::Require
            }
        });
        let tls = Tls::new(mode, self.url.ssl_root_cert.as_deref(), node)?;
        Ok(Way { address: address.clone(), config, tls })
    }
}

/// How a server is reached.
#[derive(Clone)]
struct Way {
    address: Address,
    config: Config,
    tls: Tls,
}

/// Opens connections to one server.
#[derive(Clone)]
pub(crate) struct Connector {
    pub(crate) setup: Arc<Setup>,
    way: Way,
    /// A monitor's own, past a pooler.
    monitors: Option<Way>,
    password: Option<PasswordCallback>,
    probe_limit: Duration,
}

impl Connector {
    /// What the name that a monitor asks stands for now.
    pub(crate) async fn stands_for(&self) -> Option<u64> {
        self.way_for(Purpose::Probe).address.stands_for().await
    }

    pub(crate) const fn config(&self) -> &Config {
        &self.way.config
    }

    fn way_for(&self, purpose: Purpose) -> &Way {
        self.monitors.as_ref().filter(|_| purpose == Purpose::Probe).unwrap_or(&self.way)
    }

    /// Whether a connection for this leads to the server itself, and not to a pooler.
    fn is_direct(&self, purpose: Purpose) -> bool {
        self.setup.kind == Kind::Direct || (purpose == Purpose::Probe && self.monitors.is_some())
    }

    pub(crate) async fn connect(&self, purpose: Purpose) -> Result<Connection, DriverError> {
        let promoted = Promoted::default();
        let watched = (purpose == Purpose::Read && self.setup.kind == Kind::Direct).then(|| promoted.clone());
        let Opened { client, task, version } = self.open(purpose, watched.map(Watched::Role)).await?;
        let canceller = self.canceller(&client, &task, purpose);
        // A monitor asks with all else, and behind a pooler the next statement may be another server's.
        let is_asked = purpose != Purpose::Probe && self.setup.kind == Kind::Direct;
        let server = if is_asked { Some(who(&client).await?) } else { None };
        let can_wait = self.setup.kind == Kind::Direct && version >= Some(HAS_WAIT_FOR_LSN);
        self.setup.can_wait.store(can_wait, Ordering::Relaxed);
        Ok(Connection::new(Arc::clone(&self.setup), client, canceller, promoted, server, can_wait))
    }

    /// A connection for notifications, which go to `notes`.
    pub(crate) async fn connect_to_listen(
        &self,
        notes: Notes,
    ) -> Result<tokio_postgres::Client, DriverError> {
        Ok(self.open(Purpose::Write, Some(Watched::Notes(notes))).await?.client)
    }

    /// A connection of the driver's that is in no pool of ours.
    pub(crate) async fn connect_apart(&self, purpose: Purpose) -> Result<OpenedApart, DriverError> {
        let Opened { client, task, .. } = self.open(purpose, None).await?;
        let canceller = self.canceller(&client, &task, purpose);
        Ok(OpenedApart { client, driven: task, canceller })
    }

    fn canceller(
        &self,
        client: &tokio_postgres::Client,
        task: &JoinHandle<()>,
        purpose: Purpose,
    ) -> Canceller {
        let tls = self.way_for(purpose).tls.clone();
        Canceller { token: client.cancel_token(), tls, task: task.abort_handle() }
    }

    async fn open(&self, purpose: Purpose, watched: Option<Watched>) -> Result<Opened, DriverError> {
        let way = self.way_for(purpose);
        let mut config = way.config.clone();
        if let Some(password) = self.password.clone() {
            // In a task of its own, so that its panic ends there.
            let fetched = tokio::spawn(async move { password().await }).await;
            config
                .password(fetched.unwrap_or_else(|panic| Err(panic.into())).map_err(DriverError::Password)?);
        }
        // A pooler refuses them, or gives another server connection without them.
        if self.is_direct(purpose) {
            let options = options_for(purpose, config.get_options().unwrap_or_default(), self.probe_limit);
            config.options(options.trim());
        }
        let opened = match &way.tls {
            Tls::Plain => open(&config, NoTls, watched).await?,
            #[cfg(feature = "rustls")]
            Tls::Rustls(tls) => open(&config, tls.clone(), watched).await?,
        };
        if let Some(text) = &self.setup.after_connect {
            opened.client.batch_execute(text).await.map_err(DriverError::AfterConnect)?;
        }
        Ok(opened)
    }
}

/// The startup options of a connection, on top of the user's. There they survive RESET ALL, and stand over those of the role and the
/// database. Last, so that they stand over what the user set there too.
fn options_for(purpose: Purpose, users: &str, probe_limit: Duration) -> String {
    // The classifier reads literals as the standard has them.
    let ours = format!("{users} -c standard_conforming_strings=on");
    match purpose {
        Purpose::Write => ours,
        Purpose::Read => ours + " -c default_transaction_read_only=on",
        // A beat must not wait for replicas that are down.
        Purpose::Probe => {
            let limit = probe_limit.as_millis().max(1);
            format!("{ours} -c statement_timeout={limit} -c synchronous_commit=off")
        }
    }
}

/// What the server says of itself on a connection, besides answers.
enum Watched {
    /// Notifications.
    Notes(Notes),
    /// That it is no replica any more.
    Role(Promoted),
}

/// Whether a server has said that it is no replica any more. PostgreSQL does so from version 14 on, with the next answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Promoted(Arc<AtomicBool>);

impl Promoted {
    pub(crate) fn is_so(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Drives a connection to its end, and looks at what the server says of its role.
    async fn watch<S, T>(self, mut connection: tokio_postgres::Connection<S, T>) -> Result<(), Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
        T: AsyncRead + AsyncWrite + Unpin,
    {
        poll_fn(|cx| {
            let ended = Pin::new(&mut connection).poll(cx);
            if connection.parameter("in_hot_standby") == Some("off") {
                self.0.store(true, Ordering::Relaxed);
            }
            ended
        })
        .await
    }
}

/// A connection of the driver's.
struct Opened {
    client: tokio_postgres::Client,
    /// What drives it.
    task: JoinHandle<()>,
    /// The server's major version, if it says one.
    version: Option<u32>,
}

/// The first major version with `WAIT FOR LSN`.
const HAS_WAIT_FOR_LSN: u32 = 19;

/// `19rc1 (Debian 19~rc1-1)` is 19.
fn major_version(said: &str) -> Option<u32> {
    said.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

async fn open<T>(config: &Config, tls: T, watched: Option<Watched>) -> Result<Opened, DriverError>
where
    T: MakeTlsConnect<Socket> + Send,
    T::Stream: Send + 'static,
    T::TlsConnect: Send,
    <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
{
    let (client, connection) = config.connect(tls).await?;
    if connection.parameter("standard_conforming_strings") == Some("off") {
        return Err(DriverError::BackslashesInLiterals);
    }
    let version = connection.parameter("server_version").and_then(major_version);
    // It ends when the client is dropped or the server hangs up; the client then says that it is closed.
    let task = tokio::spawn(async move {
        let ended = match watched {
            Some(Watched::Notes(notes)) => return notes.take(connection).await,
            Some(Watched::Role(promoted)) => promoted.watch(connection).await,
            None => connection.await,
        };
        if let Err(error) = ended {
            tracing::debug!(target: "millpond", %error, "a connection ended");
        }
    });
    Ok(Opened { client, task, version })
}

/// Cancels what runs on one connection.
pub struct Canceller {
    token: CancelToken,
    tls: Tls,
    task: AbortHandle,
}

impl Canceller {
    /// Closes the connection, whatever is on its way: left alone, the driver waits for every answer.
    pub fn cut_off(&self) {
        self.task.abort();
    }

    /// Asks the server to give up what runs on the connection, over another one.
    ///
    /// # Errors
    ///
    /// The server was not reached.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn cancel(&self) -> Result<(), Error> {
        match &self.tls {
            Tls::Plain => self.token.cancel_query(NoTls).await,
            #[cfg(feature = "rustls")]
            Tls::Rustls(tls) => self.token.cancel_query(tls.clone()).await,
        }
    }
}

impl fmt::Debug for Canceller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Canceller").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_the_number_in_front() {
        assert_eq!(major_version("19rc1 (Debian 19~rc1-1)"), Some(19));
        assert_eq!(major_version("15.18 (Debian 15.18-0+deb12u1)"), Some(15));
        assert_eq!(major_version("devel"), None);
        assert!(major_version("devel") < Some(HAS_WAIT_FOR_LSN));
    }

    #[test]
    fn what_we_need_stands_behind_what_the_user_sets() {
        let options = |purpose| options_for(purpose, "-c statement_timeout=7", Duration::from_secs(5));
        let ours = "-c statement_timeout=7 -c standard_conforming_strings=on";
        assert_eq!(options(Purpose::Write), ours);
        assert_eq!(options(Purpose::Read), format!("{ours} -c default_transaction_read_only=on"));
        assert_eq!(
            options(Purpose::Probe),
            format!("{ours} -c statement_timeout=5000 -c synchronous_commit=off")
        );
    }
}
