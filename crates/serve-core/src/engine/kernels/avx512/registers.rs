//! Loads and stores of registers, by references to as many bytes as a register holds: the only way that the kernels of
//! AVX-512 touch memory, besides ordinary indexing.

#![allow(clippy::wildcard_imports, reason = "intrinsics have long names of their own")]

use std::arch::x86_64::*;

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn load(line: &[u8; 64]) -> __m512i {
    // SAFETY: the reference is to 64 bytes, and the load needs no alignment.
    unsafe { _mm512_loadu_si512(line.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn store(line: &mut [u8; 64], x: __m512i) {
    // SAFETY: the reference is to 64 bytes, and the store needs no alignment.
    unsafe { _mm512_storeu_si512(line.as_mut_ptr().cast(), x) }
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn load_bytes(bytes: &[u8; 16]) -> __m128i {
    // SAFETY: the reference is to 16 bytes, and the load needs no alignment.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn load_f32(x: &[f32; 16]) -> __m512 {
    // SAFETY: the reference is to 16 numbers, and the load needs no alignment.
    unsafe { _mm512_loadu_ps(x.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn store_f32(into: &mut [f32; 16], x: __m512) {
    // SAFETY: the reference is to 16 numbers, and the store needs no alignment.
    unsafe { _mm512_storeu_ps(into.as_mut_ptr(), x) }
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn load_u32(x: &[u32; 16]) -> __m512i {
    // SAFETY: the reference is to 16 numbers, and the load needs no alignment.
    unsafe { _mm512_loadu_si512(x.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn store_u32(into: &mut [u32; 16], x: __m512i) {
    // SAFETY: the reference is to 16 numbers, and the store needs no alignment.
    unsafe { _mm512_storeu_si512(into.as_mut_ptr().cast(), x) }
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn load_f64(x: &[f64; 8]) -> __m512d {
    // SAFETY: the reference is to 8 numbers, and the load needs no alignment.
    unsafe { _mm512_loadu_pd(x.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn store_f64(into: &mut [f64; 8], x: __m512d) {
    // SAFETY: the reference is to 8 numbers, and the store needs no alignment.
    unsafe { _mm512_storeu_pd(into.as_mut_ptr(), x) }
}

/// Up to 8 numbers, zeros after them.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn load_some_f64(x: &[f64]) -> __m512d {
    let lanes = x.len().min(8) as u32;
    // SAFETY: only the lanes of the mask are read, and the slice has as many numbers.
    unsafe { _mm512_maskz_loadu_pd(((1_u32 << lanes) - 1) as u8, x.as_ptr()) }
}

/// Up to 16 numbers, zeros after them.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn load_some_f32(x: &[f32]) -> __m512 {
    let lanes = x.len().min(16) as u32;
    // SAFETY: only the lanes of the mask are read, and the slice has as many numbers.
    unsafe { _mm512_maskz_loadu_ps(((1_u32 << lanes) - 1) as u16, x.as_ptr()) }
}

/// Asks the memory for what will be read soon.
#[inline]
pub(in crate::engine) fn prefetch<T>(at: *const T) {
    // SAFETY: a prefetch reads nothing that a program could notice, and no address makes it fail.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
}
