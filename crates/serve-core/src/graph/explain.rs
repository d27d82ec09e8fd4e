//! Which input each column comes from that a graph's one model sees, for explanations.

use super::build::prune;
use super::op::Op;
use super::{Column, Graph, Tensor};
use crate::ensemble::Model;

/// A graph as what is done to a row, and the one tree ensemble or linear model that sees the result.
#[derive(Debug, Clone)]
pub struct Explainable {
    /// Makes the model's columns of a row.
    pub prefix: Graph,
    /// The model: [`Model::Trees`] or [`Model::Linear`].
    pub model: Model,
    /// What its columns are.
    pub columns: Vec<Column>,
}

impl Graph {
    /// Takes the graph apart for explanations.
    ///
    /// # Errors
    /// A sentence that says why it cannot be: it holds no tree ensemble or linear model, or more than one, or the answer
    /// depends on the row past the model.
    pub fn explainable(&self) -> Result<Explainable, String> {
        let models: Vec<usize> = (0..self.nodes.len())
            .filter(|&node| matches!(self.nodes[node].op, Op::Linear(_) | Op::Trees(_)))
            .collect();
        let [model] = models[..] else {
            return Err(format!("the graph holds {} models, explanations need one", models.len()));
        };
        self.check_links(model)?;
        let operand = self.nodes[model].operands[0];
        let (nodes, output) = prune(self.nodes.clone(), operand);
        let prefix = Self::new(self.inputs, nodes, output).map_err(|error| error.to_string())?;
        let columns = super::provenance::columns(&prefix.nodes, &prefix.types, prefix.output);
        let model = match &self.nodes[model].op {
            Op::Linear(model) => Model::Linear(model.clone()),
            Op::Trees(trees) => Model::Trees(trees.clone()),
            other => return Err(format!("{} is no model", other.name())),
        };
        if self.types[operand.0 as usize].shape[0] != 1 {
            return Err("the graph's model sees several rows at once".to_owned());
        }
        Ok(Explainable { prefix, model, columns })
    }

    /// What the answer depends on past the model must be the model alone.
    fn check_links(&self, model: usize) -> Result<(), String> {
        let mut needed = vec![false; self.nodes.len()];
        needed[self.output.0 as usize] = true;
        for number in (0..self.nodes.len()).rev().filter(|&number| number != model) {
            if !needed[number] {
                continue;
            }
            let node = &self.nodes[number];
            if matches!(node.op, Op::Columns { .. }) {
                return Err("the graph's answer depends on its inputs past the model".to_owned());
            }
            node.operands.iter().for_each(|&Tensor(operand)| needed[operand as usize] = true);
        }
        if needed[model] { Ok(()) } else { Err("the graph's answer does not depend on its model".to_owned()) }
    }
}
