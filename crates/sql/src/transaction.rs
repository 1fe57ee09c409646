//! What a transaction command says.

use std::fmt;
use std::num::NonZeroU8;

/// What a transaction command says: its verb and, where it names them, its modes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Transaction(
    /// A verb and marks: a [`Classification`](crate::Classification) has a byte for it.
    NonZeroU8,
);

/// The verb, by its number plus one.
const VERB: u8 = 0xf;
/// What stands above it.
const READ_ONLY: u8 = 1 << 4;
const READ_WRITE: u8 = 1 << 5;
const SERIALIZABLE: u8 = 1 << 6;
const CHAINS: u8 = 1 << 7;

impl Transaction {
    pub(crate) const fn new(verb: TransactionVerb) -> Self {
        Self(NonZeroU8::MIN.saturating_add(verb as u8))
    }

    pub(crate) const fn bits(self) -> u8 {
        self.0.get()
    }

    pub(crate) const fn from_bits(bits: u8) -> Option<Self> {
        match NonZeroU8::new(bits) {
            Some(bits) => Some(Self(bits)),
            None => None,
        }
    }

    /// The same in a mode; of two that disagree the stricter one stays.
    pub(crate) fn in_mode(self, mode: TransactionMode) -> Self {
        match mode {
            TransactionMode::ReadOnly => Self(self.0 | READ_ONLY),
            TransactionMode::ReadWrite => Self(self.0 | READ_WRITE),
        }
    }

    /// The same, and it asks for `SERIALIZABLE`.
    pub(crate) fn serializable(self) -> Self {
        Self(self.0 | SERIALIZABLE)
    }

    /// The same, and another transaction follows at once.
    pub(crate) fn chained(self) -> Self {
        Self(self.0 | CHAINS)
    }

    /// The command.
    #[must_use]
    pub const fn verb(self) -> TransactionVerb {
        VERBS[((self.0.get() & VERB) - 1) as usize % VERBS.len()]
    }

    /// `READ ONLY` or `READ WRITE`, where the command says so.
    #[must_use]
    pub const fn mode(self) -> Option<TransactionMode> {
        match self.0.get() {
            number if number & READ_WRITE != 0 => Some(TransactionMode::ReadWrite),
            number if number & READ_ONLY != 0 => Some(TransactionMode::ReadOnly),
            _ => None,
        }
    }

    /// Whether the command asks for `SERIALIZABLE`, which no PostgreSQL hot standby can give.
    #[must_use]
    pub const fn is_serializable(self) -> bool {
        self.0.get() & SERIALIZABLE != 0
    }

    /// Whether another transaction starts at once: `COMMIT AND CHAIN`, `ROLLBACK AND CHAIN`.
    #[must_use]
    pub const fn chains(self) -> bool {
        self.0.get() & CHAINS != 0
    }
}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction")
            .field("verb", &self.verb())
            .field("mode", &self.mode())
            .field("is_serializable", &self.is_serializable())
            .field("chains", &self.chains())
            .finish()
    }
}

/// A transaction command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TransactionVerb {
    /// `BEGIN`, `START TRANSACTION`.
    Begin,
    /// `COMMIT`, `END`.
    Commit,
    /// `ROLLBACK`, `ABORT`.
    Rollback,
    /// `SAVEPOINT`.
    Savepoint,
    /// `RELEASE SAVEPOINT`.
    Release,
    /// `ROLLBACK TO SAVEPOINT`.
    RollbackTo,
    /// `SET TRANSACTION`: changes the modes of the running (MySQL: the next) transaction.
    SetModes,
    /// `PREPARE TRANSACTION`, `XA …`: the first phase of two, or any other part of a distributed transaction.
    TwoPhase,
    /// `COMMIT PREPARED`, `ROLLBACK PREPARED`: the second phase, on any connection.
    FinishPrepared,
}

impl TransactionVerb {
    /// The command as SQL has it, without its names.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Begin => "BEGIN",
            Self::Commit => "COMMIT",
            Self::Rollback => "ROLLBACK",
            Self::Savepoint => "SAVEPOINT",
            Self::Release => "RELEASE SAVEPOINT",
            Self::RollbackTo => "ROLLBACK TO SAVEPOINT",
            Self::SetModes => "SET TRANSACTION",
            Self::TwoPhase => "PREPARE TRANSACTION",
            Self::FinishPrepared => "COMMIT PREPARED",
        }
    }
}

impl fmt::Display for TransactionVerb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The verbs by their number.
const VERBS: [TransactionVerb; 9] = [
    TransactionVerb::Begin,
    TransactionVerb::Commit,
    TransactionVerb::Rollback,
    TransactionVerb::Savepoint,
    TransactionVerb::Release,
    TransactionVerb::RollbackTo,
    TransactionVerb::SetModes,
    TransactionVerb::TwoPhase,
    TransactionVerb::FinishPrepared,
];

/// Whether a transaction may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "SQL knows these two")]
pub enum TransactionMode {
    /// `READ ONLY`.
    ReadOnly,
    /// `READ WRITE`.
    ReadWrite,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_holds_all_that_a_command_says() {
        use TransactionMode::{ReadOnly, ReadWrite};
        for verb in VERBS {
            let plain = Transaction::new(verb);
            let says = |t: Transaction| (t.verb(), t.mode(), t.is_serializable(), t.chains());
            assert_eq!(says(plain), (verb, None, false, false));
            assert_eq!(says(plain.chained()), (verb, None, false, true));
            assert_eq!(says(plain.in_mode(ReadOnly)), (verb, Some(ReadOnly), false, false));
            assert_eq!(says(plain.serializable().in_mode(ReadWrite)), (verb, Some(ReadWrite), true, false));
            assert_eq!(plain.in_mode(ReadWrite).in_mode(ReadOnly).mode(), Some(ReadWrite));
            assert_eq!(plain.in_mode(ReadOnly).in_mode(ReadWrite).mode(), Some(ReadWrite));
        }
    }
}
