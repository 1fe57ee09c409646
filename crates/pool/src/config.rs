use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::codel::Shedding;
use crate::{Event, Manager, Pool};

/// What a hook gives back.
pub type HookFuture<'a, E> = Pin<Box<dyn Future<Output = Result<(), E>> + Send + 'a>>;

pub(crate) type AfterConnect<M> = Arc<
    dyn for<'c> Fn(&'c mut <M as Manager>::Connection) -> HookFuture<'c, <M as Manager>::Error> + Send + Sync,
>;
pub(crate) type Listener = Arc<dyn Fn(&Event<'_>) + Send + Sync>;

/// What the state goes by.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) max_size: usize,
    pub(crate) min_idle: usize,
    pub(crate) max_connecting: usize,
    pub(crate) max_waiting: Option<usize>,
    pub(crate) shedding: Option<Shedding>,
    pub(crate) classes: Vec<Class>,
    pub(crate) check_after: Option<Duration>,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) max_lifetime: Option<Duration>,
    pub(crate) max_uses: Option<u64>,
    pub(crate) keepalive: Option<Duration>,
    pub(crate) leak_after: Option<Duration>,
    pub(crate) fail_fast: bool,
    pub(crate) first_backoff: Duration,
    pub(crate) max_backoff: Duration,
    pub(crate) seed: Option<u64>,
}

/// A class of callers, with the connections that are kept for it.
#[derive(Clone, Debug)]
pub(crate) struct Class {
    pub(crate) name: &'static str,
    pub(crate) reserved: usize,
}

/// How long what runs in tasks may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    pub(crate) acquire: Duration,
    pub(crate) connect: Duration,
    pub(crate) check: Duration,
    pub(crate) reset: Duration,
}

/// The class of callers that say nothing, last in priority.
pub(crate) const DEFAULT_CLASS: &str = "default";

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_size: 10,
            min_idle: 0,
            max_connecting: 2,
            max_waiting: None,
            shedding: None,
            classes: Vec::new(),
            check_after: Some(Duration::from_secs(30)),
            idle_timeout: Some(Duration::from_secs(10 * 60)),
            max_lifetime: Some(Duration::from_secs(30 * 60)),
            max_uses: None,
            keepalive: None,
            leak_after: None,
            fail_fast: true,
            first_backoff: Duration::from_millis(20),
            max_backoff: Duration::from_secs(1),
            seed: None,
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            acquire: Duration::from_secs(5),
            connect: Duration::from_secs(5),
            check: Duration::from_secs(1),
            reset: Duration::from_secs(5),
        }
    }
}

/// Longer ones are mistakes, and would overflow the clock.
pub(crate) const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Builds a [`Pool`]. Every setting is optional; those that cannot be, or contradict each other, are refused by name.
pub struct Builder<M: Manager> {
    manager: M,
    limits: Limits,
    timeouts: Timeouts,
    is_check_set: bool,
    after_connect: Option<AfterConnect<M>>,
    listener: Option<Listener>,
}

impl<M: Manager> Builder<M> {
    pub(crate) fn new(manager: M) -> Self {
        Self {
            manager,
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            is_check_set: false,
            after_connect: None,
            listener: None,
        }
    }

    /// The most connections, idle ones and those being opened included. Default 10.
    #[must_use]
    pub const fn max_size(mut self, connections: usize) -> Self {
        self.limits.max_size = connections;
        self
    }

    /// How many connections to keep idle, within `max_size`. Opened in the background: from the start on, at once when one of them is
    /// closed, and for those that are out a second after too few were left. Default 0.
    #[must_use]
    pub const fn min_idle(mut self, connections: usize) -> Self {
        self.limits.min_idle = connections;
        self
    }

    /// The most connections being opened at a time: a burst must not become a storm on the server. Default 2.
    #[must_use]
    pub const fn max_connecting(mut self, connections: usize) -> Self {
        self.limits.max_connecting = connections;
        self
    }

