//! A libpq-style URL: what the driver's own parser does not know is taken out first.

use std::hash::BuildHasher as _;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use millpond_cluster::Error;
use percent_encoding::percent_decode_str;
use tokio::net::lookup_host;
use tokio_postgres::Config;
use tokio_postgres::config::Host;

/// Where one server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) host: Host,
    /// An address to use instead of looking the host up.
    pub(crate) hostaddr: Option<IpAddr>,
    pub(crate) port: u16,
    /// Whether the host has several addresses, and this is one of them: then it is named by that.
    pub(crate) is_one_of_several: bool,
}

impl Address {
    /// From a host, `host:port`, or the path of a Unix socket or its folder.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        #[cfg(unix)]
        if text.starts_with('/') {
            let (folder, port) = text.rsplit_once("/.s.PGSQL.").unwrap_or((text, "5432"));
            let port = port.parse().map_err(|_| format!("{text}: no port behind .s.PGSQL."))?;
            let host = Host::Unix(folder.into());
            return Ok(Self { host, hostaddr: None, port, is_one_of_several: false });
        }
        let is_one_host = !text.is_empty() && !text.contains(['/', '@', '?', ',']);
        let url = is_one_host.then(|| format!("postgres://{text}").parse::<Config>().ok()).flatten();
        let address = url.and_then(|config| addresses(&config).ok()?.pop());
        address.ok_or_else(|| format!("{text:?} is no address of a node: write a host, or host:port"))
    }

    /// Whether the server is on this machine, so that TLS would protect nothing.
    pub(crate) fn is_local(&self) -> bool {
        match (&self.host, self.hostaddr) {
            (_, Some(address)) => address.is_loopback(),
            (Host::Tcp(host), None) => {
                host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
            }
            #[cfg(unix)]
            (Host::Unix(_), None) => true,
        }
    }

    /// The servers that the host's name stands for now. A host that is an address, or has one, stands for itself.
    pub(crate) async fn resolve(&self) -> io::Result<Vec<Self>> {
        let Host::Tcp(host) = &self.host else { return Ok(vec![self.clone()]) };
        if self.hostaddr.is_some() || host.parse::<IpAddr>().is_ok() {
            return Ok(vec![self.clone()]);
        }
        let found = lookup_host((host.as_str(), self.port)).await?;
        let one = |at: SocketAddr| Self {
            host: self.host.clone(),
            hostaddr: Some(at.ip()),
            port: self.port,
            is_one_of_several: true,
        };
        Ok(found.map(one).collect())
    }

    /// A number that is another when the host's name stands for other servers; `None` where it can stand for no other, or nobody can say.
    pub(crate) async fn stands_for(&self) -> Option<u64> {
        let mut found: Vec<_> = self.resolve().await.ok()?.iter().filter_map(|one| one.hostaddr).collect();
        found.sort_unstable();
        let is_name = self.hostaddr.is_none() && !found.is_empty();
        is_name.then(|| foldhash::fast::FixedState::default().hash_one(&found))
    }

    /// As it stands in events and errors.
    pub(crate) fn name(&self) -> String {
        match (self.is_one_of_several, self.hostaddr) {
            (true, Some(address)) => SocketAddr::new(address, self.port).to_string(),
            _ => self.name_of_host(),
        }
    }

    /// The name that it was looked up by, if it was and that is another.
    pub(crate) fn found_as(&self) -> Option<String> {
        Some(self.name_of_host()).filter(|found_as| self.is_one_of_several && *found_as != self.name())
    }

    fn name_of_host(&self) -> String {
        match &self.host {
            Host::Tcp(host) if host.contains(':') => format!("[{host}]:{}", self.port),
            Host::Tcp(host) => format!("{host}:{}", self.port),
            #[cfg(unix)]
            Host::Unix(folder) => folder.join(format!(".s.PGSQL.{}", self.port)).display().to_string(),
        }
    }
}

/// How much TLS, in libpq's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SslMode {
    Disable,
    /// Without checking the certificate; plain when the server has no TLS.
    Prefer,
    /// Without checking the certificate.
    Require,
    /// The certificate must come from a known authority.
    VerifyCa,
    /// And must name the host.
    VerifyFull,
}

