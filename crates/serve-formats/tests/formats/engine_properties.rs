//! The engine gives the naive evaluator's bits, alone and in a batch, for any ensemble that can be stored: categorical
//! splits, zero as missing, vector leaves, votes, means, `f32` inputs and sums, every link function.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serve_core::ensemble::Model;
use serve_core::link::{Link, LinkFunction, Precision};
use serve_core::tree::{
    Aggregation, CategoryRounding, Leaf, Missing, Node, Shape, Test, Tree, ZERO_THRESHOLD,
};
use serve_core::{
    DecisionPolicy, Estimator, Golden, GoldenSource, Input, MissingPolicy, Pipeline, Signature, Target, Task,
    Tolerance, TreeEnsemble, naive,
};

const INPUTS: usize = 4;

/// Few values, so that rows fall on thresholds and into sets.
fn value() -> impl Strategy<Value = f64> {
    let telling = vec![
        0.0,
        -0.0,
        ZERO_THRESHOLD,
        -ZERO_THRESHOLD,
        ZERO_THRESHOLD.next_up(),
        0.5,
        0.5_f64.next_up(),
        0.5_f64.next_down(),
        f64::from(0.5_f32.next_up()),
        -0.5,
        1.0,
        1.9,
        -1.0,
        31.0,
        32.0,
        63.5,
        64.0,
        3e9,
        1e-40,
        1e300,
        -1e300,
        f64::INFINITY,
        f64::NEG_INFINITY,
    ];
    prop_oneof![4 => select(telling), 1 => -3.0..3.0]
}

fn input() -> impl Strategy<Value = f64> {
    prop_oneof![5 => value(), 1 => Just(f64::NAN)]
}

/// A split without its children.
#[derive(Debug, Clone)]
struct Question {
    feature: u32,
    test: Test,
    missing: Missing,
}

fn question() -> impl Strategy<Value = Question> {
    let test = prop_oneof![
        3 => value().prop_map(Test::AtMost),
        1 => vec(prop_oneof![Just(0), Just(1), Just(u32::MAX), any::<u32>()], 0..4).prop_map(Test::InSet),
    ];
    let missing = (any::<bool>(), any::<bool>()).prop_map(|(left, zero)| Missing { left, zero });
    (0..INPUTS as u32, test, missing).prop_map(|(feature, test, missing)| Question { feature, test, missing })
}

/// What a tree is grown from: each question replaces a leaf by a split. Leaf values are drawn from `leaves` in turn.
#[derive(Debug, Clone)]
struct Plan {
    output: Index,
    growth: Vec<(Index, Question)>,
    leaves: Vec<f64>,
}

fn plan() -> impl Strategy<Value = Plan> {
    (any::<Index>(), vec((any::<Index>(), question()), 0..14), vec(-10.0..10.0, 1..8))
        .prop_map(|(output, growth, leaves)| Plan { output, growth, leaves })
}

impl Plan {
    fn grow(&self, outputs: usize, leaf: impl Fn(f64, f64) -> Leaf) -> Tree {
        let mut values = self.leaves.iter().copied().cycle();
        let mut next = || Node::Leaf(leaf(values.next().unwrap_or(0.0), values.next().unwrap_or(0.0)));
        let mut nodes = vec![next()];
        for (place, question) in &self.growth {
            let leaves: Vec<usize> =
                (0..nodes.len()).filter(|&node| matches!(nodes[node], Node::Leaf(_))).collect();
            let (left, Question { feature, test, missing }) = (nodes.len() as u32, question.clone());
            let split = Node::Split { feature, test, missing, left, right: left + 1 };
            let split = std::mem::replace(&mut nodes[*place.get(&leaves)], split);
            nodes.extend([split, next()]);
        }
        Tree { output: self.output.index(outputs) as u32, nodes, ..Tree::default() }
    }
}

#[derive(Debug, Clone, Copy)]
enum Leaves {
    Scalar,
    Vector,
    Vote,
}

fn estimator() -> impl Strategy<Value = Estimator> {
    let precision = || select(vec![Precision::F64, Precision::F32]);
    let rounding = select(vec![CategoryRounding::Truncate, CategoryRounding::Floor]);
    let leaves = select(vec![Leaves::Scalar, Leaves::Vector, Leaves::Vote]);
    let mean = any::<bool>();
    (vec(plan(), 0..9), 1..4_usize, leaves, mean, (precision(), precision(), precision()), rounding, value())
        .prop_map(
            |(
                plans,
                outputs,
                leaves,
                mean,
                (input_precision, sum_precision, link),
                category_rounding,
                base,
            )| {
                let single = |x: f64| if sum_precision == Precision::F32 { f64::from(x as f32) } else { x };
                let leaf = |a: f64, b: f64| match leaves {
                    Leaves::Scalar => Leaf::Scalar(single(a)),
                    Leaves::Vector => Leaf::Vector((0..outputs).map(|k| single(a + b * k as f64)).collect()),
                    Leaves::Vote => Leaf::Scalar((a.abs() as usize % outputs) as f64),
                };
                let aggregation = match leaves {
                    Leaves::Vote => Aggregation::Vote,
                    _ if mean => Aggregation::Average,
                    _ => Aggregation::Sum,
                };
                let based = aggregation == Aggregation::Sum && base.abs() < 1e30;
                let shape = Shape {
                    inputs: INPUTS as u32,
                    outputs: outputs as u32,
                    aggregation,
                    base: if based { vec![single(base); outputs] } else { Vec::new() },
                    input_precision,
                    sum_precision,
                    category_rounding,
                };
                let trees: Vec<Tree> = plans.iter().map(|plan| plan.grow(outputs, leaf)).collect();
                let function = match outputs {
                    1 => LinkFunction::Logistic { scale: 1.5 },
                    2 => LinkFunction::Softmax,
                    _ => LinkFunction::OneVsRest { scale: 1.0, normalize: mean },
                };
                let trees = TreeEnsemble::new(shape, &trees).expect("a plan grows a tree");
                Estimator::of(Model::Trees(trees), Link { function, precision: link })
            },
        )
}

fn pipeline(estimator: &Estimator) -> Pipeline {
    let input = |number: usize| Input::number(format!("x{number}")).missing(MissingPolicy::Nan);
    let signature = Signature::new((0..INPUTS).map(input).collect()).expect("distinct names");
    let Model::Trees(trees) = &estimator.model else { unreachable!("only trees are generated") };
    let classes = (0..trees.outputs().max(2)).map(|class| class.to_string()).collect();
    let target = Target { name: "y".to_owned(), task: Task::Classification { classes } };
    Pipeline::new(signature, estimator, target, DecisionPolicy::default()).expect("the parts fit")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn engine_equals_naive(estimator in estimator(), rows in vec(vec(input(), INPUTS), 1..140)) {
        let names: Vec<String> = (0..INPUTS).map(|number| format!("x{number}")).collect();
        let scores: Vec<Vec<f64>> =
            rows.iter().map(|row| naive::scores(&estimator, &names, row).expect("no transforms")).collect();
        prop_assert!(scores.iter().flatten().all(|score| score.is_finite()));
        let tolerance = Tolerance { absolute: 0.0, relative: 0.0 };
        let golden = Golden { source: GoldenSource::Naive, by: String::new(), tolerance, rows, scores };
        let proof = golden.prove(&pipeline(&estimator));
        prop_assert!(proof.is_ok(), "{:?}", proof);
    }
}
