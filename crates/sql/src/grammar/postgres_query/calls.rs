//! What a word in front of a parenthesis is: a call, or a part of the language.

use super::{Before, SETS, WITH, Walk};
use crate::lexer::{Class, Keyword as K};

impl Walk<'_, '_> {
    /// Whether a name here is the head of a common table expression.
    pub(super) fn is_head(&self, before: Before) -> bool {
        self.is_in(WITH) && matches!(before, Before::Keyword(K::With | K::Recursive) | Before::Comma)
    }

    /// Whether the keyword in front of a parenthesis is the name of a function here.
    pub(super) fn is_call(&self, keyword: K, class: Class) -> bool {
        match class {
            Class::Reserved | Class::Construct => false,
            Class::Operator => match keyword {
                K::Join => !matches!(
                    self.lead,
                    Before::Keyword(
                        K::Left | K::Right | K::Full | K::Inner | K::Outer | K::Cross | K::Natural
                    )
                ),
                // `a NOT ILIKE (…)`.
                _ => !(self.lead == Before::Keyword(K::Not) && self.is_negated),
            },
            Class::Unreserved | Class::System => match keyword {
                K::Operator => false,
                K::Conflict => !(self.inserts && self.lead == Before::Keyword(K::On)),
                K::Set => self.lead != Before::Keyword(K::Update),
                K::By => !matches!(self.lead, Before::Keyword(K::Group | K::Order | K::Partition)),
                K::Sets => self.lead != Before::Keyword(K::Grouping),
                K::Cube | K::Rollup => !self.is_grouping(),
                K::First | K::Next => self.lead != Before::Keyword(K::Fetch),
                K::Zone => self.lead != Before::Keyword(K::Time),
                K::Materialized => !(self.is_in(WITH) && self.lead == Before::Keyword(K::Not)),
                K::Varying => {
                    !matches!(self.lead, Before::Keyword(K::Bit | K::Char | K::Character | K::Nchar))
                }
                K::Second => {
                    !(self.lead == Before::Keyword(K::Interval)
                        || (self.lead == Before::Keyword(K::To) && self.is_field_range))
                }
                _ => true,
            },
        }
    }

    /// Whether an item of `GROUP BY` or `GROUPING SETS` starts here, which is where `CUBE (` is no call.
    pub(super) fn is_grouping(&self) -> bool {
        let is_item = matches!(
            self.lead,
            Before::Keyword(K::By | K::All | K::Distinct) | Before::Comma | Before::Start
        );
        is_item && (self.group_by == Some(self.depth) || self.is_in(SETS))
    }
}

/// Whether a word behind this can only be a name: a field, a label, a type.
pub(super) fn only_name(before: Before) -> bool {
    // `AS MATERIALIZED (` and `AS NOT MATERIALIZED (` fall under it too: nothing is called there.
    matches!(before, Before::Dot | Before::Cast | Before::Keyword(K::As))
}

/// Whether this is the end of an operand, so that no call can follow: only an alias with its columns, or a construct such
/// as `OVER (…)`.
pub(super) fn is_operand(before: Before) -> bool {
    matches!(
        before,
        Before::Name | Before::Value | Before::Group | Before::Type | Before::Keyword(K::Ordinality)
    )
}
