//! PostgreSQL's tokens: dollar quotes, escape strings, nested comments, literals that go on in the next line.

use super::keyword::POSTGRES;
use super::{DIGIT, Escapes, Kind, Lexer, Piece, SPACE, Token, WORD, What, class};

/// What the first byte of a token says: a word starts, a word or a literal does, nothing does, more has to be looked at, a
/// point or a number, a parameter or a literal.
const LETTER: What = What::of(Kind::Name);
const PREFIX: What = What::of(Kind::Text);
const BLANK: What = What::of(Kind::Comment);
const OTHER: What = What::of(Kind::Bad);
const POINT: What = What::of(Kind::Dot);
const DOLLAR: What = What::of(Kind::Param);

/// What each byte is at the start of a token. Most that are no letters are a token by themselves.
static FIRST: [What; 256] = {
    let mut table = [What::of(Kind::Operator); 256];
    let mut byte = 0;
    while byte < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "below 256")]
        let b = byte as u8;
        table[byte] = match b {
            b'b' | b'B' | b'e' | b'E' | b'n' | b'N' | b'u' | b'U' | b'x' | b'X' => PREFIX,
            _ if class(b) & WORD != 0 => LETTER,
            _ if class(b) & SPACE != 0 => BLANK,
            b'0'..=b'9' | b'-' | b'/' | b'\'' | b'"' | b':' | 0 => OTHER,
            b'$' => DOLLAR,
            b'(' => What::of(Kind::Open),
            b')' => What::of(Kind::Close),
            b'[' => What::of(Kind::OpenBracket),
            b']' => What::of(Kind::CloseBracket),
            b',' => What::of(Kind::Comma),
            b'.' => POINT,
            b'=' => What::of(Kind::Equals),
            b';' => What::of(Kind::Semicolon),
            _ => What::of(Kind::Operator),
        };
        byte += 1;
    }
    table
};

