//! PostgreSQL's verbs that take more than one word to understand.

use millpond_core::Access;

use super::findings::Findings;
use super::modes::{command, modes};
use super::names::{self, Place};
use super::postgres::{finish, head};
use super::postgres_query::{Purpose, walk, walk_group};
use crate::classifier::Functions;
use crate::cursor::Cursor;
use crate::functions::{self, Qualifier};
use crate::lexer::{Keyword as K, Kind, Token};
use crate::{Effects, ReasonKind, Span, Transaction, TransactionMode, TransactionVerb};

/// `EXPLAIN [(options)] [ANALYZE] [VERBOSE] statement`. Without ANALYZE the statement is only planned.
pub(super) fn explain(cursor: &mut Cursor<'_>, functions: Option<&Functions>) -> Findings {
    let explain = cursor.next();
    let mut runs = false;
    if cursor.peek().kind() == Kind::Open && has_options(cursor) {
        cursor.next();
        runs = explain_options(cursor);
    } else {
        runs |= cursor.eat(K::Analyze) || cursor.eat(K::Analyse);
        cursor.eat(K::Verbose);
    }
    let purpose = if runs { Purpose::Run } else { Purpose::Plan };
    let inner = cursor.peek();
    match inner.keyword() {
        Some(K::Create) => {
            if runs {
                return create(cursor, functions);
            }
            explain_create(cursor, functions, explain)
        }
        Some(K::Refresh) if !runs => Findings::read(explain.span()),
        Some(K::Declare) if !runs => declare(cursor, functions),
        Some(K::Execute) => head(cursor, functions, purpose),
        _ => inner_statement(cursor, functions, purpose),
    }
}

/// A statement inside of another one: a query or a change of data. Nothing else may stand there, and nothing that
/// could hold one more.
fn inner_statement(cursor: &mut Cursor<'_>, functions: Option<&Functions>, purpose: Purpose) -> Findings {
    let verb = cursor.peek();
    let may_stand = verb.kind() == Kind::Open
        || matches!(
            verb.keyword(),
            Some(K::Select | K::With | K::Values | K::Table | K::Insert | K::Update | K::Delete | K::Merge)
        );
    if may_stand {
        head(cursor, functions, purpose)
    } else {
        Findings::verb(Access::Unknown, ReasonKind::NotUnderstood, verb.span())
    }
}

/// `EXPLAIN CREATE TABLE … AS query` plans the query.
fn explain_create(cursor: &mut Cursor<'_>, functions: Option<&Functions>, explain: Token) -> Findings {
    let mut findings = Findings::read(explain.span());
    loop {
        let token = cursor.next();
        match token.kind() {
            Kind::Word if token.is(K::As) => break,
            Kind::End | Kind::Bad => {
                findings.broken(ReasonKind::NotUnderstood, token.span());
                return findings;
            }
            _ => {}
        }
    }
    if cursor.peek().is(K::Execute) {
        return head(cursor, functions, Purpose::Plan);
    }
    walk(cursor, functions, Purpose::Plan, &mut findings);
    findings
}

/// Whether the parenthesis behind EXPLAIN holds options, and not the statement.
fn has_options(cursor: &Cursor<'_>) -> bool {
    let mut ahead = cursor.clone();
    ahead.next();
    let first = ahead.next();
    first.kind() != Kind::Open
        && !matches!(first.keyword(), Some(K::Select | K::With | K::Values | K::Table))
        && first.is_word()
}

/// Reads `ANALYZE false, COSTS off, …)`; says whether the statement is run. The last ANALYZE counts, as for the server.
fn explain_options(cursor: &mut Cursor<'_>) -> bool {
    let mut runs = false;
    loop {
        let option = cursor.next();
        if option.is_last() || option.kind() == Kind::Close {
            return runs;
        }
        // A quoted "analyze" is the same option.
        let text = cursor.lexer().text(option);
        let is_analyze = option.is(K::Analyze) || option.is(K::Analyse) || text == b"\"analyze\"";
        // An option in an escaped spelling could be any.
        let is_odd = option.kind() == Kind::Quoted && text[0] != b'"';
        let mut value = None;
        loop {
            let token = cursor.next();
            match token.kind() {
                Kind::Comma => break,
                Kind::Close | Kind::End | Kind::Bad => {
                    if is_analyze || is_odd {
                        runs = is_odd || on(cursor, value);
                    }
                    return runs;
                }
                _ => value = Some(token),
            }
        }
        if is_analyze || is_odd {
            runs = is_odd || on(cursor, value);
        }
    }
}

