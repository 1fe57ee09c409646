//! Functions: of those that read what they are not given, the tables cannot be told.

use super::finder::Finder;
use super::frame::{Before, Mode, Verb};
use crate::Effects;
use crate::functions::{self, Folded, Qualifier, Verdict};
use crate::lexer::{Class, Keyword as K, Kind, Token};

/// PostgreSQL's own functions that read relations, or what was committed, by what their arguments say. That they
/// read only is not enough here. The sizes of relations are none of their rows.
const BY_ARGUMENT: &[&str] = &[
    "database_to_xml",
    "database_to_xml_and_xmlschema",
    "lo_get",
    "pg_current_snapshot",
    "pg_get_sequence_data",
    "pg_sequence_last_value",
    "pg_xact_commit_timestamp",
    "pg_xact_commit_timestamp_origin",
    "pg_xact_status",
    "schema_to_xml",
    "schema_to_xml_and_xmlschema",
    "table_to_xml",
    "table_to_xml_and_xmlschema",
    "txid_current_snapshot",
    "txid_status",
];

/// What has to do with the session only: `pg_backend_pid()`, `last_insert_id()`.
const NO_TABLE: Effects = Effects::ADVISORY_LOCK.union(Effects::SESSION_VALUE);

impl Finder<'_, '_> {
    /// A function is called.
    pub(super) fn call(&mut self, name: Token, qualifier: Qualifier) {
        let is_spaced = self.cursor.peek().start() != name.end();
        let lexer = self.cursor.lexer();
        let is_stored = !self.is_postgres
            && (name.kind() == Kind::Quoted || (is_spaced && functions::needs_no_space(lexer.text(name))));
        let qualifier = match qualifier {
            Qualifier::None if is_stored => Qualifier::Stored,
            other => other,
        };
        let builtin = functions::verdict(lexer, None, qualifier, name);
        let known = functions::verdict(lexer, self.functions, qualifier, name);
        let is_closed = match (builtin, known) {
            (Verdict::Reads, Verdict::Reads) => !self.reads_more(name),
            // The state of a server is in no table.
            (Verdict::Local, Verdict::Local) => true,
            (Verdict::Session(effects), Verdict::Session(_)) => NO_TABLE.contains(effects),
            // Nobody knows such a function, and the statement reads all the same: the word is something else.
            (Verdict::Unknown, Verdict::Unknown) => self.access.is_read(),
            _ => false,
        };
        if !is_closed {
            self.give_up();
        }
    }

    /// Whether a known function may read more than its arguments hold: by its nature, or since a user's has its name.
    fn reads_more(&self, name: Token) -> bool {
        let Some(name) = Folded::new(self.cursor.lexer(), name) else { return true };
        let catalog = self.functions.and_then(|functions| functions.catalog.as_deref());
        BY_ARGUMENT.contains(&name.as_str())
            || catalog.is_some_and(|catalog| catalog.has_function(name.as_str()))
    }

    /// A name behind a point can call a function in PostgreSQL, and be the next value of a sequence in MariaDB. A
    /// field is far more likely, so only names of functions that read or do more than they are given count.
    pub(super) fn attribute(&mut self, token: Token) {
        let lexer = self.cursor.lexer();
        let is_told = Folded::new(lexer, token).is_some();
        let verdict = functions::verdict(lexer, None, Qualifier::None, token);
        let is_sequence = !self.is_postgres && self.is_any(token, &["nextval", "currval"]);
        let is_closed = is_told
            && match verdict {
                Verdict::Reads | Verdict::Unknown | Verdict::Local => true,
                Verdict::Session(effects) => NO_TABLE.contains(effects),
                _ => false,
            };
        if is_sequence || !is_closed || self.reads_more(token) {
            self.give_up();
        }
    }

    /// Inside of `OPERATOR(schema.+)`: only those of the server are known.
    pub(super) fn operator(&mut self) {
        let schema = self.cursor.peek();
        let is_known = matches!(schema.kind(), Kind::Operator | Kind::Equals)
            || self.cursor.lexer().text(schema).eq_ignore_ascii_case(b"pg_catalog");
        if !is_known {
            self.give_up();
        }
    }

    /// Whether a keyword in front of a parenthesis is the name of a function. What is none and not listed here makes the
    /// list incomplete, unless the statement is known to read.
    pub(super) fn is_call(&mut self, token: Token, keyword: K) -> bool {
        let is_construct = matches!(token.class(), Class::Reserved | Class::Construct);
        let before = self.before;
        if is_construct || self.follows_operand() {
            return false;
        }
        let (verb, mode, joins) = (self.frame().verb, self.frame().mode, self.frame().joins);
        let is_part = match keyword {
            K::Set => before == Before::Keyword(K::Update),
            K::Conflict => verb == Verb::Insert && joins == 0 && before == Before::Keyword(K::On),
            K::Insert => verb == Verb::Merge,
            K::By => matches!(before, Before::Keyword(K::Group | K::Order | K::Partition)),
            K::Sets => before == Before::Keyword(K::Grouping),
            K::First | K::Next => before == Before::Keyword(K::Fetch),
            K::Zone => before == Before::Keyword(K::Time),
            K::Materialized => mode == Mode::With,
            K::Operator => true,
            K::Against | K::Any | K::Some => !self.is_postgres,
            _ => false,
        };
        !is_part
    }
}
