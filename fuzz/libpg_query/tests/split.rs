//! PostgreSQL's parser for some seconds.

use millpond_fuzz::{seeds, smoke};
use millpond_fuzz_libpg_query::{Agreement, compare, split};

#[test]
fn texts_are_split_as_the_parser_splits_them() {
    let spec = seeds::statements(None).expect("spec/classify");
    smoke::run("split", &spec, |rng| smoke::mutated(&spec, rng), split);
}

#[test]
fn the_parser_takes_most_statements_of_the_cases() {
    let spec = seeds::statements(Some("postgres")).expect("spec/classify");
    let is_compared = |sql: &&String| matches!(compare(sql), Ok(Agreement::Same));
    let compared = spec.iter().filter(is_compared).count();
    assert!(2 * compared > spec.len(), "{compared} of {}", spec.len());
}
