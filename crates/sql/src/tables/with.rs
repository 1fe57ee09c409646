//! Common table expressions: which name is a table where.
//!
//! Such a name is known from the end of its body to the end of what its `WITH` belongs to; in a recursive list in its own body too.
//! The name of one that comes later is taken for a table.

use super::finder::Finder;
use super::frame::{Before, Frame, Head, Mode};
use super::names;
use crate::lexer::{Keyword as K, Kind, Token};

/// How many are kept in mind; the names of more are taken for those of tables.
const MOST: usize = 256;

impl Finder<'_, '_> {
    /// `WITH`: whether it starts a list.
    pub(super) fn starts_with(&mut self) -> bool {
        let peek = self.cursor.peek();
        let is_first = self.before == Before::Start || self.frame().may_have_with;
        let mode = self.frame().mode;
        is_first && mode == Mode::Values && (peek.is_name() || peek.is(K::Recursive))
    }

    /// `WITH [RECURSIVE]`, whose first word has been taken.
    pub(super) fn with(&mut self) {
        let (next, after) = self.next_two();
        // `WITH recursive AS (…)` has the word for a name.
        let is_name = after.is(K::As) || after.kind() == Kind::Open;
        let is_recursive = next.is(K::Recursive) && !is_name;
        if is_recursive {
            self.cursor.next();
        }
        let frame = self.frame();
        frame.may_have_with = false;
        frame.mode = Mode::With;
        frame.is_recursive = is_recursive;
        frame.head = Head::Name;
    }

    /// A comma in the list; inside of `SEARCH … BY a, b` too.
    pub(super) fn next_head(&mut self) {
        self.frame().head = Head::Name;
    }

    /// A name in the list.
    pub(super) fn head(&mut self, token: Token) {
        let name = names::of_expression(self.cursor.lexer(), token);
        let frame = self.frame();
        frame.head = if frame.head == Head::Name { Head::Columns(name) } else { Head::Next };
    }

    /// `AS` in the list.
    pub(super) fn body_follows(&mut self) {
        let frame = self.frame();
        if let Head::Columns(name) = &mut frame.head {
            frame.head = Head::Body(name.take());
        }
    }

    /// A parenthesis in the list: columns, a body, or the statement itself.
    pub(super) fn open_in_with(&mut self) {
        let known = self.expressions.len();
        let frame = self.frame();
        let mut group = Frame::new(Mode::Values, known);
        match frame.head.clone() {
            Head::Columns(_) => group.mode = Mode::Columns,
            Head::Body(name) => {
                group.is_body = true;
                frame.head = Head::End(name.clone());
                if frame.is_recursive {
                    self.remember(name);
                    group.known = self.expressions.len();
                }
            }
            Head::Next => frame.mode = Mode::Values,
            Head::Name | Head::End(_) => {
                frame.mode = Mode::Values;
                self.give_up();
            }
        }
        self.push(group);
    }

    /// A group of the list has closed.
    pub(super) fn close_in_with(&mut self) {
        let frame = self.frame();
        let is_recursive = frame.is_recursive;
        if let Head::End(name) = &mut frame.head {
            let name = name.take();
            frame.head = Head::Next;
            if !is_recursive {
                self.remember(name);
            }
        }
    }

    fn remember(&mut self, name: Option<Box<str>>) {
        if let Some(name) = name.filter(|_| self.expressions.len() < MOST) {
            self.expressions.push(name);
        }
    }
}
