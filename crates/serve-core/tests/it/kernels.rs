//! Every kernel in every set of instructions that this CPU has, against the naive evaluator, bit for bit: random
//! ensembles of every shape, adversarial rows, all layouts, any batch, any number of threads.

use ndarray::{Array2, Axis, ShapeBuilder, s};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serve_core::engine::{InvalidPath, Kernel, Path, Pool, Rows, Simd, TreeEngine};
use serve_core::link::Precision;
use serve_core::tree::{Aggregation, CategoryRounding, Leaf, Missing, Shape, Test, ZERO_THRESHOLD};
use serve_core::{DecisionPolicy, Estimator, Link, Model, Node, Pipeline, Tree, TreeEnsemble, naive};

use crate::models::{leaf, lenient, names, regression};

const INPUTS: usize = 5;

/// Thresholds, and numbers beside them that a wrong rounding would send to the other side.
fn telling() -> Vec<f64> {
    let around = |x: f64| {
        let narrow = x as f32;
        let wide = [narrow, narrow.next_up(), narrow.next_down()].map(f64::from);
        [x, x.next_up(), x.next_down(), -x, wide[0], wide[1], wide[2], wide[1].next_down(), wide[2].next_up()]
    };
    let centres =
        [0.0, 0.1, 0.5, 1.0, 1.9, 31.0, 32.0, 63.5, ZERO_THRESHOLD, 1e-40, 5e-324, 3e9, 1e39, 1e300];
    let odd = [f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN_POSITIVE, -1.0, -0.5, -0.0];
    centres.into_iter().flat_map(around).chain(odd).collect()
}

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![3 => select(telling()), 1 => -3.0..3.0, 1 => (-4_i8..80).prop_map(f64::from)]
}

fn input() -> impl Strategy<Value = f64> {
    prop_oneof![8 => value(), 1 => Just(f64::NAN)]
}

#[derive(Debug, Clone)]
struct Question {
    feature: u32,
    test: Test,
    missing: Missing,
}

fn question(sets: bool) -> impl Strategy<Value = Question> {
    let set = vec(prop_oneof![Just(0), Just(1), Just(u32::MAX), any::<u32>()], 0..4).prop_map(Test::InSet);
    let test = prop_oneof![5 => value().prop_map(Test::AtMost), u32::from(sets) => set];
    let missing = (any::<bool>(), prop::bool::weighted(0.2)).prop_map(|(left, zero)| Missing { left, zero });
    (0..INPUTS as u32, test, missing).prop_map(|(feature, test, missing)| Question { feature, test, missing })
}

/// Each question replaces a leaf by a split; `skew` prefers the newest leaf, which makes trees deep.
#[derive(Debug, Clone)]
struct Growth {
    output: Index,
    splits: Vec<(Index, Question)>,
    skew: bool,
    leaves: Vec<f64>,
}

fn growth(most: usize) -> impl Strategy<Value = Growth> {
    let splits = any::<bool>().prop_flat_map(move |sets| vec((any::<Index>(), question(sets)), 0..most));
    (any::<Index>(), splits, any::<bool>(), vec(-10.0..10.0, 1..8))
        .prop_map(|(output, splits, skew, leaves)| Growth { output, splits, skew, leaves })
}

