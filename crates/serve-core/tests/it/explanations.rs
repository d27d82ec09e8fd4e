//! Explanations: trees against the package shap and against the definition of Shapley values word by word; linear models,
//! ensembles and names; what is refused.

use std::fs;

use proptest::prelude::*;
use serde_json::Value;
use serve_core::explain::{Background, ExplainOptions, Explainer, Unexplainable};
use serve_core::graph::{Binary, Dtype, GraphBuilder, Op, Unary};
use serve_core::link::Precision;
use serve_core::scaler::Affine;
use serve_core::tree::{Aggregation, Leaf, Shape, Statistics, Test};
use serve_core::{Estimator, Link, Member, Model, Node, Scaler, Target, Transform, Tree};

use crate::ensembles::ensemble;
use crate::models::{classification, leaf, lenient, linear, logistic, names, regression, split, trees};
use crate::reference::{matrix, text, vector};

fn explainer(inputs: usize, estimator: &Estimator, target: &Target) -> Result<Explainer, Unexplainable> {
    Explainer::new(&lenient(inputs), estimator, target, ExplainOptions::default())
}

fn bare(model: Model) -> Estimator {
    Estimator::of(model, Link::IDENTITY)
}

fn shape(inputs: usize) -> Shape {
    Shape { inputs: inputs as u32, outputs: 1, ..Shape::default() }
}

fn covered(nodes: Vec<Node>, cover: Vec<f64>) -> Tree {
    Tree { output: 0, nodes, statistics: Statistics { cover, gain: Vec::new() } }
}

/// Contributions, then the base value, of the only output.
fn explained(explainer: &Explainer, row: &[f64]) -> Vec<f64> {
    let explanation = explainer.explain(row).expect("explained");
    let output = explanation.outputs().next().expect("one output");
    [output.contributions, &[output.base_value]].concat()
}

fn assert_near(got: &[f64], expected: &[f64]) {
    let near = |(got, expected): (&f64, &f64)| (got - expected).abs() <= 1e-14;
    assert!(
        got.len() == expected.len() && got.iter().zip(expected).all(near),
        "{got:?}, expected {expected:?}"
    );
}

fn sklearn_tree(arrays: &Value) -> Tree {
    let [left, right, feature] =
        ["children_left", "children_right", "feature"].map(|key| vector(&arrays[key]));
    let (threshold, value) = (vector(&arrays["threshold"]), matrix(&arrays["value"]));
    let node = |i: usize| {
        if left[i] < 0.0 {
            return Node::Leaf(Leaf::Vector(value[i].clone()));
        }
        split(feature[i] as u32, threshold[i], false, left[i] as u32, right[i] as u32)
    };
    covered((0..left.len()).map(node).collect(), vector(&arrays["cover"]))
}

#[test]
fn forests_are_explained_as_the_package_shap_does() {
    let path = format!("{}/../../tests/golden/contributions/forests.json", env!("CARGO_MANIFEST_DIR"));
    let file: Value = serde_json::from_slice(&fs::read(path).expect("the file")).expect("JSON");
    assert_eq!(text(&file, "by"), "shap 0.51.0 on scikit-learn 1.9.1");
    for case in file["cases"].as_array().expect("cases") {
        let list: Vec<Tree> = case["trees"].as_array().expect("trees").iter().map(sklearn_tree).collect();
        let (expected, rows) = (vector(&case["expected"]), matrix(&case["rows"]));
        let inputs = rows[0].len();
        let shape = Shape {
            outputs: expected.len() as u32,
            aggregation: Aggregation::Average,
            input_precision: Precision::F32,
            ..shape(inputs)
        };
        let target = match expected.len() {
            1 => regression(),
            classes => classification(&names(classes)),
        };
        let explainer = explainer(inputs, &bare(trees(shape, &list)), &target).expect("explainable");
        // Of two classes the second is explained.
        let first = usize::from(expected.len() == 2);
        for (row, told) in rows.iter().zip(case["contributions"].as_array().expect("rows")) {
            let explanation = explainer.explain(row).expect("explained");
            assert_eq!(explanation.outputs().len(), expected.len() - first);
            for (k, output) in explanation.outputs().enumerate() {
                let told = matrix(told);
                assert!((output.base_value - expected[k + first]).abs() < 1e-12 * output.base_value.abs());
                for (got, told) in output.contributions.iter().zip(&told[k + first]) {
                    assert!((got - told).abs() < 1e-9, "{}: {got}, expected {told}", case["name"]);
                }
            }
        }
    }
}

