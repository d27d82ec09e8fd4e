//! From what stands in the target column to classes in an order.
//!
//! Numbers are classes by value, so `1` and `1.0` are one class, written `1`. Without a given order, numbers are sorted
//! as numbers and everything else as text. A given list is the order of the target's own values; where those are the
//! numbers 0, 1, … and the list has other words, the list names them.

use super::DatasetError;

/// More different numbers than these are taken for a quantity.
const MAX_NUMBERS: usize = 20;

/// A value of the target and the line where it stands first.
pub(super) type Seen = (String, u64);

/// The classes in order, and for each value seen the number of its class.
#[derive(Debug, PartialEq)]
pub(super) struct Classes {
    pub(super) labels: Vec<String>,
    pub(super) of_seen: Vec<u32>,
}

impl Classes {
    pub(super) fn resolve(
        target: &str,
        seen: &[Seen],
        given: Option<&[String]>,
    ) -> Result<Self, DatasetError> {
        let numbers = numbers(target, seen)?;
        let written: Vec<String> = match &numbers {
            Some(numbers) => numbers.iter().map(|x| write(*x)).collect(),
            None => seen.iter().map(|(text, _)| text.clone()).collect(),
        };
        let labels = match given {
            Some(given) => return Self::given(target, seen, given, &written, numbers.is_some()),
            None => sorted(written.clone(), numbers.is_some()),
        };
        if numbers.is_some() && labels.len() > MAX_NUMBERS {
            let (target, distinct) = (target.to_owned(), labels.len());
            return Err(DatasetError::Regression { target, distinct, limit: MAX_NUMBERS });
        }
        match &labels[..] {
            [class] => Err(DatasetError::OneClass { target: target.to_owned(), class: class.clone() }),
            _ => Ok(Self { of_seen: positions(&written, &labels).flatten().collect(), labels }),
        }
    }

    fn given(
        target: &str,
        seen: &[Seen],
        given: &[String],
        written: &[String],
        numeric: bool,
    ) -> Result<Self, DatasetError> {
        let invalid = |problem| Err(DatasetError::Classes { classes: given.to_vec(), problem });
        let labels: Vec<String> =
            given.iter().map(|label| if numeric { rewrite(label) } else { label.clone() }).collect();
        if labels.len() < 2 {
            return invalid("expected two or more");
        }
        if (1..labels.len()).any(|i| labels[..i].contains(&labels[i])) {
            return invalid("one stands twice");
        }
        if labels.iter().any(String::is_empty) {
            return invalid("one is empty");
        }
        let numbered: Vec<String> = (0..labels.len()).map(|class| class.to_string()).collect();
        let words = numeric && labels.iter().all(|label| label.parse::<f64>().is_err());
        let known = if words { &numbered } else { &labels };
        let of_seen: Vec<Option<u32>> = positions(written, known).collect();
        match of_seen.iter().position(Option::is_none) {
            Some(unknown) => Err(DatasetError::UnknownClass {
                target: target.to_owned(),
                line: seen[unknown].1,
                value: seen[unknown].0.clone(),
                classes: given.to_vec(),
            }),
            None => Ok(Self { of_seen: of_seen.into_iter().flatten().collect(), labels }),
        }
    }
}

fn positions<'a>(written: &'a [String], labels: &'a [String]) -> impl Iterator<Item = Option<u32>> + 'a {
    let position = |label| labels.iter().position(|other| other == label);
    written.iter().map(move |label| position(label).map(|class| class as u32))
}

/// The values as numbers, if all of them are.
fn numbers(target: &str, seen: &[Seen]) -> Result<Option<Vec<f64>>, DatasetError> {
    let numbers: Option<Vec<f64>> = seen.iter().map(|(text, _)| text.parse().ok()).collect();
    let infinite = |numbers: &Vec<f64>| numbers.iter().position(|x| !x.is_finite());
    match numbers.as_ref().and_then(infinite) {
        None => Ok(numbers),
        Some(index) => {
            let (value, line) = seen[index].clone();
            Err(DatasetError::Infinite { column: target.to_owned(), line, value })
        }
    }
}