    /// How long [`Pool::acquire`] may take in all. Default 5 s.
    #[must_use]
    pub const fn acquire_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.acquire = timeout;
        self
    }

    /// How long opening one connection may take, login and [`after_connect`](Self::after_connect) included. Default 5 s.
    #[must_use]
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.connect = timeout;
        self
    }

    /// How long a [check](Manager::check) may take before the connection is closed instead; less than the acquire timeout, so that one
    /// dead connection does not use up all of that. Default 1 s, or half of the acquire timeout if that is less.
    #[must_use]
    pub const fn check_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.check = timeout;
        self.is_check_set = true;
        self
    }

    /// How long the reset of a soiled connection may take before it is closed instead. Default 5 s.
    #[must_use]
    pub const fn reset_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.reset = timeout;
        self
    }

    /// How long a connection may have rested to be handed out without a [check](Manager::check). Default 30 s; `None`: it is
    /// never checked.
    #[must_use]
    pub const fn check_after(mut self, rest: Option<Duration>) -> Self {
        self.limits.check_after = rest;
        self
    }

    /// How long a connection may rest before it is closed, down to `min_idle`. The one that was used last is used first, so that those
    /// which are not needed come to rest. Default 10 min; `None` for no limit.
    #[must_use]
    pub const fn idle_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.limits.idle_timeout = timeout;
        self
    }

    /// How old a connection may get. Between 80 and 90 % of that, at random so that connections opened together do not end together, another
    /// one is opened, and the old one goes when that is there. None is handed out past its lifetime; with one of five minutes or more,
    /// only as far as the pool's own task is not kept from looking. Default 30 min; `None` for no limit.
    #[must_use]
    pub const fn max_lifetime(mut self, lifetime: Option<Duration>) -> Self {
        self.limits.max_lifetime = lifetime;
        self
    }

    /// How often a connection may be handed out before it is closed. Default `None`: no limit.
    #[must_use]
    pub const fn max_uses(mut self, uses: Option<u64>) -> Self {
        self.limits.max_uses = uses;
        self
    }

    /// How long a connection may rest before it is [checked](Manager::check) in the background, for networks that forget what
    /// is quiet. Those that came to rest together are checked together; who asks meanwhile and finds no other waits for a check. Default
    /// `None`: never.
    #[must_use]
    pub const fn keepalive(mut self, rest: Option<Duration>) -> Self {
        self.limits.keepalive = rest;
        self
    }

    /// How long a lease may be out before [`Event::Leaked`] names the place where it was acquired. Default `None`: never.
    #[must_use]
    pub const fn leak_after(mut self, held: Option<Duration>) -> Self {
        self.limits.leak_after = held;
        self
    }

    /// How many callers may wait for one that is in use; further ones are refused at once. Those for whom one rests, is being opened or
    /// can be do not count, nor do those of classes that come later. Default `None`: no limit.
    #[must_use]
    pub const fn max_waiting(mut self, callers: Option<usize>) -> Self {
        self.limits.max_waiting = callers;
        self
    }

    /// Turns callers away when the queue does not get shorter: once every caller of the last `interval` waited for longer than `target`, those
    /// that wait for more than twice as long are refused instead of served, until somebody waits less again. A burst is not cut.
    /// 5 ms and 100 ms are usual. Default: nobody is turned away.
    ///
    /// The rule is that of Nichols and Jacobson, "Controlling queue delay" (2012).
    #[must_use]
    pub const fn shedding(mut self, target: Duration, interval: Duration) -> Self {
        self.limits.shedding = Some(Shedding { target, interval });
        self
    }

    /// Adds a class of callers, for whom `reserved` connections are kept free of others: a bulkhead. The first class is
    /// served first. Callers that name none are of the class `default`, which comes last and has what is left; with
    /// this name it can be given a place and connections of its own.
    ///
    /// See [`AcquireOptions::class`](crate::AcquireOptions::class).
    #[must_use]
    pub fn class(mut self, name: &'static str, reserved: usize) -> Self {
        self.limits.classes.push(Class { name, reserved });
        self
    }

    /// Whether callers are refused at once, with the cause and when the next try begins, while no connection can be opened and
    /// none is out that could come back; meanwhile one task at a time tries. Default yes; otherwise they wait for their time. An error that is
    /// [permanent](crate::Severity::Permanent) is told at once in any case.
    #[must_use]
    pub const fn fail_fast(mut self, on: bool) -> Self {
        self.limits.fail_fast = on;
        self
    }

    /// How long to wait before a connection is tried again: a random share of `first` after the first failure, of twice as much after
    /// each further one, and of `most` in the end. Default 20 ms and 1 s.
    #[must_use]
    pub const fn backoff(mut self, first: Duration, most: Duration) -> Self {
        self.limits.first_backoff = first;
        self.limits.max_backoff = most;
        self
    }

    /// Where the random numbers for lifetimes and pauses start, so that a test can repeat them. Default: anywhere.
    #[must_use]
    pub const fn seed(mut self, seed: u64) -> Self {
        self.limits.seed = Some(seed);
        self
    }

    /// Runs with each new connection before anybody gets it, within the connect timeout. When it fails, so does the connect.
    #[must_use]
    pub fn after_connect<F>(mut self, hook: F) -> Self
    where
        F: for<'c> Fn(&'c mut M::Connection) -> HookFuture<'c, M::Error> + Send + Sync + 'static,
    {
        self.after_connect = Some(Arc::new(hook));
        self
    }

    /// Told of every [`Event`], in whichever task it comes about, so it must not block. It may use the pool; but one that holds it
    /// keeps it from being closed when the last other handle is dropped.
    #[must_use]
    pub fn on_event(mut self, listener: impl Fn(&Event<'_>) + Send + Sync + 'static) -> Self {
        self.listener = Some(Arc::new(listener));
        self
    }

    /// Makes the pool. It lives in the runtime that this is called in: connections are opened, checked and reset in tasks there, and
    /// when it ends, so does the pool.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the settings that cannot be.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime, or, in the pool's first task, in one without timers.
    pub fn build(mut self) -> Result<Pool<M>, ConfigError> {
        if !self.is_check_set {
            self.timeouts.check = self.timeouts.check.min(self.timeouts.acquire / 2);
        }
        let classes = &mut self.limits.classes;
        if !classes.iter().any(|class| class.name == DEFAULT_CLASS) {
            classes.push(Class { name: DEFAULT_CLASS, reserved: 0 });
        }
        self.check()?;
        Ok(Pool::new(self.manager, self.limits, self.timeouts, self.after_connect, self.listener))
    }

    fn check(&self) -> Result<(), ConfigError> {
        let (limits, timeouts) = (&self.limits, &self.timeouts);
        for (name, connections) in [
            ("max_connecting", limits.max_connecting),
            ("max_uses", usize::try_from(limits.max_uses.unwrap_or(1)).unwrap_or(usize::MAX)),
        ] {
            if connections == 0 {
                return Err(ConfigError::of(name, "must be at least 1"));
            }
        }
        limits.check_size(limits.max_size)?;
        let shedding = limits.shedding;
        let durations = [
            ("acquire_timeout", Some(timeouts.acquire)),
            ("connect_timeout", Some(timeouts.connect)),
            ("check_timeout", Some(timeouts.check).filter(|_| self.is_check_set)),
            ("reset_timeout", Some(timeouts.reset)),
            ("idle_timeout", limits.idle_timeout),
            ("max_lifetime", limits.max_lifetime),
            ("keepalive", limits.keepalive),
            ("leak_after", limits.leak_after),
            ("shedding's target", shedding.map(|shedding| shedding.target)),
            ("shedding's interval", shedding.map(|shedding| shedding.interval)),
            ("backoff's first", Some(limits.first_backoff)),
            ("backoff's most", Some(limits.max_backoff)),
        ];
        for (setting, duration) in durations {
            if duration.is_some_and(|duration| duration > LONGEST) {
                return Err(ConfigError::of(setting, "must be at most a year"));
            }
            if duration.is_some_and(|duration| duration.is_zero()) {
                return Err(ConfigError::of(setting, "must be longer than zero"));
            }
        }
        self.check_together()
    }

    /// Settings that each could be, and contradict each other.
    fn check_together(&self) -> Result<(), ConfigError> {
        let (limits, timeouts) = (&self.limits, &self.timeouts);
        let shorter =
            |first: &'static str, value: Option<Duration>, second: &'static str, limit: Option<Duration>| {
                let (value, limit) = value.zip(limit)?;
                (value >= limit).then(|| {
                    ConfigError::both(
                        first,
                        second,
                        format!("{first} ({value:?}) must be shorter than {second} ({limit:?})"),
                    )
                })
            };
        let twice = limits
            .classes
            .iter()
            .enumerate()
            .find(|(at, class)| limits.classes[..*at].iter().any(|other| other.name == class.name));
        let shedding = limits.shedding;
        let found = [
            twice.map(|(_, class)| ConfigError::of("class", "is named twice").naming(class.name)),
            shorter(
                "check_timeout",
                Some(timeouts.check).filter(|_| self.is_check_set),
                "acquire_timeout",
                Some(timeouts.acquire),
            ),
            shorter("keepalive", limits.keepalive, "idle_timeout", limits.idle_timeout),
            shorter("keepalive", limits.keepalive, "max_lifetime", limits.max_lifetime),
            shorter(
                "shedding's target",
                shedding.map(|shedding| shedding.target),
                "shedding's interval",
                shedding.map(|shedding| shedding.interval),
            ),
            (limits.first_backoff > limits.max_backoff).then(|| {
                let (first, most) = (limits.first_backoff, limits.max_backoff);
                let message =
                    format!("backoff's first ({first:?}) must be at most backoff's most ({most:?})");
                ConfigError::both("backoff's first", "backoff's most", message)
            }),
        ];
        found.into_iter().flatten().next().map_or(Ok(()), Err)
    }
}

