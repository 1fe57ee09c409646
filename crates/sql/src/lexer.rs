//! Text → tokens. White space and comments are passed over; nothing is copied.
//!
//! The lexer never fails: what it cannot read becomes one [`Kind::Bad`] token, and the text ends there.

mod keyword;
mod keywords_mysql;
mod keywords_postgres;
mod mysql;
mod postgres;

pub(crate) use keyword::{Class, Keyword};

use crate::classifier::Options;
use crate::{Dialect, ReasonKind, Span};

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An unquoted keyword.
    Word(Keyword, Class),
    /// An unquoted name that is no keyword.
    Name,
    /// A quoted name.
    Quoted,
    /// A quoted literal.
    Text,
    /// A number.
    Number,
    /// A place for a parameter.
    Param,
    /// A user variable: `@a`.
    UserVariable,
    /// A system variable: the `@@` in front of it.
    SystemVariable,
    Open,
    Close,
    OpenBracket,
    CloseBracket,
    Comma,
    Semicolon,
    Dot,
    /// `::`
    Cast,
    /// `:=`
    Assign,
    /// `=` alone.
    Equals,
    /// Any other operator character.
    Operator,
    /// The end of the text.
    End,
    /// What cannot be read; the text ends here.
    Bad(ReasonKind),
}

/// A piece of the text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Token {
    pub(crate) const fn span(self) -> Span {
        Span::new(self.start, self.end)
    }

    /// The keyword, if it is one.
    pub(crate) const fn keyword(self) -> Option<Keyword> {
        match self.kind {
            Kind::Word(keyword, _) => Some(keyword),
            _ => None,
        }
    }

    pub(crate) fn is(self, keyword: Keyword) -> bool {
        self.keyword() == Some(keyword)
    }

    /// Whether it can stand for the name of something.
    pub(crate) const fn is_name(self) -> bool {
        matches!(self.kind, Kind::Name | Kind::Quoted | Kind::Word(_, Class::Unreserved | Class::Construct))
    }

    /// Whether it is a keyword or a name.
    pub(crate) const fn is_word(self) -> bool {
        matches!(self.kind, Kind::Name | Kind::Quoted | Kind::Word(..))
    }

    /// Whether nothing comes after it.
    pub(crate) const fn is_last(self) -> bool {
        matches!(self.kind, Kind::End | Kind::Bad(_))
    }
}

/// What executable comments (`/*!80000 … */`) stood in a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Conditional {
    /// Whether there was one whose text some server skips.
    pub(crate) seen: bool,
    /// Whether two of them asked for different versions, so that more than two readings exist.
    pub(crate) mixed: bool,
    version: Option<u32>,
}

/// Reads one text.
#[derive(Clone, Debug)]
pub(crate) struct Lexer<'a> {
    bytes: &'a [u8],
    position: usize,
    options: Options,
    /// Inside of an executable comment that is read as code.
    in_code: bool,
    /// Where the last executable comment starts.
    code_start: usize,
    /// Whether the code of conditional comments is read or passed over.
    pub(crate) skip_conditional: bool,
    pub(crate) conditional: Conditional,
}

/// Classes of bytes, so that the common ones cost one look-up.
const WORD: u8 = 1;
const DIGIT: u8 = 2;
const SPACE: u8 = 4;
const OPERATOR: u8 = 8;

const CLASSES: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "below 256")]
        let b = byte as u8;
        table[byte] = match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | 0x80.. => WORD,
            b'0'..=b'9' => DIGIT,
            b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => SPACE,
            b'~' | b'!' | b'@' | b'#' | b'^' | b'&' | b'|' | b'`' | b'?' | b'+' | b'-' | b'*' | b'/'
            | b'%' | b'<' | b'>' => OPERATOR,
            _ => 0,
        };
        byte += 1;
    }
    table
};

