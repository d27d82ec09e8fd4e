//! Memory of this process and of others, as the kernel counts it.

use std::io;

/// Bytes of this process that are in memory.
///
/// # Errors
/// Where there is no `/proc`.
pub fn resident() -> io::Result<u64> {
    resident_of("self")
}

/// Bytes of another process that are in memory; `process` is its number.
///
/// # Errors
/// Where there is no `/proc`, or no such process.
pub fn resident_of(process: &str) -> io::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.map(|kib| kib * 1024).ok_or_else(|| io::Error::other("no VmRSS is told"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_to_is_resident() {
        let before = resident().unwrap();
        let block = vec![1_u8; 64 << 20];
        assert!(resident().unwrap() > before + (32 << 20), "{}", block.len());
    }
}
