//! Which rows a rolling function sees at row *t*.

use std::ops::Range;
use std::time::Duration;

use jiff::Timestamp;

use crate::timestamp::nanos;

/// A window that ends at the row it is asked for, that row included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// The last so many rows; 0 sees nothing.
    Rows(usize),
    /// The rows with a timestamp in (t − w, t]. It is only full where an older row proves that history reaches back far
    /// enough; pandas' `rolling("7d")` would take what there is. Rows of the same moment as row *t* count up to *t*.
    Time(Duration),
}

/// Rows whose windows are full and of one length: the window of row `t` is the rows `t + 1 - length ..= t`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) rows: Range<usize>,
    /// At least 1.
    pub(super) length: usize,
}

impl Stretch {
    /// From the oldest row of the first window to the last row.
    pub(super) fn seen(&self) -> Range<usize> {
        self.rows.start + 1 - self.length..self.rows.end
    }
}

impl Window {
    /// The full windows over a column, by stretches, oldest first; the rows between them have too little history, and those
    /// of a column longer than its timestamps none. Both ends of the windows only move on. O(rows).
    pub(super) fn stretches<'a>(self, x: &[f64], timestamps: &'a [Timestamp]) -> Stretches<'a> {
        let timestamps = &timestamps[..timestamps.len().min(x.len())];
        Stretches { window: self, timestamps, next: 0, start: 0 }
    }
}

/// See [`Window::stretches`].
pub(super) struct Stretches<'a> {
    window: Window,
    timestamps: &'a [Timestamp],
    /// The row to be looked at.
    next: usize,
    /// The first row of the last window of time.
    start: usize,
}

impl Stretches<'_> {
    /// The length of the window of time that ends at row `t`; 0 where history is too short.
    fn length(&mut self, t: usize, width: i128) -> usize {
        let opening = nanos(self.timestamps[t]).saturating_sub(width);
        while self.start <= t && nanos(self.timestamps[self.start]) <= opening {
            self.start += 1;
        }
        if self.start == 0 { 0 } else { t + 1 - self.start }
    }

    fn of_time(&mut self, width: Duration) -> Option<Stretch> {
        let width = i128::try_from(width.as_nanos()).unwrap_or(i128::MAX);
        let mut found: Option<Stretch> = None;
        while self.next < self.timestamps.len() {
            let length = self.length(self.next, width);
            match &mut found {
                Some(stretch) if stretch.length != length => return found,
                Some(stretch) => stretch.rows.end += 1,
                None if length > 0 => found = Some(Stretch { rows: self.next..self.next + 1, length }),
                None => {}
            }
            self.next += 1;
        }
        found
    }
}

impl Iterator for Stretches<'_> {
    type Item = Stretch;

    fn next(&mut self) -> Option<Stretch> {
        match self.window {
            Window::Rows(length) => {
                let end = self.timestamps.len();
                let rows = self.next.max(length.checked_sub(1)?)..end;
                self.next = end;
                (!rows.is_empty()).then_some(Stretch { rows, length })
            }
            Window::Time(width) => self.of_time(width),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first row of every row's window.
    fn starts(window: Window, days: &[i64]) -> Vec<Option<usize>> {
        let days = days.iter().map(|day| Timestamp::from_second(day * 86_400).expect("is in range"));
        let timestamps: Vec<Timestamp> = days.collect();
        let mut starts = vec![None; timestamps.len()];
        for stretch in window.stretches(&vec![0.0; timestamps.len()], &timestamps) {
            for t in stretch.rows {
                assert_eq!(starts[t].replace(t + 1 - stretch.length), None, "each row is met once");
            }
        }
        starts
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

    #[test]
    fn windows_of_one_length_stand_together() {
        let hours =
            [0, 1, 2, 3, 3, 10, 11].map(|hour| Timestamp::from_second(hour * 3_600).expect("is in range"));
        let lengths = |window: Window| {
            let stretches =
                window.stretches(&[0.0; 7], &hours).map(|stretch| (stretch.rows.clone(), stretch.length));
            stretches.collect::<Vec<_>>()
        };
        let expected = [(2..4, 2), (4..5, 3), (5..6, 1), (6..7, 2)];
        assert_eq!(lengths(Window::Time(Duration::from_hours(2))), expected);
        assert_eq!(lengths(Window::Rows(3)), [(2..7, 3)]);
        assert_eq!(lengths(Window::Time(Duration::ZERO)), []);
    }
}
