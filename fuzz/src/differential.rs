//! What is taken for a plain read is sent to a real hot standby: one that refuses it there, or that changes the session, is
//! a finding.
//!
//! What the text does not show is left out of the schema, since the classifier does not promise to see it: views, casts and
//! operators over functions that write, unlogged and foreign tables.

mod grammar;
mod mutation;
mod schema;
mod standby;
mod tape;
mod wire;

use std::sync::{Mutex, OnceLock, PoisonError};

use millpond_sql::Dialect;

use crate::{seeds, text};
use standby::Standby;
use tape::Tape;

/// How many statements are made of one input: they travel to the server together.
const BATCH: usize = 16;

/// What every input needs.
struct Bench {
    seeds: Vec<String>,
    standby: Mutex<Standby>,
}

impl Bench {
    fn get() -> &'static Self {
        static BENCH: OnceLock<Bench> = OnceLock::new();
        BENCH.get_or_init(|| Self {
            seeds: seeds::statements(Some("postgres")).expect("spec/classify"),
            standby: Mutex::new(Standby::up().expect("a primary and a hot standby")),
        })
    }
}

/// Makes statements of the bytes, and panics when the standby refuses one that was taken for a plain read.
///
/// Bytes that begin with 1 are choices in a grammar, with 2 they are choices of mutations of `spec/classify`; all others
/// are a statement as they stand.
///
/// # Panics
///
/// With a finding, and when the servers do not start.
pub fn differential(data: &[u8]) {
    let bench = Bench::get();
    // One that failed has printed its finding: the next input may still be run.
    let mut standby = bench.standby.lock().unwrap_or_else(PoisonError::into_inner);
    let statements = statements(data, bench, &standby);
    let all = statements.len();
    let is_read = |sql: &String| millpond_sql::classify(sql, Dialect::Postgres).is_plain_read();
    let reads: Vec<_> = statements.into_iter().filter(is_read).collect();
    if let Err(finding) = standby.check(all, &reads) {
        panic!("{finding}");
    }
}

fn statements(data: &[u8], bench: &Bench, standby: &Standby) -> Vec<String> {
    match data.split_first() {
        Some((1, choices)) => {
            let mut tape = Tape::new(choices);
            (0..BATCH).map(|_| grammar::statement(&mut tape, standby.functions())).collect()
        }
        Some((2, choices)) => {
            let mut tape = Tape::new(choices);
            (0..BATCH).map(|_| mutation::statement(&mut tape, &bench.seeds, standby.functions())).collect()
        }
        _ => vec![text(data).into_owned()],
    }
}

/// What was sent so far, and what came back.
///
/// # Panics
///
/// When the servers do not start.
#[must_use]
pub fn counts() -> String {
    Bench::get().standby.lock().unwrap_or_else(PoisonError::into_inner).counts()
}
