//! The classifier with its settings and the functions its user knows better about.

use std::collections::HashSet;
use std::sync::Arc;

use crate::catalog::{self, Catalog, Scope};
use crate::{
    Analysis, Classification, Dialect, Digest, FunctionNameError, Statements, digest, function_name, grammar,
    normalized,
};

/// How the server reads literals, and which server it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) dialect: Dialect,
    pub(crate) standard_conforming_strings: bool,
    pub(crate) no_backslash_escapes: bool,
    pub(crate) ansi_quotes: bool,
}

impl Options {
    pub(crate) const fn new(dialect: Dialect) -> Self {
        Self { dialect, standard_conforming_strings: true, no_backslash_escapes: false, ansi_quotes: false }
    }
}

/// What is known about functions beside the server's own.
#[derive(Clone, Debug, Default)]
pub(crate) struct Functions {
    /// By the user of the crate.
    pub(crate) allowed: HashSet<Box<str>>,
    pub(crate) denied: HashSet<Box<str>>,
    /// By what the database holds, its relations, operators and types among it.
    pub(crate) catalog: Option<Arc<Catalog>>,
    pub(crate) scope: Scope,
}

impl Functions {
    /// Whether the user said of a function that it only reads: without a schema, of that which the search path finds.
    pub(crate) fn allows(&self, schema: &str, name: &str, path: &[Box<str>]) -> bool {
        let is_found = path.iter().any(|known| **known == *schema);
        let is_allowed = is_in(&self.allowed, schema, name) && (is_found || !self.allowed.contains(name));
        let is_named = self.allowed.contains(&*format!("{schema}{}{name}", function_name::SEPARATOR));
        (is_allowed || is_named) && !self.denies(schema, name)
    }

    /// Whether the user said of a function that it writes.
    pub(crate) fn denies(&self, schema: &str, name: &str) -> bool {
        is_in(&self.denied, schema, name)
    }
}

fn is_in(names: &HashSet<Box<str>>, schema: &str, name: &str) -> bool {
    !names.is_empty()
        && (names.contains(name) || names.contains(&*format!("{schema}{}{name}", function_name::SEPARATOR)))
}

/// Classifies texts for one server, with its settings and with functions that were allowed or denied by name.
///
/// ```
/// use millpond_sql::{Classifier, Dialect};
///
/// let classifier = Classifier::new(Dialect::Postgres).allow_function("area").allow_function("geo.distance");
/// assert!(classifier.classify("select area(shape), geo.distance(a, b) from plot").is_plain_read());
/// assert!(!classifier.classify("select volume(shape) from plot").is_plain_read());
/// ```
#[derive(Clone, Debug)]
pub struct Classifier {
    options: Options,
    functions: Functions,
}

impl Classifier {
    /// A classifier that answers as [`classify`](crate::classify) does.
    #[must_use]
    pub fn new(dialect: Dialect) -> Self {
        Self { options: Options::new(dialect), functions: Functions::default() }
    }

    /// Takes a function for one that only reads, whatever its arguments. `name` is written as statements write it: letters count as
    /// lower case outside of quotes, and with a schema and a point only calls with that schema are meant, without one
    /// that function which the search path finds. A text that is no
    /// such name, or is that of a built-in with an effect, changes nothing; [`try_allow_function`](Self::try_allow_function)
    /// says so.
    ///
    /// Views, operators and casts that call the function are taken to read where the [catalog](Self::catalog_builder) was told of
    /// it, so before [`with_catalog`](Self::with_catalog).
    #[must_use]
    pub fn allow_function(mut self, name: &str) -> Self {
        if let Ok(name) = function_name::parse_allowed(name, self.options.dialect) {
            self.functions.denied.remove(&*name);
            self.functions.allowed.insert(name.into());
        }
        self
    }

    /// Like [`allow_function`](Self::allow_function), with an answer.
    ///
    /// # Errors
    ///
    /// A text that is no name of a function, or the name of a built-in with an effect.
    pub fn try_allow_function(self, name: &str) -> Result<Self, FunctionNameError> {
        function_name::parse_allowed(name, self.options.dialect)?;
        Ok(self.allow_function(name))
    }

