//! `serve-cluster`: scores files on several machines with Ballista, DataFusion's distributed engine. Wiring only. The three programs of
//! a cluster are one file, so that they cannot differ in what they know.

mod args;
mod client;
mod codec;
mod executor;
mod logging;
mod scheduler;
mod session;
mod stage;
mod watch;

use std::future::Future;
use std::process::ExitCode;

use clap::Parser;
use serve_app::{Exit, ExitReason};
use tokio::signal::unix::{SignalKind, signal};

use args::{Cli, Command};

fn main() -> ExitCode {
    let Cli { command, log_level } = Cli::parse();
    logging::start(log_level);
    let done = match command {
        Command::Scheduler(args) => scheduler::run(&args),
        Command::Executor(args) => executor::run(&args),
        Command::Score(args) => client::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(exit) => {
            eprintln!("serve-cluster: {exit}");
            ExitCode::from(exit.code())
        }
    }
}

/// Runs a service to its end.
fn block_on(service: impl Future<Output = Result<(), Exit>>) -> Result<(), Exit> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Exit::because(ExitReason::System, error))?;
    let done = runtime.block_on(service);
    // Connections that stand open end with the process.
    runtime.shutdown_background();
    done
}

/// Waits for a signal that ends a service.
async fn ended() -> Result<(), Exit> {
    let failed = |error| Exit::because(ExitReason::System, error);
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
    Ok(())
}
