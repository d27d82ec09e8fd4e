//! `serve-score`: scores files with a registered model. Answers go to the output, everything else to standard error.

use std::process::ExitCode;

use clap::Parser;
use serve_score_bin::{Args, Local};

fn main() -> ExitCode {
    match serve_score_bin::run(&Args::parse(), &Local) {
        Ok(()) => ExitCode::SUCCESS,
        Err(exit) => {
            eprintln!("serve-score: {exit}");
            ExitCode::from(exit.code())
        }
    }
}
