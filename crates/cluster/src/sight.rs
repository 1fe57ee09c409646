//! One span for each routed statement, with the names of OpenTelemetry's conventions for databases, and our own under `millpond.`.
//!
//! Never a text, since it may have values in it, and never a parameter: the digest tells which statement it is. Where nobody listens, it costs
//! a look at one flag.

use millpond_sql::{Dialect, digest};
use tracing::Span;
use tracing::field::Empty;

use crate::{Error, Served};

/// The span of one statement.
pub(crate) struct Sight {
    span: Span,
    tries: u64,
}

impl Sight {
    pub(crate) fn of(text: Option<&str>, dialect: Dialect) -> Self {
        let span = tracing::debug_span!(
            target: "millpond",
            "statement",
            otel.kind = "client",
            db.system.name = system(dialect),
            db.response.status_code = Empty,
            error.type = Empty,
            server.address = Empty,
            server.port = Empty,
            millpond.digest = Empty,
            millpond.role = Empty,
            millpond.reason = Empty,
            millpond.lag_ms = Empty,
            millpond.wait_ms = Empty,
            millpond.tries = Empty,
        );
        if let Some(text) = text.filter(|_| !span.is_disabled()) {
            span.record("millpond.digest", tracing::field::display(digest(text, dialect)));
        }
        Self { span, tries: 0 }
    }

    /// Whether anybody listens.
    pub(crate) fn is_on(&self) -> bool {
        !self.span.is_disabled()
    }

    /// It is sent to one more node. Gives how many that are.
    pub(crate) fn tries_again(&mut self) -> u64 {
        self.tries += 1;
        self.tries
    }

    /// It has a connection.
    pub(crate) fn sent(&self, served: &Served) {
        let (address, port) = served.node.rsplit_once(':').unwrap_or((&served.node, ""));
        self.span.record("server.address", address);
        if let Ok(port) = port.parse::<u16>() {
            self.span.record("server.port", port);
        }
        self.span.record("millpond.role", served.role.as_str());
        self.span.record("millpond.reason", served.reason.as_str());
        if let Some(lag) = served.lag.time() {
            self.span.record("millpond.lag_ms", lag.as_secs_f64() * 1e3);
        }
        self.span.record("millpond.wait_ms", served.waited.as_secs_f64() * 1e3);
        self.span.record("millpond.tries", served.tries);
    }

    pub(crate) fn failed(&self, error: &Error) {
        if !self.is_on() {
            return;
        }
        self.span.record("error.type", tracing::field::debug(error.kind()));
        if let Some(code) = error.code() {
            self.span.record("db.response.status_code", code);
        }
    }
}

/// The conventions' name for what is at the other end.
const fn system(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Postgres => "postgresql",
        Dialect::MySql => "mysql",
        Dialect::MariaDb => "mariadb",
        // What the conventions say of those without a name.
        _ => "other_sql",
    }
}
