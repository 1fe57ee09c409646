//! A walk over the tokens of one statement that looks for the names of tables.
//!
//! It knows where the language lists tables, and takes nothing else for one. It may take a name for a table that is none;
//! what it does not expect makes the list incomplete, so that it never passes over a table in silence.

use millpond_core::Access;

use super::frame::{Before, Frame, Mode};
use super::{Completeness, Table, TableUse, names};
use crate::classifier::{Functions, Options};
use crate::cursor::{Cursor, MAX_DEPTH};
use crate::functions::Qualifier;
use crate::lexer::{Keyword as K, Kind, Lexer, Token};
use crate::{Dialect, Span};

/// The walk over one statement.
pub(super) struct Finder<'f, 'a> {
    pub(super) cursor: Cursor<'a>,
    pub(super) functions: Option<&'f Functions>,
    /// What the statement was found to be.
    pub(super) access: Access,
    pub(super) is_postgres: bool,
    /// The statement, and every group that is open.
    pub(super) frames: Vec<Frame>,
    /// The names of common table expressions that can be read here.
    pub(super) expressions: Vec<Box<str>>,
    pub(super) before: Before,
    /// The last token.
    pub(super) last: Token,
    /// What stood before the last word.
    pub(super) lead: Before,
    /// What the next name is qualified with, if a point stands before it.
    pub(super) qualifier: Qualifier,
    pub(super) found: Found,
}

/// What was found.
pub(super) struct Found {
    pub(super) all: Vec<Table>,
    pub(super) completeness: Completeness,
}

impl<'f, 'a> Finder<'f, 'a> {
    pub(super) fn new(
        sql: &'a str,
        access: Access,
        options: Options,
        functions: Option<&'f Functions>,
    ) -> Self {
        Self {
            cursor: Cursor::new(Lexer::new(sql, options)),
            functions,
            access,
            is_postgres: options.dialect == Dialect::Postgres,
            frames: vec![Frame::new(Mode::Values, 0)],
            expressions: Vec::new(),
            before: Before::Start,
            last: Token::end_at(0),
            lead: Before::Start,
            qualifier: Qualifier::None,
            found: Found { all: Vec::new(), completeness: Completeness::Complete },
        }
    }

    pub(super) fn run(mut self) -> Found {
        self.cursor.next_statement();
        if self.is_postgres {
            self.postgres();
        } else {
            self.mysql();
        }
        loop {
            let token = self.cursor.next();
            match token.kind() {
                Kind::End => {
                    if self.frames.len() > 1 {
                        self.give_up();
                    }
                    self.leave();
                    return self.found;
                }
                Kind::Bad => {
                    self.give_up();
                    return self.found;
                }
                _ => self.step(token),
            }
        }
    }

    /// Some table may not be found.
    pub(super) fn give_up(&mut self) {
        self.found.completeness = Completeness::Partial;
    }

    pub(super) fn frame(&mut self) -> &mut Frame {
        if self.frames.is_empty() {
            self.frames.push(Frame::new(Mode::Values, 0));
        }
        let innermost = self.frames.len() - 1;
        &mut self.frames[innermost]
    }

    pub(super) fn enter(&mut self, mode: Mode) {
        self.frame().mode = mode;
    }

    /// Takes any token but the last one.
    fn step(&mut self, token: Token) {
        if self.frame().mode == Mode::Table {
            return self.item(token);
        }
        self.token(token);
    }

    /// Takes a token where no table is expected.
    pub(super) fn token(&mut self, token: Token) {
        match token.kind() {
            Kind::Open => self.open(),
            Kind::Close => self.close(),
            Kind::Word => self.word(token),
            Kind::Name | Kind::Quoted => self.name(token),
            Kind::Comma => self.comma(),
            Kind::Dot => self.dot(),
            _ => self.symbol(token),
        }
        self.last = token;
    }

    fn symbol(&mut self, token: Token) {
        match token.kind() {
            Kind::OpenBracket => self.frame().brackets += 1,
            Kind::CloseBracket => self.frame().brackets = self.frame().brackets.saturating_sub(1),
            _ => {}
        }
        // `t *` names the tables that inherit from it too.
        let is_star = self.cursor.lexer().text(token) == b"*";
        if self.frame().mode == Mode::Behind && !is_star {
            self.give_up();
        }
        self.before = match token.kind() {
            // `int[]`: what follows is still the type.
            Kind::OpenBracket | Kind::CloseBracket if self.before == Before::Type => Before::Type,
            Kind::Text | Kind::Number | Kind::Param | Kind::UserVariable | Kind::CloseBracket => {
                Before::Value
            }
            Kind::Cast => Before::Cast,
            Kind::SystemVariable => Before::Dot,
            _ => Before::Operator,
        };
    }

    fn comma(&mut self) {
        let frame = self.frame();
        match frame.mode {
            Mode::Behind | Mode::Condition if frame.brackets == 0 => frame.mode = Mode::Table,
            Mode::With => self.next_head(),
            _ => {}
        }
        self.before = Before::Comma;
    }

