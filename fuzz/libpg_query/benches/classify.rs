//! What PostgreSQL's own parser takes for the statements of the group `classify`: `cargo bench --no-default-features` here.
//! `cargo xtask bench classify` runs it in the rounds of the other systems.

use std::hint::black_box;

use criterion::Criterion;

#[path = "../../../benches/src/statements.rs"]
#[expect(
    clippy::exhaustive_structs,
    reason = "a file of the workspace's benches, where nobody else builds on it"
)]
pub mod statements;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for statement in statements::statements() {
        let mut group = criterion.benchmark_group(statement.scenario);
        let sql = statement.sql.as_str();
        group.bench_function("pg_query", |bencher| {
            bencher.iter(|| pg_query::parse(black_box(sql)).expect("it is SQL"));
        });
        // Without the tree as messages, which takes most of the time.
        group.bench_function("pg_query-fingerprint", |bencher| {
            bencher.iter(|| pg_query::fingerprint(black_box(sql)).expect("it is SQL"));
        });
        group.finish();
    }
    criterion.final_summary();
}
