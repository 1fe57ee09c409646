//! The body of a PostgreSQL statement: one walk over its tokens that asks every word whether it could write.

mod calls;

use crate::classifier::Functions;
use crate::cursor::{Cursor, MAX_DEPTH};
use crate::functions::{self, Qualifier, Verdict};
use crate::lexer::{Class, Keyword as K, Kind, Token};
use crate::{Effects, ReasonKind, Span};

use super::findings::Findings;

/// What a walk is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The statement runs.
    Run,
    /// The statement is only planned: what its verbs and clauses would do is not done. Functions can run all the same, since the
    /// planner works out calls with constant arguments.
    Plan,
}

/// What a parenthesis holds, as far as it matters to what comes in it or behind it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Group {
    /// `DISTINCT ON (…)`: an expression follows, not an alias.
    is_distinct_on: bool,
    /// The names of columns behind an alias, which hold no values.
    is_columns: bool,
    /// The heads of common table expressions are listed here: `name (` is one of them.
    is_with: bool,
    /// `OPERATOR(…)`.
    is_operator: bool,
    /// `GROUPING SETS (…)`.
    is_sets: bool,
}

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
    purpose: Purpose,
    stack: [Group; MAX_DEPTH + 1],
    depth: usize,
    is_too_deep: bool,
    before: Before,
    /// What a point that follows would qualify with: the name, and whether it is one of a longer chain.
    name: Option<Token>,
    /// What the next name is qualified with.
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
            depth: 0,
            is_too_deep: false,
            cursor,
            functions,
            purpose,
            stack: [Group::default(); MAX_DEPTH + 1],
            before: Before::Start,
            name: None,
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
        loop {
            let token = self.cursor.next();
            match token.kind {
                Kind::End => {
                    if self.depth > 0 {
                        findings.broken(ReasonKind::Nesting, token.span());
                    }
                    return;
                }
                Kind::Bad(why) => {
                    findings.broken(why, token.span());
                    return;
                }
                Kind::Open => {
                    self.open(Group::default());
                }
                Kind::Close => {
                    if self.depth == 0 {
                        findings.broken(ReasonKind::Nesting, token.span());
                        self.cursor.finish();
                        return;
                    }
                    if self.group_by == Some(self.depth) {
                        self.group_by = None;
                    }
                    let closed = self.stack[self.depth];
                    self.depth -= 1;
                    self.before = match closed {
                        Group { is_distinct_on: true, .. } => Before::Keyword(K::Distinct),
                        Group { is_operator: true, .. } => Before::Operator,
                        _ => Before::Group,
                    };
                    self.name = None;
                    if self.depth == 0 && extent == Extent::Group {
                        return;
                    }
                }
                Kind::Word(keyword, class) => self.word(token, keyword, class, findings),
                Kind::Name | Kind::Quoted => self.name(token, findings),
                _ => self.symbol(token, findings),
            }
            if self.is_too_deep {
                findings.broken(ReasonKind::Nesting, token.span());
                self.cursor.finish();
                return;
            }
        }
    }

    fn here(&mut self) -> &mut Group {
        &mut self.stack[self.depth]
    }

    /// Enters a group; the parenthesis has been taken.
    fn open(&mut self, group: Group) {
        // In a list of common table expressions a parenthesis follows a name, `AS` or `MATERIALIZED`; anything else
        // is the statement itself.
        if !matches!(self.before, Before::Name | Before::Type | Before::Keyword(K::As | K::Materialized)) {
            self.here().is_with = false;
        }
        if self.depth == MAX_DEPTH {
            self.is_too_deep = true;
            return;
        }
        self.depth += 1;
        self.stack[self.depth] = group;
        self.before = Before::Start;
        self.name = None;
        self.qualifier = Qualifier::None;
    }

    fn symbol(&mut self, token: Token, findings: &mut Findings) {
        let is_value = matches!(token.kind, Kind::Text | Kind::Number | Kind::Param);
        if self.stack[self.depth].is_columns && (is_value || token.kind == Kind::Operator) {
            // Names were expected: what looked like an alias may have been a call.
            findings.unknown(ReasonKind::NotUnderstood, token.span());
        }
        let before = match token.kind {
            Kind::Text | Kind::Number | Kind::Param | Kind::CloseBracket => Before::Value,
            Kind::Comma => Before::Comma,
            Kind::Cast => Before::Cast,
            Kind::Dot => {
                self.dot();
                Before::Dot
            }
            _ => Before::Operator,
        };
        if token.kind == Kind::OpenBracket && matches!(self.before, Before::Type) {
            // `int[]`: what follows is still the type.
            return;
        }
        if before != Before::Dot {
            self.name = None;
            self.qualifier = Qualifier::None;
        }
        self.before = before;
    }

    fn dot(&mut self) {
        self.is_attribute = matches!(self.before, Before::Group | Before::Value)
            || (self.before == Before::Name && self.was_attribute);
        self.before_dot = self.before;
        self.qualifier = match (self.name, self.qualifier) {
            (Some(name), Qualifier::None) => Qualifier::Schema(name),
            _ => Qualifier::Other,
        };
    }

    fn word(&mut self, token: Token, keyword: K, class: Class, findings: &mut Findings) {
        if self.only_name() || (class == Class::Unreserved && self.is_head()) {
            return self.name(token, findings);
        }
        self.qualifier = Qualifier::None;
        let peek = self.cursor.peek();
        match keyword {
            K::Into => self.act(ReasonKind::Into, Span::new(token.start, peek.end), findings),
            K::For if matches!(peek.keyword(), Some(K::Update | K::Share | K::No | K::Key)) => {
                let end = self.locking_end();
                self.act(ReasonKind::RowLocks, Span::new(token.start, end), findings);
            }
            K::Insert | K::Merge if peek.is(K::Into) => {
                self.inserts = true;
                self.act(ReasonKind::NestedWrite, Span::new(token.start, peek.end), findings);
            }
            K::Delete if peek.is(K::From) => {
                self.act(ReasonKind::NestedWrite, Span::new(token.start, peek.end), findings);
            }
            K::Update if peek.is_name() || peek.is(K::Only) => {
                self.act(ReasonKind::NestedWrite, token.span(), findings);
            }
            K::With if matches!(self.before, Before::Start) => {
                if peek.is_name() {
                    self.here().is_with = true;
                }
            }
            _ => self.clause(keyword),
        }
        let peek = self.cursor.peek();
        if peek.kind == Kind::Open {
            return self.word_group(token, keyword, class, findings);
        }
        // A keyword that is a name to the grammar may qualify: `name.f(…)`.
        self.name = (class == Class::Unreserved || class == Class::Construct).then_some(token);
        self.before = Before::Keyword(keyword);
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
            K::Not => self.is_negated = self.is_operand(),
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
            self.here().is_with = false;
        }
    }

    /// The end of `FOR [NO KEY] UPDATE`, `FOR [KEY] SHARE`.
    fn locking_end(&mut self) -> usize {
        let mut end = self.cursor.peek().end;
        while matches!(self.cursor.peek().keyword(), Some(K::Update | K::Share | K::No | K::Key)) {
            end = self.cursor.next().end;
        }
        end
    }

    /// Something is done, unless the statement is only planned.
    fn act(&self, kind: ReasonKind, span: Span, findings: &mut Findings) {
        if self.purpose == Purpose::Run {
            findings.write(kind, span);
        }
    }

    /// A keyword with a parenthesis behind it.
    fn word_group(&mut self, token: Token, keyword: K, class: Class, findings: &mut Findings) {
        if keyword == K::Treat {
            // The server turns it into a call of the function that is named like the type.
            findings.unknown(ReasonKind::UnknownFunction, token.span());
        }
        if !self.is_operand() && self.is_call(keyword, class) {
            return self.call(token, Qualifier::None, findings);
        }
        let group = Group {
            is_distinct_on: keyword == K::On && self.before == Before::Keyword(K::Distinct),
            is_operator: keyword == K::Operator,
            is_sets: keyword == K::Sets,
            ..Group::default()
        };
        self.before = Before::Keyword(keyword);
        self.cursor.next();
        self.open(group);
        if group.is_operator {
            self.operator_schema(findings);
        }
    }

    /// Inside `OPERATOR(schema.+)`: only those of the server are known.
    fn operator_schema(&mut self, findings: &mut Findings) {
        let schema = self.cursor.peek();
        let is_bare = matches!(schema.kind, Kind::Operator | Kind::Equals);
        if !is_bare && !self.cursor.lexer().text(schema).eq_ignore_ascii_case(b"pg_catalog") {
            findings.unknown(ReasonKind::NotUnderstood, schema.span());
        }
    }

    fn name(&mut self, token: Token, findings: &mut Findings) {
        let qualifier = match self.before {
            Before::Dot => self.qualifier,
            _ => Qualifier::None,
        };
        let is_type = match self.before {
            Before::Dot => matches!(self.before_dot, Before::Type),
            Before::Cast | Before::Keyword(K::As | K::Into) => true,
            _ => false,
        };
        if matches!(qualifier, Qualifier::None) {
            self.qualifier = Qualifier::None;
        }
        let peek = self.cursor.peek();
        if peek.kind == Kind::Open {
            self.name_group(token, qualifier, is_type, findings);
            return;
        }
        self.session_name(token, peek, findings);
        self.was_attribute = self.before == Before::Dot && self.is_attribute;
        if self.was_attribute {
            self.attribute(token, findings);
        }
        self.is_attribute = false;
        self.name = Some(token);
        self.before = if is_type { Before::Type } else { Before::Name };
    }

    /// A name with a parenthesis behind it.
    fn name_group(&mut self, token: Token, qualifier: Qualifier, is_type: bool, findings: &mut Findings) {
        let group = if is_type {
            Group::default()
        } else if self.is_head() || self.is_operand() {
            Group { is_columns: true, ..Group::default() }
        } else {
            self.is_attribute = false;
            return self.call(token, qualifier, findings);
        };
        self.is_attribute = false;
        self.before = if is_type { Before::Type } else { Before::Name };
        self.cursor.next();
        self.open(group);
    }

    /// `(x).f` calls the function `f` when the type of `x` has no such field. A field is far more likely, so only names
    /// of functions with an effect count.
    fn attribute(&self, token: Token, findings: &mut Findings) {
        let text = self.cursor.lexer().text(token);
        if token.kind == Kind::Quoted && (text[0] != b'"' || text[1..text.len() - 1].contains(&b'"')) {
            return findings.unknown(ReasonKind::NotUnderstood, token.span());
        }
        let verdict = functions::verdict(self.cursor.lexer(), self.functions, Qualifier::None, token);
        if matches!(verdict, Verdict::Writes(_) | Verdict::Session(_) | Verdict::Primary) {
            findings.judge(verdict, token.span());
        }
    }

    fn call(&mut self, token: Token, qualifier: Qualifier, findings: &mut Findings) {
        let verdict = functions::verdict(self.cursor.lexer(), self.functions, qualifier, token);
        let start = match qualifier {
            Qualifier::Schema(schema) => schema.start,
            _ => token.start,
        };
        findings.judge(verdict, Span::new(start, token.end));
        self.cursor.next();
        self.before = Before::Operator;
        self.open(Group::default());
    }

    /// Names that belong to one session.
    fn session_name(&self, token: Token, peek: Token, findings: &mut Findings) {
        let text = self.cursor.lexer().text(token);
        let text = match token.kind {
            Kind::Quoted => text.get(1..text.len() - 1).unwrap_or_default(),
            _ => text,
        };
        if !text.get(..3).is_some_and(|start| start.eq_ignore_ascii_case(b"pg_")) {
            return;
        }
        let is_temporary = text.get(..7).is_some_and(|start| start.eq_ignore_ascii_case(b"pg_temp"));
        let effect = if is_temporary && peek.kind == Kind::Dot {
            Effects::TEMPORARY
        } else if text.eq_ignore_ascii_case(b"pg_cursors") {
            Effects::CURSOR
        } else if text.eq_ignore_ascii_case(b"pg_prepared_statements") {
            Effects::PREPARED
        } else {
            return;
        };
        findings.effect(effect, ReasonKind::SessionName, token.span());
    }
}
