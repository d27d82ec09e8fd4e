//! Golden rows from a CSV file and by sampling.

use std::collections::HashSet;

use serve_core::ensemble::Model;
use serve_core::signature::Range;
use serve_core::tree::{Leaf, Node, Test};
use serve_core::{
    DecisionPolicy, GoldenSource, LinearModel, MissingPolicy, Pipeline, ProofError, Signature, Target, Task,
    Tolerance, TreeEnsemble,
};
use serve_formats::{Format, ImportedModel, import, read_golden, sample_golden};

use crate::cases::{cases, chain, model, pipeline};

/// Two features, of which `colour` has the vocabulary red, 7, and the classes down and up.
fn small() -> ImportedModel {
    let text = "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nmax_feature_idx=1\nobjective=binary sigmoid:1\n\
                feature_names=size colour\nfeature_infos=[0:1] 0:1\n\nTree=0\nnum_leaves=3\nnum_cat=1\nsplit_feature=0 1\n\
                threshold=0.5 0\ndecision_type=10 9\nleft_child=1 -1\nright_child=-2 -3\nleaf_value=-1 0 2\n\
                cat_boundaries=0 1\ncat_threshold=1\n\nend of trees\n\npandas_categorical:[[\"red\",\"7\"]]\n";
    let model = import(text.as_bytes(), Format::Auto).unwrap_or_else(|error| panic!("{}", chain(&error)));
    model.with_classes(vec!["down".to_owned(), "up".to_owned()]).unwrap()
}

const HEADER: &str = "size,colour,predict,predict_proba:down,predict_proba:up";

fn error(csv: &str) -> String {
    chain(&read_golden(csv.as_bytes(), &small()).expect_err("refused"))
}

#[test]
fn columns_are_found_by_name_and_cells_read_by_type() {
    let csv = "\u{feff}predict_proba:up,colour,predict,predict_proba:down,size\n\
               0.25,red,down,0.75,0.5\n\
               0.5, 7 ,up,0.5,inf\n\
               1,1,up,0,\n\
               1,,up,0,-1e-3\n";
    let golden = read_golden(csv.as_bytes(), &small()).unwrap();
    assert_eq!(golden.scores, [[0.75, 0.25], [0.5, 0.5], [0.0, 1.0], [0.0, 1.0]]);
    assert_eq!(golden.rows[..2], [[0.5, 0.0], [f64::INFINITY, 1.0]]);
    assert!(
        golden.rows[2][0].is_nan() && golden.rows[2][1] == 1.0,
        "1 is no text of the vocabulary, so it is a code"
    );
    assert!(golden.rows[3][1].is_nan() && golden.rows[3][0] == -1e-3);
    assert_eq!((golden.source, golden.by.as_str()), (GoldenSource::Reference, "lightgbm"));
    assert_eq!(golden.tolerance, Tolerance::F64);
    let xgboost = model("xgboost", "regression");
    let names = xgboost.feature_names().join(",");
    let csv = format!("{names},predict\n{}1.5\n", "0,".repeat(10));
    let golden = read_golden(csv.as_bytes(), &xgboost).unwrap();
    assert_eq!(
        (golden.by.as_str(), golden.tolerance, golden.scores),
        ("xgboost 3.2.0", Tolerance::F32, vec![vec![1.5]])
    );
}

