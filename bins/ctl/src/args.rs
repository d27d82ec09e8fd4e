//! The program's arguments.

pub(crate) mod remote;

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};
use serve_app::{Permission, Rate};
use serve_core::{Alias, Direction, ModelName, ModelVersion};
use serve_formats::Format;
use serve_registry::RegistryUrl;
use serve_train::Algorithm;

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
    /// Measure how fast a running server answers
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

#[derive(Debug, ClapArgs)]
pub(crate) struct Import {
    /// The model file, or a folder that MLflow wrote
    pub(crate) file: PathBuf,
    /// Name of the model in the registry
    #[arg(long)]
    pub(crate) name: ModelName,
    /// The file's format: auto, lightgbm, xgboost, onnx, catboost or sklearn
    #[arg(long, default_value = "auto")]
    pub(crate) format: Format,
    /// The version [default: the time now, as 20251003_211954]
    #[arg(long)]
    pub(crate) version: Option<ModelVersion>,
    /// The feature set that it is served from
    #[arg(long, value_name = "SET")]
    pub(crate) feature_set: Option<String>,
    /// Features that come from another feature set, e.g. finbert:mood,mood_lag_1; may stand several times
    #[arg(long, value_name = "SET:FEATURES")]
    pub(crate) join: Vec<String>,
    /// How old its stored features may be, e.g. 15m, where that is stricter than what holds for them anyway
    #[arg(long, value_name = "TIME", value_parser = serve_core::duration::parse)]
    pub(crate) max_age: Option<std::time::Duration>,
    /// The kind of model [default: the library]
    #[arg(long, value_name = "TYPE")]
    pub(crate) model_type: Option<String>,
    /// Name of what it predicts [default: label or value]
    #[arg(long, value_name = "NAME")]
    pub(crate) target: Option<String>,
    /// Labels of the classes, in order
    #[arg(long, value_name = "LABELS", value_delimiter = ',')]
    pub(crate) classes: Option<Vec<String>>,
    /// Names of the features in order: a,b,… or a file with one per line
    #[arg(long, value_name = "NAMES")]
    pub(crate) feature_names: Option<String>,
    /// Rows with the training library's own answers (CSV)
    #[arg(long, value_name = "FILE")]
    pub(crate) golden: Option<PathBuf>,
    /// Declared ranges of features, enforced on every request (YAML: name: {min, max})
    #[arg(long, value_name = "FILE")]
    pub(crate) ranges: Option<PathBuf>,
    /// The rows it was trained on (CSV): how they were distributed is recorded, never enforced
    #[arg(long, value_name = "FILE")]
    pub(crate) training_data: Option<PathBuf>,
    /// The column of the training data's times
    #[arg(long, value_name = "COLUMN", requires = "training_data")]
    pub(crate) time: Option<String>,
    /// A held-out metric, e.g. accuracy=0.72; the first is the primary one
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) metric: Vec<String>,
    /// Whether the primary metric is better when greater or smaller [default: as its name says]
    #[arg(long, value_name = "maximize|minimize", value_parser = direction, requires = "metric")]
    pub(crate) metric_direction: Option<Direction>,
    /// How many held-out rows the metrics were measured on
    #[arg(long, value_name = "N", requires = "metric")]
    pub(crate) metric_rows: Option<u64>,
    /// How many held-out rows `best` asks of a version [default: 30]
    #[arg(long, value_name = "N", requires = "metric")]
    pub(crate) metric_min_rows: Option<u64>,
    /// Sign the version with this private key
    #[arg(long, value_name = "KEY")]
    pub(crate) sign: Option<PathBuf>,
    /// Make it the champion at once
    #[arg(long)]
    pub(crate) promote: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Train {
    /// Name of the model in the registry
    #[arg(long)]
    pub(crate) name: ModelName,
    /// logistic_regression, random_forest or gradient_boosting
    #[arg(long)]
    pub(crate) algorithm: Algorithm,
    /// The data (CSV)
    #[arg(long, value_name = "FILE")]
    pub(crate) data: PathBuf,
    /// The column to predict
    #[arg(long, value_name = "COLUMN")]
    pub(crate) target: String,
    /// The feature set that it is served from
    #[arg(long, value_name = "SET")]
    pub(crate) feature_set: Option<String>,
    /// How old its stored features may be, e.g. 15m, where that is stricter than what holds for them anyway
    #[arg(long, value_name = "TIME", value_parser = serve_core::duration::parse)]
    pub(crate) max_age: Option<std::time::Duration>,
    /// The version [default: the time now, as 20251003_211954]
    #[arg(long)]
    pub(crate) version: Option<ModelVersion>,
    /// The column that orders the rows in time [default: timestamp, time or date, else the file's order]
    #[arg(long, value_name = "COLUMN")]
    pub(crate) time: Option<String>,
    /// The share of rows, the last ones, that is held out and measured on
    #[arg(long, value_name = "SHARE", default_value_t = 0.2)]
    pub(crate) holdout: f64,
    /// Seed of everything random
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Columns that are no features
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    pub(crate) exclude: Vec<String>,
    /// Labels of the classes, in order
    #[arg(long, value_name = "LABELS", value_delimiter = ',')]
    pub(crate) classes: Option<Vec<String>>,
    /// Number of trees
    #[arg(long)]
    pub(crate) trees: Option<u16>,
    /// Greatest depth of a tree
    #[arg(long)]
    pub(crate) depth: Option<u16>,
    /// Fewest rows in a leaf
    #[arg(long)]
    pub(crate) min_samples_leaf: Option<usize>,
    /// Learning rate of boosting
    #[arg(long)]
    pub(crate) learning_rate: Option<f64>,
    /// Sign the version with this private key
    #[arg(long, value_name = "KEY")]
    pub(crate) sign: Option<PathBuf>,
    /// Make it the champion at once
    #[arg(long)]
    pub(crate) promote: bool,
}

