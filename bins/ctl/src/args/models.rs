//! Arguments of the commands that make a version: from another library's file, or from data.

use std::path::PathBuf;

use clap::Args as ClapArgs;
use serve_core::{Direction, ModelName, ModelVersion};
use serve_formats::Format;
use serve_train::Algorithm;

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
    /// The rows it was trained on (CSV or Parquet): how they were distributed is recorded, never enforced
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
    /// The data (CSV or Parquet)
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
