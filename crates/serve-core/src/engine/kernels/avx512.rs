//! AVX-512: ranks, choices and masks in registers of 64 bytes.

mod block_walk;
mod bottom_up;
mod coding;
mod one_row;
mod registers;

pub(super) use block_walk::block_walk;
pub(super) use bottom_up::bottom_up;
pub(super) use coding::code_group;
pub(super) use one_row::{bit_walk, quick_scorer};
