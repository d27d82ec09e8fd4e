//! AVX-512: ranks, choices and masks in registers of 64 bytes.

mod block_walk;
mod bottom_up;
mod coding;
mod pointer_jumping;
mod registers;

pub(super) use block_walk::block_walk;
pub(super) use bottom_up::bottom_up;
pub(super) use coding::{code_group, code_row};
pub(super) use pointer_jumping::pointer_jumping;
pub(super) use registers::prefetch;
