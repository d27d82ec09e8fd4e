//! A registry with two models, files of rows, and jobs over them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::properties::WriterProperties;
use serve_core::doctest::logistic;
use serve_core::link::LinkFunction;
use serve_core::reference::{Distribution, Reference};
use serve_core::{
    Bundle, Datatype, DecisionPolicy, Estimator, Input, LinearModel, Link, MissingPolicy, Model, Range,
    Signature, Task, Value, naive,
};
use serve_registry::{Directory, Registry, Storage};
use serve_score::job::RunOptions;
use serve_score::{Job, Output, PinnedModel, PlanOptions, Progress, ScoreError, Source, Summary, location};

/// A folder with a registry in it.
pub(crate) struct Fixture {
    folder: tempfile::TempDir,
    pub(crate) registry: Arc<Registry>,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let directory = Directory::create(folder.path().join("registry").as_path()).expect("a registry");
        for bundle in
            [plain("v1", 0.0), plain("v2", 0.5), typed(), referenced(), ruled("v1"), ruled("v2"), answered()]
        {
            directory.publish(&bundle, "tests").expect("publishes");
        }
        let registry = Arc::new(Registry::open(folder.path().join("registry")).expect("opens"));
        Self { folder, registry }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn text(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("below the folder")).expect("a folder");
        std::fs::write(&path, text).expect("writes");
        path
    }

    pub(crate) fn model(&self, reference: &str) -> PinnedModel {
        PinnedModel::resolve(&self.registry, reference).expect("resolves")
    }

    pub(crate) fn job(
        &self,
        reference: &str,
        input: &Path,
        options: &PlanOptions,
    ) -> Result<Job, ScoreError> {
        let source = Source::open(location::list(&input.to_string_lossy())?, None)?;
        let model = if options.explain {
            PinnedModel::resolve_explained(&self.registry, reference)?
        } else {
            self.model(reference)
        };
        let model = if options.tally { model.with_reference(&self.registry)? } else { model };
        Job::plan(model, source, options)
    }

    /// Scores a file into another one.
    pub(crate) fn score(
        &self,
        reference: &str,
        input: &Path,
        output: &str,
        keep: &str,
    ) -> Result<Summary, ScoreError> {
        let options = PlanOptions { keep: keep.parse().expect("never fails"), ..PlanOptions::default() };
        let job = self.job(reference, input, &options)?;
        job.run(&self.run(output)?, &Progress::default())
    }

    pub(crate) fn run(&self, output: &str) -> Result<RunOptions, ScoreError> {
        let output = Output::new(&self.path(output).to_string_lossy(), None, false)?;
        Ok(RunOptions { threads: 3, ..RunOptions::new(output) })
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).expect(name)
    }

    /// What lies in the folder.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).expect("reads");
        let mut names: Vec<_> =
            entries.map(|entry| entry.expect("reads").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

/// A logistic regression over `a` and `b`.
fn plain(version: &str, intercept: f64) -> Bundle {
    logistic("plain", version, intercept).build().expect("proves")
}

/// As `plain`; the first version asks more of an `up` than that it is the more probable.
fn ruled(version: &str) -> Bundle {
    let mut builder = logistic("ruled", version, 0.0);
    if version == "v1" {
        let otherwise = "down".to_owned();
        builder.decision = DecisionPolicy::Thresholds { thresholds: vec![0.0, 0.9], otherwise };
    }
    builder.build().expect("proves")
}

/// As `plain`, with other classes.
fn answered() -> Bundle {
    let mut builder = logistic("answered", "v1", 0.0);
    builder.target.task = Task::Classification { classes: vec!["no".to_owned(), "yes".to_owned()] };
    builder.build().expect("proves")
}

/// The training values of `a` and of `b` that [`referenced`] has seen.
pub(crate) fn training(row: u32) -> (f64, f64) {
    (f64::from(row) / 100.0, f64::from(row % 3))
}

/// As `plain`, with a training window of 256 rows.
fn referenced() -> Bundle {
    let rows = 0..256_u32;
    let score = |row: u32| {
        let (a, b) = training(row);
        1.0 / (1.0 + (-(a + 2.0 * b)).exp())
    };
    let reference = Reference {
        rows: 256,
        window: None,
        features: vec![
            Distribution::of("a", rows.clone().map(|row| training(row).0)),
            Distribution::of("b", rows.clone().map(|row| training(row).1)),
        ],
        scores: vec![
            Distribution::of("down", rows.clone().map(|row| 1.0 - score(row))),
            Distribution::of("up", rows.map(score)),
        ],
    };
    let mut builder = logistic("referenced", "v1", 0.0);
    builder.reference = Some(reference);
    builder.build().expect("proves")
}

/// A model whose inputs are of all types: `x` may be missing, `city` is text, `age` a whole number from 0 to 120, `member` a truth
/// value.
fn typed() -> Bundle {
    let text = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect());
    let inputs = vec![
        Input::number("x").missing(MissingPolicy::Constant(0.25)),
        Input {
            datatype: Datatype::Bytes,
            vocabulary: text(&["Bern", "Genf", "NA"]),
            ..Input::number("city")
        },
        Input {
            datatype: Datatype::Int64,
            range: Some(Range { min: Some(0.0), max: Some(120.0) }),
            ..Input::number("age")
        },
        Input { datatype: Datatype::Bool, missing: MissingPolicy::Constant(0.0), ..Input::number("member") },
    ];
    let names: Vec<String> = inputs.iter().map(|input| input.name.clone()).collect();
    let model = LinearModel::new(4, vec![0.1, -0.7, 0.01, 0.3], vec![-0.2]).expect("counts fit");
    let estimator = Estimator::of(Model::Linear(model), Link::new(LinkFunction::Logistic { scale: 1.0 }));
    let mut builder = logistic("typed", "v1", 0.0);
    let rows = vec![vec![0.5, 1.0, 30.0, 1.0], vec![-1.0, 2.0, 0.0, 0.0]];
    let scores = rows.iter().map(|row| naive::scores(&estimator, &names, row).expect("no transforms"));
    builder.golden.scores = scores.collect();
    builder.golden.rows = rows;
    builder.signature = Signature::new(inputs).expect("valid");
    builder.estimator = estimator;
    builder.build().expect("proves")
}