/// Whether the value of a switch turns it on. Whatever is not clearly off does.
fn on(cursor: &Cursor<'_>, value: Option<Token>) -> bool {
    let Some(value) = value else { return true };
    let text = cursor.lexer().text(value);
    let text = match value.kind() {
        Kind::Text | Kind::Quoted => text.get(1..text.len() - 1).unwrap_or_default(),
        _ => text,
    };
    !(text.eq_ignore_ascii_case(b"off") || text.eq_ignore_ascii_case(b"false") || text == b"0")
}

/// `COPY table [(columns)] FROM|TO target` and `COPY (query) TO target`.
pub(super) fn copy(cursor: &mut Cursor<'_>, functions: Option<&Functions>) -> Findings {
    let copy = cursor.next();
    let mut findings = Findings::read(copy.span());
    if cursor.peek().kind() == Kind::Open {
        copied_query(cursor, functions, &mut findings);
    } else {
        cursor.eat(K::Binary);
        let (mut before, mut schema) = (copy, copy);
        while cursor.peek().is_word() || matches!(cursor.peek().kind(), Kind::Dot) {
            if matches!(cursor.peek().keyword(), Some(K::From | K::To)) {
                break;
            }
            let token = cursor.next();
            if token.kind() == Kind::Dot {
                temporary_schema(cursor, before, &mut findings);
                schema = before;
            } else {
                let qualifier =
                    if before.kind() == Kind::Dot { Qualifier::Schema(schema) } else { Qualifier::None };
                copied_table(cursor, functions, qualifier, token, &mut findings);
            }
            before = token;
        }
        if cursor.peek().kind() == Kind::Open {
            if let Some((why, token)) = cursor.skip_group() {
                findings.broken(why, token.span());
            }
        }
    }
    let direction = cursor.next();
    let target = cursor.next();
    let span = Span::new(direction.start(), target.end());
    match (direction.keyword(), target.keyword()) {
        (Some(K::To), Some(K::Stdout | K::Stdin)) => {
            findings.effect(Effects::COPY, ReasonKind::Reads, copy.span());
        }
        (Some(K::From), Some(K::Stdin | K::Stdout)) => {
            findings.write(ReasonKind::WritingVerb, Span::new(copy.start(), copy.end()));
            findings.effect(Effects::COPY, ReasonKind::WritingVerb, copy.span());
        }
        (Some(K::From), _) => {
            findings.write(ReasonKind::WritingVerb, Span::new(copy.start(), copy.end()));
            findings.effect(Effects::OUTSIDE, ReasonKind::ServerFile, span);
        }
        (Some(K::To), _) => {
            findings.write(ReasonKind::ServerFile, span);
            findings.effect(Effects::OUTSIDE, ReasonKind::ServerFile, span);
        }
        _ => findings.unknown(ReasonKind::NotUnderstood, direction.span()),
    }
    // `COPY … FROM … WHERE f(a)`.
    rest(cursor, target, Calls::Run(functions), &mut findings);
    findings
}

/// The table of a COPY, if there is a catalog to ask.
fn copied_table(
    cursor: &Cursor<'_>,
    functions: Option<&Functions>,
    qualifier: Qualifier,
    name: Token,
    findings: &mut Findings,
) {
    let Some(functions) = functions else { return };
    if let Some(kind) = names::object(cursor.lexer(), functions, qualifier, name, Place::Relation) {
        findings.named(kind, name.span());
    }
}

/// The query of a COPY: everything up to the end is walked, and the target is found behind it afterwards.
fn copied_query(cursor: &mut Cursor<'_>, functions: Option<&Functions>, findings: &mut Findings) {
    let mut first = cursor.clone();
    first.next();
    let inner = first.peek();
    match inner.keyword() {
        Some(K::Insert | K::Update | K::Delete | K::Merge) => {
            findings.write(ReasonKind::NestedWrite, inner.span());
        }
        Some(K::Select | K::With | K::Values | K::Table) => {}
        _ if inner.kind() == Kind::Open => {}
        _ => findings.unknown(ReasonKind::NotUnderstood, inner.span()),
    }
    walk_group(cursor, functions, findings);
}

