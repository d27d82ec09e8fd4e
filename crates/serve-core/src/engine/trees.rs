//! The bare engine: raw scores of a tree ensemble, without transforms, link or decision.

use std::cell::RefCell;

use ndarray::ArrayView1;
use thiserror::Error;

use super::block_walk::BlockWalk;
use super::bottom_up::{self, BottomUp};
use super::codes::{Codes, Staging};
use super::cost::{self, Size};
use super::kernels::Instructions;
use super::leaves::{AnyLeaves, Gathered, Leaves, Number};
use super::lower::Lowered;
use super::path::{InvalidPath, Kernel, Path, Simd};
use super::plain_walk::PlainWalk;
use super::pointer_jumping::{self, PointerJumping};
use super::rows::Rows;
use super::rule::{can_run, pick};
use super::walk::{self, Walk};
use crate::tree::TreeEnsemble;

/// A tree ensemble compiled for speed. Immutable and `Sync`.
///
/// The kernel is picked by the number of rows in a call and the model's shape; what each limit was measured at stands in
/// `docs/engine.md`:
///
/// | instructions | rows | trees | kernel |
/// |---|---|---|---|
/// | AVX-512 | up to 7 … 63, by the splits | up to 64 leaves, at most 256 columns | [`Kernel::PointerJumping`], then [`Kernel::BottomUp`] |
/// | AVX-512 | up to 47, or 127 with over 128 leaves | up to 256 leaves, balanced, inputs in `f32`, at most 128 columns | [`Kernel::BlockWalk`], then [`Kernel::BottomUp`] |
/// | AVX-512 | up to 19 | up to 256 leaves | [`Kernel::Walk`], then [`Kernel::BottomUp`] |
/// | AVX-512 | any | balanced, inputs in `f32`, at most 128 columns | [`Kernel::BlockWalk`] |
/// | AVX2 | up to 19 | depth up to 6 | [`Kernel::Walk`], then [`Kernel::BottomUp`] |
/// | AVX2 | up to 9 | up to 256 leaves | [`Kernel::Walk`], then [`Kernel::BottomUp`] |
/// | any | any | other | [`Kernel::Walk`] |
///
/// A *column* is what a split reads: a feature's value with one way to treat missing values and at most 255 thresholds, or
/// membership in one set of categories. Trees are *balanced* where blocks of four levels take no more memory than nodes.
///
/// ```
/// use ndarray::array;
/// use serve_core::engine::TreeEngine;
/// use serve_core::tree::{Leaf, Missing, Node, Shape, Test, Tree, TreeEnsemble};
/// let split = Node::Split { feature: 0, test: Test::AtMost(0.5), missing: Missing::default(), left: 1, right: 2 };
/// let leaf = |value| Node::Leaf(Leaf::Scalar(value));
/// let tree = Tree { output: 0, nodes: vec![split, leaf(-1.0), leaf(1.0)], ..Tree::default() };
/// let ensemble = TreeEnsemble::new(Shape { inputs: 1, outputs: 1, ..Shape::default() }, &[tree])?;
/// let mut scores = [0.0; 3];
/// TreeEngine::new(&ensemble).scores(array![[0.5], [0.6], [f64::NAN]].view(), &mut scores)?;
/// assert_eq!(scores, [-1.0, 1.0, 1.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct TreeEngine {
    inputs: usize,
    outputs: usize,
    instructions: Instructions,
    leaves: AnyLeaves,
    codes: Option<Codes>,
    kernels: Kernels,
    /// The kernel below the limit, the limit, and the kernel from it on.
    few: Kernel,
    limit: usize,
    many: Kernel,
    /// Runs instead of every kernel, where no kernel can.
    plain: Option<Box<PlainWalk>>,
}

/// What the rule may pick.
#[derive(Debug, Default)]
struct Kernels {
    walk: Option<Walk>,
    block_walk: Option<BlockWalk>,
    bottom_up: Option<BottomUp>,
    pointer_jumping: Option<PointerJumping>,
}

/// Rows or a place for scores that do not fit the model.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidRows {
    /// The rows have another number of columns than the model has inputs.
    #[error("the rows have {got} columns, the model takes {expected}")]
    Inputs {
        /// What the model takes.
        expected: usize,
        /// What came.
        got: usize,
    },
    /// The place for scores has another length than there are scores.
    #[error("there is place for {got} scores, expected {expected}")]
    Scores {
        /// Rows times outputs.
        expected: usize,
        /// What came.
        got: usize,
    },
}

#[derive(Debug, Default)]
struct Space<N> {
    bottom_up: bottom_up::Space<N>,
    pointer_jumping: pointer_jumping::Space<N>,
    sums: Vec<N>,
}

#[derive(Debug, Default)]
struct Scratch {
    staging: Staging,
    walk: walk::Space,
    row: Vec<f64>,
    f64: Space<f64>,
    f32: Space<f32>,
}

