//! What a transaction command says.

/// What a transaction command says: its verb and, where it names them, its modes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Transaction {
    pub(crate) verb: TransactionVerb,
    pub(crate) mode: Option<TransactionMode>,
    pub(crate) serializable: bool,
}

impl Transaction {
    pub(crate) const fn new(verb: TransactionVerb) -> Self {
        Self { verb, mode: None, serializable: false }
    }

    /// The command.
    #[must_use]
    pub const fn verb(self) -> TransactionVerb {
        self.verb
    }

    /// `READ ONLY` or `READ WRITE`, where the command says so.
    #[must_use]
    pub const fn mode(self) -> Option<TransactionMode> {
        self.mode
    }

    /// Whether the command asks for `SERIALIZABLE`, which no PostgreSQL hot standby can give.
    #[must_use]
    pub const fn is_serializable(self) -> bool {
        self.serializable
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

/// Whether a transaction may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "SQL knows these two")]
pub enum TransactionMode {
    /// `READ ONLY`.
    ReadOnly,
    /// `READ WRITE`.
    ReadWrite,
}