fn direction(text: &str) -> Result<Direction, String> {
    [Direction::Maximize, Direction::Minimize]
        .into_iter()
        .find(|direction| direction.as_str() == text)
        .ok_or_else(|| "expected maximize or minimize".to_owned())
}

#[derive(Debug, Subcommand)]
pub(crate) enum Features {
    /// Make or update the store's tables
    Migrate,
    /// Read rows from a CSV or Parquet file into the store
    Ingest {
        /// Raw rows for price_data, sentiment_data or a table of your own
        #[arg(long, value_name = "TABLE", conflicts_with = "set", required_unless_present = "set")]
        table: Option<String>,
        /// Ready rows of this feature set: entity,timestamp and a column per feature
        #[arg(long, value_name = "SET")]
        set: Option<String>,
        /// The declarations (features.yaml) that the set's rows are held against
        #[arg(long, value_name = "FILE", conflicts_with = "table")]
        declarations: Option<PathBuf>,
        /// The file
        file: PathBuf,
    },
    /// Compute a declared feature set from raw rows
    Build {
        /// The declarations (features.yaml)
        #[arg(long, value_name = "FILE")]
        declarations: Option<PathBuf>,
        /// The feature set
        #[arg(long, value_name = "SET")]
        set: String,
        /// Leave out rows before this time
        #[arg(long, value_name = "TIME")]
        from: Option<String>,
        /// Leave out rows from this time on
        #[arg(long, value_name = "TIME")]
        to: Option<String>,
        /// Write the rows to this file, CSV or *.parquet
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Write the rows to the store
        #[arg(long)]
        store: bool,
    },
    /// Hold declarations against what a store has: mistakes, rows that are old, outdated or lack values, windows too deep
    Check {
        /// The declarations (features.yaml)
        #[arg(long, value_name = "FILE")]
        declarations: Option<PathBuf>,
    },
    /// Training data: join labels with the features that were known at their moments
    Join(Join),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Join {
    /// The labels, CSV or Parquet: entity,timestamp and columns of their own
    #[arg(long, value_name = "FILE")]
    pub(crate) labels: PathBuf,
    /// The feature sets, as stored
    #[arg(long, value_name = "SETS", value_delimiter = ',', required = true)]
    pub(crate) set: Vec<String>,
    /// The declarations (features.yaml), for the sets' columns and greatest ages
    #[arg(long, value_name = "FILE")]
    pub(crate) declarations: Option<PathBuf>,
    /// Leave out labels whose features were older than this, e.g. 36h
    #[arg(long, value_name = "AGE")]
    pub(crate) max_age: Option<serve_features::MaxAge>,
    /// Write the rows to this file, CSV or *.parquet
    #[arg(long, value_name = "FILE")]
    pub(crate) output: PathBuf,
}
