//! Classifies statements from standard input.
//!
//! Each line is a JSON object with `sql` and `dialect` (`postgres`, `mysql` or `mariadb`); each line of the answer, in the
//! same order, has `sql`, `route` (`primary`, `replica` or `session`) and `reason`.
//!
//! ```sh
//! echo '{"sql": "select nextval(\'s\')", "dialect": "postgres"}' | cargo run -q -p millpond-sql --example classify
//! ```

use std::io::{self, BufRead, BufReader, Write};
use std::process::ExitCode;
use std::{env, fmt};

use millpond_sql::{Dialect, classify};
use serde_json::{Value, json};

const USAGE: &str = "\
usage: classify < STATEMENTS.jsonl

Each line of standard input is a JSON object: {\"sql\": \"select 1\", \"dialect\": \"postgres\"}, where the dialect is postgres, mysql or
mariadb. Each line of the answer, in the same order, has `sql`, `route` (primary, replica or session) and `reason`. Empty lines are
passed over. The first line that is no such object ends it, with a message and exit status 1.";

/// Why there are no further answers.
#[derive(Debug)]
enum Failure {
    Io(io::Error),
    /// With the number of the line.
    Line(usize, String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "{error}"),
            Self::Line(number, what) => write!(f, "line {number} of the input: {what}"),
        }
    }
}

fn main() -> ExitCode {
    match env::args().nth(1).as_deref() {
        None => {}
        Some("--help" | "-h") => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Some(other) => {
            eprintln!("classify: it takes no arguments, and was given {other:?}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    }
    match run(BufReader::new(io::stdin().lock()), io::BufWriter::new(io::stdout().lock())) {
        Ok(()) => ExitCode::SUCCESS,
        // Who reads the answers has enough of them.
        Err(Failure::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("classify: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run<R: io::Read>(mut input: BufReader<R>, mut out: impl Write) -> Result<(), Failure> {
    let mut line = Vec::new();
    let mut number = 0;
    while input.read_until(b'\n', &mut line).map_err(Failure::Io)? > 0 {
        number += 1;
        if !line.trim_ascii().is_empty() {
            let answer = answer(line.trim_ascii_end());
            if answer.is_err() {
                out.flush().map_err(Failure::Io)?;
            }
            let answer = answer.map_err(|what| Failure::Line(number, what))?;
            writeln!(out, "{answer}").map_err(Failure::Io)?;
        }
        line.clear();
        // Whoever waits for an answer before the next statement gets it.
        if input.buffer().is_empty() {
            out.flush().map_err(Failure::Io)?;
        }
    }
    out.flush().map_err(Failure::Io)
}

fn answer(line: &[u8]) -> Result<Value, String> {
    let text = std::str::from_utf8(line)
        .map_err(|error| format!("no UTF-8 from byte {} on", error.valid_up_to() + 1))?;
    let record: Value = serde_json::from_str(text).map_err(|error| {
        // It counts lines too, in this one.
        format!("no JSON: {}", error.to_string().replace(" at line 1 column", " at column"))
    })?;
    let field = |name: &str| {
        let text = record.get(name).and_then(Value::as_str);
        text.ok_or_else(|| format!("no object with a text `{name}`"))
    };
    let name = field("dialect")?;
    let dialect: Dialect = name.parse().map_err(|error| format!("{name:?}: {error}"))?;
    let sql = field("sql")?;
    let answer = classify(sql, dialect);
    Ok(json!({
        "sql": sql,
        "route": answer.route().as_str(),
        "reason": answer.reason().display(sql).to_string(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(input: &[u8]) -> (Vec<Value>, Option<String>) {
        let mut out = Vec::new();
        let outcome = run(BufReader::with_capacity(16, input), &mut out);
        let lines = String::from_utf8(out).expect("text");
        let lines = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        (lines, outcome.err().map(|failure| failure.to_string()))
    }

    const TWO: &str = "{\"sql\": \"select 1\", \"dialect\": \"postgres\"}\r\n\n{\"sql\": \"\\u0000é\", \"dialect\": \"mysql\"}\n";

    #[test]
    fn answers_come_in_the_order_of_the_lines() {
        let (answers, failure) = answers(TWO.trim_end().as_bytes());
        let sql: Vec<_> = answers.iter().map(|answer| &answer["sql"]).collect();
        assert_eq!(sql, ["select 1", "\0é"]);
        assert_eq!((&answers[0]["route"], &answers[1]["route"]), (&json!("replica"), &json!("primary")));
        assert_eq!(failure, None);
    }

    #[test]
    fn a_bad_line_is_named_behind_the_answers_to_those_before_it() {
        let cases: [(&[u8], &str); 7] = [
            (b"{\"sql\": \"sel", "line 4 of the input: no JSON: EOF while parsing a string at column 12"),
            (b"{\"sql\": }", "line 4 of the input: no JSON: expected value at column 9"),
            (b"{\"sql\": \"\xff\", \"dialect\": \"mysql\"}", "line 4 of the input: no UTF-8 from byte 10 on"),
            (b"[1]", "line 4 of the input: no object with a text `dialect`"),
            (b"{\"dialect\": \"mysql\"}", "line 4 of the input: no object with a text `sql`"),
            (b"{\"dialect\": \"mysql\", \"sql\": 1}", "line 4 of the input: no object with a text `sql`"),
            (
                b"{\"dialect\": \"oracle\", \"sql\": \"\"}",
                "line 4 of the input: \"oracle\": there is no such dialect: there are postgres, mysql and mariadb",
            ),
        ];
        for (line, expected) in cases {
            let input = [TWO.as_bytes(), line, b"\n", TWO.as_bytes()].concat();
            let (answers, failure) = answers(&input);
            assert_eq!(answers.len(), 2);
            assert_eq!(failure.as_deref(), Some(expected));
        }
    }
}