/// `PREPARE name [(types)] AS statement`, or the first phase of a commit in two.
pub(super) fn prepare(cursor: &mut Cursor<'_>, functions: Option<&Functions>) -> Findings {
    let prepare = cursor.next();
    if cursor.peek().is(K::Transaction) && !is_named_transaction(cursor) {
        let end = cursor.next().end();
        let span = Span::new(prepare.start(), end);
        let mut findings = Findings::verb(Access::Write, ReasonKind::Transaction, span);
        findings.set_transaction(Transaction::new(TransactionVerb::TwoPhase));
        return findings;
    }
    cursor.next();
    if cursor.peek().kind() == Kind::Open {
        cursor.skip_group();
    }
    let mut findings = if cursor.eat(K::As) {
        inner_statement(cursor, functions, Purpose::Run)
    } else {
        Findings::verb(Access::Unknown, ReasonKind::NotUnderstood, prepare.span())
    };
    finish(cursor, &mut findings);
    findings.effect(Effects::PREPARED, ReasonKind::SessionVerb, prepare.span());
    findings
}

/// Whether the word that comes next is the name of the statement: `PREPARE transaction AS …`.
fn is_named_transaction(cursor: &Cursor<'_>) -> bool {
    let mut ahead = cursor.clone();
    ahead.next();
    ahead.peek().is(K::As) || ahead.peek().kind() == Kind::Open
}

/// `DECLARE name … CURSOR [WITH HOLD] FOR query`.
pub(super) fn declare(cursor: &mut Cursor<'_>, functions: Option<&Functions>) -> Findings {
    let declare = cursor.next();
    let mut findings = loop {
        let token = cursor.next();
        match token.kind() {
            Kind::Word if token.is(K::For) => break inner_statement(cursor, functions, Purpose::Run),
            Kind::End | Kind::Bad => {
                break Findings::verb(Access::Unknown, ReasonKind::NotUnderstood, declare.span());
            }
            _ => {}
        }
    };
    findings.effect(Effects::CURSOR, ReasonKind::SessionVerb, declare.span());
    findings
}

/// `BEGIN`, `COMMIT`, `SAVEPOINT` and the rest of them.
pub(super) fn transaction(cursor: &mut Cursor<'_>) -> Findings {
    let word = cursor.next();
    let verb = match word.keyword() {
        _ if cursor.peek().is(K::Prepared) => TransactionVerb::FinishPrepared,
        Some(K::Begin | K::Start) => TransactionVerb::Begin,
        Some(K::Savepoint) => TransactionVerb::Savepoint,
        Some(K::Release) => TransactionVerb::Release,
        Some(K::Rollback | K::Abort) => TransactionVerb::Rollback,
        _ => TransactionVerb::Commit,
    };
    let transaction = command(cursor, verb);
    let span = Span::new(word.start(), cursor.end());
    let reads = match transaction.verb() {
        // Only a transaction that says so cannot write.
        TransactionVerb::Begin => {
            transaction.mode() == Some(TransactionMode::ReadOnly) && !transaction.is_serializable()
        }
        TransactionVerb::FinishPrepared => false,
        _ => true,
    };
    let mut findings = if reads {
        Findings::read(span)
    } else {
        Findings::verb(Access::Write, ReasonKind::Transaction, span)
    };
    findings.effect(Effects::TRANSACTION, ReasonKind::Transaction, span);
    findings.set_transaction(transaction);
    findings
}

/// `SET …` and `RESET …`.
pub(super) fn set(cursor: &mut Cursor<'_>) -> Findings {
    let set = cursor.next();
    let mut findings = Findings::read(set.span());
    let mut scope = false;
    // One scope may be said twice: `SET LOCAL SESSION CHARACTERISTICS`.
    while cursor.eat(K::Session) || cursor.eat(K::Local) {
        scope = true;
    }
    let is_modes = set.is(K::Set)
        && (cursor.peek().is(K::Transaction) || (scope && cursor.peek().is(K::Characteristics)));
    if is_modes {
        let mut transaction = Transaction::new(TransactionVerb::SetModes);
        let is_session = cursor.next().is(K::Characteristics);
        modes(cursor, &mut transaction);
        let span = Span::new(set.start(), cursor.end());
        if transaction.is_serializable() || transaction.mode() == Some(TransactionMode::ReadWrite) {
            findings.write(ReasonKind::Transaction, span);
        }
        findings.effect(Effects::TRANSACTION, ReasonKind::Transaction, span);
        findings.set_transaction(transaction);
        if is_session {
            findings.effect(Effects::SETTING, ReasonKind::SessionVerb, span);
        }
        return findings;
    }
    let name = cursor.peek();
    let span = if name.is_word() { Span::new(set.start(), name.end()) } else { set.span() };
    findings.effect(Effects::SETTING, ReasonKind::SessionVerb, span);
    findings
}

