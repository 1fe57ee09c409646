//! Finds the tables of each statement of a file both ways and prints every difference: `tables FILE.jsonl[.gz]`, or the file in
//! `MILLPOND_FUZZ_CORPUS`. Each line is an object with `sql` and `dialect`, of which those of `postgres` count. With
//! `--incomplete` it also prints the queries and changes to data whose list claims to be no more than a part.

use std::env;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use flate2::read::GzDecoder;
use millpond_fuzz_libpg_query::{TableAgreement, compare_tables};
use millpond_sql::{Dialect, classify};
use serde::Deserialize;

#[derive(Deserialize)]
struct Record {
    sql: String,
    dialect: String,
}

fn main() -> Result<ExitCode> {
    let shows = env::args().any(|argument| argument == "--incomplete");
    let path = env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let path = path.or_else(|| env::var("MILLPOND_FUZZ_CORPUS").ok());
    let path = path.context("usage: tables [--incomplete] FILE.jsonl[.gz], or set MILLPOND_FUZZ_CORPUS")?;
    let (mut same, mut incomplete, mut refused, mut more, mut unsound) = (0, 0, 0, 0, 0);
    for line in open(&path)?.lines() {
        let record: Record = serde_json::from_str(&line?).with_context(|| format!("no record in {path}"))?;
        if record.dialect != "postgres" {
            continue;
        }
        match compare_tables(&record.sql) {
            Ok(TableAgreement::Same) => same += 1,
            Ok(TableAgreement::Refused) => refused += 1,
            Ok(TableAgreement::Incomplete) => {
                incomplete += 1;
                let access = classify(&record.sql, Dialect::Postgres).access().as_str();
                if shows && ["read", "write"].contains(&access) {
                    println!("incomplete: {:?}", record.sql);
                }
            }
            Err(difference) => {
                println!("{difference}");
                if difference.is_unsound() { unsound += 1 } else { more += 1 }
            }
        }
    }
    println!(
        "{} complete lists compared: {same} the same, {more} with a name too many, {unsound} with one missing; \
         {incomplete} incomplete; {refused} that the parser refuses",
        same + more + unsound
    );
    Ok(if unsound == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn open(path: &str) -> Result<BufReader<Box<dyn Read>>> {
    let file = File::open(path).with_context(|| format!("cannot open {path}"))?;
    let is_compressed = path.ends_with(".gz");
    let reader: Box<dyn Read> = if is_compressed { Box::new(GzDecoder::new(file)) } else { Box::new(file) };
    Ok(BufReader::new(reader))
}
