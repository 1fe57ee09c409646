//! The answer: what a text does.

use std::fmt;

use millpond_core::Access;

use crate::{Effects, Reason, ReasonKind, Transaction};

/// What a text does, as far as the text shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Classification {
    pub(crate) access: Access,
    pub(crate) effects: Effects,
    pub(crate) reason: Reason,
    pub(crate) statements: usize,
    pub(crate) transaction: Option<Transaction>,
}

impl Classification {
    /// What the text does to data; of several statements the strictest decides.
    #[must_use]
    pub const fn access(&self) -> Access {
        self.access
    }

    /// What the text leaves in, or needs from, its connection; of several statements, all of it.
    #[must_use]
    pub const fn effects(&self) -> Effects {
        self.effects
    }

    /// Why, with the bytes that decided.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        self.reason
    }

    /// Whether the text told what it does.
    #[must_use]
    pub const fn certainty(&self) -> Certainty {
        match self.access {
            Access::Unknown => Certainty::Unknown,
            Access::Read | Access::Write | Access::Definition => Certainty::Known,
        }
    }

    /// How many statements stand in the text; empty ones do not count.
    #[must_use]
    pub const fn statements(&self) -> usize {
        self.statements
    }

    /// What the last transaction command of the text says, if there is one.
    ///
    /// A `COMMIT` is a read by [`access`](Self::access), since it changes nothing that its transaction had not changed:
    /// whoever tracks writes has to look here too.
    #[must_use]
    pub const fn transaction(&self) -> Option<Transaction> {
        self.transaction
    }

    /// Where the text may run.
    #[must_use]
    pub const fn route(&self) -> Route {
        if self.effects.binds_session() {
            Route::Session
        } else if self.access.is_read() && !self.effects.contains(Effects::OUTSIDE) {
            Route::Replica
        } else {
            Route::Primary
        }
    }

    /// The answer where a catalog is wanted and not there: what the text alone shows to be a plain read may name a view that
    /// writes, so it is unknown.
    #[must_use]
    pub const fn without_catalog(mut self) -> Self {
        if self.is_plain_read() {
            self.access = Access::Unknown;
            self.reason = Reason::new(ReasonKind::CatalogMissing, self.reason.span());
        }
        self
    }

    /// Whether the text reads, and neither needs nor leaves anything in its connection: any replica will do.
    #[must_use]
    pub const fn is_plain_read(&self) -> bool {
        matches!(self.route(), Route::Replica)
    }
}

/// Whether the text told what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "there is no third answer")]
pub enum Certainty {
    /// The text says it.
    Known,
    /// The text does not say it; it is treated as a write.
    Unknown,
}

/// Where a text may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "whoever follows it has to say what it does with each")]
pub enum Route {
    /// Only on the primary.
    Primary,
    /// On any replica.
    Replica,
    /// Only on the connection that holds its caller's session; where there is none yet, on the primary.
    Session,
}

impl Route {
    /// The lower-case word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Replica => "replica",
            Self::Session => "session",
        }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
