//! `import`: a foreign model file becomes a version that carries its own proof.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serve_app::{Exit, ExitReason};
use serve_core::signature::Signature;
use serve_core::{
    BundleBuilder, CheckedRow, DecisionPolicy, Golden, Input, Metrics, Range, SourceInfo, Target,
};
use serve_formats::{Format, ImportedModel, MlflowModel, read_golden, sample_golden};

use crate::args::Import;
use crate::config::CtlConfig;
use crate::{print, registry, train};

/// Golden rows that are made where none are given.
const SAMPLED_ROWS: usize = 200;

pub(crate) fn run(config: &CtlConfig, args: Import) -> Result<(), Exit> {
    let File { path, bytes, imported } = open(&args.file, args.format)?;
    let imported = named(imported, &args)?;
    imported.notes.iter().for_each(|note| eprintln!("note: {note}"));
    let signature = ranged(imported.signature().map_err(data)?, args.ranges.as_deref())?;
    let golden = match &args.golden {
        Some(path) => read_golden(&self::bytes(path)?, &imported).map_err(data)?,
        None => own_golden(&imported, &signature)
            .unwrap_or_else(|| sample_golden(&imported, &signature, SAMPLED_ROWS)),
    };
    let storage = config.new_storage()?;
    let version = train::version(&*storage, &args.name, args.version.clone())?;
    let told = format!(
        "published {}@{version}: {} features, {} golden rows by {}",
        args.name,
        signature.len(),
        golden.rows.len(),
        golden.by
    );
    let default_target = if imported.task.is_classification() { "label" } else { "value" };
    let builder = BundleBuilder {
        name: args.name.clone(),
        version: version.clone(),
        feature_set: args.feature_set.clone(),
        model_type: Some(args.model_type.clone().unwrap_or_else(|| imported.source.library.clone())),
        target: Target {
            name: args.target.clone().unwrap_or_else(|| default_target.to_owned()),
            task: imported.task.clone(),
        },
        signature,
        estimator: imported.estimator,
        decision: DecisionPolicy::Argmax,
        metrics: metrics(&args.metric)?,
        hyperparameters: imported.hyperparameters,
        training_date: None,
        created: format!("{:.0}", jiff::Timestamp::now()),
        source: SourceInfo { file: Some(source_name(&path)), ..imported.source },
        golden,
        reference: None,
        source_bytes: Some(bytes),
    };
    train::publish(&*storage, builder)?;
    print(&told)?;
    if args.promote {
        registry::promote(config, &args.name, &version, &serve_core::Alias::champion())?;
    }
    Ok(())
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
    std::fs::read(path).map_err(|error| {
        Exit::told(ExitReason::NoInput, format!("{} cannot be read: {error}", path.display()))
    })
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

/// The signature with the ranges that a person declared.
fn ranged(signature: Signature, path: Option<&Path>) -> Result<Signature, Exit> {
    let Some(path) = path else { return Ok(signature) };
    let text = String::from_utf8_lossy(&bytes(path)?).into_owned();
    let mut ranges: BTreeMap<String, Range> = serde_saphyr::from_str(&text)
        .map_err(|error| Exit::told(ExitReason::Data, format!("{}: {error}", path.display())))?;
    let inputs = signature.inputs().iter();
    let inputs =
        inputs.map(|input| Input { range: ranges.remove(&input.name).or(input.range), ..input.clone() });
    let signature = Signature::new(inputs.collect()).map_err(data)?;
    match ranges.keys().next() {
        Some(name) => Err(Exit::told(
            ExitReason::Data,
            format!("{}: the model has no feature {name:?}", path.display()),
        )),
        None => Ok(signature),
    }
}

fn metrics(given: &[String]) -> Result<Metrics, Exit> {
    let mut metrics = Metrics::default();
    for text in given {
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
