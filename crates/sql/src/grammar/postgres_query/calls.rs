//! What a word in front of a parenthesis is: a call, or a part of the language.

use super::{Before, Walk};
use crate::lexer::{Class, Keyword as K};

impl Walk<'_, '_> {
    /// Whether the word that comes now can only be a name: a field, a label, a type.
    pub(super) fn only_name(&self) -> bool {
        // `AS MATERIALIZED (` and `AS NOT MATERIALIZED (` fall under it too: nothing is called there.
        matches!(self.before, Before::Dot | Before::Cast | Before::Keyword(K::As))
    }

    /// Whether a name here is the head of a common table expression.
    pub(super) fn is_head(&self) -> bool {
        self.stack[self.depth].is_with
            && matches!(self.before, Before::Keyword(K::With | K::Recursive) | Before::Comma)
    }

    /// Whether the keyword in front of a parenthesis is the name of a function here.
    pub(super) fn is_call(&self, keyword: K, class: Class) -> bool {
        match class {
            Class::Reserved | Class::Construct => false,
            Class::Operator => match keyword {
                K::Join => !matches!(
                    self.before,
                    Before::Keyword(
                        K::Left | K::Right | K::Full | K::Inner | K::Outer | K::Cross | K::Natural
                    )
                ),
                // `a NOT ILIKE (…)`.
                _ => !(self.before == Before::Keyword(K::Not) && self.is_negated),
            },
            Class::Unreserved => match keyword {
                K::Operator => false,
                K::Conflict => !(self.inserts && self.before == Before::Keyword(K::On)),
                K::Set => self.before != Before::Keyword(K::Update),
                K::By => !matches!(self.before, Before::Keyword(K::Group | K::Order | K::Partition)),
                K::Sets => self.before != Before::Keyword(K::Grouping),
                K::Cube | K::Rollup => !self.is_grouping(),
                K::First | K::Next => self.before != Before::Keyword(K::Fetch),
                K::Zone => self.before != Before::Keyword(K::Time),
                K::Materialized => {
                    !(self.stack[self.depth].is_with && self.before == Before::Keyword(K::Not))
                }
                K::Varying => {
                    !matches!(self.before, Before::Keyword(K::Bit | K::Char | K::Character | K::Nchar))
                }
                K::Second => {
                    !(self.before == Before::Keyword(K::Interval)
                        || (self.before == Before::Keyword(K::To) && self.is_field_range))
                }
                _ => true,
            },
        }
    }

    /// Whether an item of `GROUP BY` or `GROUPING SETS` starts here, which is where `CUBE (` is no call.
    pub(super) fn is_grouping(&self) -> bool {
        let is_item = matches!(
            self.before,
            Before::Keyword(K::By | K::All | K::Distinct) | Before::Comma | Before::Start
        );
        is_item && (self.group_by == Some(self.depth) || self.stack[self.depth].is_sets)
    }

    /// Whether what stood before is a whole operand, so that no call can follow: only an alias with its columns, or a
    /// construct such as `OVER (…)`.
    pub(super) fn is_operand(&self) -> bool {
        matches!(self.before, Before::Name | Before::Value | Before::Group | Before::Type)
            || self.before == Before::Keyword(K::Ordinality)
    }
}
