//! The verbs of MySQL and MariaDB that take more than one word to understand.

use millpond_core::Access;

use super::findings::Findings;
use super::modes::{command, modes};
use super::mysql::{head, unknown};
use super::mysql_query::walk_rest;
use crate::classifier::Functions;
use crate::cursor::Cursor;
use crate::functions::{self, Qualifier};
use crate::lexer::{Keyword as K, Kind, Token};
use crate::{Effects, ReasonKind, Span, Transaction, TransactionMode, TransactionVerb};

/// Whether a token is one of these words, which are given in lower case.
fn is_any(cursor: &Cursor<'_>, token: Token, words: &[&str]) -> bool {
    let text = cursor.lexer().text(token);
    words.iter().any(|word| word.as_bytes().eq_ignore_ascii_case(text))
}

fn is_end(token: Token) -> bool {
    token.is_last() || token.kind() == Kind::Semicolon
}

/// `EXPLAIN [options] statement`, or `DESCRIBE table`. A server may work out derived tables and calls with constant arguments while it
/// plans, and a read-only one refuses to plan a write: the statement counts as if it were run.
pub(super) fn explain(cursor: &mut Cursor<'_>, functions: Option<&Functions>) -> Findings {
    let explain = cursor.next();
    loop {
        let token = cursor.peek();
        match token.keyword() {
            Some(K::Extended | K::Partitions | K::Analyze) => {
                cursor.next();
            }
            Some(K::Format) => {
                cursor.next();
                if cursor.peek().kind() == Kind::Equals {
                    cursor.next();
                    cursor.next();
                }
            }
            Some(
                K::Select | K::With | K::Values | K::Table | K::Insert | K::Update | K::Delete | K::Replace,
            ) => return head(cursor, functions),
            Some(K::For) => {
                cursor.next();
                let what = cursor.peek();
                if !is_any(cursor, what, &["database", "schema"]) {
                    // Another connection's statement.
                    let mut findings = Findings::read(explain.span());
                    findings.effect(Effects::SESSION_VALUE, ReasonKind::SessionName, token.span());
                    return findings;
                }
                cursor.next();
                cursor.next();
            }
            Some(K::Into) => {
                cursor.next();
                let variable = cursor.next();
                let mut findings = explain_into(cursor, functions);
                findings.effect(Effects::USER_VARIABLE, ReasonKind::SessionName, variable.span());
                return findings;
            }
            _ if token.kind() == Kind::Open => return head(cursor, functions),
            _ if token.is_word() => return described(cursor, explain),
            _ => return unknown(cursor, token),
        }
    }
}

/// What stands behind `EXPLAIN … INTO @variable`: `FOR DATABASE name`, and the statement.
fn explain_into(cursor: &mut Cursor<'_>, functions: Option<&Functions>) -> Findings {
    if cursor.eat(K::For) {
        cursor.next();
        cursor.next();
    }
    let verb = cursor.peek();
    match verb.keyword() {
        Some(K::Select | K::With | K::Values | K::Table | K::Insert | K::Update | K::Delete | K::Replace) => {
            head(cursor, functions)
        }
        _ if verb.kind() == Kind::Open => head(cursor, functions),
        _ => unknown(cursor, verb),
    }
}

/// `DESCRIBE table [column]`.
fn described(cursor: &mut Cursor<'_>, explain: Token) -> Findings {
    let mut findings = Findings::read(explain.span());
    loop {
        let token = cursor.next();
        match token.kind() {
            Kind::End => return findings,
            Kind::Bad => {
                findings.broken(cursor.lexer().trouble(), token.span());
                return findings;
            }
            Kind::Name | Kind::Quoted | Kind::Word | Kind::Dot | Kind::Text => {}
            _ => findings.unknown(ReasonKind::NotUnderstood, token.span()),
        }
    }
}

/// `ANALYZE TABLE …` writes; MariaDB's `ANALYZE [FORMAT=JSON] statement` runs the statement.
pub(super) fn analyze(cursor: &mut Cursor<'_>, functions: Option<&Functions>) -> Findings {
    let analyze = cursor.next();
    if cursor.eat(K::Format) {
        cursor.next();
        cursor.next();
    }
    match cursor.peek().keyword() {
        Some(K::Select | K::With | K::Values | K::Insert | K::Update | K::Delete | K::Replace) => {
            head(cursor, functions)
        }
        _ if cursor.peek().kind() == Kind::Open => head(cursor, functions),
        _ => Findings::verb(Access::Write, ReasonKind::WritingVerb, analyze.span()),
    }
}

