//! The program's arguments.

use std::path::PathBuf;

use clap::Parser;
use serve_core::ByteSize;
use serve_registry::RegistryUrl;
use serve_score::{Format, Keep, MaxRejects, ReportFile};

/// Scores files with a registered model, with the server's answers bit for bit.
#[derive(Debug, Parser)]
#[command(name = "serve-score", version, about, max_term_width = 100)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag that stands or does not")]
pub struct Args {
    /// Registry: a folder, or s3://BUCKET/PREFIX
    #[arg(long, value_name = "DIR|URL", env = "SERVE_REGISTRY")]
    pub(crate) registry: Option<RegistryUrl>,

    /// Configuration file (YAML), the server's
    #[arg(long, value_name = "FILE", env = "SERVE_CONFIG")]
    pub(crate) config: Option<PathBuf>,

    /// The model: NAME, NAME@VERSION or NAME@ALIAS
    #[arg(long, value_name = "MODEL", required_unless_present = "sql")]
    pub(crate) model: Option<String>,

    /// A query over the table `input` in place of a model: SELECT id, predict('NAME', *) FROM input
    #[arg(long, value_name = "QUERY", conflicts_with_all = ["model", "keep", "map", "explain", "rejects", "max_rejects", "unordered", "resume"])]
    pub(crate) sql: Option<String>,

    /// Memory, such as 300MiB: fewer threads run and less waits for its turn where it must; a query's sorts, joins and groups go to disk
    /// beyond it
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory_limit: Option<ByteSize>,

    /// Rows: a file, a folder, a pattern such as 'rows/*.parquet', s3://BUCKET/PREFIX, or - for standard input
    #[arg(long, value_name = "FILE|DIR|GLOB|URL")]
    pub(crate) input: String,

    /// Answers: a file, a folder (its name ends in /), s3://BUCKET/KEY or s3://BUCKET/PREFIX/, or - for standard output
    #[arg(long, value_name = "FILE|DIR|URL", required_unless_present = "dry_run")]
    pub(crate) output: Option<String>,

    /// The input's format, where its name does not tell it: parquet, csv, json or arrow
    #[arg(long, value_name = "FORMAT")]
    pub(crate) input_format: Option<Format>,

    /// The output's format, where its name does not tell it
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<Format>,

    /// Columns of the input that the output has too: names with commas between them, or all
    #[arg(long, value_name = "COLUMNS")]
    pub(crate) keep: Option<Keep>,

    /// Read a feature from a column of another name; may stand several times
    #[arg(long, value_name = "FEATURE=COLUMN", value_parser = renamed)]
    pub(crate) map: Vec<(String, String)>,

    /// Write what each feature contributed to the score
    #[arg(long)]
    pub(crate) explain: bool,

    /// Where rejected rows go [default: OUTPUT.rejects.csv]
    #[arg(long, value_name = "FILE")]
    pub(crate) rejects: Option<PathBuf>,

    /// Fail when more rows than this are rejected: a number, or a share such as 1%
    #[arg(long, value_name = "N|P%")]
    pub(crate) max_rejects: Option<MaxRejects>,

    /// Threads that score [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) threads: Option<u16>,

    /// Write the rows of a part as they are scored rather than in the input's order
    #[arg(long)]
    pub(crate) unordered: bool,

    /// Replace an output that exists
    #[arg(long)]
    pub(crate) overwrite: bool,

    /// Go on behind the last finished part of the same job that was ended before
    #[arg(long)]
    pub(crate) resume: bool,

    /// Rows of a part: of a file where the output is a folder, and else of what --resume does again at the most; a part ends with the
    /// batch that fills it [default: 5 million of a folder, else 1 million]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) part_rows: Option<u64>,

    /// Write what the job came to: rows, rejects, histograms, missing and out-of-range values, drift from training; a page or
    /// JSON, as the name ends in .html or .json; may stand twice
    #[arg(long, value_name = "FILE", conflicts_with = "sql")]
    pub(crate) report: Vec<ReportFile>,

    /// Leave digests of the input's and the output's files out of the report
    #[arg(long, requires = "report")]
    pub(crate) no_digests: bool,

    /// Where a job whose output is in a bucket keeps its state [default: serve-score in the user's cache]
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,

    /// How many seconds requests to buckets are made again that fail
    #[arg(long, value_name = "SECONDS", default_value_t = 180)]
    pub(crate) retry_for: u64,

    /// Show what would be done, and ten rows of the answers; write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// No progress on standard error
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

fn renamed(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((feature, column)) if !feature.is_empty() && !column.is_empty() => {
            Ok((feature.to_owned(), column.to_owned()))
        }
        _ => Err("expected FEATURE=COLUMN".to_owned()),
    }
}
