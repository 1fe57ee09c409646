//! What came of the steps.

use std::fmt;

/// How a step ended.
#[derive(Debug)]
pub(super) enum Outcome {
    Passed,
    /// Passed, but something was left out.
    PassedWithout(String),
    /// With the last lines it printed.
    Failed(Vec<String>),
}

/// One step that ran.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) outcome: Outcome,
    pub(super) seconds: f64,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passed | Self::PassedWithout(_) => "passed",
            Self::Failed(_) => "FAILED",
        })
    }
}

/// What failed with the end of its output, the table, and the count as the last line.
pub(super) fn text(rows: &[Row]) -> String {
    let mut text = String::new();
    for row in rows {
        if let Outcome::Failed(lines) = &row.outcome {
            text.push_str(&format!(
                "\n== FAILED: {} (the end of its output) ==\n{}\n",
                row.name,
                lines.join("\n")
            ));
        }
    }
    let width = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0).max("STEP".len());
    text.push_str(&format!("\n{:<width$}  RESULT  SECONDS\n", "STEP"));
    for row in rows {
        let note = match &row.outcome {
            Outcome::PassedWithout(what) => format!("  without {what}"),
            Outcome::Passed | Outcome::Failed(_) => String::new(),
        };
        let outcome = row.outcome.to_string();
        text.push_str(&format!("{:<width$}  {outcome:<6}  {:>7.1}{note}\n", row.name, row.seconds));
    }
    let all: f64 = rows.iter().map(|row| row.seconds).sum();
    text.push_str(&format!("{:<width$}          {all:>7.1}\n", ""));
    let failed = rows.iter().filter(|row| matches!(row.outcome, Outcome::Failed(_))).count();
    text.push_str(&format!("\n{} passed, {failed} failed\n", rows.len() - failed));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_is_shown_with_its_output_and_counted_in_the_last_line() {
        let row = |name: &str, outcome| Row { name: name.to_owned(), outcome, seconds: 1.25 };
        let lines = vec!["assertion failed: false".to_owned()];
        let rows = [
            row("format", Outcome::Passed),
            row("deny", Outcome::PassedWithout("advisories".to_owned())),
            row("tests", Outcome::Failed(lines)),
        ];
        let text = text(&rows);
        assert!(
            text.contains("FAILED: tests (the end of its output) ==\nassertion failed: false\n"),
            "{text}"
        );
        assert!(text.contains("deny    passed      1.2  without advisories\n"), "{text}");
        assert_eq!(text.lines().last(), Some("2 passed, 1 failed"));
    }
}
