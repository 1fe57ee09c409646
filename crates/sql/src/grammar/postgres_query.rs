//! The body of a PostgreSQL statement: one walk over its tokens that asks every word whether it could write.

mod calls;
mod objects;

use crate::classifier::Functions;
use crate::cursor::{Cursor, MAX_DEPTH};
use crate::functions::{self, Qualifier, Verdict};
use crate::lexer::{Class, Keyword as K, Kind, Token};
use crate::{Effects, ReasonKind, Span};

use super::findings::Findings;
use calls::{is_operand, only_name};

/// What a walk is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The statement runs.
    Run,
    /// The statement is only planned: what its verbs and clauses would do is not done. Functions can run all the same, since the
    /// planner works out calls with constant arguments.
    Plan,
}

/// What a parenthesis holds, as far as it matters to what comes in it or behind it: a set of the marks below.
type Group = u8;

const PLAIN: Group = 0;
/// `DISTINCT ON (…)`: an expression follows, not an alias.
const DISTINCT_ON: Group = 1;
/// The names of columns behind an alias, which hold no values.
const COLUMNS: Group = 1 << 1;
/// The heads of common table expressions are listed here: `name (` is one of them.
const WITH: Group = 1 << 2;
/// `OPERATOR(…)`.
const OPERATOR: Group = 1 << 3;
/// `GROUPING SETS (…)`.
const SETS: Group = 1 << 4;

/// What stood before the current token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    /// Nothing: a statement or a group starts here.
    Start,
    /// A name that is no keyword, or any word in a place where only a name can stand.
    Name,
    /// A literal, a parameter or `]`.
    Value,
    /// A parenthesis closed, and what it held is an operand.
    Group,
    /// The name of a type, or an alias behind `AS`: a parenthesis holds modifiers or columns.
    Type,
    Keyword(K),
    Comma,
    Cast,
    Dot,
    Operator,
}

/// The walk over one statement.
pub(super) struct Walk<'c, 'a> {
    cursor: &'c mut Cursor<'a>,
    functions: Option<&'c Functions>,
    /// Whether names are asked for in a catalog.
    has_catalog: bool,
    purpose: Purpose,
    stack: [Group; MAX_DEPTH + 1],
    depth: usize,
    is_too_deep: bool,
    before: Before,
    /// The last word: what `before` says of it, in full.
    last: Token,
    /// What stood before the last word.
    lead: Before,
    /// What the next name is qualified with, if a point stands before it.
    qualifier: Qualifier,
    /// A point followed something that is no name: `(x).y` can call the function `y`.
    is_attribute: bool,
    /// The last name was such an attribute: `(x).y.z` can call `z`.
    was_attribute: bool,
    /// What the point stood behind, for names of types.
    before_dot: Before,
    /// Where the list of a `GROUP BY` stands.
    group_by: Option<usize>,
    /// The last `NOT` followed an operand, as in `a NOT LIKE b`.
    is_negated: bool,
    /// The last `TO` followed a field, as in `DAY TO SECOND`.
    is_field_range: bool,
    /// An `INSERT` has been seen, so that `ON CONFLICT (` is a clause.
    inserts: bool,
}

/// Walks through the rest of the statement.
pub(super) fn walk(
    cursor: &mut Cursor<'_>,
    functions: Option<&Functions>,
    purpose: Purpose,
    findings: &mut Findings,
) {
    Walk::new(cursor, functions, purpose).run(Extent::Statement, findings);
}

/// Walks through the group whose parenthesis comes next.
pub(super) fn walk_group(cursor: &mut Cursor<'_>, functions: Option<&Functions>, findings: &mut Findings) {
    Walk::new(cursor, functions, Purpose::Run).run(Extent::Group, findings);
}

/// How far a walk goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    Statement,
    Group,
}

impl<'c, 'a> Walk<'c, 'a> {
    fn new(cursor: &'c mut Cursor<'a>, functions: Option<&'c Functions>, purpose: Purpose) -> Self {
        Self {
            last: Token::end_at(cursor.end()),
            cursor,
            functions,
            has_catalog: functions.is_some_and(|functions| functions.catalog.is_some()),
            purpose,
            stack: [PLAIN; MAX_DEPTH + 1],
            depth: 0,
            is_too_deep: false,
            before: Before::Start,
            lead: Before::Start,
            qualifier: Qualifier::None,
            is_attribute: false,
            was_attribute: false,
            before_dot: Before::Start,
            group_by: None,
            is_negated: false,
            is_field_range: false,
            inserts: false,
        }
    }

