//! Random ONNX files of the operators of the standard domain: what is imported answers by the definitions of the operators,
//! for NaN and infinities too, and the engine as the naive evaluator.

use proptest::prelude::*;
use serve_core::graph::{Binary, Dtype, Extreme, GraphBuilder, Op, Reduction, Tensor, Unary};
use serve_core::naive;
use serve_formats::{Format, import};

use crate::cases::{chain, pipeline};
use crate::graph_definitions::{Array, Step, apply};
use crate::onnx_writer::{Message, ints, node, value};

const INPUTS: usize = 3;
const MOST_VALUES: usize = 24;
const NUMBERS: [f32; 12] =
    [0.0, 1.0, f32::NAN, -1.0, f32::INFINITY, 0.5, -0.0, f32::NEG_INFINITY, 2.0, -2.5, 1e30, 7.25];
const UNARY: [(&str, Unary); 18] = [
    ("Abs", Unary::Abs),
    ("Neg", Unary::Neg),
    ("Exp", Unary::Exp),
    ("Log", Unary::Log),
    ("Sqrt", Unary::Sqrt),
    ("Reciprocal", Unary::Reciprocal),
    ("Floor", Unary::Floor),
    ("Ceil", Unary::Ceil),
    ("Round", Unary::Round),
    ("Sign", Unary::Sign),
    ("Erf", Unary::Erf),
    ("Relu", Unary::Relu),
    ("Tanh", Unary::Tanh),
    ("Sigmoid", Unary::Sigmoid),
    ("Softplus", Unary::Softplus),
    ("Not", Unary::Not),
    ("IsNaN", Unary::IsNan),
    ("IsInf", Unary::IsInf),
];
const BINARY: [(&str, Binary); 12] = [
    ("Add", Binary::Add),
    ("Sub", Binary::Sub),
    ("Mul", Binary::Mul),
    ("Div", Binary::Div),
    ("Pow", Binary::Pow),
    ("Less", Binary::Less),
    ("LessOrEqual", Binary::LessOrEqual),
    ("Greater", Binary::Greater),
    ("GreaterOrEqual", Binary::GreaterOrEqual),
    ("Equal", Binary::Equal),
    ("And", Binary::And),
    ("Xor", Binary::Xor),
];
const REDUCTIONS: [(&str, Reduction); 6] = [
    ("ReduceMean", Reduction::Mean),
    ("ReduceMax", Reduction::Max),
    ("ReduceMin", Reduction::Min),
    ("ReduceL1", Reduction::L1),
    ("ReduceSumSquare", Reduction::SumSquare),
    ("ReduceLogSumExp", Reduction::LogSumExp),
];
/// ONNX's number of each type.
const TYPES: [(i64, Dtype); 4] = [(1, Dtype::F32), (7, Dtype::I64), (9, Dtype::Bool), (11, Dtype::F64)];

/// A file under construction, with what its nodes mean.
struct File {
    nodes: Vec<Message>,
    steps: Vec<(Step, Vec<usize>)>,
    /// Tells which operators fit.
    builder: GraphBuilder,
    tensors: Vec<Tensor>,
}

/// A number of an attribute.
fn int(name: &str, value: i64) -> Message {
    Message::default().text(1, name).varint(3, value as u64)
}

/// Random choices, which shrink with their numbers.
struct Tape<'a>(std::slice::Iter<'a, u32>);

