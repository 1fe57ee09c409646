//! The verbs that change data.

use super::TableUse;
use super::finder::Finder;
use super::frame::{Before, Mode, Using, Verb};
use crate::lexer::Keyword as K;

impl Finder<'_, '_> {
    /// `INSERT`, `UPDATE`, `DELETE` or `MERGE`, which has been taken.
    pub(super) fn verb(&mut self, keyword: K) {
        self.enter(Mode::Values);
        match keyword {
            K::Insert | K::Replace => self.insert(),
            K::Update => self.update(),
            K::Delete => self.delete(),
            _ => self.merge(),
        }
    }

    fn insert(&mut self) {
        if self.is_postgres {
            self.expect(K::Into);
        } else {
            while self.next_is(&["low_priority", "high_priority", "delayed", "ignore", "into"]) {
                self.cursor.next();
            }
        }
        self.target(TableUse::Write);
        self.begin(Verb::Insert);
    }

    fn update(&mut self) {
        self.begin(Verb::Update);
        if self.is_postgres {
            self.target(TableUse::Write);
            self.frame().usage = TableUse::Write;
            self.enter(Mode::Behind);
            return;
        }
        while self.next_is(&["low_priority", "ignore"]) {
            self.cursor.next();
        }
        self.list(TableUse::Write);
    }

    fn delete(&mut self) {
        self.begin(Verb::Delete);
        if self.is_postgres {
            self.frame().using = Using::Tables;
            self.expect(K::From);
            self.target(TableUse::Write);
            self.enter(Mode::Behind);
            return;
        }
        while self.next_is(&["low_priority", "quick", "ignore", "history"]) && !self.cursor.peek().is(K::From)
        {
            self.cursor.next();
        }
        let is_one = self.cursor.peek().is(K::From);
        if is_one {
            // Behind `DELETE a FROM` the word only lists columns that a join is by.
            self.frame().using = Using::Tables;
        }
        // `DELETE a, b FROM …`: what is deleted from is named again behind FROM, where aliases are told apart.
        while !self.cursor.peek().is(K::From) && !self.cursor.peek().is_last() {
            self.cursor.next();
        }
        self.expect(K::From);
        self.list(TableUse::Write);
        let first = self.found.all.len();
        let frame = self.frame();
        frame.first_target = first;
        frame.is_target = is_one;
    }

    fn merge(&mut self) {
        self.begin(Verb::Merge);
        self.expect(K::Into);
        self.target(TableUse::Write);
        let frame = self.frame();
        frame.using = Using::Tables;
        frame.mode = Mode::Behind;
    }

    fn expect(&mut self, keyword: K) {
        if !self.cursor.eat(keyword) {
            self.give_up();
        }
    }

    /// A list of tables starts.
    pub(super) fn list(&mut self, usage: TableUse) {
        let frame = self.frame();
        frame.mode = Mode::Table;
        frame.has_list = true;
        frame.usage = usage;
    }

    /// A statement that changes data starts.
    fn begin(&mut self, verb: Verb) {
        let known = self.expressions.len();
        let frame = self.frame();
        frame.verb = verb;
        frame.known_to_insert = known;
        frame.may_have_with = verb == Verb::Insert;
        self.before = Before::Group;
    }
}