    fn run(&mut self, extent: Extent, findings: &mut Findings) {
        if self.has_catalog {
            self.judge_unnamed(findings);
        }
        loop {
            let token = self.cursor.next();
            match token.kind() {
                Kind::Word => self.word(token, findings),
                Kind::Name | Kind::Quoted => self.name(token, findings),
                Kind::Open => {
                    self.group(findings);
                    if self.is_too_deep {
                        findings.broken(ReasonKind::Nesting, token.span());
                        self.cursor.finish();
                        return;
                    }
                }
                Kind::Close => {
                    if self.depth == 0 {
                        findings.broken(ReasonKind::Nesting, token.span());
                        self.cursor.finish();
                        return;
                    }
                    self.close();
                    if self.depth == 0 && extent == Extent::Group {
                        return;
                    }
                }
                Kind::End => {
                    if self.depth > 0 {
                        findings.broken(ReasonKind::Nesting, token.span());
                    }
                    return;
                }
                Kind::Bad => {
                    findings.broken(self.cursor.lexer().trouble(), token.span());
                    return;
                }
                _ => self.symbol(token, findings),
            }
        }
    }

    fn is_in(&self, mark: Group) -> bool {
        self.stack[self.depth] & mark != 0
    }

    fn leave_with(&mut self) {
        self.stack[self.depth] &= !WITH;
    }

    /// A parenthesis opens: what it is depends on the word in front of it.
    fn group(&mut self, findings: &mut Findings) {
        match self.before {
            Before::Keyword(keyword) => self.word_group(keyword, findings),
            Before::Name | Before::Type => self.name_group(findings),
            _ => self.open(PLAIN),
        }
    }

    /// Enters a group; the parenthesis has been taken.
    fn open(&mut self, group: Group) {
        // In a list of common table expressions a parenthesis follows a name, `AS` or `MATERIALIZED`; anything else
        // is the statement itself.
        if !matches!(self.before, Before::Name | Before::Type | Before::Keyword(K::As | K::Materialized)) {
            self.leave_with();
        }
        if self.depth == MAX_DEPTH {
            self.is_too_deep = true;
            return;
        }
        self.depth += 1;
        self.stack[self.depth] = group;
        self.before = Before::Start;
    }

    fn close(&mut self) {
        if self.group_by == Some(self.depth) {
            self.group_by = None;
        }
        let closed = self.stack[self.depth];
        self.depth -= 1;
        self.before = if closed & DISTINCT_ON != 0 {
            Before::Keyword(K::Distinct)
        } else if closed & OPERATOR != 0 {
            Before::Operator
        } else {
            Before::Group
        };
    }

    fn symbol(&mut self, token: Token, findings: &mut Findings) {
        if self.has_catalog && matches!(token.kind(), Kind::Operator | Kind::Equals) {
            self.judge_operator(token, findings);
        }
        let before = match token.kind() {
            Kind::Text | Kind::Number | Kind::Param | Kind::CloseBracket => Before::Value,
            Kind::Comma => Before::Comma,
            Kind::Cast => Before::Cast,
            Kind::Dot => return self.dot(),
            // `int[]`: what follows is still the type.
            Kind::OpenBracket if self.before == Before::Type => return,
            _ => Before::Operator,
        };
        let is_value = matches!(token.kind(), Kind::Text | Kind::Number | Kind::Param | Kind::Operator);
        if is_value && self.is_in(COLUMNS) {
            // Names were expected: what looked like an alias may have been a call.
            findings.unknown(ReasonKind::NotUnderstood, token.span());
        }
        self.before = before;
    }

    fn dot(&mut self) {
        self.is_attribute = matches!(self.before, Before::Group | Before::Value)
            || (self.before == Before::Name && self.was_attribute);
        self.before_dot = self.before;
        let is_name = match self.before {
            Before::Name | Before::Type => true,
            // A keyword that is a name to the grammar may qualify: `name.f(…)`.
            Before::Keyword(_) => matches!(self.last.class(), Class::Unreserved | Class::Construct),
            _ => false,
        };
        self.qualifier =
            if is_name && self.lead != Before::Dot { Qualifier::Schema(self.last) } else { Qualifier::Other };
        self.before = Before::Dot;
    }

    /// What the last word is qualified with.
    fn qualifier(&self) -> Qualifier {
        if self.lead == Before::Dot { self.qualifier } else { Qualifier::None }
    }

