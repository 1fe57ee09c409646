//! Text → tokens. White space and comments are passed over; nothing is copied.
//!
//! The lexer never fails: what it cannot read becomes one [`Kind::Bad`] token, and the text ends there.

mod keyword;
mod keywords_mysql;
mod keywords_postgres;
mod mysql;
mod postgres;
mod token;

use keyword::KeywordTable;
pub(crate) use keyword::{Class, Keyword};
use token::What;
pub(crate) use token::{Kind, Marks, Token};

use crate::classifier::Options;
use crate::{Dialect, ReasonKind};

/// The longest text that is read: no server takes one of more than a gibibyte.
pub(crate) const LONGEST_TEXT: usize = 1 << 30;

/// What executable comments (`/*!80000 … */`) stood in a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Conditional {
    /// Whether there was one whose text some server skips.
    pub(crate) seen: bool,
    /// Whether two of them are for different servers, so that more than two readings exist.
    pub(crate) mixed: bool,
    asks: Option<Asks>,
}

/// Which servers run the code of an executable comment: MySQL passes over those of MariaDB, and MariaDB over some versions of the
/// others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Asks {
    /// `/*M!` and not `/*!`.
    is_mariadb: bool,
    version: u32,
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
    /// Why the last token is [`Kind::Bad`].
    trouble: ReasonKind,
}

/// Classes of bytes, so that the common ones cost one look-up.
const WORD: u8 = 1;
const DIGIT: u8 = 2;
const SPACE: u8 = 4;
/// It is a token by itself, of the kind that [`single`] says; but a point can start a number.
const SINGLE: u8 = 8;
/// It goes on with a word.
const PART: u8 = 16;

static CLASSES: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "below 256")]
        let b = byte as u8;
        table[byte] = match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | 0x80.. => WORD | PART,
            b'0'..=b'9' => DIGIT | PART,
            b'$' => PART,
            b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => SPACE,
            b'(' | b')' | b',' | b'.' | b'=' | b';' => SINGLE,
            _ => 0,
        };
        byte += 1;
    }
    table
};

const fn class(byte: u8) -> u8 {
    CLASSES[byte as usize]
}

/// What a byte of the class [`SINGLE`] is.
const fn single(byte: u8) -> Kind {
    match byte {
        b'(' => Kind::Open,
        b')' => Kind::Close,
        b',' => Kind::Comma,
        b'.' => Kind::Dot,
        b'=' => Kind::Equals,
        _ => Kind::Semicolon,
    }
}

