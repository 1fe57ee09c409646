//! Verbs of PostgreSQL, as far as they name tables.

use super::TableUse;
use super::finder::Finder;
use super::frame::{Before, Frame, Mode};
use crate::lexer::{Keyword as K, Kind};

impl Finder<'_, '_> {
    /// Takes the verb, and what names tables right behind it.
    pub(super) fn postgres(&mut self) {
        let verb = self.cursor.peek();
        if verb.kind() == Kind::Open {
            return;
        }
        match verb.keyword() {
            Some(K::Select | K::With | K::Values | K::Table) => {}
            Some(keyword @ (K::Insert | K::Update | K::Delete | K::Merge)) => {
                self.cursor.next();
                self.verb(keyword);
            }
            Some(K::Explain) => self.explained(),
            Some(K::Prepare) => self.prepared(),
            Some(K::Declare) => self.declared(),
            Some(K::Copy) => self.copied(),
            Some(K::Truncate) => self.truncated(),
            Some(K::Lock) => self.locked(),
            Some(K::Vacuum | K::Analyze | K::Analyse) => self.maintained(),
            // What they do is done to no table.
            Some(K::Show | K::Reset | K::Listen | K::Unlisten | K::Notify) => self.pass_over(),
            Some(K::Set) => self.changed_setting(),
            Some(K::Checkpoint | K::Close | K::Deallocate) => self.pass_over(),
            Some(K::Begin | K::Start | K::Savepoint | K::Release) => self.pass_over(),
            Some(K::Commit | K::End | K::Rollback | K::Abort) => self.ended(),
            _ => {
                self.give_up();
                self.pass_over();
            }
        }
    }

    /// The statement names no table.
    pub(super) fn pass_over(&mut self) {
        if self.cursor.finish().is_some() {
            self.give_up();
        }
    }

    /// `SET CONSTRAINTS` runs triggers that were deferred.
    fn changed_setting(&mut self) {
        self.cursor.next();
        if self.next_is(&["constraints"]) {
            self.give_up();
        }
        self.pass_over();
    }

    /// The end of a transaction. That of a prepared one makes visible what another wrote.
    fn ended(&mut self) {
        self.cursor.next();
        if self.cursor.peek().is(K::Prepared) {
            self.give_up();
        }
        self.pass_over();
    }

    /// `EXPLAIN [(options)] [ANALYZE] [VERBOSE] statement`.
    fn explained(&mut self) {
        self.cursor.next();
        let mut ahead = self.cursor.clone();
        ahead.next();
        let first = ahead.peek();
        let is_statement = first.kind() == Kind::Open
            || matches!(first.keyword(), Some(K::Select | K::With | K::Values | K::Table));
        if self.cursor.peek().kind() == Kind::Open && !is_statement {
            self.cursor.skip_group();
        } else {
            while self.next_is(&["analyze", "analyse", "verbose"]) {
                self.cursor.next();
            }
        }
        self.inner();
    }

    /// A statement inside of another one: none that would have another one in it, or end a transaction.
    fn inner(&mut self) {
        let verb = self.cursor.peek();
        let is_known = matches!(
            verb.keyword(),
            Some(K::Select | K::With | K::Values | K::Table | K::Insert | K::Update | K::Delete | K::Merge)
        );
        if is_known || verb.kind() == Kind::Open {
            return self.postgres();
        }
        if verb.is(K::Declare) {
            return self.declared();
        }
        self.give_up();
        self.pass_over();
    }

    /// `PREPARE name [(types)] AS statement`, or the first phase of a commit in two.
    fn prepared(&mut self) {
        self.cursor.next();
        self.cursor.next();
        if self.cursor.peek().kind() == Kind::Open {
            self.cursor.skip_group();
        }
        if self.cursor.eat(K::As) {
            self.inner();
        } else {
            self.give_up();
            self.pass_over();
        }
    }

    /// `DECLARE name … CURSOR … FOR query`.
    fn declared(&mut self) {
        loop {
            let token = self.cursor.next();
            if token.is(K::For) {
                return self.inner();
            }
            if token.is_last() {
                return self.give_up();
            }
        }
    }

    /// `COPY [BINARY] table [(columns)] FROM|TO …` and `COPY (query) TO …`.
    fn copied(&mut self) {
        self.cursor.next();
        if self.cursor.peek().kind() == Kind::Open {
            self.cursor.next();
            self.open_body();
            return;
        }
        self.cursor.eat(K::Binary);
        let mut ahead = self.cursor.clone();
        let usage = loop {
            let token = ahead.next();
            match token.kind() {
                Kind::Word if token.is(K::To) => break TableUse::Read,
                Kind::Word if token.is(K::From) => break TableUse::Write,
                Kind::End | Kind::Bad => break TableUse::Write,
                _ => {}
            }
        };
        self.target(usage);
    }

    /// A parenthesis that any statement can stand in has been taken.
    fn open_body(&mut self) {
        let mut group = Frame::new(Mode::Values, 0);
        group.is_body = true;
        self.push(group);
    }

    /// `TRUNCATE [TABLE] [ONLY] a, b [RESTART IDENTITY] [CASCADE]`.
    fn truncated(&mut self) {
        self.cursor.next();
        self.cursor.eat(K::Table);
        self.targets(TableUse::Write);
        // It reaches what is not named: sequences, and tables with a foreign key.
        if self.next_is(&["restart", "cascade"]) || self.is_behind_continue() {
            self.give_up();
        }
        self.pass_over();
    }

    /// `CONTINUE IDENTITY CASCADE`.
    fn is_behind_continue(&mut self) -> bool {
        if !self.next_is(&["continue"]) {
            return false;
        }
        self.cursor.next();
        self.cursor.next();
        self.next_is(&["cascade"])
    }

    /// `LOCK [TABLE] [ONLY] a, b …`.
    fn locked(&mut self) {
        self.cursor.next();
        self.cursor.eat(K::Table);
        self.targets(TableUse::Write);
        self.pass_over();
    }

    /// `VACUUM` and `ANALYZE`, which write the server's catalogs too; without names, everything.
    fn maintained(&mut self) {
        self.give_up();
        self.cursor.next();
        if self.cursor.peek().kind() == Kind::Open {
            self.cursor.skip_group();
        }
        while self.next_is(&["full", "freeze", "verbose", "analyze", "analyse", "skip_locked"]) {
            self.cursor.next();
        }
        while !self.cursor.peek().is_last() && self.cursor.peek().kind() != Kind::Semicolon {
            self.target(TableUse::Write);
            let columns = self.cursor.peek();
            if columns.kind() == Kind::Open {
                self.cursor.skip_group();
            }
            self.cursor.next();
        }
        self.before = Before::Group;
    }
}
