//! `import`: a foreign model file becomes a version that carries its own proof.

mod joins;
mod ranges;

use std::path::{Path, PathBuf};

use serve_app::{Exit, ExitReason};
use serve_core::reference::Reference;
use serve_core::signature::Signature;
use serve_core::{
    Alias, BundleBuilder, CheckedRow, DecisionPolicy, Golden, Metrics, Pipeline, SourceInfo, Target, Task,
};
use serve_formats::{Format, ImportedModel, MlflowModel, TrainingData, read_golden, sample_golden};

use crate::args::{Import, Why};
use crate::config::CtlConfig;
use crate::{aliases, print, signing, train, training_file};

/// Golden rows that are made where none are given.
const SAMPLED_ROWS: usize = 200;

pub(crate) fn run(config: &CtlConfig, args: Import) -> Result<(), Exit> {
    let key = signing::key(args.sign.as_deref())?;
    let File { path, bytes, imported } = open(&args.file, args.format)?;
    let imported = named(imported, &args)?;
    imported.notes.iter().for_each(|note| eprintln!("note: {note}"));
    let signature = ranges::declared(imported.signature().map_err(data)?, args.ranges.as_deref())?;
    let signature = joins::declared(signature, &args.join)?;
    let golden = golden(&args, &imported, &signature)?;
    let target = target(&args, &imported);
    let reference = training_data(&args, &imported, &signature, &target)?;
    let storage = config.new_storage()?;
    let version = train::version(&*storage, &args.name, args.version.clone())?;
    let told = format!(
        "published {}@{version}: {} features, {} golden rows by {}",
        args.name,
        signature.len(),
        golden.rows.len(),
        golden.by
    );
    let builder = BundleBuilder {
        name: args.name.clone(),
        version: version.clone(),
        feature_set: args.feature_set.clone(),
        max_age: args.max_age,
        model_type: Some(args.model_type.clone().unwrap_or_else(|| imported.source.library.clone())),
        target,
        signature,
        estimator: imported.estimator,
        decision: DecisionPolicy::Argmax,
        metrics: metrics(&args)?,
        hyperparameters: imported.hyperparameters,
        training_date: None,
        created: format!("{:.0}", jiff::Timestamp::now()),
        source: SourceInfo { file: Some(source_name(&path)), ..imported.source },
        golden,
        reference,
        source_bytes: Some(bytes),
    };
    train::publish(&*storage, builder, key.as_ref())?;
    print(&told)?;
    if args.promote {
        let registry = config.registry_of(storage)?;
        aliases::promote(&registry, &args.name, &version, &Alias::champion(), &Why::default())?;
    }
    Ok(())
}

fn target(args: &Import, imported: &ImportedModel) -> Target {
    let default = if imported.task.is_classification() { "label" } else { "value" };
    let name = args.target.clone().unwrap_or_else(|| default.to_owned());
    Target { name, task: imported.task.clone() }
}

/// The rows given, else the file's own, else sampled ones.
fn golden(args: &Import, imported: &ImportedModel, signature: &Signature) -> Result<Golden, Exit> {
    let Some(path) = &args.golden else {
        let sampled = || sample_golden(imported, signature, SAMPLED_ROWS);
        return Ok(own_golden(imported, signature).unwrap_or_else(sampled));
    };
    let named = |problem: String| Exit::told(ExitReason::Data, format!("{}: {problem}", path.display()));
    let golden = read_golden(&bytes(path)?, imported).map_err(|error| named(data(error).to_string()))?;
    let mut row = CheckedRow::new();
    for (at, values) in golden.rows.iter().enumerate() {
        signature.read_numbers(values, &mut row).map_err(|error| {
            named(format!("golden row {at} would be refused: {error}; leave it out, or declare other ranges"))
        })?;
    }
    Ok(golden)
}

/// How the rows were distributed that the model learned from, where they are given.
fn training_data(
    args: &Import,
    imported: &ImportedModel,
    signature: &Signature,
    target: &Target,
) -> Result<Option<Reference>, Exit> {
    let Some(path) = &args.training_data else { return Ok(None) };
    let named = |problem: String| Exit::told(ExitReason::Data, format!("{}: {problem}", path.display()));
    let file = training_file::open(path)?;
    let time = |text: &str| serve_features::parse_timestamp(text).ok();
    let rows = TrainingData::read(file, imported, args.time.as_deref(), time)
        .map_err(|error| named(data(error).to_string()))?;
    let pipeline =
        Pipeline::new(signature.clone(), &imported.estimator, target.clone(), DecisionPolicy::Argmax)
            .map_err(data)?;
    let outputs = match &target.task {
        Task::MultiRegression { outputs } => outputs.clone(),
        Task::Classification { classes } => classes.clone(),
        _ => vec![target.name.clone()],
    };
    let (reference, unscored) =
        rows.reference(&pipeline, &outputs).map_err(|error| named(data(error).to_string()))?;
    if unscored > 0 {
        eprintln!("note: {unscored} of {} rows of the training data got no score", rows.rows());
    }
    Ok(Some(reference))
}

