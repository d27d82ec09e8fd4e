//! `serve-score`: scores files with a registered model. Answers go to the output, everything else to standard error.

use std::process::ExitCode;

use clap::{Args as _, Command, CommandFactory, FromArgMatches};
use serve_score_bin::{Args, Local, ReplayArgs};

fn main() -> ExitCode {
    let matches = command().get_matches();
    let done = match matches.subcommand_matches("replay") {
        Some(matches) => {
            let args = ReplayArgs::from_arg_matches(matches).unwrap_or_else(|error| error.exit());
            serve_score_bin::run_replay(&args)
        }
        None => {
            let args = Args::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
            serve_score_bin::run(&args, &Local)
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(exit) => {
            eprintln!("serve-score: {exit}");
            ExitCode::from(exit.code())
        }
    }
}

/// The flags of a job, or a subcommand with flags of its own in their place.
fn command() -> Command {
    Args::command()
        .subcommand(ReplayArgs::augment_args(Command::new("replay")))
        .subcommand_negates_reqs(true)
        .args_conflicts_with_subcommands(true)
}
