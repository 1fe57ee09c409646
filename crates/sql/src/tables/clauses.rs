//! The words of the language: where lists of tables start and end.

use super::TableUse;
use super::finder::Finder;
use super::frame::{Before, Mode, Using, Verb};
use crate::lexer::{Class, Keyword as K, Kind, Token};

impl Finder<'_, '_> {
    /// Takes a keyword where no table is expected.
    pub(super) fn word(&mut self, token: Token) {
        let Some(keyword) = token.keyword() else { return };
        if self.is_label(token) {
            return self.name_word(token);
        }
        let before = self.before;
        if self.is_verb(keyword) {
            // The names are read behind the verb, and what stands before the next token is set there.
            return self.verb(keyword);
        }
        self.clause(token, keyword);
        let calls = self.cursor.peek().kind() == Kind::Open
            && self.frame().mode != Mode::Columns
            && self.is_call(token, keyword);
        if calls {
            return self.call_of(token);
        }
        self.before = match keyword {
            K::Distinct if self.compares(before) => Before::Comparison,
            _ => Before::Keyword(keyword),
        };
        self.lead = before;
    }

    /// Whether a word can only be a name where it stands.
    fn is_label(&mut self, token: Token) -> bool {
        if self.frame().mode == Mode::With {
            // A name in a list of common table expressions; a verb there follows a group or a name.
            let is_place = matches!(self.before, Before::Keyword(K::With | K::Recursive) | Before::Comma);
            return is_place && token.is_name();
        }
        match self.before {
            Before::Dot | Before::Cast => true,
            Before::Keyword(K::As) => self.is_postgres || token.class() != Class::Reserved,
            _ => false,
        }
    }

    /// Whether `DISTINCT` is that of `IS [NOT] DISTINCT FROM`.
    fn compares(&self, before: Before) -> bool {
        before == Before::Keyword(K::Is)
            || (before == Before::Keyword(K::Not) && self.lead == Before::Keyword(K::Is))
    }

    /// Whether a word is a verb that changes data, and no name: at the start of the body of a common table expression, and
    /// behind a list of them.
    fn is_verb(&mut self, keyword: K) -> bool {
        let is_one = matches!(keyword, K::Insert | K::Update | K::Delete | K::Merge);
        let frame = self.frame();
        let may_stand = match frame.mode {
            Mode::With => self.before.is_operand(),
            _ => frame.is_body && self.before == Before::Start,
        };
        is_one && may_stand
    }

    /// Words that start or end a list.
    fn clause(&mut self, token: Token, keyword: K) {
        match keyword {
            K::With => {
                if self.starts_with() {
                    self.with();
                }
            }
            K::As if self.frame().mode == Mode::With => self.body_follows(),
            K::Select | K::Values | K::Table => self.select(keyword),
            K::From => self.from(),
            K::Join | K::StraightJoin => self.join(keyword),
            K::Cross | K::Natural => self.frame().is_cross = true,
            K::On => self.on(),
            K::Using => self.using(),
            K::Into => self.into(),
            K::Set => self.set(),
            K::Next | K::Previous | K::Default | K::Treat | K::Procedure => self.hidden(keyword),
            K::Insert | K::Update | K::Delete | K::Merge => self.stray_verb(keyword),
            K::Case => self.frame().cases += 1,
            K::End => self.frame().cases = self.frame().cases.saturating_sub(1),
            _ => self.end_of_list(token, keyword),
        }
    }

