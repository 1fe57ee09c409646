//! The answer: what a text does.

use std::fmt;

use millpond_core::Access;

use crate::lexer::LONGEST_TEXT;
use crate::{Effects, Reason, ReasonKind, Span, Transaction};

/// What a text does, as far as the text shows.
///
/// Two numbers, so that it travels in registers. As a struct of small fields it is written to memory in pieces and read again
/// as a whole, and the processor waits for that.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Classification {
    span: Span,
    facts: Facts,
}

/// All but the span in one number: the effects, the kind of the reason, whether code runs that is not here, the transaction command, the
/// access, and above them the number of statements.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Facts(u64);

const KIND: u32 = 16;
const HIDDEN: u32 = 23;
const TRANSACTION: u32 = 24;
const ACCESS: u32 = 32;
const STATEMENTS: u32 = 34;

// The longest text has less than one statement in two bytes.
const _: () = assert!(LONGEST_TEXT / 2 <= (u64::MAX >> STATEMENTS) as usize, "all statements can be counted");

impl Facts {
    const fn effects(self) -> Effects {
        let [low, high, ..] = self.0.to_le_bytes();
        Effects::from_bits(u16::from_le_bytes([low, high]))
    }

    const fn kind(self) -> ReasonKind {
        let [_, _, kind, ..] = self.0.to_le_bytes();
        ReasonKind::of_number(kind & 0x7f)
    }

    const fn runs_hidden_code(self) -> bool {
        self.0 >> HIDDEN & 1 != 0
    }

    const fn transaction(self) -> Option<Transaction> {
        let [_, _, _, bits, ..] = self.0.to_le_bytes();
        Transaction::from_bits(bits)
    }

    const fn access(self) -> Access {
        match self.0 >> ACCESS & 3 {
            0 => Access::Read,
            1 => Access::Write,
            2 => Access::Definition,
            _ => Access::Unknown,
        }
    }

    const fn statements(self) -> u32 {
        (self.0 >> STATEMENTS) as u32
    }
}

impl Classification {
    /// An answer to one statement.
    pub(crate) const fn new(
        access: Access,
        effects: Effects,
        reason: Reason,
        transaction: Option<Transaction>,
    ) -> Self {
        Self::of(access, effects, reason, transaction, 1)
    }

    const fn of(
        access: Access,
        effects: Effects,
        reason: Reason,
        transaction: Option<Transaction>,
        statements: u32,
    ) -> Self {
        let transaction = match transaction {
            Some(transaction) => transaction.bits() as u64,
            None => 0,
        };
        let facts = effects.bits() as u64
            | (reason.kind() as u64) << KIND
            | transaction << TRANSACTION
            | (access as u64) << ACCESS
            | (statements as u64) << STATEMENTS;
        Self { span: reason.span(), facts: Facts(facts) }
    }

    /// The same, and whether code runs whose text is not here.
    pub(crate) const fn with_hidden_code(mut self, runs: bool) -> Self {
        if runs {
            self.facts.0 |= 1 << HIDDEN;
        }
        self
    }

    /// The same with another number of statements.
    pub(crate) const fn with_statements(self, statements: u32) -> Self {
        Self::of(self.access(), self.effects(), self.reason(), self.transaction(), statements)
            .with_hidden_code(self.runs_hidden_code())
    }

    /// The same with more effects.
    pub(crate) const fn with_effects(self, effects: Effects) -> Self {
        let effects = self.effects().union(effects);
        Self::of(self.access(), effects, self.reason(), self.transaction(), self.facts.statements())
            .with_hidden_code(self.runs_hidden_code())
    }

    /// The same, unknown for that reason.
    pub(crate) const fn unknown(self, kind: ReasonKind, span: Span) -> Self {
        let reason = Reason::new(kind, span);
        Self::of(Access::Unknown, self.effects(), reason, self.transaction(), self.facts.statements())
            .with_hidden_code(self.runs_hidden_code())
    }

    /// Of this answer to some statements, and that to more of them, the stricter one with the effects of both.
    pub(crate) fn and(self, other: Self) -> Self {
        let takes_other = other.access() > self.access()
            || (other.access() == self.access() && self.effects().is_empty() && !other.effects().is_empty());
        let decides = if takes_other { other } else { self };
        let effects = self.effects() | other.effects();
        let transaction = other.transaction().or_else(|| self.transaction());
        let statements = self.facts.statements().max(other.facts.statements());
        Self::of(decides.access(), effects, decides.reason(), transaction, statements)
            .with_hidden_code(self.runs_hidden_code() || other.runs_hidden_code())
    }

    /// What the text does to data; of several statements the strictest decides.
    #[must_use]
    pub const fn access(&self) -> Access {
        self.facts.access()
    }

    /// What the text leaves in, or needs from, its connection; of several statements, all of it.
    #[must_use]
    pub const fn effects(&self) -> Effects {
        self.facts.effects()
    }

