//! Texts are split as PostgreSQL's parser splits them.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| millpond_fuzz_libpg_query::split(data));
