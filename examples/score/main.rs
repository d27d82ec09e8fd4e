//! Scores a join: prices in one Parquet file, sentiment in another, and a model that takes columns of both. Run it with
//! `cargo run --example score`.

use std::error::Error;
use std::fs::File;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::prelude::{ParquetReadOptions, SessionContext};
use serve_registry::{Directory, Registry, Storage};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();

    // A registry with one model, a logistic regression over `a` and `b`; yours has your own.
    let directory = Directory::create(folder.path().join("models").as_path())?;
    directory.publish(&serve_core::doctest::logistic("direction", "v1", 0.0).build()?, "example")?;
    let registry = Arc::new(Registry::open(folder.path().join("models"))?);

    // Two tables that share a key.
    write(&path("prices.parquet"), "a", [0.5, -1.0, 2.0])?;
    write(&path("sentiment.parquet"), "b", [1.0, 0.25, -3.0])?;

    let session = SessionContext::new();
    serve_score::register(&session, &registry)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        for table in ["prices", "sentiment"] {
            let file = path(&format!("{table}.parquet"));
            session.register_parquet(table, &file, ParquetReadOptions::default()).await?;
        }
        let query = "SELECT prices.day, predict('direction@champion', *) AS direction, \
                     predict_proba('direction', b, a)['up'] AS up \
                     FROM prices JOIN sentiment ON prices.day = sentiment.day ORDER BY prices.day";
        session.sql(query).await?.show().await
    })?;
    Ok(())
}

/// A Parquet file of three days with one feature.
fn write(path: &str, feature: &str, values: [f64; 3]) -> Result<(), Box<dyn Error>> {
    let days: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
    let values: ArrayRef = Arc::new(Float64Array::from(values.to_vec()));
    let rows = RecordBatch::try_from_iter([("day", days), (feature, values)])?;
    let mut writer = ArrowWriter::try_new(File::create(path)?, rows.schema(), None)?;
    writer.write(&rows)?;
    writer.close()?;
    Ok(())
}