const fn class(byte: u8) -> u8 {
    CLASSES[byte as usize]
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(sql: &'a str, options: Options) -> Self {
        Self {
            bytes: sql.as_bytes(),
            position: 0,
            options,
            in_code: false,
            code_start: 0,
            skip_conditional: false,
            conditional: Conditional::default(),
        }
    }

    pub(crate) const fn options(&self) -> Options {
        self.options
    }

    /// The text of a token.
    pub(crate) fn text(&self, token: Token) -> &'a [u8] {
        &self.bytes[token.start..token.end]
    }

    /// The next token; at the end, and after what cannot be read, the last one for ever.
    pub(crate) fn next(&mut self) -> Token {
        match self.options.dialect {
            Dialect::Postgres => self.next_postgres(),
            Dialect::MySql | Dialect::MariaDb => self.next_mysql(),
        }
    }

    fn at(&self, index: usize) -> Option<u8> {
        self.bytes.get(index).copied()
    }

    fn token(&mut self, kind: Kind, start: usize, end: usize) -> Token {
        self.position = end;
        Token { kind, start, end }
    }

    fn bad(&mut self, why: ReasonKind, start: usize) -> Token {
        // Staying at the start makes the answer the same when it is asked again.
        self.position = start;
        Token { kind: Kind::Bad(why), start, end: self.bytes.len() }
    }

    fn unterminated(&mut self, start: usize) -> Token {
        self.bad(ReasonKind::Unterminated, start)
    }

    /// A keyword or a name that starts at `start`.
    fn word(&mut self, start: usize) -> Token {
        let mut hash = keyword::HASH_START;
        let mut end = start;
        while let Some(byte) = self.at(end) {
            if class(byte) & (WORD | DIGIT) == 0 && byte != b'$' {
                break;
            }
            hash = keyword::hash_step(hash, byte.to_ascii_lowercase());
            end += 1;
        }
        let table = match self.options.dialect {
            Dialect::Postgres => &keyword::POSTGRES,
            Dialect::MySql | Dialect::MariaDb => &keyword::MYSQL,
        };
        let kind = table
            .find(&self.bytes[start..end], hash)
            .map_or(Kind::Name, |(keyword, class)| Kind::Word(keyword, class));
        self.token(kind, start, end)
    }

    /// Where the line that `from` stands in ends.
    fn line_end(&self, from: usize, stops: &[u8]) -> usize {
        self.bytes[from..].iter().position(|b| stops.contains(b)).map_or(self.bytes.len(), |n| from + n)
    }

    /// The first byte after a literal whose quote stands at `open`; a doubled quote stands for itself.
    fn quoted_end(&self, open: usize, escapes: Escapes) -> Option<usize> {
        let quote = self.bytes[open];
        let mut i = open + 1;
        loop {
            match self.at(i)? {
                // A NUL ends the text for the server.
                0 => return None,
                b'\\' if escapes == Escapes::Backslash => i += 2,
                b if b == quote => {
                    if self.at(i + 1) != Some(quote) {
                        return Some(i + 1);
                    }
                    i += 2;
                }
                _ => i += 1,
            }
        }
    }

    /// A number: digits, a point, an exponent. Letters that follow directly start a token of their own.
    fn number(&mut self, start: usize) -> Token {
        let digits = |lexer: &Self, mut i: usize| {
            while lexer.at(i).is_some_and(|b| b.is_ascii_digit()) {
                i += 1;
            }
            i
        };
        let mut end = digits(self, start);
        if self.at(end) == Some(b'.') && self.at(end + 1) != Some(b'.') {
            end = digits(self, end + 1);
        }
        if self.at(end).is_some_and(|b| b | 0x20 == b'e') {
            let sign = usize::from(matches!(self.at(end + 1), Some(b'+' | b'-')));
            if self.at(end + 1 + sign).is_some_and(|b| b.is_ascii_digit()) {
                end = digits(self, end + 1 + sign);
            }
        }
        self.token(Kind::Number, start, end)
    }

    /// The tokens that are one byte in every dialect.
    fn punctuation(&mut self, start: usize, byte: u8) -> Token {
        let kind = match byte {
            b'(' => Kind::Open,
            b')' => Kind::Close,
            b'[' => Kind::OpenBracket,
            b']' => Kind::CloseBracket,
            b',' => Kind::Comma,
            b';' => Kind::Semicolon,
            b'.' => Kind::Dot,
            b'=' => Kind::Equals,
            b':' if self.at(start + 1) == Some(b':') => return self.token(Kind::Cast, start, start + 2),
            b':' if self.at(start + 1) == Some(b'=') => return self.token(Kind::Assign, start, start + 2),
            0 => return self.bad(ReasonKind::Nul, start),
            _ => Kind::Operator,
        };
        self.token(kind, start, start + 1)
    }
}

/// Whether a backslash in a literal hides the byte after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Escapes {
    Backslash,
    None,
}
