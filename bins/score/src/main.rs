//! `serve-score`: scores files with a registered model. Wiring only; what it does stands in the crate. Answers go to the output,
//! everything else to standard error.

mod args;
mod config;
mod progress;
#[cfg(feature = "sql")]
mod query;
mod report;
mod run;

use std::process::ExitCode;

use clap::Parser;

use args::Args;

fn main() -> ExitCode {
    match run::run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(exit) => {
            eprintln!("serve-score: {exit}");
            ExitCode::from(exit.code())
        }
    }
}