/// What `SHOW` can be asked for that is the same on every server.
const SHOWN: &[&str] = &[
    "character",
    "charset",
    "collation",
    "columns",
    "create",
    "databases",
    "events",
    "fields",
    "function",
    "grants",
    "index",
    "indexes",
    "keys",
    "package",
    "procedure",
    "schemas",
    "table",
    "tables",
    "triggers",
];

/// What belongs to one session.
const SHOWN_OF_SESSION: &[&str] =
    &["count", "errors", "local", "profile", "profiles", "session", "status", "variables", "warnings"];

/// `SHOW …`.
pub(super) fn show(cursor: &mut Cursor<'_>, functions: Option<&Functions>) -> Findings {
    let show = cursor.next();
    while cursor.peek().is(K::Full) || cursor.peek().is(K::Extended) {
        cursor.next();
    }
    let what = cursor.peek();
    let span = Span::new(show.start(), what.end());
    let mut findings = Findings::read(span);
    if is_any(cursor, what, SHOWN_OF_SESSION) {
        findings.effect(Effects::SESSION_VALUE, ReasonKind::SessionVerb, span);
    } else if !is_any(cursor, what, SHOWN) {
        // The state of one server, or something unknown.
        findings.effect(Effects::OUTSIDE, ReasonKind::ServerFile, span);
    }
    // `name@host` in these two is an account, and nothing in them is worked out.
    let is_plain = is_any(cursor, what, &["create", "grants"]);
    if !is_end(what) && !is_plain {
        cursor.next();
        walk_rest(cursor, functions, &mut findings);
    }
    findings
}

/// `SET …` in all its forms.
pub(super) fn set(cursor: &mut Cursor<'_>, functions: Option<&Functions>) -> Findings {
    let set = cursor.next();
    let mut findings = Findings::read(set.span());
    let first = cursor.peek();
    let span = if is_end(first) { set.span() } else { Span::new(set.start(), first.end()) };
    if first.is(K::Statement) {
        return set_statement(cursor, functions, set);
    }
    if is_any(cursor, first, &["resource"]) {
        findings.define(ReasonKind::DefiningVerb, span);
        findings.effect(Effects::SETTING, ReasonKind::SessionVerb, span);
        return findings;
    }
    let mut ahead = cursor.clone();
    let scope = first.keyword().filter(|word| matches!(word, K::Session | K::Local | K::Global));
    if scope.is_some() {
        ahead.next();
    }
    if scope == Some(K::Global) {
        findings.define(ReasonKind::DefiningVerb, span);
    }
    if ahead.peek().is(K::Transaction) {
        *cursor = ahead;
        match scope {
            // It is for other sessions, and those to come.
            Some(K::Global) => return findings,
            // It stays, for each transaction to come.
            Some(_) => findings.effect(Effects::SETTING, ReasonKind::SessionVerb, span),
            None => {}
        }
        set_transaction(cursor, set, &mut findings);
        return findings;
    }
    assignments(cursor, functions, span, &mut findings);
    findings
}

/// Looks at each item of a `SET`: most change a setting of the session, some reach beyond it. Then at their values.
fn assignments(cursor: &mut Cursor<'_>, functions: Option<&Functions>, span: Span, findings: &mut Findings) {
    let mut ahead = cursor.clone();
    let (mut has_setting, mut names_accounts) = (false, false);
    loop {
        let first = ahead.peek();
        let item = assignment(&mut ahead, findings);
        let is_password = first.is(K::Password);
        if is_password || is_any(cursor, first, &["default"]) {
            findings.define(ReasonKind::DefiningVerb, first.span());
            names_accounts = !is_password;
        } else if item.has_value || !names_accounts {
            has_setting = true;
        }
        if item.is_last {
            break;
        }
    }
    if has_setting {
        findings.effect(Effects::SETTING, ReasonKind::SessionVerb, span);
        walk_rest(cursor, functions, findings);
    }
}

/// An item of a `SET`.
struct Item {
    /// It has an equals sign; the accounts of `DEFAULT ROLE a TO b, c` have none.
    has_value: bool,
    is_last: bool,
}

