//! Which rows a rolling function sees at row *t*.

use std::time::Duration;

use jiff::Timestamp;

use crate::timestamp::earlier;

/// A window that ends at the row it is asked for, that row included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// The last so many rows; 0 sees nothing.
    Rows(usize),
    /// The rows with a timestamp in (t − w, t]. It is only full where an older row proves that history reaches back far
    /// enough; pandas' `rolling("7d")` would take what there is. Rows of the same moment as row *t* count up to *t*.
    Time(Duration),
}

impl Window {
    /// The first row of the window that ends at row `t`; `None` where history is too short. O(log n) for a duration.
    pub(super) fn start(self, timestamps: &[Timestamp], t: usize) -> Option<usize> {
        match self {
            Self::Rows(0) => None,
            Self::Rows(n) => (t + 1).checked_sub(n),
            Self::Time(width) => {
                let opening = earlier(timestamps[t], width);
                let start = timestamps[..=t].partition_point(|row| *row <= opening);
                (0 < start && start <= t).then_some(start)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn starts(window: Window, days: &[i64]) -> Vec<Option<usize>> {
        let days = days.iter().map(|day| Timestamp::from_second(day * 86_400).expect("is in range"));
        let timestamps: Vec<Timestamp> = days.collect();
        (0..timestamps.len()).map(|t| window.start(&timestamps, t)).collect()
    }

    #[test]
    fn a_window_of_rows_is_full_or_missing() {
        assert_eq!(starts(Window::Rows(2), &[0, 1, 9]), [None, Some(0), Some(1)]);
        assert_eq!(starts(Window::Rows(usize::MAX), &[0, 1]), [None, None]);
        assert_eq!(starts(Window::Rows(0), &[0]), [None]);
    }

    #[test]
    fn a_window_of_time_excludes_its_opening_and_needs_a_row_before_it() {
        let two_days = Window::Time(Duration::from_hours(48));
        // Row 1 has two days of rows behind it only if nothing came before row 0, which nobody knows.
        assert_eq!(starts(two_days, &[0, 1, 2, 3, 7]), [None, None, Some(1), Some(2), Some(4)]);
        assert_eq!(starts(two_days, &[0, 3, 3]), [None, Some(1), Some(1)]);
    }
}
