//! LightGBM's text model.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| serve_fuzz::import_and_predict(bytes, serve_formats::Format::Auto));
