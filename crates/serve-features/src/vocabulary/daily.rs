//! Means over a calendar day as far as it has gone. Meaning: pandas' `x.groupby(x.index.floor("D")).expanding().mean()`.

use jiff::Timestamp;

use super::calendar::day;

/// The mean of the values present in the rows of row *t*'s UTC day up to row *t*; missing where none is. Equal values have
/// exactly that mean. Unlike a window it begins anew at midnight, and history that begins within a day gives the mean of what
/// is known of it. O(rows).
///
/// ```
/// use serve_features::vocabulary::daily::day_mean;
/// let at = |text: &str| text.parse::<jiff::Timestamp>();
/// let rows = [at("2024-01-01T09:00:00Z")?, at("2024-01-01T21:00:00Z")?, at("2024-01-02T00:00:00Z")?];
/// assert_eq!(day_mean(&[1.0, 2.0, 9.0], &rows), [1.0, 1.5, 9.0]);
/// # Ok::<(), jiff::Error>(())
/// ```
#[must_use]
pub fn day_mean(x: &[f64], timestamps: &[Timestamp]) -> Vec<f64> {
    let (mut today, mut seen) = (None, Seen::default());
    let value = |(x, timestamp): (&f64, &Timestamp)| {
        let day = day(*timestamp);
        if today != Some(day) {
            (today, seen) = (Some(day), Seen::default());
        }
        seen.next(*x)
    };
    x.iter().zip(timestamps).map(value).collect()
}

/// What was seen of a day.
struct Seen {
    sum: f64,
    count: usize,
    /// The first value, while all others are equal to it.
    equal: Option<f64>,
}

impl Default for Seen {
    fn default() -> Self {
        Self { sum: 0.0, count: 0, equal: None }
    }
}

impl Seen {
    fn next(&mut self, x: f64) -> f64 {
        if !x.is_nan() {
            self.equal = if self.count == 0 && x.is_finite() {
                Some(x)
            } else {
                self.equal.filter(|first| *first == x)
            };
            self.sum += x;
            self.count += 1;
        }
        self.equal.unwrap_or(self.sum / self.count as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn means(rows: &[(i64, f64)]) -> Vec<f64> {
        let hours = rows.iter().map(|(hour, _)| Timestamp::from_second(hour * 3_600).expect("is in range"));
        let x: Vec<f64> = rows.iter().map(|(_, x)| *x).collect();
        day_mean(&x, &hours.collect::<Vec<_>>())
    }

    #[test]
    fn a_missing_value_is_left_out_and_a_day_without_any_is_missing() {
        let y = means(&[(0, f64::NAN), (1, 2.0), (2, f64::NAN), (3, 4.0), (25, f64::NAN)]);
        assert!(y[0].is_nan() && y[4].is_nan());
        assert_eq!(y[1..4], [2.0, 2.0, 3.0]);
    }

    #[test]
    fn a_day_begins_at_midnight_before_1970_too() {
        assert_eq!(means(&[(-25, 1.0), (-24, 2.0), (-1, 4.0), (0, 8.0)]), [1.0, 2.0, 3.0, 8.0]);
    }

    #[test]
    fn equal_values_have_exactly_that_mean() {
        assert_eq!(means(&[(0, 0.1), (1, 0.1), (2, 0.1), (3, 0.4)])[..3], [0.1; 3]);
        assert_eq!(means(&[(0, f64::INFINITY), (1, 1.0)])[1], f64::INFINITY);
    }
}
