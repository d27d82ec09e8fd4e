//! An estimator compiled for explaining: transforms and scaler as they predict, then trees, a linear model, or the
//! members of an ensemble. Everything that scores are multiplied by on their way (an average's divisor, a member's
//! weight) is multiplied into leaves and weights here, once.

use std::collections::{HashMap, HashSet};

use super::kernel::{Block, Scratch};
use super::labels::Labels;
use super::layout::{Chosen, Layout};
use super::linear::{self, Linear};
use super::quadrature::Quadrature;
use super::{Background, ExplainOptions, Unexplainable};
use crate::engine::{InvalidEstimator, Path};
use crate::ensemble::{MAX_DEPTH, Model, WeightedEnsemble};
use crate::graph::{GraphNode, Op, Program};
use crate::linear::LinearModel;
use crate::link::{LinkFunction, Precision};
use crate::manifest::{Target, Task};
use crate::pipeline::Estimator;
use crate::scaler::Scaler;
use crate::transform::Plan;
use crate::tree::{Aggregation, CategoryRounding, TreeEnsemble};

#[derive(Debug)]
enum Kernel {
    Linear(Linear),
    Trees(Box<Trees>),
    Members(Vec<Part>),
}

#[derive(Debug)]
struct Trees {
    layout: Layout,
    /// By number of points.
    quadratures: HashMap<usize, Quadrature>,
    round_inputs: bool,
    below_categories: f64,
}

/// One estimator.
#[derive(Debug)]
pub(super) struct Part {
    inputs: usize,
    plan: Plan,
    scaler: Option<Scaler>,
    /// What a graph does to a row before its one model sees it.
    graph: Option<Program>,
    /// How many columns the kernel sees.
    width: usize,
    kernel: Kernel,
}

/// Scratch memory, used again from call to call.
#[derive(Debug, Default)]
pub(super) struct Space {
    slots: Vec<f64>,
    prepared: Vec<f64>,
    trees: Scratch,
    graph: crate::graph::Scratch,
    seen: Vec<f64>,
    nested: Option<Box<Space>>,
}

impl Part {
    /// Adds the contributions to `rows`, row-major, to `out`, `[rows, outputs, width]`.
    pub(super) fn add(&self, rows: &[f64], out: &mut [f64], width: usize, space: &mut Space) {
        let mut prepared = std::mem::take(&mut space.prepared);
        prepared.clear();
        rows.chunks_exact(self.inputs).for_each(|row| self.plan.apply(row, &mut space.slots, &mut prepared));
        if let Some(scaler) = &self.scaler {
            prepared.chunks_exact_mut(self.plan.width()).for_each(|row| scaler.transform(row));
        }
        if let Some(program) = &self.graph {
            let count = prepared.len() / self.plan.width().max(1);
            space.seen.clear();
            space.seen.resize(count * self.width, 0.0);
            program.scores(&prepared, &mut space.seen, &mut space.graph);
            std::mem::swap(&mut prepared, &mut space.seen);
        }
        match &self.kernel {
            Kernel::Linear(model) => model.add(&prepared, out, width),
            Kernel::Trees(trees) => {
                if trees.round_inputs {
                    prepared.iter_mut().for_each(|x| *x = f64::from(*x as f32));
                }
                let (inputs, below_categories) = (self.width, trees.below_categories);
                let outputs = out.len() / width / (prepared.len() / inputs).max(1);
                let mut block = Block { rows: &prepared, inputs, out, outputs, width, below_categories };
                trees.add(&mut block, &mut space.trees);
            }
            Kernel::Members(members) => {
                let mut nested = space.nested.take().unwrap_or_default();
                members.iter().for_each(|member| member.add(&prepared, out, width, &mut nested));
                space.nested = Some(nested);
            }
        }
        space.prepared = prepared;
    }
}

impl Trees {
    fn add(&self, block: &mut Block<'_>, scratch: &mut Scratch) {
        for tree in &self.layout.trees {
            if let Some(quadrature) = self.quadratures.get(&(tree.lanes * tree.passes)) {
                self.layout.explain(tree, quadrature, block, scratch);
            }
        }
    }
}

/// What building gives.
pub(super) struct Built {
    pub(super) part: Part,
    pub(super) names: Vec<String>,
    /// Names of the outputs where there is more than one.
    pub(super) outputs: Vec<String>,
    pub(super) base: Vec<f64>,
    pub(super) background: Background,
    pub(super) averaged_over: Option<usize>,
}

