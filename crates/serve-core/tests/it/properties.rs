//! Properties of pipelines with transforms, scalers, trees and ensembles of all of these.

use ndarray::{Array2, ArrayView2, Axis, ShapeBuilder, s};
use proptest::prelude::*;
use serve_core::scaler::{Affine, MinMaxScaler};
use serve_core::transform::output_names;
use serve_core::tree::{Missing, Shape, Test};
use serve_core::{
    BatchPrediction, DecisionPolicy, Estimator, Input, InvalidInput, Link, Member, Model, Node, Pipeline,
    PredictError, Scaler, Signature, Transform, Tree, naive,
};

use crate::ensembles::ensemble;
use crate::models::{leaf, lenient, linear, names, regression, trees};
use crate::reference::assert_bits;

const INPUTS: usize = 3;

fn transforms() -> impl Strategy<Value = Vec<Transform>> {
    let column = || (0..INPUTS).prop_map(|i| format!("x{i}"));
    let one = prop_oneof![
        (column(), -2.0..0.0, 0.0..2.0).prop_map(|(column, min, max)| Transform::Clip {
            columns: vec![column],
            min: Some(min),
            max: Some(max)
        }),
        column().prop_map(|column| Transform::Log1p { columns: vec![column] }),
        Just(Transform::Interaction { left: "x0".into(), right: "x2".into() }),
        Just(Transform::Ratio { numerator: "x1".into(), denominator: "x0".into() }),
    ];
    let last = prop_oneof![
        Just(Vec::new()),
        (1_u32..4, any::<bool>()).prop_map(|(degree, interaction_only)| {
            vec![Transform::Polynomial { columns: names(2), degree, interaction_only, include_bias: true }]
        }),
        Just(vec![Transform::OneHot { column: "x2".into(), categories: vec![0.0, 1.0], drop_first: false }]),
    ];
    let first = proptest::collection::vec(one, 0..3).prop_filter("a column is made once", |list| {
        output_names(names(INPUTS).iter().map(String::as_str), list).is_ok()
    });
    (first, last).prop_map(|(first, last)| [first, last].concat())
}

fn scaler(width: usize) -> impl Strategy<Value = Option<Scaler>> {
    let numbers = || proptest::collection::vec(-3.0..3.0, width);
    let scales = || proptest::collection::vec(0.1..3.0, width);
    let affine = (numbers(), scales()).prop_map(|(center, scale)| {
        Scaler::Standard(Affine { center: Some(center), scale: Some(scale), clip: None })
    });
    let range = (numbers(), scales())
        .prop_map(|(min, scale)| Scaler::MinMax(MinMaxScaler { min, scale, clip: Some((-1.0, 2.0)) }));
    proptest::option::of(prop_oneof![affine, range])
}

/// A full tree of depth two, with a categorical split at its root in half of the cases.
fn tree(width: usize) -> impl Strategy<Value = Tree> {
    let question = (0..width as u32, -2.0..2.0, any::<bool>(), any::<bool>());
    let leaves = proptest::collection::vec(-5.0..5.0, 4);
    (proptest::collection::vec(question, 3), leaves, proptest::option::of(0..16_u32)).prop_map(
        |(questions, values, set)| {
            let node = |at: usize, left, right| {
                let (feature, threshold, missing_left, zero) = questions[at];
                let (test, zero) = match set.filter(|_| at == 0) {
                    Some(word) => (Test::InSet(vec![word]), false),
                    None => (Test::AtMost(threshold), zero),
                };
                Node::Split { feature, test, missing: Missing { left: missing_left, zero }, left, right }
            };
            let splits = [node(0, 1, 2), node(1, 3, 4), node(2, 5, 6)];
            let nodes = splits.into_iter().chain(values.into_iter().map(leaf)).collect();
            Tree { output: 0, nodes, ..Tree::default() }
        },
    )
}

fn model(width: usize) -> impl Strategy<Value = Model> {
    let weights = proptest::collection::vec(-2.0..2.0, width);
    let linear = (weights, -1.0..1.0).prop_map(|(weights, intercept)| linear(&[weights], vec![intercept]));
    let shape = Shape { inputs: width as u32, outputs: 1, base: vec![0.5], ..Shape::default() };
    let forest =
        proptest::collection::vec(tree(width), 1..5).prop_map(move |list| trees(shape.clone(), &list));
    prop_oneof![linear, forest]
}

fn single() -> impl Strategy<Value = Estimator> {
    transforms().prop_flat_map(|transforms| {
        let inputs = names(INPUTS);
        let width = output_names(inputs.iter().map(String::as_str), &transforms).expect("valid").len();
        (scaler(width), model(width)).prop_map(move |(scaler, model)| Estimator {
            transforms: transforms.clone(),
            scaler,
            model,
            link: Link::default(),
        })
    })
}

fn estimator() -> impl Strategy<Value = Estimator> {
    let member = || (0.1..4.0, single()).prop_map(|(weight, estimator)| Member { weight, estimator });
    let flat = || proptest::collection::vec(member(), 1..4).prop_map(ensemble);
    let deep = (flat(), member())
        .prop_map(|(estimator, last)| ensemble(vec![Member { weight: 1.5, estimator }, last]));
    prop_oneof![single(), flat(), deep]
}

