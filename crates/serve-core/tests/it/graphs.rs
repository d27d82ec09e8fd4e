//! Random graphs: what the builder infers, its folding of constants, the naive evaluator and the engine, row by row and
//! in batches, all say what the definitions of the operators say, bit for bit, for NaN, infinities, both zeros and texts
//! too. `PROPTEST_CASES=20000` asks for more of them.

use proptest::prelude::*;
use serve_core::graph::{Dtype, GraphBuilder, InvalidGraph, Op, Unary};
use serve_core::{
    CheckedRow, Datatype, DecisionPolicy, Estimator, Graph, Input, Link, MissingPolicy, Model, Pipeline,
    Signature, Target, Task, Value,
};

use crate::graph_definitions::Array;
use crate::graph_recipes::{INPUTS, NUMBERS, Recipe};

const WORDS: [&str; 2] = ["red", "green"];
/// The code of other texts.
const UNKNOWN: f64 = 2.0;

/// As [`Recipe::shown`] has them.
fn shown(values: &[f64]) -> Vec<f64> {
    let finite = values.iter().map(|&x| if x.is_finite() { x } else { 0.0 });
    let missing = values.iter().map(|x| f64::from(u8::from(x.is_nan())));
    let sign = values.iter().map(|x| if x.is_infinite() { x.signum() } else { 0.0 });
    finite.chain(missing).chain(sign).collect()
}

/// The bits, of which NaN has but one pattern here.
fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|x| if x.is_nan() { f64::NAN.to_bits() } else { x.to_bits() }).collect()
}

fn pipeline(graph: Graph) -> Pipeline {
    let nan = |name: String| Input::number(name).missing(MissingPolicy::Nan);
    let mut inputs: Vec<Input> = (0..INPUTS).map(|i| nan(format!("x{i}"))).collect();
    let text = &mut inputs[INPUTS - 1];
    text.datatype = Datatype::Bytes;
    text.vocabulary = Some(WORDS.map(str::to_owned).to_vec());
    text.unknown = Some(UNKNOWN);
    let outputs: Vec<String> = (0..graph.outputs()).map(|k| k.to_string()).collect();
    let task = if outputs.len() == 1 { Task::Regression } else { Task::MultiRegression { outputs } };
    let target = Target { name: "y".to_owned(), task };
    let estimator = Estimator::of(Model::Graph(graph), Link::default());
    Pipeline::new(Signature::new(inputs).expect("valid"), &estimator, target, DecisionPolicy::Argmax)
        .expect("it fits")
}

/// The row with its text instead of the text's code.
fn values(row: &[f64]) -> Vec<Value<'static>> {
    let text = |code: f64| match () {
        () if code.is_nan() => Value::Missing,
        () => Value::Text(WORDS.get(code as usize).copied().unwrap_or("blue").into()),
    };
    let numbers = row[..INPUTS - 1].iter().map(|&x| Value::Number(x));
    numbers.chain([text(row[INPUTS - 1])]).collect()
}

fn row() -> impl Strategy<Value = Vec<f64>> {
    let number = || prop_oneof![proptest::sample::select(&NUMBERS[..]), -3.0..3.0];
    let text = proptest::sample::select(&[0.0, 1.0, UNKNOWN, f64::NAN][..]);
    (proptest::collection::vec(number(), INPUTS - 1), text)
        .prop_map(|(numbers, text)| numbers.into_iter().chain([text]).collect())
}

/// What the engine has in its buffers from other tensors is no answer.
#[test]
fn a_gather_from_an_empty_axis_finds_nothing() -> Result<(), InvalidGraph> {
    let mut graph = GraphBuilder::new(INPUTS);
    let row = graph.columns(vec![0, 1], Dtype::F64)?;
    let nothing = graph.select(row, 1, &[])?;
    let places = graph.constant(Dtype::I64, &[2], vec![0.0, -1.0])?;
    let gathered = graph.push(Op::Gather { axis: 1 }, &[nothing, places])?;
    let missing = graph.unary(Unary::IsNan, gathered)?;
    let answer = graph.cast(missing, Dtype::F64)?;
    let pipeline = pipeline(graph.finish(answer)?);
    assert_eq!(pipeline.predict(&[1.0, 2.0, 3.0, 0.0]).expect("finite").scores(), [1.0, 1.0]);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_graphs_answer_by_the_definitions_of_their_operators(
        tape in proptest::collection::vec(any::<u32>(), 0..160),
        rows in proptest::collection::vec(row(), 1..7),
    ) {
        let recipe = Recipe::random(&tape);
        let arrays: Vec<Vec<Array>> = rows.iter().map(|row| recipe.arrays(row)).collect();
        for (place, &tensor) in recipe.tensors.iter().enumerate() {
            if recipe.shape(place).contains(&0) {
                continue;
            }
            let (graph, said) = (recipe.builder.clone().finish(tensor).expect("small"), &recipe.steps[place]);
            for (row, arrays) in rows.iter().zip(&arrays) {
                prop_assert_eq!(bits(&graph.evaluate(row)), bits(&arrays[place].values), "{:?} of {:?}", said, row);
            }
        }
        let last = (0..recipe.tensors.len()).rfind(|&at| !recipe.shape(at).contains(&0)).expect("the first one");
        let pipeline = pipeline(recipe.shown(recipe.tensors[last]));
        let expected: Vec<f64> = arrays.iter().flat_map(|arrays| shown(&arrays[last].values)).collect();
        let mut scores = vec![0.0; expected.len()];
        let view = ndarray::Array2::from_shape_vec((rows.len(), INPUTS), rows.concat()).expect("rectangular");
        pipeline.score_batch(view.view(), &mut scores).expect("the widths fit");
        prop_assert_eq!(bits(&scores), bits(&expected), "{:?}", recipe.steps);
        let mut checked = CheckedRow::new();
        for (row, expected) in rows.iter().zip(expected.chunks(expected.len() / rows.len())) {
            pipeline.signature().read_positional(&values(row), &mut checked).expect("admitted");
            let alone = pipeline.predict_checked(&checked).expect("finite");
            prop_assert_eq!(bits(alone.scores()), bits(expected), "{:?} of {:?}", recipe.steps, row);
        }
    }
}
