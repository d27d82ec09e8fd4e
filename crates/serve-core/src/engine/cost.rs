//! What a row takes in a large batch, roughly: enough to tell whether threads are worth their hand-over.
//!
//! The figures are lower ends of what `docs/engine.md` has measured (Zen 5). One that is too small only keeps a batch on
//! fewer threads than it could use.

use super::path::{Kernel, Simd};

/// What the cost of an ensemble depends on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) columns: usize,
    pub(super) trees: usize,
    pub(super) splits: usize,
}

/// Nanoseconds that a row takes by a kernel.
pub(super) fn ns_per_row(kernel: Kernel, simd: Simd, size: Size) -> f64 {
    let (column, tree, split) = match (kernel, simd) {
        (Kernel::BottomUp, Simd::Avx512) => (0.8, 0.0, 0.014),
        (Kernel::BottomUp, Simd::Avx2) => (1.5, 0.0, 0.035),
        (Kernel::BottomUp, Simd::Portable) => (4.0, 0.0, 0.1),
        (Kernel::PointerJumping, Simd::Avx512) => (1.2, 0.0, 0.016),
        // Anything that goes from the roots to the leaves.
        _ => (0.0, 5.0, 0.0),
    };
    column * size.columns as f64 + tree * size.trees as f64 + split * size.splits as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_are_of_the_order_of_what_was_measured() {
        let small = Size { columns: 33, trees: 100, splits: 3_000 };
        let large = Size { columns: 56, trees: 500, splits: 31_000 };
        let ns = |kernel, size| ns_per_row(kernel, Simd::Avx512, size);
        assert!((45.0..=90.0).contains(&ns(Kernel::BottomUp, small)));
        assert!((260.0..=520.0).contains(&ns(Kernel::BottomUp, large)));
        assert!((415.0..=830.0).contains(&ns(Kernel::Walk, small)));
        assert!((2_500.0..=5_000.0).contains(&ns(Kernel::Walk, large)));
    }
}
