//! The lines of a text model, sorted into header, trees and what comes after them, each with its number. Nothing is
//! copied: the sections borrow the text.

use std::str::FromStr;

use crate::error::{ImportError, Place, shown};

/// One `key=value` line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<'a> {
    line: usize,
    tree: Option<usize>,
    pub(super) key: &'a str,
    pub(super) value: &'a str,
}

impl<'a> Entry<'a> {
    pub(super) fn place(&self) -> Place {
        let usual = self.key.len() <= 40 && self.key.bytes().all(|byte| byte.is_ascii_graphic());
        let key = if usual { self.key } else { "" };
        Place::Line { line: self.line, tree: self.tree, key: key.to_owned() }
    }

    pub(super) fn invalid(&self, expected: impl Into<String>, got: impl Into<String>) -> ImportError {
        ImportError::invalid(self.place(), expected, got)
    }

    /// The value as one number.
    pub(super) fn number<T: FromStr>(&self, expected: &str) -> Result<T, ImportError> {
        self.value.trim().parse().map_err(|_| self.invalid(expected, shown(self.value)))
    }

    /// The value as a list of exactly `count` numbers. What is allocated follows the line's length, not `count`.
    pub(super) fn numbers<T: FromStr>(&self, count: usize, expected: &str) -> Result<Vec<T>, ImportError> {
        let numbers = self.all_numbers(expected)?;
        if numbers.len() == count {
            Ok(numbers)
        } else {
            Err(self.invalid(format!("{count} values"), numbers.len().to_string()))
        }
    }

    /// The value as a list of numbers.
    pub(super) fn all_numbers<T: FromStr>(&self, expected: &str) -> Result<Vec<T>, ImportError> {
        let number = |(position, text): (usize, &'a str)| {
            let got = || format!("{} (value {position})", shown(text));
            text.parse().map_err(|_| self.invalid(expected, got()))
        };
        self.value.split_ascii_whitespace().enumerate().map(number).collect()
    }
}

/// Lines that belong together.
#[derive(Debug, Default)]
pub(super) struct Section<'a> {
    /// Where it begins.
    pub(super) line: usize,
    tree: Option<usize>,
    entries: Vec<Entry<'a>>,
}

impl<'a> Section<'a> {
    pub(super) fn get(&self, key: &str) -> Option<Entry<'a>> {
        self.entries.iter().find(|entry| entry.key == key).copied()
    }

    pub(super) fn require(&self, key: &str) -> Result<Entry<'a>, ImportError> {
        self.get(key).ok_or_else(|| ImportError::Missing {
            place: Place::Line { line: self.line, tree: self.tree, key: String::new() },
            what: format!("{key}="),
        })
    }

    fn push(&mut self, line: usize, text: &'a str) -> Result<(), ImportError> {
        let (key, value) = match text.split_once('=') {
            Some(pair) => pair,
            None if text == AVERAGE => (text, ""),
            None => ("", text),
        };
        let entry = Entry { line, tree: self.tree, key, value };
        if key.is_empty() {
            return Err(entry.invalid("key=value", shown(text)));
        }
        if self.get(key).is_some() {
            return Err(entry.invalid("a key once", "it again"));
        }
        if self.entries.len() == MOST_ENTRIES {
            return Err(entry.invalid(format!("at most {MOST_ENTRIES} lines"), "more"));
        }
        self.entries.push(entry);
        Ok(())
    }
}

/// A whole file.
#[derive(Debug, Default)]
pub(super) struct Sections<'a> {
    pub(super) header: Section<'a>,
    pub(super) trees: Vec<Section<'a>>,
    /// The lines `[name: value]`.
    pub(super) parameters: Vec<&'a str>,
    /// The line of pandas' categories and its number.
    pub(super) pandas: Option<(usize, &'a str)>,
}

/// The one line of a header that has no value.
pub(super) const AVERAGE: &str = "average_output";
/// LightGBM writes up to 25 lines in a section; they are searched one by one.
const MOST_ENTRIES: usize = 64;
const END: &str = "end of trees";
const TREE: &str = "Tree=";
const PANDAS: &str = "pandas_categorical:";

