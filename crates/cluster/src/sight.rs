//! One span for each statement, with the names of OpenTelemetry's conventions for databases, and our own under `millpond.`.
//!
//! Never a text, since it may have values in it, and never a parameter: the summary and the digest tell which statement it is. Where nobody
//! listens, it costs a look at one flag.

use std::borrow::Cow;
use std::sync::Arc;

use millpond_core::Role;
use millpond_sql::{Dialect, Summary, analyze};
use tracing::Span;
use tracing::field::{Empty, display};
use tracing::level_filters::LevelFilter;

use crate::{Backend, Error, Handle, Served};

/// The span of one statement: begun when it is made, over when it is dropped.
#[derive(Debug)]
pub struct StatementSpan {
    span: Span,
    tries: u64,
}

impl StatementSpan {
    #[inline]
    pub(crate) fn of<'t, B: Backend>(backend: &B, text: impl FnOnce() -> Option<Cow<'t, str>>) -> Self {
        // The macro looks for itself, behind a call and with more to give back.
        if LevelFilter::current() < LevelFilter::DEBUG {
            return Self { span: Span::none(), tries: 0 };
        }
        Self::begin(backend, text)
    }

    fn begin<'t, B: Backend>(backend: &B, text: impl FnOnce() -> Option<Cow<'t, str>>) -> Self {
        let span = tracing::debug_span!(
            target: "millpond",
            "statement",
            otel.name = Empty,
            otel.kind = "client",
            db.system.name = system(B::DIALECT),
            db.namespace = Empty,
            db.operation.name = Empty,
            db.collection.name = Empty,
            db.query.summary = Empty,
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
        let sight = Self { span, tries: 0 };
        if sight.is_on() {
            sight.describe(backend, text().as_deref());
        }
        sight
    }

    /// Says what it is, as far as nobody has to wait to know it.
    fn describe<B: Backend>(&self, backend: &B, text: Option<&str>) {
        if let Some(namespace) = backend.namespace() {
            self.span.record("db.namespace", namespace);
        }
        let Some(text) = text else {
            self.span.record("otel.name", NO_TEXT);
            return;
        };
        let analysis = analyze(text, B::DIALECT);
        let summary = Summary::of(text, &analysis);
        let words = Some(summary.to_string()).filter(|words| !words.is_empty());
        self.span.record("otel.name", words.as_deref().unwrap_or(system(B::DIALECT)));
        self.span.record("db.query.summary", words);
        self.span.record("db.operation.name", summary.operation());
        self.span.record("db.collection.name", summary.collection().map(display));
        self.span.record("millpond.digest", display(analysis.digest()));
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
        self.span.record("millpond.reason", served.reason.as_str());
        self.is_at(&served.node, served.role);
        if let Some(lag) = served.lag.time() {
            self.span.record("millpond.lag_ms", lag.as_secs_f64() * 1e3);
        }
        self.span.record("millpond.wait_ms", served.waited.as_secs_f64() * 1e3);
        self.span.record("millpond.tries", served.tries);
    }

    fn is_at(&self, node: &Arc<str>, role: Role) {
        let (address, port) = node.rsplit_once(':').unwrap_or((node, ""));
        self.span.record("server.address", address);
        if let Ok(port) = port.parse::<u16>() {
            self.span.record("server.port", port);
        }
        self.span.record("millpond.role", role.as_str());
    }

    /// What came of it. Of a batch that is whether it was run: what its statements came to, each caller is told.
    #[inline]
    pub fn ended<T>(&self, result: &Result<T, Error>) {
        if let (true, Err(error)) = (self.is_on(), result) {
            self.failed(error);
        }
    }

    fn failed(&self, error: &Error) {
        self.span.record("error.type", tracing::field::debug(error.kind()));
        if let Some(code) = error.code() {
            self.span.record("db.response.status_code", code);
        }
    }
}

impl<B: Backend> Handle<B> {
    /// The span of a text that its caller sends to a node over a lease that it keeps, as [`run`](Handle::run) makes one for what it routes. Nobody chose a
    /// node for it, so it has no reason, lag or wait. The text is asked for only where somebody listens.
    pub fn span<'t>(
        &self,
        node: &Arc<str>,
        role: Role,
        text: impl FnOnce() -> Cow<'t, str>,
    ) -> StatementSpan {
        let sight = StatementSpan::of(&*self.shared().backend, || Some(text()));
        if sight.is_on() {
            sight.is_at(node, role);
        }
        sight
    }
}

/// What a span is called whose connection is for its caller.
const NO_TEXT: &str = "connection";

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
