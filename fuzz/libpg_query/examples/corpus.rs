//! Splits the statements of a file both ways and prints every difference: `corpus FILE.jsonl[.gz]`, or the file in
//! `MILLPOND_FUZZ_CORPUS`. Each line is an object with `sql` and `dialect`, of which those of `postgres` count.

use std::env;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use flate2::read::GzDecoder;
use millpond_fuzz_libpg_query::{Agreement, compare};
use serde::Deserialize;

#[derive(Deserialize)]
struct Record {
    sql: String,
    dialect: String,
}

fn main() -> Result<ExitCode> {
    let path = env::args().nth(1).or_else(|| env::var("MILLPOND_FUZZ_CORPUS").ok());
    let path = path.context("usage: corpus FILE.jsonl[.gz], or set MILLPOND_FUZZ_CORPUS")?;
    let (mut same, mut refused, mut different) = (0, 0, 0);
    for line in open(&path)?.lines() {
        let record: Record = serde_json::from_str(&line?).with_context(|| format!("no record in {path}"))?;
        if record.dialect != "postgres" {
            continue;
        }
        match compare(&record.sql) {
            Ok(Agreement::Same) => same += 1,
            Ok(Agreement::Refused) => refused += 1,
            Err(difference) => {
                different += 1;
                println!("{difference}");
            }
        }
    }
    println!(
        "{} compared: {same} the same, {different} different; {refused} that the parser refuses",
        same + different
    );
    Ok(if different == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn open(path: &str) -> Result<BufReader<Box<dyn Read>>> {
    let file = File::open(path).with_context(|| format!("cannot open {path}"))?;
    let is_compressed = path.ends_with(".gz");
    let reader: Box<dyn Read> = if is_compressed { Box::new(GzDecoder::new(file)) } else { Box::new(file) };
    Ok(BufReader::new(reader))
}
