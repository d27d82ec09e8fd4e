//! What holds for every format: depth, names, vocabularies, on models written by hand and on golden ones.

use serve_core::Task;
use serve_core::pipeline::Estimator;
use serve_core::signature::Datatype;

use crate::cases::{coded, model, pipeline};
use crate::handwritten::{answer, lightgbm, read, refusal, xgboost, xgboost_split};

/// One split below the other, 20,000 times: no step may call itself.
#[test]
fn trees_of_any_depth_are_read_and_walked() {
    const SPLITS: usize = 20_000;
    let list = |f: &dyn Fn(usize) -> String, n: usize| (0..n).map(f).collect::<Vec<_>>().join(" ");
    let tree = format!(
        "num_leaves={}\nsplit_feature={}\nthreshold={}\ndecision_type={}\nleft_child={}\nright_child={}\nleaf_value={}",
        SPLITS + 1,
        list(&|_| "0".into(), SPLITS),
        list(&|split| format!("-{split}"), SPLITS),
        list(&|_| "8".into(), SPLITS),
        list(
            &|split| if split + 1 < SPLITS { (split + 1).to_string() } else { format!("-{}", SPLITS + 1) },
            SPLITS
        ),
        list(&|split| format!("-{}", split + 1), SPLITS),
        list(&|leaf| leaf.to_string(), SPLITS + 1),
    );
    let model = read(&lightgbm(&tree));
    assert_eq!(
        (answer(&model, 1.0), answer(&model, -10.5), answer(&model, -1e9)),
        (0.0, 11.0, SPLITS as f64)
    );
    assert_eq!(model.summary().depth, SPLITS);

    let nodes = 2 * SPLITS + 1;
    let json = |f: &dyn Fn(usize) -> String| (0..nodes).map(f).collect::<Vec<_>>().join(",");
    let child = |plus: usize| {
        move |n: usize| {
            if n.is_multiple_of(2) && n + 1 < nodes { (n + plus).to_string() } else { "-1".into() }
        }
    };
    let arrays = format!(
        r#""left_children":[{}],"right_children":[{}],"split_indices":[{}],"split_conditions":[{}],"default_left":[{}]"#,
        json(&child(2)),
        json(&child(1)),
        json(&|_| "0".into()),
        json(&|node| if node % 2 == 0 && node + 1 < nodes { format!("-{node}") } else { node.to_string() }),
        json(&|_| "0".into()),
    );
    let model = read(&xgboost(nodes, 0, &arrays));
    assert_eq!(
        (answer(&model, 1.0), answer(&model, -5.0), answer(&model, -1e9)),
        (1.0, 7.0, nodes as f64 - 1.0)
    );
    assert_eq!(model.summary().depth, SPLITS);
}

#[test]
fn texts_of_pandas_categories_become_the_vocabulary() {
    let lightgbm = model("lightgbm", "binary-pandas");
    let words: Vec<String> = ["a \"q\"", "blue", "green", "red", "日本"].map(str::to_owned).into();
    assert_eq!(lightgbm.features[1].vocabulary, Some(words));
    assert_eq!(lightgbm.features[2].vocabulary, None);
    assert_eq!(
        lightgbm.summary().notes,
        [
            "the categories of feature \"shop\" are the numbers -30, -20, -10, 0, 10, …; another one counts as missing"
        ]
    );
    assert_eq!(lightgbm.features[1].unknown, Some(-1.0), "LightGBM answers for texts that it never saw");
    let numbers = lightgbm.features[2].numbers.clone().unwrap();
    assert_eq!((numbers.len(), &numbers[..3]), (40, &[-30.0, -20.0, -10.0][..]));
    let signature = lightgbm.signature().unwrap();
    let types: Vec<Datatype> = signature.inputs().iter().map(|input| input.datatype).collect();
    assert_eq!(types, [Datatype::Fp64, Datatype::Bytes, Datatype::Fp64, Datatype::Fp64]);
    assert_eq!(lightgbm.summary().categorical_features, ["colour", "shop"]);
    // A shop by its number is answered as its code is where codes are asked for.
    let renamed =
        lightgbm.clone().with_feature_names(["a", "b", "c", "d"].map(str::to_owned).into()).unwrap();
    let (numbers, codes) = (pipeline(&renamed), pipeline(&coded(lightgbm)));
    for code in 0..40 {
        let row = |shop| [0.5, 1.0, shop, 0.25];
        let number = -30.0 + 10.0 * f64::from(code);
        assert_eq!(numbers.predict(&row(number)), codes.predict(&row(f64::from(code))));
        assert_eq!(numbers.predict(&row(number + 0.5)), codes.predict(&row(f64::NAN)));
    }
}

#[test]
fn features_without_names_get_those_of_the_library() {
    let names = model("xgboost", "binary-no-names").feature_names();
    assert_eq!((names[0].as_str(), names[29].as_str()), ("f0", "f29"));
    let huge = xgboost_split("0.5").replace(r#""num_feature":"2""#, r#""num_feature":"4000000000""#);
    assert!(refusal(&huge).contains("num_feature: expected 1 to 1048576 features"));
}

#[test]
fn features_and_classes_can_be_named_by_a_person() {
    let model = model("lightgbm", "multiclass-iris");
    let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let named = model.clone().with_classes(names(&["setosa", "versicolor", "virginica"])).unwrap();
    assert_eq!(named.task, Task::Classification { classes: names(&["setosa", "versicolor", "virginica"]) });
    let error = |list: &[&str]| model.clone().with_classes(names(list)).expect_err("refused").to_string();
    assert_eq!(error(&["a", "b"]), "the model has 3 classes, got 2 names");
    assert_eq!(error(&["a", "b", "a"]), "\"a\" cannot name one of the model's classes: it is given twice");
    let named = model.clone().with_feature_names(names(&["a", "b", "c", "d"])).unwrap();
    assert_eq!(named.signature().unwrap().names().collect::<Vec<_>>(), ["a", "b", "c", "d"]);
    let error = model.with_feature_names(names(&["a", "", "c", "d"])).expect_err("refused").to_string();
    assert_eq!(error, "\"\" cannot name one of the model's features: it is empty");
    let regression = crate::cases::model("xgboost", "regression");
    let error = regression.with_classes(names(&["a"])).expect_err("refused").to_string();
    assert_eq!(error, "the model is a regression and has no classes to name");
}

#[test]
fn names_that_a_signature_cannot_have_are_refused_at_import() {
    let twice = lightgbm("num_leaves=1\nleaf_value=1").replace("feature_names=a b", "feature_names=a a");
    assert!(refusal(&twice).contains("feature_names: expected distinct names, got \"a\", given twice"));
    let empty = xgboost_split("0.5").replace(r#"{"learner":{"#, r#"{"learner":{"feature_names":["a",""],"#);
    assert!(refusal(&empty).contains("feature_names: expected distinct names, got \"\", empty"));
}

#[test]
fn estimators_are_bare_models() {
    let Estimator { transforms, scaler, .. } = model("xgboost", "binary").estimator;
    assert!(transforms.is_empty() && scaler.is_none());
}
