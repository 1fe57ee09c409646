//! Names of relations, types and operators: asked for when there is a catalog.

use super::Walk;
use crate::functions::Qualifier;
use crate::grammar::findings::Findings;
use crate::grammar::names::{self, Place};
use crate::lexer::{Class, Keyword as K, Kind, Marks, Token};
use crate::{ReasonKind, Span};

/// Only behind these words, a point, a comma and a parenthesis can a relation be named. Columns and aliases can stand in most of
/// these places too.
const RELATION_FOLLOWS: [K; 7] = [K::From, K::Into, K::Join, K::Only, K::Table, K::Update, K::Using];

impl Walk<'_, '_> {
    /// What runs in every statement, named or not.
    pub(super) fn judge_unnamed(&self, findings: &mut Findings) {
        let catalog = self.functions.and_then(|functions| functions.catalog.as_deref());
        if catalog.is_some_and(|catalog| catalog.has_unnamed_hazard()) {
            findings.unknown(ReasonKind::HiddenCode, self.trail.back(1).span());
        }
    }

    /// Judges a word that can be a name and is not on the trail yet.
    #[inline(never)]
    pub(super) fn judge_name(&mut self, token: Token, findings: &mut Findings) {
        let before = self.trail.back(1);
        let is_behind_dot = before.kind() == Kind::Dot;
        if !is_behind_dot && token.kind() == Kind::Word && token.class() == Class::Reserved {
            return;
        }
        let Some(functions) = self.functions else { return };
        let qualifier = self.qualifier(1);
        let place = match before.kind() {
            Kind::Dot if self.trail.back(2).has(Marks::COMPOSITE.union(Marks::FIELD)) => Place::Field,
            Kind::Dot | Kind::Comma | Kind::Open => Place::Relation,
            Kind::Word if RELATION_FOLLOWS.iter().any(|word| before.is(*word)) => Place::Relation,
            _ => Place::Value,
        };
        let start = match qualifier {
            Qualifier::Schema(schema) => schema.start(),
            _ => token.start(),
        };
        if let Some(kind) = names::object(self.cursor.lexer(), functions, qualifier, token, place) {
            findings.named(kind, Span::new(start, token.end()));
        }
        if is_behind_dot {
            let hazard = names::attribute(self.cursor.lexer(), functions, token);
            if let Some(kind) = hazard.filter(|_| place == Place::Field || !self.is_qualified()) {
                findings.named(kind, token.span());
            }
        }
    }

    #[inline(never)]
    pub(super) fn judge_operator(&self, token: Token, findings: &mut Findings) {
        let Some(functions) = self.functions else { return };
        if let Some(kind) = names::operator(self.cursor.lexer(), functions, token) {
            findings.named(kind, token.span());
        }
    }

    /// Whether operators of that schema are known: each symbol is then judged where it stands.
    pub(super) fn knows_operators_of(&self, schema: Token) -> bool {
        let name = crate::functions::Folded::new(self.cursor.lexer(), schema);
        let catalog = self.functions.and_then(|functions| functions.catalog.as_deref());
        name.zip(catalog).is_some_and(|(name, catalog)| catalog.has_operators_in(name.as_str()))
    }
}
