//! The settings of a pool, by sqlx's names.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use millpond_cluster::{Cluster, Error, Mode};
use millpond_postgres::Builder;
use millpond_postgres::tokio_postgres::Config;
use percent_encoding::percent_decode_str;
use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions as SqlxPoolOptions, PgSslMode};

use crate::backend::{Sqlx, SqlxDriver};
use crate::error::in_sqlx;
use crate::pool::PgPool;

/// The settings of a [`PgPool`], by the names that sqlx has for them; [`settings`](Self::settings) reaches all others.
#[must_use = "it is a pool when it connects"]
pub struct PgPoolOptions {
    max_connections: u32,
    acquire_timeout: Duration,
    idle_timeout: Option<Duration>,
    max_lifetime: Option<Duration>,
    mode: Mode,
    settings: Vec<Box<dyn FnOnce(Builder) -> Builder + Send>>,
}

impl PgPoolOptions {
    /// sqlx's defaults: 10 connections to each node, 30 s to wait for one, 10 min at rest, 30 min in all; in [`Mode::Shadow`].
    pub fn new() -> Self {
        Self {
            max_connections: 10,
            acquire_timeout: Duration::from_secs(30),
            idle_timeout: Some(Duration::from_secs(10 * 60)),
            max_lifetime: Some(Duration::from_secs(30 * 60)),
            mode: Mode::Shadow,
            settings: Vec::new(),
        }
    }

    /// The most connections to one node.
    pub const fn max_connections(mut self, connections: u32) -> Self {
        self.max_connections = connections;
        self
    }

    /// How long a call may wait for a connection, over all nodes that are tried.
    pub const fn acquire_timeout(mut self, timeout: Duration) -> Self {
        self.acquire_timeout = timeout;
        self
    }

