//! PostgreSQL's statements, by their verbs.

use millpond_core::Access;

use super::findings::Findings;
use super::postgres_query::{Purpose, walk};
use super::postgres_verbs::{self as verbs, Calls};
use crate::classifier::Functions;
use crate::cursor::Cursor;
use crate::lexer::{Keyword as K, Kind, Token};
use crate::{Effects, ReasonKind, Span};

/// Classifies one statement, and takes it from the cursor up to its end.
pub(super) fn statement(cursor: &mut Cursor<'_>, functions: Option<&Functions>) -> Findings {
    let mut findings = head(cursor, functions, Purpose::Run);
    finish(cursor, &mut findings);
    findings
}

/// Passes over what no rule asked for, so that an unreadable rest is seen.
pub(super) fn finish(cursor: &mut Cursor<'_>, findings: &mut Findings) {
    if let Some((why, token)) = cursor.finish() {
        findings.broken(why, token.span());
    }
}

/// Classifies by the verb that comes next. Leaves the cursor wherever the answer was found.
pub(super) fn head(cursor: &mut Cursor<'_>, functions: Option<&Functions>, purpose: Purpose) -> Findings {
    let verb = cursor.peek();
    if verb.kind() == Kind::Open {
        return parenthesised(cursor, functions, purpose);
    }
    let Some(keyword) = verb.keyword() else {
        return unknown(cursor, verb);
    };
    match keyword {
        K::Select | K::With | K::Values | K::Table => {
            let mut findings = Findings::read(verb.span());
            walk(cursor, functions, purpose, &mut findings);
            findings
        }
        K::Insert | K::Update | K::Delete | K::Merge => {
            let mut findings = match purpose {
                Purpose::Run => Findings::verb(Access::Write, ReasonKind::WritingVerb, verb.span()),
                // Planning a write works out constant calls in what only writing uses: defaults, rules, checks.
                Purpose::Plan if functions.is_some_and(|functions| functions.catalog.is_some()) => {
                    Findings::verb(Access::Unknown, ReasonKind::HiddenCode, verb.span())
                }
                Purpose::Plan => Findings::read(verb.span()),
            };
            walk(cursor, functions, purpose, &mut findings);
            findings
        }
        K::Explain => verbs::explain(cursor, functions),
        K::Show => {
            cursor.next();
            Findings::read(verb.span())
        }
        K::Copy => verbs::copy(cursor, functions),
        K::Prepare => verbs::prepare(cursor, functions),
        K::Declare => verbs::declare(cursor, functions),
        K::Begin | K::Start | K::Commit | K::End | K::Rollback | K::Abort | K::Savepoint | K::Release => {
            verbs::transaction(cursor)
        }
        K::Set | K::Reset => verbs::set(cursor),
        K::Create => verbs::create(cursor, functions),
        _ => simple(cursor, verb, keyword, functions),
    }
}

/// Verbs that say everything by themselves.
fn simple(cursor: &mut Cursor<'_>, verb: Token, keyword: K, functions: Option<&Functions>) -> Findings {
    let (access, kind, effects) = match keyword {
        K::Alter
        | K::Drop
        | K::Grant
        | K::Revoke
        | K::Comment
        | K::Security
        | K::Import
        | K::Reassign
        | K::Refresh
        | K::Reindex
        | K::Cluster => (Access::Definition, ReasonKind::DefiningVerb, Effects::NONE),
        K::Truncate | K::Vacuum | K::Analyze | K::Analyse => {
            (Access::Write, ReasonKind::WritingVerb, Effects::NONE)
        }
        K::Checkpoint => (Access::Write, ReasonKind::PrimaryVerb, Effects::NONE),
        K::Notify => (Access::Write, ReasonKind::PrimaryVerb, Effects::OUTSIDE),
        K::Listen | K::Unlisten => (Access::Write, ReasonKind::SessionVerb, Effects::LISTEN),
        K::Lock => (Access::Write, ReasonKind::SessionVerb, Effects::TABLE_LOCK),
        K::Load => (Access::Write, ReasonKind::SessionVerb, Effects::LOAD),
        // What a cursor reads was said when it was declared.
        K::Fetch | K::Move | K::Close => (Access::Read, ReasonKind::SessionVerb, Effects::CURSOR),
        K::Execute => (Access::Unknown, ReasonKind::SessionVerb, Effects::PREPARED),
        K::Deallocate => (Access::Read, ReasonKind::SessionVerb, Effects::PREPARED),
        K::Discard => (Access::Read, ReasonKind::SessionVerb, DISCARDED),
        K::Call | K::Do => (Access::Unknown, ReasonKind::Routine, Effects::NONE),
        _ => return unknown(cursor, verb),
    };
    cursor.next();
    let mut findings = Findings::verb(access, kind, verb.span());
    if !effects.is_empty() {
        findings.effect(effects, kind, verb.span());
    }
    let what = cursor.peek();
    // What is there already is checked at once.
    let checks = what.is(K::Table) || cursor.lexer().text(what).eq_ignore_ascii_case(b"domain");
    let runs = matches!(keyword, K::Call | K::Execute) || (keyword == K::Alter && checks);
    if runs {
        verbs::rest(cursor, verb, Calls::Run(functions), &mut findings);
    } else if matches!(access, Access::Definition | Access::Write) {
        verbs::rest(cursor, verb, Calls::Named, &mut findings);
    }
    findings
}

/// What `DISCARD ALL` ends.
const DISCARDED: Effects = Effects::SETTING
    .union(Effects::TEMPORARY)
    .union(Effects::PREPARED)
    .union(Effects::CURSOR)
    .union(Effects::LISTEN)
    .union(Effects::ADVISORY_LOCK);

fn unknown(cursor: &mut Cursor<'_>, verb: Token) -> Findings {
    let verb = match verb.kind() {
        Kind::Bad => {
            let why = cursor.lexer().trouble();
            cursor.next();
            let mut findings = Findings::read(verb.span());
            findings.broken(why, verb.span());
            return findings;
        }
        _ => cursor.next(),
    };
    Findings::verb(Access::Unknown, ReasonKind::UnknownVerb, verb.span())
}

/// `(SELECT …)`, with any number of parentheses: only queries may stand in them.
fn parenthesised(cursor: &mut Cursor<'_>, functions: Option<&Functions>, purpose: Purpose) -> Findings {
    let start = cursor.peek().start();
    let mut ahead = cursor.clone();
    let first = loop {
        let token = ahead.next();
        if token.kind() != Kind::Open {
            break token;
        }
    };
    let span = Span::new(start, first.end());
    let mut findings = Findings::read(span);
    if !matches!(first.keyword(), Some(K::Select | K::With | K::Values | K::Table)) {
        findings.unknown(ReasonKind::UnknownVerb, first.span());
    }
    walk(cursor, functions, purpose, &mut findings);
    findings
}
