//! A bundle's manifest.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = serve_core::bundle::read_manifest(bytes);
});
