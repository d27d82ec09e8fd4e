//! Parquet files as a table of DataFusion's own, which reads the row groups and columns that a query needs. Files are named by URL, so
//! that nothing in their names is a pattern; the columns of their folders are literals.

use arrow_schema::{Schema, SchemaRef};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err};
use datafusion::dataframe::DataFrame;
use datafusion::logical_expr::lit;
use datafusion::prelude::{ParquetReadOptions, SessionContext, ident};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::external;
use crate::error::ScoreError;
use crate::location::InputFile;
use crate::source::{NULL_FOLDER, Source};

/// What does not stand for itself in the path of a URL.
const ESCAPED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'`')
    .add(b'{')
    .add(b'}');

/// Makes the files of a source a table of this name, with the columns of `schema` in their order.
pub(super) async fn register(
    session: &SessionContext,
    name: &str,
    source: &Source,
    schema: &SchemaRef,
) -> Result<()> {
    let mut table: Option<DataFrame> = None;
    for files in source.files().chunk_by(|a, b| a.partition() == b.partition()) {
        let part = folder(session, files, schema).await?;
        table = Some(match table {
            None => part,
            Some(table) => table.union(part)?,
        });
    }
    let table = table.ok_or_else(|| external(ScoreError::plan("there is no input")))?;
    session.register_table(name, table.into_view()).map(drop)
}

/// Files of one folder.
async fn folder(session: &SessionContext, files: &[InputFile], schema: &SchemaRef) -> Result<DataFrame> {
    let partition = files.first().map(InputFile::partition).unwrap_or_default();
    let of_folder = |name: &str| partition.iter().find(|(column, _)| column == name);
    let own: Vec<_> =
        schema.fields().iter().filter(|field| of_folder(field.name()).is_none()).cloned().collect();
    let own = Schema::new(own);
    let mut urls = Vec::with_capacity(files.len());
    for file in files {
        urls.push(url(session, file)?);
    }
    let options = ParquetReadOptions { file_extension: "", ..ParquetReadOptions::default().schema(&own) };
    let rows = session.read_parquet(urls, options).await?;
    let columns = schema.fields().iter().map(|field| match of_folder(field.name()) {
        None => ident(field.name()),
        Some((name, value)) => {
            lit(ScalarValue::Utf8((value != NULL_FOLDER).then(|| value.clone()))).alias(name)
        }
    });
    rows.select(columns.collect::<Vec<_>>())
}

/// Where a file lies; a bucket is made known to the session.
fn url(session: &SessionContext, file: &InputFile) -> Result<String> {
    #[cfg(feature = "s3")]
    if let Some(object) = file.object() {
        let bucket = format!("s3://{}", object.bucket());
        let url = datafusion::datasource::object_store::ObjectStoreUrl::parse(&bucket)?;
        session.register_object_store(url.as_ref(), object.store());
        return Ok(format!("{bucket}/{}", escaped(object.key())));
    }
    #[cfg(not(feature = "s3"))]
    let _ = session;
    let unnamed =
        || exec_datafusion_err!("{}: expected a file, since Parquet is read from its end", file.name());
    let path = file.path().ok_or_else(unnamed)?;
    let path = std::path::absolute(path)?;
    let text =
        path.to_str().ok_or_else(|| exec_datafusion_err!("{}: its name is no UTF-8", path.display()))?;
    Ok(format!("file://{}", escaped(text)))
}

fn escaped(path: &str) -> String {
    utf8_percent_encode(path, ESCAPED).to_string()
}