    #[inline(always)]
    fn word(&mut self, token: Token, findings: &mut Findings) {
        let Some(keyword) = token.keyword() else { return };
        let is_label = only_name(self.before);
        if is_label || (token.class() == Class::Unreserved && self.is_head(self.before)) {
            return self.name_word(token, findings);
        }
        match keyword {
            K::Into => {
                let peek = self.cursor.peek();
                self.act(ReasonKind::Into, Span::new(token.start(), peek.end()), findings);
                if peek.is(K::Temp) || peek.is(K::Temporary) {
                    findings.effect(Effects::TEMPORARY, ReasonKind::Into, peek.span());
                }
            }
            K::For | K::Insert | K::Merge | K::Delete | K::Update | K::With => {
                self.verb(token, keyword, findings);
            }
            _ => self.clause(keyword),
        }
        if self.has_catalog {
            self.judge_name(token, findings);
        }
        self.lead = self.before;
        self.last = token;
        self.before = Before::Keyword(keyword);
    }

    /// Words that change data, or lock rows, when a certain word follows.
    #[inline(never)]
    fn verb(&mut self, token: Token, keyword: K, findings: &mut Findings) {
        let peek = self.cursor.peek();
        let both = Span::new(token.start(), peek.end());
        match keyword {
            K::For if matches!(peek.keyword(), Some(K::Update | K::Share | K::No | K::Key)) => {
                let end = self.locking_end();
                self.act(ReasonKind::RowLocks, Span::new(token.start(), end), findings);
            }
            K::Insert | K::Merge if peek.is(K::Into) => {
                self.inserts = true;
                self.act(ReasonKind::NestedWrite, both, findings);
            }
            K::Delete if peek.is(K::From) => self.act(ReasonKind::NestedWrite, both, findings),
            K::Update if peek.is_name() || peek.is(K::Only) => {
                self.act(ReasonKind::NestedWrite, token.span(), findings);
            }
            K::With if self.before == Before::Start => {
                if peek.is_name() {
                    self.stack[self.depth] |= WITH;
                }
            }
            _ => self.clause(keyword),
        }
    }

    /// Follows the clauses that change what a later word means.
    fn clause(&mut self, keyword: K) {
        match keyword {
            K::By if self.before == Before::Keyword(K::Group) => self.group_by = Some(self.depth),
            K::Select | K::From | K::Where | K::Having | K::Order | K::Window | K::Union | K::Limit
                if self.group_by == Some(self.depth) =>
            {
                self.group_by = None;
            }
            K::Not => self.is_negated = is_operand(self.before),
            K::To => self.is_field_range = self.before == Before::Keyword(K::Other),
            _ => {}
        }
        if matches!(
            keyword,
            K::Select
                | K::Values
                | K::Table
                | K::Insert
                | K::Update
                | K::Delete
                | K::Merge
                | K::Order
                | K::Limit
                | K::Offset
                | K::Fetch
                | K::For
                | K::Union
                | K::Except
                | K::Intersect
        ) {
            self.leave_with();
        }
    }

    /// The end of `FOR [NO KEY] UPDATE`, `FOR [KEY] SHARE`.
    fn locking_end(&mut self) -> u32 {
        let mut end = self.cursor.peek().end();
        while matches!(self.cursor.peek().keyword(), Some(K::Update | K::Share | K::No | K::Key)) {
            end = self.cursor.next().end();
        }
        end
    }

    /// Something is done, unless the statement is only planned.
    fn act(&self, kind: ReasonKind, span: Span, findings: &mut Findings) {
        if self.purpose == Purpose::Run {
            findings.write(kind, span);
        }
    }

    /// A keyword has a parenthesis behind it.
    #[inline(never)]
    fn word_group(&mut self, keyword: K, findings: &mut Findings) {
        if keyword == K::Treat {
            // The server turns it into a call of the function that is named like the type.
            findings.unknown(ReasonKind::UnknownFunction, self.last.span());
        }
        if !is_operand(self.lead) && self.is_call(keyword, self.last.class()) {
            return self.call(Qualifier::None, findings);
        }
        let group = match keyword {
            K::On if self.lead == Before::Keyword(K::Distinct) => DISTINCT_ON,
            K::Operator => OPERATOR,
            K::Sets => SETS,
            _ => PLAIN,
        };
        self.open(group);
        if group == OPERATOR {
            self.operator_schema(findings);
        }
    }

    /// Inside `OPERATOR(schema.+)`: only those of the server, and of the catalog, are known.
    fn operator_schema(&mut self, findings: &mut Findings) {
        let schema = self.cursor.peek();
        let is_bare = matches!(schema.kind(), Kind::Operator | Kind::Equals);
        let is_known = self.cursor.lexer().text(schema).eq_ignore_ascii_case(b"pg_catalog")
            || self.knows_operators_of(schema);
        if !is_bare && !is_known {
            findings.unknown(ReasonKind::NotUnderstood, schema.span());
        }
    }

