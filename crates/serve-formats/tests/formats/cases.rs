//! The case folders of `tests/golden`, and what is done to every model.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{fs, iter};

use serve_core::{DecisionPolicy, Pipeline, Target, Transform};
use serve_formats::{Format, ImportedModel, import};

pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) folder: PathBuf,
    pub(crate) json: serde_json::Value,
}

impl Case {
    pub(crate) fn read(&self, file: &str) -> Vec<u8> {
        fs::read(self.folder.join(file)).unwrap_or_else(|error| panic!("{}/{file}: {error}", self.name))
    }
}

/// Every case of a folder, e.g. `lightgbm`; none is a failure.
pub(crate) fn cases(folder: &str) -> Vec<Case> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(folder);
    let mut folders: Vec<PathBuf> = fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    assert!(!folders.is_empty(), "no cases in {}", root.display());
    let case = |folder: PathBuf| {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let json = fs::read(folder.join("case.json")).unwrap_or_else(|error| panic!("{name}: {error}"));
        Case { name, json: serde_json::from_slice(&json).unwrap(), folder }
    };
    folders.into_iter().map(case).collect()
}

/// The model file of one case.
pub(crate) fn model_file(library: &str, case: &str) -> Vec<u8> {
    let file = if library == "lightgbm" { "model.txt" } else { "model.json" };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden");
    fs::read(root.join(library).join(case).join(file))
        .unwrap_or_else(|error| panic!("{library}/{case}: {error}"))
}

pub(crate) fn model(library: &str, case: &str) -> ImportedModel {
    import(&model_file(library, case), Format::Auto)
        .unwrap_or_else(|error| panic!("{case}: {}", chain(&error)))
}

/// The same model for rows that hold codes where its categories are numbers, as the golden files' do.
pub(crate) fn coded(mut model: ImportedModel) -> ImportedModel {
    model.estimator.transforms.retain(|transform| !matches!(transform, Transform::Recode { .. }));
    model
}

pub(crate) fn pipeline(model: &ImportedModel) -> Pipeline {
    let target = Target { name: "target".to_owned(), task: model.task.clone() };
    let signature = model.signature().expect("an imported model has a signature");
    Pipeline::new(signature, &model.estimator, target, DecisionPolicy::default())
        .expect("an imported model fits")
}

/// An error and its causes, as a program prints them.
pub(crate) fn chain(error: &dyn Error) -> String {
    let causes = iter::successors(Some(error), |&error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