    /// Whether the text calls code whose own text is not here and that is not known to only read, be it inside of a write: a user's
    /// function, a procedure, a block. It may leave anything in its connection. What triggers, rules and defaults run is not seen.
    #[must_use]
    pub const fn runs_hidden_code(&self) -> bool {
        self.facts.runs_hidden_code()
            || matches!(self.access(), Access::Unknown)
            || matches!(self.reason().kind(), ReasonKind::Routine)
    }

    /// Why, with the bytes that decided.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        Reason::new(self.facts.kind(), self.span)
    }

    /// Whether the text told what it does.
    #[must_use]
    pub const fn certainty(&self) -> Certainty {
        match self.access() {
            Access::Unknown => Certainty::Unknown,
            Access::Read | Access::Write | Access::Definition => Certainty::Known,
        }
    }

    /// How many statements stand in the text; empty ones do not count.
    #[must_use]
    pub const fn statements(&self) -> usize {
        self.facts.statements() as usize
    }

    /// What the last transaction command of the text says, if there is one.
    ///
    /// A `COMMIT` is a read by [`access`](Self::access), since it changes nothing that its transaction had not changed:
    /// whoever tracks writes has to look here too.
    #[must_use]
    pub const fn transaction(&self) -> Option<Transaction> {
        self.facts.transaction()
    }

    /// Where the text may run.
    #[must_use]
    pub const fn route(&self) -> Route {
        if self.effects().binds_session() {
            Route::Session
        } else if self.access().is_read() && !self.effects().contains(Effects::OUTSIDE) {
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

impl fmt::Debug for Classification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Classification")
            .field("access", &self.access())
            .field("effects", &self.effects())
            .field("reason", &self.reason())
            .field("statements", &self.statements())
            .field("transaction", &self.transaction())
            .finish()
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

impl Certainty {
    /// The lower-case word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Known => "known",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Certainty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fact_comes_back() {
        use Access::{Definition, Read, Unknown, Write};
        let span = Span::new(3, 1 << 30);
        let begin = Transaction::new(crate::TransactionVerb::Begin).serializable();
        let effects = [Effects::NONE, Effects::OUTSIDE | Effects::TRANSACTION];
        for access in [Read, Write, Definition, Unknown] {
            for (kind, effects) in ReasonKind::all().flat_map(|kind| effects.map(|effects| (kind, effects))) {
                for (transaction, statements) in [(None, 0), (Some(begin), 1 << 29)] {
                    let all = Classification::new(access, effects, Reason::new(kind, span), transaction);
                    assert_eq!(all.statements(), 1);
                    let all = all.with_statements(statements);
                    assert_eq!((all.access(), all.effects()), (access, effects));
                    assert_eq!((all.reason(), all.transaction()), (Reason::new(kind, span), transaction));
                    assert_eq!(all.statements(), statements as usize);
                }
            }
        }
    }

    #[test]
    fn code_that_is_not_here_is_seen_inside_of_writes_and_nothing_else_is_taken_for_it() {
        let runs = |sql| crate::classify(sql, crate::Dialect::Postgres).runs_hidden_code();
        for sql in [
            "insert into t select leak()",
            "insert into t (a) values (shop.leak(1))",
            "with a as (insert into t values (leak()) returning a) select * from a",
            "update t set a = 1 where b = leak(b)",
            "delete from t where \"Leak\"(a)",
            "insert into t values (1); insert into t values (leak())",
            "select leak()",
            "select query_to_xml('select set_config(1)', true, true, '')",
            "call proceed()",
            "do $$ begin end $$",
        ] {
            assert!(runs(sql), "{sql}");
        }
        for sql in [
            "insert into t values (1, 'a')",
            "insert into t (a, b) values ($1, now()), (2, lower('b'))",
            "insert into shop.t (a) values (1) on conflict (a) do update set b = excluded.b where t.b in (1, 2)",
            "insert into t (a) select n from generate_series(1, 10) as g (n) returning (a)",
            "insert into t as u (a) values (cast(1 as numeric(10, 2)))",
            "insert into t (a) values (row(1, 2)), (array[1, 2]), (extract(epoch from now()))",
            "update t set (a, b) = (1, 2), c = coalesce(c, 0) + 1 where id = any($1) and not (d) and exists (select 1)",
            "update t set a = (select max(b) over (partition by c) from u group by rollup (c))",
            "delete from t using u where t.id = u.id and (t.a, t.b) not in (select a, b from v)",
            "with x (a) as materialized (delete from t returning a) insert into u (a) select a from x",
            "with recursive x (n) as (values (1)) insert into t select n from x where n between (1) and (2)",
            "merge into t using u on (t.id = u.id) when matched then update set a = 1 when not matched then insert (a) values (1)",
            "select a from t for update of t",
            "lock table t",
        ] {
            assert!(!runs(sql), "{sql}");
        }
    }
}
