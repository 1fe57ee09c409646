//! What was found in one statement so far.

use millpond_core::Access;

use crate::functions::Verdict;
use crate::{Classification, Effects, Reason, ReasonKind, Span, Transaction};

/// What was found in one statement so far. It starts as a read and only becomes stricter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Findings {
    access: Access,
    effects: Effects,
    reason: Reason,
    transaction: Option<Transaction>,
    /// Whether code runs whose text is not here.
    runs_hidden_code: bool,
    /// Set once the text turned out to be unreadable, which no later finding changes.
    is_broken: bool,
}

impl Findings {
    /// A statement that reads, until something else is found.
    pub(super) fn read(span: Span) -> Self {
        Self {
            access: Access::Read,
            effects: Effects::NONE,
            reason: Reason::new(ReasonKind::Reads, span),
            transaction: None,
            runs_hidden_code: false,
            is_broken: false,
        }
    }

    /// A statement whose verb says it.
    pub(super) fn verb(access: Access, kind: ReasonKind, span: Span) -> Self {
        Self { access, reason: Reason::new(kind, span), ..Self::read(span) }
    }

    pub(super) const fn is_read(&self) -> bool {
        self.access.is_read()
    }

    /// Whether it is known to change something, so that only effects on the session can be added.
    pub(super) const fn is_settled(&self) -> bool {
        matches!(self.access, Access::Write | Access::Definition)
    }

    /// It changes data. Known beats unknown, and the first reason stays.
    pub(super) fn write(&mut self, kind: ReasonKind, span: Span) {
        if matches!(self.access, Access::Read | Access::Unknown) && !self.is_broken {
            self.access = Access::Write;
            self.reason = Reason::new(kind, span);
        }
    }

    /// It changes the schema.
    pub(super) fn define(&mut self, kind: ReasonKind, span: Span) {
        if self.access != Access::Definition && !self.is_broken {
            self.access = Access::Definition;
            self.reason = Reason::new(kind, span);
        }
    }

    /// Code runs whose text is not here.
    pub(super) fn hidden_code(&mut self) {
        self.runs_hidden_code = true;
    }

    /// A part of it is not known. A statement that is known to write is one all the same.
    pub(super) fn unknown(&mut self, kind: ReasonKind, span: Span) {
        if self.is_read() {
            self.access = Access::Unknown;
            self.reason = Reason::new(kind, span);
        }
    }

    /// The catalog knows the name of something that is no read.
    pub(super) fn named(&mut self, kind: ReasonKind, span: Span) {
        match kind {
            // It is known what these do: they read, on a primary.
            ReasonKind::ForeignTable
            | ReasonKind::Sequence
            | ReasonKind::TemporaryTable
            | ReasonKind::UnloggedTable => {
                self.write(kind, span);
            }
            _ => self.unknown(kind, span),
        }
    }

    /// The text cannot be read at all.
    pub(super) fn broken(&mut self, kind: ReasonKind, span: Span) {
        if !self.is_broken {
            self.is_broken = true;
            self.access = Access::Unknown;
            self.reason = Reason::new(kind, span);
        }
    }

    /// It needs or changes its connection.
    pub(super) fn effect(&mut self, effects: Effects, kind: ReasonKind, span: Span) {
        self.effects |= effects;
        if self.reason.kind() == ReasonKind::Reads {
            self.reason = Reason::new(kind, span);
        }
    }

    pub(super) fn set_transaction(&mut self, transaction: Transaction) {
        self.transaction = Some(transaction);
        self.effects |= Effects::TRANSACTION;
    }

    pub(super) const fn classification(self) -> Classification {
        let found = Classification::new(self.access, self.effects, self.reason, self.transaction);
        found.with_hidden_code(self.runs_hidden_code)
    }

    /// Takes in what a function leaves in the session of a statement that is no read anyway.
    pub(super) fn judge_effects(&mut self, verdict: Verdict, span: Span) {
        if let Verdict::Session(effects) | Verdict::Writes(effects) = verdict {
            self.effect(effects, ReasonKind::SessionFunction, span);
        }
    }

    /// Takes in what a function does.
    pub(super) fn judge(&mut self, verdict: Verdict, span: Span) {
        match verdict {
            Verdict::Reads => {}
            Verdict::Primary => self.write(ReasonKind::PrimaryFunction, span),
            Verdict::Local => self.effect(Effects::OUTSIDE, ReasonKind::ServerFile, span),
            Verdict::Session(effects) => {
                if effects.intersects(Effects::ADVISORY_LOCK) {
                    // A replica grants it, but it excludes nobody there.
                    self.write(ReasonKind::SessionFunction, span);
                }
                self.effect(effects, ReasonKind::SessionFunction, span);
            }
            Verdict::Writes(effects) => {
                self.write(ReasonKind::WritingFunction, span);
                self.effect(effects, ReasonKind::WritingFunction, span);
            }
            Verdict::Denied => self.write(ReasonKind::DeniedFunction, span),
            Verdict::Hidden(kind) => self.unknown(kind, span),
            Verdict::Unknown => self.unknown(ReasonKind::UnknownFunction, span),
        }
    }
}
