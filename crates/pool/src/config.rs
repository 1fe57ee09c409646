use std::time::Duration;

use crate::{Manager, Pool};

/// The settings of a [`Pool`], each optional.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) max_size: usize,
    pub(crate) max_connecting: usize,
    pub(crate) acquire_timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) reset_timeout: Duration,
    pub(crate) max_lifetime: Option<Duration>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_size: 10,
            max_connecting: 2,
            acquire_timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(5),
            reset_timeout: Duration::from_secs(5),
            max_lifetime: Some(Duration::from_secs(30 * 60)),
        }
    }
}

/// Longer ones are mistakes, and would overflow the clock.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Builds a [`Pool`]. Every setting is optional; bad ones are refused by name.
#[derive(Debug)]
pub struct Builder<M> {
    manager: M,
    config: Config,
}

impl<M: Manager> Builder<M> {
    pub(crate) fn new(manager: M) -> Self {
        Self { manager, config: Config::default() }
    }

    /// The most connections, idle ones and those being opened included. Default 10.
    #[must_use]
    pub const fn max_size(mut self, connections: usize) -> Self {
        self.config.max_size = connections;
        self
    }

    /// The most connections being opened at a time: a burst must not become a storm on the server. Default 2.
    #[must_use]
    pub const fn max_connecting(mut self, connections: usize) -> Self {
        self.config.max_connecting = connections;
        self
    }

    /// How long [`Pool::acquire`] may take in all. Default 5 s.
    #[must_use]
    pub const fn acquire_timeout(mut self, timeout: Duration) -> Self {
        self.config.acquire_timeout = timeout;
        self
    }

    /// How long opening one connection may take, login included. Default 5 s.
    #[must_use]
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.config.connect_timeout = timeout;
        self
    }

    /// How long the reset of a soiled connection may take before it is closed instead. Default 5 s.
    #[must_use]
    pub const fn reset_timeout(mut self, timeout: Duration) -> Self {
        self.config.reset_timeout = timeout;
        self
    }

    /// How old a connection may get, less up to a fifth at random so that they do not all end at once. Checked when
    /// it is handed out and when it comes back. Default 30 min; `None` for no limit.
    #[must_use]
    pub const fn max_lifetime(mut self, lifetime: Option<Duration>) -> Self {
        self.config.max_lifetime = lifetime;
        self
    }

    /// Makes the pool. Nothing is opened before somebody asks.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the setting that cannot be.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime: the pool opens and resets connections in tasks on it.
    pub fn build(self) -> Result<Pool<M>, ConfigError> {
        let config = &self.config;
        for (name, connections) in [("max_size", config.max_size), ("max_connecting", config.max_connecting)]
        {
            if connections == 0 {
                return Err(ConfigError { setting: name, problem: "must be at least 1" });
            }
        }
        let timeouts = [
            ("acquire_timeout", Some(config.acquire_timeout)),
            ("connect_timeout", Some(config.connect_timeout)),
            ("reset_timeout", Some(config.reset_timeout)),
            ("max_lifetime", config.max_lifetime),
        ];
        for (setting, timeout) in timeouts {
            if timeout.is_some_and(|timeout| timeout > LONGEST) {
                return Err(ConfigError { setting, problem: "must be at most a year" });
            }
            if timeout.is_some_and(|timeout| timeout.is_zero()) {
                return Err(ConfigError { setting, problem: "must be longer than zero" });
            }
        }
        Ok(Pool::new(self.manager, self.config))
    }
}

/// A setting that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting} {problem}")]
pub struct ConfigError {
    setting: &'static str,
    problem: &'static str,
}

impl ConfigError {
    /// The name of the setting.
    #[must_use]
    pub const fn setting(&self) -> &'static str {
        self.setting
    }
}
