//! Estimators compiled for speed: transforms resolved to positions, models laid out for the engine. The stored form of a
//! model knows nothing of this layout, so kernels can change without touching a bundle or another crate.
//!
//! A row's answer has the same bits alone and in any batch: every sum runs in the stored order, per row.

use ndarray::ArrayView1;
use thiserror::Error;

use super::path::{InvalidPath, Path};
use super::rows::Rows;
use super::trees::TreeEngine;
use crate::ensemble::{MAX_DEPTH, Model, WeightedEnsemble};
use crate::graph::{Program, Scratch};
use crate::linear::LinearModel;
use crate::link::Link;
use crate::pipeline::Estimator;
use crate::prediction::Scores;
use crate::scaler::{InvalidScaler, Scaler};
use crate::transform::{InvalidTransform, Plan};

/// Rows computed together: enough for the engine's blocks, few enough that raw scores stay in the cache.
const BLOCK: usize = 1024;

/// An estimator whose parts do not fit together.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum InvalidEstimator {
    /// A transform cannot be applied.
    #[error(transparent)]
    Transform(#[from] InvalidTransform),
    /// The scaler does not fit the transformed columns.
    #[error(transparent)]
    Scaler(#[from] InvalidScaler),
    /// The model takes another number of columns than the transforms make.
    #[error("the model takes {model} columns, the transforms make {columns}")]
    Width {
        /// What the model takes.
        model: usize,
        /// What comes out of the transforms.
        columns: usize,
    },
    /// The link function takes one raw score, the model gives several.
    #[error("the link function takes one raw score, the model gives {raw}")]
    Link {
        /// What the model gives.
        raw: usize,
    },
    /// An ensemble's members give different numbers of scores.
    #[error("member {member} gives {got} scores, the first gives {expected}")]
    Member {
        /// Which member, from 0.
        member: usize,
        /// What the first gives.
        expected: usize,
        /// What this one gives.
        got: usize,
    },
    /// The path that was forced cannot run the model here.
    #[error(transparent)]
    Path(#[from] InvalidPath),
    /// Ensembles of ensembles beyond any use.
    #[error("ensembles are nested more than {MAX_DEPTH} deep")]
    Depth,
}

#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one per loaded model")]
enum Kernel {
    Linear(LinearModel),
    Trees(TreeEngine),
    Ensemble { weights: Vec<f64>, members: Vec<Compiled> },
    Graph(Program),
}

/// An estimator ready to run.
#[derive(Debug)]
pub(crate) struct Compiled {
    plan: Plan,
    scaler: Option<Scaler>,
    kernel: Kernel,
    raw: usize,
    link: Link,
}

/// Scratch memory, used again from call to call.
#[derive(Debug, Default)]
pub(crate) struct Workspace {
    loose: Vec<f64>,
    slots: Vec<f64>,
    prepared: Vec<f64>,
    raw: Vec<f64>,
    member: Vec<f64>,
    nested: Option<Box<Workspace>>,
    graph: Scratch,
}

impl Compiled {
    pub(crate) fn new<'a>(
        inputs: impl Iterator<Item = &'a str> + Clone,
        estimator: &Estimator,
        path: Path,
    ) -> Result<Self, InvalidEstimator> {
        Self::nested(inputs, estimator, path, 0)
    }

    fn nested<'a>(
        inputs: impl Iterator<Item = &'a str> + Clone,
        estimator: &Estimator,
        path: Path,
        depth: usize,
    ) -> Result<Self, InvalidEstimator> {
        if depth > MAX_DEPTH {
            return Err(InvalidEstimator::Depth);
        }
        let (plan, names) = Plan::new(inputs, &estimator.transforms)?;
        if let Some(scaler) = &estimator.scaler {
            scaler.validate(plan.width())?;
        }
        let (kernel, model, raw) = match &estimator.model {
            Model::Linear(model) => (Kernel::Linear(model.clone()), model.inputs(), model.outputs()),
            Model::Trees(trees) => {
                let engine = TreeEngine::with_path(trees, path)?;
                (Kernel::Trees(engine), trees.inputs(), trees.outputs())
            }
            Model::Ensemble(ensemble) => {
                let (kernel, raw) = compile_members(ensemble, &names, path, depth)?;
                (kernel, plan.width(), raw)
            }
            Model::Graph(graph) => {
                (Kernel::Graph(Program::new(graph, path)?), graph.inputs(), graph.outputs())
            }
        };
        if model != plan.width() {
            return Err(InvalidEstimator::Width { model, columns: plan.width() });
        }
        let link = estimator.link;
        if raw != 1 && link.takes_one_score() {
            return Err(InvalidEstimator::Link { raw });
        }
        Ok(Self { plan, scaler: estimator.scaler.clone(), kernel, raw, link })
    }

    /// The tree ensembles in it, in order. Members are nested at most [`MAX_DEPTH`] deep.
    pub(crate) fn tree_engines(&self) -> Vec<&TreeEngine> {
        match &self.kernel {
            Kernel::Linear(_) => Vec::new(),
            Kernel::Trees(engine) => vec![engine],
            Kernel::Ensemble { members, .. } => members.iter().flat_map(Self::tree_engines).collect(),
            Kernel::Graph(program) => program.tree_engines().collect(),
        }
    }

    /// Nanoseconds that a row takes in a large batch, roughly and at least.
    pub(crate) fn ns_per_row(&self) -> f64 {
        let own = match &self.kernel {
            Kernel::Linear(model) => 0.5 * (model.inputs() * model.outputs()) as f64,
            Kernel::Trees(engine) => engine.ns_per_row(),
            Kernel::Ensemble { members, .. } => members.iter().map(Self::ns_per_row).sum(),
            Kernel::Graph(program) => program.tree_engines().map(TreeEngine::ns_per_row).sum(),
        };
        own + self.plan.width() as f64
    }

    /// How many scores a row gets.
    pub(crate) fn outputs(&self) -> usize {
        self.link.outputs(self.raw)
    }

    /// The scores of `rows` into `out`, row-major `[n, outputs]`.
    pub(crate) fn scores(&self, rows: &Rows<'_>, out: &mut [f64], space: &mut Workspace) {
        let outputs = self.outputs();
        for (start, out) in (0..rows.len()).step_by(BLOCK).zip(out.chunks_mut(BLOCK * outputs)) {
            let whole = start == 0 && rows.len() <= BLOCK;
            let block = if whole { *rows } else { rows.slice(start, rows.len().min(start + BLOCK)) };
            self.block(&block, out, space);
        }
    }

    /// The scores of one row. A bare tree ensemble is asked at once: at this size every detour shows.
    pub(crate) fn row(&self, row: &[f64], out: &mut [f64], space: &mut Workspace) {
        match &self.kernel {
            Kernel::Trees(engine) if self.plan.is_identity() && self.scaler.is_none() => {
                let mut raw = Scores::from_elem(0.0, self.raw);
                let fitted = engine.row(row, &mut raw);
                debug_assert_eq!(fitted, Ok(()));
                self.link.apply(&raw, out);
            }
            _ => self.scores(&ArrayView1::from(row).into(), out, space),
        }
    }

    fn block(&self, rows: &Rows<'_>, out: &mut [f64], space: &mut Workspace) {
        let mut raw = std::mem::take(&mut space.raw);
        // The kernels write every place; what is left from other rows is not read.
        raw.resize(rows.len() * self.raw, 0.0);
        if self.plan.is_identity() && self.scaler.is_none() {
            self.kernel_scores(rows, &mut raw, space);
        } else {
            let mut prepared = std::mem::take(&mut space.prepared);
            self.prepare(rows, &mut prepared, space);
            self.kernel_scores(&Rows::of(&prepared, self.plan.width()), &mut raw, space);
            space.prepared = prepared;
        }
        for (raw, out) in raw.chunks_exact(self.raw).zip(out.chunks_exact_mut(self.outputs())) {
            self.link.apply(raw, out);
        }
        space.raw = raw;
    }

    fn prepare(&self, rows: &Rows<'_>, prepared: &mut Vec<f64>, space: &mut Workspace) {
        prepared.clear();
        for row in 0..rows.len() {
            rows.copy_row(row, &mut space.loose);
            if self.plan.is_identity() {
                prepared.extend_from_slice(&space.loose);
            } else {
                self.plan.apply(&space.loose, &mut space.slots, prepared);
            }
        }
        if let Some(scaler) = &self.scaler {
            prepared.chunks_exact_mut(self.plan.width()).for_each(|row| scaler.transform(row));
        }
    }

    fn kernel_scores(&self, rows: &Rows<'_>, raw: &mut [f64], space: &mut Workspace) {
        match &self.kernel {
            Kernel::Linear(model) => {
                for (row, out) in raw.chunks_exact_mut(model.outputs()).enumerate() {
                    rows.copy_row(row, &mut space.loose);
                    model.score(&space.loose, out);
                }
            }
            Kernel::Trees(engine) => {
                // The widths were compared when the estimator was compiled.
                let fitted = engine.scores(*rows, raw);
                debug_assert_eq!(fitted, Ok(()));
            }
            Kernel::Ensemble { weights, members } => {
                let mut nested = space.nested.take().unwrap_or_default();
                let mut member = std::mem::take(&mut space.member);
                weighted_mean(weights, members, rows, raw, &mut member, &mut nested);
                space.member = member;
                space.nested = Some(nested);
            }
            Kernel::Graph(program) => {
                rows.copy_all(&mut space.loose);
                program.scores(&space.loose, raw, &mut space.graph);
            }
        }
    }
}

