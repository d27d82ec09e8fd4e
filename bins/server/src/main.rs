//! `serve-server`: serves the models of a registry over HTTP. Wiring only; what it does stands in the crates.

mod allocator;
mod args;
mod config;
mod demo;
mod reload;
mod run;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    allocator::fix_threshold();
    let args = args::Args::parse();
    match run::run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(exit) => {
            eprintln!("serve-server: {exit:#}");
            ExitCode::from(exit.code())
        }
    }
}