/// What is gathered while parts are built.
pub(super) struct Builder {
    labels: Labels,
    /// The explained outputs, by their place among the raw scores.
    outputs: Vec<usize>,
    base: Vec<f64>,
    background: Option<Background>,
    sums_of_averages: bool,
    averaged_over: Option<usize>,
}

impl Builder {
    pub(super) fn build(
        inputs: &[String],
        estimator: &Estimator,
        target: &Target,
        options: ExplainOptions,
    ) -> Result<Built, Unexplainable> {
        let raw = raw_outputs(&estimator.model);
        // The second of two scores is the positive class's; the first tells nothing that it does not.
        let two_classes = raw == 2 && target.task.classes().len() == 2;
        let outputs = if two_classes { vec![1] } else { (0..raw).collect() };
        let mut builder = Self {
            labels: Labels::default(),
            base: vec![0.0; outputs.len()],
            outputs,
            background: None,
            sums_of_averages: options.sums_of_averages && matches!(estimator.model, Model::Trees(_)),
            averaged_over: None,
        };
        let places: Vec<u32> = inputs.iter().map(|name| builder.labels.place(name)).collect();
        let part = builder.part(estimator, inputs, &places, 1.0, 0)?;
        let names = match &target.task {
            Task::MultiRegression { outputs } => outputs.as_slice(),
            task => task.classes(),
        };
        let outputs = match builder.outputs.len() {
            1 => Vec::new(),
            count if count == names.len() => names.to_vec(),
            count => (0..count).map(|output| output.to_string()).collect(),
        };
        let names = builder.labels.into_names();
        Ok(Built {
            part,
            outputs,
            base: builder.base,
            background: builder.background.unwrap_or(Background::Mixed),
            averaged_over: builder.averaged_over,
            names,
        })
    }

    fn part(
        &mut self,
        estimator: &Estimator,
        inputs: &[String],
        labels: &[u32],
        scale: f64,
        depth: usize,
    ) -> Result<Part, Unexplainable> {
        if depth > MAX_DEPTH {
            return Err(InvalidEstimator::Depth.into());
        }
        let (plan, columns) = Plan::new(inputs.iter().map(String::as_str), &estimator.transforms)
            .map_err(InvalidEstimator::from)?;
        if let Some(scaler) = &estimator.scaler {
            scaler.validate(plan.width()).map_err(InvalidEstimator::from)?;
        }
        let labels = self.labels.of_columns(inputs, labels, &estimator.transforms, &columns);
        let model = estimator.model.inputs().unwrap_or(plan.width());
        if model != plan.width() {
            return Err(InvalidEstimator::Width { model, columns: plan.width() }.into());
        }
        let (scaler, mut width, mut graph) = (estimator.scaler.clone(), plan.width(), None);
        let kernel = match &estimator.model {
            Model::Linear(model) => {
                self.found(linear::background(scaler.as_ref()));
                Kernel::Linear(self.linear(model, scale, &labels))
            }
            Model::Trees(trees) => Kernel::Trees(Box::new(self.trees(trees, scale, &labels)?)),
            Model::Ensemble(ensemble) => {
                Kernel::Members(self.members(ensemble, &columns, &labels, scale, depth)?)
            }
            Model::Graph(whole) => {
                let inside = whole.explainable().map_err(|reason| Unexplainable::Kind { reason })?;
                graph = Some(Program::new(&inside.prefix, Path::default())?);
                width = inside.columns.len();
                let labels = self.labels.of_graph(&columns, &labels, &inside.columns);
                self.inside(&inside.model, scale, &labels)?
            }
        };
        Ok(Part { inputs: inputs.len(), plan, scaler, graph, width, kernel })
    }

    /// The one model of a graph.
    fn inside(&mut self, model: &Model, scale: f64, labels: &[u32]) -> Result<Kernel, Unexplainable> {
        match model {
            Model::Linear(model) if model.inputs() == labels.len() => {
                self.found(Background::Zero);
                Ok(Kernel::Linear(self.linear(model, scale, labels)))
            }
            Model::Trees(trees) if trees.inputs() == labels.len() => {
                Ok(Kernel::Trees(Box::new(self.trees(trees, scale, labels)?)))
            }
            _ => Err(Unexplainable::Kind { reason: "the graph holds a model of another kind".to_owned() }),
        }
    }

    fn found(&mut self, background: Background) {
        let same = self.background.is_none_or(|found| found == background);
        self.background = Some(if same { background } else { Background::Mixed });
    }

    fn linear(&mut self, model: &LinearModel, scale: f64, labels: &[u32]) -> Linear {
        for (base, &output) in self.base.iter_mut().zip(&self.outputs) {
            *base += scale * model.intercept()[output];
        }
        Linear::new(model, &self.outputs, scale, labels)
    }