    /// `SELECT`, `VALUES`, `TABLE`: a query.
    fn select(&mut self, keyword: K) {
        let has_columns = self.cursor.peek().kind() == Kind::Open;
        let (is_postgres, before) = (self.is_postgres, self.before);
        let frame = self.frame();
        // `VALUES` and, in MySQL, `VALUES(column)` can stand among expressions.
        if keyword == K::Values && is_postgres && !has_columns {
            return;
        }
        let is_behind = matches!(frame.mode, Mode::Behind | Mode::Condition);
        if keyword == K::Values && has_columns && is_behind {
            if !is_postgres && frame.mode == Mode::Condition {
                return;
            }
            let follows_query =
                matches!(before, Before::Keyword(K::Union | K::Intersect | K::Except | K::All | K::Distinct));
            // In PostgreSQL it can be an alias with its columns: `FROM a VALUES (b), c`.
            if is_postgres
                && !follows_query
                && (frame.selects || !matches!(frame.verb, Verb::Insert | Verb::Merge))
            {
                return self.give_up();
            }
        }
        if frame.mode == Mode::Columns {
            return self.give_up();
        }
        frame.may_have_with = false;
        frame.usage = TableUse::Read;
        frame.is_target = false;
        match keyword {
            K::Select => {
                frame.mode = Mode::Values;
                frame.selects = true;
            }
            K::Table => {
                frame.mode = Mode::Table;
                frame.has_list = true;
            }
            _ => frame.mode = Mode::Values,
        }
    }

    fn from(&mut self) {
        let is_comparison = self.before == Before::Comparison;
        let frame = self.frame();
        let is_list = match frame.mode {
            Mode::Values => frame.selects || frame.verb == Verb::Update,
            Mode::Behind | Mode::Condition => true,
            Mode::With | Mode::Columns | Mode::Table => return self.give_up(),
        };
        // In `extract(year from x)` nothing is selected.
        if is_list && !is_comparison {
            frame.mode = Mode::Table;
            frame.has_list = true;
            frame.joins = 0;
        }
    }

    fn join(&mut self, keyword: K) {
        let frame = self.frame();
        if !frame.has_list {
            // `SELECT STRAIGHT_JOIN …` is a hint; another join without a list is none that is understood.
            return if keyword == K::Join {
                self.give_up()
            };
        }
        if !frame.is_cross && keyword == K::Join {
            frame.joins += 1;
        }
        frame.is_cross = false;
        frame.mode = Mode::Table;
    }

    /// `ON`: the condition of a join, or what an `INSERT` does with a row that is there already.
    fn on(&mut self) {
        let (next, after) = self.next_two();
        // In PostgreSQL it is a column behind any other join.
        let is_duplicate = !self.is_postgres && self.is_any(next, &["duplicate"]) && after.is(K::Key);
        let is_conflict = self.is_postgres && next.is(K::Conflict);
        let frame = self.frame();
        let is_clause = frame.verb == Verb::Insert
            && ((is_duplicate && !matches!(frame.mode, Mode::With)) || (is_conflict && frame.joins == 0));
        if is_clause {
            frame.mode = Mode::Values;
            let known = frame.known_to_insert;
            self.expressions.truncate(known);
        } else if matches!(frame.mode, Mode::Behind | Mode::Condition) {
            let is_of_join = frame.joins > 0 || frame.verb == Verb::Merge;
            frame.joins = frame.joins.saturating_sub(1);
            frame.mode = Mode::Condition;
            // MySQL takes a condition behind any join.
            if self.is_postgres && !is_of_join {
                self.give_up();
            }
        }
    }

    pub(super) fn next_two(&mut self) -> (Token, Token) {
        let next = self.cursor.peek();
        let mut ahead = self.cursor.clone();
        ahead.next();
        (next, ahead.peek())
    }

    fn using(&mut self) {
        let is_postgres = self.is_postgres;
        let frame = self.frame();
        if !matches!(frame.mode, Mode::Behind | Mode::Condition) {
            return;
        }
        match frame.using {
            Using::Columns => {
                frame.joins = frame.joins.saturating_sub(1);
                frame.mode = Mode::Behind;
            }
            Using::Tables => {
                frame.using = Using::Columns;
                frame.mode = Mode::Table;
                frame.has_list = true;
                if is_postgres {
                    frame.usage = TableUse::Read;
                } else {
                    // The names before it are those, or the aliases, of tables that come now.
                    frame.is_target = false;
                    let first = frame.first_target;
                    self.found.all.truncate(first);
                }
            }
        }
    }

