//! Explains a statement: where it may run and why, with the words that decided underlined, and which tables it names.
//!
//! ```sh
//! cargo run -q -p millpond-sql --example explain -- "select nextval('s')"
//! echo "select 1 for update" | cargo run -q -p millpond-sql --example explain -- --dialect mysql
//! ```

use std::ffi::OsString;
use std::io::{self, Read as _};
use std::{env, process};

use millpond_sql::{Classification, Dialect, Span, Tables, analyze, classify_bytes};

const USAGE: &str = "\
usage: explain [--dialect postgres|mysql|mariadb] [--] [SQL]

Without SQL it is read from standard input.";

fn main() -> io::Result<()> {
    let (dialect, sql) = match arguments(env::args_os().skip(1)) {
        Arguments::Explain(dialect, sql) => (dialect, sql),
        Arguments::Help => {
            println!("{USAGE}");
            return Ok(());
        }
        Arguments::Wrong(why) => {
            eprintln!("{why}\n\n{USAGE}");
            process::exit(2);
        }
    };
    let bytes = match sql {
        Some(sql) => sql,
        None => {
            let mut bytes = Vec::new();
            io::stdin().read_to_end(&mut bytes)?;
            bytes
        }
    };
    match std::str::from_utf8(&bytes) {
        Ok(sql) => explain(sql, dialect),
        Err(_) => answer("", &classify_bytes(&bytes, dialect)),
    }
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
enum Arguments {
    Explain(Dialect, Option<Vec<u8>>),
    Help,
    Wrong(String),
}

fn arguments(mut words: impl Iterator<Item = OsString>) -> Arguments {
    let mut dialect = Dialect::Postgres;
    let mut sql = None;
    let mut are_options = true;
    while let Some(word) = words.next() {
        // `--a comment` is a text, and `--option` a slip.
        let text = word.to_str().unwrap_or_default();
        let is_option = text.strip_prefix("--").is_some_and(|rest| !rest.contains(char::is_whitespace));
        match text {
            "-h" | "--help" if are_options => return Arguments::Help,
            "--" if are_options => are_options = false,
            "--dialect" if are_options => match words.next().unwrap_or_default().to_string_lossy().parse() {
                Ok(named) => dialect = named,
                Err(error) => return Arguments::Wrong(error.to_string()),
            },
            _ if are_options && is_option => return Arguments::Wrong(format!("there is no option {text}")),
            _ if sql.is_some() => return Arguments::Wrong("one text only: put it in quotes".to_owned()),
            _ => sql = Some(word.into_encoded_bytes()),
        }
    }
    Arguments::Explain(dialect, sql)
}

fn explain(sql: &str, dialect: Dialect) {
    let analysis = analyze(sql, dialect);
    show(sql, &analysis.classification());
    if analysis.parts().len() > 1 {
        for (number, part) in analysis.parts().iter().enumerate() {
            println!("\nstatement {}", number + 1);
            show(part.of(sql), &part.classification());
        }
    }
    println!("\ntables   {}", listed(analysis.tables()));
    println!("digest   {}", analysis.digest());
}

fn show(sql: &str, found: &Classification) {
    underline(sql, found.reason().span());
    answer(sql, found);
}

fn answer(sql: &str, answer: &Classification) {
    println!("route    {}", answer.route());
    println!("access   {}", answer.access());
    println!("effects  {}", answer.effects());
    println!("reason   {}", answer.reason().display(sql));
}

/// `a (read), s.b (write), and maybe others`.
fn listed(tables: &Tables) -> String {
    let mut all: Vec<_> = tables.iter().map(|table| format!("{table} ({})", table.usage())).collect();
    if !tables.is_complete() {
        all.push(if all.is_empty() { "not known" } else { "and maybe others" }.to_owned());
    } else if all.is_empty() {
        all.push("none".to_owned());
    }
    all.join(", ")
}

/// Prints the text; marks stand below the characters of the span.
fn underline(sql: &str, span: Span) {
    let mut start = 0;
    for line in sql.split_inclusive('\n') {
        let text = line.trim_end();
        let marks = text.char_indices().map(|(at, character)| {
            let is_marked = (span.start()..span.end()).contains(&(start + at)) && !character.is_whitespace();
            if is_marked { '^' } else { ' ' }
        });
        let marks: String = marks.collect();
        println!("    {}", text.replace('\t', " "));
        if !marks.trim_end().is_empty() {
            println!("    {}", marks.trim_end());
        }
        start += line.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Arguments {
        arguments(words.iter().map(OsString::from))
    }

    #[test]
    fn texts_may_look_like_options() {
        let text = |sql: &str| Arguments::Explain(Dialect::Postgres, Some(sql.into()));
        assert_eq!(read(&["-- a comment"]), text("-- a comment"));
        assert_eq!(read(&["--", "--dialect"]), text("--dialect"));
        let mysql = Arguments::Explain(Dialect::MySql, Some("select 1".into()));
        assert_eq!(read(&["--dialect", "mysql", "select 1"]), mysql);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for words in [&["--dialect", "oracle"][..], &["--dialect"], &["--verbose"], &["select", "1"]] {
            assert!(matches!(read(words), Arguments::Wrong(_)), "{words:?}");
        }
        assert_eq!(read(&["select 1", "-h"]), Arguments::Help);
    }
}
