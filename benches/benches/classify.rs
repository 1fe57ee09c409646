//! What one statement costs the classifier, beside a full parser and two floors: `cargo bench -p millpond-benches
//! --bench classify`. `cargo xtask bench classify` runs it in interleaved rounds.

use std::collections::HashMap;
use std::hint::black_box;

use criterion::Criterion;
use millpond_benches::statements::{Statement, statements};
use millpond_sql::{Cache, Classification, Classifier, Dialect, classify};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let all = statements();
    for statement in &all {
        uncached(&mut criterion, statement);
    }
    cached(&mut criterion, &all);
    criterion.final_summary();
}

fn uncached(criterion: &mut Criterion, statement: &Statement) {
    let mut group = criterion.benchmark_group(statement.scenario);
    let sql = statement.sql.as_str();
    group.bench_function("millpond", |bencher| bencher.iter(|| classify(black_box(sql), Dialect::Postgres)));
    group.bench_function("sqlparser", |bencher| {
        bencher.iter(|| Parser::parse_sql(&PostgreSqlDialect {}, black_box(sql)).expect("it is SQL"));
    });
    group.bench_function("floor", |bencher| bencher.iter(|| scan(black_box(sql))));
    group.finish();
}

fn cached(criterion: &mut Criterion, all: &[Statement]) {
    let cache = Cache::new(Classifier::new(Dialect::Postgres));
    let mut map: HashMap<Box<str>, Classification, foldhash::fast::RandomState> = HashMap::default();
    for Statement { sql, .. } in all {
        map.insert(sql.as_str().into(), classify(sql, Dialect::Postgres));
    }
    for Statement { scenario, sql } in all {
        let mut group = criterion.benchmark_group(*scenario);
        group.bench_function("millpond-cached", |bencher| {
            bencher.iter(|| cache.classify(black_box(sql.as_str())));
        });
        group.bench_function("floor-cached", |bencher| bencher.iter(|| map.get(black_box(sql.as_str()))));
        group.finish();
    }
}

/// Counts the runs of bytes of one class: what any lexer does at the least when it looks each byte up in a table.
fn scan(sql: &str) -> u32 {
    let (mut last, mut runs) = (0, 0);
    for byte in sql.bytes() {
        let class = CLASSES[usize::from(byte)];
        runs += u32::from(class != last);
        last = class;
    }
    runs
}

/// The class of each byte: letters, digits, space, quotes, the rest.
static CLASSES: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "below 256")]
        let b = byte as u8;
        table[byte] = match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | 0x80.. => 1,
            b'0'..=b'9' => 2,
            b' ' | b'\t'..=b'\r' => 3,
            b'\'' | b'"' | b'`' | b'$' => 4,
            _ => 5,
        };
        byte += 1;
    }
    table
};
