//! Runs the cases of `spec/classify`: one named test for each case and dialect.

use std::path::Path;
use std::{fs, io};

use libtest_mimic::{Arguments, Failed, Trial};
use millpond_sql::{Analysis, Dialect, Effects, TableUse, analyze, classify, split};
use serde::Deserialize;

/// One case. A field that is not here is refused.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    sql: String,
    /// `read`, `write`, `definition` or `unknown`.
    access: String,
    /// Where it may run: `replica`, `primary` or `session`.
    route: String,
    /// Exactly these; none when it is left out.
    #[serde(default)]
    effects: Vec<String>,
    /// All three when it is left out.
    #[serde(default = "every_dialect")]
    dialects: Vec<Name>,
    /// The kind of reason.
    reason: Option<String>,
    /// The words that decided.
    words: Option<String>,
    /// How many statements; one when it is left out.
    #[serde(default = "one")]
    statements: usize,
    /// The tables that it names.
    tables: Option<Named>,
    /// What each statement of the text does by itself.
    parts: Option<Vec<Statement>>,
}

/// The tables of a text, each as `schema.name`, in the order of their first mention.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    /// Those that are only read.
    #[serde(default)]
    reads: Vec<String>,
    #[serde(default)]
    writes: Vec<String>,
    /// Whether there is no other one.
    complete: bool,
}

/// One statement of a text.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Statement {
    sql: String,
    access: String,
    route: String,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Name {
    Postgres,
    Mysql,
    Mariadb,
}

impl From<Name> for Dialect {
    fn from(name: Name) -> Self {
        match name {
            Name::Postgres => Self::Postgres,
            Name::Mysql => Self::MySql,
            Name::Mariadb => Self::MariaDb,
        }
    }
}

fn every_dialect() -> Vec<Name> {
    vec![Name::Postgres, Name::Mysql, Name::Mariadb]
}

const fn one() -> usize {
    1
}

fn check(case: &Case, dialect: Dialect) -> Result<(), Failed> {
    let answer = classify(&case.sql, dialect);
    let reason = answer.reason();
    let mut effects = Effects::NONE;
    for name in &case.effects {
        effects |= Effects::from_name(name).ok_or_else(|| format!("no such effect: {name}"))?;
    }
    let mut wrong = Vec::new();
    let mut compare = |what: &str, got: String, wanted: String| {
        if got != wanted {
            wrong.push(format!("{what}: {got}, wanted {wanted}"));
        }
    };
    compare("access", answer.access().to_string(), case.access.clone());
    compare("route", answer.route().to_string(), case.route.clone());
    compare("effects", answer.effects().to_string(), effects.to_string());
    compare("statements", answer.statements().to_string(), case.statements.to_string());
    if let Some(kind) = &case.reason {
        compare("reason", reason.kind().as_str().to_owned(), kind.clone());
    }
    if let Some(words) = &case.words {
        compare("words", reason.span().of(&case.sql).to_owned(), words.clone());
    }
    let analysis = analyze(&case.sql, dialect);
    compare("analysis", format!("{:?}", analysis.classification()), format!("{answer:?}"));
    let ranges: Vec<_> = analysis.parts().iter().map(|part| part.span().range()).collect();
    compare("ranges", format!("{ranges:?}"), format!("{:?}", split(&case.sql, dialect).collect::<Vec<_>>()));
    if let Some(tables) = &case.tables {
        compare("reads", named(&analysis, TableUse::Read), tables.reads.join(", "));
        compare("writes", named(&analysis, TableUse::Write), tables.writes.join(", "));
        compare("complete", analysis.tables().is_complete().to_string(), tables.complete.to_string());
    }
    if let Some(parts) = &case.parts {
        let wanted: Vec<_> = parts.iter().map(|part| line(&part.sql, &part.access, &part.route)).collect();
        let got = analysis.parts().iter().map(|part| {
            let answer = part.classification();
            line(part.of(&case.sql), &answer.access().to_string(), &answer.route().to_string())
        });
        compare("parts", got.collect::<String>(), wanted.concat());
    }
    if wrong.is_empty() {
        return Ok(());
    }
    Err(format!("{}\n  {}\n  {}", case.sql, wrong.join("\n  "), reason.display(&case.sql)).into())
}

fn named(analysis: &Analysis, usage: TableUse) -> String {
    let tables = analysis.tables().iter().filter(|table| table.usage() == usage);
    tables.map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn line(sql: &str, access: &str, route: &str) -> String {
    format!("\n    {sql}: {access}, {route}")
}

fn main() -> io::Result<()> {
    let arguments = Arguments::from_args();
    let directory = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../spec/classify"));
    let mut files: Vec<_> = fs::read_dir(directory)?.collect::<Result<_, _>>()?;
    files.sort_by_key(fs::DirEntry::path);
    let mut trials = Vec::new();
    for file in files {
        let path = file.path();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let cases: Vec<Case> = serde_yaml_ng::from_str(&fs::read_to_string(&path)?)
            .map_err(|error| io::Error::other(format!("{}: {error}", path.display())))?;
        for case in cases {
            for dialect in case.dialects.clone() {
                let dialect = Dialect::from(dialect);
                let case = case.clone();
                trials.push(Trial::test(format!("{stem}: {} [{dialect}]", case.name), move || {
                    check(&case, dialect)
                }));
            }
        }
    }
    assert!(!trials.is_empty(), "spec/classify has no cases");
    libtest_mimic::run(&arguments, trials).exit()
}
