use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use millpond_cluster::sql::{Classifier, Dialect, FunctionNameError};
use millpond_cluster::{
    Backend, Cluster, Config as ClusterConfig, Discovery, DiscoveryError, Event, Mode, NodeConfig,
    connections_per_node,
};
use tokio::time::timeout;

use crate::connector::{Connectors, PasswordCallback};
use crate::discovery::{Asked, Finder, configs};
use crate::frame::Kind;
use crate::lag_source::LagSource;
use crate::url::{SslMode, Url, addresses};
use crate::{Db, Error, NodeSettings, Postgres, Result, Server, Switches};

/// Every setting of a [`Db`]. Each is optional; bad values are refused by name when it connects.
#[derive(Clone)]
pub struct Builder {
    url: Url,
    password: Option<PasswordCallback>,
    config: ClusterConfig,
    kind: Kind,
    after_connect: Option<Box<str>>,
    /// Nodes beside those of the URL, and settings for those.
    nodes: Vec<NodeSettings>,
    lag_source: Option<Arc<dyn LagSource>>,
    /// Says which nodes there are, and how often it is asked.
    discovery: Option<(Finder, Duration)>,
    switches_file: Option<PathBuf>,
    /// The first function that cannot be allowed or denied.
    bad_function: Option<FunctionNameError>,
}

/// Whether to ask what the database holds, so that it is known what views, user functions, operators, casts, row security
/// and unlogged tables hide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CatalogSetting {
    /// At the start, after definitions that run through the handle or its transactions, `DO` blocks among them, and so often.
    ///
    /// What is defined otherwise is not known before the next time, and a new view is taken for a table until then: by
    /// other processes, in functions and procedures, and through leases, whose text is not seen. Say so with
    /// [`Lease::defined`](crate::Lease::defined).
    ///
    /// Until the first answer, and between a definition and the next one, no text is taken for a read: everything goes to
    /// the primary. An answer that does not come is an event, [`Event::CatalogMissing`], and is asked for again. A lone
    /// primary is never asked.
    Every(Duration),
    /// Never: a relation is taken for a table, a user's function goes to the primary. The way out where the role may not
    /// read the system tables.
    Off,
}

impl Builder {
    /// From a URL, as [`Db::connect`] takes it.
    ///
    /// # Errors
    ///
    /// A URL that cannot be read.
    pub fn from_url(url: &str) -> Result<Self> {
        Ok(Self::new(Url::parse(url)?))
    }

    /// From the driver's configuration, with all nodes as its hosts. Its own `ssl_mode` says nothing here: see
    /// [`ssl_mode`](Builder::ssl_mode).
    #[must_use]
    pub fn from_config(config: tokio_postgres::Config) -> Self {
        let url = Url { config, ssl_mode: None, ssl_root_cert: None };
        Self::new(url)
    }

    fn new(url: Url) -> Self {
        Self {
            url,
            password: None,
            config: ClusterConfig::default(),
            kind: Kind::Direct,
            after_connect: None,
            nodes: Vec::new(),
            lag_source: None,
            discovery: None,
            switches_file: None,
            bad_function: None,
        }
    }

    /// Asks for the password whenever a connection is opened, for passwords that rotate.
    #[must_use]
    pub fn password_callback<F, R, E>(mut self, callback: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = std::result::Result<String, E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.password = Some(Arc::new(move || {
            let password = callback();
            Box::pin(async move { password.await.map_err(Into::into) })
        }));
        self
    }

    /// TLS in libpq's words: `disable`, `prefer`, `require`, `verify-ca`, `verify-full`. Default: `verify-full` off
    /// loopback, `prefer` on loopback and Unix sockets.
    ///
    /// # Errors
    ///
    /// Another word.
    pub fn ssl_mode(mut self, mode: &str) -> Result<Self> {
        self.url.ssl_mode = Some(SslMode::parse(mode)?);
        Ok(self)
    }

    /// A file of root certificates in PEM form. Default: the system's.
    #[must_use]
    pub fn ssl_root_cert(mut self, file: impl Into<PathBuf>) -> Self {
        self.url.ssl_root_cert = Some(file.into());
        self
    }