impl Limits {
    /// Whether the pool may have so many connections.
    pub(crate) fn check_size(&self, max_size: usize) -> Result<(), ConfigError> {
        if max_size == 0 {
            return Err(ConfigError::of("max_size", "must be at least 1"));
        }
        if max_size > u16::MAX.into() {
            return Err(ConfigError::of("max_size", "must be at most 65535"));
        }
        let reserved: usize = self.classes.iter().map(|class| class.reserved).sum();
        for (first, value) in [("min_idle", self.min_idle), ("what the classes reserve", reserved)] {
            if value > max_size {
                let message = format!("{first} ({value}) must be at most max_size ({max_size})");
                return Err(ConfigError::both(first, "max_size", message));
            }
        }
        match self.classes.iter().find(|class| class.reserved == 0) {
            Some(class) if reserved == max_size => {
                let message = format!(
                    "what the classes reserve ({reserved}) leaves none of max_size ({max_size}) to class {}",
                    class.name
                );
                Err(ConfigError::both("what the classes reserve", "max_size", message))
            }
            _ => Ok(()),
        }
    }
}

impl<M: Manager> fmt::Debug for Builder<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("limits", &self.limits)
            .field("timeouts", &self.timeouts)
            .finish_non_exhaustive()
    }
}

/// Settings that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ConfigError {
    setting: &'static str,
    other: Option<&'static str>,
    message: String,
}

impl ConfigError {
    fn of(setting: &'static str, problem: &str) -> Self {
        Self { setting, other: None, message: format!("{setting} {problem}") }
    }

    const fn both(setting: &'static str, other: &'static str, message: String) -> Self {
        Self { setting, other: Some(other), message }
    }

    fn naming(self, name: &str) -> Self {
        Self { message: format!("{}: {name:?}", self.message), ..self }
    }

    /// The name of the setting.
    #[must_use]
    pub const fn setting(&self) -> &'static str {
        self.setting
    }

    /// The name of the setting that it contradicts, if it is not bad by itself.
    #[must_use]
    pub const fn other(&self) -> Option<&'static str> {
        self.other
    }
}
