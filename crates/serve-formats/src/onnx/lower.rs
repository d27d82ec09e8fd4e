//! From an ONNX graph's nodes to a graph of serve-core, for one row: the batch dimension is 1, so every shape is known
//! and what depends on shapes alone becomes a constant.
//!
//! Texts are numbers: every text that the file names has an identity, and an input's codes become identities where
//! they enter.

use std::collections::HashMap;

use serve_core::ensemble::Model;
use serve_core::graph::{Dtype, GraphBuilder, InvalidGraph, Lookup, Op, Tensor};
use serve_core::link::Link;

use super::file::{GraphFile, KINDS, NodeFile, TensorFile, Values, kind_name};
use super::inputs::Inputs;
use super::operators;
use crate::error::{ImportError, shown};

/// Why a node cannot be lowered; its place is known outside.
pub(super) enum Fault {
    /// Something is not as it must be.
    Invalid { expected: String, got: String },
    /// Something is not supported.
    Unsupported { what: String, supported: &'static str },
    /// Operands do not fit.
    Problem(String),
    /// It has a place of its own.
    Import(ImportError),
}

impl Fault {
    pub(super) fn invalid(expected: impl Into<String>, got: impl Into<String>) -> Self {
        Self::Invalid { expected: expected.into(), got: got.into() }
    }

    pub(super) fn unsupported(what: impl Into<String>, supported: &'static str) -> Self {
        Self::Unsupported { what: what.into(), supported }
    }

    fn at(self, node: &NodeFile<'_>) -> ImportError {
        let place = node.place();
        match self {
            Self::Invalid { expected, got } => ImportError::Invalid { place, expected, got },
            Self::Unsupported { what, supported } => ImportError::Unsupported { place, what, supported },
            Self::Problem(problem) => ImportError::Graph { place, problem },
            Self::Import(error) => error,
        }
    }
}

impl From<InvalidGraph> for Fault {
    fn from(error: InvalidGraph) -> Self {
        Self::Problem(format!("{}: {}", error.op, error.problem))
    }
}

impl From<ImportError> for Fault {
    fn from(error: ImportError) -> Self {
        Self::Import(error)
    }
}

/// What a name in the file stands for.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// Numbers.
    Number(Tensor),
    /// Texts, by identity; -1 is a text that the file does not name.
    Text(Tensor),
}

/// A model whose scores stand in the graph, for the short way past it.
#[derive(Debug)]
pub(super) struct Bare {
    pub(super) scores: Tensor,
    pub(super) model: Model,
    pub(super) link: Link,
}

/// A graph on its way.
#[derive(Debug)]
pub(super) struct Lowering<'a> {
    pub(super) graph: GraphBuilder,
    pub(super) opset: i64,
    pub(super) bare: Vec<Bare>,
    pub(super) inputs: Inputs,
    values: HashMap<&'a str, Value>,
    tensors: HashMap<&'a str, &'a TensorFile<'a>>,
    texts: HashMap<String, usize>,
    words: Vec<String>,
}

impl<'a> Lowering<'a> {
    pub(super) fn new(file: &'a GraphFile<'a>, opset: i64, inputs: Inputs) -> Result<Self, ImportError> {
        let tensors = file.tensors.iter().map(|tensor| (tensor.name, tensor)).collect();
        let mut lowering = Self {
            graph: GraphBuilder::new(inputs.width()),
            opset,
            bare: Vec::new(),
            inputs,
            values: HashMap::new(),
            tensors,
            texts: HashMap::new(),
            words: Vec::new(),
        };
        lowering.enter(file)?;
        Ok(lowering)
    }

    fn enter(&mut self, file: &'a GraphFile<'a>) -> Result<(), ImportError> {
        // Known texts first, so that a vocabulary's codes are its identities where there is one.
        for words in self.inputs.words().collect::<Vec<_>>() {
            for word in &words {
                self.identity(word);
            }
        }
        for input in self.inputs.tensors.clone() {
            let place = || crate::error::Place::Path(format!("input {}", shown(&input.name)));
            let Some(declared) = file.inputs.iter().find(|value| value.name == input.name) else { continue };
            let entered = self.entered(&input.columns, input.dtype, &input.shape);
            let value =
                entered.map_err(|error| ImportError::Graph { place: place(), problem: error.problem })?;
            self.values.insert(declared.name, value);
        }
        Ok(())
    }

    fn entered(
        &mut self,
        columns: &[u32],
        dtype: Option<Dtype>,
        shape: &[usize],
    ) -> Result<Value, InvalidGraph> {
        let Some(dtype) = dtype else {
            let mut parts = Vec::new();
            for &column in columns {
                let code = self.graph.columns(vec![column], Dtype::F64)?;
                let words = self.inputs.vocabulary(column);
                let values: Vec<f64> = words.iter().map(|word| self.identity(word)).collect();
                let keys = (0..values.len()).map(|code| code as f64).collect();
                let lookup = Lookup { keys, values, otherwise: -1.0, dtype: Dtype::I64 };
                parts.push(self.graph.push(Op::Lookup(lookup), &[code])?);
            }
            let ids = self.graph.concat(1, &parts)?;
            return Ok(Value::Text(self.graph.reshape(ids, shape)?));
        };
        let row = self.graph.columns(columns.to_vec(), dtype)?;
        Ok(Value::Number(self.graph.reshape(row, shape)?))
    }

