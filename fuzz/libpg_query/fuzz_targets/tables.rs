//! Texts name the tables that PostgreSQL's parser sees.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| millpond_fuzz_libpg_query::tables(data));