#[test]
fn columns_that_do_not_fit_the_model_are_refused() {
    assert_eq!(
        error("size,predict,predict_proba:down,predict_proba:up\n"),
        "the golden file has no column \"colour\""
    );
    assert_eq!(
        error("size,colour,predict_proba:down,predict_proba:up\n"),
        "the golden file has no column \"predict\""
    );
    assert_eq!(error(&format!("{HEADER},size\n")), "the golden file has the column \"size\" twice");
    assert_eq!(
        error(&format!("{HEADER},weight\n")),
        "the golden file has a column \"weight\", which is none of the model's features, predict, \
         predict:<output> or predict_proba:<label>"
    );
    for (columns, got) in [
        ("predict_proba:0,predict_proba:1", "\"0\", \"1\""),
        ("predict_proba:up", "\"up\""),
        ("predict_proba:up,predict_proba:down,predict_proba:flat", "\"up\", \"down\", \"flat\""),
    ] {
        let message = error(&format!("size,colour,predict,{columns}\n"));
        let expected = "the model has the classes \"down\", \"up\"";
        assert_eq!(message, format!("the golden file has probabilities of {got}, {expected}"));
    }
    let regression = model("lightgbm", "regression");
    let names = regression.feature_names().join(",");
    let csv = format!("{names},predict,predict_proba:1\n");
    let message = read_golden(csv.as_bytes(), &regression).expect_err("refused").to_string();
    assert_eq!(message, "the golden file has probabilities of \"1\", the model has the classes none");
}

/// Of two outputs, `low` and `high`: the second is twice the feature `x` more.
fn two_outputs() -> ImportedModel {
    let mut model = model("lightgbm", "regression").with_feature_names(names(10)).unwrap();
    let weights = [vec![0.0; 10], [vec![2.0], vec![0.0; 9]].concat()].concat();
    model.estimator.model = Model::Linear(LinearModel::new(10, weights, vec![1.0, 1.0]).unwrap());
    model.task = Task::MultiRegression { outputs: vec!["low".to_owned(), "high".to_owned()] };
    model
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|i| format!("x{i}")).collect()
}

#[test]
fn a_regression_of_several_outputs_has_a_column_for_each() {
    let (model, header) = (two_outputs(), names(10).join(","));
    let csv = |columns: &str, cells: &str| format!("{columns},{header}\n{cells},3{}\n", ",0".repeat(9));
    let read = |csv: String| read_golden(csv.as_bytes(), &model).map_err(|error| chain(&error));
    let golden = read(csv("predict:high,predict:low", "7,1")).unwrap();
    assert_eq!(golden.scores, [[1.0, 7.0]]);
    golden.prove(&pipeline(&model)).unwrap();
    let swapped = read(csv("predict:low,predict:high", "7,1")).unwrap();
    assert!(matches!(swapped.prove(&pipeline(&model)), Err(ProofError::Differs { row: 0, output: 0, .. })));
    let refused = |columns: &str, cells: &str| read(csv(columns, cells)).unwrap_err();
    assert_eq!(refused("predict", "1"), "the golden file has no column \"predict:low\"");
    assert!(
        refused("predict:low,predict:high,predict:mid", "1,7,2").contains("\"predict:mid\", which is none")
    );
    assert!(refused("predict:low,predict:high,predict", "1,7,2").contains("\"predict\", which is none"));
    assert_eq!(
        refused("predict:low,predict:high", "1,"),
        "line 2, column \"predict:high\": expected a finite number, got \"\""
    );
}

#[test]
fn cells_that_do_not_fit_their_column_are_refused_with_their_place() {
    for (line, expected) in [
        ("x,red,up,0,1", "column \"size\": expected a number, got \"x\""),
        ("1,blue,up,0,1", "column \"colour\": expected a number, or a text of the vocabulary, got \"blue\""),
        ("1,red,1,0,1", "column \"predict\": expected one of \"down\", \"up\", got \"1\""),
        (
            "1,red,up,0.75,0.25",
            "column \"predict\": expected \"down\", whose probability 0.75 is the greatest, got \"up\"",
        ),
        ("1,red,up,,1", "column \"predict_proba:down\": expected a finite number, got \"\""),
        ("1,red,up,0,inf", "column \"predict_proba:up\": expected a finite number, got \"inf\""),
    ] {
        assert_eq!(error(&format!("{HEADER}\n1,red,up,0,1\n{line}\n")), format!("line 3, {expected}"));
    }
    assert_eq!(error(&format!("{HEADER}\n")), "the golden file has no rows");
    assert_eq!(error(""), "the golden file has no column \"size\"");
    let short = error(&format!("{HEADER}\n1,red\n"));
    assert!(
        short.starts_with("the golden file cannot be read as CSV: ") && short.contains("line: 2"),
        "{short}"
    );
}

