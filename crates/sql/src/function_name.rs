//! Names of functions as people write them in settings.

use std::fmt;

use crate::Dialect;
use crate::functions::{self, Verdict};

/// What stands between a schema and a name that are kept together: no name has it.
pub(crate) const SEPARATOR: char = '\0';

/// The longest name that a server keeps whole, in bytes.
const LONGEST: usize = 63;

/// Why a text cannot be allowed or denied as a function.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} {problem}")]
pub struct FunctionNameError {
    name: Box<str>,
    problem: Problem,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Problem {
    NoName,
    Writes,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoName => {
                "is no name of a function: write it as a call does, with or without its schema, and without parentheses"
            }
            Self::Writes => "is a function of the server's own with an effect, and cannot be allowed",
        })
    }
}

impl FunctionNameError {
    /// The text.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// A name as the server keeps it, in lower case but for what stands in quotes, and without these; with its schema in front
/// if it has one.
pub(crate) fn parse(name: &str, dialect: Dialect) -> Result<String, FunctionNameError> {
    let mut kept = String::with_capacity(name.len());
    let mut rest = name;
    for part in 0..2 {
        let Some(after) = part_of(rest, dialect, &mut kept) else { break };
        match (after, part) {
            ("", _) => return Ok(kept),
            (after, 0) if after.starts_with('.') => {
                kept.push(SEPARATOR);
                rest = &after[1..];
            }
            _ => break,
        }
    }
    Err(FunctionNameError { name: name.into(), problem: Problem::NoName })
}

/// Like [`parse`], of a name that is to be allowed.
pub(crate) fn parse_allowed(name: &str, dialect: Dialect) -> Result<String, FunctionNameError> {
    let kept = parse(name, dialect)?;
    let own = kept.strip_prefix("pg_catalog\0").unwrap_or(&kept);
    match functions::builtin(own, dialect) {
        Verdict::Reads | Verdict::Hidden(_) | Verdict::Unknown => Ok(kept),
        _ => Err(FunctionNameError { name: name.into(), problem: Problem::Writes }),
    }
}

/// Puts the name at the start of `text` into `kept`, and gives what stands behind it.
fn part_of<'t>(text: &'t str, dialect: Dialect, kept: &mut String) -> Option<&'t str> {
    let quote = if dialect == Dialect::Postgres { '"' } else { '`' };
    let start = kept.len();
    let after = if let Some(inside) = text.strip_prefix(quote) {
        let end = inside.find(quote)?;
        kept.push_str(&inside[..end]);
        if dialect != Dialect::Postgres {
            kept[start..].make_ascii_lowercase();
        }
        &inside[end + 1..]
    } else {
        let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '$') || !c.is_ascii();
        let end = text.find(|c| !is_part(c)).unwrap_or(text.len());
        if dialect == Dialect::Postgres && text.starts_with(|c: char| c.is_ascii_digit() || c == '$') {
            return None;
        }
        kept.push_str(&text[..end]);
        kept[start..].make_ascii_lowercase();
        &text[end..]
    };
    // A quote behind one that ends stands for itself, and no list has such a name.
    let is_name = (1..=LONGEST).contains(&(kept.len() - start)) && !after.starts_with(quote);
    is_name.then_some(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_kept_as_the_server_keeps_it() {
        for (name, kept) in [
            ("ST_DWithin", "st_dwithin"),
            ("Geo.\"Volume\"", "geo\0Volume"),
            ("\"a.b\"", "a.b"),
            ("\"a(1)\"", "a(1)"),
            ("größe", "größe"),
            ("a$1", "a$1"),
        ] {
            assert_eq!(parse(name, Dialect::Postgres).as_deref(), Ok(kept), "{name}");
        }
        assert_eq!(parse("`My`.`F(x)`", Dialect::MySql).as_deref(), Ok("my\0f(x)"));
        assert_eq!(parse("2nd", Dialect::MariaDb).as_deref(), Ok("2nd"));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let long = "a".repeat(64);
        for name in [
            "",
            " ",
            " f",
            "f ",
            "f()",
            "f(int)",
            "a.b.c",
            ".f",
            "f.",
            "a..b",
            "\"f",
            "f\"",
            "\"\"",
            "\"a\"\"b\"",
            "1f",
            "a-b",
            "f;",
            "`f`",
            &long,
        ] {
            let error = parse(name, Dialect::Postgres).expect_err(name);
            assert_eq!(error.name(), name);
            assert!(error.to_string().contains("is no name of a function"), "{error}");
        }
        assert!(parse("\"f\"", Dialect::MySql).is_err(), "a string to the server");
    }

    #[test]
    fn a_function_with_an_effect_cannot_be_allowed() {
        for (name, dialect) in [
            ("nextval", Dialect::Postgres),
            ("pg_catalog.setval", Dialect::Postgres),
            ("\"pg_advisory_lock\"", Dialect::Postgres),
            ("GET_LOCK", Dialect::MySql),
            ("last_insert_id", Dialect::MariaDb),
        ] {
            let error = parse_allowed(name, dialect).expect_err(name);
            assert!(error.to_string().contains("cannot be allowed"), "{error}");
            assert!(parse(name, dialect).is_ok(), "it can be denied: {name}");
        }
        for name in ["nextvalue", "lower", "shop.nextval"] {
            assert!(parse_allowed(name, Dialect::Postgres).is_ok(), "{name}");
        }
    }
}
