//! Classifies statements from standard input.
//!
//! Each line is a JSON object with `sql` and `dialect` (`postgres`, `mysql` or `mariadb`); each line of the answer, in the
//! same order, has `sql`, `route` (`primary`, `replica` or `session`) and `reason`.
//!
//! ```sh
//! echo '{"sql": "select nextval(\'s\')", "dialect": "postgres"}' | cargo run -q -p millpond-sql --example classify
//! ```

use std::io::{self, BufRead as _, Write as _};

use millpond_sql::{Dialect, classify};
use serde_json::{Value, json};

fn main() -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    for line in io::stdin().lock().lines() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let record: Value = serde_json::from_str(&line)?;
        let text = |field: &str| record.get(field).and_then(Value::as_str).unwrap_or_default();
        let dialect = match text("dialect") {
            "postgres" => Dialect::Postgres,
            "mysql" => Dialect::MySql,
            "mariadb" => Dialect::MariaDb,
            other => return Err(io::Error::other(format!("no such dialect: {other:?}"))),
        };
        let sql = text("sql");
        let answer = classify(sql, dialect);
        let line = json!({
            "sql": sql,
            "route": answer.route().as_str(),
            "reason": answer.reason().display(sql).to_string(),
        });
        writeln!(out, "{line}")?;
    }
    out.flush()
}
