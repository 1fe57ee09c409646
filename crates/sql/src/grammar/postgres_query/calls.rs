//! What a word in front of a parenthesis is: a call, or a part of the language.

use super::{SETS, WITH, Walk};
use crate::lexer::{Class, Keyword as K, Kind, Marks, Token};

impl Walk<'_, '_> {
    /// Whether a name behind this is the head of a common table expression.
    pub(super) fn is_head(&self, before: Token) -> bool {
        self.is_in(WITH) && (before.is(K::With) || before.is(K::Recursive) || before.kind() == Kind::Comma)
    }

    /// Whether the keyword in front of a parenthesis, the last token, is the name of a function here.
    pub(super) fn is_call(&self, keyword: K, class: Class) -> bool {
        let lead = self.trail.back(2);
        let follows = |words: &[K]| words.iter().any(|word| lead.is(*word));
        match class {
            Class::Reserved | Class::Construct => false,
            Class::Recent => true,
            Class::Operator => match keyword {
                K::Join => !follows(&[K::Left, K::Right, K::Full, K::Inner, K::Outer, K::Cross, K::Natural]),
                // `a NOT ILIKE (…)`.
                _ => !(lead.is(K::Not) && self.trail.back(3).has(Marks::OPERAND)),
            },
            Class::Unreserved | Class::System => match keyword {
                K::Operator => false,
                K::Conflict => !(self.inserts && lead.is(K::On)),
                K::Set => !lead.is(K::Update),
                K::By => !follows(&[K::Group, K::Order, K::Partition]),
                K::Sets => !lead.is(K::Grouping),
                K::Cube | K::Rollup => !self.is_grouping(),
                K::First | K::Next => !lead.is(K::Fetch),
                K::Zone => !lead.is(K::Time),
                K::Materialized => !(self.is_in(WITH) && lead.is(K::Not)),
                K::Varying => !follows(&[K::Bit, K::Char, K::Character, K::Nchar]),
                // `INTERVAL SECOND (…)`, `DAY TO SECOND (…)`.
                K::Second => !(lead.is(K::Interval) || (lead.is(K::To) && self.trail.back(3).is(K::Other))),
                _ => true,
            },
        }
    }

    /// Whether an item of `GROUP BY` or `GROUPING SETS` starts with the last token, which is where `CUBE (` is no call.
    fn is_grouping(&self) -> bool {
        let lead = self.trail.back(2);
        let is_item = matches!(lead.kind(), Kind::Comma | Kind::Open)
            || [K::By, K::All, K::Distinct].iter().any(|word| lead.is(*word));
        is_item && (self.group_by == Some(self.depth) || self.is_in(SETS))
    }
}

/// Whether a word behind this can only be a name: a field, a label, a type.
pub(super) const fn only_name(before: Token) -> bool {
    // `AS MATERIALIZED (` and `AS NOT MATERIALIZED (` fall under it too: nothing is called there.
    matches!(before.kind(), Kind::Dot | Kind::Cast) || before.is(K::As)
}
