//! The body of a PostgreSQL statement: one walk over its tokens that asks every word whether it could write.

mod calls;
mod objects;
mod trail;

use crate::classifier::Functions;
use crate::cursor::{Cursor, MAX_DEPTH};
use crate::functions::{self, Qualifier, Verdict};
use crate::lexer::{Class, Keyword as K, Kind, Marks, Token};
use crate::{Effects, ReasonKind, Span};

use super::findings::Findings;
use super::postgres_verbs::ESCAPED;
use calls::only_name;
use trail::Trail;

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

/// The marks of what a catalog is asked about.
const IN_CATALOG: Marks = Marks::WORD.union(Marks::NAME).union(Marks::VALUE).union(Marks::EQUALS);

/// The walk over one statement.
pub(super) struct Walk<'c, 'a> {
    cursor: &'c mut Cursor<'a>,
    functions: Option<&'c Functions>,
    /// Whether names are asked for in a catalog, or among those of denied functions.
    judges_names: bool,
    purpose: Purpose,
    stack: [Group; MAX_DEPTH + 1],
    depth: usize,
    is_too_deep: bool,
    trail: Trail,
    /// The marks of tokens that some rule asks for wherever they stand, and those of where the walk is.
    always: Marks,
    watched: Marks,
    /// Where the list of a `GROUP BY` stands.
    group_by: Option<usize>,
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

/// Functions of the server's own that run the text they are given.
const RUN_A_TEXT: [&str; 5] =
    ["query_to_xml", "query_to_xml_and_xmlschema", "query_to_xmlschema", "ts_rewrite", "ts_stat"];

impl<'c, 'a> Walk<'c, 'a> {
    fn new(cursor: &'c mut Cursor<'a>, functions: Option<&'c Functions>, purpose: Purpose) -> Self {
        let judges_names =
            functions.is_some_and(|functions| functions.catalog.is_some() || !functions.denied.is_empty());
        let always = if judges_names { Marks::ASKED.union(IN_CATALOG) } else { Marks::ASKED };
        Self {
            trail: Trail::new(cursor.end()),
            cursor,
            functions,
            judges_names,
            purpose,
            stack: [PLAIN; MAX_DEPTH + 1],
            depth: 0,
            is_too_deep: false,
            always,
            watched: always,
            group_by: None,
            inserts: false,
        }
    }

