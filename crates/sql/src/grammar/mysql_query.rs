//! The body of a statement of MySQL or MariaDB: one walk over its tokens that asks every word whether it could write.

use super::findings::Findings;
use crate::classifier::Functions;
use crate::cursor::{Cursor, MAX_DEPTH};
use crate::functions::{self, Qualifier};
use crate::lexer::{Class, Keyword as K, Kind, Token};
use crate::{Effects, ReasonKind, Span};

/// What stood before the current token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    /// Nothing: a statement or a group starts here.
    Start,
    Name,
    Value,
    /// A parenthesis closed.
    Group,
    /// The name of a type or an alias behind `AS`.
    Type,
    Keyword(K),
    Comma,
    Dot,
    /// The `@@` of a system variable.
    System,
    Operator,
}

/// How many tokens a document and its path may have.
const FAR: usize = 64;

/// The walk over one statement.
struct Walk<'c, 'a> {
    cursor: &'c mut Cursor<'a>,
    functions: Option<&'c Functions>,
    /// For each open parenthesis, whether the heads of common table expressions are listed in it.
    is_with: [bool; MAX_DEPTH + 1],
    depth: usize,
    before: Before,
    /// The last name, which a point may make the schema of the next one.
    schema: Option<Token>,
    /// Behind `MATCH`, until its `AGAINST` comes.
    in_match: bool,
}

/// Walks through a statement from its verb to its end.
pub(super) fn walk(cursor: &mut Cursor<'_>, functions: Option<&Functions>, findings: &mut Findings) {
    Walk::new(cursor, functions, Before::Start).run(findings);
}

/// Walks through what follows a verb.
pub(super) fn walk_rest(cursor: &mut Cursor<'_>, functions: Option<&Functions>, findings: &mut Findings) {
    Walk::new(cursor, functions, Before::Operator).run(findings);
}

impl<'c, 'a> Walk<'c, 'a> {
    fn new(cursor: &'c mut Cursor<'a>, functions: Option<&'c Functions>, before: Before) -> Self {
        Self {
            cursor,
            functions,
            is_with: [false; MAX_DEPTH + 1],
            depth: 0,
            before,
            schema: None,
            in_match: false,
        }
    }

    fn run(mut self, findings: &mut Findings) {
        loop {
            let token = self.cursor.next();
            match token.kind() {
                Kind::End => {
                    if self.depth > 0 {
                        findings.broken(ReasonKind::Nesting, token.span());
                    }
                    return;
                }
                Kind::Bad => return findings.broken(self.cursor.lexer().trouble(), token.span()),
                Kind::Open => {
                    if self.depth == MAX_DEPTH {
                        findings.broken(ReasonKind::Nesting, token.span());
                        self.cursor.finish();
                        return;
                    }
                    self.open();
                }
                Kind::Close => {
                    if self.depth == 0 {
                        findings.broken(ReasonKind::Nesting, token.span());
                        self.cursor.finish();
                        return;
                    }
                    self.depth -= 1;
                    self.before = Before::Group;
                }
                Kind::Word => self.word(token, findings),
                Kind::Name | Kind::Quoted => self.name(token, findings),
                Kind::UserVariable => {
                    findings.effect(Effects::USER_VARIABLE, ReasonKind::SessionName, token.span());
                    self.before = Before::Value;
                }
                Kind::SystemVariable => {
                    self.system_variable(token, findings);
                    self.before = Before::System;
                }
                Kind::Text | Kind::Number | Kind::Param => self.before = Before::Value,
                Kind::Comma => self.before = Before::Comma,
                Kind::Dot => self.before = Before::Dot,
                _ => self.before = Before::Operator,
            }
        }
    }

    fn open(&mut self) {
        if !matches!(self.before, Before::Name | Before::Keyword(K::As)) {
            self.is_with[self.depth] = false;
        }
        self.depth += 1;
        self.is_with[self.depth] = false;
        self.before = Before::Start;
    }

