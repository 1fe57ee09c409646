//! Where each statement was sent, and when: a subscriber of `tracing` that hears what millpond says of its statements.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use millpond::Role;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::clock::Clock;

/// One statement: where it was sent, one node behind the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a note, which tests make too")]
pub struct Call {
    /// The last one answered, if any did.
    pub sends: Vec<Send>,
    /// What came of it.
    pub end: End,
}

/// What came of a [`Call`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "open, or one of two answers")]
pub enum End {
    /// It was still waited for.
    #[default]
    Open,
    /// It was answered.
    Answered(Duration),
    /// It failed.
    Failed(Duration),
}

/// A statement on its way to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a note, which tests make too")]
pub struct Send {
    /// When.
    pub at: Duration,
    /// The node, by the port of its relay.
    pub port: u16,
    /// As what it was sent there.
    pub role: Role,
}

/// Keeps what was sent. Clones are the same.
#[derive(Clone, Debug)]
pub struct Sends {
    clock: Clock,
    next: Arc<AtomicU64>,
    /// Guards what was heard.
    heard: Arc<Mutex<Heard>>,
}

#[derive(Debug, Default)]
struct Heard {
    /// By their spans.
    open: HashMap<u64, Noted>,
    over: Vec<Call>,
    is_watched: bool,
}

#[derive(Debug, Default)]
struct Noted {
    call: Call,
    has_failed: bool,
    /// Whether a node was chosen for it: what is sent over a connection that its caller keeps can go nowhere else.
    is_routed: bool,
}

impl Sends {
    /// One that hears of all statements of this process from here on.
    ///
    /// # Errors
    ///
    /// When there is a subscriber already.
    pub fn listen(clock: Clock) -> Result<Self> {
        let sends = Self { clock, next: Arc::default(), heard: Arc::default() };
        tracing::subscriber::set_global_default(sends.clone()).context("hearing of statements")?;
        Ok(sends)
    }

    /// From here on what is over is kept, until it is [taken](Self::take).
    pub fn watch(&self) {
        let mut heard = self.heard();
        heard.is_watched = true;
        heard.over.clear();
    }

    /// The statements that ended since [`watch`](Self::watch), and those that are still open.
    #[must_use]
    pub fn take(&self) -> Vec<Call> {
        let mut heard = self.heard();
        heard.is_watched = false;
        let mut calls = std::mem::take(&mut heard.over);
        calls.extend(heard.open.values().filter(|noted| noted.is_routed).map(|noted| noted.call.clone()));
        calls
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscriber for Sends {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span() && metadata.target() == "millpond" && metadata.name() == "statement"
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        // Zero is no id.
        let id = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        self.heard().open.insert(id, Noted::default());
        Id::from_u64(id)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        let at = self.clock.now();
        if let Some(noted) = self.heard().open.get_mut(&span.into_u64()) {
            values.record(&mut Reader { noted, at });
        }
    }

    fn try_close(&self, span: Id) -> bool {
        let at = self.clock.now();
        let mut heard = self.heard();
        if let Some(Noted { mut call, has_failed, is_routed: true }) = heard.open.remove(&span.into_u64())
            && heard.is_watched
        {
            call.end = if has_failed { End::Failed(at) } else { End::Answered(at) };
            heard.over.push(call);
        }
        true
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// Notes fields: a port says that it is sent, and the role comes behind it.
struct Reader<'a> {
    noted: &'a mut Noted,
    at: Duration,
}

impl Visit for Reader<'_> {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if let ("server.port", Ok(port)) = (field.name(), u16::try_from(value)) {
            self.noted.call.sends.push(Send { at: self.at, port, role: Role::Primary });
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.noted.is_routed |= field.name() == "millpond.reason";
        if let ("millpond.role", "replica", Some(send)) =
            (field.name(), value, self.noted.call.sends.last_mut())
        {
            send.role = Role::Replica;
        }
    }

    fn record_debug(&mut self, field: &Field, _: &dyn fmt::Debug) {
        self.noted.has_failed |= field.name() == "error.type";
    }
}
