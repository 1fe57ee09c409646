use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::{Backend, Failure, FailureKind};

/// The result of a routed call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Arc<dyn StdError + Send + Sync>;

/// Why a call failed: on which node, in which phase, what the server said, and what to do next.
///
/// One word wide. Its text holds the whole story, the driver's words included; [`source`](StdError::source) is the
/// driver's own error for those who want to look inside it. So print one or the other, not a chain. Neither holds passwords, nor parameters but
/// where the server quotes a value in its own words, as in the detail of a unique violation.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    outcome: Outcome,
    message: String,
    code: Option<String>,
    node: Option<Arc<str>>,
    source: Option<Source>,
}

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A setting or a URL that cannot be.
    Config,
    /// No node could be reached at the start.
    Start,
    /// No node takes writes, and none did before the deadline.
    NoPrimary,
    /// No replica may serve the read, and the handle [reads from nothing else](crate::Handle::with_replicas_only).
    NoReplica,
    /// No connection could be had.
    Acquire,
    /// The handle was closed.
    Closed,
    /// As many callers wait for a connection as may, on every node that could run it, or for such a node; or as many reads run on the primary for
    /// want of a replica as may. Turned away at once.
    Overloaded,
    /// The server refused the statement.
    Rejected,
    /// The connection broke while the statement ran.
    ConnectionLost,
    /// The call took longer than its [limit](crate::Handle::with_timeout): what it had sent was given up, and is cancelled on the
    /// server.
    Timeout,
    /// The statement needs or sets the state of one connection, and a routed handle has none.
    SessionStatement,
    /// The text has several statements, and the call takes one.
    SeveralStatements,
    /// The call gave no, or more than one, row where one was asked for.
    RowCount,
    /// A value is not of the type that was asked for. The statement ran.
    Conversion,
    /// A token that cannot be used here.
    Token,
}

impl ErrorKind {
    /// The word that metrics and the status use: the name of the variant, in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Start => "start",
            Self::NoPrimary => "no_primary",
            Self::NoReplica => "no_replica",
            Self::Acquire => "acquire",
            Self::Closed => "closed",
            Self::Overloaded => "overloaded",
            Self::Rejected => "rejected",
            Self::ConnectionLost => "connection_lost",
            Self::Timeout => "timeout",
            Self::SessionStatement => "session_statement",
            Self::SeveralStatements => "several_statements",
            Self::RowCount => "row_count",
            Self::Conversion => "conversion",
            Self::Token => "token",
        }
    }
}

/// Whether the statement took effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "callers decide on a retry by it and must see all three")]
pub enum Outcome {
    /// It never left this process.
    NotSent,
    /// The server refused it; it had no effect.
    Rejected,
    /// The server may have run it; nobody can tell from here.
    MayHaveRun,
}

