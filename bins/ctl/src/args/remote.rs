//! Arguments of the commands that ask a running server.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args as ClapArgs;
use http::Uri;

/// A server, and how to get in.
#[derive(Debug, ClapArgs)]
pub(crate) struct Remote {
    /// The server, e.g. http://127.0.0.1:8000
    pub(crate) url: Uri,
    /// The API key, or a token: sent as `Authorization: Bearer`
    #[arg(long, value_name = "KEY", env = "SERVE_KEY", hide_env_values = true)]
    pub(crate) key: Option<String>,
    /// Trust the certificates that this authority signed (PEM), and no others
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// How long an answer may take
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = serve_core::duration::parse)]
    pub(crate) timeout: Duration,
}

/// A path of a URL.
fn path(text: &str) -> Result<String, String> {
    if text.starts_with('/') { Ok(text.to_owned()) } else { Err(format!("expected a path such as /{text}")) }
}

/// What `load` sends, and for how long.
#[derive(Debug, ClapArgs)]
pub(crate) struct Load {
    #[command(flatten)]
    pub(crate) remote: Remote,
    /// The path to ask
    #[arg(long, default_value = "/predict", value_parser = path)]
    pub(crate) path: String,
    /// The body, or @FILE; with none, a row made from --model's signature, or {} for the default model and entity
    #[arg(long, value_name = "JSON|@FILE")]
    pub(crate) body: Option<String>,
    /// Ask this model, with a row made from its signature: a key needs the permission read beside predict
    #[arg(long, value_name = "NAME", conflicts_with = "body")]
    pub(crate) model: Option<String>,
    /// A further header, e.g. 'Content-Type: text/csv'; may stand several times
    #[arg(long, value_name = "NAME: VALUE")]
    pub(crate) header: Vec<String>,
    /// GET instead of POST, without a body
    #[arg(long, conflicts_with_all = ["body", "model"])]
    pub(crate) get: bool,
    /// Connections, each with one request at a time
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) connections: u16,
    /// How long to measure
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = serve_core::duration::parse)]
    pub(crate) duration: Duration,
    /// Stop after so many requests
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) requests: Option<u64>,
    /// Send so many a second, whatever comes back; times then count from when a request was due
    #[arg(long, value_name = "PER_SECOND")]
    pub(crate) rate: Option<f64>,
    /// How long to ask before measuring
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = serve_core::duration::parse)]
    pub(crate) warm_up: Duration,
    /// Speak HTTP/2
    #[arg(long)]
    pub(crate) http2: bool,
    /// Print JSON, for machines
    #[arg(long)]
    pub(crate) json: bool,
}

/// What `smoke` tries.
#[derive(Debug, ClapArgs)]
pub(crate) struct Smoke {
    #[command(flatten)]
    pub(crate) remote: Remote,
    /// Print JSON, for machines
    #[arg(long)]
    pub(crate) json: bool,
}