    /// The name that the server shows for the connections. Default `millpond`, or what the URL says.
    #[must_use]
    pub fn application_name(mut self, name: &str) -> Self {
        self.url.config.application_name(name);
        self
    }

    /// Statements without parameters, separated by semicolons, that run on every new connection before anybody gets it, and again
    /// when its settings were reset: what they set, all callers have. A connection on which they fail is not used.
    ///
    /// Where they set what depends on the node, note that they run on replicas too. They do not decide how texts are read:
    /// `standard_conforming_strings` stays on.
    #[must_use]
    pub fn after_connect(mut self, sql: &str) -> Self {
        self.after_connect = Some(sql.into());
        self
    }

    /// For servers behind a pooler that gives each transaction another server connection, as PgBouncer does with
    /// `pool_mode = transaction`.
    ///
    /// No state of a connection is relied upon then: a read runs in `BEGIN READ ONLY`, in place of sessions that refuse
    /// writes; prepared statements are not kept, and what is in front of the server must support them on the level of the
    /// protocol (PgBouncer from 1.21, with `max_prepared_statements`), or statements are sent by
    /// [`query_typed`](Db::query_typed), which needs nothing and takes one round trip; a [`Lease`](crate::Lease) is only good for single transactions; and nobody can
    /// [listen](Db::listener). Each node must have an entry of its own in the pooler, since a name that hides several servers makes
    /// what is known of them wrong. Have monitors ask [past the pooler](crate::NodeSettings::monitored_at), if they can reach the servers: a full
    /// pool looks like a dead server otherwise.
    #[must_use]
    pub const fn behind_pooler(mut self) -> Self {
        self.kind = Kind::Pooled;
        self
    }

