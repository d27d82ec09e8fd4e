//! Arguments of the commands that fill a feature store, or compute features.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};

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
