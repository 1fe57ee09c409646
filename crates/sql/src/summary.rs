//! A few words for what a text does, the same for many texts.

use std::fmt::{self, Write as _};

use crate::{Analysis, Part, ReasonKind, Table};

/// The most bytes that a summary has: what OpenTelemetry's conventions for databases advise at least.
const MOST: usize = 255;

/// What an [`Analysis`] comes to in few words: the verb of each statement, and the tables behind it that were not named before. It is
/// what OpenTelemetry's conventions call `db.query.summary`. It has no value of the text, and is short; verbs that are alike and
/// follow each other are one.
///
/// ```
/// use millpond_sql::{Dialect, Summary, analyze};
///
/// let sql = "insert into audit select * from item where name = 'a secret'; select count(*) from item";
/// let analysis = analyze(sql, Dialect::Postgres);
/// assert_eq!(Summary::of(sql, &analysis).to_string(), "INSERT audit item SELECT");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Summary<'a> {
    sql: &'a str,
    analysis: &'a Analysis,
}

impl<'a> Summary<'a> {
    /// Of a text, and what was found in it.
    #[must_use]
    pub const fn of(sql: &'a str, analysis: &'a Analysis) -> Self {
        Self { sql, analysis }
    }

    /// The verb in upper case, if all statements have the same: what the conventions call `db.operation.name`. A query behind `WITH` has that.
    #[must_use]
    pub fn operation(&self) -> Option<String> {
        let mut verbs = self.analysis.parts().iter().map(|part| self.verb(part));
        let first = verbs.next().filter(|verb| !verb.is_empty())?;
        verbs.all(|verb| verb.eq_ignore_ascii_case(first)).then(|| first.to_ascii_uppercase())
    }

    /// The only table, if there is one: what the conventions call `db.collection.name`.
    #[must_use]
    pub fn collection(&self) -> Option<&'a Table> {
        match self.analysis.tables().all() {
            [table] if self.analysis.tables().is_complete() => Some(table),
            _ => None,
        }
    }

    /// The first word of a statement, which begins with its first token, where it is known as a verb: any other may be whatever was sent.
    fn verb(&self, part: &Part) -> &'a str {
        use ReasonKind::{NotUtf8, TooLong, UnknownVerb, Unterminated};
        if matches!(part.classification().reason().kind(), UnknownVerb | Unterminated | TooLong | NotUtf8) {
            return "";
        }
        let text = part.of(self.sql).trim_start_matches(|c: char| c == '(' || c.is_ascii_whitespace());
        let end = text.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(text.len());
        &text[..end]
    }
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = Words { text: String::new(), is_full: false };
        let mut last = "";
        for part in self.analysis.parts() {
            let verb = self.verb(part);
            if !verb.is_empty() && !verb.eq_ignore_ascii_case(last) {
                words.push(&verb.to_ascii_uppercase());
            }
            last = verb;
            let is_here = |table: &&Table| part.span().range().contains(&table.span().start());
            for table in self.analysis.tables().iter().filter(is_here) {
                words.push(table);
            }
        }
        f.pad(&words.text)
    }
}

/// Words with a blank between them, as many as there is room for.
struct Words {
    text: String,
    is_full: bool,
}

impl Words {
    fn push(&mut self, word: &impl fmt::Display) {
        let before = self.text.len();
        let blank = if before == 0 { "" } else { " " };
        // To write to a string cannot fail.
        let _ = write!(self.text, "{blank}{word}");
        if self.is_full || self.text.len() > MOST {
            self.text.truncate(before);
            self.is_full = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Dialect, analyze};

    fn summary(sql: &str) -> (String, Option<String>, Option<String>) {
        let analysis = analyze(sql, Dialect::Postgres);
        let summary = Summary::of(sql, &analysis);
        (summary.to_string(), summary.operation(), summary.collection().map(ToString::to_string))
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn it_is_the_verb_and_the_tables() {
        assert_eq!(
            summary("/* a */ select x from Item where id = 7"),
            ("SELECT item".into(), some("SELECT"), some("item"))
        );
        assert_eq!(
            summary("(select 1 from a) union select 2 from s.b"),
            ("SELECT a s.b".into(), some("SELECT"), None)
        );
        assert_eq!(
            summary("with x as (select 1 from a) update b set c = 1"),
            ("WITH a b".into(), some("WITH"), None)
        );
        assert_eq!(summary("select 1"), ("SELECT".into(), some("SELECT"), None));
        assert_eq!(summary("listen x"), ("LISTEN".into(), some("LISTEN"), None));
        assert_eq!(summary(" "), (String::new(), None, None));
        for no_sql in ["'?'", "hunter2", "correct horse from battery", "select 'hunter2"] {
            assert_eq!(summary(no_sql), (String::new(), None, None), "{no_sql}");
        }
    }

    #[test]
    fn of_many_alike_it_says_one() {
        let sql = "insert into a values (1); INSERT into a values (2); insert into b values (3)";
        assert_eq!(summary(sql), ("INSERT a b".into(), some("INSERT"), None));
        assert_eq!(summary("select 1; delete from a").1, None);
    }

    #[test]
    fn it_is_short() {
        let tables: Vec<String> = (0..100).map(|n| format!("table_{n}")).collect();
        let (text, ..) = summary(&format!("select from {}", tables.join(", ")));
        assert!(text.starts_with("SELECT table_0 table_1 "));
        assert!((240..=MOST).contains(&text.len()), "{}", text.len());
        assert!(tables.contains(&text.rsplit(' ').next().unwrap().to_owned()), "no word is cut");
    }

    #[test]
    fn a_table_that_is_not_all_is_no_collection() {
        assert_eq!(summary("select f(x) from a").2, None);
    }
}
