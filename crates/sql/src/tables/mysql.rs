//! Verbs of MySQL and MariaDB, as far as they name tables.

use super::TableUse;
use super::finder::Finder;
use super::frame::{Before, Mode};
use crate::lexer::{Keyword as K, Kind, Token};

impl Finder<'_, '_> {
    /// Takes the verb, and what names tables right behind it.
    pub(super) fn mysql(&mut self) {
        let verb = self.cursor.peek();
        if verb.kind() == Kind::Open {
            return;
        }
        match verb.keyword() {
            Some(K::Select | K::With | K::Values | K::Table) => {}
            Some(keyword @ (K::Insert | K::Replace | K::Update | K::Delete)) => {
                self.cursor.next();
                self.verb(keyword);
            }
            Some(K::Explain | K::Describe | K::Desc) => self.described(),
            Some(K::Analyze) => self.analyzed(),
            Some(K::Show) => self.shown(),
            Some(K::Set) => self.assigned(),
            Some(K::Load) => self.loaded(),
            Some(K::Truncate) => {
                self.cursor.next();
                self.cursor.eat(K::Table);
                self.target(TableUse::Write);
                self.pass_over();
            }
            Some(K::Checksum) => {
                self.cursor.next();
                self.checked(TableUse::Read);
            }
            // What they do is done to no table.
            Some(K::Use | K::Begin | K::Start | K::Commit | K::Rollback | K::Savepoint | K::Release) => {
                self.pass_over();
            }
            _ => {
                self.give_up();
                self.pass_over();
            }
        }
    }

    /// `… TABLE a, b [options]`.
    fn checked(&mut self, usage: TableUse) {
        if self.next_is(&["table", "tables"]) {
            self.cursor.next();
            self.targets(usage);
        } else {
            self.give_up();
        }
        self.pass_over();
    }

    /// `EXPLAIN [options] statement`, or `DESCRIBE table [column]`.
    fn described(&mut self) {
        self.cursor.next();
        loop {
            let token = self.cursor.peek();
            match token.keyword() {
                Some(K::Select | K::With | K::Values | K::Table) => return,
                Some(K::Insert | K::Replace | K::Update | K::Delete) => return self.mysql(),
                Some(K::Extended | K::Partitions | K::Analyze) => {
                    self.cursor.next();
                }
                Some(K::Format) => self.format(),
                // Of another connection's statement, or into a variable.
                Some(K::For | K::Into) => break,
                _ if token.kind() == Kind::Open => return,
                _ if token.is_name() => {
                    self.target(TableUse::Read);
                    return self.pass_over();
                }
                _ => break,
            }
        }
        self.give_up();
        self.pass_over();
    }

    /// `FORMAT = name`.
    fn format(&mut self) {
        self.cursor.next();
        if self.cursor.peek().kind() == Kind::Equals {
            self.cursor.next();
            self.cursor.next();
        }
    }

    /// `ANALYZE TABLE …`, which writes tables of the server too, or MariaDB's `ANALYZE [FORMAT=JSON] statement`.
    fn analyzed(&mut self) {
        self.cursor.next();
        self.format_if_any();
        match self.cursor.peek().keyword() {
            Some(K::Select | K::With | K::Values) => {}
            Some(K::Insert | K::Replace | K::Update | K::Delete) => self.mysql(),
            _ if self.cursor.peek().kind() == Kind::Open => {}
            _ => {
                self.give_up();
                while self.next_is(&["local", "no_write_to_binlog"]) {
                    self.cursor.next();
                }
                self.checked(TableUse::Write);
            }
        }
    }

    fn format_if_any(&mut self) {
        if self.cursor.peek().is(K::Format) {
            self.format();
        }
    }

    /// `SHOW …`, as far as it shows one table, or nothing of any.
    fn shown(&mut self) {
        self.cursor.next();
        while self.next_is(&["full", "extended", "global", "session", "local"]) {
            self.cursor.next();
        }
        let what = self.cursor.next();
        if self.is_any(what, &["columns", "fields", "index", "indexes", "keys"]) {
            return self.shown_of_table();
        }
        if what.is(K::Create) && self.next_is(&["table", "view"]) {
            self.cursor.next();
            self.target(TableUse::Read);
            return self.pass_over();
        }
        if !self.is_any(what, &["variables", "warnings", "errors", "collation", "charset"]) {
            self.give_up();
        }
        self.before = Before::Group;
    }

    /// `{FROM|IN} table [{FROM|IN} database] …`.
    fn shown_of_table(&mut self) {
        if !self.next_is(&["from", "in"]) {
            return self.give_up();
        }
        self.cursor.next();
        self.target(TableUse::Read);
        if self.next_is(&["from", "in"]) {
            self.cursor.next();
            let database = self.cursor.next();
            self.move_to(database);
        }
        self.before = Before::Group;
    }

    /// The last table is in a database that is named behind it.
    fn move_to(&mut self, database: Token) {
        let name = super::names::folded(self.cursor.lexer(), database).filter(|_| database.is_word());
        match (self.found.all.last_mut(), name) {
            (Some(table), Some(name)) => table.schema = Some(name),
            _ => self.give_up(),
        }
    }

    /// `SET name = value, …`. A statement, and the tables of accounts, can stand behind it too.
    fn assigned(&mut self) {
        self.cursor.next();
        if self.next_is(&["statement", "password", "default", "role", "resource"]) {
            self.give_up();
            return self.pass_over();
        }
        self.before = Before::Operator;
    }

    /// `LOAD DATA … INTO TABLE t … SET column = value`.
    fn loaded(&mut self) {
        self.cursor.next();
        if !self.next_is(&["data", "xml"]) {
            self.give_up();
            return self.pass_over();
        }
        loop {
            let token = self.cursor.next();
            if token.is_last() {
                return self.give_up();
            }
            if token.is(K::Into) && self.cursor.peek().is(K::Table) {
                self.cursor.next();
                self.target(TableUse::Write);
                return self.enter(Mode::Values);
            }
        }
    }
}
