//! What the fuzzers start from: the statements of `spec/classify`, and words that matter.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Deserialize;

/// As much of a case as is needed here; the tests of `millpond-sql` refuse fields that they do not know.
#[derive(Deserialize)]
struct Case {
    sql: String,
    #[serde(default)]
    dialects: Vec<String>,
}

/// The statements of `spec/classify`: all of them, or those of one dialect.
///
/// # Errors
///
/// When a file of the folder cannot be read.
pub fn statements(dialect: Option<&str>) -> Result<Vec<String>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../spec/classify");
    let files = fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut paths = files.map(|file| Ok(file?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    let mut statements = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let cases: Vec<Case> =
            serde_yaml_ng::from_str(&text).with_context(|| format!("no cases in {}", path.display()))?;
        let wanted = |case: &Case| {
            dialect.is_none_or(|name| case.dialects.is_empty() || case.dialects.iter().any(|d| d == name))
        };
        statements.extend(cases.into_iter().filter(wanted).map(|case| case.sql));
    }
    Ok(statements)
}

/// Writes each statement into a file of its own, and the words into a dictionary for libFuzzer.
///
/// # Errors
///
/// When the folder cannot be written.
pub fn write(folder: &Path, dictionary: &Path) -> Result<usize> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let statements = statements(None)?;
    for (number, sql) in statements.iter().enumerate() {
        let file = folder.join(format!("spec-{number:04}"));
        fs::write(&file, sql).with_context(|| format!("cannot write {}", file.display()))?;
    }
    // The target `differential` reads these as choices.
    for start in 1..=2_u8 {
        for choice in 0..32_u8 {
            let file = folder.join(format!("choices-{start}-{choice}"));
            fs::write(&file, [start, choice]).with_context(|| format!("cannot write {}", file.display()))?;
        }
    }
    let lines: Vec<String> = WORDS.iter().map(|word| format!("{}\n", quoted(word))).collect();
    fs::write(dictionary, lines.concat())
        .with_context(|| format!("cannot write {}", dictionary.display()))?;
    Ok(statements.len())
}

/// As libFuzzer reads it.
fn quoted(word: &str) -> String {
    format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Everything that opens or closes something, and words that change what others mean.
pub const WORDS: &[&str] = &[
    "'",
    "\"",
    "`",
    "\\",
    "$",
    "$$",
    "$a$",
    "E'",
    "U&'",
    "U&\"",
    "B'",
    "N'",
    "/*",
    "*/",
    "/*!",
    "/*!50000",
    "/*M!",
    "--",
    "-- ",
    "#",
    "(",
    ")",
    "[",
    "]",
    ",",
    ".",
    ";",
    "::",
    ":=",
    "=",
    "@",
    "@@",
    "?",
    "$1",
    "1e",
    ".5",
    "0x",
    "{",
    " and ",
    " any ",
    " array",
    " as ",
    " atomic ",
    " begin ",
    " between ",
    " by ",
    " case ",
    " cast(",
    " collate ",
    " conflict ",
    " copy ",
    " create ",
    " cross ",
    " cube(",
    " cursor ",
    " cycle ",
    " declare ",
    " delete from ",
    " distinct on ",
    " end ",
    " except ",
    " execute ",
    " exists ",
    " explain analyze ",
    " fetch first ",
    " filter ",
    " for update ",
    " for share ",
    " for no key ",
    " from ",
    " function ",
    " group by ",
    " grouping sets ",
    " having ",
    " in ",
    " insert into ",
    " interval ",
    " into ",
    " is ",
    " join ",
    " lateral ",
    " like ",
    " limit ",
    " lock ",
    " materialized ",
    " merge into ",
    " natural ",
    " nextval",
    " not ",
    " nulls first ",
    " offset ",
    " on ",
    " only ",
    " operator(",
    " or ",
    " order by ",
    " ordinality ",
    " over ",
    " partition by ",
    " pg_catalog.",
    " pg_temp.",
    " prepare ",
    " recursive ",
    " returning ",
    " rollup(",
    " rows from ",
    " search ",
    " select ",
    " set ",
    " set_config",
    " show ",
    " similar to ",
    " some ",
    " start transaction ",
    " table ",
    " tablesample ",
    " to stdout ",
    " treat(",
    " truncate ",
    " union all ",
    " update ",
    " using ",
    " values ",
    " when ",
    " window ",
    " with ",
    " within group ",
    " xmltable(",
];