    /// `SELECT … INTO`.
    fn into(&mut self) {
        if !self.frame().selects {
            return;
        }
        self.enter(Mode::Values);
        if self.is_postgres {
            const WORDS: &[&str] = &["local", "global", "temp", "temporary", "unlogged", "table"];
            while !self.cursor.peek().is_last() && self.next_is(WORDS) {
                self.cursor.next();
            }
            self.target(TableUse::Write);
            // The new table is written into the catalogs too.
            self.give_up();
        } else if !matches!(self.cursor.peek().kind(), Kind::UserVariable)
            && !self.next_is(&["outfile", "dumpfile"])
        {
            self.give_up();
        }
    }

    /// Whether the next token is one of these words, which are given in lower case.
    pub(super) fn next_is(&mut self, words: &[&str]) -> bool {
        let next = self.cursor.peek();
        self.is_any(next, words)
    }

    /// `SET` behind the tables of an `UPDATE`.
    fn set(&mut self) {
        let frame = self.frame();
        let is_list = matches!(frame.mode, Mode::Behind | Mode::Condition);
        // Behind it, the word can be an alias.
        if frame.verb == Verb::Update && frame.usage == TableUse::Write && is_list {
            frame.mode = Mode::Values;
            frame.usage = TableUse::Read;
            frame.is_target = false;
        }
    }

    /// A verb where none is expected: a name, most likely, or the end of a clause. What else looks like a statement is not
    /// passed over in silence.
    fn stray_verb(&mut self, keyword: K) {
        let next = self.cursor.peek();
        let starts = match keyword {
            K::Update => {
                let is_clause = matches!(self.before, Before::Keyword(K::For | K::Do | K::Key | K::No));
                let is_action = self.frame().verb == Verb::Merge;
                !is_clause && !is_action && (next.is_name() || next.is(K::Only)) && !next.is(K::Set)
            }
            K::Delete => next.is(K::From),
            _ => next.is(K::Into),
        };
        if starts {
            self.give_up();
        }
    }

    /// Words that may reach a sequence or call a function without naming it as one.
    fn hidden(&mut self, keyword: K) {
        let next = self.cursor.peek();
        let is_hidden = match keyword {
            K::Next | K::Previous => next.is(K::Value),
            K::Default => !self.is_postgres && next.kind() == Kind::Open,
            K::Treat => next.kind() == Kind::Open,
            _ => !self.is_postgres,
        };
        if is_hidden {
            self.give_up();
        }
    }

    /// Words behind which no list goes on. Only those that can be no names count.
    fn end_of_list(&mut self, token: Token, keyword: K) {
        if token.class() != Class::Reserved {
            return;
        }
        let next = self.cursor.peek();
        let is_behind = matches!(self.frame().mode, Mode::Behind | Mode::Condition);
        let ends = match keyword {
            K::Where | K::Having | K::Window | K::Limit | K::Offset | K::Fetch => true,
            K::Union | K::Intersect | K::Except => true,
            K::Returning => {
                self.ends_insert();
                true
            }
            // `WITHIN GROUP (…)` can stand in a condition.
            K::Group | K::Order => next.is(K::By),
            _ if self.is_any(token, &["when"]) => self.frame().verb == Verb::Merge && self.frame().cases == 0,
            K::For if matches!(next.keyword(), Some(K::Update | K::Share | K::No | K::Key | K::Read)) => true,
            // The past of a table, or a part of it by time: MariaDB's.
            K::For => {
                return if is_behind {
                    self.give_up()
                };
            }
            K::Index | K::Key => {
                return if is_behind {
                    self.hint()
                };
            }
            _ => false,
        };
        if is_behind && ends {
            self.enter(Mode::Values);
        }
    }

    /// `RETURNING`: the `WITH` of an inserted query ends before it.
    fn ends_insert(&mut self) {
        let frame = self.frame();
        if frame.verb == Verb::Insert {
            let known = frame.known_to_insert;
            self.expressions.truncate(known);
        }
    }

    /// `USE INDEX FOR ORDER BY (a)`, of MySQL, whose words are no clauses.
    fn hint(&mut self) {
        if !self.cursor.eat(K::For) {
            return;
        }
        if !self.next_is(&["join", "order", "group"]) {
            return self.give_up();
        }
        self.cursor.next();
        self.cursor.eat(K::By);
    }
}