/// What the trees give on average where only the features of `known`, a bit set, are known.
fn expectation(tree: &Tree, at: usize, known: u32, row: &[f64]) -> f64 {
    let cover = &tree.statistics.cover;
    match &tree.nodes[at] {
        Node::Leaf(Leaf::Scalar(value)) => *value,
        Node::Split { feature, test: Test::AtMost(threshold), missing, left, right } => {
            let x = row[*feature as usize];
            if known >> feature & 1 == 1 {
                let goes_left = if x.is_nan() { missing.left } else { x <= *threshold };
                return expectation(tree, *if goes_left { left } else { right } as usize, known, row);
            }
            let part = |child: u32| {
                let share = if cover[at] > 0.0 { cover[child as usize] / cover[at] } else { 0.5 };
                share * expectation(tree, child as usize, known, row)
            };
            part(*left) + part(*right)
        }
        other => panic!("{other:?}"),
    }
}

/// The definition: for each feature, its effect in every order in which features become known.
fn shapley(list: &[Tree], row: &[f64]) -> Vec<f64> {
    let features = row.len() as u32;
    let value = |known: u32| list.iter().map(|tree| expectation(tree, 0, known, row)).sum::<f64>();
    let factorial = |n: u32| (1..=n).map(f64::from).product::<f64>();
    let one = |feature: u32| {
        let others = (0..1_u32 << features).filter(|known| known >> feature & 1 == 0);
        let parts = others.map(|known| {
            let size = known.count_ones();
            let weight = factorial(size) * factorial(features - size - 1) / factorial(features);
            weight * (value(known | 1 << feature) - value(known))
        });
        parts.sum()
    };
    (0..features).map(one).chain([value(0)]).collect()
}

const FEATURES: usize = 5;

/// A tree grown at random leaves, with covers that need not add up to anything and may be 0.
fn grown() -> impl Strategy<Value = Tree> {
    let step = (any::<prop::sample::Index>(), 0..FEATURES as u32, -2.0..2.0, any::<bool>());
    let covers = proptest::collection::vec(0_u32..20, 40);
    (proptest::collection::vec(step, 0..14), covers, proptest::collection::vec(-5.0..5.0, 40)).prop_map(
        |(steps, covers, values)| {
            let mut nodes = vec![leaf(values[0])];
            let mut cover = vec![40.0];
            for (place, feature, threshold, missing_left) in steps {
                let leaves: Vec<usize> =
                    (0..nodes.len()).filter(|&at| matches!(nodes[at], Node::Leaf(_))).collect();
                let at = *place.get(&leaves);
                let next = nodes.len() as u32;
                nodes[at] = split(feature, threshold, missing_left, next, next + 1);
                let share = f64::from(covers[nodes.len()]) / 20.0 * cover[at];
                cover.extend([share, cover[at] - share]);
                nodes.extend([leaf(values[next as usize]), leaf(values[next as usize + 1])]);
            }
            covered(nodes, cover)
        },
    )
}

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![8 => -3.0..3.0, 1 => Just(f64::NAN), 1 => Just(f64::INFINITY)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn trees_have_the_shapley_values_of_the_definition(
        list in proptest::collection::vec(grown(), 1..4),
        row in proptest::collection::vec(value(), FEATURES),
    ) {
        let explainer = explainer(FEATURES, &bare(trees(shape(FEATURES), &list)), &regression()).expect("explainable");
        for (got, expected) in explained(&explainer, &row).iter().zip(shapley(&list, &row)) {
            prop_assert!((got - expected).abs() < 1e-12 * 100.0, "{got}, expected {expected}");
        }
    }

    #[test]
    fn a_row_has_the_same_bits_alone_and_in_any_batch(
        list in proptest::collection::vec(grown(), 1..4),
        rows in proptest::collection::vec(proptest::collection::vec(value(), FEATURES), 1..80),
    ) {
        let explainer = explainer(FEATURES, &bare(trees(shape(FEATURES), &list)), &regression()).expect("explainable");
        let mut all = vec![0.0; rows.len() * explainer.width()];
        explainer.contributions(&rows.concat(), &mut all);
        for (row, together) in rows.iter().zip(all.chunks_exact(explainer.width())) {
            let mut alone = vec![0.0; explainer.width()];
            explainer.contributions(row, &mut alone);
            prop_assert_eq!(alone, together);
        }
    }
}

/// A tree that peels off a leaf of value 1 at each level; the row `[0.0; features]` goes to the last leaf.
fn chain(levels: usize, features: usize) -> Tree {
    let mut nodes = Vec::new();
    let mut cover = Vec::new();
    for level in 0..levels {
        let next = 2 * level as u32 + 1;
        nodes.extend([
            split((level % features) as u32, -1.0 - level as f64, false, next, next + 1),
            leaf(1.0),
        ]);
        cover.extend([(levels - level + 1) as f64, 1.0]);
    }
    nodes.push(leaf(-7.0));
    cover.push(1.0);
    // The left child is the leaf: the right one stands after it.
    covered(nodes, cover)
}

