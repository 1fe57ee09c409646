//! Figures as a table for people.

use std::fmt::Write as _;

use crate::figures::values_of;
use crate::rounds::Measured;
use crate::spread::Spread;

/// One column: how a metric is shown.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its heading.
    pub title: &'static str,
    /// What it shows.
    pub metric: &'static str,
    /// Digits after the point.
    pub decimals: usize,
    /// What stands beside the median.
    pub beside: Beside,
}

impl Column {
    /// One of that heading, metric, digits and companions.
    #[must_use]
    pub const fn new(title: &'static str, metric: &'static str, decimals: usize, beside: Beside) -> Self {
        Self { title, metric, decimals, beside }
    }
}

/// What stands beside a median.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside {
    /// Nothing.
    Nothing,
    /// The least and the most.
    Ends,
    /// These, and a column with the ratio to the reference.
    EndsAndRatio,
}

/// A system's value as a ratio to another's, in the same scenario.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    /// Of the medians, as the file has them.
    pub of_medians: f64,
    /// Of the runs of the same round: the least and the most.
    pub ends: (f64, f64),
}

/// A system's ratio to a reference, when both have values.
#[must_use]
pub fn ratio(measured: &Measured, metric: &str, system: &str, reference: &str) -> Option<Ratio> {
    let (ours, theirs) = (measured.runs_of(system)?, measured.runs_of(reference)?);
    let median = |runs| Some(Spread::of(values_of(runs, metric).flatten().collect())?.median);
    let in_rounds = values_of(ours, metric).zip(values_of(theirs, metric));
    let in_rounds = in_rounds.filter_map(|(ours, theirs)| Some(ours? / theirs?)).collect();
    let Spread { min, max, .. } = Spread::of(in_rounds)?;
    let of_medians = median(ours)? / median(theirs)?;
    of_medians.is_finite().then_some(Ratio { of_medians, ends: (min, max) })
}

/// A scenario's table, with ratios to a reference system.
#[must_use]
pub fn table(measured: &Measured, columns: &[Column], reference: &str) -> String {
    let mut heading = vec!["system".to_owned()];
    for column in columns {
        heading.push(column.title.to_owned());
        if column.beside == Beside::EndsAndRatio {
            heading.push(format!("x {reference}"));
        }
    }
    let mut rows = vec![heading];
    for system in &measured.systems {
        let mut row = vec![system.system.to_owned()];
        for column in columns {
            row.push(cell(*column, Spread::of(values_of(&system.runs, column.metric).flatten().collect())));
            if column.beside == Beside::EndsAndRatio {
                let ratio = ratio(measured, column.metric, system.system, reference);
                row.push(ratio.filter(|_| system.system != reference).map_or_else(nothing, show_ratio));
            }
        }
        rows.push(row);
    }
    format!("{}\n{}", measured.scenario, align(&rows))
}

fn cell(column: Column, spread: Option<Spread>) -> String {
    let Some(Spread { median, min, max, .. }) = spread else { return nothing() };
    let digits = column.decimals;
    match column.beside {
        Beside::Nothing => format!("{median:.digits$}"),
        Beside::Ends | Beside::EndsAndRatio => format!("{median:.digits$} ({min:.digits$}..{max:.digits$})"),
    }
}

/// `1.03 (0.99..1.08)`
#[must_use]
pub fn show_ratio(Ratio { of_medians, ends: (min, max) }: Ratio) -> String {
    format!("{of_medians:.2} ({min:.2}..{max:.2})")
}

fn nothing() -> String {
    "-".to_owned()
}

/// The first column to the left, the others to the right.
fn align(rows: &[Vec<String>]) -> String {
    let count = rows.first().map_or(0, Vec::len);
    let widths: Vec<_> = (0..count).map(|i| rows.iter().map(|row| row[i].len()).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        for (i, (cell, width)) in row.iter().zip(&widths).enumerate() {
            // Writing to a String cannot fail.
            let _ = if i == 0 { write!(text, "{cell:width$}") } else { write!(text, "  {cell:>width$}") };
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Reading;
    use crate::rounds::Runs;

    fn measured() -> Measured {
        let runs = |system, values: [f64; 3]| {
            let run = |value| vec![Reading { metric: "qps", unit: "1/s", value }];
            Runs { system, runs: values.map(run).into() }
        };
        let systems = vec![runs("ours", [30.0, 10.0, 24.0]), runs("theirs", [20.0, 10.0, 40.0])];
        Measured { scenario: "s".to_owned(), systems }
    }

    #[test]
    fn a_ratio_is_of_the_medians_with_the_ends_of_the_rounds() {
        let ratio = ratio(&measured(), "qps", "ours", "theirs").unwrap();
        assert_eq!(ratio, Ratio { of_medians: 1.2, ends: (0.6, 1.5) });
        assert_eq!(super::ratio(&measured(), "p50_ms", "ours", "theirs"), None);
        assert_eq!(super::ratio(&measured(), "qps", "ours", "nobody"), None);
    }

    #[test]
    fn the_table_has_medians_ends_and_ratios() {
        let column = |title, metric, beside| Column { title, metric, decimals: 0, beside };
        let columns = [column("q/s", "qps", Beside::EndsAndRatio), column("p50", "p50_ms", Beside::Nothing)];
        let expected = [
            "s",
            "system          q/s           x theirs  p50",
            "ours    24 (10..30)  1.20 (0.60..1.50)    -",
            "theirs  20 (10..40)                  -    -",
            "",
        ];
        assert_eq!(table(&measured(), &columns, "theirs"), expected.join("\n"));
    }
}
