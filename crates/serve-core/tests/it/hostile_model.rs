//! `model.bin` in an attacker's hands: the envelope's digest is always right, since whoever can write the file can write
//! that too.

use proptest::prelude::*;
use serve_core::link::Precision;
use serve_core::scaler::Affine;
use serve_core::tree::{Aggregation, Leaf, Shape, Test};
use serve_core::{
    DecisionPolicy, Digest, Estimator, Link, Member, Model, Node, Pipeline, Scaler, Transform, Tree,
    TreeEnsemble, envelope,
};

use crate::ensembles::ensemble;
use crate::memory::measure;
use crate::models::{leaf, lenient, linear, regression, split, trees};

const HEADER: usize = 52;

/// What the length limit of a small payload allows, with room for the decoder's own growth.
const BOUND: isize = 4 << 20;

fn sealed(payload: &[u8]) -> Vec<u8> {
    let mut bytes = envelope::seal(&()).expect("encodes")[..12].to_vec();
    bytes.extend((payload.len() as u64).to_le_bytes());
    bytes.extend(Digest::of(payload).as_bytes());
    bytes.extend(payload);
    bytes
}

fn payload(model: &Model) -> Vec<u8> {
    envelope::seal(&(model, Link::default())).expect("encodes")[HEADER..].to_vec()
}

fn open(payload: &[u8]) -> Result<(Model, Link), envelope::EnvelopeError> {
    envelope::open(&sealed(payload))
}

fn categorical() -> Vec<Node> {
    let mut nodes =
        vec![split(0, 0.5, true, 1, 2), leaf(1.0), split(1, 0.0, false, 3, 4), leaf(2.0), leaf(3.0)];
    if let Node::Split { test, .. } = &mut nodes[2] {
        *test = Test::InSet(vec![0b1011, 1]);
    }
    nodes
}

fn forest() -> Model {
    let shape = Shape { inputs: 2, outputs: 1, base: vec![0.25], ..Shape::default() };
    let tree = Tree { output: 0, nodes: categorical(), ..Tree::default() };
    trees(shape, &[tree.clone(), tree])
}

/// Every kind of array that a model file can hold: weights, trees, members, and the transforms and scalers of members.
fn everything() -> Model {
    let prepared = Estimator {
        transforms: vec![Transform::Clip { columns: vec!["x0".into()], min: Some(0.0), max: None }],
        scaler: Some(Scaler::Robust(Affine {
            center: Some(vec![1.0, 2.0]),
            scale: Some(vec![1.0, 2.0]),
            clip: Some((-9.0, 9.0)),
        })),
        ..Estimator::of(linear(&[vec![1.0, 2.0]], vec![0.5]), Link::default())
    };
    let members = [prepared, Estimator::of(forest(), Link::default())];
    ensemble(members.map(|estimator| Member { weight: 1.0, estimator }).to_vec()).model
}

/// As far as a server would go with it.
fn use_it(model: Model, link: Link) {
    let estimator = Estimator::of(model, link);
    if let Ok(pipeline) = Pipeline::new(lenient(2), &estimator, regression(), DecisionPolicy::Argmax) {
        for row in [[0.0, 1.0], [f64::NAN, f64::INFINITY], [-1e300, 1e9]] {
            // Any answer will do, a refusal too.
            drop(pipeline.predict(&row));
        }
    }
}

#[test]
fn what_is_written_opens() {
    let model = everything();
    let (back, link) = open(&payload(&model)).expect("opens");
    assert_eq!((&back, link), (&model, Link::default()));
}

/// Wherever a length stands, this finds it: at every place of the payload, whether a length stands there or not.
#[test]
fn hostile_lengths_ask_for_no_memory() {
    let whole = payload(&everything());
    let mut refused = 0;
    for at in 0..whole.len() - 7 {
        for length in [u64::MAX, 1 << 63, 1 << 40, 1 << 32, 1 << 20, 65_536] {
            let mut bytes = whole.clone();
            bytes[at..at + 8].copy_from_slice(&length.to_le_bytes());
            let (opened, usage) = measure(|| open(&bytes).map(|(model, link)| use_it(model, link)));
            assert!(usage.peak_bytes < BOUND, "{length} at {at}: {usage:?}");
            refused += usize::from(opened.is_err());
        }
    }
    // Seventeen lengths stand in it at least, each refused at each of the six values.
    assert!(refused > 17 * 6, "{refused}");
}

#[test]
fn a_length_beyond_the_payload_is_a_decoding_error() {
    // Offset 4 of a linear model is its number of inputs, offset 12 the length of its weights.
    let whole = payload(&linear(&[vec![1.0, 2.0]], vec![0.5]));
    assert_eq!(whole[12..20], 2_u64.to_le_bytes());
    for length in [u64::MAX, 1 << 40, 3] {
        let mut bytes = whole.clone();
        bytes[12..20].copy_from_slice(&length.to_le_bytes());
        let error = open(&bytes).expect_err("refused");
        assert!(matches!(error, envelope::EnvelopeError::Decode { .. }), "{length}: {error}");
    }
}

