//! The tables beside those of PostgreSQL's parser for some seconds.

use millpond_fuzz::{seeds, smoke};
use millpond_fuzz_libpg_query::{TableAgreement, compare_tables, tables};

#[test]
fn no_table_of_a_mutated_text_is_missing() {
    let spec = seeds::statements(None).expect("spec/classify");
    smoke::run("tables", &spec, |rng| smoke::mutated(&spec, rng), tables);
}

#[test]
fn the_tables_of_the_cases_are_those_of_the_parser() {
    let spec = seeds::statements(Some("postgres")).expect("spec/classify");
    let mut same = 0;
    for sql in &spec {
        match compare_tables(sql) {
            Ok(TableAgreement::Same) => same += 1,
            Ok(_) => {}
            Err(difference) => panic!("{difference}"),
        }
    }
    assert!(3 * same > spec.len(), "{same} of {}", spec.len());
}
