//! `serve-ctl`: imports, trains, proves, promotes and moves models, and fills feature stores. Wiring only; what it does stands
//! in the crates. Results go to standard output, everything else to standard error.

mod aliases;
mod args;
mod bench;
mod config;
mod deletion;
mod features;
mod import;
mod ingest;
mod inspect;
mod join;
mod key;
mod load;
mod person;
mod push;
mod registry;
mod remote;
mod row;
mod shown;
mod signing;
mod sink;
mod smoke;
mod table;
mod train;
mod training_file;
mod verify;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use serve_app::{Exit, ExitReason};

use args::{Args, Command, Key};
use config::CtlConfig;

/// What waits for a feature store; one thread is enough for one file.
fn runtime() -> Result<tokio::runtime::Runtime, Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Exit::because(ExitReason::System, error))
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(exit) => {
            eprintln!("serve-ctl: {exit:#}");
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
        Command::Verify { model, json } => verify::run(&config, model.as_deref(), json),
        Command::Promote { name, version, alias, why } => {
            aliases::promote(&config.registry_of(config.storage()?)?, &name, &version, &alias, &why)
        }
        Command::Rollback { name, why } => {
            aliases::rollback(&config.registry_of(config.storage()?)?, &name, &why)
        }
        Command::Pin { name, version, why } => {
            aliases::pin(&config.registry_of(config.storage()?)?, &name, version.as_ref(), &why)
        }
        Command::Unpin { name, why } => aliases::unpin(&config.registry_of(config.storage()?)?, &name, &why),
        Command::History { name, json } => aliases::history(&config, &name, json),
        Command::Delete { version } => deletion::delete(&config, &version),
        Command::Prune(prune) => deletion::prune(&config, &prune),
        Command::Push(push) => push::run(&config, &push),
        Command::Keygen { out } => signing::keygen(&out),
        Command::Key(Key::New(new)) => key::new(new),
        Command::Sign { version, key } => signing::sign(&config, &version, &key),
        Command::Inspect { file, format, json } => inspect::run(&file, format, json),
        Command::Bench { model, json } => bench::run(&config, &model, json),
        Command::Features(command) => features::run(&config, command),
        Command::Smoke(options) => smoke::run(&options),
        Command::Load(options) => load::run(&options),
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
