//! Tokens of one statement at a time: where a statement ends is decided here and nowhere else.

use crate::lexer::{Keyword, Kind, Lexer, Marks, Token};
use crate::{Dialect, ReasonKind};

/// How deep parentheses may be nested. Servers give up near it too, at their own stack limits.
pub(crate) const MAX_DEPTH: usize = 200;

/// Walks through the tokens of a text, one statement after another.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a> {
    lexer: Lexer<'a>,
    peeked: Option<Token>,
    /// Open parentheses.
    depth: usize,
    /// A parenthesis closed that none had opened.
    is_mismatched: bool,
    /// In `BEGIN ATOMIC … END`.
    in_body: bool,
    /// The last token of a definition was a point or `AS`, behind which any word is a name.
    is_named: bool,
    /// The last token of a routine was one behind which a statement of its body, or the end of the body, comes.
    starts_part: bool,
    tail: Tail,
    /// The body of the routine may be one statement, so that no `END` is waited for.
    is_loose: bool,
    place: Place,
    /// The end of the last token that was handed out.
    end: u32,
}

/// What stands behind the body of a routine of MySQL, as far as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tail {
    /// No `END` was seen.
    Open,
    /// The last `END`, and perhaps its label.
    End,
    /// Its semicolon.
    Closed,
    /// More.
    Follows,
}