impl Lexer<'_> {
    #[inline(always)]
    pub(crate) fn next_postgres(&mut self) -> Token {
        let mut start = self.position;
        loop {
            let Some(byte) = self.at(start) else {
                return self.token((Kind::End, start), start);
            };
            match FIRST[usize::from(byte)] {
                LETTER => return self.word(start, &POSTGRES),
                PREFIX => {
                    if let Some(piece) = self.prefixed(start) {
                        return self.token(piece, start);
                    }
                    return self.word(start, &POSTGRES);
                }
                BLANK => start += 1,
                OTHER => {
                    let piece = self.postgres_symbol(start, byte);
                    if piece.0 != Kind::Comment {
                        return self.token(piece, start);
                    }
                    start = piece.1;
                }
                DOLLAR if self.is_digit(start + 1) => {
                    let piece = (Kind::Param, self.digits_end(start + 2));
                    return self.token(piece, start);
                }
                DOLLAR => {
                    let piece = self.dollar(start);
                    return self.token(piece, start);
                }
                POINT if self.is_digit(start + 1) => {
                    let piece = self.number(start);
                    return self.token(piece, start);
                }
                what => {
                    self.position = start + 1;
                    return Token::word(what, start, start + 1);
                }
            }
        }
    }

    /// What starts with a byte that does not say it by itself.
    #[inline(never)]
    fn postgres_symbol(&mut self, start: usize, byte: u8) -> Piece {
        match byte {
            b'0'..=b'9' => self.number(start),
            b'-' if self.at(start + 1) == Some(b'-') => (Kind::Comment, self.line_end(start, b"\n\r")),
            b'/' if self.at(start + 1) == Some(b'*') => match self.nested_comment_end(start) {
                Some(end) => (Kind::Comment, end),
                None => self.unterminated(),
            },
            b'\'' if self.options().standard_conforming_strings => self.literal(start, Escapes::None),
            b'\'' => self.literal(start, Escapes::Backslash),
            b'"' => self.quoted_name(start),
            _ => self.punctuation(start, byte),
        }
    }

    /// A literal or a quoted name with a letter in front, if one starts here.
    #[inline(always)]
    fn prefixed(&mut self, start: usize) -> Option<Piece> {
        match self.at(start + 1) {
            Some(b'\'' | b'&') => self.with_prefix(start),
            _ => None,
        }
    }

    #[inline(never)]
    fn with_prefix(&mut self, start: usize) -> Option<Piece> {
        let first = self.at(start)?;
        Some(match (first | 0x20, self.at(start + 1), self.at(start + 2)) {
            (b'e', Some(b'\''), _) => self.literal(start + 1, Escapes::Backslash),
            (b'b' | b'x' | b'n', Some(b'\''), _) => {
                let plain = self.options().standard_conforming_strings || first | 0x20 != b'n';
                self.literal(start + 1, if plain { Escapes::None } else { Escapes::Backslash })
            }
            (b'u', Some(b'&'), Some(b'\'')) => self.literal(start + 2, Escapes::None),
            (b'u', Some(b'&'), Some(b'"')) => self.escaped_name(start + 2),
            _ => return None,
        })
    }

    /// A quoted name whose quote stands at `open`.
    fn quoted_name(&mut self, open: usize) -> Piece {
        match self.quoted_end(open, Escapes::None) {
            Some(end) => (Kind::Quoted, end),
            None => self.unterminated(),
        }
    }

    /// A quoted name with escapes, and what says which character escapes in it: `U&"a!0062" UESCAPE '!'`, which the parser
    /// takes for one name too.
    fn escaped_name(&mut self, open: usize) -> Piece {
        let (kind, end) = self.quoted_name(open);
        let Some(word) = self.blank_end(end) else { return (kind, end) };
        let is_escape = |text: &[u8]| text.eq_ignore_ascii_case(b"uescape");
        if kind != Kind::Quoted || !self.bytes.get(word..word + 7).is_some_and(is_escape) {
            return (kind, end);
        }
        match self.blank_end(word + 7).map(|quote| (quote, self.at(quote))) {
            Some((quote, Some(b'\''))) => match self.literal(quote, Escapes::None) {
                (Kind::Text, end) => (kind, end),
                bad => bad,
            },
            _ => (kind, end),
        }
    }

    /// Where the blanks and comments end that stand at `from`.
    fn blank_end(&self, from: usize) -> Option<usize> {
        let mut i = from;
        loop {
            match (self.at(i)?, self.at(i + 1)) {
                (b'-', Some(b'-')) => i = self.line_end(i, b"\n\r"),
                (b'/', Some(b'*')) => i = self.nested_comment_end(i)?,
                (byte, _) if class(byte) == SPACE => i += 1,
                _ => return Some(i),
            }
        }
    }

    /// A literal whose quote stands at `open`, with every piece of it: after a line break the next quote goes on with the
    /// same rules of escaping, so that `E'a'` ⏎ `'\''` is one literal.
    fn literal(&mut self, open: usize, escapes: Escapes) -> Piece {
        let mut open = open;
        loop {
            let Some(end) = self.quoted_end(open, escapes) else {
                return self.unterminated();
            };
            match self.continuation(end) {
                Some(next) => open = next,
                None => return (Kind::Text, end),
            }
        }
    }

    /// The quote that continues a literal, if only white space with a line break (and line comments) stands before it.
    fn continuation(&self, from: usize) -> Option<usize> {
        let mut i = from;
        let mut line_break = false;
        loop {
            match self.at(i)? {
                b'\n' | b'\r' => {
                    line_break = true;
                    i += 1;
                }
                b if class(b) == SPACE => i += 1,
                b'-' if self.at(i + 1) == Some(b'-') => i = self.line_end(i, b"\n\r"),
                b'\'' if line_break => return Some(i),
                _ => return None,
            }
        }
    }

    /// A dollar-quoted literal, or a dollar that means nothing.
    #[inline(never)]
    fn dollar(&mut self, start: usize) -> Piece {
        let mut i = start + 1;
        while self.at(i).is_some_and(|b| class(b) & (WORD | DIGIT) != 0) {
            i += 1;
        }
        if self.at(i) != Some(b'$') {
            return (Kind::Operator, start + 1);
        }
        let tag = &self.bytes[start..=i];
        match find(&self.bytes[i + 1..], tag) {
            Some(n) => (Kind::Text, i + 1 + n + tag.len()),
            None => self.unterminated(),
        }
    }

    fn nested_comment_end(&self, start: usize) -> Option<usize> {
        let mut depth = 1_usize;
        let mut i = start + 2;
        while depth > 0 {
            match (self.at(i)?, self.at(i + 1)) {
                (b'/', Some(b'*')) => {
                    depth += 1;
                    i += 2;
                }
                (b'*', Some(b'/')) => {
                    depth -= 1;
                    i += 2;
                }
                (0, _) => return None,
                _ => i += 1,
            }
        }
        Some(i)
    }
}