/// A foreign model and the file that it came from.
struct File {
    path: PathBuf,
    bytes: Vec<u8>,
    imported: ImportedModel,
}

/// A model file that was found: itself, or in a folder which MLflow wrote.
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    pub(crate) format: Format,
    folder: Option<MlflowModel>,
}

impl Found {
    pub(crate) fn at(path: &Path, format: Format) -> Result<Self, Exit> {
        if !MlflowModel::is_at(path) {
            return Ok(Self { path: path.to_owned(), format, folder: None });
        }
        let folder = MlflowModel::open(path).map_err(data)?;
        if format != Format::Auto && format != folder.format {
            let told = format!("--format {format}: the folder's MLmodel says {}", folder.format);
            return Err(Exit::told(ExitReason::Data, told));
        }
        Ok(Self { path: folder.file.clone(), format: folder.format, folder: Some(folder) })
    }

    /// Lowers the file's bytes.
    pub(crate) fn import(&self, bytes: &[u8]) -> Result<ImportedModel, Exit> {
        let imported = serve_formats::import(bytes, self.format).map_err(data)?;
        match &self.folder {
            Some(folder) => folder.name_inputs(imported).map_err(data),
            None => Ok(imported),
        }
    }
}

/// Reads and lowers a foreign file.
fn open(path: &Path, format: Format) -> Result<File, Exit> {
    let found = Found::at(path, format)?;
    let bytes = bytes(&found.path)?;
    let imported = found.import(&bytes)?;
    Ok(File { path: found.path, bytes, imported })
}

/// The rows that the training library answered in the file itself, but for those that a declared range refuses.
fn own_golden(imported: &ImportedModel, signature: &Signature) -> Option<Golden> {
    let mut golden = imported.golden.clone()?;
    let (mut row, mut admitted) = (CheckedRow::new(), Vec::new());
    for values in &golden.rows {
        admitted.push(signature.read_numbers(values, &mut row).is_ok());
    }
    let mut keep = admitted.iter();
    golden.rows.retain(|_| keep.next() == Some(&true));
    let mut keep = admitted.iter();
    golden.scores.retain(|_| keep.next() == Some(&true));
    (!golden.rows.is_empty()).then_some(golden)
}

pub(crate) fn data(error: impl std::error::Error) -> Exit {
    Exit::because(ExitReason::Data, error)
}

pub(crate) fn bytes(path: &Path) -> Result<Vec<u8>, Exit> {
    std::fs::read(path).map_err(|error| no_input(path, &error))
}

fn no_input(path: &Path, error: &std::io::Error) -> Exit {
    Exit::told(ExitReason::NoInput, format!("{} cannot be read: {error}", path.display()))
}

/// The model under the names that a person gave.
fn named(mut imported: ImportedModel, args: &Import) -> Result<ImportedModel, Exit> {
    if let Some(names) = &args.feature_names {
        let names = match std::fs::read_to_string(names) {
            Ok(text) => {
                text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
            }
            Err(_) => names.split(',').map(|name| name.trim().to_owned()).collect(),
        };
        imported = imported.with_feature_names(names).map_err(data)?;
    }
    match &args.classes {
        Some(classes) => imported.with_classes(classes.clone()).map_err(data),
        None => Ok(imported),
    }
}

fn metrics(args: &Import) -> Result<Metrics, Exit> {
    let mut metrics = Metrics {
        direction: args.metric_direction,
        min_rows: args.metric_min_rows,
        holdout_rows: args.metric_rows,
        ..Metrics::default()
    };
    for text in &args.metric {
        let pair = text.split_once('=').and_then(|(name, value)| Some((name, value.parse::<f64>().ok()?)));
        let Some((name, value)) = pair.filter(|(name, value)| !name.is_empty() && value.is_finite()) else {
            return Err(Exit::told(ExitReason::Data, format!("--metric {text:?}: expected NAME=NUMBER")));
        };
        metrics.primary.get_or_insert_with(|| name.to_owned());
        metrics.holdout.insert(name.to_owned(), value);
    }
    Ok(metrics)
}

/// The file's own name, of characters that a bundle can have.
fn source_name(path: &Path) -> String {
    let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '_' };
    let name: String = name.chars().map(safe).collect();
    format!("{}{name}", if name.is_empty() || name.starts_with('.') { "model" } else { "" })
}
