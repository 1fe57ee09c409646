//! The walk over what texts share that differ only in their values.

use crate::classifier::Options;
use crate::digest::Fnv;
use crate::lexer::{Keyword, Kind, Lexer, Token};

/// What takes in the shape of a text, piece by piece.
pub(crate) trait Shape {
    /// A token that counts. A value of any kind is one, with its text.
    fn token(&mut self, token: Token, text: &[u8]);

    /// The border between two statements.
    fn semicolon(&mut self);

    /// The border between two items of a list that are not of one shape.
    fn comma(&mut self);

    /// Some servers pass over a part of the text.
    fn conditional(&mut self);

    /// Whether the rest of the text does not matter any more.
    fn is_full(&self) -> bool {
        false
    }
}

/// Walks over the shape of `sql` as a server with these settings reads it.
pub(crate) fn walk(sql: &str, options: Options, shape: &mut impl Shape) {
    let mut lexer = Lexer::new(sql, options);
    let mut before = None;
    let mut semicolons = 0_usize;
    while !shape.is_full() {
        if before == Some(Keyword::Values) && peek(&lexer).kind() == Kind::Open {
            list(&mut lexer, List::Rows, shape);
        }
        let token = lexer.next();
        if matches!(token.kind(), Kind::End) {
            if lexer.conditional.seen {
                shape.conditional();
            }
            return;
        }
        if token.kind() == Kind::Semicolon {
            semicolons += 1;
            before = None;
            continue;
        }
        if semicolons > 0 {
            shape.semicolon();
            semicolons = 0;
        }
        shape.token(token, lexer.text(token));
        if token.kind() == Kind::Bad {
            return;
        }
        let opens = matches!(
            (before, token.kind()),
            (Some(Keyword::In), Kind::Open) | (Some(Keyword::Array), Kind::OpenBracket)
        );
        if opens && !is_query(peek(&lexer)) {
            list(&mut lexer, List::Values, shape);
        }
        before = token.keyword();
    }
}

fn peek(lexer: &Lexer<'_>) -> Token {
    lexer.clone().next()
}

/// Whether a query starts with this: `IN (SELECT …)` is no list.
fn is_query(token: Token) -> bool {
    use Keyword::{Select, Table, Values, With};
    matches!(token.keyword(), Some(Select | With | Values | Table))
}

/// What is listed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum List {
    /// What stands between commas.
    Values,
    /// Groups.
    Rows,
}

/// Takes a list. Whatever repeats the shape of what stands before it does not count.
fn list(lexer: &mut Lexer<'_>, list: List, shape: &mut impl Shape) {
    let mut last = None;
    while !shape.is_full() {
        let mut behind = lexer.clone();
        let mut hash = Fnv::new();
        item(&mut behind, list, &mut hash);
        if last == Some(hash.value()) {
            *lexer = behind;
        } else {
            if last.is_some() {
                shape.comma();
            }
            item(lexer, list, shape);
        }
        last = Some(hash.value());
        let mut ahead = lexer.clone();
        if ahead.next().kind() != Kind::Comma || (list == List::Rows && peek(&ahead).kind() != Kind::Open) {
            return;
        }
        *lexer = ahead;
    }
}

/// Takes a value up to the comma or the end of its list, or a row.
fn item(lexer: &mut Lexer<'_>, list: List, shape: &mut impl Shape) {
    let mut depth = 0_usize;
    let mut is_first = true;
    loop {
        let mut ahead = lexer.clone();
        let token = ahead.next();
        match token.kind() {
            Kind::End | Kind::Bad | Kind::Semicolon => return,
            Kind::Comma | Kind::Close | Kind::CloseBracket if depth == 0 => return,
            Kind::Open | Kind::OpenBracket => depth += 1,
            Kind::Close | Kind::CloseBracket => depth -= 1,
            _ => {}
        }
        *lexer = ahead;
        let is_sign = token.kind() == Kind::Operator
            && matches!(lexer.text(token), b"-" | b"+")
            && matches!(peek(lexer).kind(), Kind::Number | Kind::Param);
        if !(is_first && is_sign) {
            shape.token(token, lexer.text(token));
        }
        // A number, and so its sign, stands behind one of these.
        is_first = matches!(token.kind(), Kind::Open | Kind::OpenBracket | Kind::Comma);
        if list == List::Rows && depth == 0 {
            return;
        }
    }
}