impl Tape<'_> {
    fn below(&mut self, end: usize) -> usize {
        self.0.next().map_or(0, |&number| number as usize % end.max(1))
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

impl File {
    fn random(numbers: &[u32]) -> Self {
        let mut tape = Tape(numbers.iter());
        let builder = GraphBuilder::new(INPUTS);
        let mut file = Self { nodes: Vec::new(), steps: Vec::new(), builder, tensors: Vec::new() };
        let columns = Op::Columns { columns: (0..INPUTS as u32).collect(), dtype: Dtype::F32 };
        assert!(file.means(Step::Op(columns), &[]));
        while tape.0.len() > 0 {
            file.add(&mut tape);
        }
        file
    }

    /// Whether the step fits its operands, which makes it the meaning of the next node.
    fn means(&mut self, step: Step, operands: &[usize]) -> bool {
        let x: Vec<Tensor> = operands.iter().map(|&operand| self.tensors[operand]).collect();
        let mut builder = self.builder.clone();
        let made = match &step {
            Step::Op(op) => builder.push(op.clone(), &x),
            Step::Transpose(order) => builder.transpose(x[0], order),
            Step::Expand(shape) => builder.expand(x[0], shape),
            Step::Select(axis, picked) => builder.select(x[0], *axis, picked),
        };
        let Ok(tensor) = made else { return false };
        let fits = builder.shape(tensor).iter().product::<usize>() <= MOST_VALUES;
        if fits {
            self.builder = builder;
            self.tensors.push(tensor);
            self.steps.push((step, operands.to_vec()));
        }
        fits
    }

    /// Writes the node, if its step fits.
    fn try_add(&mut self, op: &str, operands: &[usize], attributes: &[Message], step: Step) -> bool {
        if !self.means(step, operands) {
            return false;
        }
        let names: Vec<String> = operands.iter().map(|&operand| name(operand)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        self.nodes.push(node(op, "", &names, &name(self.tensors.len() - 1), attributes));
        true
    }

    /// Tries a random operator on a random tensor, and on others that fit it.
    fn add(&mut self, tape: &mut Tape<'_>) {
        let count = self.tensors.len();
        let (x, other) = (tape.below(count), tape.below(count));
        let rank = self.builder.shape(self.tensors[x]).len();
        let axis = tape.below(rank) as u32;
        match tape.below(11) {
            0 | 1 => {
                let (op, unary) = tape.pick(&UNARY);
                self.try_add(op, &[x], &[], Step::Op(Op::Unary(unary)));
            }
            2 | 3 => {
                let (op, binary) = tape.pick(&BINARY);
                self.add_with_other(op, [x, other], &[], &Op::Binary(binary));
            }
            4 => {
                let (number, dtype) = tape.pick(&TYPES);
                // A cast to the type that a tensor has is dropped, and what stands for an index out of range with it.
                if self.builder.dtype(self.tensors[x]) != dtype {
                    self.try_add("Cast", &[x], &[int("to", number)], Step::Op(Op::Cast(dtype)));
                }
            }
            5 => {
                let mut order: Vec<usize> = (0..rank).collect();
                order.rotate_left(tape.below(rank));
                let told = ints("perm", order.iter().map(|&axis| axis as u64));
                self.try_add("Transpose", &[x], &[told], Step::Transpose(order));
            }
            6 if tape.below(3) == 0 => {
                let (op, kind) = tape.pick(&REDUCTIONS);
                self.try_add(op, &[x], &[], Step::Op(Op::Reduce { kind, axes: vec![] }));
            }
            _ => self.add_along([x, other], axis, tape),
        }
    }

    fn add_along(&mut self, x: [usize; 2], axis: u32, tape: &mut Tape<'_>) {
        let told = [int("axis", i64::from(axis))];
        match tape.below(7) {
            0 => {
                let (op, kind) = tape.pick(&REDUCTIONS);
                let told = ints("axes", [u64::from(axis)].into_iter());
                self.try_add(op, &x[..1], &[told], Step::Op(Op::Reduce { kind, axes: vec![axis] }));
            }
            1 => {
                let (op, extreme) = tape.pick(&[("ArgMax", Extreme::Max), ("ArgMin", Extreme::Min)]);
                let last = tape.below(2) == 1;
                let told = [told[0].clone(), int("select_last_index", i64::from(last))];
                self.try_add(op, &x[..1], &told, Step::Op(Op::Arg { extreme, axis, last }));
            }
            2 => {
                let (op, log) = tape.pick(&[("Softmax", false), ("LogSoftmax", true)]);
                self.try_add(op, &x[..1], &told, Step::Op(Op::Softmax { axis, log }));
            }
            3 => self.add_with_other("Concat", x, &told, &Op::Concat { axis }),
            4 => self.add_with_other("Gather", x, &told, &Op::Gather { axis }),
            5 => self.add_with_other("GatherElements", x, &told, &Op::GatherElements { axis }),
            _ => self.add_with_other("MatMul", x, &[], &Op::MatMul),
        }
    }

    /// With the first tensor, and the first from the second on that fits it.
    fn add_with_other(&mut self, op: &str, [x, other]: [usize; 2], attributes: &[Message], step: &Op) {
        let count = self.tensors.len();
        let mut others = (0..count).map(|i| (other + i) % count);
        others.any(|other| self.try_add(op, &[x, other], attributes, Step::Op(step.clone())));
    }

    /// The file, whose answer is its last tensor as one row of floats.
    fn bytes(&self) -> (Vec<u8>, usize) {
        let last = self.tensors.len() - 1;
        let size: usize = self.builder.shape(self.tensors[last]).iter().product();
        let graph = self.nodes.iter().fold(Message::default(), |graph, node| graph.message(1, node));
        let cast = node("Cast", "", &[&name(last)], "floats", &[int("to", 1)]);
        let flat = node("Reshape", "", &["floats", "row"], "Y", &[]);
        let mut shape = Message::default();
        [1, size as u64].into_iter().for_each(|n| shape.push(n));
        let shape = Message::default().varint(1, 2).varint(2, 7).text(8, "row").bytes(7, &shape.0);
        let graph = graph.message(1, &cast).message(1, &flat).message(5, &shape);
        let graph = graph.message(11, &value("t0", 1, &[1, INPUTS as u64]));
        let graph = graph.message(12, &value("Y", 1, &[1, size as u64]));
        let opset = Message::default().text(1, "").varint(2, 17);
        (Message::default().varint(1, 8).message(7, &graph).message(8, &opset).0, size)
    }

    /// What the last tensor's values are for a row, by the definitions.
    fn answer(&self, row: &[f64]) -> Vec<f64> {
        let mut arrays: Vec<Array> = Vec::new();
        for (step, operands) in &self.steps {
            let x: Vec<&Array> = operands.iter().map(|&operand| &arrays[operand]).collect();
            arrays.push(apply(step, &x, row));
        }
        let last = arrays.pop().expect("the input");
        last.values.iter().map(|&x| f64::from(x as f32)).collect()
    }
}

fn name(tensor: usize) -> String {
    format!("t{tensor}")
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|x| if x.is_nan() { f64::NAN.to_bits() } else { x.to_bits() }).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_files_answer_by_the_definitions_of_their_operators(
        tape in proptest::collection::vec(any::<u32>(), 0..80),
        rows in proptest::collection::vec(proptest::collection::vec(proptest::sample::select(&NUMBERS[..]), INPUTS), 1..6),
    ) {
        let file = File::random(&tape);
        let (bytes, size) = file.bytes();
        prop_assume!(size > 0);
        let model = import(&bytes, Format::Onnx).unwrap_or_else(|error| panic!("{}: {:?}", chain(&error), file.steps));
        let pipeline = pipeline(&model);
        let names = model.feature_names();
        for row in rows {
            let row: Vec<f64> = row.into_iter().map(f64::from).collect();
            let expected = file.answer(&row);
            let answered = naive::scores(&model.estimator, &names, &row).unwrap();
            prop_assert_eq!(self::bits(&answered), self::bits(&expected), "{:?} of {:?}", file.steps, row);
            // A feature that nothing can stand in for refuses NaN and infinities, as an answer that is not finite does.
            if let Ok(engine) = pipeline.predict(&row) {
                prop_assert_eq!(self::bits(engine.scores()), self::bits(&expected), "{:?} of {:?}", file.steps, row);
            } else {
                prop_assert!(row.iter().chain(&expected).any(|x| !x.is_finite()), "{:?} of {:?}", file.steps, row);
            }
        }
    }
}
