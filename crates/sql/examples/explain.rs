//! Explains a statement: where it may run and why, with the words that decided underlined, and which tables it names.
//!
//! ```sh
//! cargo run -q -p millpond-sql --example explain -- "select nextval('s')"
//! echo "select 1 for update" | cargo run -q -p millpond-sql --example explain -- --dialect mysql
//! ```

use std::io::{self, Read as _};
use std::{env, process};

use millpond_sql::{Classification, Dialect, Span, Tables, analyze};

const USAGE: &str =
    "usage: explain [--dialect postgres|mysql|mariadb] [SQL]\n\nWithout SQL it is read from standard input.";

fn main() -> io::Result<()> {
    let Some((dialect, sql)) = arguments(env::args().skip(1)) else {
        eprintln!("{USAGE}");
        process::exit(2);
    };
    let sql = match sql {
        Some(sql) => sql,
        None => {
            let mut sql = String::new();
            io::stdin().read_to_string(&mut sql)?;
            sql
        }
    };
    let analysis = analyze(&sql, dialect);
    show(&sql, &analysis.classification());
    if analysis.parts().len() > 1 {
        for (number, part) in analysis.parts().iter().enumerate() {
            println!("\nstatement {}", number + 1);
            show(part.of(&sql), &part.classification());
        }
    }
    println!("\ntables   {}", listed(analysis.tables()));
    println!("digest   {}", analysis.digest());
    Ok(())
}

fn arguments(mut words: impl Iterator<Item = String>) -> Option<(Dialect, Option<String>)> {
    let mut dialect = Dialect::Postgres;
    let mut sql = None;
    while let Some(word) = words.next() {
        match word.as_str() {
            "--dialect" => {
                dialect = match words.next()?.as_str() {
                    "postgres" => Dialect::Postgres,
                    "mysql" => Dialect::MySql,
                    "mariadb" => Dialect::MariaDb,
                    _ => return None,
                };
            }
            _ if word.starts_with("--") || sql.is_some() => return None,
            _ => sql = Some(word),
        }
    }
    Some((dialect, sql))
}

fn show(sql: &str, answer: &Classification) {
    underline(sql, answer.reason().span());
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
