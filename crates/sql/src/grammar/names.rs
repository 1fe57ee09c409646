//! What the catalog says of the names and operators in a statement.

use crate::ReasonKind;
use crate::catalog::{Catalog, Scope};
use crate::classifier::Functions;
use crate::functions::{Folded, Qualifier};
use crate::lexer::{Lexer, Token};

/// What a name can be where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A relation, a type or a column.
    Relation,
    /// A type or a column.
    Value,
    /// A column, or a function in the spelling of one.
    Field,
}

/// Why a name is no read, if it is none. A name with something else than a schema in front of it is in no schema.
pub(crate) fn object(
    lexer: &Lexer<'_>,
    functions: &Functions,
    qualifier: Qualifier,
    name: Token,
    place: Place,
) -> Option<ReasonKind> {
    let catalog = functions.catalog.as_deref()?;
    let Some(name) = Folded::new(lexer, name) else {
        return Some(ReasonKind::NotUnderstood);
    };
    let (schema, scope) = match qualifier {
        Qualifier::None | Qualifier::Stored => (None, functions.scope),
        Qualifier::Schema(token) => match Folded::new(lexer, token) {
            Some(schema) => (Some(schema), functions.scope),
            None => return Some(ReasonKind::NotUnderstood),
        },
        Qualifier::Other => (None, Scope::Everywhere),
    };
    let (schema, name) = (schema.as_ref().map(Folded::as_str), name.as_str());
    match place {
        Place::Field => None,
        Place::Value if schema.is_none() => catalog.type_name(schema, name, scope),
        Place::Relation | Place::Value => in_catalog(catalog, schema, name, scope),
    }
}

fn in_catalog(catalog: &Catalog, schema: Option<&str>, name: &str, scope: Scope) -> Option<ReasonKind> {
    catalog.relation(schema, name, scope).or_else(|| catalog.type_name(schema, name, scope))
}

/// Why a column's name is no read: `x.f` can call `f`.
pub(crate) fn attribute(lexer: &Lexer<'_>, functions: &Functions, name: Token) -> Option<ReasonKind> {
    let Some(name) = Folded::new(lexer, name) else {
        return Some(ReasonKind::NotUnderstood);
    };
    let name = name.as_str();
    if functions.denied.contains(name) {
        return Some(ReasonKind::WritingFunction);
    }
    let hazard = functions.catalog.as_deref().and_then(|catalog| catalog.attribute(name));
    hazard.filter(|_| !functions.allowed.contains(name))
}

/// Why the operator at a token is no read, if it is none.
pub(crate) fn operator(lexer: &Lexer<'_>, functions: &Functions, token: Token) -> Option<ReasonKind> {
    functions.catalog.as_deref()?.operator(lexer.rest(token))
}