    fn system_variable(&mut self, token: Token, findings: &mut Findings) {
        let name = self.cursor.peek();
        if !name.is(K::Global) {
            findings.effect(
                Effects::SESSION_VALUE,
                ReasonKind::SessionName,
                Span::new(token.start(), name.end()),
            );
        }
    }

    fn word(&mut self, token: Token, findings: &mut Findings) {
        let Some(keyword) = token.keyword() else { return };
        let class = token.class();
        let is_label = self.before == Before::Keyword(K::As) && keyword != K::Of;
        if matches!(self.before, Before::Dot | Before::System) || is_label {
            if self.before == Before::Dot && keyword == K::Nextval {
                // A sequence in Oracle's spelling.
                findings.write(ReasonKind::WritingFunction, token.span());
            }
            return self.name(token, findings);
        }
        let peek = self.cursor.peek();
        let span = Span::new(token.start(), peek.end());
        let is_call = peek.kind() == Kind::Open;
        match keyword {
            K::Into => {
                findings.write(ReasonKind::Into, span);
                if matches!(peek.keyword(), Some(K::Outfile | K::Dumpfile)) {
                    findings.effect(Effects::OUTSIDE, ReasonKind::Into, span);
                }
            }
            K::For if matches!(peek.keyword(), Some(K::Update | K::Share)) => {
                self.cursor.next();
                findings.write(ReasonKind::RowLocks, span);
            }
            K::Lock if peek.is(K::In) => findings.write(ReasonKind::RowLocks, span),
            K::Update | K::Delete => findings.write(ReasonKind::NestedWrite, token.span()),
            K::Insert | K::Replace if !is_call => findings.write(ReasonKind::NestedWrite, token.span()),
            K::Next if peek.is(K::Value) => findings.write(ReasonKind::WritingFunction, span),
            K::Previous if peek.is(K::Value) => {
                findings.effect(Effects::SESSION_VALUE, ReasonKind::SessionFunction, span);
            }
            K::SqlCalcFoundRows => {
                findings.effect(Effects::SESSION_VALUE, ReasonKind::SessionName, token.span())
            }
            K::Procedure => findings.unknown(ReasonKind::Routine, span),
            // The default of a column may be the next value of a sequence.
            K::Default if is_call => findings.unknown(ReasonKind::NotUnderstood, span),
            K::Match => self.in_match = true,
            K::With if self.before == Before::Start => self.is_with[self.depth] = true,
            K::Select | K::Values | K::Table | K::Order | K::Limit | K::Union | K::Except | K::Intersect => {
                self.is_with[self.depth] = false;
            }
            _ => {}
        }
        if !is_call {
            self.before = Before::Keyword(keyword);
            return;
        }
        let is_construct = match class {
            Class::Reserved | Class::Construct | Class::Recent => true,
            Class::Operator => false,
            Class::Unreserved | Class::System => match keyword {
                K::Columns | K::Escape => matches!(self.before, Before::Value | Before::Group),
                K::Of => self.before == Before::Keyword(K::Member),
                K::Against => std::mem::take(&mut self.in_match),
                K::Any | K::Some | K::Lateral => self.opens_query(),
                _ => self.before == Before::Group || self.is_head(),
            },
        };
        if is_construct {
            self.before = if self.is_head() { Before::Name } else { Before::Keyword(keyword) };
        } else {
            self.call(token, Qualifier::None, findings);
        }
    }

    /// Whether a name here is the head of a common table expression.
    fn is_head(&self) -> bool {
        self.is_with[self.depth]
            && matches!(self.before, Before::Keyword(K::With | K::Recursive) | Before::Comma)
    }

    /// Whether the parenthesis that comes next holds a query: `ANY (SELECT …)`.
    fn opens_query(&self) -> bool {
        let mut ahead = self.cursor.clone();
        ahead.next();
        matches!(ahead.peek().keyword(), Some(K::Select | K::With | K::Values | K::Table))
    }

