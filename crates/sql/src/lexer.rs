//! Text → tokens. White space and comments are passed over; nothing is copied.
//!
//! The lexer never fails: what it cannot read becomes one [`Kind::Bad`] token, and the text ends there.

mod keyword;
mod keywords_mysql;
mod keywords_postgres;
mod mysql;
mod postgres;

use keyword::KeywordTable;
pub(crate) use keyword::{Class, Keyword};

use crate::classifier::Options;
use crate::{Dialect, ReasonKind, Span};

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// An unquoted keyword.
    Word,
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
    OpenBracket,
    CloseBracket,
    Comma,
    Dot,
    /// `::`
    Cast,
    /// `:=`
    Assign,
    /// `=` alone.
    Equals,
    /// Any other operator character.
    Operator,
    /// A comment. It is never handed out.
    Comment,
    Open,
    Close,
    Semicolon,
    /// The end of the text.
    End,
    /// What cannot be read, for the reason that [`Lexer::trouble`] has; the text ends here.
    Bad,
}

/// The kinds by their number; those that no kind has are the end.
const KINDS: [Kind; 32] = {
    let mut all = [Kind::End; 32];
    let known = [
        Kind::Word,
        Kind::Name,
        Kind::Quoted,
        Kind::Text,
        Kind::Number,
        Kind::Param,
        Kind::UserVariable,
        Kind::SystemVariable,
        Kind::OpenBracket,
        Kind::CloseBracket,
        Kind::Comma,
        Kind::Dot,
        Kind::Cast,
        Kind::Assign,
        Kind::Equals,
        Kind::Operator,
        Kind::Comment,
        Kind::Open,
        Kind::Close,
        Kind::Semicolon,
        Kind::End,
        Kind::Bad,
    ];
    let mut i = 0;
    while i < known.len() {
        all[known[i] as usize] = known[i];
        i += 1;
    }
    all
};

/// A piece of the text: where it is, and what it is.
///
/// Two numbers, so that a token travels in registers. As a struct of small fields it is written to memory piece by piece
/// and read again as a whole, and the processor waits for that each time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token {
    /// The first byte in the low half, one past the last in the high one.
    place: u64,
    what: What,
}

/// A kind, a class, a keyword and marks in one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct What(u32);

impl What {
    const fn of(kind: Kind) -> Self {
        Self::word(kind, Keyword::Other, Class::Unreserved)
    }

    const fn word(kind: Kind, keyword: Keyword, class: Class) -> Self {
        let marks = Marks::of(kind, keyword, class);
        Self(kind as u32 | (class as u32) << CLASS | (keyword as u32) << KEYWORD | marks.0)
    }
}

/// Where the parts of a [`What`] stand: the kind in the lowest five bits, marks in those above the keyword.
const KIND: u32 = 0x1f;
const CLASS: u32 = 5;
const KEYWORD: u32 = 8;
const KEYWORD_PART: u32 = 0x1ff << KEYWORD;

/// What a walk over tokens asks of each of them, so that one `and` with a set of marks says whether any rule is
/// concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Marks(u32);

impl Marks {
    pub(crate) const NONE: Self = Self(0);
    /// A rule asks about it wherever it stands.
    pub(crate) const ASKED: Self = Self(1 << 17);
    /// It says what the next word is: a point, a cast, `AS`, `INTO`.
    pub(crate) const LEADS: Self = Self(1 << 18);
    /// A word of the language.
    pub(crate) const WORD: Self = Self(1 << 19);
    /// A name that is none.
    pub(crate) const NAME: Self = Self(1 << 20);
    /// A literal, a number, a parameter, or an operator other than `=`: never part of a list of names.
    pub(crate) const VALUE: Self = Self(1 << 21);
    /// `=`.
    pub(crate) const EQUALS: Self = Self(1 << 22);
    /// The end of an operand.
    pub(crate) const OPERAND: Self = Self(1 << 23);
    /// The end of an operand that is no name: what a point behind it leads to is a field.
    pub(crate) const COMPOSITE: Self = Self(1 << 24);
    /// The name of a type, or an alias: given by a walk.
    pub(crate) const TYPE: Self = Self(1 << 25);
    /// A field of a composite value: given by a walk.
    pub(crate) const FIELD: Self = Self(1 << 26);
    /// It nests, or ends something.
    pub(crate) const TURNS: Self = Self(1 << 27);

