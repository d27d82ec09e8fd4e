//! Once warm, predicting asks for no memory.

use ndarray::{Array2, ShapeBuilder};
use serve_core::scaler::Affine;
use serve_core::tree::Shape;
use serve_core::{
    BatchPrediction, CheckedRow, Estimator, Link, Member, Pipeline, Scaler, Transform, Tree, Value,
};

use crate::ensembles::ensemble;
use crate::memory::measure;
use crate::models::{classification, leaf, linear, logistic, names, pipeline, split, trees};

const INPUTS: usize = 4;

fn prepared() -> Estimator {
    Estimator {
        transforms: vec![
            Transform::Polynomial {
                columns: names(2),
                degree: 2,
                interaction_only: false,
                include_bias: false,
            },
            Transform::Clip { columns: vec!["x0^2".into()], min: None, max: Some(9.0) },
        ],
        scaler: Some(Scaler::Standard(Affine { center: Some(vec![0.5; 7]), ..Affine::default() })),
        ..Estimator::of(linear(&[vec![0.1; 7]], vec![0.3]), logistic(1.0))
    }
}

fn stumps() -> Estimator {
    let nodes = vec![split(3, 0.25, true, 1, 2), leaf(-0.5), leaf(0.75)];
    let shape = Shape { inputs: 4, outputs: 1, ..Shape::default() };
    let tree = Tree { output: 0, nodes, ..Tree::default() };
    Estimator::of(trees(shape, &[tree.clone(), tree]), logistic(1.0))
}

fn classifiers() -> Vec<(&'static str, Pipeline)> {
    let both = [prepared(), stumps()].map(|estimator| Member { weight: 0.5, estimator }).to_vec();
    let classes = ["down".to_owned(), "up".to_owned()];
    [("linear", prepared()), ("trees", stumps()), ("ensemble", ensemble(both))]
        .map(|(what, estimator)| (what, pipeline(INPUTS, &estimator, classification(&classes))))
        .into_iter()
        .collect()
}

#[test]
fn a_warm_prediction_allocates_nothing() {
    for (what, pipeline) in classifiers() {
        let rows = [[0.5, -1.0, 0.0, 0.25], [2.0, 3.0, 0.0, 1.0]];
        let first = pipeline.predict(&rows[0]).expect("answered");
        let (answers, usage) = measure(|| rows.map(|row| pipeline.predict(&row)));
        assert_eq!(usage.allocations, 0, "{what}");
        assert_eq!(answers[0].as_ref().expect("answered"), &first, "{what}");
    }
}

#[test]
fn a_warm_batch_into_a_used_buffer_allocates_nothing() {
    for (what, pipeline) in classifiers() {
        let numbers: Vec<f64> = (0..150 * INPUTS).map(|i| (i % 17) as f64 / 4.0).collect();
        let by_rows = Array2::from_shape_vec((150, INPUTS), numbers.clone()).expect("rectangular");
        let by_columns = Array2::from_shape_vec((150, INPUTS).f(), numbers).expect("rectangular");
        for view in [by_rows.view(), by_columns.view()] {
            let mut batch = BatchPrediction::new();
            pipeline.predict_batch(view, &mut batch).expect("the widths fit");
            let ((), usage) = measure(|| pipeline.predict_batch(view, &mut batch).expect("the widths fit"));
            assert_eq!((usage.allocations, batch.len()), (0, 150), "{what}");
        }
    }
}

#[test]
fn a_row_read_into_a_used_buffer_allocates_nothing() {
    let (_, pipeline) = classifiers().remove(0);
    let names = names(INPUTS);
    let given: Vec<_> = names.iter().map(|name| (name.as_str(), Value::Number(1.5))).collect();
    let mut row = CheckedRow::new();
    pipeline.signature().read_named(&given, &mut row).expect("admitted");
    let warm = pipeline.predict_checked(&row).expect("answered");
    let (again, usage) = measure(|| {
        pipeline.signature().read_named(&given, &mut row).expect("admitted");
        pipeline.predict_checked(&row).expect("answered")
    });
    assert_eq!((usage.allocations, again), (0, warm));
}

#[test]
fn up_to_four_scores_stand_in_place() {
    let weights: Vec<Vec<f64>> = (0..4).map(|k| vec![f64::from(k); INPUTS]).collect();
    let link = Link::new(serve_core::link::LinkFunction::Softmax);
    let estimator = Estimator::of(linear(&weights, vec![0.0; 4]), link);
    let pipeline = pipeline(INPUTS, &estimator, classification(&names(4)));
    pipeline.predict(&[0.1; INPUTS]).expect("answered");
    let (answer, usage) = measure(|| pipeline.predict(&[0.2; INPUTS]).expect("answered"));
    assert_eq!((usage.allocations, answer.class()), (0, Some(3)));
}
