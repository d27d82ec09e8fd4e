//! MLflow's description of a folder.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| serve_fuzz::describe_folder(bytes));
