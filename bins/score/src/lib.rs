//! What the programs that score files have in common: `serve-score` on one machine, and `serve-cluster` on several. Arguments, the
//! registry, progress, messages and exit codes; what is done with rows stands in `serve-score`, and where it is done in an
//! [`Engine`].

mod args;
mod config;
mod dry_run;
mod elsewhere;
mod engine;
mod places;
mod progress;
mod query;
mod replay;
mod report;
mod run;

pub use args::Args;
pub use config::registry;
pub use engine::{Engine, Local};
pub use replay::{ReplayArgs, run_replay};
pub use run::{exit, run};
