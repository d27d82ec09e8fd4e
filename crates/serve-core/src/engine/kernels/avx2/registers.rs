//! Loads and stores of registers, by references to as many bytes as a register holds: the only way that the kernels of
//! AVX2 touch memory, besides ordinary indexing.

#![allow(clippy::wildcard_imports, reason = "intrinsics have long names of their own")]

use std::arch::x86_64::*;

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load(bytes: &[u8; 32]) -> __m256i {
    // SAFETY: the reference is to 32 bytes, and the load needs no alignment.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn store(bytes: &mut [u8; 32], x: __m256i) {
    // SAFETY: the reference is to 32 bytes, and the store needs no alignment.
    unsafe { _mm256_storeu_si256(bytes.as_mut_ptr().cast(), x) }
}

/// The same 16 bytes in both halves.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load_twice(bytes: &[u8; 16]) -> __m256i {
    // SAFETY: the reference is to 16 bytes, and the load needs no alignment.
    _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) })
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load_f32(x: &[f32; 8]) -> __m256 {
    // SAFETY: the reference is to 8 numbers, and the load needs no alignment.
    unsafe { _mm256_loadu_ps(x.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn store_f32(into: &mut [f32; 8], x: __m256) {
    // SAFETY: the reference is to 8 numbers, and the store needs no alignment.
    unsafe { _mm256_storeu_ps(into.as_mut_ptr(), x) }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load_four(x: &[f32; 4]) -> __m128 {
    // SAFETY: the reference is to 4 numbers, and the load needs no alignment.
    unsafe { _mm_loadu_ps(x.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load_f64(x: &[f64; 4]) -> __m256d {
    // SAFETY: the reference is to 4 numbers, and the load needs no alignment.
    unsafe { _mm256_loadu_pd(x.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn store_f64(into: &mut [f64; 4], x: __m256d) {
    // SAFETY: the reference is to 4 numbers, and the store needs no alignment.
    unsafe { _mm256_storeu_pd(into.as_mut_ptr(), x) }
}

/// Asks the memory for what will be read soon.
#[inline]
pub(super) fn prefetch<T>(at: *const T) {
    // SAFETY: a prefetch reads nothing that a program could notice, and no address makes it fail.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
}
