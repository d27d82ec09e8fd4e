//! The program's arguments.

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Parser, Subcommand};
use log::LevelFilter;
use serve_core::ByteSize;
use serve_registry::RegistryUrl;

/// Scores files on several machines.
#[derive(Debug, Parser)]
#[command(name = "serve-cluster", version, about, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// What the engine logs to standard error: off, error, warn, info, debug or trace [default: warnings that nothing else tells]
    #[arg(long, global = true, value_name = "LEVEL", value_parser = level)]
    pub(crate) log_level: Option<LevelFilter>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Plans jobs and gives their parts to executors
    Scheduler(SchedulerArgs),
    /// Scores parts of jobs
    Executor(ExecutorArgs),
    /// Runs a job in a cluster; takes serve-score's arguments
    Score(Box<ScoreArgs>),
}

/// Nothing of a cluster asks who calls: it belongs into a network of its own.
#[derive(Debug, clap::Args)]
pub(crate) struct SchedulerArgs {
    /// Port; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 50050)]
    pub(crate) port: u16,

    /// Address to listen on
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub(crate) host: IpAddr,

    /// Name that executors reach it by [default: the address]
    #[arg(long, value_name = "NAME")]
    pub(crate) external_host: Option<String>,

    /// Seconds without a sign of life after which an executor is lost
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) executor_timeout: u64,

    /// Seconds between two looks for lost executors
    #[arg(long, value_name = "SECONDS", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) expiry_interval: u64,

    /// Seconds that a job waits without any executor before it fails
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    pub(crate) no_executors_grace: u64,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ExecutorArgs {
    /// The scheduler, HOST:PORT
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) scheduler: Address,

    /// Registry: a folder, or s3://BUCKET/PREFIX
    #[arg(long, value_name = "DIR|URL", env = "SERVE_REGISTRY")]
    pub(crate) registry: Option<RegistryUrl>,

    /// Configuration file (YAML), the server's
    #[arg(long, value_name = "FILE", env = "SERVE_CONFIG")]
    pub(crate) config: Option<PathBuf>,

    /// Port that answers are fetched from
    #[arg(long, value_name = "PORT", default_value_t = 50051)]
    pub(crate) port: u16,

    /// Port that the scheduler gives parts to [default: the one behind --port]
    #[arg(long, value_name = "PORT")]
    pub(crate) control_port: Option<u16>,

    /// Address to listen on
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub(crate) host: IpAddr,

    /// Name that the others reach it by [default: the address; behind 0.0.0.0 the one that the scheduler sees]
    #[arg(long, value_name = "NAME")]
    pub(crate) external_host: Option<String>,

    /// Parts that are scored at a time [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) threads: Option<u16>,

    /// Folder for what goes to disk [default: one below TMPDIR]
    #[arg(long, value_name = "DIR")]
    pub(crate) work_dir: Option<PathBuf>,

    /// Memory that sorts, joins and groups take before they go to disk [default: 70 % of the machine's]
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory_limit: Option<ByteSize>,

    /// Seconds that a scheduler which does not answer is waited for at the start
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub(crate) patience: u64,

    /// Seconds between two signs of life
    #[arg(long, value_name = "SECONDS", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) heartbeat: u64,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ScoreArgs {
    /// The cluster: df://HOST:PORT of its scheduler
    #[arg(long, value_name = "URL", env = "SERVE_CLUSTER")]
    pub(crate) cluster: Address,

    /// Seconds that the job waits for a scheduler that does not answer, or for the first executor
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub(crate) patience: u64,

    #[command(flatten)]
    pub(crate) score: serve_score_bin::Args,
}

fn level(text: &str) -> Result<LevelFilter, String> {
    text.parse().map_err(|_| "expected off, error, warn, info, debug or trace".to_owned())
}

/// Where a scheduler listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let place = text.split_once("://").map_or(text, |(_, place)| place).trim_end_matches('/');
        let wrong = || format!("expected HOST:PORT, as in df://10.0.0.1:50050, got {text:?}");
        let (host, port) = place.rsplit_once(':').ok_or_else(wrong)?;
        if host.is_empty() || host.contains('/') {
            return Err(wrong());
        }
        Ok(Self { host: host.to_owned(), port: port.parse().map_err(|_| wrong())? })
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Arguments as a shell reads them, where nothing but double quotes quotes.
    fn words(line: &str) -> Vec<String> {
        let quoted = line.split('"').enumerate().flat_map(|(at, text)| match at % 2 {
            0 => text.split_whitespace().map(str::to_owned).collect(),
            _ => vec![text.to_owned()],
        });
        quoted.collect()
    }

    #[test]
    fn what_the_documentation_shows_are_arguments_of_ours() {
        let text = include_str!("../../../docs/cluster.md").replace("\\\n", " ");
        let manifests = text.split(" args: [").skip(1).filter_map(|rest| rest.split_once(']'));
        let manifests = manifests.map(|(arguments, _)| words(&arguments.replace(',', " ")));
        let lines = text.lines().filter_map(|line| line.strip_prefix("serve-cluster ")).map(words);
        let shown: Vec<_> = manifests.chain(lines).collect();
        assert_eq!(shown.len(), 8, "three manifests and five lines");
        for arguments in shown {
            let parsed =
                Cli::try_parse_from(std::iter::once("serve-cluster".to_owned()).chain(arguments.clone()));
            assert!(parsed.is_ok(), "{arguments:?}: {}", parsed.expect_err("is none"));
        }
    }

    #[test]
    fn an_address_is_a_host_and_a_port() {
        let address: Address = "df://[::1]:5/".parse().expect("an address");
        assert_eq!(address, Address { host: "[::1]".to_owned(), port: 5 });
        assert_eq!("host:50050".parse::<Address>().expect("an address").to_string(), "host:50050");
        for wrong in ["", "host", "df://host", ":50050", "host:x", "a/b:1"] {
            assert!(wrong.parse::<Address>().is_err(), "{wrong}");
        }
    }
}
