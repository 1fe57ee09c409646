//! What a lab is made of.

use std::{collections::BTreeSet, env, fmt, path::PathBuf, time::Duration};

use crate::{
    Folder, Lab, LabError,
    settings::{self, Replication, Setting},
};

/// More servers than this on one machine are a mistake, and the primary has no more senders.
const MOST_REPLICAS: usize = 12;

/// Makes a [`Lab`]. Every setting is optional.
#[derive(Clone)]
pub struct LabBuilder {
    pub(crate) replicas: usize,
    pub(crate) names: Vec<String>,
    pub(crate) port: Option<u16>,
    pub(crate) parent: Option<PathBuf>,
    pub(crate) binaries: Option<PathBuf>,
    pub(crate) folder: Folder,
    pub(crate) replication: Replication,
    pub(crate) settings: Vec<Setting>,
    pub(crate) node_settings: Vec<(String, Setting)>,
    pub(crate) passwords: Vec<(String, String)>,
    pub(crate) tls: Option<(String, String)>,
    pub(crate) patience: Duration,
}

impl fmt::Debug for LabBuilder {
    /// Without passwords and keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut builder = f.debug_struct("LabBuilder");
        builder.field("replicas", &self.replicas).field("names", &self.names).field("port", &self.port);
        builder.field("replication", &self.replication).field("settings", &self.settings);
        builder.finish_non_exhaustive()
    }
}

impl Default for LabBuilder {
    fn default() -> Self {
        let keep = env::var_os("MILLPOND_LAB_KEEP").is_some_and(|value| !value.is_empty() && value != "0");
        Self {
            replicas: 2,
            names: Vec::new(),
            port: None,
            parent: None,
            binaries: None,
            folder: if keep { Folder::Keep } else { Folder::Remove },
            replication: Replication::Asynchronous,
            settings: Vec::new(),
            node_settings: Vec::new(),
            passwords: Vec::new(),
            tls: None,
            patience: Duration::from_secs(30),
        }
    }
}

impl LabBuilder {
    /// How many replicas, besides the one primary. 2 unless said, 0 is allowed.
    #[must_use]
    pub fn replicas(mut self, count: usize) -> Self {
        self.replicas = count;
        self
    }

    /// The names of the nodes, the first primary first. `db-0`, `db-1` and so on unless said.
    #[must_use]
    pub fn names<I: IntoIterator<Item: Into<String>>>(mut self, names: I) -> Self {
        self.names = names.into_iter().map(Into::into).collect();
        self
    }

    /// Fixes the ports that clients use: this one for the first node, the next for the second, and so on. Free
    /// ones are found unless said.
    #[must_use]
    pub fn port(mut self, first: u16) -> Self {
        self.port = Some(first);
        self
    }

    /// Where the lab makes its own folder. Unless said: `MILLPOND_LAB_FOLDER`, else `TMPDIR`, else `/dev/shm`
    /// (when 2 GiB are free there and the folder is not kept; it is several times faster than a disk), else
    /// the system's folder for temporary files. The user of the servers must be able to enter it.
    #[must_use]
    pub fn parent_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.parent = Some(folder.into());
        self
    }

    /// The folder of `postgres`, `initdb` and `pg_basebackup`: `MILLPOND_LAB_PG_BIN`, else `PATH`, else where
    /// Debian, Homebrew and others put them, unless said.
    #[must_use]
    pub fn binaries(mut self, folder: impl Into<PathBuf>) -> Self {
        self.binaries = Some(folder.into());
        self
    }

    /// Whether the folder stays when the lab goes. It does not, unless said here or by `MILLPOND_LAB_KEEP=1`.
    #[must_use]
    pub fn folder(mut self, folder: Folder) -> Self {
        self.folder = folder;
        self
    }

    /// Whether commits wait for a replica. They do not unless said.
    #[must_use]
    pub fn replication(mut self, replication: Replication) -> Self {
        self.replication = replication;
        self
    }

    /// A line of `postgresql.conf` for all nodes.
    #[must_use]
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.push((name.into(), value.into()));
        self
    }

    /// A line of `postgresql.conf` for one node. It wins over [`setting`](Self::setting).
    #[must_use]
    pub fn node_setting(
        mut self,
        node: impl Into<String>,
        name: impl Into<String>,
        value: impl Into<String>,
    ) -> Self {
        self.node_settings.push((node.into(), (name.into(), value.into())));
        self
    }

    /// A user who may log in with this password only (SCRAM). Everybody else is trusted.
    #[must_use]
    pub fn password(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.passwords.push((user.into(), password.into()));
        self
    }

    /// A certificate and its key, in PEM, for all nodes: then they speak TLS, and URLs say `sslmode=require`.
    /// Connections without TLS are still taken.
    #[must_use]
    pub fn ssl(mut self, certificate: impl Into<String>, key: impl Into<String>) -> Self {
        self.tls = Some((certificate.into(), key.into()));
        self
    }

    /// How long any one step may take before it is an error. 30 s unless said: a machine under load is slow,
    /// and a hang must end.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Starts the servers and waits until all replicas stream.
    ///
    /// # Errors
    ///
    /// When a setting cannot be, PostgreSQL is not found, or a server does not start. What had been started by
    /// then is ended.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends what had been started.
    pub async fn up(self) -> Result<Lab, LabError> {
        self.check()?;
        Lab::up(self).await
    }

    /// The names of all nodes.
    pub(crate) fn node_names(&self) -> Vec<String> {
        if self.names.is_empty() {
            (0..=self.replicas).map(|i| format!("db-{i}")).collect()
        } else {
            self.names.clone()
        }
    }

    fn check(&self) -> Result<(), LabError> {
        let refuse =
            |setting: &str, reason: String| Err(LabError::Setting { setting: setting.to_owned(), reason });
        if self.replicas > MOST_REPLICAS {
            return refuse(
                "replicas",
                format!("{} were asked for, {MOST_REPLICAS} are the most", self.replicas),
            );
        }
        let names = self.node_names();
        if names.len() != self.replicas + 1 {
            let needed = self.replicas + 1;
            return refuse("names", format!("{} names for {needed} nodes; give one for each", names.len()));
        }
        let plain = |name: &String| {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
            (1..=40).contains(&name.len()) && name.chars().all(plain) && !name.starts_with('-')
        };
        if let Some(name) = names.iter().find(|name| !plain(name)) {
            let reason = "use 1 to 40 lowercase letters, digits, `-` and `_`";
            return refuse("names", format!("`{name}` cannot be a name: {reason}"));
        }
        if names.iter().collect::<BTreeSet<_>>().len() != names.len() {
            return refuse("names", "two nodes have the same name".to_owned());
        }
        if let Some((node, _)) = self.node_settings.iter().find(|(node, _)| !names.contains(node)) {
            let (name, known) = (node.clone(), names.join(", "));
            return Err(LabError::NoSuchNode { name, known });
        }
        if let Some((user, _)) = self.passwords.iter().find(|(user, _)| user == "postgres") {
            return refuse("password", format!("`{user}` is the lab's own user and must stay trusted"));
        }
        if let Some(first) = self.port {
            if first == 0 || usize::from(u16::MAX - first) < self.replicas {
                return refuse("port", format!("{first} and the ports after it are not ports for all nodes"));
            }
        }
        if self.patience < Duration::from_secs(1) {
            return refuse("patience", "a server needs longer to start; give it at least 1 s".to_owned());
        }
        let per_node = self.node_settings.iter().map(|(_, setting)| setting);
        self.settings.iter().chain(per_node).try_for_each(|(name, value)| settings::check(name, value))
    }
}