/// Passes over one item.
fn assignment(cursor: &mut Cursor<'_>, findings: &mut Findings) -> Item {
    let (mut depth, mut has_value) = (0_usize, false);
    loop {
        let token = cursor.next();
        let next = cursor.peek();
        match token.kind() {
            Kind::End | Kind::Bad => return Item { has_value, is_last: true },
            Kind::Comma if depth == 0 => return Item { has_value, is_last: false },
            Kind::Open => depth += 1,
            Kind::Close => depth = depth.saturating_sub(1),
            Kind::Equals | Kind::Assign => has_value = true,
            _ => {}
        }
        // `GLOBAL x` and `@@global.x`.
        let is_scope = matches!(token.keyword(), Some(K::Global | K::Persist | K::PersistOnly));
        if is_scope && (next.is_word() || next.kind() == Kind::Dot) {
            findings.define(ReasonKind::DefiningVerb, Span::new(token.start(), next.end()));
        }
        if is_any(cursor, token, &["autocommit"]) {
            findings.effect(Effects::TRANSACTION, ReasonKind::SessionVerb, token.span());
        }
    }
}

/// `FLUSH …`; of tables it can take locks that the session keeps until `UNLOCK TABLES`.
pub(super) fn flush(cursor: &mut Cursor<'_>) -> Findings {
    let flush = cursor.next();
    let mut findings = Findings::verb(Access::Definition, ReasonKind::DefiningVerb, flush.span());
    findings.effect(Effects::OUTSIDE, ReasonKind::DefiningVerb, flush.span());
    while !is_end(cursor.peek()) {
        let token = cursor.next();
        let next = cursor.peek();
        if (token.is(K::With) && next.is(K::Read)) || (token.is(K::For) && is_any(cursor, next, &["export"]))
        {
            findings.effect(
                Effects::TABLE_LOCK,
                ReasonKind::SessionVerb,
                Span::new(token.start(), next.end()),
            );
        }
    }
    findings
}

/// MariaDB's `SET STATEMENT name = value, … FOR statement`.
fn set_statement(cursor: &mut Cursor<'_>, functions: Option<&Functions>, set: Token) -> Findings {
    // What the values do is added to what the statement does.
    let mut values = cursor.clone();
    if !effects_up_to(cursor, functions, K::For, &mut Findings::read(set.span())) {
        return Findings::verb(Access::Unknown, ReasonKind::NotUnderstood, set.span());
    }
    // One in another is refused by the server.
    let mut findings = if cursor.peek().is(K::Set) {
        Findings::verb(Access::Unknown, ReasonKind::NotUnderstood, cursor.peek().span())
    } else {
        head(cursor, functions)
    };
    effects_up_to(&mut values, functions, K::For, &mut findings);
    findings.effect(Effects::SETTING, ReasonKind::SessionVerb, set.span());
    findings
}

/// Passes over what stands in front of a word, in search of what counts for the session: calls and variables. Says whether the word
/// comes.
fn effects_up_to(
    cursor: &mut Cursor<'_>,
    functions: Option<&Functions>,
    word: K,
    findings: &mut Findings,
) -> bool {
    let mut before = cursor.peek();
    loop {
        let token = cursor.next();
        match token.kind() {
            Kind::Word if token.is(word) => return true,
            Kind::End | Kind::Bad => return false,
            Kind::UserVariable => {
                findings.effect(Effects::USER_VARIABLE, ReasonKind::SessionName, token.span());
            }
            Kind::Open if before.is_word() => {
                let verdict = functions::verdict(cursor.lexer(), functions, Qualifier::None, before);
                findings.judge_effects(verdict, before.span());
            }
            _ => {}
        }
        before = token;
    }
}

fn set_transaction(cursor: &mut Cursor<'_>, set: Token, findings: &mut Findings) {
    let mut transaction = Transaction::new(TransactionVerb::SetModes);
    modes(cursor, &mut transaction);
    let span = Span::new(set.start(), cursor.end());
    if transaction.is_serializable() || transaction.mode() == Some(TransactionMode::ReadWrite) {
        findings.write(ReasonKind::Transaction, span);
    }
    findings.effect(Effects::TRANSACTION, ReasonKind::Transaction, span);
    findings.set_transaction(transaction);
}

