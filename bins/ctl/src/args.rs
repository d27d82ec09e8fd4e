//! The program's arguments.

pub(crate) mod features;
pub(crate) mod models;
pub(crate) mod remote;

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};
use serve_app::{Permission, Rate};
use serve_core::{Alias, ModelName, ModelVersion};
use serve_formats::Format;
use serve_registry::RegistryUrl;

pub(crate) use features::{Features, Join};
pub(crate) use models::{Import, Train};

/// Imports, trains, inspects and promotes models, and fills feature stores.
#[derive(Debug, Parser)]
#[command(name = "serve-ctl", version, about, max_term_width = 100)]
pub(crate) struct Args {
    /// Registry: a folder, or s3://BUCKET/PREFIX
    #[arg(long, value_name = "DIR|URL", env = "SERVE_REGISTRY", global = true)]
    pub(crate) registry: Option<RegistryUrl>,

    /// Feature store, e.g. sqlite://features.db
    #[arg(long, value_name = "URL", env = "SERVE_FEATURES", global = true)]
    pub(crate) features: Option<String>,

    /// Configuration file (YAML), the server's
    #[arg(long, value_name = "FILE", env = "SERVE_CONFIG", global = true)]
    pub(crate) config: Option<PathBuf>,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Import a model file of another library as a new version
    Import(Import),
    /// Train a model as a new version
    Train(Train),
    /// List the models
    List,
    /// Show a model and its versions
    Show {
        /// The model: NAME or NAME@VERSION
        model: String,
    },
    /// Prove versions: digests, signatures and golden rows
    Verify {
        /// NAME for all versions of a model, NAME@VERSION for one; without it, the whole registry
        model: Option<String>,
        /// Print JSON, for machines
        #[arg(long)]
        json: bool,
    },
    /// Point an alias to a version, once it has proven itself
    Promote {
        /// The model
        name: ModelName,
        /// The version
        version: ModelVersion,
        /// The alias
        #[arg(long, default_value = "champion")]
        alias: Alias,
        #[command(flatten)]
        why: Why,
    },
    /// Point the champion to the version it replaced
    Rollback {
        /// The model
        name: ModelName,
        #[command(flatten)]
        why: Why,
    },
    /// Keep a model's champion where it is: promotions and rollbacks are refused until it is unpinned
    Pin {
        /// The model
        name: ModelName,
        /// The version to promote first [default: the champion's]
        version: Option<ModelVersion>,
        #[command(flatten)]
        why: Why,
    },
    /// Let a pinned model's champion be moved again
    Unpin {
        /// The model
        name: ModelName,
        #[command(flatten)]
        why: Why,
    },
    /// Show who moved a model's aliases, when and why
    History {
        /// The model
        name: ModelName,
        /// Print JSON, for machines
        #[arg(long)]
        json: bool,
    },
    /// Delete a version that no alias points to and that no running process has loaded
    Delete {
        /// The version: NAME@VERSION
        version: String,
    },
    /// Delete old versions that nothing needs
    Prune(Prune),
    /// Copy a version to another registry, proven on arrival
    Push(Push),
    /// Make a key to sign versions with
    Keygen {
        /// The private key's file; the public key is written beside it, as FILE.pub
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Make keys for callers of a server
    #[command(subcommand)]
    Key(Key),
    /// Sign a published version
    Sign {
        /// The version: NAME@VERSION or NAME@ALIAS
        version: String,
        /// The private key's file
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
    },
    /// Say what a model file of another library holds
    Inspect {
        /// The file
        file: PathBuf,
        /// Its format
        #[arg(long, default_value = "auto")]
        format: Format,
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
    /// Measure what a row of a model costs on this machine
    Bench {
        /// The model: NAME, NAME@VERSION or NAME@ALIAS
        model: String,
        /// Print JSON, for machines
        #[arg(long)]
        json: bool,
    },
    /// Fill a feature store, or compute features
    #[command(subcommand)]
    Features(Features),
    /// Try every endpoint of a running server, and say what fails; changes nothing
    Smoke(remote::Smoke),
    /// Measure how fast a running server answers; exits 69 where a request fails
    Load(remote::Load),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Print a new key, once, and its line for the server's auth.keys
    New(NewKey),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct NewKey {
    /// The client's name, as logs and metrics have it
    #[arg(long, value_name = "NAME")]
    pub(crate) id: String,
    /// What the client may do: predict, read, admin
    #[arg(long, value_name = "PERMISSIONS", value_delimiter = ',', default_value = "predict", value_parser = permission)]
    pub(crate) permissions: Vec<Permission>,
    /// The models that it may use and see [default: all]
    #[arg(long, value_name = "MODELS", value_delimiter = ',')]
    pub(crate) models: Option<Vec<ModelName>>,
    /// How often it may ask, e.g. 100/s, 600/m or 600/m burst 50
    #[arg(long, value_name = "RATE")]
    pub(crate) rate: Option<Rate>,
    /// Until when the key holds, e.g. 90d
    #[arg(long, value_name = "TIME", value_parser = serve_core::duration::parse)]
    pub(crate) expires_in: Option<std::time::Duration>,
}

fn permission(text: &str) -> Result<Permission, String> {
    let found = Permission::ALL.into_iter().find(|permission| permission.as_str() == text);
    found.ok_or_else(|| "expected predict, read or admin".to_owned())
}

#[derive(Debug, Default, ClapArgs)]
pub(crate) struct Why {
    /// The reason, for the history
    #[arg(long, value_name = "TEXT")]
    pub(crate) why: Option<String>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Prune {
    /// The model [default: every model]
    pub(crate) name: Option<ModelName>,
    /// Keep so many of the newest versions
    #[arg(long, value_name = "K", required_unless_present = "older_than")]
    pub(crate) keep: Option<usize>,
    /// Keep versions that were made within this time, e.g. 30d or 12h
    #[arg(long, value_name = "TIME", value_parser = serve_core::duration::parse)]
    pub(crate) older_than: Option<std::time::Duration>,
    /// Say what would go, and delete nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Push {
    /// The version: NAME@VERSION or NAME@ALIAS
    pub(crate) version: String,
    /// The other registry
    #[arg(long, value_name = "DIR|URL")]
    pub(crate) to: RegistryUrl,
    /// Point an alias to it there
    #[arg(long)]
    pub(crate) promote: bool,
    /// The alias
    #[arg(long, default_value = "champion", requires = "promote")]
    pub(crate) alias: Alias,
    #[command(flatten)]
    pub(crate) why: Why,
}
