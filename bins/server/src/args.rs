//! The program's arguments.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Parser;
use serve_registry::RegistryUrl;

/// Serves the models of a registry over HTTP.
#[derive(Debug, Clone, Parser)]
#[command(name = "serve-server", version, about, max_term_width = 100)]
pub(crate) struct Args {
    /// Serve six demonstration models with a filled feature store; needs nothing beside this program
    #[arg(long)]
    pub(crate) demo: bool,

    /// Configuration file (YAML)
    #[arg(long, value_name = "FILE", env = "SERVE_CONFIG")]
    pub(crate) config: Option<PathBuf>,

    /// Registry: a folder, or s3://BUCKET/PREFIX
    #[arg(long, value_name = "DIR|URL", env = "SERVE_REGISTRY")]
    pub(crate) registry: Option<RegistryUrl>,

    /// Feature store, e.g. sqlite://features.db
    #[arg(long, value_name = "URL", env = "SERVE_FEATURES")]
    pub(crate) features: Option<String>,

    /// Address to listen on [default: 127.0.0.1]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) host: Option<IpAddr>,

    /// Port to listen on; 0 takes a free one [default: 8000]
    #[arg(long, value_name = "PORT", value_parser = port)]
    pub(crate) port: Option<u16>,

    /// Print the effective configuration, or every mistake in it, and stop
    #[arg(long)]
    pub(crate) check_config: bool,
}

fn port(text: &str) -> Result<u16, &'static str> {
    text.parse().map_err(|_| "expected a whole number from 0 to 65535")
}
