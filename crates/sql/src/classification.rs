//! The answer: what a text does.

use std::fmt;

use millpond_core::Access;

use crate::{Effects, Reason, ReasonKind, Span, Transaction};

/// What a text does, as far as the text shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Classification {
    span: Span,
    effects: Effects,
    statements: u32,
    kind: ReasonKind,
    access: Access,
    transaction: Option<Transaction>,
}

impl Classification {
    /// An answer to one statement.
    pub(crate) const fn new(
        access: Access,
        effects: Effects,
        reason: Reason,
        transaction: Option<Transaction>,
    ) -> Self {
        let (kind, span) = (reason.kind(), reason.span());
        Self { span, effects, statements: 1, kind, access, transaction }
    }

    /// The same with another number of statements.
    pub(crate) const fn with_statements(self, statements: u32) -> Self {
        Self { statements, ..self }
    }

    /// The same, unknown for that reason.
    pub(crate) const fn unknown(self, kind: ReasonKind, span: Span) -> Self {
        Self { access: Access::Unknown, kind, span, ..self }
    }

    /// Of this answer to some statements, and that to more of them, the stricter one with the effects of both.
    pub(crate) fn and(self, other: Self) -> Self {
        let takes_other = other.access > self.access
            || (other.access == self.access && self.effects.is_empty() && !other.effects.is_empty());
        let decides = if takes_other { other } else { self };
        Self {
            effects: self.effects | other.effects,
            statements: self.statements.max(other.statements),
            transaction: other.transaction.or(self.transaction),
            ..decides
        }
    }

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
        Reason::new(self.kind, self.span)
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
        self.statements as usize
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
    pub const fn without_catalog(self) -> Self {
        if self.is_plain_read() { self.unknown(ReasonKind::CatalogMissing, self.span) } else { self }
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