fn compile_members(
    ensemble: &WeightedEnsemble,
    names: &[String],
    path: Path,
    depth: usize,
) -> Result<(Kernel, usize), InvalidEstimator> {
    let names = || names.iter().map(String::as_str);
    let mut members = Vec::with_capacity(ensemble.members().len());
    let mut weights = Vec::with_capacity(ensemble.members().len());
    for member in ensemble.members() {
        members.push(Compiled::nested(names(), &member.estimator, path, depth + 1)?);
        weights.push(member.weight);
    }
    let expected = members.first().map_or(0, Compiled::outputs);
    match members.iter().position(|member| member.outputs() != expected) {
        Some(member) => Err(InvalidEstimator::Member { member, expected, got: members[member].outputs() }),
        None => Ok((Kernel::Ensemble { weights, members }, expected)),
    }
}

fn weighted_mean(
    weights: &[f64],
    members: &[Compiled],
    rows: &Rows<'_>,
    raw: &mut [f64],
    scores: &mut Vec<f64>,
    space: &mut Workspace,
) {
    raw.fill(0.0);
    scores.clear();
    scores.resize(raw.len(), 0.0);
    for (weight, member) in weights.iter().zip(members) {
        member.scores(rows, scores, space);
        raw.iter_mut().zip(&*scores).for_each(|(sum, score)| *sum += score * weight);
    }
    let total: f64 = weights.iter().sum();
    raw.iter_mut().for_each(|sum| *sum /= total);
}