    pub(crate) const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The marks of a token by what it is.
    const fn of(kind: Kind, keyword: Keyword, class: Class) -> Self {
        match kind {
            Kind::Word => Self::of_keyword(keyword),
            Kind::Name if matches!(class, Class::System) => {
                Self::NAME.union(Self::OPERAND).union(Self::ASKED)
            }
            Kind::Name => Self::NAME.union(Self::OPERAND),
            Kind::Quoted => Self::NAME.union(Self::OPERAND).union(Self::ASKED),
            Kind::Text | Kind::Number | Kind::Param => {
                Self::VALUE.union(Self::OPERAND).union(Self::COMPOSITE)
            }
            Kind::CloseBracket => Self::OPERAND.union(Self::COMPOSITE),
            Kind::Close => Self::OPERAND.union(Self::COMPOSITE).union(Self::ASKED).union(Self::TURNS),
            Kind::Operator => Self::VALUE,
            Kind::Equals => Self::EQUALS,
            Kind::Dot | Kind::Cast => Self::LEADS,
            Kind::Open | Kind::Semicolon | Kind::End | Kind::Bad => Self::ASKED.union(Self::TURNS),
            _ => Self::NONE,
        }
    }

    const fn of_keyword(keyword: Keyword) -> Self {
        let more = match keyword {
            Keyword::Into => Self::ASKED.union(Self::LEADS),
            Keyword::As => Self::LEADS,
            Keyword::By
            | Keyword::Delete
            | Keyword::For
            | Keyword::Insert
            | Keyword::Merge
            | Keyword::Update
            | Keyword::With => Self::ASKED,
            Keyword::Ordinality => Self::OPERAND,
            _ => Self::NONE,
        };
        Self::WORD.union(more)
    }
}

impl Token {
    #[inline(always)]
    const fn new(kind: Kind, start: usize, end: usize) -> Self {
        Self::word(What::of(kind), start, end)
    }

    #[inline(always)]
    const fn word(what: What, start: usize, end: usize) -> Self {
        // Texts are shorter than 2^32 bytes, see `LONGEST_TEXT`.
        Self { place: start as u64 | (end as u64) << 32, what }
    }

    /// The end of a statement whose text goes up to `at`.
    pub(crate) const fn end_at(at: u32) -> Self {
        Self::new(Kind::End, at as usize, at as usize)
    }

    pub(crate) const fn kind(self) -> Kind {
        KINDS[(self.what.0 & KIND) as usize]
    }

    pub(crate) const fn class(self) -> Class {
        CLASSES_OF_WORDS[(self.what.0 >> CLASS) as usize % CLASSES_OF_WORDS.len()]
    }

    #[expect(clippy::cast_possible_truncation, reason = "the low half is meant")]
    pub(crate) const fn start(self) -> u32 {
        self.place as u32
    }

    pub(crate) const fn end(self) -> u32 {
        (self.place >> 32) as u32
    }

    pub(crate) const fn span(self) -> Span {
        Span::new(self.start(), self.end())
    }

    /// The keyword, if it is one.
    pub(crate) fn keyword(self) -> Option<Keyword> {
        (self.kind() == Kind::Word).then(|| keyword::number(self.what.0 >> KEYWORD))
    }

    pub(crate) const fn is(self, keyword: Keyword) -> bool {
        self.what.0 & (KIND | KEYWORD_PART) == Kind::Word as u32 | (keyword as u32) << KEYWORD
    }

    /// Whether it has any of these marks.
    #[inline(always)]
    pub(crate) const fn has(self, marks: Marks) -> bool {
        self.what.0 & marks.0 != 0
    }

    /// The same word as a name, with marks that only its place gives it.
    #[inline(always)]
    pub(crate) const fn as_name(self, marks: Marks) -> Self {
        let kind = if matches!(self.kind(), Kind::Quoted) { Kind::Quoted } else { Kind::Name };
        let what = What::word(kind, Keyword::Other, self.class());
        Self { what: What(what.0 | marks.0), ..self }
    }

    /// Another token in its place.
    pub(crate) const fn replaced(self, kind: Kind) -> Self {
        Self { what: What::of(kind), ..self }
    }

    /// Whether it can stand for the name of something.
    pub(crate) fn is_name(self) -> bool {
        match self.kind() {
            Kind::Name | Kind::Quoted => true,
            Kind::Word => matches!(self.class(), Class::Unreserved | Class::Construct),
            _ => false,
        }
    }

    /// Whether it is a keyword or a name.
    pub(crate) fn is_word(self) -> bool {
        matches!(self.kind(), Kind::Word | Kind::Name | Kind::Quoted)
    }

    /// Whether nothing comes after it.
    pub(crate) fn is_last(self) -> bool {
        matches!(self.kind(), Kind::End | Kind::Bad)
    }
}

/// The classes by their number.
const CLASSES_OF_WORDS: [Class; 8] = {
    let mut all = [Class::Unreserved; 8];
    let known = [Class::Construct, Class::Operator, Class::Reserved, Class::System];
    let mut i = 0;
    while i < known.len() {
        all[known[i] as usize] = known[i];
        i += 1;
    }
    all
};

/// The longest text that is read: no server takes one of more than a gibibyte.
pub(crate) const LONGEST_TEXT: usize = 1 << 30;

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