/// `CREATE …`: a definition, of something temporary where the words before its kind say so.
pub(super) fn create(cursor: &mut Cursor<'_>, functions: Option<&Functions>) -> Findings {
    let create = cursor.next();
    let mut findings = Findings::verb(Access::Definition, ReasonKind::DefiningVerb, create.span());
    loop {
        let token = cursor.peek();
        match token.keyword() {
            Some(K::Temp | K::Temporary) => {
                findings.effect(Effects::TEMPORARY, ReasonKind::SessionName, token.span());
                break;
            }
            Some(K::Or | K::Replace | K::Global | K::Local | K::Recursive) => {
                cursor.next();
            }
            _ => break,
        }
    }
    // What fills or checks a new table runs at once, unlike the body of a view or a function.
    let runs = matches!(cursor.peek().keyword(), Some(K::Table | K::Materialized | K::Index | K::Unlogged))
        || cursor.peek().is(K::Temp)
        || cursor.peek().is(K::Temporary);
    let calls = if runs { Calls::Run(functions) } else { Calls::Named };
    rest(cursor, create, calls, &mut findings);
    findings
}

/// What calls in the rest of a statement are.
#[derive(Clone, Copy, Debug)]
pub(super) enum Calls<'f> {
    /// They run with the statement.
    Run(Option<&'f Functions>),
    /// They are only named, or run later.
    Named,
}

/// Passes over the rest of a statement that is no read, whose last token was `before`, in search of what counts for its session
/// all the same: `pg_temp.t`, the schema of temporary objects, and calls with an effect there.
pub(super) fn rest(cursor: &mut Cursor<'_>, before: Token, calls: Calls<'_>, findings: &mut Findings) {
    let mut before = before;
    while !before.is_last() {
        let token = cursor.next();
        match (token.kind(), calls) {
            (Kind::Dot, _) => temporary_schema(cursor, before, findings),
            (Kind::Bad, _) => findings.broken(cursor.lexer().trouble(), token.span()),
            (Kind::Open, Calls::Run(_)) if is_escaped(cursor, before) => {
                findings.effect(ESCAPED, ReasonKind::NotUnderstood, before.span());
            }
            (Kind::Open, Calls::Run(functions)) if before.is_word() => {
                let verdict = functions::verdict(cursor.lexer(), functions, Qualifier::None, before);
                findings.judge_effects(verdict, before.span());
            }
            // `CREATE TABLE … AS EXECUTE p`.
            (Kind::Word, Calls::Run(_)) if token.is(K::Execute) && before.is(K::As) => {
                findings.effect(Effects::PREPARED, ReasonKind::SessionVerb, token.span());
            }
            _ => {}
        }
        before = token;
    }
}

/// What a function may leave whose name has escapes: which it is, is not worked out.
pub(super) const ESCAPED: Effects =
    Effects::SETTING.union(Effects::ADVISORY_LOCK).union(Effects::SESSION_VALUE).union(Effects::LOAD);

/// Whether a name is quoted with escapes: `U&"a\0062"`.
fn is_escaped(cursor: &Cursor<'_>, name: Token) -> bool {
    name.kind() == Kind::Quoted && !cursor.lexer().text(name).starts_with(b"\"")
}

/// Looks at a name in front of a point.
fn temporary_schema(cursor: &Cursor<'_>, name: Token, findings: &mut Findings) {
    let text = cursor.lexer().text(name);
    let text = text.strip_prefix(b"\"").unwrap_or(text);
    if is_escaped(cursor, name) || text.get(..7).is_some_and(|start| start.eq_ignore_ascii_case(b"pg_temp")) {
        findings.effect(Effects::TEMPORARY, ReasonKind::SessionName, name.span());
    }
}