/// Where in a statement the cursor stands, as far as the end of the statement depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before the first token.
    Start,
    /// In a statement that ends at the next semicolon.
    Plain,
    /// The same, and the next token has been peeked at.
    Ahead,
    /// In a definition, which may turn out to be of something with a body.
    Definition,
    /// In the definition of a routine, whose body may hold semicolons.
    Routine,
    /// Behind the last token of the statement.
    Done,
    /// In a statement that has the rest of the text: the body of a routine without marks of its end.
    Rest,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(lexer: Lexer<'a>) -> Self {
        Self {
            lexer,
            peeked: None,
            depth: 0,
            is_mismatched: false,
            in_body: false,
            is_named: false,
            starts_part: false,
            tail: Tail::Open,
            is_loose: false,
            place: Place::Start,
            end: 0,
        }
    }

    pub(crate) const fn lexer(&self) -> &Lexer<'a> {
        &self.lexer
    }

    pub(crate) const fn end(&self) -> u32 {
        self.end
    }

    /// Moves to the next statement; false at the end of the text.
    pub(crate) fn next_statement(&mut self) -> bool {
        while !matches!(self.place, Place::Start | Place::Done) {
            self.next();
        }
        self.place = Place::Start;
        self.depth = 0;
        self.is_mismatched = false;
        self.in_body = false;
        self.is_named = false;
        self.starts_part = false;
        self.tail = Tail::Open;
        self.is_loose = false;
        loop {
            match self.peek().kind() {
                Kind::Semicolon => {
                    self.peeked = None;
                }
                Kind::End => return false,
                _ => return true,
            }
        }
    }

    /// The token after the next one handed out by [`next`](Self::next) is not known; this one is. It may belong to
    /// the next statement when a semicolon comes first.
    #[inline(never)]
    pub(crate) fn peek(&mut self) -> Token {
        match self.peeked {
            Some(token) => token,
            None => {
                if self.place == Place::Plain {
                    self.place = Place::Ahead;
                }
                *self.peeked.insert(self.lexer.next())
            }
        }
    }

    /// From here on the statement ends at the next semicolon.
    fn go_plain(&mut self) {
        self.place = if self.peeked.is_some() { Place::Ahead } else { Place::Plain };
    }

    /// The next token of this statement; [`Kind::End`] when there is none left.
    #[inline(always)]
    pub(crate) fn next(&mut self) -> Token {
        match self.place {
            Place::Plain => {
                let token = self.lexer.next();
                self.take(token, self.end)
            }
            _ => self.next_watched(),
        }
    }

    /// The next token in the middle of a statement of PostgreSQL, which whoever asks must hand to [`take`](Self::take)
    /// if it [turns](Marks::TURNS) anything; nothing where more has to be looked at, and [`next`](Self::next) is to be asked.
    #[inline(always)]
    pub(crate) fn next_plain(&mut self) -> Option<Token> {
        match self.place {
            Place::Plain => Some(self.lexer.next_postgres()),
            _ => None,
        }
    }

    /// Takes notice of the next token; `end` is where the last one ended.
    #[inline(always)]
    pub(crate) fn take(&mut self, token: Token, end: u32) -> Token {
        if token.has(Marks::TURNS) {
            self.end = end;
            return self.turn(token);
        }
        self.end = token.end();
        token
    }

    /// As [`next`](Self::next), where words matter too, or the token is here already.
    #[inline(never)]
    fn next_watched(&mut self) -> Token {
        if self.place == Place::Done {
            return Token::end_at(self.end);
        }
        let token = match self.peeked.take() {
            Some(token) => token,
            None => self.lexer.next(),
        };
        if self.place == Place::Ahead {
            self.place = Place::Plain;
            return self.take(token, self.end);
        }
        self.note(token);
        self.take(token, self.end)
    }

    /// Follows the tokens that a statement's end depends on.
    fn turn(&mut self, token: Token) -> Token {
        match token.kind() {
            Kind::Open => self.depth += 1,
            Kind::Close => match self.depth.checked_sub(1) {
                Some(depth) => self.depth = depth,
                None => self.is_mismatched = true,
            },
            Kind::Semicolon if self.depth == 0 && !self.in_body && self.place != Place::Rest => {
                self.place = Place::Done;
                return Token::end_at(token.start());
            }
            Kind::End => {
                self.place = Place::Done;
                self.peeked = Some(token);
                return token;
            }
            Kind::Bad => {
                self.place = Place::Done;
                // The rest of the text is this statement's.
                self.peeked = Some(Token::end_at(token.end()));
            }
            _ => {}
        }
        self.end = token.end();
        token
    }

    /// Follows the words that a statement's end depends on.
    fn note(&mut self, token: Token) {
        match self.lexer.options().dialect {
            Dialect::Postgres => self.note_postgres(token),
            Dialect::MySql | Dialect::MariaDb => self.note_mysql(token),
        }
    }

    /// Only `CREATE [OR REPLACE] FUNCTION` and `PROCEDURE` have a body, `BEGIN ATOMIC … END`, outside of parentheses. Each of its
    /// statements has a semicolon behind it, and none is called `END`: that word ends the body where a statement could start,
    /// and only there.
    fn note_postgres(&mut self, token: Token) {
        match (self.place, token.keyword()) {
            (Place::Start, Some(Keyword::Create))
            | (Place::Definition, Some(Keyword::Or | Keyword::Replace)) => self.place = Place::Definition,
            (Place::Definition, Some(Keyword::Function | Keyword::Procedure)) => self.place = Place::Routine,
            (Place::Routine, Some(Keyword::Begin))
                if self.depth == 0 && !self.in_body && !self.is_named && self.peek().is(Keyword::Atomic) =>
            {
                self.in_body = true;
                self.is_named = false;
                self.starts_part = true;
                return;
            }
            (Place::Routine, Some(Keyword::End)) if self.depth == 0 && self.starts_part => {
                self.in_body = false
            }
            (Place::Routine, _) => {}
            _ => self.go_plain(),
        }
        self.is_named = token.kind() == Kind::Dot || token.is(Keyword::As);
        self.starts_part = token.kind() == Kind::Semicolon || (self.starts_part && token.is(Keyword::Atomic));
    }

    fn note_mysql(&mut self, token: Token) {
        let keyword = token.keyword().filter(|_| !self.is_named);
        match (self.place, keyword) {
            // What is altered in a routine is not its body.
            (Place::Start, Some(Keyword::Alter))
                if matches!(self.peek().keyword(), Some(Keyword::Procedure | Keyword::Function)) =>
            {
                self.go_plain();
            }
            (Place::Start, Some(Keyword::Create | Keyword::Alter)) => self.place = Place::Definition,
            (Place::Start, Some(Keyword::Begin)) if self.peek().is(Keyword::Not) => self.place = Place::Rest,
            // MariaDB takes statements of its routines outside of them.
            (
                Place::Start,
                Some(
                    Keyword::If
                    | Keyword::Case
                    | Keyword::Loop
                    | Keyword::Repeat
                    | Keyword::While
                    | Keyword::For,
                ),
            ) if self.lexer.options().dialect == Dialect::MariaDb => self.place = Place::Rest,
            // What follows is the name of something without a body.
            (
                Place::Definition,
                Some(
                    Keyword::Table
                    | Keyword::View
                    | Keyword::Index
                    | Keyword::Database
                    | Keyword::Schema
                    | Keyword::Sequence
                    | Keyword::Role
                    | Keyword::User,
                ),
            )
            | (Place::Start, _) => self.go_plain(),
            (
                Place::Definition,
                Some(Keyword::Procedure | Keyword::Function | Keyword::Trigger | Keyword::Event),
            ) => self.place = Place::Routine,
            (Place::Definition, Some(Keyword::Package)) => self.place = Place::Rest,
            (Place::Routine, Some(word)) if self.opens_body(word) => {
                self.place = Place::Rest;
                // Any of the others can stand in an expression of a body that is one statement.
                self.is_loose = word != Keyword::Begin;
                if self.is_loose {
                    self.tail = Tail::End;
                }
            }
            (Place::Rest, word) => self.note_rest(token, word == Some(Keyword::End)),
            _ => {}
        }
        // `DEFINER = event@localhost` names a user.
        self.is_named = matches!(token.kind(), Kind::Dot | Kind::Equals)
            || (self.place == Place::Definition && token.is(Keyword::As));
    }

    /// Whether a body with semicolons of its own may have started. Others are one statement, and end like one.
    fn opens_body(&mut self, word: Keyword) -> bool {
        match word {
            Keyword::Begin | Keyword::Case | Keyword::Loop | Keyword::Repeat | Keyword::While => true,
            // MariaDB's other syntax: `PROCEDURE p AS a INT; BEGIN …`.
            Keyword::As | Keyword::Is => true,
            Keyword::If => !matches!(self.peek().keyword(), Some(Keyword::Not | Keyword::Exists)),
            Keyword::For => {
                !matches!(self.peek().keyword(), Some(Keyword::Each | Keyword::Update | Keyword::Share))
            }
            _ => false,
        }
    }

    /// Follows a body up to what may stand behind it: something comes behind an `END` and its semicolon, and no other `END`
    /// follows that; or something behind the semicolon of what may be one statement. Where a body ends is not worked out.
    fn note_rest(&mut self, token: Token, is_end: bool) {
        self.tail = match (self.tail, token.kind()) {
            _ if is_end && !self.is_loose => Tail::End,
            (Tail::End, Kind::Semicolon) => Tail::Closed,
            (Tail::Closed, kind) if !matches!(kind, Kind::Semicolon | Kind::End | Kind::Bad) => Tail::Follows,
            (tail, _) => tail,
        };
    }

    /// Whether the statement, which has the rest of the text, may hide another one behind its body.
    pub(crate) fn may_hide_more(&self) -> bool {
        self.tail == Tail::Follows
    }

    /// The next token if it is that keyword.
    pub(crate) fn eat(&mut self, keyword: Keyword) -> bool {
        let found = self.peek().is(keyword);
        if found {
            self.next();
        }
        found
    }

    /// Passes over the rest of the statement; tells what is wrong with it, if anything is.
    #[inline(always)]
    pub(crate) fn finish(&mut self) -> Option<(ReasonKind, Token)> {
        if self.place == Place::Done && self.depth == 0 && !self.is_mismatched {
            return None;
        }
        self.pass_over()
    }

    #[inline(never)]
    fn pass_over(&mut self) -> Option<(ReasonKind, Token)> {
        loop {
            let token = self.next();
            match token.kind() {
                Kind::End if self.depth > 0 || self.is_mismatched => {
                    return Some((ReasonKind::Nesting, token));
                }
                Kind::End => return None,
                Kind::Bad => return Some((self.lexer.trouble(), token)),
                _ => {}
            }
        }
    }

    /// Passes over a group whose opening parenthesis comes next, up to behind its closing one.
    pub(crate) fn skip_group(&mut self) -> Option<(ReasonKind, Token)> {
        let depth = self.depth;
        loop {
            let token = self.next();
            match token.kind() {
                Kind::End => return Some((ReasonKind::Nesting, token)),
                Kind::Bad => return Some((self.lexer.trouble(), token)),
                _ if self.depth == depth => return None,
                _ => {}
            }
        }
    }
}
