//! The kernels' instructions. This module alone has `unsafe` code, of two kinds: functions compiled for instructions that
//! the CPU may lack are called only through a witness that it has them, and registers are loaded from and stored to
//! references to as many bytes as they hold. Indices into models and scratch are checked like everywhere else.
#![allow(unsafe_code, reason = "SIMD: see the module's documentation and the note at each block")]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;

use super::block_walk::BlockWalk;
use super::bottom_up::{self, BottomUp, PLAIN};
use super::codes::{Codes, GROUP, Staging};
use super::leaves::{Leaves, Number};
use super::lines::Lines;
use super::path::Simd;
use super::pointer_jumping::PointerJumping;
use super::rows::Rows;
use super::walk::{self, Walk};

/// A witness that the CPU has the instructions: only [`Instructions::detect`] makes one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Instructions(Simd);

impl Instructions {
    /// The witness for `simd`, where the CPU has it.
    pub(super) fn detect(simd: Simd) -> Option<Self> {
        simd.is_available().then_some(Self(simd))
    }

    /// What it is the witness of.
    pub(super) fn simd(self) -> Simd {
        self.0
    }

    /// Codes up to 64 rows into columns `stride` bytes apart.
    pub(super) fn code_group(
        self,
        codes: &Codes,
        rows: &Rows<'_>,
        into: &mut [u8],
        stride: usize,
        staging: &mut Staging,
    ) {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the witness says that the CPU has AVX-512.
            Simd::Avx512 => unsafe { avx512::code_group(codes, rows, into, stride, staging) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the witness says that the CPU has AVX2.
            Simd::Avx2 => unsafe { avx2::code_group(codes, rows, into, stride, staging) },
            _ => codes.group(rows, into, stride, staging),
        }
    }

    /// Runs all programs; row `i` of a group then stands at place `order[i]` of its group in `sums`.
    pub(super) fn bottom_up<N: Number>(
        self,
        trees: &BottomUp,
        leaves: &Leaves<N>,
        codes: &[u8],
        groups: usize,
        (sums, lines): (&mut [N], &mut Lines),
    ) -> &'static [u8; GROUP] {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the witness says that the CPU has AVX-512.
            Simd::Avx512 => unsafe { avx512::bottom_up(trees, leaves, codes, groups, (sums, lines)) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the witness says that the CPU has AVX2.
            Simd::Avx2 => unsafe { avx2::bottom_up(trees, leaves, codes, groups, (sums, lines)) },
            _ => {
                bottom_up::run::<N, GROUP>(trees, leaves, codes, groups, sums);
                &PLAIN
            }
        }
    }

    /// Codes one row, a byte per column; `into` has whole lines of bytes.
    pub(super) fn code_row(self, codes: &Codes, row: &[f64], narrow: &mut Vec<f32>, into: &mut [u8]) {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the witness says that the CPU has AVX-512.
            Simd::Avx512 => unsafe { avx512::code_row(codes, row, narrow, into) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the witness says that the CPU has AVX2.
            Simd::Avx2 => unsafe { avx2::code_row(codes, row, into) },
            _ => codes.row(row, into),
        }
    }

    /// Asks the memory for a row that is read soon, where that is known to help.
    pub(super) fn prefetch(self, row: &[f64]) {
        #[cfg(target_arch = "x86_64")]
        if self.0 == Simd::Avx512 {
            row.chunks(8).for_each(|line| avx512::prefetch(line.as_ptr()));
        }
    }

    /// Rows of codes by pointer jumping, into their sums, row-major.
    pub(super) fn pointer_jumping<N: Number>(
        self,
        trees: &PointerJumping,
        leaves: &Leaves<N>,
        codes: (&[u8], usize),
        sums: &mut [N],
    ) {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the witness says that the CPU has AVX-512.
            Simd::Avx512 => unsafe { avx512::pointer_jumping(trees, leaves, codes, sums) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the witness says that the CPU has AVX2.
            Simd::Avx2 => unsafe { avx2::pointer_jumping(trees, leaves, codes, sums) },
            _ => trees.run(codes, leaves, sums),
        }
    }

    /// The walk, any number of rows.
    pub(super) fn walk<N: Number>(
        self,
        (trees, leaves): (&Walk, &Leaves<N>),
        rows: &Rows<'_>,
        out: &mut [f64],
        scratch: (&mut walk::Space, &mut Vec<N>),
    ) {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the witness says that the CPU has AVX2, which comes with AVX-512.
            Simd::Avx2 | Simd::Avx512 => unsafe { avx2::walk((trees, leaves), rows, out, scratch) },
            _ => trees.scores(leaves, rows, out, scratch),
        }
    }

    /// The walk by blocks, any number of rows.
    pub(super) fn block_walk<N: Number>(
        self,
        (trees, leaves): (&BlockWalk, &Leaves<N>),
        rows: &Rows<'_>,
        out: &mut [f64],
        scratch: (&mut Vec<f32>, &mut Vec<N>),
    ) {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the witness says that the CPU has AVX-512.
            Simd::Avx512 => unsafe { avx512::block_walk((trees, leaves), rows, out, scratch) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the witness says that the CPU has AVX2.
            Simd::Avx2 => unsafe { avx2::block_walk((trees, leaves), rows, out, scratch) },
            _ => trees.scores(leaves, rows, out, scratch),
        }
    }
}
