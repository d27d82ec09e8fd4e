//! Golden rows as CSV.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| serve_fuzz::read_rows(bytes));
