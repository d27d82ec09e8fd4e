//! `--dry-run`: what would be done, and the first rows of it.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_cast::pretty::pretty_format_batches_with_schema;
use arrow_schema::Schema;
use serve_app::{Exit, ExitReason};
use serve_registry::Registry;
use serve_score::sql::{self, QueryOptions};
use serve_score::{Job, Output, Source};

use crate::run::exit;

/// Rows that are scored.
const ROWS: usize = 10;

/// Shows a plain job. That its output cannot go where it should ends this as it would end the job.
pub(crate) fn of_job(job: Job, output: Option<&Output>) -> Result<(), Exit> {
    let plan = Arc::clone(job.planned());
    let mut text = format!("model    {} ({})\n", plan.model(), plan.model().digest());
    input(&mut text, job.source());
    let width = plan.matched().map(|(feature, _)| feature.len()).max().unwrap_or(0);
    for (at, ((feature, column), datatype)) in plan.matched().zip(job.input_types()).enumerate() {
        let head = if at == 0 { "columns" } else { "" };
        let _ = writeln!(text, "{head:<8} {feature:<width$} = {column} ({datatype})");
    }
    written(&mut text, output, plan.schema());
    match job.sample(ROWS).map_err(exit)? {
        None => text.push_str("there are no rows\n"),
        Some(scored) => {
            table(&mut text, &[scored.answers])?;
            for reject in scored.rejects {
                let _ = writeln!(text, "row {} is rejected: {}", reject.row, reject.reason);
            }
        }
    }
    print(&text, output)
}

/// Shows a query.
pub(crate) fn of_query(
    registry: &Arc<Registry>,
    source: Source,
    query: &str,
    options: QueryOptions,
    output: Option<&Output>,
) -> Result<(), Exit> {
    let mut text = String::new();
    input(&mut text, &source);
    let (schema, rows) = sql::preview(registry, source, query, options, ROWS).map_err(exit)?;
    written(&mut text, output, &schema);
    if rows.iter().all(|batch| batch.num_rows() == 0) {
        text.push_str("it answers no rows\n");
    } else {
        table(&mut text, &rows)?;
    }
    print(&text, output)
}

fn input(text: &mut String, source: &Source) {
    let rows = source.rows().map_or_else(String::new, |rows| format!(", {rows} rows"));
    let files = match source.files() {
        [file] => file.name(),
        files => format!("{} files", files.len()),
    };
    let _ = writeln!(text, "input    {files}, {}{rows}", source.format());
}

fn written(text: &mut String, output: Option<&Output>, schema: &Schema) {
    let mut head = "output";
    if let Some(output) = output {
        let _ = writeln!(text, "{head:<8} {}, {}", output.name(), output.format);
        head = "";
    }
    for field in schema.fields() {
        let _ = writeln!(text, "{head:<8} {} {}", field.name(), field.data_type());
        head = "";
    }
}

fn table(text: &mut String, rows: &[RecordBatch]) -> Result<(), Exit> {
    let Some(first) = rows.first() else { return Ok(()) };
    let table = pretty_format_batches_with_schema(first.schema(), rows);
    let table = table.map_err(|error| Exit::because(ExitReason::Software, error))?;
    let _ = writeln!(text, "{table}");
    Ok(())
}

fn print(text: &str, output: Option<&Output>) -> Result<(), Exit> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            return Err(Exit::because(ExitReason::CannotCreate, error));
        }
        _ => {}
    }
    output.map_or(Ok(()), |output| output.check_free(false)).map_err(exit)
}