    /// Takes a function for one that writes, even where it is a built-in that reads. `name` is as for
    /// [`allow_function`](Self::allow_function), but without a schema it is that function in any, also in the spelling of a
    /// column: `t.area`. A text that is no such name changes nothing; [`try_deny_function`](Self::try_deny_function) says so.
    ///
    /// What is no function to the server, such as `COALESCE`, cannot be denied. Views, operators and casts that call the
    /// function are denied too where the [catalog](Self::catalog_builder) was told of it.
    #[must_use]
    pub fn deny_function(mut self, name: &str) -> Self {
        if let Ok(name) = function_name::parse(name, self.options.dialect) {
            self.functions.allowed.remove(&*name);
            self.functions.denied.insert(name.into());
        }
        self
    }

    /// Like [`deny_function`](Self::deny_function), with an answer.
    ///
    /// # Errors
    ///
    /// A text that is no name of a function.
    pub fn try_deny_function(self, name: &str) -> Result<Self, FunctionNameError> {
        function_name::parse(name, self.options.dialect)?;
        Ok(self.deny_function(name))
    }

    /// Takes the rows of a catalog, in which functions that were allowed or denied by name so far are what was said of them, and so
    /// is what calls them.
    ///
    /// ```
    /// use millpond_sql::catalog::{Relation, RelationKind};
    /// use millpond_sql::{Classifier, Dialect};
    ///
    /// let classifier = Classifier::new(Dialect::Postgres).allow_function("shop.rate");
    /// let view = Relation::new("shop", "rates", RelationKind::View).definition("select shop.rate(id) from shop.item");
    /// let catalog = classifier.catalog_builder().relation(view).build();
    /// assert!(classifier.with_catalog(catalog.into()).classify("select * from shop.rates").is_plain_read());
    /// ```
    #[must_use]
    pub fn catalog_builder(&self) -> catalog::Builder {
        catalog::Builder::new(&self.functions)
    }

    /// Judges user functions, views, tables, operators and types by what the database holds. What was allowed or denied by
    /// name goes first. A PostgreSQL catalog says nothing about another dialect, and is not kept for one.
    #[must_use]
    pub fn with_catalog(mut self, catalog: Arc<Catalog>) -> Self {
        self.functions.catalog = (self.options.dialect == Dialect::Postgres).then_some(catalog);
        self
    }

    /// Takes a name without a schema for whatever any schema of the [catalog](Self::with_catalog) has of that name, the strictest of them:
    /// for sessions whose search path is not that of the catalog. Off by default.
    ///
    /// ```
    /// use millpond_sql::catalog::{Catalog, Relation, RelationKind};
    /// use millpond_sql::{Classifier, Dialect};
    ///
    /// let view = Relation::new("tenant", "item", RelationKind::View).definition("select nextval('items')");
    /// let table = Relation::new("public", "item", RelationKind::Table);
    /// let catalog = Catalog::builder().search_path(["public"]).relation(table).relation(view).build();
    /// let classifier = Classifier::new(Dialect::Postgres).with_catalog(catalog.into());
    /// assert!(classifier.classify("select * from item").is_plain_read());
    /// assert!(!classifier.any_search_path(true).classify("select * from item").is_plain_read());
    /// ```
    #[must_use]
    pub fn any_search_path(mut self, on: bool) -> Self {
        self.functions.scope = if on { Scope::Everywhere } else { Scope::Path };
        self
    }

    /// What it knows of the database.
    #[must_use]
    pub const fn catalog(&self) -> Option<&Arc<Catalog>> {
        self.functions.catalog.as_ref()
    }

    /// PostgreSQL's setting of that name; on, as it is by default, a backslash in a plain literal is itself. Bodies in a
    /// [catalog](Self::catalog_builder) are read as with it on.
    #[must_use]
    pub const fn standard_conforming_strings(mut self, on: bool) -> Self {
        self.options.standard_conforming_strings = on;
        self
    }

