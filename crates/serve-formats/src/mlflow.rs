//! Folders that MLflow writes: which model file an `MLmodel` names, of which format, and the names of its inputs.
//!
//! Only flavours that are a library's own file are read. The file stays inside the folder: no absolute path, no `..`, and
//! no link that leads out. Source: MLflow's "MLflow Models" format, checked against mlflow-skinny 3.5.1.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;
use thiserror::Error;

use crate::error::shown;
use crate::format::Format;
use crate::imported::{ImportedModel, InvalidOverride};

/// The name of MLflow's description of a folder.
const DESCRIPTION: &str = "MLmodel";
/// Bytes that a description may have; real ones have a few thousand.
const MAX_DESCRIPTION: u64 = 1 << 20;
/// The flavours that are read, the first one found counts.
const FLAVOURS: [(&str, Format); 3] =
    [("lightgbm", Format::LightGbm), ("xgboost", Format::XgBoost), ("onnx", Format::Onnx)];

/// A folder's model.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MlflowModel {
    /// The model file, inside the folder.
    pub file: PathBuf,
    /// What the flavour says that it is.
    pub format: Format,
    /// The inputs' names by the folder's signature; none where it has no signature, or one without names.
    pub inputs: Vec<String>,
}

/// Why a folder is not read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MlflowError {
    /// A file cannot be read.
    #[error("{path} cannot be read")]
    Read {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The description is larger than any real one.
    #[error("{DESCRIPTION}: expected at most {MAX_DESCRIPTION} bytes, got more")]
    TooLarge,
    /// The description is not what MLflow writes.
    #[error("{DESCRIPTION} does not read as MLflow's: {problem}")]
    Description {
        /// Why.
        problem: String,
    },
    /// No flavour that is read.
    #[error(
        "{DESCRIPTION}: the flavours {found} are not read, because loading them would execute code; read are lightgbm, \
         xgboost and onnx; export a scikit-learn pipeline with tools/export_sklearn.py"
    )]
    Flavour {
        /// The flavours that it has.
        found: String,
    },
    /// A flavour whose file is a pickle.
    #[error(
        "{DESCRIPTION}, flavors.{flavour}.data: {file} is a pickled {class}, and never read, because loading it would \
         execute code; save the booster itself (`model.booster_`, `model.get_booster()`)"
    )]
    Pickled {
        /// The flavour.
        flavour: &'static str,
        /// The file's name.
        file: String,
        /// What was pickled.
        class: String,
    },
    /// The model file is not named.
    #[error("{DESCRIPTION}, flavors.{flavour}: data is missing")]
    NoData {
        /// The flavour.
        flavour: &'static str,
    },
    /// The model file lies elsewhere.
    #[error("{DESCRIPTION}, flavors.{flavour}.data: expected a path inside the folder, got {got}")]
    Outside {
        /// The flavour.
        flavour: &'static str,
        /// The path.
        got: String,
    },
}

#[derive(Deserialize)]
struct Description {
    #[serde(default)]
    flavors: BTreeMap<String, Option<Flavour>>,
    #[serde(default)]
    signature: Option<SignatureFile>,
}

#[derive(Deserialize)]
struct Flavour {
    data: Option<String>,
    model_class: Option<String>,
}

#[derive(Deserialize)]
struct SignatureFile {
    /// JSON in a text.
    inputs: Option<String>,
}

#[derive(Deserialize)]
struct InputFile {
    name: Option<String>,
}

impl MlflowModel {
    /// Whether this path is a folder of MLflow's, or its description.
    #[must_use]
    pub fn is_at(path: &Path) -> bool {
        path.is_dir() || path.file_name().is_some_and(|name| name == DESCRIPTION)
    }

    /// Finds the model of a folder, given by its path or by its description's.
    ///
    /// # Errors
    /// When there is no description, it is not MLflow's, has no flavour that is read, or leads out of the folder.
    pub fn open(path: &Path) -> Result<Self, MlflowError> {
        let folder = if path.is_dir() { path } else { path.parent().unwrap_or(path) };
        let (flavour, named) = Self::named(&read_description(folder)?)?;
        Ok(Self { file: confined(folder, &named.file, flavour)?, ..named })
    }

