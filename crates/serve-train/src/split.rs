//! The split: the last rows are held out, never drawn at random, because a model is used on days that come after those
//! it has learned from. Rows of one time are never parted: with several entities in a file, the market of that moment
//! would stand on both sides.

use crate::dataset::Dataset;
use crate::error::TrainError;
use crate::settings::InvalidSetting;

/// Fewer training rows teach nothing.
const MIN_TRAINING: usize = 10;
/// Fewer held-out rows measure nothing.
const MIN_HOLDOUT: usize = 5;

/// The first held-out row when the last `share` of the rows is held out: `rows - round(share · rows)`, moved back to
/// the first row of its time.
///
/// # Errors
/// When the share is not between 0 and 1, a part is too small, or a class is in no training row.
pub(crate) fn by_time(dataset: &Dataset, share: f64) -> Result<usize, TrainError> {
    if !(share > 0.0 && share < 1.0) {
        let (setting, expected) = ("holdout", "a share above 0 and below 1");
        return Err(InvalidSetting::Value { setting, expected, got: share.to_string() }.into());
    }
    let rows = dataset.labels().len();
    let mut first = rows - (share * rows as f64).round() as usize;
    if let Some(times) = dataset.times() {
        while (1..rows).contains(&first) && times[first - 1] == times[first] {
            first -= 1;
        }
    }
    for (part, got, expected) in [("training", first, MIN_TRAINING), ("held-out", rows - first, MIN_HOLDOUT)]
    {
        if got < expected {
            return Err(TrainError::TooFewRows { part, got, rows, expected });
        }
    }
    require_classes(dataset, first)?;
    Ok(first)
}

fn require_classes(dataset: &Dataset, first: usize) -> Result<(), TrainError> {
    let (training, holdout) = dataset.labels().split_at(first);
    for (class, number) in dataset.classes().iter().cloned().zip(0..) {
        match (training.contains(&number), holdout.contains(&number)) {
            (true, _) => {}
            (false, true) => return Err(TrainError::ClassAbsent { class, rows: first }),
            (false, false) => return Err(TrainError::ClassUnseen { class }),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::DatasetOptions;

    /// Rows of the given days of a month, whose classes alternate.
    fn days(days: impl IntoIterator<Item = u32>) -> Dataset {
        let line = |(row, day)| format!("2024-01-{day:02},{row},{}\n", row % 2);
        let csv = "date,x,y\n".to_owned() + &days.into_iter().enumerate().map(line).collect::<String>();
        Dataset::from_csv(csv.as_bytes(), &DatasetOptions::new("y")).expect("reads")
    }

    fn told(dataset: &Dataset, share: f64) -> String {
        by_time(dataset, share).expect_err("refused").to_string()
    }

    #[test]
    fn the_last_share_is_held_out() {
        assert_eq!(by_time(&days(1..=30), 0.2).ok(), Some(24));
        assert_eq!(by_time(&days(1..=30), 0.5).ok(), Some(15));
    }

    #[test]
    fn rows_of_one_time_stay_together() {
        let dataset = days((1..=10).flat_map(|day| [day; 3]));
        assert_eq!(by_time(&dataset, 0.2).ok(), Some(24));
        assert_eq!(by_time(&dataset, 0.25).ok(), Some(21), "22 would part the eighth day");
        assert_eq!(told(&days([1; 30]), 0.2), "the training part has 0 rows of 30, expected at least 10");
    }

    #[test]
    fn parts_too_small_to_say_anything_are_refused() {
        assert_eq!(told(&days(1..=12), 0.2), "the held-out part has 2 rows of 12, expected at least 5");
        assert_eq!(told(&days(1..=20), 0.9), "the training part has 2 rows of 20, expected at least 10");
        for share in [0.0, 1.0, f64::NAN, -0.1] {
            let expected = format!("holdout: expected a share above 0 and below 1, got {share}");
            assert_eq!(told(&days(1..=30), share), expected);
        }
    }

    #[test]
    fn a_class_of_the_held_out_part_alone_is_refused() {
        let line = |row: usize| format!("{row},{}\n", if row > 50 { "new" } else { ["a", "b"][row % 2] });
        let csv = "x,y\n".to_owned() + &(0..60).map(line).collect::<String>();
        let mut options = DatasetOptions::new("y");
        let dataset = Dataset::from_csv(csv.as_bytes(), &options).expect("reads");
        assert_eq!(
            told(&dataset, 0.2),
            "class \"new\" is in none of the 48 training rows, only in later ones; hold out less, or use more data"
        );
        options.classes = Some(["a", "b", "new", "never"].map(str::to_owned).to_vec());
        let dataset = Dataset::from_csv(csv.as_bytes(), &options).expect("reads");
        assert_eq!(told(&dataset, 0.1), "class \"never\" is in no row");
    }
}