#[test]
fn very_deep_trees_are_explained_exactly_and_without_recursion() {
    for (levels, features) in [(3000, 3000), (20_000, 3), (5000, 150)] {
        let tree = chain(levels, features);
        let explainer =
            explainer(features, &bare(trees(shape(features), &[tree])), &regression()).expect("explainable");
        let values = explained(&explainer, &vec![0.0; features]);
        let sum: f64 = values.iter().sum();
        assert!((sum + 7.0).abs() < 7e-12, "{levels} levels: the contributions sum to {sum}");
        // Only the last leaf differs, so a feature's part depends on the share that passes all its splits: the later
        // they come, the smaller that share, the greater its part.
        if levels == features {
            assert!(values[..features].windows(2).all(|pair| pair[1] < pair[0] && pair[0] < 0.0));
        }
    }
    let wide = bare(trees(shape(5000), &[chain(5000, 5000)]));
    let error = explainer(5000, &wide, &regression()).expect_err("refused").to_string();
    assert_eq!(error, "a path through a tree asks 5000 features, explanations take at most 4096");
}

fn stump(feature: u32, low: f64, high: f64) -> Tree {
    covered(vec![split(feature, 0.0, false, 1, 2), leaf(low), leaf(high)], vec![4.0, 1.0, 3.0])
}

#[test]
fn averages_and_votes_are_explained_as_they_are_predicted() {
    let list = [stump(0, 0.0, 4.0), stump(1, 2.0, 6.0)];
    let average = Shape { aggregation: Aggregation::Average, ..shape(2) };
    let mean = explainer(2, &bare(trees(average.clone(), &list)), &regression()).expect("explainable");
    assert_near(&explained(&mean, &[1.0, -1.0]), &[0.5, -1.5, 4.0]);
    let options = ExplainOptions { sums_of_averages: true };
    let sum = Explainer::new(&lenient(2), &bare(trees(average, &list)), &regression(), options)
        .expect("explainable");
    assert_near(&explained(&sum, &[1.0, -1.0]), &[1.0, -3.0, 8.0]);
    assert_eq!(sum.explain(&[1.0, 1.0]).expect("explained").averaged_over(), Some(2));
    let vote = Shape { outputs: 3, aggregation: Aggregation::Vote, ..shape(2) };
    let list = [stump(0, 0.0, 2.0), stump(1, 1.0, 2.0)];
    let vote = explainer(2, &bare(trees(vote, &list)), &classification(&names(3))).expect("explainable");
    let explanation = vote.explain(&[1.0, -1.0]).expect("explained");
    let names: Vec<_> = explanation.outputs().map(|output| output.name).collect();
    assert_eq!(names, [Some("x0"), Some("x1"), Some("x2")]);
    let told: Vec<_> =
        explanation.outputs().flat_map(|output| [output.raw_score, output.base_value]).collect();
    assert_near(&told, &[0.0, 0.125, 0.5, 0.125, 0.5, 0.75]);
}

#[test]
fn linear_models_are_explained_from_the_mean_that_the_scaler_knows() {
    let scaler =
        Scaler::Standard(Affine { center: Some(vec![10.0, 2.0]), scale: Some(vec![4.0, 1.0]), clip: None });
    let model = linear(&[vec![2.0, -1.0]], vec![0.5]);
    let estimator = Estimator { scaler: Some(scaler), ..Estimator::of(model.clone(), logistic(1.0)) };
    let target = classification(&names(2));
    let explainer = explainer(2, &estimator, &target).expect("explainable");
    let explanation = explainer.explain(&[14.0, 5.0]).expect("explained");
    assert_eq!(explanation.background(), Background::TrainingMean);
    let output = explanation.outputs().next().expect("the positive class");
    assert_eq!((output.name, output.raw_score, output.base_value), (None, -0.5, 0.5));
    assert_eq!(output.contributions, [2.0, -3.0]);
    let unscaled = self::explainer(2, &Estimator::of(model, logistic(1.0)), &target).expect("explainable");
    assert_eq!(explained(&unscaled, &[1.0, 1.0]), [2.0, -1.0, 0.5]);
    assert_eq!(unscaled.explain(&[1.0, 1.0]).expect("explained").background(), Background::Zero);
}

