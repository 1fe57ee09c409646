//! The tokens of MySQL and MariaDB: backslashes, back quotes, `#`, executable comments, variables.

use super::keyword::MYSQL;
use super::{Asks, DIGIT, Escapes, Kind, Lexer, PART, Piece, SINGLE, SPACE, Token, WORD, class, single};
use crate::Dialect;

impl Lexer<'_> {
    #[inline(never)]
    pub(super) fn next_mysql(&mut self) -> Token {
        let mut start = self.position;
        loop {
            let Some(byte) = self.at(start) else {
                if self.in_code {
                    let bad = self.unterminated();
                    return self.token(bad, self.code_start);
                }
                return self.token((Kind::End, start), start);
            };
            let piece = match class(byte) & !PART {
                SPACE => {
                    start += 1;
                    continue;
                }
                WORD => return self.mysql_word(start),
                SINGLE if byte == b'.' && self.is_digit(start + 1) => self.number(start),
                SINGLE => (single(byte), start + 1),
                DIGIT => self.number_or_name(start),
                _ if byte == b'$' => return self.mysql_word(start),
                _ => self.mysql_symbol(start, byte),
            };
            if piece.0 != Kind::Comment {
                return self.token(piece, start);
            }
            start = piece.1;
        }
    }

    fn mysql_word(&mut self, start: usize) -> Token {
        self.word(start, &MYSQL)
    }

    fn mysql_symbol(&mut self, start: usize, byte: u8) -> Piece {
        match byte {
            b'#' => (Kind::Comment, self.line_end(start, b"\n")),
            b'-' if self.line_comment_at(start) => (Kind::Comment, self.line_end(start, b"\n")),
            b'/' if self.at(start + 1) == Some(b'*') => match self.comment(start) {
                Some(end) => (Kind::Comment, end),
                None => self.unterminated(),
            },
            b'*' if self.in_code && self.at(start + 1) == Some(b'/') => {
                self.in_code = false;
                (Kind::Comment, start + 2)
            }
            b'\'' => self.mysql_quoted(start, Kind::Text),
            b'"' if self.options().ansi_quotes => self.mysql_quoted(start, Kind::Quoted),
            b'"' => self.mysql_quoted(start, Kind::Text),
            b'`' => self.mysql_quoted(start, Kind::Quoted),
            b'?' => (Kind::Param, start + 1),
            b'@' => self.variable(start),
            // No cast is spelled with colons here; a label is `name :`.
            b':' if self.at(start + 1) == Some(b':') => (Kind::Operator, start + 1),
            _ => self.punctuation(start, byte),
        }
    }

    /// `--` starts a comment only in front of white space, a control character or the end.
    fn line_comment_at(&self, start: usize) -> bool {
        self.at(start + 1) == Some(b'-') && self.at(start + 2).is_none_or(|b| b <= b' ' || b == 0x7f)
    }

    fn mysql_quoted(&mut self, start: usize, kind: Kind) -> Piece {
        let escapes = if kind == Kind::Text && !self.options().no_backslash_escapes {
            Escapes::Backslash
        } else {
            Escapes::None
        };
        match self.quoted_end(start, escapes) {
            Some(end) => (kind, end),
            None => self.unterminated(),
        }
    }

    /// A name may start with a digit: `1a`, but not `1e5` or `0x1f`.
    fn number_or_name(&mut self, start: usize) -> Piece {
        let mut end = start;
        while self.at(end).is_some_and(|b| class(b) & (WORD | DIGIT) != 0 || b == b'$') {
            end += 1;
        }
        let text = &self.bytes[start..end];
        let all_digits = text.iter().all(u8::is_ascii_digit);
        let is_based = match text {
            [b'0', b'x', digits @ ..] => !digits.is_empty() && digits.iter().all(u8::is_ascii_hexdigit),
            [b'0', b'b', digits @ ..] => {
                !digits.is_empty() && digits.iter().all(|b| matches!(b, b'0' | b'1'))
            }
            _ => false,
        };
        let exponent = text.iter().position(|b| b | 0x20 == b'e').is_some_and(|e| {
            text[..e].iter().all(u8::is_ascii_digit) && (e + 1 == text.len() || text[e + 1].is_ascii_digit())
        });
        if all_digits || exponent {
            return self.number(start);
        }
        (if is_based { Kind::Number } else { Kind::Name }, end)
    }

    /// `@name`, `@'name'`, or the `@@` of a system variable.
    fn variable(&mut self, start: usize) -> Piece {
        match self.at(start + 1) {
            Some(b'@') => (Kind::SystemVariable, start + 2),
            Some(b'\'' | b'"' | b'`') => {
                let is_literal = match self.bytes[start + 1] {
                    b'\'' => true,
                    b'"' => !self.options().ansi_quotes,
                    _ => false,
                };
                let escapes = if is_literal && !self.options().no_backslash_escapes {
                    Escapes::Backslash
                } else {
                    Escapes::None
                };
                let quoted = self.quoted_end(start + 1, escapes);
                match quoted {
                    Some(end) => (Kind::UserVariable, end),
                    None => self.unterminated(),
                }
            }
            _ => {
                let mut end = start + 1;
                while self.at(end).is_some_and(|b| class(b) & (WORD | DIGIT) != 0 || b == b'$' || b == b'.') {
                    end += 1;
                }
                (Kind::UserVariable, end)
            }
        }
    }

    /// Decides what a comment is. `/*! … */` is code; so is `/*!80000 … */` for a server that is new enough, and
    /// `/*M! … */` for MariaDB, which may be what stands behind the name of MySQL. Whether a versioned one runs depends
    /// on the server, so both readings count. Says where to read on, if the comment has an end.
    fn comment(&mut self, start: usize) -> Option<usize> {
        let mariadb = self.options().dialect == Dialect::MariaDb;
        let is_mariadb = self.at(start + 2) == Some(b'M');
        let (mark, certain) = match (self.at(start + 2), self.at(start + 3)) {
            (Some(b'!'), _) => (start + 3, true),
            (Some(b'M'), Some(b'!')) => (start + 4, mariadb),
            _ => return self.plain_comment_end(start + 2),
        };
        self.code_start = start;
        if self.in_code {
            // A marked comment inside of code is read differently by different versions.
            self.conditional.seen = true;
            self.conditional.mixed = true;
        }
        let mut code = mark;
        let mut version = 0;
        while code < mark + 6 {
            let Some(digit) = self.at(code).filter(u8::is_ascii_digit) else { break };
            version = version * 10 + u32::from(digit - b'0');
            code += 1;
        }
        if code < mark + 5 {
            // Fewer than five digits are no version: the digits belong to the code.
            (code, version) = (mark, 0);
            if certain {
                self.in_code = true;
                return Some(code);
            }
        }
        self.conditional.seen = true;
        let asks = Asks { is_mariadb, version };
        self.conditional.mixed |= self.conditional.asks.is_some_and(|before| before != asks);
        self.conditional.asks = Some(asks);
        if self.skip_conditional {
            let end = self.plain_comment_end(start + 2)?;
            // A server that skips it lets one more comment nest in it, so that it ends elsewhere than it seems to.
            self.conditional.mixed |= self.bytes[start + 2..end].windows(2).any(|pair| pair == b"/*");
            return Some(end);
        }
        self.in_code = true;
        Some(code)
    }

    fn plain_comment_end(&self, from: usize) -> Option<usize> {
        let mut i = from;
        loop {
            match (self.at(i)?, self.at(i + 1)) {
                (b'*', Some(b'/')) => return Some(i + 2),
                (0, _) => return None,
                _ => i += 1,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classifier::Options;

    fn texts(sql: &str, dialect: Dialect) -> Vec<&str> {
        let mut lexer = Lexer::new(sql, Options::new(dialect));
        let mut all = Vec::new();
        loop {
            let token = lexer.next();
            match token.kind() {
                Kind::End => return all,
                Kind::Bad => {
                    all.push("BAD");
                    return all;
                }
                _ => all.push(&sql[token.span().range()]),
            }
        }
    }

    #[test]
    fn comments_of_every_form_are_passed_over_and_marked_ones_are_code() {
        assert_eq!(texts("a /* b /* c */ d -- e\n# f\n--g", Dialect::MySql), ["a", "d", "-", "-", "g"]);
        assert_eq!(texts("a /*! b */ /*!50000 c */ d", Dialect::MySql), ["a", "b", "c", "d"]);
        assert_eq!(texts("a /*M! b */ d", Dialect::MySql), ["a", "b", "d"]);
        assert_eq!(texts("a /*M! b */ d", Dialect::MariaDb), ["a", "b", "d"]);
        assert_eq!(texts("a /*! b", Dialect::MySql), ["a", "b", "BAD"]);
    }

    #[test]
    fn backslashes_escape_in_both_quotes_and_not_in_back_quotes() {
        assert_eq!(texts(r#"'a\'b' "c\"d" `e\` x"#, Dialect::MySql), [r"'a\'b'", r#""c\"d""#, r"`e\`", "x"]);
    }

    #[test]
    fn names_may_start_with_a_digit() {
        let kinds = |sql| {
            let mut lexer = Lexer::new(sql, Options::new(Dialect::MySql));
            [lexer.next().kind(), lexer.next().kind()]
        };
        assert_eq!(kinds("0x1F 0b01"), [Kind::Number, Kind::Number]);
        assert_eq!(kinds("0xz 0b2"), [Kind::Name, Kind::Name]);
        assert_eq!(kinds("0x 0X1F"), [Kind::Name, Kind::Name]);
        assert_eq!(texts("1a 1e5 0x1f 1.5 2for", Dialect::MySql), ["1a", "1e5", "0x1f", "1.5", "2for"]);
    }

    #[test]
    fn variables_are_one_token_and_the_mark_of_system_ones_another() {
        assert_eq!(
            texts("@a.b @'x y' @@global.z", Dialect::MySql),
            ["@a.b", "@'x y'", "@@", "global", ".", "z"]
        );
    }
}
