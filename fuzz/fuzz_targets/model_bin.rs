//! The payload of a bundle's model.bin.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| serve_fuzz::open_and_predict(bytes));
