//! The statements of MySQL and MariaDB, by their verbs.

use millpond_core::Access;

use super::findings::Findings;
use super::mysql_query::{walk, walk_rest};
use super::mysql_verbs as verbs;
use crate::classifier::Functions;
use crate::cursor::Cursor;
use crate::lexer::{Keyword as K, Kind, Token};
use crate::{Dialect, Effects, ReasonKind, Span};

/// Classifies one statement, and takes it from the cursor up to its end.
pub(super) fn statement(cursor: &mut Cursor<'_>, functions: Option<&Functions>) -> Findings {
    let mut findings = head(cursor, functions);
    if let Some((why, token)) = cursor.finish() {
        findings.broken(why, token.span());
    }
    if cursor.may_hide_more() {
        // With several statements in a text the server runs what stands behind the body.
        let end = cursor.end();
        findings.effect(verbs::BLOCK, ReasonKind::SessionVerb, Span::new(end, end));
    }
    findings
}

/// Classifies by the verb that comes next. Leaves the cursor wherever the answer was found.
pub(super) fn head(cursor: &mut Cursor<'_>, functions: Option<&Functions>) -> Findings {
    let verb = cursor.peek();
    if verb.kind() == Kind::Open {
        return parenthesised(cursor, functions);
    }
    let Some(keyword) = verb.keyword() else {
        return unknown(cursor, verb);
    };
    match keyword {
        K::Select | K::With | K::Values | K::Table => {
            let mut findings = Findings::read(verb.span());
            walk(cursor, functions, &mut findings);
            findings
        }
        K::Insert | K::Update | K::Delete | K::Replace => {
            let mut findings = Findings::verb(Access::Write, ReasonKind::WritingVerb, verb.span());
            walk(cursor, functions, &mut findings);
            findings
        }
        K::Explain | K::Describe | K::Desc => verbs::explain(cursor, functions),
        K::Analyze => verbs::analyze(cursor, functions),
        K::Show => verbs::show(cursor, functions),
        K::Set => verbs::set(cursor, functions),
        K::Flush => verbs::flush(cursor),
        K::Begin | K::Start | K::Commit | K::Rollback | K::Savepoint | K::Release | K::Xa => {
            verbs::transaction(cursor)
        }
        K::Create | K::Drop => verbs::define(cursor, functions),
        K::Alter if verbs::alters_event(cursor) => verbs::define(cursor, functions),
        K::Do | K::Call => {
            let mut findings = Findings::verb(Access::Unknown, ReasonKind::Routine, verb.span());
            cursor.next();
            walk_rest(cursor, functions, &mut findings);
            findings
        }
        K::If | K::Case | K::Loop | K::Repeat | K::While | K::For
            if cursor.lexer().options().dialect == Dialect::MariaDb =>
        {
            cursor.next();
            let mut findings = Findings::verb(Access::Unknown, ReasonKind::Routine, verb.span());
            findings.effect(verbs::BLOCK, ReasonKind::Routine, verb.span());
            findings
        }
        K::Load | K::Get | K::Handler | K::Kill | K::Purge => {
            let mut findings = simple(cursor, verb, keyword);
            // User variables are read into and set, and expressions run.
            walk_rest(cursor, functions, &mut findings);
            findings
        }
        _ => simple(cursor, verb, keyword),
    }
}

/// Verbs that say everything by themselves.
fn simple(cursor: &mut Cursor<'_>, verb: Token, keyword: K) -> Findings {
    let (access, kind, effects) = match keyword {
        K::Alter | K::Grant | K::Revoke | K::Rename => {
            (Access::Definition, ReasonKind::DefiningVerb, Effects::NONE)
        }
        K::Reset
        | K::Kill
        | K::Purge
        | K::Change
        | K::Stop
        | K::Shutdown
        | K::Install
        | K::Uninstall
        | K::Cache
        | K::Binlog
        | K::Clone
        | K::Restart => (Access::Definition, ReasonKind::DefiningVerb, Effects::OUTSIDE),
        K::Truncate | K::Optimize | K::Repair | K::Check | K::Import => {
            (Access::Write, ReasonKind::WritingVerb, Effects::NONE)
        }
        K::Load => (Access::Write, ReasonKind::WritingVerb, Effects::OUTSIDE),
        K::Checksum | K::Help => (Access::Read, ReasonKind::Reads, Effects::NONE),
        K::Lock | K::Unlock | K::Backup => (Access::Write, ReasonKind::SessionVerb, Effects::TABLE_LOCK),
        K::Handler => (Access::Read, ReasonKind::SessionVerb, Effects::CURSOR),
        K::Use => (Access::Read, ReasonKind::SessionVerb, Effects::DATABASE),
        K::Prepare | K::Execute | K::Deallocate => {
            (Access::Unknown, ReasonKind::SessionVerb, Effects::PREPARED)
        }
        K::Signal | K::Resignal | K::Get => (Access::Read, ReasonKind::SessionVerb, Effects::SESSION_VALUE),
        _ => return unknown(cursor, verb),
    };
    cursor.next();
    let mut findings = Findings::verb(access, kind, verb.span());
    if !effects.is_empty() {
        findings.effect(effects, kind, verb.span());
    }
    findings
}

pub(super) fn unknown(cursor: &mut Cursor<'_>, verb: Token) -> Findings {
    cursor.next();
    if verb.kind() == Kind::Bad {
        let why = cursor.lexer().trouble();
        let mut findings = Findings::read(verb.span());
        findings.broken(why, verb.span());
        return findings;
    }
    Findings::verb(Access::Unknown, ReasonKind::UnknownVerb, verb.span())
}

/// `(SELECT …)`, with any number of parentheses: only queries may stand in them.
fn parenthesised(cursor: &mut Cursor<'_>, functions: Option<&Functions>) -> Findings {
    let start = cursor.peek().start();
    let mut ahead = cursor.clone();
    let first = loop {
        let token = ahead.next();
        if token.kind() != Kind::Open {
            break token;
        }
    };
    let mut findings = Findings::read(Span::new(start, first.end()));
    if !matches!(first.keyword(), Some(K::Select | K::With | K::Values | K::Table)) {
        findings.unknown(ReasonKind::UnknownVerb, first.span());
    }
    walk(cursor, functions, &mut findings);
    findings
}