    fn dot(&mut self) {
        let is_name = match self.before {
            Before::Name | Before::Type => true,
            Before::Keyword(_) => self.last.is_name(),
            _ => false,
        };
        self.qualifier =
            if is_name && self.lead != Before::Dot { Qualifier::Schema(self.last) } else { Qualifier::Other };
        self.before = Before::Dot;
    }

    fn name(&mut self, token: Token) {
        if self.frame().mode == Mode::With {
            self.head(token);
        }
        let is_type = matches!(self.before, Before::Cast | Before::Keyword(K::As));
        let behind_type = self.before == Before::Dot && self.lead == Before::Cast;
        if self.before == Before::Dot {
            self.attribute(token);
        }
        let calls = self.cursor.peek().kind() == Kind::Open && !is_type && !behind_type;
        if calls && self.frame().mode != Mode::Columns && !self.is_alias() {
            return self.call_of(token);
        }
        // Of a qualified type the point stands before the last name, and what counts is in front of it.
        self.lead = if behind_type { Before::Cast } else { self.before };
        self.before = if is_type || behind_type { Before::Type } else { Before::Name };
    }

    /// Takes a word as the name that it is where it stands.
    pub(super) fn name_word(&mut self, token: Token) {
        self.name(token);
    }

    /// Whether a name here cannot be that of a function, since it follows an operand: it is an alias with its columns.
    fn is_alias(&mut self) -> bool {
        match self.frame().mode {
            Mode::With => true,
            Mode::Behind => self.before.is_operand(),
            _ => self.follows_operand(),
        }
    }

    /// Whether an operand ends before this. MySQL has words that are no keywords to the lexer, and stand in front of
    /// operands.
    pub(super) fn follows_operand(&self) -> bool {
        if self.is_postgres { self.before.is_operand() } else { self.before == Before::Group }
    }

    /// A name that calls a function; its parenthesis comes next.
    pub(super) fn call_of(&mut self, token: Token) {
        let qualifier = if self.before == Before::Dot { self.qualifier } else { Qualifier::None };
        self.call(token, qualifier);
        self.lead = self.before;
        self.before = Before::Operator;
    }

    fn open(&mut self) {
        let known = self.expressions.len();
        let mut group = Frame::new(Mode::Values, known);
        let before = self.before;
        let frame = self.frame();
        match frame.mode {
            Mode::Columns => group.mode = Mode::Columns,
            Mode::With => return self.open_in_with(),
            Mode::Behind if before.is_operand() || before == Before::Keyword(K::As) => {
                group.mode = Mode::Columns;
            }
            _ if before == Before::Type => group.mode = Mode::Columns,
            _ => {}
        }
        group.closes_as = match before {
            // An expression follows, not an alias.
            Before::Keyword(K::On) if self.lead == Before::Keyword(K::Distinct) => before,
            Before::Keyword(K::Operator) => {
                self.operator();
                Before::Operator
            }
            _ => Before::Group,
        };
        self.push(group);
    }

    /// Enters a group; its parenthesis has been taken.
    pub(super) fn push(&mut self, group: Frame) {
        if self.frames.len() > MAX_DEPTH {
            // The statement is not taken for a read then either.
            self.give_up();
        } else {
            self.frames.push(group);
        }
        self.before = Before::Start;
    }

    fn close(&mut self) {
        self.leave();
        let Some(group) = self.frames.pop() else { return };
        self.expressions.truncate(group.known);
        if self.frames.is_empty() {
            self.give_up();
        }
        if self.frame().mode == Mode::With {
            self.close_in_with();
        }
        self.before = group.closes_as;
    }

    /// A statement or group ends: nothing may be missing from it.
    fn leave(&mut self) {
        if matches!(self.frame().mode, Mode::Table | Mode::With) {
            self.give_up();
        }
    }

    /// Takes a table, whose name ends with `token`.
    pub(super) fn record(&mut self, schema: Option<Token>, token: Token, usage: TableUse) {
        if !token.is_word() {
            return self.give_up();
        }
        let lexer = self.cursor.lexer();
        let name = names::folded(lexer, token);
        let start = schema.unwrap_or(token).start();
        let schema = match schema.map(|schema| names::folded(lexer, schema)) {
            Some(None) => return self.give_up(),
            Some(known) => known,
            None => None,
        };
        let Some(name) = name else { return self.give_up() };
        self.found.all.push(Table { schema, name, usage, span: Span::new(start, token.end()) });
    }

    /// Whether `token`, without a schema, is the name of a common table expression.
    pub(super) fn is_expression(&self, token: Token) -> bool {
        let name = names::of_expression(self.cursor.lexer(), token);
        name.is_some_and(|name| self.expressions.contains(&name))
    }

    /// Whether a token is one of these words, which are given in lower case.
    pub(super) fn is_any(&self, token: Token, words: &[&str]) -> bool {
        let text = self.cursor.lexer().text(token);
        token.kind() != Kind::Quoted && words.iter().any(|word| word.as_bytes().eq_ignore_ascii_case(text))
    }
}