impl SslMode {
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        match text {
            "disable" => Ok(Self::Disable),
            "allow" | "prefer" => Ok(Self::Prefer),
            "require" => Ok(Self::Require),
            "verify-ca" => Ok(Self::VerifyCa),
            "verify-full" => Ok(Self::VerifyFull),
            _ => Err(Error::config(format!(
                "sslmode is {text:?}; it can be disable, prefer, require, verify-ca or verify-full"
            ))),
        }
    }
}

/// What a URL says.
#[derive(Clone, Debug)]
pub(crate) struct Url {
    pub(crate) config: Config,
    /// What `sslmode` says, if it does.
    pub(crate) ssl_mode: Option<SslMode>,
    pub(crate) ssl_root_cert: Option<PathBuf>,
}

impl Url {
    /// Parses `postgres://user:password@host:port,host:port/database?parameter=value&…`. No part of the text gets into
    /// an error, since it may hold a password.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return Err(Error::config("a URL starts with postgres:// or postgresql://"));
        }
        let (base, query) = text.split_once('?').unwrap_or((text, ""));
        let (mut ssl_mode, mut ssl_root_cert, mut rest) = (None, None, Vec::new());
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let decode = || {
                let value = percent_decode_str(value).decode_utf8();
                value.map_err(|_| Error::config(format!("{name} in the URL is not UTF-8")))
            };
            match name {
                "sslmode" => ssl_mode = Some(SslMode::parse(&decode()?)?),
                "sslrootcert" => ssl_root_cert = Some(PathBuf::from(decode()?.into_owned())),
                // Roles are found by asking, and the nodes are one cluster each of which is wanted.
                "target_session_attrs" | "load_balance_hosts" => {}
                _ => rest.push(parameter),
            }
        }
        let known = if rest.is_empty() { base.to_owned() } else { format!("{base}?{}", rest.join("&")) };
        let config = known.parse::<Config>().map_err(|error| {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
            Error::config(format!("the URL cannot be read{}", cause.unwrap_or_default()))
        })?;
        Ok(Self { config, ssl_mode, ssl_root_cert })
    }
}

/// The servers that a driver configuration names, in order.
pub(crate) fn addresses(config: &Config) -> Result<Vec<Address>, Error> {
    let (hosts, hostaddrs, ports) = (config.get_hosts(), config.get_hostaddrs(), config.get_ports());
    let count = hosts.len().max(hostaddrs.len());
    if count == 0 {
        return Err(Error::config("no host is named"));
    }
    if !hosts.is_empty() && !hostaddrs.is_empty() && hosts.len() != hostaddrs.len() {
        return Err(Error::config(format!(
            "{} hosts but {} addresses are named",
            hosts.len(),
            hostaddrs.len()
        )));
    }
    if ports.len() > 1 && ports.len() != count {
        return Err(Error::config(format!("{count} hosts but {} ports are named", ports.len())));
    }
    let address = |index: usize| {
        let hostaddr = hostaddrs.get(index).copied();
        let host =
            hosts.get(index).cloned().or_else(|| hostaddr.map(|address| Host::Tcp(address.to_string())));
        let port = ports.get(index).or_else(|| ports.first()).copied().unwrap_or(5432);
        host.map(|host| Address { host, hostaddr, port, is_one_of_several: false })
    };
    Ok((0..count).filter_map(address).collect())
}