    /// How long a connection may rest before it is closed.
    pub fn idle_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.idle_timeout = timeout.into();
        self
    }

    /// How old a connection may get, less up to a fifth at random.
    pub fn max_lifetime(mut self, lifetime: impl Into<Option<Duration>>) -> Self {
        self.max_lifetime = lifetime.into();
        self
    }

    /// Sends reads to replicas from the start: [`Mode::Route`].
    pub const fn route(self) -> Self {
        self.mode(Mode::Route)
    }

    /// What is done with the decisions at the start. Default [`Mode::Shadow`]: they are recorded, and everything goes to the primary.
    pub const fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// Any other setting: how old reads may be, zones, nodes by name, events, switches. Those of this type stand over it.
    ///
    /// ```
    /// # async fn pool() -> Result<millpond_sqlx::PgPool, sqlx::Error> {
    /// use std::time::Duration;
    /// use millpond_sqlx::PgPoolOptions;
    ///
    /// let options = PgPoolOptions::new().max_connections(20).route();
    /// let options = options.settings(|builder| builder.max_lag(Duration::from_millis(500)).zone("a"));
    /// options.connect("postgres://app@db-0,db-1,db-2/shop").await
    /// # }
    /// ```
    pub fn settings(mut self, settings: impl FnOnce(Builder) -> Builder + Send + 'static) -> Self {
        self.settings.push(Box::new(settings));
        self
    }

    /// Connects: waits until every node has answered once or failed to.
    ///
    /// # Errors
    ///
    /// A URL or a setting that cannot be, or no node that answers.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a dropped future closes what it opened.
    pub async fn connect(self, url: &str) -> Result<PgPool, sqlx::Error> {
        let Prepared { builder, options, writer } = self.prepare_url(url)?;
        let shared = Arc::clone(&options);
        let cluster = builder.connect_backend(|postgres| Sqlx::new(postgres, SqlxDriver::new(shared))).await;
        Self::pool(cluster, options, writer)
    }

    /// The same from sqlx's options, which have one node; [`settings`](Self::settings) may name others.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    ///
    /// # Cancel safety
    ///
    /// As [`connect`](Self::connect).
    pub async fn connect_with(self, options: PgConnectOptions) -> Result<PgPool, sqlx::Error> {
        let hosts = vec![host_of(&options)];
        let Prepared { builder, options, writer } = self.prepare(options, &hosts)?;
        let shared = Arc::clone(&options);
        let cluster = builder.connect_backend(|postgres| Sqlx::new(postgres, SqlxDriver::new(shared))).await;
        Self::pool(cluster, options, writer)
    }

    /// The same without waiting for anybody: the first statements wait for what nodes say. Call it inside a runtime.
    ///
    /// # Errors
    ///
    /// A URL or a setting that cannot be.
    pub fn connect_lazy(self, url: &str) -> Result<PgPool, sqlx::Error> {
        let Prepared { builder, options, writer } = self.prepare_url(url)?;
        let shared = Arc::clone(&options);
        let cluster = builder.start_backend(|postgres| Sqlx::new(postgres, SqlxDriver::new(shared)));
        Self::pool(cluster, options, writer)
    }

    fn pool(
        cluster: Result<Cluster<Sqlx>, Error>,
        options: Arc<Mutex<PgConnectOptions>>,
        writer: SqlxPoolOptions,
    ) -> Result<PgPool, sqlx::Error> {
        let cluster = cluster.map_err(in_sqlx)?;
        if cluster.backend().own().is_behind_pooler() {
            let text = "behind_pooler() means nothing here: sqlx's connections rely on their sessions; use millpond's own handle there, or connect to the servers";
            return Err(in_sqlx(Error::config(text)));
        }
        Ok(PgPool::routed(cluster.handle(), options, writer))
    }

    /// What others stand over.
    fn settings_first(mut self, settings: impl FnOnce(Builder) -> Builder + Send + 'static) -> Self {
        self.settings.insert(0, Box::new(settings));
        self
    }

    fn prepare_url(self, url: &str) -> Result<Prepared, sqlx::Error> {
        let (one, hosts) = split_hosts(url)?;
        let root_cert = root_cert_of(url);
        let this = match root_cert {
            Some(file) => self.settings_first(move |builder| builder.ssl_root_cert(file)),
            None => self,
        };
        this.prepare(one.parse()?, &hosts)
    }

    fn prepare(self, options: PgConnectOptions, hosts: &[(String, u16)]) -> Result<Prepared, sqlx::Error> {
        let shared = Arc::new(Mutex::new(options.clone()));
        let mut builder = Builder::from_config(config_of(&options, hosts));
        builder = builder.ssl_mode(mode_word(options.get_ssl_mode())).map_err(in_sqlx)?;
        builder = builder.password_callback({
            let shared = Arc::clone(&shared);
            move || {
                let password = password_of(&shared.lock().unwrap_or_else(PoisonError::into_inner));
                std::future::ready(Ok::<_, Error>(password.unwrap_or_default()))
            }
        });
        // sqlx asks each time; one that was in use just now is there.
        builder = builder.check_after(Some(Duration::from_millis(500)));
        for settings in self.settings {
            builder = settings(builder);
        }
        let connections = usize::try_from(self.max_connections).unwrap_or(usize::MAX);
        builder = builder
            .max_size(connections)
            .acquire_timeout(self.acquire_timeout)
            .idle_timeout(self.idle_timeout)
            .max_lifetime(self.max_lifetime)
            .mode(self.mode);
        let writer = SqlxPoolOptions::new()
            .max_connections(self.max_connections)
            .acquire_timeout(self.acquire_timeout)
            .idle_timeout(self.idle_timeout)
            .max_lifetime(self.max_lifetime);
        Ok(Prepared { builder, options: shared, writer })
    }
}

impl Default for PgPoolOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// What a pool is made of.
struct Prepared {
    builder: Builder,
    options: Arc<Mutex<PgConnectOptions>>,
    writer: SqlxPoolOptions,
}