#[test]
fn encoded_columns_are_summed_to_their_source_and_products_keep_their_names() {
    let transforms = vec![
        Transform::OneHot { column: "x1".into(), categories: vec![0.0, 1.0, 2.0], drop_first: false },
        Transform::Polynomial {
            columns: vec!["x0".into(), "x2".into()],
            degree: 2,
            interaction_only: false,
            include_bias: false,
        },
    ];
    // x1_0, x1_1, x1_2, x0, x2, x0^2, x0 x2, x2^2
    let model = linear(&[vec![1.0, 10.0, 100.0, 2.0, 3.0, 4.0, 5.0, 6.0]], vec![0.0]);
    let estimator = Estimator { transforms, ..bare(model) };
    let explainer = explainer(3, &estimator, &regression()).expect("explainable");
    assert_eq!(explainer.names(), ["x0", "x1", "x2", "x0^2", "x0 x2", "x2^2"]);
    assert_eq!(explained(&explainer, &[2.0, 1.0, 3.0]), [4.0, 10.0, 9.0, 16.0, 30.0, 54.0, 0.0]);
}

fn member(weight: f64, estimator: &Estimator) -> Member {
    Member { weight, estimator: estimator.clone() }
}

#[test]
fn ensembles_are_explained_where_their_members_scores_add_up() {
    let tree = bare(trees(shape(2), &[stump(0, 0.0, 4.0)]));
    let line = bare(linear(&[vec![1.0, 2.0]], vec![1.0]));
    let both = ensemble(vec![member(3.0, &tree), member(1.0, &line)]);
    let explainer = explainer(2, &both, &regression()).expect("explainable");
    assert_near(&explained(&explainer, &[1.0, 2.0]), &[0.75 + 0.25, 1.0, 2.25 + 0.25]);
    assert_eq!(explainer.explain(&[1.0, 2.0]).expect("explained").background(), Background::Mixed);
    let linked = ensemble(vec![member(1.0, &Estimator { link: logistic(1.0), ..line }), member(1.0, &tree)]);
    let error = self::explainer(2, &linked, &classification(&names(2))).expect_err("refused");
    assert_eq!(error, Unexplainable::MemberLink { member: 0 });
}

#[test]
fn what_has_no_explanation_is_refused_with_the_reason() {
    let refused = |model| explainer(2, &bare(model), &regression()).expect_err("refused").to_string();
    let uncovered = Tree { statistics: Statistics::default(), ..stump(0, 0.0, 1.0) };
    assert_eq!(
        refused(trees(shape(2), &[uncovered])),
        "explanations need node covers, which this model's file lacks"
    );
    let least = Shape { aggregation: Aggregation::Min, ..shape(2) };
    assert_eq!(
        refused(trees(least, &[stump(0, 0.0, 1.0)])),
        "a score that is the least leaf of its trees is no sum of contributions"
    );
    let linear_leaf = Node::Leaf(Leaf::Linear { constant: 0.0, terms: vec![(0, 1.0)], otherwise: 0.0 });
    assert_eq!(
        refused(trees(shape(2), &[covered(vec![linear_leaf], vec![1.0])])),
        "trees with linear leaves (linear_tree) have no explanations, in LightGBM either"
    );
}

#[test]
fn an_infinite_contribution_is_refused_and_a_bad_row_too() {
    let line = explainer(2, &bare(linear(&[vec![1.0, 2.0]], vec![1.0])), &regression()).expect("explainable");
    let error = line.explain(&[1.0, f64::INFINITY]).expect_err("refused").to_string();
    assert_eq!(error, "non-finite contribution of \"x1\" to output 0: inf");
    let error = line.explain(&[1.0]).expect_err("refused").to_string();
    assert!(error.contains('2') && error.contains('1'), "{error}");
}

#[test]
fn the_one_model_inside_a_graph_is_explained_by_the_inputs_of_its_columns() {
    let mut graph = GraphBuilder::new(2);
    let row = graph.columns(vec![1, 0], Dtype::F64).expect("valid");
    let mean = graph.row_constant(vec![1.0, 10.0], Dtype::F64).expect("valid");
    let centred = graph.binary(Binary::Sub, row, mean).expect("valid");
    let first = graph.select(centred, 1, &[0]).expect("valid");
    let product = graph.binary(Binary::Mul, first, centred).expect("valid");
    let second = graph.select(product, 1, &[1]).expect("valid");
    // (x1 - 1), (x0 - 10), (x1 - 1) (x0 - 10)
    let seen = graph.concat(1, &[centred, second]).expect("valid");
    let Model::Linear(line) = linear(&[vec![2.0, 3.0, 5.0]], vec![0.5]) else { panic!("it is linear") };
    let score = graph.push(Op::Linear(line), &[seen]).expect("valid");
    let probability = graph.unary(Unary::Sigmoid, score).expect("valid");
    let estimator = bare(Model::Graph(graph.finish(probability).expect("valid")));
    let explainer = explainer(2, &estimator, &regression()).expect("explainable");
    assert_eq!(explainer.names(), ["x0", "x1", "x0 x1"]);
    assert_eq!(explained(&explainer, &[12.0, 4.0]), [6.0, 6.0, 30.0, 0.5]);
}
