//! What a token is: where it stands, its kind, and the marks by which a walk knows what to ask about.

use super::keyword::{self, Class, Keyword};
use crate::Span;

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
pub(super) struct What(u32);

impl What {
    pub(super) const fn of(kind: Kind) -> Self {
        Self::word(kind, Keyword::Other, Class::Unreserved)
    }

    pub(super) const fn word(kind: Kind, keyword: Keyword, class: Class) -> Self {
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
            Kind::OpenBracket => Self::ASKED,
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
    pub(super) const fn new(kind: Kind, start: usize, end: usize) -> Self {
        Self::word(What::of(kind), start, end)
    }

    #[inline(always)]
    pub(super) const fn word(what: What, start: usize, end: usize) -> Self {
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

    /// The same without a mark.
    pub(crate) const fn without(self, marks: Marks) -> Self {
        Self { what: What(self.what.0 & !marks.0), ..self }
    }

    /// Another token in its place.
    pub(crate) const fn replaced(self, kind: Kind) -> Self {
        Self { what: What::of(kind), ..self }
    }

    /// Whether it can stand for the name of something.
    pub(crate) fn is_name(self) -> bool {
        match self.kind() {
            Kind::Name | Kind::Quoted => true,
            Kind::Word => matches!(self.class(), Class::Unreserved | Class::Construct | Class::Recent),
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
    let known = [Class::Construct, Class::Operator, Class::Recent, Class::Reserved, Class::System];
    let mut i = 0;
    while i < known.len() {
        all[known[i] as usize] = known[i];
        i += 1;
    }
    all
};