/// Where `tag`, which starts and ends with a dollar and has none between, stands first. Linear in the text, since
/// a failed comparison stops at the next dollar at the latest and nothing is compared twice after it.
fn find(text: &[u8], tag: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + text[from..].iter().position(|b| *b == b'$' || *b == 0)?;
        if text[at] == 0 {
            return None;
        }
        let same = text[at..].iter().zip(tag).take_while(|(a, b)| a == b).count();
        if same == tag.len() {
            return Some(at);
        }
        from = at + same.max(1);
        // The byte that differed may itself be the dollar of the next try.
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classifier::Options;
    use crate::{Dialect, ReasonKind};

    fn kinds(sql: &str) -> Vec<(Kind, &str)> {
        let mut lexer = Lexer::new(sql, Options::new(Dialect::Postgres));
        let mut all = Vec::new();
        loop {
            let token = lexer.next();
            if token.kind() == Kind::End {
                return all;
            }
            all.push((token.kind(), &sql[token.span().range()]));
            if token.is_last() {
                return all;
            }
        }
    }

    fn trouble(sql: &str) -> ReasonKind {
        let mut lexer = Lexer::new(sql, Options::new(Dialect::Postgres));
        lexer.next();
        lexer.trouble()
    }

    #[test]
    fn each_form_of_literal_is_one_token() {
        for text in [
            "'a''b'",
            "E'a\\'b'",
            "U&'\\0041'",
            "B'01'",
            "X'1F'",
            "N'x'",
            "$$a'b$$",
            "$t$ $$ $x$ $t$",
            "'a'\n  'b'",
            "E'a' -- c\n '\\''",
            "$ä$ x $ä$",
            "'a\\'",
            "$a$ $a $a$",
            "$a$$$a$",
        ] {
            assert_eq!(kinds(text), [(Kind::Text, text)], "{text}");
        }
    }

    #[test]
    fn two_literals_on_one_line_are_two_tokens() {
        assert_eq!(kinds("'a' 'b'").len(), 2);
    }

    #[test]
    fn a_comment_nests_and_a_line_comment_ends_at_either_line_break() {
        assert!(kinds("/* a /* b */ c */ -- x\r--y\n").is_empty());
    }

    #[test]
    fn what_has_no_end_is_bad() {
        for text in ["'a", "\"a", "$$a", "$t$ $T$", "/* /* */", "E'a\\'"] {
            assert_eq!(kinds(text), [(Kind::Bad, text)], "{text}");
            assert_eq!(trouble(text), ReasonKind::Unterminated, "{text}");
        }
        assert_eq!(kinds("\0"), [(Kind::Bad, "\0")]);
        assert_eq!(trouble("\0"), ReasonKind::Nul);
    }

    #[test]
    fn letters_behind_a_number_are_a_word_of_their_own() {
        let found = kinds("1for 1.5e3for $1for");
        assert_eq!(found.iter().filter(|found| **found == (Kind::Word, "for")).count(), 3);
    }

    #[test]
    fn a_dollar_inside_a_name_starts_no_literal() {
        assert_eq!(kinds("a$b$c").len(), 1);
    }
}