    fn run(&mut self, extent: Extent, findings: &mut Findings) {
        if self.judges_names {
            self.judge_unnamed(findings);
        }
        loop {
            let token = self.next_asked();
            match token.kind() {
                Kind::Word => self.word(token, findings),
                Kind::Name | Kind::Quoted => self.name(token, findings),
                Kind::Open => {
                    self.group(token, findings);
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
                    self.close(token);
                    if self.depth == 0 && extent == Extent::Group {
                        return;
                    }
                }
                Kind::End => {
                    if self.depth > 0 {
                        findings.broken(ReasonKind::Nesting, token.span());
                    } else if self.is_in(WITH) {
                        // It breaks off before its statement.
                        findings.unknown(ReasonKind::NotUnderstood, self.trail.back(1).span());
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

    /// Passes over the tokens that no rule asks about, which are most, up to one that some rule does.
    #[inline(always)]
    fn next_asked(&mut self) -> Token {
        let mut before = self.trail.back(1);
        loop {
            let mut token = match self.cursor.next_plain() {
                Some(token) if token.has(self.watched) => return self.cursor.take(token, before.end()),
                Some(token) => token,
                None => {
                    let token = self.cursor.next();
                    if token.has(self.watched) {
                        return token;
                    }
                    token
                }
            };
            if before.has(Marks::LEADS) {
                if before.kind() != Kind::Dot || !self.is_plain_member(token) {
                    return self.cursor.take(token, before.end());
                }
                if token.has(Marks::WORD) {
                    token = token.as_name(Marks::NONE);
                }
            }
            self.trail.push(token);
            before = token;
        }
    }

    /// Whether this, behind a point, is a word of a name as most are: `a.b`.
    #[inline(always)]
    fn is_plain_member(&self, token: Token) -> bool {
        const ODD: Marks = Marks::COMPOSITE.union(Marks::TYPE).union(Marks::FIELD);
        token.has(Marks::WORD.union(Marks::NAME)) && !self.trail.back(2).has(ODD)
    }

    /// Sets which tokens are asked for from here on.
    fn watch(&mut self) {
        self.watched = self.always;
        if self.is_in(COLUMNS) {
            self.watched = self.watched.union(Marks::VALUE);
        }
        if self.is_in(WITH) || self.group_by == Some(self.depth) {
            self.watched = self.watched.union(Marks::WORD);
        }
    }

    fn is_in(&self, mark: Group) -> bool {
        self.stack[self.depth] & mark != 0
    }

    fn leave_with(&mut self) {
        self.stack[self.depth] &= !WITH;
        self.watch();
    }

    /// A parenthesis opens: what it is depends on the word in front of it.
    fn group(&mut self, token: Token, findings: &mut Findings) {
        let before = self.trail.back(1);
        match before.kind() {
            Kind::Word => self.word_group(before, token, findings),
            Kind::Name | Kind::Quoted => self.name_group(before, token, findings),
            _ => self.open(PLAIN, token),
        }
    }

    /// Enters a group, which may end a list of common table expressions.
    fn open(&mut self, group: Group, token: Token) {
        // In such a list a parenthesis follows a name, `AS` or `MATERIALIZED`; anything else is the statement itself.
        let before = self.trail.back(1);
        if !(before.has(Marks::NAME) || before.is(K::As) || before.is(K::Materialized)) {
            self.stack[self.depth] &= !WITH;
        }
        self.enter(group, token);
    }

    fn enter(&mut self, group: Group, token: Token) {
        if self.depth == MAX_DEPTH {
            self.is_too_deep = true;
            return;
        }
        self.depth += 1;
        self.stack[self.depth] = group;
        self.trail.push(token);
        if group == PLAIN {
            self.watched = self.always;
        } else {
            self.watch();
        }
    }

    fn close(&mut self, token: Token) {
        if self.group_by == Some(self.depth) {
            self.group_by = None;
        }
        let closed = self.stack[self.depth];
        self.depth -= 1;
        // Behind `DISTINCT ON (…)` and `OPERATOR(…)` an operand starts.
        let is_operand = closed & (DISTINCT_ON | OPERATOR) == 0;
        self.trail.push(if is_operand { token } else { token.replaced(Kind::Operator) });
        self.watch();
    }

    fn symbol(&mut self, token: Token, findings: &mut Findings) {
        if self.judges_names && matches!(token.kind(), Kind::Operator | Kind::Equals) {
            self.judge_operator(token, findings);
        }
        if token.kind() == Kind::OpenBracket {
            self.leave_grouping();
        }
        if token.has(Marks::VALUE) && self.is_in(COLUMNS) {
            // Names were expected: what looked like an alias may have been a call.
            findings.unknown(ReasonKind::NotUnderstood, token.span());
        }
        self.trail.push(token);
    }

    /// Commas of an array's elements do not part the items of `GROUP BY` and `GROUPING SETS`: behind a bracket any word with a
    /// parenthesis is taken for a call.
    fn leave_grouping(&mut self) {
        if self.group_by == Some(self.depth) {
            self.group_by = None;
        }
        self.stack[self.depth] &= !SETS;
        self.watch();
    }

    /// What the word is qualified with whose point, if it has one, stands that far back.
    fn qualifier(&self, point: usize) -> Qualifier {
        if self.trail.back(point).kind() != Kind::Dot {
            return Qualifier::None;
        }
        let owner = self.trail.back(point + 1);
        // A keyword that is a name to the grammar may qualify too: `name.f(…)`.
        if owner.is_name() && self.trail.back(point + 2).kind() != Kind::Dot {
            Qualifier::Schema(owner)
        } else {
            Qualifier::Other
        }
    }

    fn word(&mut self, token: Token, findings: &mut Findings) {
        let Some(keyword) = token.keyword() else { return };
        let before = self.trail.back(1);
        if only_name(before) || (token.class() == Class::Unreserved && self.is_head(before)) {
            return self.name(token, findings);
        }
        match keyword {
            K::Into => {
                if !findings.is_settled() {
                    let end = self.cursor.peek().end();
                    self.act(ReasonKind::Into, Span::new(token.start(), end), findings);
                }
            }
            K::Temp | K::Temporary if before.is(K::Into) => {
                findings.effect(Effects::TEMPORARY, ReasonKind::Into, token.span());
            }
            K::Local | K::Global if before.is(K::Into) => {
                let peek = self.cursor.peek();
                if peek.is(K::Temp) || peek.is(K::Temporary) {
                    findings.effect(Effects::TEMPORARY, ReasonKind::Into, peek.span());
                }
            }
            K::With if before.kind() == Kind::Open => {
                if self.cursor.peek().is_name() {
                    self.stack[self.depth] |= WITH;
                    self.watch();
                }
            }
            K::For | K::Insert | K::Merge | K::Delete | K::Update => {
                self.clause(keyword);
                self.verb(token, keyword, findings);
            }
            _ => self.clause(keyword),
        }
        if self.judges_names {
            self.judge_name(token, findings);
        }
        self.trail.push(token);
    }

    /// Words that change data, or lock rows, when a certain word follows.
    #[inline(never)]
    fn verb(&mut self, token: Token, keyword: K, findings: &mut Findings) {
        if findings.is_settled() {
            // What follows would change nothing; and only in a read does it count that `ON CONFLICT (` could be a call.
            self.inserts = true;
            return;
        }
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
            _ => {}
        }
    }

    /// Follows the clauses that change what a later word means.
    fn clause(&mut self, keyword: K) {
        match keyword {
            K::By if self.trail.back(1).is(K::Group) => {
                self.group_by = Some(self.depth);
                self.watch();
            }
            K::Select | K::From | K::Where | K::Having | K::Order | K::Window | K::Union | K::Limit
                if self.group_by == Some(self.depth) =>
            {
                self.group_by = None;
                self.watch();
            }
            _ => {}
        }
        if self.is_in(WITH) && starts_statement(keyword) {
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
        let has_catalog = self.functions.is_some_and(|functions| functions.catalog.is_some());
        if self.purpose == Purpose::Run {
            findings.write(kind, span);
        } else if kind == ReasonKind::NestedWrite && has_catalog {
            findings.unknown(ReasonKind::HiddenCode, span);
        }
    }

    /// A keyword has a parenthesis behind it.
    #[inline(never)]
    fn word_group(&mut self, word: Token, token: Token, findings: &mut Findings) {
        let Some(keyword) = word.keyword() else { return };
        if keyword == K::Treat {
            // The server turns it into a call of the function that is named like the type.
            findings.unknown(ReasonKind::UnknownFunction, word.span());
        }
        let lead = self.trail.back(2);
        if !lead.has(Marks::OPERAND) && self.is_call(keyword, word.class()) {
            return self.call(word, Qualifier::None, token, findings);
        }
        let group = match keyword {
            K::On if lead.is(K::Distinct) => DISTINCT_ON,
            K::Operator => OPERATOR,
            K::Sets => SETS,
            _ => PLAIN,
        };
        self.open(group, token);
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

    /// A name, or a word that can only be one where it stands.
    fn name(&mut self, token: Token, findings: &mut Findings) {
        let before = self.trail.back(1);
        let marks = match before.kind() {
            Kind::Dot => self.member(token, findings),
            Kind::Cast => Marks::TYPE,
            _ if before.is(K::As) || before.is(K::Into) => Marks::TYPE,
            _ => Marks::NONE,
        };
        if is_suspect(token) {
            self.system_name(token, findings);
        }
        if self.judges_names {
            self.judge_name(token, findings);
        }
        let name = token.as_name(marks);
        self.trail.push(if self.is_option(token) { name.without(Marks::OPERAND) } else { name });
    }

    /// Whether it may be an option of a column of `XMLTABLE`, which the parser takes in quotes too: `a text "default" f(b)`.
    fn is_option(&self, token: Token) -> bool {
        token.kind() == Kind::Quoted
            && matches!(self.cursor.lexer().text(token), b"\"default\"" | b"\"path\"" | [b'u' | b'U', ..])
    }

    /// A word behind a point: what it is depends on what the point stands behind.
    fn member(&mut self, token: Token, findings: &mut Findings) -> Marks {
        let owner = self.trail.back(2);
        let is_field = owner.has(Marks::COMPOSITE.union(Marks::FIELD));
        let is_type = owner.has(Marks::TYPE);
        // The whole row of a function in FROM that gives a scalar is that scalar, so that `x.f` can be `f(x)` too.
        if is_field || (is_suspect(token) && !is_type && !self.is_qualified()) {
            self.attribute(token, findings);
        }
        match (is_field, is_type) {
            (true, _) => Marks::FIELD,
            (false, true) => Marks::TYPE,
            (false, false) => Marks::NONE,
        }
    }

    /// Whether more of the name follows, or its arguments.
    fn is_qualified(&mut self) -> bool {
        matches!(self.cursor.peek().kind(), Kind::Dot | Kind::Open)
    }

    /// A name has a parenthesis behind it.
    #[inline(never)]
    fn name_group(&mut self, name: Token, token: Token, findings: &mut Findings) {
        let lead = self.trail.back(2);
        if name.has(Marks::TYPE) {
            self.open(PLAIN, token);
        } else if self.is_head(lead) || lead.has(Marks::OPERAND) {
            self.open(COLUMNS, token);
        } else {
            self.call(name, self.qualifier(2), token, findings);
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
        let is_known = matches!(
            verdict,
            Verdict::Writes(_) | Verdict::Denied | Verdict::Session(_) | Verdict::Primary | Verdict::Local
        );
        if is_known {
            findings.judge(verdict, token.span());
        }
    }

    /// A word is a function, and its arguments follow.
    #[inline(never)]
    fn call(&mut self, name: Token, qualifier: Qualifier, token: Token, findings: &mut Findings) {
        // In a statement that is known to write only the effects of functions are of interest, and the lexer has marked
        // the names that have some.
        if findings.is_read() || is_suspect(name) {
            self.judge(name, qualifier, findings);
        } else if !name.is(K::Insert) {
            // `MERGE … THEN INSERT (a)` calls nothing.
            let verdict = functions::verdict(self.cursor.lexer(), self.functions, qualifier, name);
            if matches!(verdict, Verdict::Unknown | Verdict::Hidden(_) | Verdict::Denied) {
                findings.hidden_code();
            }
        }
        self.stack[self.depth] &= !WITH;
        self.enter(PLAIN, token);
    }

    fn judge(&self, name: Token, qualifier: Qualifier, findings: &mut Findings) {
        let verdict = functions::verdict(self.cursor.lexer(), self.functions, qualifier, name);
        let start = match qualifier {
            Qualifier::Schema(schema) => schema.start(),
            _ => name.start(),
        };
        let runs_a_text = || {
            let text = self.cursor.lexer().text(name);
            RUN_A_TEXT.iter().any(|known| text.eq_ignore_ascii_case(known.as_bytes()))
        };
        match verdict {
            Verdict::Unknown | Verdict::Hidden(_) | Verdict::Denied => findings.hidden_code(),
            Verdict::Writes(_) if runs_a_text() => findings.hidden_code(),
            _ => {}
        }
        findings.judge(verdict, Span::new(start, name.end()));
    }

    /// What a name with escapes says is not worth the trouble: it may be any name, that of the schema of temporary tables or of
    /// a function among them.
    fn escaped_name(&mut self, token: Token, findings: &mut Findings) {
        findings.unknown(ReasonKind::NotUnderstood, token.span());
        // What is unknown is cleaned up behind for whatever it may leave; what is known to write, for what it is known to.
        let effects = match self.cursor.peek().kind() {
            _ if !findings.is_settled() => return,
            Kind::Dot => Effects::TEMPORARY,
            Kind::Open => ESCAPED,
            _ => return,
        };
        findings.effect(effects, ReasonKind::NotUnderstood, token.span());
    }

    /// Whether the name that stands here is that of what an UPDATE changes.
    fn is_updated(&self) -> bool {
        let is_qualified = self.trail.back(1).kind() == Kind::Dot;
        let before = self.trail.back(if is_qualified { 3 } else { 1 });
        before.is(K::Update) || before.is(K::Only)
    }

    /// Names that belong to one session.
    #[inline(never)]
    fn system_name(&mut self, token: Token, findings: &mut Findings) {
        let text = self.cursor.lexer().text(token);
        let text = match token.kind() {
            Kind::Quoted if text[0] != b'"' => return self.escaped_name(token, findings),
            Kind::Quoted => text.get(1..text.len() - 1).unwrap_or_default(),
            _ => text,
        };
        let is = |name: &[u8]| text.eq_ignore_ascii_case(name);
        let is_temporary = text.get(..7).is_some_and(|start| start.eq_ignore_ascii_case(b"pg_temp"));
        if is(b"pg_sequences") {
            return findings.write(ReasonKind::Sequence, token.span());
        }
        if functions::is_of_one_server(text) {
            return findings.judge(Verdict::Local, token.span());
        }
        let effect = if is_temporary && self.cursor.peek().kind() == Kind::Dot {
            Effects::TEMPORARY
        } else if is(b"pg_cursors") {
            Effects::CURSOR
        } else if is(b"pg_prepared_statements") {
            Effects::PREPARED
        } else if is(b"pg_settings") && self.is_updated() {
            // Its rule sets what is written to it.
            Effects::SETTING
        } else {
            return;
        };
        findings.effect(effect, ReasonKind::SessionName, token.span());
    }
}

/// Whether a statement, or a part of one behind its common table expressions, starts with this word.
const fn starts_statement(keyword: K) -> bool {
    matches!(
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
    )
}

/// Whether the name may be one of the server's own that has an effect.
const fn is_suspect(name: Token) -> bool {
    matches!(name.class(), Class::System) || matches!(name.kind(), Kind::Quoted)
}