    /// MySQL's mode `NO_BACKSLASH_ESCAPES`; off by default.
    #[must_use]
    pub const fn no_backslash_escapes(mut self, on: bool) -> Self {
        self.options.no_backslash_escapes = on;
        self
    }

    /// MySQL's mode `ANSI_QUOTES`: double quotes hold a name; off by default.
    #[must_use]
    pub const fn ansi_quotes(mut self, on: bool) -> Self {
        self.options.ansi_quotes = on;
        self
    }

    /// Which server reads the text.
    #[must_use]
    pub const fn dialect(&self) -> Dialect {
        self.options.dialect
    }

    /// Says what the statements of `sql` do.
    #[must_use]
    pub fn classify(&self, sql: &str) -> Classification {
        grammar::classify(sql, self.options, Some(&self.functions))
    }

    /// Says what the statements of a text that may be no UTF-8 do; see [`classify_bytes`](crate::classify_bytes).
    #[must_use]
    pub fn classify_bytes(&self, sql: &[u8]) -> Classification {
        grammar::classify_bytes(sql, self.options, Some(&self.functions))
    }

    /// The ranges of the statements of `sql`, as the server reads it; see [`split`](crate::split).
    #[must_use]
    pub fn split<'a>(&self, sql: &'a str) -> Statements<'a> {
        Statements::new(sql, self.options)
    }

    /// The digest of `sql`, as the server reads it; see [`digest`](crate::digest).
    #[must_use]
    pub fn digest(&self, sql: &str) -> Digest {
        digest::of(sql, self.options)
    }

    /// `sql` without its values, as the server reads it; see [`normalized`](crate::normalized()).
    #[must_use]
    pub fn normalized(&self, sql: &str) -> String {
        normalized::of(sql, self.options)
    }

    /// Says all that `sql` shows: what it does, each of its statements, the tables it names, its digest.
    #[must_use]
    pub fn analyze(&self, sql: &str) -> Analysis {
        Analysis::new(sql, self.options, Some(&self.functions))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_of_the_server_count_everywhere() {
        let sql = "select 'a\\'; select ' b'";
        let default = Classifier::new(Dialect::MySql);
        let plain = Classifier::new(Dialect::MySql).no_backslash_escapes(true);
        assert_eq!((default.split(sql).count(), plain.split(sql).count()), (1, 2));
        assert_ne!(default.digest(sql), plain.digest(sql));
        for classifier in [default, plain] {
            assert_eq!(classifier.digest(sql), classifier.analyze(sql).digest());
            assert_eq!(classifier.split(sql).count(), classifier.classify(sql).statements());
        }
    }

    #[test]
    fn a_function_is_named_as_statements_name_it() {
        for (name, sql) in [
            ("ST_DWithin", "select st_dwithin(a, b)"),
            ("Geo.Volume", "select geo.VOLUME(a)"),
            ("\"Volume\"", "select \"Volume\"(a)"),
            ("geo.\"Volume\"", "select GEO.\"Volume\"(a)"),
        ] {
            let classifier = Classifier::new(Dialect::Postgres);
            assert!(!classifier.classify(sql).is_plain_read(), "{sql}");
            assert!(classifier.allow_function(name).classify(sql).is_plain_read(), "{sql}");
        }
        let quoted = Classifier::new(Dialect::Postgres).allow_function("\"Volume\"");
        assert!(!quoted.classify("select volume(a)").is_plain_read());
        let mysql = Classifier::new(Dialect::MySql).allow_function("`My_Func`");
        assert!(mysql.classify("select MY_FUNC(a)").is_plain_read());
    }

    #[test]
    fn what_is_denied_is_denied_in_every_schema_and_spelling() {
        let denied = |name| Classifier::new(Dialect::Postgres).deny_function(name);
        for sql in [
            "select lower('a')",
            "select pg_catalog.lower('a')",
            "select t.lower from t",
            "select (t).lower from t",
            "select t.\"lower\" from t",
        ] {
            assert!(!denied("LOWER").classify(sql).is_plain_read(), "{sql}");
        }
        assert!(denied("shop.lower").classify("select lower('a')").is_plain_read());
    }
}