    fn name(&mut self, token: Token, findings: &mut Findings) {
        let is_type = self.before == Before::Keyword(K::As);
        let is_call = self.cursor.peek().kind() == Kind::Open;
        if is_call && !is_type && !self.is_head() && self.before != Before::Group {
            let qualifier = match (self.before, self.schema.take()) {
                (Before::Dot, Some(schema)) => Qualifier::Schema(schema),
                (Before::Dot, None) => Qualifier::Other,
                _ => Qualifier::None,
            };
            return self.call(token, qualifier, findings);
        }
        self.session_name(token, findings);
        if self.before == Before::Dot && self.cursor.lexer().text(token).eq_ignore_ascii_case(b"currval") {
            // A sequence in Oracle's spelling.
            findings.effect(Effects::SESSION_VALUE, ReasonKind::SessionFunction, token.span());
        }
        self.schema = (self.before != Before::Dot).then_some(token);
        self.before = if is_type { Before::Type } else { Before::Name };
        if is_call {
            self.before = Before::Name;
        }
    }

    /// Asks what a function does; its parenthesis comes next.
    fn call(&mut self, token: Token, qualifier: Qualifier, findings: &mut Findings) {
        let is_spaced = self.cursor.peek().start() != token.end();
        let lexer = self.cursor.lexer();
        // What the parser knows by its name is a stored function when the name stands in quotes, or, for some, when
        // anything stands between name and parenthesis.
        let is_stored =
            token.kind() == Kind::Quoted || (is_spaced && functions::needs_no_space(lexer.text(token)));
        let qualifier = match qualifier {
            Qualifier::None if is_stored => Qualifier::Stored,
            other => other,
        };
        let is_table = matches!(qualifier, Qualifier::None)
            && lexer.text(token).eq_ignore_ascii_case(b"json_table")
            && self.lists_columns();
        if is_table {
            self.before = Before::Operator;
            return;
        }
        let verdict = functions::verdict(lexer, self.functions, qualifier, token);
        findings.judge(verdict, token.span());
        self.before = Before::Operator;
    }

    /// Whether the parenthesis that comes next is that of `JSON_TABLE(document, 'path' COLUMNS (…))`. Without its columns MariaDB
    /// takes the name for a stored function.
    fn lists_columns(&self) -> bool {
        let mut ahead = self.cursor.clone();
        let (mut depth, mut is_path) = (0_usize, false);
        for _ in 0..FAR {
            let token = ahead.next();
            match token.kind() {
                Kind::Open => depth += 1,
                Kind::Close if depth == 1 => return false,
                Kind::Close => depth -= 1,
                Kind::End | Kind::Bad => return false,
                Kind::Word if depth == 1 && is_path && token.is(K::Columns) => {
                    return ahead.peek().kind() == Kind::Open;
                }
                _ => {}
            }
            is_path = matches!(token.kind(), Kind::Text | Kind::Param);
        }
        false
    }

    /// Tables of the server that show one session, or one server.
    fn session_name(&mut self, token: Token, findings: &mut Findings) {
        let text = self.cursor.lexer().text(token);
        let text = match token.kind() {
            Kind::Quoted => text.get(1..text.len() - 1).unwrap_or_default(),
            _ => text,
        };
        let is = |name: &str| text.eq_ignore_ascii_case(name.as_bytes());
        let starts = |prefix: &str| {
            text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
        };
        let is_schema = self.cursor.peek().kind() == Kind::Dot;
        if !matches!(
            text.first().map(u8::to_ascii_lowercase),
            Some(b'g' | b'i' | b'm' | b'o' | b'p' | b's' | b'u')
        ) {
            return;
        }
        if is("session_status")
            || is("session_variables")
            || is("system_variables")
            || is("session_account_connect_attrs")
            || is("profiling")
            || is("user_variables")
            || is("optimizer_trace")
        {
            findings.effect(Effects::SESSION_VALUE, ReasonKind::SessionName, token.span());
        } else if is("processlist")
            || is("global_status")
            || is("metadata_lock_info")
            || is("slow_log")
            || is("general_log")
            || starts("innodb_")
            || (is_schema && (is("performance_schema") || is("sys")))
        {
            findings.effect(Effects::OUTSIDE, ReasonKind::ServerFile, token.span());
        }
    }
}