impl<'a> Sections<'a> {
    /// Sorts the lines. The header's lines may stand in any order; trees are numbered from 0 without a gap.
    pub(super) fn read(text: &'a str) -> Result<Self, ImportError> {
        let mut sections = Self { header: Section { line: 1, ..Section::default() }, ..Self::default() };
        let mut lines = (1..).zip(text.lines().map(str::trim_end));
        for (line, text) in lines.by_ref().skip(1) {
            match text {
                END => {
                    sections.read_rest(lines);
                    return Ok(sections);
                }
                "" => {}
                _ => match text.strip_prefix(TREE) {
                    Some(number) => sections.begin_tree(line, number)?,
                    None => sections.trees.last_mut().unwrap_or(&mut sections.header).push(line, text)?,
                },
            }
        }
        let (line, tree) = (text.lines().count(), sections.trees.len().checked_sub(1));
        let place = Place::Line { line, tree, key: String::new() };
        Err(ImportError::invalid(place, format!("the line {END:?}"), "the end of the file: it is cut off"))
    }

    fn begin_tree(&mut self, line: usize, number: &str) -> Result<(), ImportError> {
        let tree = self.trees.len();
        let section = Section { line, tree: Some(tree), entries: Vec::with_capacity(20) };
        if number.parse() != Ok(tree) {
            let place = Place::Line { line, tree: None, key: String::new() };
            return Err(ImportError::invalid(
                place,
                format!("{TREE}{tree}"),
                shown(&format!("{TREE}{number}")),
            ));
        }
        self.trees.push(section);
        Ok(())
    }

    fn read_rest(&mut self, lines: impl Iterator<Item = (usize, &'a str)>) {
        for (line, text) in lines {
            if let Some(categories) = text.strip_prefix(PANDAS) {
                self.pandas = Some((line, categories));
            } else if let Some(parameter) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                self.parameters.push(parameter);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        Sections::read(text).expect_err("refused").to_string()
    }

    #[test]
    fn lines_are_sorted_and_keep_their_numbers() {
        let text = "tree\nversion=v4\naverage_output\n\nTree=0\nnum_leaves=1\n\nTree=1\nnum_leaves=x\nend of trees\n\
                    feature_importances:\na=1\n[boosting: rf]\npandas_categorical:null\n";
        let sections = Sections::read(text).expect("sound");
        assert_eq!(sections.header.require("version").expect("there").value, "v4");
        assert!(sections.header.get("average_output").is_some());
        assert_eq!(sections.trees.iter().map(|tree| tree.line).collect::<Vec<_>>(), [5, 8]);
        assert_eq!(sections.parameters, ["boosting: rf"]);
        assert_eq!(sections.pandas, Some((14, "null")));
        let leaves = sections.trees[1].require("num_leaves").expect("there").number::<usize>("a count");
        let error = leaves.expect_err("no number").to_string();
        assert_eq!(error, "line 9, tree 1, num_leaves: expected a count, got \"x\"");
        let error = sections.trees[0].require("leaf_value").expect_err("not there").to_string();
        assert_eq!(error, "line 5, tree 0: leaf_value= is missing");
    }

    #[test]
    fn lists_have_the_expected_length() {
        let text = "tree\na=1 2 3\nb=\nc=1 x\nend of trees";
        let sections = Sections::read(text).expect("sound");
        let list = |key, count| {
            let entry = sections.header.require(key).expect("there");
            entry.numbers::<u32>(count, "a number").map_err(|error| error.to_string())
        };
        assert_eq!(list("a", 3), Ok(vec![1, 2, 3]));
        assert_eq!(list("b", 0), Ok(vec![]));
        assert_eq!(list("a", usize::MAX), Err(format!("line 2, a: expected {} values, got 3", usize::MAX)));
        assert_eq!(list("c", 2), Err("line 4, c: expected a number, got \"x\" (value 1)".to_owned()));
    }

    #[test]
    fn what_is_cut_off_or_out_of_order_is_refused() {
        assert_eq!(
            error("tree\nversion=v4\n"),
            "line 2: expected the line \"end of trees\", got the end of the file: it is cut off"
        );
        assert_eq!(error("tree\nTree=1\nend of trees\n"), "line 2: expected Tree=0, got \"Tree=1\"");
        assert_eq!(error("tree\na=1\na=1\nend of trees"), "line 3, a: expected a key once, got it again");
        assert_eq!(error("tree\nsome\tprose\n"), "line 2: expected key=value, got \"some\\tprose\"");
        let many: String = (0..65).map(|key| format!("{key}=")).collect::<Vec<_>>().join("\n");
        assert_eq!(error(&format!("tree\n{many}")), "line 66, 64: expected at most 64 lines, got more");
    }
}