/// Ensembles in ensembles, written by hand: a member of weight 1 without transforms or scaler, which is an ensemble again.
fn nested(depth: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..depth {
        bytes.extend(2_u32.to_le_bytes()); // the third kind of model
        bytes.extend(1_u64.to_le_bytes()); // members
        bytes.extend(1.0_f64.to_le_bytes()); // weight
        bytes.extend(2_u64.to_le_bytes()); // length of the transforms' text
        bytes.extend(b"[]");
        bytes.push(0); // no scaler
    }
    bytes.extend(payload(&linear(&[vec![1.0]], vec![0.0])));
    // The links of the members: identity, in f64.
    bytes.extend(std::iter::repeat_n(0, depth * 8));
    bytes
}

#[test]
fn thousands_of_nested_ensembles_do_not_exhaust_the_stack() {
    assert!(open(&nested(3)).is_ok(), "the bytes written by hand are right");
    let read = || open(&nested(50_000)).expect_err("refused").to_string();
    let thread = std::thread::Builder::new().stack_size(256 << 10).spawn(read).expect("a thread");
    let told = thread.join().expect("the stack sufficed");
    assert!(told.contains("ensembles are nested more than 4 deep"), "{told}");
    assert!(open(&nested(3)).is_ok(), "a refusal leaves no depth behind");
}

#[test]
fn a_long_chain_of_splits_is_walked_without_recursion() {
    let depth = 200_000_u32;
    let mut nodes = Vec::new();
    for i in 0..depth {
        nodes.push(split(0, f64::from(i), false, 2 * i + 1, 2 * i + 2));
        nodes.push(leaf(f64::from(i)));
    }
    nodes.push(leaf(-1.0));
    let shape = Shape { inputs: 1, outputs: 1, ..Shape::default() };
    let work = move || {
        let model = trees(shape, &[Tree { output: 0, nodes, ..Tree::default() }]);
        let (model, link) = open(&payload(&model)).expect("opens");
        let estimator = Estimator::of(model, link);
        let pipeline =
            Pipeline::new(lenient(1), &estimator, regression(), DecisionPolicy::Argmax).expect("fits");
        pipeline.predict(&[1e9]).expect("answered").value()
    };
    let thread = std::thread::Builder::new().stack_size(512 << 10).spawn(work).expect("a thread");
    assert_eq!(thread.join().expect("the stack sufficed"), Some(-1.0));
}

#[test]
fn outputs_without_numbers_behind_them_are_refused() {
    let nodes = vec![leaf(1.0)];
    let built = |outputs| {
        let shape = Shape { inputs: 1, outputs, ..Shape::default() };
        TreeEnsemble::new(shape, &[Tree { output: 0, nodes: nodes.clone(), ..Tree::default() }])
            .map_err(|e| e.to_string())
    };
    assert!(built(64).is_ok());
    for outputs in [65, u32::MAX] {
        let (error, usage) = measure(|| built(outputs).expect_err("refused"));
        assert_eq!(
            error,
            format!("ensemble: expected at most 64 outputs for its leaf values, got {outputs}")
        );
        assert!(usage.peak_bytes < 1 << 16);
    }
}

/// A small file must not grow in memory by pointing all its leaves to one long list of values.
#[test]
fn leaves_that_share_their_values_are_refused() {
    let vector = || Node::Leaf(Leaf::Vector(vec![0.5; 3]));
    let nodes = vec![split(0, 0.0, false, 1, 2), vector(), vector()];
    let shape = Shape {
        inputs: 1,
        outputs: 3,
        aggregation: Aggregation::Average,
        input_precision: Precision::F32,
        ..Shape::default()
    };
    let mut bytes = payload(&trees(shape, &[Tree { output: 0, nodes, ..Tree::default() }]));
    // The values: their length, then six numbers. One leaf's are taken out.
    let list = [6_u64.to_le_bytes().to_vec(), 0.5_f64.to_le_bytes().repeat(6)].concat();
    let at = bytes.windows(list.len()).position(|window| window == list).expect("the values are there");
    bytes.splice(
        at..at + list.len(),
        [3_u64.to_le_bytes().to_vec(), 0.5_f64.to_le_bytes().repeat(3)].concat(),
    );
    // The second leaf now points to the first one's values.
    let left = [3_u64.to_le_bytes().to_vec(), [1_u32, 0, 1].map(u32::to_le_bytes).concat()].concat();
    let at = bytes.windows(left.len()).position(|window| window == left).expect("the children are there");
    bytes[at + left.len() - 4..at + left.len()].fill(0);
    let told = open(&bytes).expect_err("refused").to_string();
    assert!(told.contains("its arrays do not fit together"), "{told}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Flipped, cut off or repeated: whatever opens can be used, and nothing panics.
    #[test]
    fn damage_behind_a_right_digest_never_panics(
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in proptest::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let mut bytes = payload(&everything());
        flips.iter().for_each(|(at, byte)| *at.get_mut(&mut bytes) ^= byte);
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let (_, usage) = measure(|| open(&bytes).map(|(model, link)| use_it(model, link)));
        prop_assert!(usage.peak_bytes < BOUND);
    }

    #[test]
    fn damage_anywhere_in_the_file_never_panics(
        flips in proptest::collection::vec((any::<prop::sample::Index>(), 1_u8..), 1..3),
    ) {
        let mut bytes = sealed(&payload(&everything()));
        let whole = bytes.clone();
        flips.iter().for_each(|(at, byte)| *at.get_mut(&mut bytes) ^= byte);
        prop_assert_eq!(envelope::open::<(Model, Link)>(&bytes).is_ok(), bytes == whole);
    }
}
