use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use millpond_sql::Classifier;

use crate::{Error, Event, Limits, Switches};

/// Told of every [`Event`].
pub type EventListener = Arc<dyn Fn(&Event) + Send + Sync>;

/// The settings of a [`Cluster`](crate::Cluster), each with a default. Backends' builders fill it in.
#[derive(Clone)]
#[non_exhaustive]
pub struct Config {
    /// The most connections per node. Default 10.
    pub max_size: usize,
    /// How many processes open so many: what the servers' limits are held against. Default 1.
    pub processes: usize,
    /// How long one statement may wait for a connection, over all nodes that are tried. Default 5 s.
    pub acquire_timeout: Duration,
    /// How long one statement may wait while no node may run it, as between the end of one primary and the promotion of the next. It is no
    /// part of the wait for a connection then. Zero: it fails at once. Default `None`: the [`acquire_timeout`](Self::acquire_timeout)
    /// is for both waits together, as it always is until each node has been asked once.
    pub failover_timeout: Option<Duration>,
    /// How long a call may take in all, the wait for a connection included, unless its handle [says otherwise](crate::Handle::with_timeout). Default
    /// `None`: no limit.
    pub call_timeout: Option<Duration>,
    /// How long opening one connection may take, login included. Default 5 s.
    pub connect_timeout: Duration,
    /// The most connections to one node that are being opened at a time. Default 2.
    pub max_connecting: usize,
    /// The most callers that may wait for connections of one node, and the most that may wait while no node may run their statements; who comes
    /// then is told at once. Default no limit.
    pub max_waiting: Option<usize>,
    /// How many reads may run on the primary at a time since no replica may serve them; who comes then is told at once. Default no limit.
    pub max_fallback_reads: Option<usize>,
    /// How long a connection may rest before it is closed. Default 10 min.
    pub idle_timeout: Option<Duration>,
    /// How long a connection is used, less up to a fifth at random. Default 30 min.
    pub max_lifetime: Option<Duration>,
    /// How long a connection may have rested to be handed out without asking whether the server is still there. Default 30 s.
    pub check_after: Option<Duration>,
    /// How often a resting connection is asked whether the server is still there. Default never.
    pub keepalive: Option<Duration>,
    /// How long a caller may hold a connection or a transaction before [`Event::Leaked`](crate::Event::Leaked) tells where it was taken. Default `None`:
    /// for ever.
    pub leak_after: Option<Duration>,
    /// The most that a plain handle's reads may be behind. Default 1 s.
    pub max_lag: Duration,
    /// How often each node is asked who it is: it is part of every lag. Default `None`: every 200 ms, or a quarter of
    /// [`max_lag`](Self::max_lag) where that is less, and 20 ms at least.
    pub probe_interval: Option<Duration>,
    /// How often a node is asked while nothing was asked of the cluster for some time: the interval doubles up to this. At least
    /// [`probe_interval`](Self::probe_interval). Default 2 s.
    pub idle_probe_interval: Duration,
    /// How long a node may take to answer a probe. Default 350 ms; two in a row without an answer, and it is down: with the default
    /// interval a second after it went silent at the latest, where the cluster is in use.
    pub probe_timeout: Duration,
    /// What is known of functions before the database is asked; `None`: nothing.
    pub classifier: Option<Classifier>,
    /// How often to ask what the database holds, besides at the start and after definitions; `None`: never at all. Default
    /// 60 s.
    pub catalog_interval: Option<Duration>,
    /// Whether a read that a replica refused as a write runs once more on the primary. Default yes.
    pub heal: bool,
    /// The switches at the start. Default none, with [`Mode::Route`](crate::Mode::Route).
    pub switches: Switches,
    /// Where this process is: reads go first to the nodes of this zone, and to others when none of them may serve one. Default nowhere in
    /// particular.
    pub zone: Option<Arc<str>>,
    /// Told of every event, from whichever task it comes about in; must not block.
    pub on_event: Option<EventListener>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_size: 10,
            processes: 1,
            acquire_timeout: Duration::from_secs(5),
            failover_timeout: None,
            call_timeout: None,
            connect_timeout: Duration::from_secs(5),
            max_connecting: 2,
            max_waiting: None,
            max_fallback_reads: None,
            idle_timeout: Some(Duration::from_secs(10 * 60)),
            max_lifetime: Some(Duration::from_secs(30 * 60)),
            check_after: Some(Duration::from_secs(30)),
            keepalive: None,
            leak_after: None,
            max_lag: Duration::from_secs(1),
            probe_interval: None,
            idle_probe_interval: Duration::from_secs(2),
            probe_timeout: Duration::from_millis(350),
            classifier: None,
            catalog_interval: Some(Duration::from_secs(60)),
            heal: true,
            switches: Switches::default(),
            zone: None,
            on_event: None,
        }
    }
}

/// The most connections that so many processes open to one node: those of the pool, a monitor's, and one for the catalog.
#[must_use]
pub const fn connections_per_node(max_size: usize, processes: usize) -> usize {
    max_size.saturating_add(2).saturating_mul(processes)
}

/// Longer ones are mistakes, and would overflow the clock.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

impl Config {
    /// Refuses settings that cannot be, by name.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.processes == 0 {
            return Err(Error::config("processes must be at least 1"));
        }
        Limits::of(self).check()?;
        let durations = [
            ("call_timeout", self.call_timeout.unwrap_or(LONGEST)),
            ("connect_timeout", self.connect_timeout),
            ("leak_after", self.leak_after.unwrap_or(LONGEST)),
            ("probe_interval", self.probe_interval.unwrap_or(LONGEST)),
            ("idle_probe_interval", self.idle_probe_interval),
            ("probe_timeout", self.probe_timeout),
            ("the catalog's interval", self.catalog_interval.unwrap_or(LONGEST)),
        ];
        durations.into_iter().try_for_each(|(name, duration)| check_duration(name, duration))
    }
}

/// Refuses a duration that cannot be.
pub(crate) fn check_duration(name: &str, duration: Duration) -> Result<(), Error> {
    let what = match duration {
        Duration::ZERO => "longer than zero",
        duration if duration > LONGEST => "at most a year",
        _ => return Ok(()),
    };
    Err(Error::config(format!("{name} must be {what}")))
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("max_size", &self.max_size)
            .field("processes", &self.processes)
            .field("acquire_timeout", &self.acquire_timeout)
            .field("failover_timeout", &self.failover_timeout)
            .field("call_timeout", &self.call_timeout)
            .field("connect_timeout", &self.connect_timeout)
            .field("max_connecting", &self.max_connecting)
            .field("max_waiting", &self.max_waiting)
            .field("max_fallback_reads", &self.max_fallback_reads)
            .field("idle_timeout", &self.idle_timeout)
            .field("max_lifetime", &self.max_lifetime)
            .field("check_after", &self.check_after)
            .field("keepalive", &self.keepalive)
            .field("leak_after", &self.leak_after)
            .field("max_lag", &self.max_lag)
            .field("probe_interval", &self.probe_interval)
            .field("idle_probe_interval", &self.idle_probe_interval)
            .field("probe_timeout", &self.probe_timeout)
            .field("classifier", &self.classifier)
            .field("catalog_interval", &self.catalog_interval)
            .field("heal", &self.heal)
            .field("switches", &self.switches)
            .field("zone", &self.zone)
            .finish_non_exhaustive()
    }
}
