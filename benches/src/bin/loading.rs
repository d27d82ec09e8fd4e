//! How long a model takes from a foreign file to a bundle, and from a bundle to a pipeline, and what that time goes to:
//!
//! ```text
//! loading MODEL…          one line of JSON per model, milliseconds, medians with warm file caches
//! ```
//!
//! `import` is a foreign file's bytes to a model in memory. `load` is a bundle's folder to a pipeline that predicts, as a
//! registry does it before the golden rows are answered; `read`, `verify`, `decode` and `compile` are its parts, taken one by
//! one, and `prove` is the golden rows read and answered once.
#![allow(clippy::print_stdout, reason = "its lines are its result")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use serde::Serialize;
use serve_benches::subject;
use serve_benches::timing::median;
use serve_core::bundle::MODEL_FILE;
use serve_core::{
    Bundle, BundleBuilder, BundleError, DecisionPolicy, EngineLoader, Estimator, Metrics, Model, ModelLoader,
    ModelName, ModelVersion, Pipeline, SourceInfo, Target, Task, envelope,
};
use serve_formats::{ImportedModel, import, sample_golden};
use serve_registry::{Directory, Storage};

type Failure = Box<dyn Error>;

const TIMES: usize = 21;
const GOLDEN_ROWS: usize = 200;

#[derive(Serialize)]
struct Line {
    model: String,
    file_bytes: usize,
    bundle_bytes: u64,
    import: f64,
    load: f64,
    read: f64,
    verify: f64,
    decode: f64,
    compile: f64,
    prove: f64,
}

fn main() -> ExitCode {
    let files: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    if files.is_empty() {
        eprintln!("usage: loading MODEL…");
        return ExitCode::from(2);
    }
    for file in &files {
        match measure(file).and_then(|line| Ok(serde_json::to_string(&line)?)) {
            Ok(line) => println!("{line}"),
            Err(error) => {
                eprintln!("loading: {}: {error}", file.display());
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

fn measure(file: &Path) -> Result<Line, Failure> {
    let bytes = std::fs::read(file)?;
    let format = subject::format_of(file);
    let import_ms = milliseconds(|| Ok(import(&bytes, format)?))?;
    let folder = tempfile::tempdir()?;
    let directory = Directory::create(folder.path())?;
    let (name, version): (ModelName, ModelVersion) = ("bench".parse()?, "v1".parse()?);
    directory.publish(&bundle(import(&bytes, format)?, &name, &version, bytes.clone())?, "loading")?;

    let bundle = directory.bundle(&name, &version)?;
    let pipeline = EngineLoader.load(&bundle)?;
    let version_folder = folder.path().join(name.as_str()).join(version.as_str());
    let estimator = decode(&bundle)?;
    let manifest = bundle.manifest();
    Ok(Line {
        model: file.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
        file_bytes: bytes.len(),
        bundle_bytes: bundle.len_bytes(),
        import: import_ms,
        load: milliseconds(|| Ok(EngineLoader.load(&directory.bundle(&name, &version)?)?))?,
        read: milliseconds(|| read(&version_folder, &bundle))?,
        verify: milliseconds(|| verify(&bundle))?,
        decode: milliseconds(|| decode(&bundle))?,
        compile: milliseconds(|| {
            let (signature, target) = (manifest.signature.clone(), manifest.target.clone());
            Ok(Pipeline::new(signature, &estimator, target, manifest.decision.clone())?)
        })?,
        prove: milliseconds(|| Ok(bundle.golden()?.prove(&pipeline)?))?,
    })
}

/// The median of several runs; what a run makes is dropped outside its time.
fn milliseconds<T>(mut run: impl FnMut() -> Result<T, Failure>) -> Result<f64, Failure> {
    let mut once = || {
        let start = Instant::now();
        let made = run()?;
        let taken = start.elapsed().as_secs_f64() * 1e3;
        drop(made);
        Ok(taken)
    };
    let times = (0..TIMES).map(|_| once()).collect::<Result<Vec<_>, Failure>>()?;
    Ok((median(times) * 1e3).round() / 1e3)
}

fn bundle(
    imported: ImportedModel,
    name: &ModelName,
    version: &ModelVersion,
    bytes: Vec<u8>,
) -> Result<Bundle, Failure> {
    let signature = imported.signature()?;
    let golden = sample_golden(&imported, &signature, GOLDEN_ROWS);
    let target = if imported.task == Task::Regression { "value" } else { "label" };
    Ok(BundleBuilder {
        name: name.clone(),
        version: version.clone(),
        feature_set: None,
        max_age: None,
        model_type: None,
        target: Target { name: target.to_owned(), task: imported.task },
        signature,
        estimator: imported.estimator,
        decision: DecisionPolicy::default(),
        metrics: Metrics::default(),
        hyperparameters: imported.hyperparameters,
        training_date: None,
        created: "2025-03-31T00:00:00Z".to_owned(),
        source: SourceInfo { file: Some("model".to_owned()), ..imported.source },
        golden,
        reference: None,
        source_bytes: Some(bytes),
    }
    .build()?)
}

fn read(folder: &Path, bundle: &Bundle) -> Result<Vec<Vec<u8>>, Failure> {
    bundle.files().map(|(name, _)| Ok(std::fs::read(folder.join(name))?)).collect()
}

/// The manifest parsed and every file held against its digest, with a copy of the bytes in memory.
fn verify(bundle: &Bundle) -> Result<Bundle, Failure> {
    let open = Bundle::open(bundle.manifest_bytes().to_vec(), |name, _| {
        Ok::<_, BundleError>(bundle.file(name)?.to_vec())
    });
    Ok(open?)
}

fn decode(bundle: &Bundle) -> Result<Estimator, Failure> {
    let (model, link): (Model, _) = envelope::open(bundle.file(MODEL_FILE)?)?;
    let manifest = bundle.manifest();
    let (transforms, scaler) = (manifest.transforms.clone(), manifest.scaler.clone());
    Ok(Estimator { transforms, scaler, model, link })
}