/// The same configuration for one of its servers.
pub(crate) fn config_of(all: &Config, address: &Address) -> Config {
    let mut one = Config::new();
    match &address.host {
        Host::Tcp(host) => one.host(host),
        #[cfg(unix)]
        Host::Unix(folder) => one.host_path(folder),
    };
    one.port(address.port);
    address.hostaddr.map(|hostaddr| one.hostaddr(hostaddr));
    all.get_user().map(|user| one.user(user));
    all.get_password().map(|password| one.password(password));
    all.get_dbname().map(|dbname| one.dbname(dbname));
    all.get_options().map(|options| one.options(options));
    all.get_connect_timeout().map(|timeout| one.connect_timeout(*timeout));
    all.get_tcp_user_timeout().map(|timeout| one.tcp_user_timeout(*timeout));
    all.get_keepalives_interval().map(|interval| one.keepalives_interval(interval));
    all.get_keepalives_retries().map(|retries| one.keepalives_retries(retries));
    one.application_name(all.get_application_name().unwrap_or("millpond"))
        .ssl_negotiation(all.get_ssl_negotiation())
        .channel_binding(all.get_channel_binding())
        .keepalives(all.get_keepalives())
        .keepalives_idle(all.get_keepalives_idle());
    one
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(url: &str) -> Vec<String> {
        addresses(&Url::parse(url).unwrap().config).unwrap().iter().map(Address::name).collect()
    }

    #[test]
    fn hosts_share_the_default_port_or_have_their_own() {
        assert_eq!(names("postgres://app@db-0,db-1,db-2/shop"), ["db-0:5432", "db-1:5432", "db-2:5432"]);
        assert_eq!(names("postgresql://app@db-0:1,db-1:2/shop?application_name=x"), ["db-0:1", "db-1:2"]);
        assert_eq!(names("postgres://app@[::1]:7/shop"), ["[::1]:7"]);
    }

    #[test]
    fn an_address_alone_is_read_as_in_a_url() {
        let name = |text: &str| Address::parse(text).map(|address| address.name());
        for (text, expected) in [
            ("db-3", "db-3:5432"),
            ("db-3:6000", "db-3:6000"),
            ("[::1]:7", "[::1]:7"),
            ("/run/pg", "/run/pg/.s.PGSQL.5432"),
            ("/run/pg/.s.PGSQL.7", "/run/pg/.s.PGSQL.7"),
        ] {
            assert_eq!(name(text).unwrap(), expected);
            assert_eq!(name(&name(text).unwrap()).unwrap(), expected, "a name is an address");
        }
        for text in ["", "db-0,db-1", "app@db-0", "db-0/shop", "db-0?x=1", "db-0:port", "/run/.s.PGSQL.x"] {
            assert!(name(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_unix_socket_is_a_host() {
        assert_eq!(names("postgres://app@%2Frun%2Fpg:5433/shop"), ["/run/pg/.s.PGSQL.5433"]);
    }

    #[test]
    fn tls_words_are_taken_out_and_the_others_kept() {
        let url =
            Url::parse("postgres://db/shop?sslmode=verify-ca&application_name=app&sslrootcert=%2Fca.pem&options=-c%20x%3D1")
                .unwrap();
        assert_eq!(url.ssl_mode, Some(SslMode::VerifyCa));
        assert_eq!(url.ssl_root_cert, Some(PathBuf::from("/ca.pem")));
        assert_eq!(url.config.get_application_name(), Some("app"));
        assert_eq!(url.config.get_options(), Some("-c x=1"));
        let one = config_of(&url.config, &addresses(&url.config).unwrap()[0]);
        assert_eq!((one.get_dbname(), one.get_options()), (Some("shop"), Some("-c x=1")));
    }

    #[test]
    fn a_url_that_cannot_be_read_is_an_error_without_its_text() {
        let refused =
            |url: &str| Url::parse(url).and_then(|url| addresses(&url.config)).unwrap_err().to_string();
        for url in [
            "",
            "host=db password=secret",
            "mysql://app:secret@db/shop",
            "postgres://app:secret@db:port/shop",
            "postgres://app:secret@db/shop?colour=blue",
            "postgres://app:secret@db/shop?sslmode=maybe",
            "postgres://app:secret@db-0:1,db-1:2,db-2/shop?port=1,2",
            "postgres://",
        ] {
            assert!(!refused(url).contains("secret"), "{url}: {}", refused(url));
        }
        assert!(refused("postgres://db/shop?sslmode=maybe").contains("verify-full"));
        assert!(refused("postgres://db/shop?colour=blue").contains("colour"));
    }

    #[test]
    fn only_this_machine_is_local() {
        let is_local = |url: &str| addresses(&Url::parse(url).unwrap().config).unwrap()[0].is_local();
        assert!(
            is_local("postgres://localhost/x")
                && is_local("postgres://127.0.0.9/x")
                && is_local("postgres://[::1]/x")
        );
        assert!(is_local("postgres://%2Frun/x"));
        assert!(!is_local("postgres://db/x") && !is_local("postgres://10.0.0.1/x"));
        assert!(!is_local("postgres://localhost/x?hostaddr=10.0.0.1"));
    }
}
