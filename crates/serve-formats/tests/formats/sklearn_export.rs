//! Pipelines that `tools/export_sklearn.py` wrote: our answers are scikit-learn's, alone, in a batch and by the naive
//! evaluator. Run with `--nocapture` for what was reached, and with `SERVE_SKLEARN_EXPORTS=FOLDER` for more files.

use std::path::{Path, PathBuf};
use std::{env, fs};

use serve_core::ensemble::Model;
use serve_core::{Tolerance, naive};
use serve_formats::{FileKind, Format, ImportedModel, import};

use crate::cases::{chain, pipeline};

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "no cases in {}", folder.display());
    files
}

fn golden_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/sklearn-export")
}

fn read(name: &str) -> ImportedModel {
    import(&fs::read(golden_folder().join(name)).unwrap(), Format::Sklearn).unwrap()
}

/// Why a case fails, or a line about it.
fn check(file: &Path) -> Result<String, String> {
    let name = file.file_stem().unwrap().to_string_lossy().into_owned();
    let bytes = fs::read(file).unwrap();
    assert_eq!(FileKind::of(&bytes), FileKind::SklearnExport);
    let model = import(&bytes, Format::Auto).map_err(|error| format!("{name}: {}", chain(&error)))?;
    let mut golden = model.golden.clone().expect("an exported pipeline has golden rows");
    golden.tolerance = match name.strip_prefix("exact-") {
        Some(_) => Tolerance { absolute: 0.0, relative: 0.0 },
        None => Tolerance { absolute: 0.0, relative: 1e-12 },
    };
    let names = model.feature_names();
    let (mut worst, mut equal) = (0.0_f64, 0);
    for (number, (row, expected)) in golden.rows.iter().zip(&golden.scores).enumerate() {
        let got = naive::scores(&model.estimator, &names, row).unwrap();
        for (got, expected) in got.iter().zip(expected) {
            // What cancels in 1 - p has the accuracy of 1.
            let close = golden.tolerance.allows(*expected, *got)
                || (!name.starts_with("exact-") && (got - expected).abs() <= 1e-15);
            if !close {
                return Err(format!("{name}, row {number} {row:?}: expected {expected}, got {got}"));
            }
            worst = worst.max((got - expected).abs());
        }
        equal += usize::from(got.iter().zip(expected).all(|(a, b)| a.to_bits() == b.to_bits()));
    }
    if !name.starts_with("exact-") {
        golden.tolerance = model.tolerance;
    }
    golden.prove(&pipeline(&model)).map_err(|error| format!("{name}: {}", chain(&error)))?;
    let kind = match &model.estimator.model {
        Model::Graph(graph) => format!("graph of {}", graph.nodes().len()),
        Model::Trees(_) => "trees".to_owned(),
        Model::Linear(_) => "linear".to_owned(),
        other => format!("{other:?}"),
    };
    Ok(format!(
        "{name:<36} {:>3} rows, {equal:>3} bit-equal, max |diff| {worst:.1e}, {kind}",
        golden.rows.len()
    ))
}

fn check_folder(folder: &Path) {
    let (told, failed): (Vec<_>, Vec<_>) =
        files(folder).iter().map(|file| check(file)).partition(Result::is_ok);
    told.into_iter().flatten().for_each(|line| println!("{line}"));
    let failed: Vec<String> = failed.into_iter().filter_map(Result::err).collect();
    assert!(failed.is_empty(), "{} differ:\n{}", failed.len(), failed.join("\n"));
}

#[test]
fn exported_pipelines_answer_as_scikit_learn_does() {
    check_folder(&golden_folder());
}

#[test]
fn more_exported_pipelines_answer_as_scikit_learn_does() {
    if let Some(folder) = env::var_os("SERVE_SKLEARN_EXPORTS") {
        check_folder(Path::new(&folder));
    }
}

#[test]
fn plain_models_become_the_engine_s_own() {
    for name in ["exact-forest-binary", "histogram-multiclass", "exact-boosting-huber", "histogram-poisson"] {
        assert!(matches!(read(&format!("{name}.json")).estimator.model, Model::Trees(_)), "{name}");
    }
    for name in ["logistic-multiclass", "ridge-regression", "prepare-standard", "gamma-regression"] {
        assert!(matches!(read(&format!("{name}.json")).estimator.model, Model::Linear(_)), "{name}");
    }
    assert!(read("prepare-robust.json").estimator.scaler.is_some());
}

#[test]
fn trees_know_how_much_data_reached_their_nodes() {
    let Model::Trees(trees) = read("exact-tree-binary.json").estimator.model else { panic!("no trees") };
    assert!(trees.has_cover() && trees.has_gain());
    let tree = trees.trees().next().unwrap();
    assert_eq!(tree.statistics.cover[0], 160.0);
    assert!(tree.statistics.gain[0] > 0.0);
}

#[test]
fn texts_missing_values_and_unknown_texts_follow_the_pipeline() {
    let model = read("columns-one-hot-ignore.json");
    let feature = |name: &str| model.features.iter().find(|feature| feature.name == name).unwrap();
    let colour = feature("colour");
    assert_eq!(colour.vocabulary.as_deref().unwrap().len(), 4);
    assert_eq!((colour.unknown, colour.required), (Some(-1.0), false));
    assert!(!feature("age").required && feature("income").vocabulary.is_none());
    let strict = read("columns-one-hot.json");
    let colour = strict.features.iter().find(|feature| feature.name == "colour").unwrap();
    assert_eq!((colour.unknown, colour.required), (None, true));
}

#[test]
fn a_category_that_scikit_learn_refuses_gets_no_answer() {
    let model = read("columns-numbers-as-categories.json");
    let pipeline = pipeline(&model);
    assert!(pipeline.predict(&[1.0, 0.5, 0.0]).is_ok());
    let error = pipeline.predict(&[1.5, 0.5, 0.0]).unwrap_err().to_string();
    assert!(error.starts_with("non-finite output"), "{error}");
}