/// What serving answers for a row.
pub(crate) fn served(model: &PinnedModel, row: &[(&str, Value<'_>)]) -> Result<Vec<f64>, String> {
    let pipeline = model.pipeline();
    let mut checked = serve_core::CheckedRow::new();
    pipeline.signature().read_named(row, &mut checked).map_err(|error| error.to_string())?;
    let prediction = pipeline.predict_checked(&checked).map_err(|error| error.to_string())?;
    Ok(prediction.scores().to_vec())
}

pub(crate) fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)))
        .expect("columns of one length")
}

/// A Parquet file with row groups of so many rows.
pub(crate) fn parquet(path: &Path, batch: &RecordBatch, group: usize) {
    std::fs::create_dir_all(path.parent().expect("in a folder")).expect("a folder");
    let file = std::fs::File::create(path).expect("creates");
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(group)).build();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).expect("begins");
    writer.write(batch).expect("writes");
    writer.close().expect("ends");
}

pub(crate) fn read_parquet(path: &Path) -> RecordBatch {
    let file = std::fs::File::open(path).expect("opens");
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).expect("is Parquet");
    let schema = Arc::clone(builder.schema());
    let batches: Vec<RecordBatch> =
        builder.build().expect("begins").map(|batch| batch.expect("reads")).collect();
    arrow_select::concat::concat_batches(&schema, &batches).expect("one schema")
}

/// The bits of a column of numbers.
pub(crate) fn bits(batch: &RecordBatch, name: &str) -> Vec<u64> {
    use arrow_array::cast::AsArray;
    use arrow_array::types::Float64Type;
    let column = batch.column_by_name(name).expect(name);
    column.as_primitive::<Float64Type>().values().iter().map(|x| x.to_bits()).collect()
}
