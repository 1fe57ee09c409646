//! What is taken for a plain read is sent to a real hot standby.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| millpond_fuzz::differential(data));