/// A number as a label: `1.0` is `1`, `-0` is `0`.
fn write(x: f64) -> String {
    (x + 0.0).to_string()
}

fn rewrite(label: &str) -> String {
    label.parse().map_or_else(|_| label.to_owned(), write)
}

fn sorted(mut labels: Vec<String>, numeric: bool) -> Vec<String> {
    let number = |label: &String| label.parse().unwrap_or(f64::NAN);
    if numeric {
        labels.sort_by(|a, b| number(a).total_cmp(&number(b)));
    } else {
        labels.sort();
    }
    labels.dedup();
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(seen: &[&str], given: Option<&[&str]>) -> Result<(Vec<String>, Vec<u32>), String> {
        let seen: Vec<Seen> = seen.iter().zip(2..).map(|(text, line)| ((*text).to_owned(), line)).collect();
        let given: Option<Vec<String>> = given.map(|given| given.iter().map(|c| (*c).to_owned()).collect());
        Classes::resolve("y", &seen, given.as_deref())
            .map(|classes| (classes.labels, classes.of_seen))
            .map_err(|error| error.to_string())
    }

    fn labels(labels: &[&str], of_seen: &[u32]) -> (Vec<String>, Vec<u32>) {
        (labels.iter().map(|label| (*label).to_owned()).collect(), of_seen.to_vec())
    }

    #[test]
    fn text_sorts_as_text_and_numbers_as_numbers() {
        assert_eq!(resolve(&["up", "down", "flat"], None), Ok(labels(&["down", "flat", "up"], &[2, 0, 1])));
        assert_eq!(resolve(&["10", "9", "-1"], None), Ok(labels(&["-1", "9", "10"], &[2, 1, 0])));
        assert_eq!(resolve(&["10", "9", "x"], None), Ok(labels(&["10", "9", "x"], &[0, 1, 2])));
    }

    #[test]
    fn a_number_is_one_class_however_it_is_written() {
        assert_eq!(resolve(&["1.0", "0", "1", "0.0", "-0"], None), Ok(labels(&["0", "1"], &[1, 0, 1, 0, 0])));
        assert_eq!(resolve(&["1.0", "0.0"], Some(&["1", "0"])), Ok(labels(&["1", "0"], &[0, 1])));
    }

    #[test]
    fn a_given_list_orders_or_names() {
        assert_eq!(resolve(&["down", "up"], Some(&["up", "down"])), Ok(labels(&["up", "down"], &[1, 0])));
        assert_eq!(resolve(&["1", "0"], Some(&["down", "up"])), Ok(labels(&["down", "up"], &[1, 0])));
    }

    #[test]
    fn what_is_no_classification_is_refused() {
        let told = |seen: &[&str], given: Option<&[&str]>| resolve(seen, given).expect_err("refused");
        let numbers: Vec<String> = (0..21).map(|x| x.to_string()).collect();
        let numbers: Vec<&str> = numbers.iter().map(String::as_str).collect();
        assert!(resolve(&numbers[1..], None).is_ok());
        assert_eq!(
            told(&numbers, None),
            "target \"y\" has 21 different numbers, a classification has at most 20: that is a regression, and training regressions comes later"
        );
        assert_eq!(
            told(&["1", "1.0"], None),
            "target \"y\" is \"1\" in every complete row, expected two classes or more"
        );
        assert_eq!(told(&["0", "inf"], None), "column \"y\", line 3: expected a finite number, got \"inf\"");
        assert_eq!(told(&["a", "b"], Some(&["a"])), "classes a: expected two or more");
        assert_eq!(told(&["0", "1"], Some(&["1", "1.0"])), "classes 1,1.0: one stands twice");
        assert_eq!(told(&["0", "1"], Some(&["a", ""])), "classes a,: one is empty");
        assert_eq!(
            told(&["down", "flat"], Some(&["down", "up"])),
            "target \"y\", line 3: \"flat\" is none of the classes down,up"
        );
        assert_eq!(
            told(&["1", "2"], Some(&["down", "up"])),
            "target \"y\", line 3: \"2\" is none of the classes down,up"
        );
    }
}
