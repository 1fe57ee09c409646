//! What functions do, by name.
//!
//! A name counts as harmless only if it stands on a list: one generated from the server's own catalog, or one that was
//! reviewed by hand. Names with an effect have a table of their own, which is asked first.

mod mysql;
mod postgres;
mod postgres_generated;
mod table;

pub(crate) use postgres::EFFECTS as POSTGRES_EFFECTS;
pub(crate) use postgres::is_of_one_server;

use crate::classifier::Functions;
use crate::function_name::SEPARATOR;
use crate::lexer::{Class, Kind, Lexer, Token};
use crate::{Dialect, Effects, ReasonKind};

/// What calling a function does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It only reads.
    Reads,
    /// It only reads, and only a primary has the answer.
    Primary,
    /// It only reads, but its answer belongs to one server.
    Local,
    /// It reads or changes the state of one session.
    Session(Effects),
    /// It writes, or has an effect that no replica should have.
    Writes(Effects),
    /// The catalog has it, and does not know it to read.
    Hidden(ReasonKind),
    /// The user says that it writes.
    Denied,
    /// Its name is on no list.
    Unknown,
}

/// The longest name that any list has, and that a server keeps whole.
const LONGEST: usize = 63;

/// A name as the server keeps it, on the stack.
pub(crate) struct Folded {
    bytes: [u8; LONGEST],
    length: usize,
}

impl Folded {
    pub(crate) fn new(lexer: &Lexer<'_>, token: Token) -> Option<Self> {
        let text = lexer.text(token);
        let (text, fold) = match token.kind() {
            Kind::Quoted => {
                let inside = text.get(1..text.len() - 1)?;
                // A quoted name with an escape in it is not worth the trouble: it is on no list.
                if inside.iter().any(|b| matches!(b, b'"' | b'`')) {
                    return None;
                }
                (inside, lexer.options().dialect != Dialect::Postgres)
            }
            _ => (text, true),
        };
        if text.len() > LONGEST {
            return None;
        }
        let mut bytes = [0; LONGEST];
        bytes[..text.len()].copy_from_slice(text);
        if fold {
            bytes[..text.len()].make_ascii_lowercase();
        }
        Some(Self { bytes, length: text.len() })
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or("")
    }
}

/// Functions that run a text, read a relation, or make a value of a type, that their arguments name: the server's own, and those of the
/// extensions `tablefunc` and `xml2`. What these do, a text does not show.
pub(crate) const BY_ARGUMENT: &[&str] = &[
    "array_in",
    "array_recv",
    "connectby",
    "crosstab",
    "crosstab2",
    "crosstab3",
    "crosstab4",
    "database_to_xml",
    "database_to_xml_and_xmlschema",
    "domain_in",
    "domain_recv",
    "multirange_in",
    "multirange_recv",
    "pg_input_error_info",
    "pg_input_is_valid",
    "range_in",
    "range_recv",
    "record_in",
    "record_recv",
    "schema_to_xml",
    "schema_to_xml_and_xmlschema",
    "table_to_xml",
    "table_to_xml_and_xmlschema",
    "xpath_table",
];

/// How a function's name is qualified.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Qualifier {
    /// Not at all.
    None,
    /// By one name.
    Schema(Token),
    /// In another way.
    Other,
    /// Not at all, but spelled so that only a stored function can be meant.
    Stored,
}

/// What a call of the function `name` does.
pub(crate) fn verdict(
    lexer: &Lexer<'_>,
    user: Option<&Functions>,
    qualifier: Qualifier,
    name: Token,
) -> Verdict {
    let is_recent = name.kind() == Kind::Word && name.class() == Class::Recent;
    let Some(name) = Folded::new(lexer, name) else {
        return Verdict::Unknown;
    };
    let dialect = lexer.options().dialect;
    let schema = match qualifier {
        Qualifier::None | Qualifier::Stored => None,
        Qualifier::Schema(token) => match Folded::new(lexer, token) {
            Some(schema) => Some(schema),
            None => return Verdict::Unknown,
        },
        Qualifier::Other => return Verdict::Unknown,
    };
    let builtin = match (&schema, dialect) {
        _ if matches!(qualifier, Qualifier::Stored) => Verdict::Unknown,
        (None, _) => builtin(name.as_str(), dialect),
        (Some(schema), Dialect::Postgres) if schema.as_bytes() == b"pg_catalog" => {
            postgres_verdict(name.as_str())
        }
        (Some(_), _) => Verdict::Unknown,
    };
    // What an older server takes for a user's function, the catalog knows.
    let builtin = if is_recent && builtin == Verdict::Unknown { Verdict::Reads } else { builtin };
    let Some(user) = user else { return builtin };
    let known = match &user.catalog {
        Some(catalog) => {
            catalog.function(builtin, schema.as_ref().map(Folded::as_str), name.as_str(), user.scope)
        }
        None => builtin,
    };
    with_user(known, user, schema.as_ref(), &name)
}

fn with_user(builtin: Verdict, user: &Functions, schema: Option<&Folded>, name: &Folded) -> Verdict {
    let mut key = [0; 2 * LONGEST + 1];
    let mut length = 0;
    if let Some(schema) = schema {
        key[..schema.length].copy_from_slice(schema.as_bytes());
        key[schema.length] = SEPARATOR as u8;
        length = schema.length + 1;
    }
    key[length..length + name.length].copy_from_slice(name.as_bytes());
    length += name.length;
    let key = std::str::from_utf8(&key[..length]).unwrap_or("");
    debug_assert!(key.ends_with(name.as_str()));
    match builtin {
        _ if user.denied.contains(key) || user.denied.contains(name.as_str()) => Verdict::Denied,
        Verdict::Unknown | Verdict::Hidden(_) if user.allowed.contains(key) => Verdict::Reads,
        known => known,
    }
}

/// What the server's own function of that name does.
pub(crate) fn builtin(name: &str, dialect: Dialect) -> Verdict {
    match dialect {
        Dialect::Postgres => postgres_verdict(name),
        Dialect::MySql => mysql::verdict(name.as_bytes(), mysql::Family::MySql),
        Dialect::MariaDb => mysql::verdict(name.as_bytes(), mysql::Family::MariaDb),
    }
}

/// What PostgreSQL's own function of that name does.
pub(crate) fn postgres_verdict(name: &str) -> Verdict {
    match postgres::verdict(name.as_bytes()) {
        Verdict::Reads if BY_ARGUMENT.contains(&name) => Verdict::Hidden(ReasonKind::HiddenFunction),
        known => known,
    }
}

/// Whether MySQL and MariaDB take a name for their own function only when its parenthesis follows at once.
pub(crate) fn needs_no_space(name: &[u8]) -> bool {
    mysql::NO_SPACE.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(name))
}
