//! A bundle's golden rows.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| serve_fuzz::prove_rows(bytes));
