//! The categories of pandas columns. LightGBM's Python package turns each `category` column into codes, trains on
//! these, and appends the categories as a line of JSON: a list for each such column, in column order.
//!
//! The line does not say which columns they are. They are taken to be the model's categorical features in order, where
//! there are as many lists as these and every code that was seen in training has a place in its list (an ordered column
//! together with a column of integers that was declared categorical could deceive this; golden rows would tell). A list of texts
//! then becomes its input's vocabulary, and a list of numbers is recoded. Other categories, or lists that cannot be
//! assigned, leave the inputs as numbers, which are the codes, and a note says so. A text that training never saw is in
//! no set, as LightGBM has it.

use serde_json::Value;

use crate::error::{ImportError, Place, shown};
use crate::imported::Feature;

/// A list of categories for each column of them.
pub(super) type Lists = Vec<Vec<Value>>;

/// The lists as the file has them: JSON, or `null` for a model that was not trained on a frame.
pub(super) fn read(text: &str, place: impl Fn() -> Place) -> Result<Lists, ImportError> {
    let lists: Option<Lists> = serde_json::from_str(text).map_err(|error| {
        ImportError::invalid(place(), "a JSON list of lists", format!("{} ({error})", shown(text)))
    })?;
    Ok(lists.unwrap_or_default())
}

/// Assigns the lists to the categorical features and returns what a person should know. `highest` is the highest code
/// of each feature that was seen in training.
pub(super) fn assign(lists: Lists, features: &mut [Feature], highest: &[Option<u32>]) -> Vec<String> {
    if lists.is_empty() {
        return Vec::new();
    }
    let categorical: Vec<usize> = (0..features.len()).filter(|&place| features[place].categorical).collect();
    let has_place = |(&place, list): (&usize, &Vec<Value>)| {
        highest.get(place).copied().flatten().is_none_or(|code| (code as usize) < list.len())
    };
    if lists.len() != categorical.len() || !categorical.iter().zip(&lists).all(has_place) {
        return vec![format!(
            "the pandas categories of {} columns do not fit the {} categorical features, which are given as codes",
            lists.len(),
            categorical.len()
        )];
    }
    let assigned = categorical.into_iter().zip(lists);
    let mut notes = Vec::new();
    for (place, list) in assigned {
        notes.extend(features[place].take_categories(list));
        features[place].unknown = features[place].vocabulary.as_ref().map(|_| -1.0);
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn categorical(name: &str) -> Feature {
        Feature { name: name.to_owned(), categorical: true, ..Feature::default() }
    }

    #[test]
    fn lists_that_cannot_be_assigned_leave_codes() {
        let read = |text, highest| {
            let mut features = [categorical("a"), Feature::default(), categorical("b")];
            let lists = super::read(text, || Place::Path(String::new())).expect("sound");
            let notes = assign(lists, &mut features, highest);
            (notes, features)
        };
        let (notes, features) = read(r#"[["x","y"],[true,false]]"#, &[Some(1), Some(99), Some(1)]);
        assert_eq!(features[0].vocabulary, Some(vec!["x".to_owned(), "y".to_owned()]));
        assert_eq!(features[2].vocabulary, None);
        assert_eq!(features[2].numbers, Some(vec![1.0, 0.0]));
        let told =
            "the categories of feature \"b\" are the numbers true, false; another one counts as missing";
        assert_eq!(notes, [told]);
        let (notes, _) = read(r#"[["x","y"],[1,"z"]]"#, &[Some(1), None, Some(1)]);
        assert_eq!(notes, ["feature \"b\" is given as the codes 0 to 1 of its categories 1, \"z\""]);

        let unfit = "do not fit the 2 categorical features, which are given as codes";
        let (notes, features) = read(r#"[["x"]]"#, &[]);
        assert!(notes[0].ends_with(unfit) && features.iter().all(|f| f.vocabulary.is_none()), "{notes:?}");
        let (notes, features) = read(r#"[["x"],["y"]]"#, &[Some(0), None, Some(1)]);
        assert!(notes[0].ends_with(unfit) && features.iter().all(|f| f.vocabulary.is_none()), "{notes:?}");
        assert_eq!(read("null", &[]).0, Vec::<String>::new());
    }

    #[test]
    fn a_broken_line_is_refused_with_its_number() {
        let place = || Place::Line { line: 9, tree: None, key: "pandas_categorical".to_owned() };
        let error = super::read("[[\"x", place).expect_err("refused").to_string();
        assert!(error.starts_with("line 9, pandas_categorical: expected a JSON list of lists"), "{error}");
    }
}