    /// A node beside those of the URL, or the settings of one of those.
    ///
    /// ```
    /// # use millpond_postgres::{Db, NodeSettings, Result};
    /// # fn settings() -> Result<()> {
    /// let builder = Db::builder("postgres://app@db-0,db-1,db-2/shop")?
    ///     .zone("eu-1a")
    ///     .node(NodeSettings::new("db-1").zone("eu-1a"))
    ///     .node(NodeSettings::new("db-2").zone("eu-1b").weight(2.0));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn node(mut self, node: NodeSettings) -> Self {
        self.nodes.push(node);
        self
    }

    /// Looks the names of the URL up again, as often as `interval`, and soon after a node changed its role, came or went. Each address that a
    /// name stands for is a node, and is named by it: for names that stand for several servers, as a reader endpoint or a service does, and for those
    /// that stand for another one after a failover. TLS is checked against the name. Two names of one server are one node.
    ///
    /// An address that two answers in a row do not have is taken out, unless it is the primary's; the second is asked for a second behind the first. What
    /// cannot be looked up stands for what it did last, and an event says why ([`Event::DiscoveryFailed`]). Not for a name that answers with some of its
    /// addresses in turn, as reader endpoints of managed services do: list the nodes themselves there, or ask the service for them
    /// ([`discovery`](Builder::discovery)).
    ///
    /// Behind an address of several servers, as that of a balancer, only reads of any age are served, and an event says so.
    #[must_use]
    pub fn resolve_names(mut self, interval: Duration) -> Self {
        self.discovery = Some((Finder::Names, interval));
        self
    }

    /// Asks which nodes there are, as often as `interval`, and soon after a node changed its role, came or went; adds those that are new, takes out
    /// those that two answers in a row do not name (the second is asked for a second behind the first), but for the primary and a
    /// [writer endpoint](NodeSettings::writer_endpoint), and takes over weights and zones, of which those that an operator set stay until
    /// others are said. The nodes of the URL are those of the start.
    ///
    /// When it fails, or finds none, everything stays as it is, and an event says why ([`Event::DiscoveryFailed`]).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use millpond_postgres::{Db, NodeSettings, Result};
    /// # async fn members() -> std::io::Result<Vec<String>> { Ok(Vec::new()) }
    /// # async fn connect() -> Result<Db> {
    /// let db = Db::builder("postgres://app@db-0/shop")?
    ///     .discovery(Duration::from_secs(30), || async {
    ///         let addresses = members().await?; // a file, a service, an orchestrator
    ///         std::io::Result::Ok(addresses.iter().map(|address| NodeSettings::new(address)).collect())
    ///     })
    ///     .connect()
    ///     .await?;
    /// # Ok(db)
    /// # }
    /// ```
    #[must_use]
    pub fn discovery<F, R, E>(mut self, interval: Duration, find: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = std::result::Result<Vec<NodeSettings>, E>> + Send + 'static,
        E: Into<DiscoveryError>,
    {
        let find = move || -> Asked {
            let nodes = find();
            Box::pin(async move { nodes.await.map_err(Into::into) })
        };
        self.discovery = Some((Finder::Asked(Arc::new(find)), interval));
        self
    }

    /// Where this process is: reads go first to the nodes of this zone, and to the others when none of them may serve one. Default nowhere in
    /// particular.
    #[must_use]
    pub fn zone(mut self, zone: &str) -> Self {
        self.config.zone = Some(zone.into());
        self
    }

    /// The most connections per node, beside one for the monitor. Default 10.
    #[must_use]
    pub const fn max_size(mut self, connections: usize) -> Self {
        self.config.max_size = connections;
        self
    }

    /// The most connections to one node that are being opened at a time: a burst must not become a storm on the server. Default 2.
    #[must_use]
    pub const fn max_connecting(mut self, connections: usize) -> Self {
        self.config.max_connecting = connections;
        self
    }

    /// The most callers that may wait for the connections of one node. When it has so many, a call goes on to the next node that may run it,
    /// and is refused at once when there is none ([`ErrorKind::Overloaded`](crate::ErrorKind::Overloaded)). As many may wait besides while
    /// no node may run their statements: for a primary, mostly. Default `None`: no limit.
    #[must_use]
    pub const fn max_waiting(mut self, callers: Option<usize>) -> Self {
        self.config.max_waiting = callers;
        self
    }

    /// How long a call may take in all, the wait for a connection included, unless its handle says otherwise ([`Db::timeout`]): where a server
    /// goes silent and no other takes its place, nothing else ends a write that runs there, since nobody can tell whether it did. Default `None`: no
    /// limit.
    #[must_use]
    pub const fn call_timeout(mut self, limit: Option<Duration>) -> Self {
        self.config.call_timeout = limit;
        self
    }

    /// How long a caller may hold a connection or a transaction before an event tells where it was taken
    /// ([`Event::Leaked`](crate::Event::Leaked)): one that a handler keeps beyond its request, say. Default `None`: for ever.
    #[must_use]
    pub const fn leak_after(mut self, held: Option<Duration>) -> Self {
        self.config.leak_after = held;
        self
    }

    /// How many processes connect with these settings, as the instances of a service do. Where a server has fewer connections than all of them
    /// together may open, an event says so ([`Event::TooFewConnections`](crate::Event::TooFewConnections)). Default 1.
    #[must_use]
    pub const fn processes(mut self, count: usize) -> Self {
        self.config.processes = count;
        self
    }

    /// The most connections that so many processes with these settings open to one node, besides those of
    /// [listeners](Db::listener): those of the pool, one that asks who the node is, and, to the primary now and then, one that
    /// asks what the database holds. A server has `max_connections` less those that it reserves.
    ///
    /// ```
    /// # use millpond_postgres::Db;
    /// let builder = Db::builder("postgres://app@db-0,db-1/shop")?.max_size(8);
    /// assert_eq!(builder.connections_per_node(20), 200);
    /// # Ok::<(), millpond_postgres::Error>(())
    /// ```
    #[must_use]
    pub const fn connections_per_node(&self, processes: usize) -> usize {
        connections_per_node(self.config.max_size, processes)
    }

    /// How many reads may run on the primary at a time since no replica may serve them: when the replicas are down or behind, the primary must
    /// not melt under their load. Who comes then is told at once ([`ErrorKind::Overloaded`](crate::ErrorKind::Overloaded)). Reads that are
    /// meant for the primary do not count, nor do transactions, leases and streams once they have begun. Default `None`: no limit.
    #[must_use]
    pub const fn max_fallback_reads(mut self, reads: Option<usize>) -> Self {
        self.config.max_fallback_reads = reads;
        self
    }

    /// How long a connection may rest before it is closed. The one that was used last is used first, so that those which are not
    /// needed come to rest. Default 10 min; `None` for no limit.
    #[must_use]
    pub const fn idle_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.config.idle_timeout = timeout;
        self
    }

    /// How old a connection may get. Between 80 and 90 % of that, at random, another one is opened in its place. Default 30 min; `None`
    /// for no limit.
    #[must_use]
    pub const fn max_lifetime(mut self, lifetime: Option<Duration>) -> Self {
        self.config.max_lifetime = lifetime;
        self
    }

    /// How long a connection may have rested to be handed out without asking whether the server is still there. Default 30 s; `None`: it
    /// is never asked.
    #[must_use]
    pub const fn check_after(mut self, rest: Option<Duration>) -> Self {
        self.config.check_after = rest;
        self
    }

    /// How often a resting connection is asked whether the server is still there, for networks that forget what is quiet. Default `None`:
    /// never.
    #[must_use]
    pub const fn keepalive(mut self, rest: Option<Duration>) -> Self {
        self.config.keepalive = rest;
        self
    }

    /// How long one call may wait for a connection, over all nodes that are tried, and, without a
    /// [`failover_timeout`](Self::failover_timeout), for a primary when there is none. Default 5 s.
    #[must_use]
    pub const fn acquire_timeout(mut self, timeout: Duration) -> Self {
        self.config.acquire_timeout = timeout;
        self
    }

    /// How long one call may wait while no node may run it: for a primary, say, while one is promoted. It is no part of the wait for a
    /// connection then. Zero: it fails at once. Default `None`: [`acquire_timeout`](Self::acquire_timeout) is for both waits together, as it
    /// always is until each node has been asked once.
    #[must_use]
    pub const fn failover_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.config.failover_timeout = timeout;
        self
    }

    /// How long opening one connection may take, login included. Default 5 s.
    #[must_use]
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.config.connect_timeout = timeout;
        self
    }

    /// The most that reads of a plain handle or a session may be behind. Default 1 s.
    #[must_use]
    pub const fn max_lag(mut self, lag: Duration) -> Self {
        self.config.max_lag = lag;
        self
    }

    /// What tells how old a replica's data is, instead of its position in the WAL: see [`LagSource`] and [`Heartbeat`](crate::Heartbeat).
    #[must_use]
    pub fn lag_source(mut self, source: impl LagSource) -> Self {
        self.lag_source = Some(Arc::new(source));
        self
    }

    /// How often each node is asked who it is. It is part of every lag. Default 200 ms, or a quarter of [`max_lag`](Self::max_lag) where that is
    /// less, and 20 ms at least.
    ///
    /// That is the rate of a process in use, one question on one open connection. While reads wait for a replica or writes for a primary it is up
    /// to one each 20 ms. A server that refuses, since it is starting or has no connection left, is asked again after a pause that doubles from 20 ms
    /// to 400 ms, or two intervals where that is less, of which chance takes a part, whoever waits for it.
    #[must_use]
    pub const fn probe_interval(mut self, interval: Duration) -> Self {
        self.config.probe_interval = Some(interval);
        self
    }

    /// How often a node is asked while nothing was asked of the database for ten seconds: the interval doubles up to this. The first read behind
    /// such a rest may find no replica that is known to be fresh enough, and go to the primary. Default 2 s; as long as
    /// [`probe_interval`](Self::probe_interval) at least.
    #[must_use]
    pub const fn idle_probe_interval(mut self, interval: Duration) -> Self {
        self.config.idle_probe_interval = interval;
        self
    }

    /// How long a node may take to answer; two in a row without an answer, and it is down. Default 350 ms: with the default interval a
    /// node gets nothing more a second after it went silent at the latest, where the database is in use.
    #[must_use]
    pub const fn probe_timeout(mut self, timeout: Duration) -> Self {
        self.config.probe_timeout = timeout;
        self
    }

    /// Whether, and how often, to ask what the database holds. Default [`CatalogSetting::Every`] 60 s.
    #[must_use]
    pub const fn catalog(mut self, setting: CatalogSetting) -> Self {
        self.config.catalog_interval = match setting {
            CatalogSetting::Every(interval) => Some(interval),
            CatalogSetting::Off => None,
        };
        self
    }

    /// Takes a user's function for one that only reads, and so what calls it: views, casts, operators. `name` is written as
    /// statements write it, with or without its schema; see
    /// [`Classifier::allow_function`](millpond_cluster::sql::Classifier::allow_function).
    ///
    /// For functions whose text cannot show it: in C, in a language that is not read, or volatile for no reason. Should it
    /// write after all, the replica refuses the statement.
    #[must_use]
    pub fn allow_function(self, name: &str) -> Self {
        self.classifier(|classifier| classifier.try_allow_function(name))
    }

    /// Takes a function for one that writes, be it a built-in, and so what calls it; see
    /// [`Classifier::deny_function`](millpond_cluster::sql::Classifier::deny_function).
    #[must_use]
    pub fn deny_function(self, name: &str) -> Self {
        self.classifier(|classifier| classifier.try_deny_function(name))
    }

    fn classifier(
        mut self,
        change: impl FnOnce(Classifier) -> std::result::Result<Classifier, FunctionNameError>,
    ) -> Self {
        let classifier = self.config.classifier.clone().unwrap_or_else(|| Classifier::new(Dialect::Postgres));
        match change(classifier) {
            Ok(classifier) => self.config.classifier = Some(classifier),
            Err(error) => self.bad_function = self.bad_function.or(Some(error)),
        }
        self
    }

    /// Hands on the refusal when a replica refuses what was taken for a read, instead of running it on the primary.
    #[must_use]
    pub const fn without_healing(mut self) -> Self {
        self.config.heal = false;
        self
    }

    /// The mode at the start. Default [`Mode::Route`].
    #[must_use]
    pub const fn mode(mut self, mode: Mode) -> Self {
        self.config.switches.mode = mode;
        self
    }

    /// All switches at the start, as those of an environment variable. Default none.
    ///
    /// ```
    /// # use millpond_postgres::{Builder, Switches};
    /// # fn with(builder: Builder) -> Result<Builder, Box<dyn std::error::Error>> {
    /// let switches: Switches = std::env::var("SHOP_DATABASE_SWITCHES").unwrap_or_default().parse()?;
    /// Ok(builder.switches(switches))
    /// # }
    /// ```
    #[must_use]
    pub fn switches(mut self, switches: Switches) -> Self {
        self.config.switches = switches;
        self
    }

    /// A file that the switches are read from, before the handle is given out and whenever it changes, within half a second: see [`Switches`] for
    /// how they are written. A mode that it says is in force then, and statements and tables that it names are, and no others. What it says nothing of
    /// stays as it is; when it says something no more, or is gone, what was in force before it is again, unless somebody has set another
    /// since. With one that cannot be read the last ones stay, and an event says why ([`Event::SwitchesUnreadable`]); at the start it counts as
    /// `primary-only`. A change counts when it was
    /// read twice, so that nobody sees a file that is half written.
    #[must_use]
    pub fn switches_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.switches_file = Some(file.into());
        self
    }

    /// Told of every event. Runs in the monitors' and callers' tasks, so it must not block.
    #[must_use]
    pub fn on_event(mut self, listener: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.config.on_event = Some(Arc::new(listener));
        self
    }

    /// Connects: waits until every node has answered once or failed to.
    ///
    /// # Errors
    ///
    /// A setting that cannot be, or no node that answers. A node that is down is no error, but an event.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a dropped future closes what it opened.
    pub async fn connect(self) -> Result<Db> {
        Ok(Db::new(self.connect_backend(|postgres| postgres).await?.handle()))
    }

    /// The same without waiting for anybody: nodes are asked in the background, and the first statements wait for what they say, for as
    /// long as for a connection. Call it inside a runtime.
    ///
    /// # Errors
    ///
    /// A setting that cannot be.
    pub fn connect_lazy(self) -> Result<Db> {
        Ok(Db::new(self.start_backend(|postgres| postgres)?.handle()))
    }

    /// [Connects](Self::connect) a cluster whose statements another driver runs: see [`foundation`](crate::foundation).
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    ///
    /// # Cancel safety
    ///
    /// As [`connect`](Self::connect).
    pub async fn connect_backend<B>(self, wrap: impl FnOnce(Postgres) -> B) -> Result<Cluster<B>>
    where
        B: Backend<Address = Server>,
    {
        let patience = self.config.connect_timeout;
        let mut prepared = self.prepare()?;
        if let Some((found, _)) = &prepared.discovery {
            // Before anybody connects to a name that stands for several.
            if let Ok(Ok(found)) = timeout(patience, found()).await {
                if !found.nodes.is_empty() {
                    prepared.nodes = found.nodes;
                }
            }
        }
        let Prepared { backend, nodes, config, discovery, switches_file } = prepared;
        let cluster = Cluster::connect(wrap(backend), nodes, config).await?;
        Ok(followed(cluster, discovery, switches_file))
    }

    /// The same without waiting for anybody, as [`connect_lazy`](Self::connect_lazy) does.
    ///
    /// # Errors
    ///
    /// A setting that cannot be.
    pub fn start_backend<B>(self, wrap: impl FnOnce(Postgres) -> B) -> Result<Cluster<B>>
    where
        B: Backend<Address = Server>,
    {
        let Prepared { backend, nodes, config, discovery, switches_file } = self.prepare()?;
        let cluster = Cluster::start(wrap(backend), nodes, config)?;
        Ok(followed(cluster, discovery, switches_file))
    }

    fn prepare(self) -> Result<Prepared> {
        if let Some(error) = &self.bad_function {
            return Err(Error::config(error.to_string()));
        }
        if self.kind == Kind::Pooled && self.after_connect.is_some() {
            return Err(Error::config(
                "after_connect() means nothing behind a pooler, where a connection has no session: set it there",
            ));
        }
        let hook = self.after_connect.as_deref().unwrap_or_default();
        if hook.to_ascii_lowercase().contains("standard_conforming_strings") {
            return Err(Error::config("after_connect() must not change standard_conforming_strings"));
        }
        let segment_size = Arc::new(AtomicU64::new(0));
        let named = addresses(&self.url.config)?;
        let connectors = Arc::new(Connectors {
            url: self.url,
            kind: self.kind,
            after_connect: self.after_connect,
            password: self.password,
            segment_size: Arc::clone(&segment_size),
            lag_source: self.lag_source,
            probe_limit: self.config.connect_timeout,
            source_limit: self.config.probe_timeout / 2,
        });
        let mut settings: Vec<_> = named.into_iter().map(NodeSettings::at).collect();
        for node in self.nodes {
            let name = node.name();
            // What is set of a node of the URL stands in its place.
            match settings.iter_mut().find(|named| name.is_some() && named.name() == name) {
                Some(named) => *named = node,
                None => settings.push(node),
            }
        }
        let nodes = configs(&connectors, settings.clone())?;
        if self.discovery.as_ref().is_some_and(|(_, interval)| interval.is_zero()) {
            return Err(Error::config("the interval of a discovery must be longer than zero"));
        }
        let discovery = self
            .discovery
            .map(|(finder, interval)| (finder.discovery(Arc::clone(&connectors), settings), interval));
        let backend = Postgres { connectors: Some(connectors), segment_size, last_catalog: Arc::default() };
        Ok(Prepared { backend, nodes, config: self.config, discovery, switches_file: self.switches_file })
    }
}

/// The cluster, with what changes it while it is in use.
fn followed<B: Backend<Address = Server>>(
    cluster: Cluster<B>,
    discovery: Option<(Discovery<Server>, Duration)>,
    switches_file: Option<PathBuf>,
) -> Cluster<B> {
    if let Some((found, interval)) = discovery {
        cluster.discover(found, interval);
    }
    if let Some(file) = switches_file {
        cluster.watch_switches(file);
    }
    cluster
}

/// What a handle is made of.
struct Prepared {
    backend: Postgres,
    nodes: Vec<NodeConfig<Server>>,
    config: ClusterConfig,
    discovery: Option<(Discovery<Server>, Duration)>,
    switches_file: Option<PathBuf>,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The driver's configuration leaves its password out.
        f.debug_struct("Builder")
            .field("url", &self.url)
            .field("has_password_callback", &self.password.is_some())
            .field("config", &self.config)
            .finish()
    }
}