thread_local! {
    /// Per thread, so that scoring allocates nothing once warm and shares nothing between threads.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl TreeEngine {
    /// Compiles an ensemble for this CPU. `O(nodes · log nodes)`.
    ///
    /// # Panics
    /// Never: the rule picks only what can run.
    #[must_use]
    pub fn new(ensemble: &TreeEnsemble) -> Self {
        Self::with_path(ensemble, Path::default()).expect("the rule picks what can run")
    }

    /// Compiles an ensemble for a forced path.
    ///
    /// # Errors
    /// When the CPU lacks the instructions, or the kernel cannot run the model.
    pub fn with_path(ensemble: &TreeEnsemble, path: Path) -> Result<Self, InvalidPath> {
        let simd = path.simd.unwrap_or_else(Simd::best);
        let instructions = Instructions::detect(simd).ok_or(InvalidPath::Cpu { simd })?;
        if PlainWalk::is_needed(ensemble) {
            return Self::plain(ensemble, path, instructions);
        }
        let mut gathered = Gathered::default();
        let lowered = Lowered::new(ensemble, |tree, leaf| gathered.push(tree, &leaf));
        let leaves = gathered.finish(ensemble.shape(), ensemble.outputs_of_trees());
        let codes = if lowered.most_leaves() <= bottom_up::MOST_LEAVES { Codes::new(&lowered) } else { None };
        let (few, limit, many) = match path.kernel {
            Some(kernel) => (kernel, 0, kernel),
            None => pick(&lowered, codes.as_ref(), simd),
        };
        let mut kernels = Kernels::default();
        for kernel in [few, many] {
            can_run(kernel, &lowered, codes.as_ref())
                .map_err(|problem| InvalidPath::Shape { kernel, problem })?;
            kernels.build(kernel, &lowered, codes.as_ref(), &leaves, simd);
        }
        let codes = codes.filter(|_| [few, many].iter().any(|kernel| kernel.asks_codes()));
        let (inputs, outputs) = (ensemble.inputs(), ensemble.outputs());
        Ok(Self { inputs, outputs, instructions, leaves, codes, kernels, few, limit, many, plain: None })
    }

    /// The engine of an ensemble that no kernel can run: only what the plain walk needs is built.
    fn plain(ensemble: &TreeEnsemble, path: Path, instructions: Instructions) -> Result<Self, InvalidPath> {
        if let Some(kernel) = path.kernel.filter(|kernel| *kernel != Kernel::Walk) {
            let problem = "its leaves are linear models, or scores are the least or greatest leaf".to_owned();
            return Err(InvalidPath::Shape { kernel, problem });
        }
        Ok(Self {
            inputs: ensemble.inputs(),
            outputs: ensemble.outputs(),
            instructions,
            leaves: Gathered::default().finish(ensemble.shape(), Vec::new()),
            codes: None,
            kernels: Kernels::default(),
            few: Kernel::Walk,
            limit: 0,
            many: Kernel::Walk,
            plain: Some(Box::new(PlainWalk::new(ensemble))),
        })
    }

    /// Number of inputs.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Number of scores of a row.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// The kernel that runs for so many rows.
    #[must_use]
    pub fn kernel(&self, rows: usize) -> Kernel {
        if rows < self.limit { self.few } else { self.many }
    }

    /// The instructions that kernels run in.
    #[must_use]
    pub fn simd(&self) -> Simd {
        self.instructions.simd()
    }

    /// Nanoseconds that a row takes in a large batch, roughly.
    pub(crate) fn ns_per_row(&self) -> f64 {
        let (trees, leaves) = match &self.leaves {
            AnyLeaves::F64(leaves) => leaves.count(),
            AnyLeaves::F32(leaves) => leaves.count(),
        };
        let columns = self.codes.as_ref().map_or(0, |codes| codes.width);
        cost::ns_per_row(self.many, self.simd(), Size { columns, trees, splits: leaves - trees })
    }

    /// Bytes that the trees take, without the scratch memory of threads.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let Kernels { walk, block_walk, bottom_up, pointer_jumping } = &self.kernels;
        let leaves = match &self.leaves {
            AnyLeaves::F64(leaves) => size_of_val(&leaves.values[..]),
            AnyLeaves::F32(leaves) => size_of_val(&leaves.values[..]),
        };
        leaves
            + walk.as_ref().map_or(0, Walk::bytes)
            + block_walk.as_ref().map_or(0, BlockWalk::bytes)
            + bottom_up.as_ref().map_or(0, BottomUp::bytes)
            + pointer_jumping.as_ref().map_or(0, PointerJumping::bytes)
            + self.codes.as_ref().map_or(0, Codes::bytes)
            + self.plain.as_ref().map_or(0, |plain| plain.bytes())
    }

    /// The raw scores of rows, row-major `[rows, outputs]`, into `out`. A row's scores have the same bits in any batch and
    /// by any kernel. Allocates nothing once a thread is warm.
    ///
    /// # Errors
    /// When the rows or the place for scores do not fit the model.
    pub fn scores<'a>(&self, rows: impl Into<Rows<'a>>, out: &mut [f64]) -> Result<(), InvalidRows> {
        let rows = rows.into();
        if rows.inputs() != self.inputs {
            return Err(InvalidRows::Inputs { expected: self.inputs, got: rows.inputs() });
        }
        if out.len() != rows.len() * self.outputs {
            return Err(InvalidRows::Scores { expected: rows.len() * self.outputs, got: out.len() });
        }
        if !rows.is_empty() {
            SCRATCH.with_borrow_mut(|scratch| self.run(&rows, out, scratch));
        }
        Ok(())
    }

    /// As [`scores`](Self::scores) of one row, in less time.
    ///
    /// # Errors
    /// As [`scores`](Self::scores).
    pub fn row(&self, row: &[f64], out: &mut [f64]) -> Result<(), InvalidRows> {
        let fits = row.len() == self.inputs && out.len() == self.outputs && self.plain.is_none();
        let (true, Kernel::PointerJumping, Some(codes), Some(trees)) =
            (fits, self.kernel(1), &self.codes, &self.kernels.pointer_jumping)
        else {
            return self.scores(ArrayView1::from(row), out);
        };
        SCRATCH.with_borrow_mut(|scratch| match &self.leaves {
            AnyLeaves::F64(leaves) => {
                trees.score_row(
                    (codes, leaves),
                    self.instructions,
                    row,
                    out,
                    &mut scratch.f64.pointer_jumping,
                );
            }
            AnyLeaves::F32(leaves) => {
                trees.score_row(
                    (codes, leaves),
                    self.instructions,
                    row,
                    out,
                    &mut scratch.f32.pointer_jumping,
                );
            }
        });
        Ok(())
    }

    fn run(&self, rows: &Rows<'_>, out: &mut [f64], scratch: &mut Scratch) {
        let Scratch { staging, walk, row, f64, f32 } = scratch;
        if let Some(plain) = &self.plain {
            rows.copy_all(row);
            plain.scores(row, out, &mut f64.sums);
            return;
        }
        let rest = (staging, walk);
        match &self.leaves {
            AnyLeaves::F64(leaves) => self.run_kernel(leaves, rows, out, f64, rest),
            AnyLeaves::F32(leaves) => self.run_kernel(leaves, rows, out, f32, rest),
        }
    }

    fn run_kernel<N: Number>(
        &self,
        leaves: &Leaves<N>,
        rows: &Rows<'_>,
        out: &mut [f64],
        space: &mut Space<N>,
        (staging, walk): (&mut Staging, &mut walk::Space),
    ) {
        let (kernels, codes, instructions) = (&self.kernels, self.codes.as_ref(), self.instructions);
        match (self.kernel(rows.len()), codes) {
            (Kernel::BottomUp, Some(codes)) => {
                let Some(trees) = &kernels.bottom_up else { return };
                let scratch = (&mut space.bottom_up, staging);
                bottom_up::scores((codes, trees, leaves), instructions, rows, out, scratch);
            }
            (Kernel::PointerJumping, Some(codes)) => {
                let Some(trees) = &kernels.pointer_jumping else { return };
                trees.scores((codes, leaves), instructions, rows, out, &mut space.pointer_jumping);
            }
            (Kernel::BlockWalk, _) => {
                let Some(trees) = &kernels.block_walk else { return };
                instructions.block_walk((trees, leaves), rows, out, (walk.narrow(), &mut space.sums));
            }
            _ => {
                let Some(trees) = &kernels.walk else { return };
                instructions.walk((trees, leaves), rows, out, (walk, &mut space.sums));
            }
        }
    }
}

impl Kernels {
    fn build(
        &mut self,
        kernel: Kernel,
        lowered: &Lowered,
        codes: Option<&Codes>,
        leaves: &AnyLeaves,
        simd: Simd,
    ) {
        match (kernel, codes) {
            (Kernel::BottomUp, Some(codes)) => {
                let trees = BottomUp::new(lowered, codes);
                let most = bottom_up::most_for_planes(simd);
                self.bottom_up = Some(match leaves {
                    _ if lowered.most_leaves() > most => trees,
                    AnyLeaves::F64(leaves) => trees.with_planes(leaves),
                    AnyLeaves::F32(leaves) => trees.with_planes(leaves),
                });
            }
            (Kernel::PointerJumping, Some(codes)) => {
                self.pointer_jumping = Some(PointerJumping::new(lowered, codes));
            }
            (Kernel::BlockWalk, _) => self.block_walk = Some(BlockWalk::new(lowered)),
            _ => self.walk = Some(Walk::new(lowered)),
        }
    }
}