/// What a token is, and where it ends.
type Piece = (Kind, usize);

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
            trouble: ReasonKind::Reads,
        }
    }

    pub(crate) const fn options(&self) -> Options {
        self.options
    }

    /// The length of the text.
    #[expect(clippy::cast_possible_truncation, reason = "texts are shorter, see LONGEST_TEXT")]
    pub(crate) const fn end(&self) -> u32 {
        self.bytes.len() as u32
    }

    /// The text of a token.
    pub(crate) fn text(&self, token: Token) -> &'a [u8] {
        &self.bytes[token.start() as usize..token.end() as usize]
    }

    /// The text from a token on.
    pub(crate) fn rest(&self, token: Token) -> &'a [u8] {
        &self.bytes[token.start() as usize..]
    }

    /// Why the last token could not be read.
    pub(crate) const fn trouble(&self) -> ReasonKind {
        self.trouble
    }

    /// The next token; behind the last one, and behind what cannot be read, [`Kind::End`] for ever.
    #[inline(always)]
    pub(crate) fn next(&mut self) -> Token {
        match self.options.dialect {
            Dialect::Postgres => self.next_postgres(),
            Dialect::MySql | Dialect::MariaDb => self.next_mysql(),
        }
    }

    fn at(&self, index: usize) -> Option<u8> {
        self.bytes.get(index).copied()
    }

    fn is_digit(&self, index: usize) -> bool {
        self.at(index).is_some_and(|byte| byte.is_ascii_digit())
    }

    /// Hands a token out.
    #[inline(always)]
    fn token(&mut self, (kind, end): Piece, start: usize) -> Token {
        self.position = end;
        Token::new(kind, start, end)
    }

    fn bad(&mut self, why: ReasonKind) -> Piece {
        self.trouble = why;
        (Kind::Bad, self.bytes.len())
    }

    fn unterminated(&mut self) -> Piece {
        self.bad(ReasonKind::Unterminated)
    }

    /// A keyword or a name that starts at `start`.
    #[inline(always)]
    fn word(&mut self, start: usize, table: &KeywordTable) -> Token {
        let padded;
        let head = match self.bytes[start..].first_chunk() {
            Some(head) => head,
            None => {
                padded = self.last_bytes(start);
                &padded
            }
        };
        let folded = fold(head);
        let (found, end) = match short_length(head) {
            Some(length) => (table.find_short(folded & FIRST_BYTES[length]), start + length),
            None => self.long_word(start, folded, table),
        };
        self.position = end;
        Token::word(found.unwrap_or_else(|| name_of(folded)), start, end)
    }

    /// A word of eight bytes or more, and where it ends.
    #[inline(always)]
    fn long_word(&self, start: usize, head: u64, table: &KeywordTable) -> (Option<What>, usize) {
        let rest = self.bytes.get(start + 8..).unwrap_or_default();
        let more = rest.iter().position(|byte| class(*byte) & PART == 0).unwrap_or(rest.len());
        let end = start + 8 + more;
        if more > keyword::LONGEST - 8 {
            return (Some(What::word(Kind::Name, Keyword::Other, Class::System)), end);
        }
        (table.find_long(head, || self.tail(start + 8, end)), end)
    }

    /// What follows the first eight bytes of a word.
    #[cold]
    fn tail(&self, at: usize, end: usize) -> keyword::Tail {
        [self.folded_up_to(at, end), self.folded_up_to(at + 8, end)]
    }

    /// At most eight bytes of a word, folded, with zeros behind its end.
    fn folded_up_to(&self, at: usize, end: usize) -> u64 {
        let Some(left @ 1..) = end.checked_sub(at) else { return 0 };
        let bytes = self.bytes[at..].first_chunk().map_or_else(|| self.last_bytes(at), |bytes| *bytes);
        fold(&bytes) & FIRST_BYTES[left.min(8)]
    }

    /// Eight bytes where the text has fewer than eight left, with zeros behind them.
    #[cold]
    #[inline(never)]
    fn last_bytes(&self, at: usize) -> [u8; 8] {
        let mut bytes = [0; 8];
        let rest = self.bytes.get(at..).unwrap_or_default();
        bytes[..rest.len()].copy_from_slice(rest);
        bytes
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

    /// Where the digits end that may stand at `from`.
    fn digits_end(&self, from: usize) -> usize {
        let rest = self.bytes.get(from..).unwrap_or_default();
        from + rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len())
    }

    /// A number: digits, a point, an exponent. Letters that follow directly start a token of their own.
    #[inline(never)]
    fn number(&self, start: usize) -> Piece {
        let mut end = self.digits_end(start);
        if self.at(end) == Some(b'.') && self.at(end + 1) != Some(b'.') {
            end = self.digits_end(end + 1);
        }
        if self.at(end).is_some_and(|b| b | 0x20 == b'e') {
            let sign = usize::from(matches!(self.at(end + 1), Some(b'+' | b'-')));
            if self.at(end + 1 + sign).is_some_and(|b| b.is_ascii_digit()) {
                end = self.digits_end(end + 1 + sign);
            }
        }
        (Kind::Number, end)
    }

    /// The tokens that are one byte in every dialect.
    fn punctuation(&mut self, start: usize, byte: u8) -> Piece {
        let kind = match byte {
            b'[' => Kind::OpenBracket,
            b']' => Kind::CloseBracket,
            b':' if self.at(start + 1) == Some(b':') => return (Kind::Cast, start + 2),
            b':' if self.at(start + 1) == Some(b'=') => return (Kind::Assign, start + 2),
            0 => return self.bad(ReasonKind::Nul),
            _ => Kind::Operator,
        };
        (kind, start + 1)
    }
}

/// Eight bytes with bit 5 set, which folds letters and keeps apart all that a word may have.
#[inline(always)]
const fn fold(bytes: &[u8; 8]) -> u64 {
    u64::from_le_bytes(*bytes) | u64::from_le_bytes([0x20; 8])
}

/// How long the word is of which these are the first bytes, if it ends in them.
#[inline(always)]
fn short_length(head: &[u8; 8]) -> Option<usize> {
    // A look at each byte beats arithmetic on all of them: the processor guesses where the word ends, and goes on with the
    // next one while the key of this one is still being made.
    (1..head.len()).find(|at| class(head[*at]) & PART == 0)
}

/// The first of eight bytes, by their number.
const FIRST_BYTES: [u64; 9] = {
    let mut masks = [u64::MAX; 9];
    let mut n = 0;
    while n < 8 {
        masks[n] = (1 << (8 * n)) - 1;
        n += 1;
    }
    masks
};

/// A name whose first bytes, folded, are these.
const fn name_of(folded: u64) -> What {
    const PG: u64 = u64::from_le_bytes([b'p', b'g', b'_' | 0x20, 0, 0, 0, 0, 0]);
    let class = if folded & 0xff_ffff == PG { Class::System } else { Class::Unreserved };
    What::word(Kind::Name, Keyword::Other, class)
}

/// Whether a backslash in a literal hides the byte after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Escapes {
    Backslash,
    None,
}
