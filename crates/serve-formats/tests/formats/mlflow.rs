//! Folders that MLflow wrote (`tests/golden/mlflow`), and ones that would lead elsewhere.

use std::fs;
use std::path::{Path, PathBuf};

use serve_core::Tolerance;
use serve_formats::{Format, MlflowModel, import, read_golden};

use crate::cases::{chain, pipeline};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/mlflow").join(name)
}

/// Why a folder with this description, and a model file `model.lgb`, is refused.
fn refused(description: &str) -> String {
    let root = tempfile::tempdir().unwrap();
    let inside = root.path().join("model");
    fs::create_dir(&inside).unwrap();
    fs::write(inside.join("MLmodel"), description).unwrap();
    fs::write(inside.join("model.lgb"), "tree\n").unwrap();
    fs::write(root.path().join("other.lgb"), "tree\n").unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink("../other.lgb", inside.join("link.lgb")).unwrap();
    chain(&MlflowModel::open(&inside).expect_err("refused"))
}

#[test]
fn folders_answer_as_their_libraries_do_under_the_signature_s_names() {
    for (name, format) in
        [("lightgbm", Format::LightGbm), ("xgboost-json", Format::XgBoost), ("xgboost-ubj", Format::XgBoost)]
    {
        let found =
            MlflowModel::open(&folder(name)).unwrap_or_else(|error| panic!("{name}: {}", chain(&error)));
        assert_eq!(found.format, format);
        let model = import(&fs::read(&found.file).unwrap(), found.format).unwrap();
        let model = found.name_inputs(model).unwrap();
        assert_eq!(model.feature_names(), ["age", "income", "floor"], "{name}");
        let golden = read_golden(&fs::read(folder(name).join("golden.csv")).unwrap(), &model).unwrap();
        assert!(golden.rows.len() >= 10 && golden.tolerance != Tolerance { absolute: 1.0, relative: 0.0 });
        golden.prove(&pipeline(&model)).unwrap_or_else(|error| panic!("{name}: {}", chain(&error)));
    }
}

#[test]
fn a_folder_may_be_given_by_its_description() {
    let path = folder("lightgbm").join("MLmodel");
    assert!(MlflowModel::is_at(&path) && MlflowModel::is_at(&folder("lightgbm")));
    assert!(!MlflowModel::is_at(&folder("lightgbm").join("model.lgb")));
    assert_eq!(MlflowModel::open(&path).unwrap(), MlflowModel::open(&folder("lightgbm")).unwrap());
}

#[test]
fn onnx_folders_name_their_file_and_a_signature_without_names_has_none() {
    let found = MlflowModel::open(&folder("onnx")).unwrap();
    assert_eq!((found.format, found.inputs.len()), (Format::Onnx, 0));
    assert!(found.file.ends_with("onnx/model.onnx"), "{}", found.file.display());
}

#[test]
fn what_holds_a_pickle_is_refused_with_what_to_do() {
    let error = MlflowModel::open(&folder("sklearn")).unwrap_err().to_string();
    assert!(error.contains("flavours \"python_function\", \"sklearn\" are not read"), "{error}");
    assert!(error.contains("tools/export_sklearn.py"), "{error}");
    let wrapper =
        "flavors:\n  lightgbm:\n    data: model.pkl\n    model_class: lightgbm.sklearn.LGBMClassifier\n";
    let error = refused(wrapper);
    assert!(
        error.contains("pickled \"lightgbm.sklearn.LGBMClassifier\"") && error.contains("booster_"),
        "{error}"
    );
}

#[test]
fn the_model_file_stays_inside_the_folder() {
    let data = |path: &str| refused(&format!("flavors:\n  lightgbm:\n    data: {path}\n"));
    for path in ["../other.lgb", "/etc/passwd", "a/../../other.lgb", "link.lgb", "'.'", "''"] {
        let error = data(path);
        assert!(
            error.starts_with("MLmodel, flavors.lightgbm.data: expected a path inside the folder"),
            "{path}: {error}"
        );
    }
    assert!(data("nothing.lgb").contains("nothing.lgb cannot be read"));
}

#[test]
fn descriptions_that_are_none_are_refused() {
    assert!(refused("flavors: [1, 2]\n").starts_with("MLmodel does not read as MLflow's"));
    assert!(refused("\u{0}").starts_with("MLmodel does not read as MLflow's"));
    assert!(refused("{}\n").contains("the flavours  are not read"));
    assert_eq!(
        refused("flavors:\n  xgboost:\n    code: null\n"),
        "MLmodel, flavors.xgboost: data is missing"
    );
    assert!(refused(&"a".repeat(2 << 20)).contains("at most 1048576 bytes"));
    let bomb = format!("{}flavors: *x\n", "a: &x [*x, *x]\n".repeat(3));
    assert!(refused(&bomb).starts_with("MLmodel does not read as MLflow's"));
    let error = refused("flavors:\n  lightgbm:\n    data: model.lgb\nsignature:\n  inputs: '[1]'\n");
    assert!(error.contains("signature.inputs"), "{error}");
    let empty = tempfile::tempdir().unwrap();
    assert!(chain(&MlflowModel::open(empty.path()).unwrap_err()).contains("MLmodel cannot be read"));
}
