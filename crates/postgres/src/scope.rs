//! Settings that hold for one statement, or one transaction.

use std::fmt;

use postgres_protocol::escape::escape_literal;
use tokio_postgres::SimpleQueryMessage;

use crate::{Error, Result};

/// Settings for what runs through one handle.
pub(crate) struct Scope {
    settings: Vec<(Box<str>, Box<str>)>,
    /// Sets them for the transaction that it runs in.
    local: Box<str>,
    /// Sets them for the session.
    session: Box<str>,
    /// Those that a statement is prepared under; empty when there are none.
    prepared_under: Box<str>,
}

/// The classifier reads literals as it is by default, the driver text as UTF-8, and what a transaction may do is asked for where it
/// begins.
const REFUSED: [(&str, &str); 6] = [
    ("standard_conforming_strings", "it decides how every text is read"),
    ("client_encoding", "the driver speaks UTF-8"),
    ("default_transaction_read_only", "a transaction says it itself: build_transaction()"),
    ("transaction_read_only", "a transaction says it itself: build_transaction()"),
    ("transaction_isolation", "a transaction says it itself: build_transaction()"),
    ("transaction_deferrable", "a transaction says it itself: build_transaction()"),
];

/// Those that change what a name without a schema means; `role` by `"$user"` in the search path.
const MOVES_NAMES: [&str; 3] = ["search_path", "role", "session_authorization"];

impl Scope {
    /// These settings on top of others, of which those of the same name are replaced.
    pub(crate) fn new(
        base: Option<&Self>,
        settings: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self> {
        let mut all: Vec<(Box<str>, Box<str>)> = base.map_or_else(Vec::new, |base| base.settings.clone());
        for (name, value) in settings {
            check(&name, &value)?;
            all.retain(|(known, _)| !known.eq_ignore_ascii_case(&name));
            all.push((name.into(), value.into()));
        }
        let set = |is_local: bool| {
            let calls = all.iter().map(|(name, value)| {
                let (name, value) = (escape_literal(name), escape_literal(value));
                format!("pg_catalog.set_config({name}, {value}, {is_local})")
            });
            match calls.collect::<Vec<_>>().join(", ") {
                none if none.is_empty() => none,
                calls => format!("SELECT {calls}"),
            }
        };
        // A statement is read when it is prepared: names by the search path, literals by DateStyle and TimeZone. What is an
        // application's own has a dot in its name, and nothing is read by it.
        let of_the_server = all.iter().filter(|(name, _)| !name.contains('.'));
        let prepared_under: String =
            of_the_server.map(|(name, value)| format!("{name}\0{value}\0")).collect();
        Ok(Self {
            local: set(true).into(),
            session: set(false).into(),
            prepared_under: prepared_under.into(),
            settings: all,
        })
    }

    /// Whether names without a schema may mean something else than without these settings.
    pub(crate) fn moves_names(&self) -> bool {
        let moves = |name: &str| MOVES_NAMES.iter().any(|known| known.eq_ignore_ascii_case(name));
        self.settings.iter().any(|(name, _)| moves(name))
    }

    /// Those that a statement is read by when it is prepared.
    pub(crate) const fn prepared_under(&self) -> &str {
        &self.prepared_under
    }

    /// Sets them until the end of a transaction.
    pub(crate) const fn local(&self) -> &str {
        &self.local
    }

    /// Sets them until the connection is reset.
    pub(crate) const fn session(&self) -> &str {
        &self.session
    }

    /// Asks for what they are now, a column each.
    pub(crate) fn show(&self) -> String {
        let shown = self
            .settings
            .iter()
            .map(|(name, _)| format!("pg_catalog.current_setting({}, true)", escape_literal(name)));
        format!("SELECT {}", shown.collect::<Vec<_>>().join(", "))
    }

    /// Sets them to what they were, as the first row of the answer to [`show`](Self::show) has it.
    pub(crate) fn restore_to(&self, answers: &[SimpleQueryMessage]) -> String {
        let before = answers.iter().find_map(|answer| match answer {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        // The last first: a role that was put on last may not be allowed the others.
        let calls = self.settings.iter().enumerate().rev().map(|(index, (name, _))| {
            let value = before.and_then(|row| row.try_get(index).ok().flatten()).unwrap_or_default();
            let (name, value) = (escape_literal(name), escape_literal(value));
            format!("pg_catalog.set_config({name}, {value}, true)")
        });
        format!("SELECT {}", calls.collect::<Vec<_>>().join(", "))
    }
}

fn check(name: &str, value: &str) -> Result<()> {
    let refused =
        |why: String| Err(Error::config(format!("the setting {name:?} cannot be used here: {why}")));
    if name.is_empty() || name.contains('\0') || value.contains('\0') {
        return refused("its name is empty, or it has a NUL byte".to_owned());
    }
    match REFUSED.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
        Some((_, why)) => refused((*why).to_owned()),
        None => Ok(()),
    }
}

// Values may be what nobody should read in a log.
impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.settings.iter().map(|(name, _)| name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(settings: &[(&str, &str)]) -> Result<Scope> {
        Scope::new(None, settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn values_are_quoted() {
        let scope = scope(&[("app.tenant", "o'neil"), ("role", "a\\b")]).unwrap();
        assert_eq!(
            scope.local(),
            "SELECT pg_catalog.set_config('app.tenant', 'o''neil', true), \
             pg_catalog.set_config('role',  E'a\\\\b', true)"
        );
    }

    #[test]
    fn a_later_setting_replaces_an_earlier_one() {
        let base = scope(&[("app.tenant", "a"), ("app.user", "u")]).unwrap();
        let scope = Scope::new(Some(&base), [("APP.tenant".to_owned(), "b".to_owned())]).unwrap();
        assert!(scope.local().contains("'b'") && !scope.local().contains("'a'"), "{}", scope.local());
        assert!(scope.local().contains("'u'"));
    }

    #[test]
    fn a_statement_is_prepared_under_the_settings_of_the_server() {
        let under = |settings| scope(settings).unwrap().prepared_under().to_owned();
        assert_eq!(under(&[("app.tenant", "a")]), "");
        assert_eq!(under(&[("app.tenant", "a"), ("search_path", "a")]), "search_path\0a\0");
        assert_ne!(under(&[("TimeZone", "UTC")]), under(&[("TimeZone", "Asia/Tokyo")]));
    }

    #[test]
    fn what_would_change_how_texts_are_read_is_refused() {
        for (name, value) in [
            ("Standard_Conforming_Strings", "off"),
            ("transaction_read_only", "off"),
            ("", "x"),
            ("a.b", "\0"),
        ] {
            assert!(scope(&[(name, value)]).is_err(), "{name}");
        }
        assert!(!scope(&[("work_mem", "1MB")]).unwrap().moves_names());
        assert!(scope(&[("Search_Path", "tenant")]).unwrap().moves_names());
    }
}
