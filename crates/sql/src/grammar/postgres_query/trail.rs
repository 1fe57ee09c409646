//! What the walk has passed.

use crate::lexer::{Kind, Token};

/// The last tokens, as far back as a rule looks. Words that are names where they stand, and groups, are kept as what they
/// turned out to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trail {
    /// Each at the place that its number says.
    tokens: [Token; REACH],
    count: usize,
}

/// `a.f (` is the longest that has to be looked at: its parenthesis, and whether a point stands before `a`.
const REACH: usize = 4;

impl Trail {
    /// In front of the first token nothing stands, as behind a parenthesis that opens.
    pub(super) fn new(at: u32) -> Self {
        Self { tokens: [Token::end_at(at).replaced(Kind::Open); REACH], count: REACH }
    }

    #[inline(always)]
    pub(super) fn push(&mut self, token: Token) {
        self.tokens[self.count % REACH] = token;
        self.count = self.count.wrapping_add(1);
    }

    /// The last token is the first one back.
    #[inline(always)]
    pub(super) fn back(&self, n: usize) -> Token {
        self.tokens[self.count.wrapping_sub(n) % REACH]
    }
}