impl Growth {
    fn tree(&self, outputs: usize, leaf: impl Fn(f64, f64) -> Leaf) -> Tree {
        let mut values = self.leaves.iter().copied().cycle();
        let mut next = || Node::Leaf(leaf(values.next().unwrap_or(0.0), values.next().unwrap_or(0.0)));
        let mut nodes = vec![next()];
        let mut leaves = vec![0];
        for (place, question) in &self.splits {
            let place = if self.skew { leaves.len() - 1 } else { place.index(leaves.len()) };
            let (left, Question { feature, test, missing }) = (nodes.len() as u32, question.clone());
            let node = std::mem::replace(&mut leaves[place], left as usize);
            leaves.push(left as usize + 1);
            let split = Node::Split { feature, test, missing, left, right: left + 1 };
            let leaf = std::mem::replace(&mut nodes[node], split);
            nodes.extend([leaf, next()]);
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

/// Ensembles whose trees have up to `most` splits.
fn ensemble(most: usize) -> impl Strategy<Value = TreeEnsemble> {
    let precision = || select(vec![Precision::F64, Precision::F32]);
    let rounding = select(vec![CategoryRounding::Truncate, CategoryRounding::Floor]);
    let leaves = select(vec![Leaves::Scalar, Leaves::Scalar, Leaves::Vector, Leaves::Vote]);
    let shape = (1..4_usize, leaves, any::<bool>(), precision(), precision(), rounding, -3.0..3.0);
    (vec(growth(most), 0..20), shape).prop_map(
        |(trees, (outputs, leaves, mean, input_precision, sum_precision, category_rounding, base))| {
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
            let base = if aggregation == Aggregation::Sum { vec![single(base); outputs] } else { Vec::new() };
            let (inputs, outputs_32) = (INPUTS as u32, outputs as u32);
            let shape = Shape {
                inputs,
                outputs: outputs_32,
                aggregation,
                base,
                input_precision,
                sum_precision,
                category_rounding,
            };
            let trees: Vec<Tree> = trees.iter().map(|growth| growth.tree(outputs, leaf)).collect();
            TreeEnsemble::new(shape, &trees).expect("growth makes trees")
        },
    )
}

fn estimator(ensemble: &TreeEnsemble) -> Estimator {
    Estimator::of(Model::Trees(ensemble.clone()), Link::IDENTITY)
}

fn expected(ensemble: &TreeEnsemble, rows: &Array2<f64>) -> Vec<u64> {
    let (estimator, names) = (estimator(ensemble), names(INPUTS));
    let row = |row: ndarray::ArrayView1<'_, f64>| {
        naive::scores(&estimator, &names, &row.to_vec()).expect("no transforms")
    };
    rows.rows().into_iter().flat_map(row).map(f64::to_bits).collect()
}

/// The engines of all paths that can run here, and how many cannot run the model.
fn engines(ensemble: &TreeEnsemble) -> (Vec<(Path, TreeEngine)>, usize) {
    let paths = Kernel::ALL.into_iter().flat_map(|kernel| Simd::ALL.map(|simd| Path::of(kernel, simd)));
    let (mut engines, mut unfit) = (vec![(Path::default(), TreeEngine::new(ensemble))], 0);
    for path in paths {
        match TreeEngine::with_path(ensemble, path) {
            Ok(engine) => engines.push((path, engine)),
            Err(InvalidPath::Cpu { simd }) => assert!(!simd.is_available()),
            Err(_) => unfit += 1,
        }
    }
    (engines, unfit)
}

fn scores<'a>(engine: &TreeEngine, rows: impl Into<Rows<'a>>) -> Vec<u64> {
    let rows = rows.into();
    let mut out = vec![-1.0; rows.len() * engine.outputs()];
    engine.scores(rows, &mut out).expect("the widths fit");
    out.into_iter().map(f64::to_bits).collect()
}

fn check(ensemble: &TreeEnsemble, rows: &Array2<f64>) {
    let wanted = expected(ensemble, rows);
    let mut by_columns = Array2::zeros(rows.dim().f());
    by_columns.assign(rows);
    let mut wide = Array2::from_elem((rows.nrows() * 2, INPUTS + 2), f64::NAN);
    wide.slice_mut(s![..;2, 1..=INPUTS]).assign(rows);
    let mut backwards = rows.clone();
    backwards.invert_axis(Axis(0));
    let mut turned = backwards.as_standard_layout().into_owned();
    turned.invert_axis(Axis(0));
    let narrow = rows.mapv(|x| x as f32);
    let mut narrow_columns = Array2::zeros(rows.dim().f());
    narrow_columns.assign(&narrow);
    let wanted_narrow = expected(ensemble, &narrow.mapv(f64::from));
    for (path, engine) in engines(ensemble).0 {
        assert_eq!(scores(&engine, rows.view()), wanted, "{path:?} by rows");
        assert_eq!(scores(&engine, by_columns.view()), wanted, "{path:?} by columns");
        assert_eq!(scores(&engine, wide.slice(s![..;2, 1..=INPUTS])), wanted, "{path:?} with gaps");
        assert_eq!(scores(&engine, turned.view()), wanted, "{path:?} backwards");
        assert_eq!(scores(&engine, narrow.view()), wanted_narrow, "{path:?} f32 by rows");
        assert_eq!(scores(&engine, narrow_columns.view()), wanted_narrow, "{path:?} f32 by columns");
        let outputs = engine.outputs();
        for (row, wanted) in rows.rows().into_iter().zip(wanted.chunks(outputs)) {
            assert_eq!(scores(&engine, row), wanted, "{path:?} alone");
            let mut out = vec![-1.0; outputs];
            engine.row(&row.to_vec(), &mut out).expect("the widths fit");
            assert!(
                out.iter().zip(wanted).all(|(out, wanted)| out.to_bits() == *wanted),
                "{path:?} as a row"
            );
        }
    }
}

fn rows(most: usize) -> impl Strategy<Value = Array2<f64>> {
    vec([input(), input(), input(), input(), input()], 1..most).prop_map(Array2::from)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Trees that every kernel takes.
    #[test]
    fn every_path_equals_naive_on_small_trees(ensemble in ensemble(20), rows in rows(130)) {
        check(&ensemble, &rows);
    }

    /// Trees of up to 64 leaves, and of more.
    #[test]
    fn every_path_equals_naive_on_larger_trees(ensemble in ensemble(90), rows in rows(40)) {
        check(&ensemble, &rows);
    }
}

/// Models that learnt nothing, which have no column to read.
#[test]
fn trees_of_one_leaf_are_answered_by_every_path() {
    let stump = |value| Tree { nodes: vec![leaf(value)], ..Tree::default() };
    let shape = Shape { inputs: INPUTS as u32, outputs: 1, base: vec![0.25], ..Shape::default() };
    let rows = Array2::from_elem((70, INPUTS), f64::NAN);
    for trees in [&[][..], &[stump(1.5)], &[stump(1.5), stump(-0.5), stump(f64::MIN_POSITIVE)]] {
        check(&TreeEnsemble::new(shape.clone(), trees).expect("they are trees"), &rows);
    }
}

/// A comb: every split has a leaf on one side.
fn comb(splits: usize, left: bool, threshold: impl Fn(usize) -> f64) -> Tree {
    let mut nodes = Vec::new();
    for at in 0..splits {
        let here = nodes.len() as u32;
        let (leaf, next) = (here + 1, here + 2);
        let (left_child, right_child) = if left { (next, leaf) } else { (leaf, next) };
        let missing = Missing { left: at % 3 == 0, zero: at % 7 == 0 };
        let feature = (at % INPUTS) as u32;
        let test = Test::AtMost(threshold(at));
        nodes.push(Node::Split { feature, test, missing, left: left_child, right: right_child });
        nodes.push(Node::Leaf(Leaf::Scalar(at as f64)));
    }
    nodes.push(Node::Leaf(Leaf::Scalar(-1.0)));
    Tree { output: 0, nodes, ..Tree::default() }
}

fn grid(count: usize) -> Array2<f64> {
    Array2::from_shape_fn((count, INPUTS), |(row, input)| match (row + input) % 11 {
        0 => f64::NAN,
        1 => 0.0,
        k => ((row * 37 + input * 11) % 900) as f64 / 3.0 - 100.0 + k as f64 * 1e-9,
    })
}

fn sum(trees: &[Tree], input_precision: Precision) -> TreeEnsemble {
    let (inputs, base) = (INPUTS as u32, vec![0.25]);
    let shape = Shape { inputs, outputs: 1, base, input_precision, ..Shape::default() };
    TreeEnsemble::new(shape, trees).expect("trees")
}

fn check_sums(trees: &[Tree], rows: &Array2<f64>) {
    check(&sum(trees, Precision::F64), rows);
    check(&sum(trees, Precision::F32), rows);
}

#[test]
fn deep_combs_and_the_limits_of_leaves() {
    for splits in [1, 5, 6, 7, 31, 32, 63, 64, 127, 128, 254, 255, 256, 3000] {
        let trees = [
            comb(splits, true, |at| 200.0 - at as f64),
            comb(splits, false, |at| at as f64 - 100.0),
            Tree { output: 0, nodes: vec![Node::Leaf(Leaf::Scalar(0.5))], ..Tree::default() },
        ];
        check_sums(&trees, &grid(70));
    }
}

#[test]
fn features_with_more_thresholds_than_a_code_has_values() {
    for (trees, splits) in [(14, 60), (90, 60), (5, 250)] {
        let trees: Vec<Tree> = (0..trees)
            .map(|tree| {
                comb(splits, tree % 2 == 0, |at| ((tree * splits + at) * 7919 % 3000) as f64 / 10.0 - 100.0)
            })
            .collect();
        check_sums(&trees, &grid(130));
    }
}

#[test]
fn one_register_of_codes_two_and_four() {
    for sets in [30_u32, 100, 180, 250] {
        let set = |number: u32| Test::InSet(vec![0x5a5a_0000 | number, number << 7]);
        let trees: Vec<Tree> = (0..sets / 10)
            .map(|tree| {
                let mut tree_of_sets = comb(10, tree % 2 == 0, |_| 0.0);
                let mut numbers = tree * 10..;
                for node in &mut tree_of_sets.nodes {
                    if let Node::Split { feature, test, .. } = node {
                        (*feature, *test) = (tree % INPUTS as u32, set(numbers.next().unwrap_or(0)));
                    }
                }
                tree_of_sets
            })
            .collect();
        check_sums(&trees, &grid(40));
    }
}

#[test]
fn no_trees_and_batches_beyond_a_block() {
    check_sums(&[], &grid(3));
    let leaf = |value| Tree { nodes: vec![Node::Leaf(Leaf::Scalar(value))], ..Tree::default() };
    check_sums(&[leaf(0.5), leaf(-2.0)], &grid(3));
    let trees: Vec<Tree> =
        (0..33).map(|tree| comb(25, tree % 2 == 0, |at| (tree * at) as f64 / 5.0)).collect();
    for rows in [255, 256, 257, 321, 700] {
        let (ensemble, rows) = (sum(&trees, Precision::F32), grid(rows));
        let wanted = expected(&ensemble, &rows);
        for (path, engine) in engines(&ensemble).0 {
            assert_eq!(scores(&engine, rows.view()), wanted, "{path:?}");
        }
    }
}

#[test]
fn a_path_that_cannot_run_says_why() {
    let ensemble = sum(&[comb(64, true, |at| at as f64)], Precision::F64);
    let (_, unfit) = engines(&ensemble);
    let available = Simd::ALL.into_iter().filter(|simd| simd.is_available()).count();
    assert_eq!(unfit, 2 * available, "the walk by blocks and pointer jumping");
    let told = |kernel| {
        TreeEngine::with_path(&ensemble, Path::of(kernel, Simd::Portable)).expect_err("refused").to_string()
    };
    assert_eq!(
        told(Kernel::PointerJumping),
        "the kernel pointer jumping cannot run this model: a tree has 65 leaves, expected at most 64"
    );
    assert_eq!(
        told(Kernel::BlockWalk),
        "the kernel walk by blocks cannot run this model: it compares inputs in f64, expected f32"
    );
}

#[test]
fn what_only_the_plain_walk_runs_is_built_for_it_alone() {
    let (trees, splits) = (3, 40);
    let combs: Vec<Tree> = (0..trees).map(|_| comb(splits, true, |at| at as f64)).collect();
    let shape =
        Shape { inputs: INPUTS as u32, outputs: 1, aggregation: Aggregation::Max, ..Shape::default() };
    let greatest = TreeEnsemble::new(shape, &combs).expect("trees");
    let (nodes, leaves) = (trees * (2 * splits + 1), trees * (splits + 1));
    let padding = 64;
    let expected = 16 * nodes + 8 * (leaves + padding) + 8 * trees;
    assert_eq!(TreeEngine::new(&greatest).memory_bytes(), expected);
    check(&greatest, &grid(20));
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    // Large enough that the largest batch is worth several threads.
    let trees: Vec<Tree> =
        (0..100).map(|tree| comb(60, tree % 2 == 0, |at| (tree * at) as f64 / 5.0)).collect();
    let estimator = estimator(&sum(&trees, Precision::F32));
    let kernels = [Kernel::Walk, Kernel::BlockWalk, Kernel::BottomUp, Kernel::PointerJumping];
    for kernel in kernels.map(Some).into_iter().chain([None]) {
        let path = Path { kernel, simd: None };
        let pipeline =
            Pipeline::with_path(lenient(INPUTS), &estimator, regression(), DecisionPolicy::Argmax, path)
                .expect("fits");
        for count in [1, 130, 1000, 5003] {
            let rows = grid(count);
            let mut alone = vec![0.0; count];
            pipeline.score_batch(rows.view(), &mut alone).expect("fits");
            for threads in [1, 2, 3, 8] {
                let pool = Pool::new(threads).expect("threads start");
                let mut shared = vec![-1.0; count];
                pipeline.score_batch_on(&pool, rows.view(), &mut shared).expect("fits");
                assert!(
                    alone.iter().zip(&shared).all(|(a, b)| a.to_bits() == b.to_bits()),
                    "{threads} threads"
                );
                let mut batch = serve_core::BatchPrediction::new();
                pipeline.predict_batch_on(&pool, rows.view(), &mut batch).expect("fits");
                assert_eq!(batch.scores(), alone);
            }
        }
    }
}
