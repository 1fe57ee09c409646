//! Any bytes are classified, and the answers agree with each other.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| millpond_fuzz::classify(data));