impl Error {
    /// A setting that cannot be.
    #[must_use]
    pub fn config(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Config, Outcome::NotSent, message)
    }

    /// An error with a message of its own.
    #[must_use]
    pub fn new(kind: ErrorKind, outcome: Outcome, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, outcome, message: message.into(), code: None, node: None, source: None }))
    }

    /// What the driver of a backend said on one node.
    #[must_use]
    pub fn from_backend<B: Backend>(backend: &B, node: &Arc<str>, doing: &str, error: B::Error) -> Self {
        let mut failure = backend.failure(&error);
        if failure.kind == FailureKind::Denied {
            // Its hint is for who cannot log in.
            failure.hint = None;
        }
        let (kind, outcome) = match failure.kind {
            // Denied is said of connections; of a statement its codes are a refusal like any other.
            FailureKind::Rejected | FailureKind::ReadOnly | FailureKind::Conflict | FailureKind::Denied => {
                (ErrorKind::Rejected, Outcome::Rejected)
            }
            FailureKind::ConnectionLost => (ErrorKind::ConnectionLost, Outcome::MayHaveRun),
            FailureKind::NotSent => (ErrorKind::Rejected, Outcome::NotSent),
            FailureKind::Behind => (ErrorKind::NoPrimary, Outcome::Rejected),
        };
        let message = format!("{node}: {}", describe(doing, &error, &failure));
        let mut this = Self::new(kind, outcome, message);
        this.0.code = failure.code;
        this.0.node = Some(Arc::clone(node));
        this.0.source = Some(Arc::new(error));
        this
    }

    /// What the driver of a backend said when a connection was opened for one caller alone.
    #[must_use]
    pub fn connecting<B: Backend>(backend: &B, node: &Arc<str>, error: B::Error) -> Self {
        let failure = backend.failure(&error);
        let message = format!("{node}: {}", describe("connecting", &error, &failure));
        let this = Self::new(ErrorKind::Acquire, Outcome::NotSent, message).at(node);
        this.caused_by(failure.code, Arc::new(error))
    }

    /// The statement was refused, but of several parts the first ones may have been committed.
    #[must_use]
    pub fn after_a_part_may_have_run(mut self) -> Self {
        if self.0.outcome == Outcome::Rejected {
            self.0.outcome = Outcome::MayHaveRun;
        }
        self
    }

    /// There are replicas, and none is known to be fresh enough.
    pub(crate) fn about_old_replicas(mut self) -> Self {
        self.0.message.push_str(
            "; no replica is known to be fresh enough for this read: within() and any() take an older answer",
        );
        self
    }

    /// There are replicas, and none is known to show what the primary does, or did.
    pub(crate) fn about_strange_replicas(mut self) -> Self {
        self.0.message.push_str(
            "; of no replica is it known how old it is, since none follows a primary that this process has seen: any() takes such an answer",
        );
        self
    }

    /// So long was waited, as a setting allows.
    pub(crate) fn after_wait(mut self, waited: Duration, limit: &str) -> Self {
        let millis = waited.as_millis();
        self.0.message = format!("{}; waited for {millis} ms, as {limit} allows", self.0.message);
        self
    }

    /// It could have gone on to another node, and too many others did.
    pub(crate) fn over_budget(mut self) -> Self {
        self.0.message.push_str("; it was not tried on another node, since too many reads were lately");
        self
    }

    /// It was not the first thing that was waited for.
    pub(crate) fn after(mut self, waited: Duration) -> Self {
        self.0.message.push_str(&format!("; {waited:.1?} in all, for a node that may run it, and for that"));
        self
    }

    pub(crate) fn at(mut self, node: &Arc<str>) -> Self {
        self.0.node = Some(Arc::clone(node));
        self
    }

    pub(crate) fn caused_by(mut self, code: Option<String>, source: Source) -> Self {
        self.0.code = code;
        self.0.source = Some(source);
        self
    }

    /// What went wrong.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether the statement took effect. Only what was not sent or was rejected may be sent again as it is.
    #[must_use]
    pub const fn outcome(&self) -> Outcome {
        self.0.outcome
    }

    /// The server's code (SQLSTATE), when a server said something.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    /// The node it happened on.
    #[must_use]
    pub fn node(&self) -> Option<&str> {
        self.0.node.as_deref()
    }

    /// The driver's error as the type `E`, to look inside it.
    #[must_use]
    pub fn source_as<E: StdError + 'static>(&self) -> Option<&E> {
        let mut source = self.source();
        while let Some(error) = source {
            if let Some(found) = error.downcast_ref() {
                return Some(found);
            }
            source = error.source();
        }
        None
    }
}

/// An error with its causes, in one line.
#[must_use]
pub fn in_words(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    // The driver's own text leaves the cause out in places ("error connecting to server").
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// One sentence that says what was being done, what was said, and what to do next.
pub(crate) fn describe(doing: &str, error: &dyn StdError, failure: &Failure) -> String {
    let mut text = format!("{doing}: {}", in_words(error));
    if let Some(hint) = failure.hint {
        text.push_str("; ");
        text.push_str(hint);
    }
    text
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

// `main` prints an error that it returns by `Debug`: then too it is the sentence that helps.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:?}, {:?})", self.0.message, self.0.kind, self.0.outcome)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_ref().map(|source| &**source as &(dyn StdError + 'static))
    }
}