/// `BEGIN`, `START TRANSACTION`, `COMMIT`, `XA …` and the rest of them; `START SLAVE` is none.
pub(super) fn transaction(cursor: &mut Cursor<'_>) -> Findings {
    let word = cursor.next();
    let next = cursor.peek();
    let is_other_start = word.is(K::Start) && !next.is(K::Transaction);
    // `BEGIN NOT ATOMIC` opens a block of code.
    let is_block = word.is(K::Begin) && !is_end(next) && !next.is(K::Work);
    if is_other_start || is_block {
        let kind = if is_block { ReasonKind::Routine } else { ReasonKind::DefiningVerb };
        let access = if is_block { Access::Unknown } else { Access::Definition };
        let mut findings = Findings::verb(access, kind, word.span());
        if is_block {
            // Its statements are not looked at, so anything may stay in the session.
            findings.effect(BLOCK, kind, word.span());
        } else {
            findings.effect(Effects::OUTSIDE, kind, word.span());
        }
        return findings;
    }
    let verb = match word.keyword() {
        Some(K::Begin | K::Start) => TransactionVerb::Begin,
        Some(K::Savepoint) => TransactionVerb::Savepoint,
        Some(K::Release) => TransactionVerb::Release,
        Some(K::Rollback) => TransactionVerb::Rollback,
        Some(K::Xa) => TransactionVerb::TwoPhase,
        _ => TransactionVerb::Commit,
    };
    let transaction = command(cursor, verb);
    let span = Span::new(word.start(), cursor.end());
    let reads = match transaction.verb() {
        TransactionVerb::Begin => transaction.mode() == Some(TransactionMode::ReadOnly),
        TransactionVerb::TwoPhase => false,
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

/// Whether `ALTER [DEFINER = account] EVENT` comes.
pub(super) fn alters_event(cursor: &Cursor<'_>) -> bool {
    let mut ahead = cursor.clone();
    ahead.next();
    // `DEFINER = 'a'@'b'` and its like have at most five tokens.
    (0..6).any(|_| ahead.next().is(K::Event))
}

/// What a block of code may leave in its session: anything.
pub(super) const BLOCK: Effects = Effects::SETTING
    .union(Effects::TRANSACTION)
    .union(Effects::TEMPORARY)
    .union(Effects::ADVISORY_LOCK)
    .union(Effects::TABLE_LOCK)
    .union(Effects::CURSOR)
    .union(Effects::PREPARED)
    .union(Effects::SESSION_VALUE)
    .union(Effects::USER_VARIABLE)
    .union(Effects::DATABASE);

/// `CREATE …` and `DROP …`.
pub(super) fn define(cursor: &mut Cursor<'_>, functions: Option<&Functions>) -> Findings {
    let verb = cursor.next();
    let mut findings = Findings::verb(Access::Definition, ReasonKind::DefiningVerb, verb.span());
    while cursor.eat(K::Or) || cursor.eat(K::Replace) {}
    let next = cursor.peek();
    match next.keyword() {
        Some(K::Temporary) => findings.effect(Effects::TEMPORARY, ReasonKind::SessionName, next.span()),
        Some(K::Prepare) => findings.effect(Effects::PREPARED, ReasonKind::SessionVerb, next.span()),
        // It may be the current one.
        Some(K::Database | K::Schema) if verb.is(K::Drop) => {
            findings.effect(Effects::DATABASE, ReasonKind::SessionVerb, next.span());
        }
        _ => {}
    }
    // The query that fills a new table runs at once, unlike a body; so does what says when an event takes place.
    let mut runs = next.is(K::Table) || next.is(K::Temporary);
    let mut before = verb;
    while !cursor.peek().is_last() && cursor.peek().kind() != Kind::Semicolon {
        let token = cursor.next();
        if is_any(cursor, token, &["schedule"]) {
            runs = true;
        } else if token.is(K::Do) {
            runs = false;
        }
        if token.kind() == Kind::UserVariable {
            findings.effect(Effects::USER_VARIABLE, ReasonKind::SessionName, token.span());
        }
        if runs && token.kind() == Kind::Open && before.is_word() {
            let verdict = functions::verdict(cursor.lexer(), functions, Qualifier::None, before);
            findings.judge_effects(verdict, before.span());
        }
        before = token;
    }
    findings
}