/// A URL with the first of its hosts alone, as sqlx takes one, and all of them with their ports.
fn split_hosts(url: &str) -> Result<(String, Vec<(String, u16)>), sqlx::Error> {
    let refused = |why: &str| sqlx::Error::Configuration(format!("the URL cannot be read: {why}").into());
    let (scheme, rest) = url.split_once("://").ok_or_else(|| refused("it has no scheme"))?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, behind) = rest.split_at(end);
    let (user, hosts) = match authority.rsplit_once('@') {
        Some((user, hosts)) => (format!("{user}@"), hosts),
        None => (String::new(), authority),
    };
    let names: Vec<_> = hosts.split(',').collect();
    let first = names.first().copied().unwrap_or_default();
    let one = format!("{scheme}://{user}{first}{behind}");
    let port = |text: &str| text.parse::<u16>().map_err(|_| refused("a port is no number"));
    let read = |name: &str| -> Result<_, sqlx::Error> {
        match name.rsplit_once(':') {
            // The colons of an IPv6 address stand in brackets.
            Some((host, text)) if !text.contains(']') => Ok((host.to_owned(), port(text)?)),
            _ => Ok((name.to_owned(), 5432)),
        }
    };
    let decoded = |(host, port): (String, u16)| {
        let host = percent_decode_str(host.trim_matches(['[', ']'])).decode_utf8_lossy().into_owned();
        (host, port)
    };
    if names.len() < 2 {
        // What sqlx makes of it counts: it knows parameters and variables of the environment that name a host.
        return Ok((one.clone(), vec![host_of(&one.parse()?)]));
    }
    let hosts = names.into_iter().map(|name| read(name).map(decoded)).collect::<Result<_, _>>()?;
    Ok((one, hosts))
}

/// The file of root certificates that a URL names, by whichever of sqlx's words.
fn root_cert_of(url: &str) -> Option<PathBuf> {
    let (_, query) = url.split_once('?')?;
    let value = query.split('&').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        matches!(name, "sslrootcert" | "ssl-root-cert" | "ssl-ca").then_some(value)
    })?;
    Some(percent_decode_str(value).decode_utf8_lossy().into_owned().into())
}

/// Where the options lead: a host, or the folder of a socket.
fn host_of(options: &PgConnectOptions) -> (String, u16) {
    let socket = options.get_socket().map(|folder| folder.to_string_lossy().into_owned());
    let host = || options.get_host().trim_matches(['[', ']']).to_owned();
    (socket.unwrap_or_else(host), options.get_port())
}

/// The same for the monitors' driver, but for the password, which is asked for each time.
fn config_of(options: &PgConnectOptions, hosts: &[(String, u16)]) -> Config {
    let mut config = Config::new();
    for (host, port) in hosts {
        config.host(host).port(*port);
    }
    config.user(options.get_username());
    options.get_database().map(|database| config.dbname(database));
    options.get_application_name().map(|name| config.application_name(name));
    options.get_options().map(|options| config.options(options));
    config
}

/// sqlx tells its password in a URL only.
fn password_of(options: &PgConnectOptions) -> Option<String> {
    // Of a socket, say, it makes no URL, and panics.
    let url = options.clone().host("localhost").username("nobody").to_url_lossy();
    url.password().map(|password| percent_decode_str(password).decode_utf8_lossy().into_owned())
}

/// What sqlx allows may be plain here too.
const fn mode_word(mode: PgSslMode) -> &'static str {
    match mode {
        PgSslMode::Disable => "disable",
        PgSslMode::Allow | PgSslMode::Prefer => "prefer",
        PgSslMode::Require => "require",
        PgSslMode::VerifyCa => "verify-ca",
        PgSslMode::VerifyFull => "verify-full",
    }
}

impl std::fmt::Debug for PgPoolOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PgPoolOptions")
            .field("max_connections", &self.max_connections)
            .field("acquire_timeout", &self.acquire_timeout)
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_may_name_several_hosts() {
        let (one, hosts) =
            split_hosts("postgres://app:s%40crt@db-0,db-1:6000,[::1]:7/shop?sslmode=disable").unwrap();
        assert_eq!(one, "postgres://app:s%40crt@db-0/shop?sslmode=disable");
        let expected = [("db-0", 5432), ("db-1", 6000), ("::1", 7)];
        assert_eq!(hosts, expected.map(|(host, port)| (host.to_owned(), port)));
        let options: PgConnectOptions = one.parse().unwrap();
        assert_eq!(password_of(&options).as_deref(), Some("s@crt"));
        let (_, hosts) = split_hosts("postgres://app@db-0:6000/shop").unwrap();
        assert_eq!(hosts, [("db-0".to_owned(), 6000)]);
    }

    #[test]
    fn a_url_that_cannot_be_read_is_an_error_without_its_text() {
        for url in ["", "postgres:app:secret@db", "postgres://app:secret@db-0:1,db-1:port/shop"] {
            let error = split_hosts(url).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
