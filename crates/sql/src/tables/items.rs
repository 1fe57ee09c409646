//! Lists of tables: what stands in the place of a table.

use super::TableUse;
use super::finder::Finder;
use super::frame::{Before, Frame, Mode};
use crate::functions::Qualifier;
use crate::lexer::{Class, Keyword as K, Kind, Token};

/// A name of up to three parts.
struct Path {
    /// The part before the last one.
    schema: Option<Token>,
    name: Token,
    parts: usize,
}

impl Finder<'_, '_> {
    /// A table comes here.
    pub(super) fn item(&mut self, token: Token) {
        let peek = self.cursor.peek();
        match token.keyword() {
            _ if token.kind() == Kind::Open => return self.open_items(token),
            Some(K::Only) if self.is_postgres => return self.pass(token),
            Some(K::Lateral) if self.is_postgres || peek.kind() == Kind::Open => return self.pass(token),
            Some(K::Select | K::With) => return self.query(token),
            Some(K::Values) if peek.kind() == Kind::Open => return self.query(token),
            // `VALUES ROW(…)`.
            Some(K::Values) if !self.is_postgres => return self.query(token),
            Some(K::Table) => return self.query(token),
            _ => {}
        }
        if token.is_name() || (token.kind() == Kind::Dot && !self.is_postgres) {
            return self.named(token);
        }
        // A table without rows and columns, which the server has.
        if self.is_postgres || !self.is_any(token, &["dual"]) {
            self.give_up();
        }
        self.enter(Mode::Behind);
        self.token(token);
    }

    /// A word that changes nothing about what comes.
    fn pass(&mut self, token: Token) {
        self.lead = self.before;
        self.last = token;
        if let Some(keyword) = token.keyword() {
            self.before = Before::Keyword(keyword);
        }
    }

    /// A parenthesis that holds a query, or tables.
    fn open_items(&mut self, token: Token) {
        let known = self.expressions.len();
        let frame = self.frame();
        frame.mode = Mode::Behind;
        let mut group = Frame::new(Mode::Table, known);
        group.usage = frame.usage;
        group.has_list = true;
        group.is_target = frame.is_target;
        self.last = token;
        self.push(group);
    }

    /// The parenthesis holds a query after all.
    fn query(&mut self, token: Token) {
        let frame = self.frame();
        frame.mode = Mode::Values;
        frame.usage = TableUse::Read;
        frame.is_target = false;
        frame.has_list = false;
        self.token(token);
    }

    /// A name: that of a table, or of a function.
    fn named(&mut self, first: Token) {
        let is_rows = self.is_any(first, &["rows"]) && self.cursor.peek().is(K::From);
        self.enter(Mode::Behind);
        if is_rows && self.is_postgres {
            // `ROWS FROM (f(…), g(…))`: functions only.
            let from = self.cursor.next();
            return self.pass(from);
        }
        let path = self.path(first);
        self.last = path.name;
        if self.cursor.peek().kind() == Kind::Open {
            let qualifier = match (path.schema, path.parts) {
                (None, _) => Qualifier::None,
                (Some(schema), 2) => Qualifier::Schema(schema),
                _ => Qualifier::Other,
            };
            // The words for `XMLTABLE (` and its like call nothing.
            if path.name.class() != Class::Construct || path.parts > 1 {
                self.call(path.name, qualifier);
            }
            self.lead = Before::Comma;
            self.before = Before::Operator;
            return;
        }
        let frame = self.frame();
        let (usage, is_target) = (frame.usage, frame.is_target);
        if path.parts > 1 || is_target || !self.is_expression(path.name) {
            self.record(path.schema, path.name, usage);
        }
        self.lead = Before::Comma;
        self.before = Before::Group;
    }

    /// Reads a name that may be qualified, from its first part on; a point in front of it is passed over.
    fn path(&mut self, first: Token) -> Path {
        let mut path = Path { schema: None, name: first, parts: 1 };
        if first.kind() == Kind::Dot {
            path.name = self.cursor.next();
        }
        while self.cursor.peek().kind() == Kind::Dot {
            self.cursor.next();
            let next = self.cursor.peek();
            if next.is_word() {
                path.schema = Some(path.name);
                path.name = self.cursor.next();
                path.parts += 1;
            } else if !self.is_postgres && self.cursor.lexer().text(next) == b"*" {
                // `DELETE t.* FROM …`.
                self.cursor.next();
            } else {
                self.give_up();
            }
        }
        path
    }

    /// A table that is named behind a verb: `INSERT INTO [ONLY] t`. It is never a common table expression.
    pub(super) fn target(&mut self, usage: TableUse) {
        let is_only = self.is_postgres && self.cursor.eat(K::Only);
        let is_group = is_only && self.cursor.peek().kind() == Kind::Open;
        if is_group {
            self.cursor.next();
        }
        let first = self.cursor.peek();
        if !(first.is_name() || (first.kind() == Kind::Dot && !self.is_postgres)) {
            return self.give_up();
        }
        let first = self.cursor.next();
        let path = self.path(first);
        self.record(path.schema, path.name, usage);
        self.last = path.name;
        if is_group {
            self.last = self.cursor.next();
            if self.last.kind() != Kind::Close {
                self.give_up();
            }
        }
        self.lead = Before::Start;
        self.before = Before::Group;
    }

    /// The tables that are listed behind a verb, up to what is no more of the list.
    pub(super) fn targets(&mut self, usage: TableUse) {
        loop {
            self.target(usage);
            let next = self.cursor.peek();
            if self.cursor.lexer().text(next) == b"*" {
                self.cursor.next();
            }
            if self.cursor.peek().kind() != Kind::Comma {
                return;
            }
            self.cursor.next();
        }
    }
}