    fn trees(&mut self, trees: &TreeEnsemble, scale: f64, labels: &[u32]) -> Result<Trees, Unexplainable> {
        let shape = trees.shape();
        match shape.aggregation {
            Aggregation::Min => return Err(Unexplainable::NoSum { which: "least" }),
            Aggregation::Max => return Err(Unexplainable::NoSum { which: "greatest" }),
            Aggregation::Sum | Aggregation::Average | Aggregation::Vote => {}
        }
        if trees.has_linear_leaves() {
            return Err(Unexplainable::LinearLeaves);
        }
        if !trees.has_cover() {
            return Err(Unexplainable::NoCovers);
        }
        self.found(Background::NodeCovers);
        let scales = self.scales(trees, scale);
        for (base, &output) in self.base.iter_mut().zip(&self.outputs) {
            *base += scale * shape.base.get(output).copied().unwrap_or(0.0);
        }
        let chosen = Chosen { outputs: &self.outputs, scales: &scales, labels };
        let layout = Layout::new(trees, &chosen, &mut self.base)?;
        let counts: HashSet<usize> = layout.point_counts().collect();
        Ok(Trees {
            quadratures: counts.into_iter().map(|n| (n, Quadrature::new(n))).collect(),
            layout,
            round_inputs: shape.input_precision == Precision::F32,
            below_categories: match shape.category_rounding {
                CategoryRounding::Truncate => -1.0,
                CategoryRounding::Floor => (0.0_f64).next_down(),
            },
        })
    }

    /// What the leaves of each explained output are multiplied by.
    fn scales(&mut self, trees: &TreeEnsemble, scale: f64) -> Vec<f64> {
        if trees.shape().aggregation == Aggregation::Sum {
            return vec![scale; self.outputs.len()];
        }
        let all = trees.has_vector_leaves() || trees.shape().aggregation == Aggregation::Vote;
        let count = |output: usize| {
            let own = |tree: &crate::tree::Tree| all || tree.output as usize == output;
            trees.trees().filter(own).count().max(1)
        };
        let counts: Vec<usize> = self.outputs.iter().map(|&output| count(output)).collect();
        if self.sums_of_averages {
            self.averaged_over = counts.first().copied();
            return vec![scale; self.outputs.len()];
        }
        counts.iter().map(|&trees| scale / trees as f64).collect()
    }

    fn members(
        &mut self,
        ensemble: &WeightedEnsemble,
        columns: &[String],
        labels: &[u32],
        scale: f64,
        depth: usize,
    ) -> Result<Vec<Part>, Unexplainable> {
        let total: f64 = ensemble.members().iter().map(|member| member.weight).sum();
        let mut parts = Vec::with_capacity(ensemble.members().len());
        let expected = ensemble.members().first().map_or(0, |first| raw_outputs(&first.estimator.model));
        for (member, part) in ensemble.members().iter().enumerate() {
            if part.estimator.link.function != LinkFunction::Identity {
                return Err(Unexplainable::MemberLink { member });
            }
            if matches!(part.estimator.model, Model::Graph(_)) {
                let reason =
                    format!("member {member} of the ensemble is a graph, whose answer may be no raw score");
                return Err(Unexplainable::Kind { reason });
            }
            let got = raw_outputs(&part.estimator.model);
            if got != expected {
                return Err(InvalidEstimator::Member { member, expected, got }.into());
            }
            let scale = scale * part.weight / total;
            parts.push(self.part(&part.estimator, columns, labels, scale, depth + 1)?);
        }
        Ok(parts)
    }
}

/// How many raw scores a model gives. Ensembles are looked into by their first members, which the loader has held to
/// [`MAX_DEPTH`].
fn raw_outputs(model: &Model) -> usize {
    let mut model = model;
    loop {
        match model {
            Model::Linear(model) => return model.outputs(),
            Model::Trees(trees) => return trees.outputs(),
            Model::Graph(graph) => {
                let inside = |node: &GraphNode| match &node.op {
                    Op::Linear(model) => Some(model.outputs()),
                    Op::Trees(trees) => Some(trees.outputs()),
                    _ => None,
                };
                return graph.nodes().iter().find_map(inside).unwrap_or(0);
            }
            Model::Ensemble(ensemble) => match ensemble.members().first() {
                // Members are explained only where their link is the identity, which keeps the number.
                Some(first) => model = &first.estimator.model,
                None => return 0,
            },
        }
    }
}
