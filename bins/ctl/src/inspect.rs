//! `inspect`: what a foreign file holds, before it is imported.

use std::path::Path;

use serve_app::{Exit, ExitReason};
use serve_formats::Format;

use crate::print;

pub(crate) fn run(file: &Path, format: Format) -> Result<(), Exit> {
    let imported = crate::import::read(file, format)?;
    let summary = serde_json::to_string_pretty(&imported.summary());
    print(&summary.map_err(|error| Exit::because(ExitReason::Software, error))?)
}