    /// The number of a text.
    pub(super) fn identity(&mut self, text: &str) -> f64 {
        if let Some(&known) = self.texts.get(text) {
            return known as f64;
        }
        self.texts.insert(text.to_owned(), self.words.len());
        self.words.push(text.to_owned());
        (self.words.len() - 1) as f64
    }

    /// The text of each number.
    pub(super) fn text_of(&self, identity: f64) -> Option<&str> {
        self.words.get(identity as usize).filter(|_| identity >= 0.0).map(String::as_str)
    }

    /// Remembers that an encoder on this tensor of texts knows these.
    pub(super) fn know(&mut self, ids: Tensor, words: &[&str], has_rule: bool) {
        for origin in self.graph.origins(ids) {
            for source in origin.sources {
                self.inputs.know(source, words, has_rule);
            }
        }
    }

    pub(super) fn run(&mut self, nodes: &[&'a NodeFile<'a>]) -> Result<(), ImportError> {
        for node in nodes {
            let results = operators::lower(node, self).map_err(|fault| fault.at(node))?;
            for (name, value) in node.outputs.iter().zip(results) {
                self.values.insert(name, value);
            }
        }
        Ok(())
    }

    /// What a name stands for, if there is something of that name.
    pub(super) fn value(&mut self, name: &str) -> Result<Option<Value>, Fault> {
        if let Some(value) = self.values.get(name) {
            return Ok(Some(value.clone()));
        }
        let Some((&name, &tensor)) = self.tensors.get_key_value(name) else { return Ok(None) };
        let value = self.tensor(tensor)?;
        self.values.insert(name, value.clone());
        Ok(Some(value))
    }

    /// A tensor of the file as a constant.
    pub(super) fn tensor(&mut self, tensor: &TensorFile<'_>) -> Result<Value, Fault> {
        let shape = tensor.shape()?;
        match tensor.values()? {
            Values::Texts(texts) => {
                let ids = texts.iter().map(|text| self.identity(text)).collect();
                Ok(Value::Text(self.graph.constant(Dtype::I64, &shape, ids)?))
            }
            Values::Numbers(numbers) => {
                Ok(Value::Number(self.graph.constant(dtype(tensor.kind)?, &shape, numbers)?))
            }
        }
    }

    /// An operand that may be left out.
    pub(super) fn optional(&mut self, node: &NodeFile<'_>, operand: usize) -> Result<Option<Value>, Fault> {
        match node.inputs.get(operand) {
            None | Some(&"") => Ok(None),
            Some(name) => match self.value(name)? {
                Some(value) => Ok(Some(value)),
                None => {
                    let got = format!("{}, which no earlier node makes", shown(name));
                    Err(Fault::invalid("a tensor of an earlier node", got))
                }
            },
        }
    }

    /// An operand.
    pub(super) fn operand(&mut self, node: &NodeFile<'_>, operand: usize) -> Result<Value, Fault> {
        let value = self.optional(node, operand)?;
        value.ok_or_else(|| Fault::invalid(format!("an operand {operand}"), "none"))
    }

    /// An operand that is numbers.
    pub(super) fn number(&mut self, node: &NodeFile<'_>, operand: usize) -> Result<Tensor, Fault> {
        match self.operand(node, operand)? {
            Value::Number(tensor) => Ok(tensor),
            Value::Text(_) => Err(Fault::invalid("numbers", "texts")),
        }
    }

    /// The values of an operand that must not depend on the row; `None` where it is left out.
    pub(super) fn constant(
        &mut self,
        node: &NodeFile<'_>,
        operand: usize,
    ) -> Result<Option<Vec<f64>>, Fault> {
        match self.optional(node, operand)? {
            None => Ok(None),
            Some(Value::Number(tensor)) => match self.graph.value(tensor) {
                Some(values) => Ok(Some(values.to_vec())),
                None => Err(Fault::unsupported(
                    format!("operand {operand} that depends on the row"),
                    "a constant there",
                )),
            },
            Some(Value::Text(_)) => Err(Fault::invalid("numbers", "texts")),
        }
    }

    /// The operand as rows `[rows, width]`; one dimension is one row.
    pub(super) fn rows(&mut self, node: &NodeFile<'_>, operand: usize) -> Result<Tensor, Fault> {
        let x = self.number(node, operand)?;
        match *self.graph.shape(x) {
            [_, _] => Ok(x),
            [width] => Ok(self.graph.reshape(x, &[1, width])?),
            ref shape => Err(Fault::invalid("rows, which are two dimensions", format!("{shape:?}"))),
        }
    }

    /// The operand as `f32` rows.
    pub(super) fn single_rows(&mut self, node: &NodeFile<'_>, operand: usize) -> Result<Tensor, Fault> {
        let x = self.rows(node, operand)?;
        Ok(self.graph.cast(x, Dtype::F32)?)
    }
}

/// Our type of an element type.
pub(super) fn dtype(kind: i64) -> Result<Dtype, Fault> {
    match kind {
        1 => Ok(Dtype::F32),
        11 => Ok(Dtype::F64),
        2..=7 | 12 | 13 => Ok(Dtype::I64),
        9 => Ok(Dtype::Bool),
        _ => Err(Fault::unsupported(format!("the element type {}", kind_name(kind)), KINDS)),
    }
}