/// Numbers that branches and categories depend on, among ordinary ones.
fn value() -> impl Strategy<Value = f64> {
    let odd =
        proptest::sample::select(vec![0.0, -0.0, 1.0, 2.0, -0.5, 1e-36, f64::NAN, 1e300, f64::INFINITY]);
    prop_oneof![3 => -4.0..4.0, 1 => odd]
}

fn rows(most: usize) -> impl Strategy<Value = Array2<f64>> {
    proptest::collection::vec([value(), value(), value()], 1..most).prop_map(Array2::from)
}

fn built(estimator: &Estimator) -> Pipeline {
    Pipeline::new(lenient(INPUTS), estimator, regression(), DecisionPolicy::Argmax).expect("the parts fit")
}

fn bits(answer: Result<serve_core::Prediction, PredictError>) -> Result<u64, PredictError> {
    answer.map(|prediction| prediction.scores()[0].to_bits())
}

fn one_by_one(pipeline: &Pipeline, rows: ArrayView2<'_, f64>) -> Vec<Result<u64, PredictError>> {
    rows.rows().into_iter().map(|row| bits(pipeline.predict(&row.to_vec()))).collect()
}

fn together(pipeline: &Pipeline, rows: ArrayView2<'_, f64>) -> Vec<Result<u64, PredictError>> {
    let mut batch = BatchPrediction::new();
    pipeline.predict_batch(rows, &mut batch).expect("the widths fit");
    batch.iter().map(|answer| bits(answer.map_err(Clone::clone))).collect()
}

proptest! {
    #[test]
    fn the_engine_equals_the_naive_evaluator(estimator in estimator(), rows in rows(20)) {
        let (pipeline, names) = (built(&estimator), names(INPUTS));
        for row in rows.rows() {
            let row = row.to_vec();
            let expected = naive::scores(&estimator, &names, &row).expect("transforms apply");
            match pipeline.predict(&row) {
                Ok(got) => assert_bits("score", got.scores(), &expected),
                Err(error) => {
                    let got = expected[0].to_string();
                    prop_assert_eq!(error, PredictError::NonFiniteOutput { output: 0, outputs: 1, got });
                }
            }
        }
    }

    /// Beyond one block of the engine, by rows, by columns, and through views with gaps.
    #[test]
    fn a_batch_equals_its_rows(estimator in estimator(), rows in rows(150)) {
        let pipeline = built(&estimator);
        let alone = one_by_one(&pipeline, rows.view());
        prop_assert_eq!(&together(&pipeline, rows.view()), &alone);
        let mut by_columns = Array2::zeros(rows.dim().f());
        by_columns.assign(&rows);
        prop_assert_eq!(&together(&pipeline, by_columns.view()), &alone);
        let mut wide = Array2::from_elem((rows.nrows() * 2, INPUTS + 2), f64::NAN);
        wide.slice_mut(s![..;2, 1..=INPUTS]).assign(&rows);
        prop_assert_eq!(&together(&pipeline, wide.slice(s![..;2, 1..=INPUTS])), &alone);
        let mut backwards = rows.view();
        backwards.invert_axis(Axis(0));
        prop_assert_eq!(together(&pipeline, backwards).into_iter().rev().collect::<Vec<_>>(), alone);
    }

    #[test]
    fn scaling_back_gives_the_row_again(
        train in proptest::collection::vec([-1e3..1e3, -1.0..1.0, 1e6..1.001e6], 2..40),
        row in [-1e3..1e3, -1.0..1.0, 1e6..1.001e6],
    ) {
        let train = Array2::from(train);
        for scaler in [
            Scaler::fit_standard(train.view()),
            Scaler::fit_min_max(train.view()),
            Scaler::fit_robust(train.view()),
            Scaler::fit_max_abs(train.view()),
        ] {
            let mut back = row;
            scaler.transform(&mut back);
            scaler.inverse_transform(&mut back);
            for (place, (got, expected)) in back.iter().zip(row).enumerate() {
                // A column's rounding is relative to what was subtracted from it, not to what is left.
                let largest = train.column(place).iter().fold(expected.abs(), |m: f64, x| m.max(x.abs()));
                prop_assert!((got - expected).abs() <= 1e-12 * largest.max(1.0), "{:?}", scaler);
            }
        }
    }

    #[test]
    fn a_bad_row_fails_alone(
        estimator in estimator(),
        rows in proptest::collection::vec([-4.0..4.0, -4.0..4.0, -4.0..4.0], 1..150),
        bad in proptest::collection::btree_set(0_usize..150, 0..20),
    ) {
        let signature = Signature::new(names(INPUTS).into_iter().map(Input::number).collect()).expect("valid");
        let pipeline = Pipeline::new(signature, &estimator, regression(), DecisionPolicy::Argmax).expect("fits");
        let rows = Array2::from(rows);
        let whole = together(&pipeline, rows.view());
        let mut spoilt = rows.clone();
        bad.iter().filter(|&&at| at < rows.nrows()).for_each(|&at| spoilt[[at, 1]] = f64::NAN);
        for (at, (got, expected)) in together(&pipeline, spoilt.view()).into_iter().zip(whole).enumerate() {
            if bad.contains(&at) {
                let refused =
                    matches!(&got, Err(PredictError::Input(InvalidInput::Violations { violations }))
                        if violations.len() == 1 && violations[0].feature == "x1");
                prop_assert!(refused, "{:?}", got);
            } else {
                prop_assert_eq!(got, expected);
            }
        }
    }
}