    /// What a description says by itself; the file's path is as it stands there, and may lead anywhere.
    ///
    /// # Errors
    /// As [`open`](Self::open), but for what only the folder can tell.
    pub fn describe(description: &[u8]) -> Result<Self, MlflowError> {
        Ok(Self::named(description)?.1)
    }

    fn named(description: &[u8]) -> Result<(&'static str, Self), MlflowError> {
        let description = parse(description)?;
        let present = |(flavour, format): &(&'static str, Format)| {
            description.flavors.get(*flavour)?.as_ref().map(|found| (*flavour, *format, found))
        };
        let Some((flavour, format, found)) = FLAVOURS.iter().find_map(present) else {
            let found: Vec<String> = description.flavors.keys().map(|name| shown(name)).take(20).collect();
            return Err(MlflowError::Flavour { found: found.join(", ") });
        };
        let data = found.data.as_deref().ok_or(MlflowError::NoData { flavour })?;
        let pickled = |extension: &std::ffi::OsStr| {
            ["pkl", "pickle", "joblib"].iter().any(|pickle| extension.eq_ignore_ascii_case(pickle))
        };
        if Path::new(data).extension().is_some_and(pickled) {
            let class = found.model_class.as_deref().map_or_else(|| "object".to_owned(), shown);
            return Err(MlflowError::Pickled { flavour, file: shown(data), class });
        }
        Ok((flavour, Self { file: data.into(), format, inputs: inputs(&description)? }))
    }

    /// The model under the signature's names, where its file has none of its own: LightGBM then calls features `Column_0`,
    /// XGBoost `f0`.
    ///
    /// # Errors
    /// When the signature has another number of inputs than the model, or a name is empty or stands twice.
    pub fn name_inputs(&self, model: ImportedModel) -> Result<ImportedModel, InvalidOverride> {
        let numbered = |prefix: &str| {
            let mut features = model.features.iter().enumerate();
            features.all(|(number, feature)| {
                feature.name.strip_prefix(prefix) == Some(number.to_string().as_str())
            })
        };
        if self.inputs.is_empty() || !(numbered("Column_") || numbered("f") || numbered("x")) {
            return Ok(model);
        }
        model.with_feature_names(self.inputs.clone())
    }
}

fn read_description(folder: &Path) -> Result<Vec<u8>, MlflowError> {
    let path = folder.join(DESCRIPTION);
    let failed = |source| MlflowError::Read { path: path.display().to_string(), source };
    let mut bytes = Vec::new();
    let file = File::open(&path).map_err(failed)?;
    file.take(MAX_DESCRIPTION + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_DESCRIPTION { Err(MlflowError::TooLarge) } else { Ok(bytes) }
}

fn parse(bytes: &[u8]) -> Result<Description, MlflowError> {
    let problem = |problem: String| MlflowError::Description { problem };
    let text = std::str::from_utf8(bytes).map_err(|error| problem(error.to_string()))?;
    serde_saphyr::from_str(text).map_err(|error| problem(error.to_string()))
}

fn inputs(description: &Description) -> Result<Vec<String>, MlflowError> {
    let Some(json) = description.signature.as_ref().and_then(|signature| signature.inputs.as_deref()) else {
        return Ok(Vec::new());
    };
    let inputs: Vec<InputFile> = serde_json::from_str(json)
        .map_err(|error| MlflowError::Description { problem: format!("signature.inputs: {error}") })?;
    Ok(inputs.into_iter().map(|input| input.name).collect::<Option<_>>().unwrap_or_default())
}

/// The path of a file that lies in the folder, also after its links are followed.
fn confined(folder: &Path, data: &Path, flavour: &'static str) -> Result<PathBuf, MlflowError> {
    let outside = || MlflowError::Outside { flavour, got: shown(&data.to_string_lossy()) };
    let plain = data.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if !plain || data.as_os_str().is_empty() {
        return Err(outside());
    }
    let path = folder.join(data);
    let failed = |source| MlflowError::Read { path: path.display().to_string(), source };
    let (root, real) = (fs::canonicalize(folder).map_err(failed)?, fs::canonicalize(&path).map_err(failed)?);
    if real.starts_with(&root) && real.is_file() { Ok(real) } else { Err(outside()) }
}
