//! Memory that stays where it was told to. A model is a few large pieces, and glibc keeps what is freed for later: it raises
//! by itself the size from which it asks the system for memory of its own, up to 32 MiB, and below that a freed model
//! leaves holes that the next one does not fit. With a fixed size, what is as large is mapped by itself and given back when it
//! is freed: 30.3 MiB resident after ten swaps of a model of 5 MiB and after 500 (`docs/BENCHMARKS.md`).

/// Pieces from this size on are given back to the system when they are freed.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const GIVEN_BACK_FROM: i32 = 256 << 10;

/// Gives freed pieces that are smaller back to the system, as far as they fill pages: what connections leave that fall silent.
pub(crate) fn give_back_small() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        #[allow(unsafe_code, reason = "the C library's calls have no safe interface")]
        // SAFETY: it may be called at any time, by any thread.
        let _ = unsafe { libc::malloc_trim(0) };
    }
}

/// Fixes that size. Called before any thread starts; whoever set `MALLOC_MMAP_THRESHOLD_` meant it.
pub(crate) fn fix_threshold() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    if std::env::var_os("MALLOC_MMAP_THRESHOLD_").is_none() {
        #[allow(unsafe_code, reason = "the C library's settings have no safe interface")]
        // SAFETY: no other thread runs yet, and mallopt takes any number for this setting; what it refuses it leaves alone.
        let _ = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, GIVEN_BACK_FROM) };
    }
}
