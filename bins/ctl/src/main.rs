//! `serve-ctl`: imports, trains, inspects and promotes models, and fills feature stores. Wiring only; what it does stands
//! in the crates. Results go to standard output, everything else to standard error.

mod args;
mod bench;
mod config;
mod features;
mod import;
mod importances;
mod inspect;
mod registry;
mod table;
mod train;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use serve_app::{Exit, ExitReason};

use args::{Args, Command};
use config::CtlConfig;

fn main() -> ExitCode {
    let args = Args::parse();
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(exit) => {
            eprintln!("serve-ctl: {exit}");
            ExitCode::from(exit.code())
        }
    }
}

fn run(args: Args) -> Result<(), Exit> {
    let config = CtlConfig::load(&args)?;
    match args.command {
        Command::Import(import) => import::run(&config, import),
        Command::Train(train) => train::run(&config, train),
        Command::List => registry::list(&config),
        Command::Show { model } => registry::show(&config, &model),
        Command::Verify { model } => registry::verify(&config, &model),
        Command::Promote { name, version, alias } => registry::promote(&config, &name, &version, &alias),
        Command::Rollback { name } => registry::rollback(&config, &name),
        Command::History { name } => registry::history(&config, &name),
        Command::Inspect { file, format, json } => inspect::run(&file, format, json),
        Command::Bench { model, json } => bench::run(&config, &model, json),
        Command::Features(command) => features::run(&config, command),
    }
}

/// Writes a result. That nobody reads it any more (`| head`) ends the program quietly.
fn print(text: &str) -> Result<(), Exit> {
    match writeln!(std::io::stdout(), "{text}") {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(Exit::because(ExitReason::CannotCreate, error)),
    }
}