#[test]
fn sampled_rows_prove_the_engine_on_every_golden_model() {
    for library in ["lightgbm", "xgboost"] {
        for case in cases(library) {
            let model = model(library, &case.name);
            let golden = sample_golden(&model, &model.signature().unwrap(), 64);
            assert_eq!((golden.rows.len(), golden.source), (64, GoldenSource::Naive), "{}", case.name);
            golden.prove(&pipeline(&model)).unwrap_or_else(|error| panic!("{}: {error}", case.name));
            let answers: HashSet<u64> = golden.scores.iter().map(|scores| scores[0].to_bits()).collect();
            let constant = model.summary().depth == 0;
            assert!(constant || answers.len() > 5, "{}: {} answers", case.name, answers.len());
        }
    }
}

#[test]
fn sampling_is_deterministic_and_meets_every_threshold() {
    let model = small();
    let signature = model.signature().unwrap();
    let bits = |rows: &[Vec<f64>]| rows.concat().iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    let golden = sample_golden(&model, &signature, 40);
    assert_eq!(bits(&golden.rows), bits(&sample_golden(&model, &signature, 40).rows));
    let sizes: Vec<f64> = golden.rows.iter().map(|row| row[0]).collect();
    for telling in [0.5, 0.5_f64.next_up(), 0.5_f64.next_down(), 0.0, -1.0, 2.0] {
        assert!(sizes.contains(&telling), "{telling} is not in {sizes:?}");
    }
    assert!(sizes.iter().any(|x| x.is_nan()));
    let codes: Vec<f64> = golden.rows.iter().map(|row| row[1]).collect();
    for telling in [0.0, 1.0, 32.0] {
        assert!(codes.contains(&telling), "{telling} is not in {codes:?}");
    }
    assert_eq!(sample_golden(&model, &signature, 0).rows.len(), 0);
}

#[test]
fn sampled_rows_find_out_a_change_of_any_node() {
    let model = small();
    let golden = sample_golden(&model, &model.signature().unwrap(), 40);
    let Model::Trees(ensemble) = &model.estimator.model else { panic!("it has trees") };
    let tree = ensemble.trees().next().unwrap();
    for place in 0..tree.nodes.len() {
        let mut changed = tree.clone();
        match &mut changed.nodes[place] {
            Node::Leaf(Leaf::Scalar(value)) => *value = value.next_up() + 1e-9,
            Node::Split { test: Test::AtMost(threshold), .. } => *threshold = threshold.next_up(),
            Node::Split { test: Test::InSet(words), .. } => words[0] ^= 2,
            Node::Leaf(_) => panic!("it has scalar leaves"),
        }
        let mut model = model.clone();
        model.estimator.model =
            Model::Trees(TreeEnsemble::new(ensemble.shape().clone(), &[changed]).unwrap());
        let proof = golden.prove(&pipeline(&model));
        assert!(matches!(proof, Err(ProofError::Differs { .. })), "node {place}: {proof:?}");
    }
}

#[test]
fn sampled_rows_keep_to_what_the_signature_admits() {
    let model = small();
    let mut inputs = model.signature().unwrap().inputs().to_vec();
    inputs[0].missing = MissingPolicy::Reject;
    inputs[0].range = Some(Range { min: Some(0.25), max: Some(0.75) });
    inputs[1].missing = MissingPolicy::Constant(1.0);
    let signature = Signature::new(inputs).unwrap();
    let golden = sample_golden(&model, &signature, 30);
    assert_eq!(golden.rows.len(), 30);
    assert!(golden.rows.iter().all(|row| (0.25..=0.75).contains(&row[0])));
    assert!(golden.rows.iter().any(|row| row[1].is_nan()));
    let target = Target { name: "t".to_owned(), task: model.task.clone() };
    let pipeline = Pipeline::new(signature, &model.estimator, target, DecisionPolicy::default()).unwrap();
    golden.prove(&pipeline).unwrap();
}