    #[inline(always)]
    fn name(&mut self, token: Token, findings: &mut Findings) {
        let is_type = match self.before {
            Before::Dot => {
                self.name_behind_dot(token, findings);
                self.before_dot == Before::Type
            }
            Before::Cast | Before::Keyword(K::As | K::Into) => true,
            _ => false,
        };
        if token.class() == Class::System || token.kind() == Kind::Quoted {
            self.system_name(token, findings);
        }
        if self.has_catalog {
            self.judge_name(token, findings);
        }
        self.lead = self.before;
        self.last = token;
        self.before = if is_type { Before::Type } else { Before::Name };
    }

    /// A keyword that can only be a name where it stands.
    #[inline(never)]
    fn name_word(&mut self, token: Token, findings: &mut Findings) {
        self.name(token, findings);
    }

    #[inline(never)]
    fn name_behind_dot(&mut self, token: Token, findings: &mut Findings) {
        self.was_attribute = self.is_attribute;
        // The whole row of a function in FROM that gives a scalar is that scalar, so that `x.f` can be `f(x)` too.
        let is_suspect = token.kind() == Kind::Quoted || token.class() == Class::System;
        if self.was_attribute || (is_suspect && self.before_dot != Before::Type && !self.is_qualified()) {
            self.attribute(token, findings);
        }
    }

    /// Whether more of the name follows, or its arguments.
    fn is_qualified(&mut self) -> bool {
        matches!(self.cursor.peek().kind(), Kind::Dot | Kind::Open)
    }

    /// A name has a parenthesis behind it.
    #[inline(never)]
    fn name_group(&mut self, findings: &mut Findings) {
        if self.before == Before::Type {
            self.open(PLAIN);
        } else if self.is_head(self.lead) || is_operand(self.lead) {
            self.open(COLUMNS);
        } else {
            self.call(self.qualifier(), findings);
        }
    }

    /// `(x).f` calls the function `f` when the type of `x` has no such field. A field is far more likely, so only names
    /// of functions with an effect count.
    fn attribute(&self, token: Token, findings: &mut Findings) {
        let text = self.cursor.lexer().text(token);
        if token.kind() == Kind::Quoted && (text[0] != b'"' || text[1..text.len() - 1].contains(&b'"')) {
            return findings.unknown(ReasonKind::NotUnderstood, token.span());
        }
        let verdict = functions::verdict(self.cursor.lexer(), self.functions, Qualifier::None, token);
        if matches!(verdict, Verdict::Writes(_) | Verdict::Session(_) | Verdict::Primary) {
            findings.judge(verdict, token.span());
        }
    }

    /// The last word is a function, and its arguments follow.
    #[inline(never)]
    fn call(&mut self, qualifier: Qualifier, findings: &mut Findings) {
        // In a statement that is known to write only the effects of functions are of interest, and the lexer has marked
        // the names that have some.
        if findings.is_read() || self.last.class() == Class::System || self.last.kind() == Kind::Quoted {
            self.judge(qualifier, findings);
        }
        self.before = Before::Operator;
        self.open(PLAIN);
    }

    fn judge(&self, qualifier: Qualifier, findings: &mut Findings) {
        let verdict = functions::verdict(self.cursor.lexer(), self.functions, qualifier, self.last);
        let start = match qualifier {
            Qualifier::Schema(schema) => schema.start(),
            _ => self.last.start(),
        };
        findings.judge(verdict, Span::new(start, self.last.end()));
    }

    /// Names that belong to one session.
    #[inline(never)]
    fn system_name(&mut self, token: Token, findings: &mut Findings) {
        let text = self.cursor.lexer().text(token);
        let text = match token.kind() {
            Kind::Quoted if text[0] != b'"' && self.cursor.peek().kind() == Kind::Dot => {
                // In this spelling it can be the schema of the session's temporary tables.
                return findings.unknown(ReasonKind::NotUnderstood, token.span());
            }
            Kind::Quoted => text.get(1..text.len() - 1).unwrap_or_default(),
            _ => text,
        };
        let is = |name: &[u8]| text.eq_ignore_ascii_case(name);
        let is_temporary = text.get(..7).is_some_and(|start| start.eq_ignore_ascii_case(b"pg_temp"));
        let effect = if is_temporary && self.cursor.peek().kind() == Kind::Dot {
            Effects::TEMPORARY
        } else if is(b"pg_cursors") {
            Effects::CURSOR
        } else if is(b"pg_prepared_statements") {
            Effects::PREPARED
        } else {
            return;
        };
        findings.effect(effect, ReasonKind::SessionName, token.span());
    }
}
