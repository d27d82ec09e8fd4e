//! Parts of work that takes long: small enough that nobody waits long for one, large enough to be worth handing over.

use std::time::Duration;

/// How long a part should take.
const PART: Duration = Duration::from_micros(500);

/// The engine computes so many rows of a matrix together.
const GROUP: usize = 64;

/// Rows of a matrix that make a part: whole groups, unless a row takes long.
pub(crate) fn rows_a_part(row_cost: Duration) -> usize {
    let rows = PART.as_nanos() / row_cost.as_nanos().max(1);
    match usize::try_from(rows).unwrap_or(usize::MAX).min(1 << 20) {
        few if few < GROUP / 4 => few.max(1),
        rows => rows.next_multiple_of(GROUP),
    }
}

/// Cuts items into parts that take about [`PART`] each.
pub(crate) fn cut<T>(items: Vec<T>, cost: impl Fn(&T) -> Duration) -> Vec<Vec<T>> {
    let mut parts = Vec::new();
    let (mut part, mut sum) = (Vec::new(), Duration::ZERO);
    for item in items {
        sum = sum.saturating_add(cost(&item));
        part.push(item);
        if sum >= PART {
            parts.push(std::mem::take(&mut part));
            sum = Duration::ZERO;
        }
    }
    if !part.is_empty() {
        parts.push(part);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_whole_groups_unless_rows_take_long() {
        let rows = |micros| rows_a_part(Duration::from_micros(micros));
        assert_eq!((rows(1_000), rows(100), rows(50), rows(30), rows(1)), (1, 5, 10, 64, 512));
        assert_eq!(rows_a_part(Duration::ZERO), 500_032);
    }
}
