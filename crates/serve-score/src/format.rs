//! What files are: their format, by their name or by what was said, and their compression, by their first bytes.

use std::fmt;
use std::str::FromStr;

/// A format of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Apache Parquet.
    Parquet,
    /// CSV with a header.
    Csv,
    /// One JSON object a line.
    Json,
    /// Arrow IPC: a file or a stream.
    Arrow,
}

impl Format {
    /// The format that a file's name tells, whatever its compression.
    ///
    /// ```
    /// use serve_score::Format;
    /// assert_eq!(Format::of_name("rows.csv.gz"), Some(Format::Csv));
    /// assert_eq!(Format::of_name("rows"), None);
    /// ```
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        let lower = name.to_ascii_lowercase();
        let plain = [".gz", ".zst", ".zstd"].iter().find_map(|end| lower.strip_suffix(end));
        plain.unwrap_or(&lower).rsplit_once('.').and_then(|(_, end)| end.parse().ok())
    }

    /// How it is called.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Arrow => "arrow",
        }
    }

    /// The end of its files' names.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Json => "jsonl",
            other => other.as_str(),
        }
    }

    /// Whether it is lines of text, which may come through a pipe.
    #[must_use]
    pub fn is_text(self) -> bool {
        matches!(self, Self::Csv | Self::Json)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "parquet" | "pq" => Ok(Self::Parquet),
            "csv" => Ok(Self::Csv),
            "json" | "jsonl" | "ndjson" => Ok(Self::Json),
            "arrow" | "arrows" | "ipc" | "feather" => Ok(Self::Arrow),
            other => Err(format!("format {other:?}: expected parquet, csv, json or arrow")),
        }
    }
}
