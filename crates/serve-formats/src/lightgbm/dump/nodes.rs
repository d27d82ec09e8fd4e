//! A tree of the dump, lowered. Its nodes stand inside each other, with the numbers that they have in the text model:
//! `split_index` and `leaf_index`. They are put back in that order, so that the dump and the text of a model give the
//! same tree. Numbers must be in range and distinct; a lone leaf has none.
//!
//! The dump cuts numbers off at ±1e300. A threshold of 1e300 is taken for infinity, which a split between NaN and all else
//! has; no data of use is as large. Any other such number is refused, for nobody knows what it was.

use serde::de::DeserializeOwned;
use serve_core::tree::{Leaf, Missing, Node, Statistics, Test, Tree};

use super::super::split::{self, MissingType};
use super::super::statistics;
use super::scanner::Scanner;
use super::{Object, parse};
use crate::error::{ImportError, Place, shown};

/// Codes up to this are taken, so that no set of a few bytes claims much memory. LightGBM itself keeps a word for every
/// 32 codes below the highest.
const HIGHEST_CODE: u32 = (1 << 24) - 1;
/// Words of all sets of a file together; 64 MiB.
const MOST_WORDS: usize = 1 << 24;
/// Where the dump cuts numbers off: this and everything above it, infinity too, is written so.
const CUT: f64 = 1e300;
const MOST_LEAVES: usize = 1 << 30;

/// Fields that are read; `left_child` and `right_child` are objects and told apart.
const FIELDS: [&str; 14] = [
    "split_index",
    "split_feature",
    "threshold",
    "decision_type",
    "default_left",
    "missing_type",
    "split_gain",
    "internal_count",
    "leaf_index",
    "leaf_value",
    "leaf_count",
    "leaf_const",
    "leaf_features",
    "leaf_coeff",
];
const SIDES: [&str; 2] = ["left_child", "right_child"];

/// A node whose object has been begun.
#[derive(Default)]
struct Open<'a> {
    /// Which one it is in the order of the file, for messages.
    number: usize,
    fields: [Option<&'a str>; FIELDS.len()],
    children: [Option<u32>; 2],
    /// The side whose object is being read.
    side: usize,
}

/// A node that has been read.
struct Closed {
    position: u32,
    node: Node,
    count: Option<f64>,
    gain: Option<f64>,
}

/// `words` is how many words the sets of the file have so far.
pub(super) fn lower(
    tree: &Object<'_>,
    number: usize,
    output: u32,
    words: &mut usize,
) -> Result<Tree, ImportError> {
    let structure = tree.require("tree_structure")?;
    let leaves = tree.parse::<usize>("num_leaves", "a count of leaves")?;
    // every leaf takes some bytes, so what is allocated follows the text's length
    if leaves == 0 || leaves > structure.len().min(MOST_LEAVES) {
        let expected = "a count from 1 that the tree's length bears out";
        return Err(ImportError::invalid(tree.place("num_leaves"), expected, leaves.to_string()));
    }
    let mut reader = Reader { tree: number, splits: leaves - 1, words, closed: Vec::new() };
    reader.read(structure)?;
    reader.finish(output)
}

struct Reader<'a> {
    tree: usize,
    splits: usize,
    words: &'a mut usize,
    closed: Vec<Closed>,
}

impl Reader<'_> {
    /// Walks the nested objects; a node is closed after its children.
    fn read(&mut self, structure: &str) -> Result<(), ImportError> {
        let mut scanner = Scanner::new(structure);
        let mut stack = vec![self.open(&mut scanner, 0)?];
        let mut opened = 1;
        while let Some(open) = stack.last_mut() {
            let Some(key) = scanner.key() else {
                let position = stack.pop().map(|open| self.close(&open)).transpose()?;
                if let Some(parent) = stack.last_mut() {
                    parent.children[parent.side] = position;
                }
                continue;
            };
            if let Some(side) = SIDES.iter().position(|name| *name == key) {
                open.begin(side).map_err(|got| self.invalid(open, key, "a child once", got))?;
                let child = self.open(&mut scanner, opened)?;
                stack.push(child);
                opened += 1;
            } else {
                let value = scanner.value();
                if let Some(field) = FIELDS.iter().position(|name| *name == key)
                    && open.fields[field].replace(value).is_some()
                {
                    return Err(self.invalid(open, key, "a key once", "it again"));
                }
            }
        }
        Ok(())
    }

    fn open<'a>(&self, scanner: &mut Scanner<'a>, number: usize) -> Result<Open<'a>, ImportError> {
        let open = Open { number, ..Open::default() };
        if scanner.take(b'{') { Ok(open) } else { Err(self.invalid(&open, "", "an object", "another value")) }
    }

    fn close(&mut self, open: &Open<'_>) -> Result<u32, ImportError> {
        let closed = match (open.children, open.get("leaf_value")) {
            ([Some(left), Some(right)], None) => self.split(open, left, right)?,
            ([None, None], Some(_)) => self.leaf(open)?,
            _ => return Err(self.invalid(open, "", "two children or a leaf_value", "neither, or both")),
        };
        let position = closed.position;
        self.closed.push(closed);
        Ok(position)
    }

    fn split(&mut self, open: &Open<'_>, left: u32, right: u32) -> Result<Closed, ImportError> {
        let position = self.number(open, "split_index", self.splits)?;
        let feature = self.value(open, "split_feature", "a feature")?;
        let (test, missing) = self.test(open)?;
        Ok(Closed {
            position,
            node: Node::Split { feature, test, missing, left, right },
            count: self.count(open, "internal_count")?,
            gain: self.optional(open, "split_gain", "a gain")?,
        })
    }

    fn test(&mut self, open: &Open<'_>) -> Result<(Test, Missing), ImportError> {
        match self.value::<String>(open, "decision_type", "a text")?.as_str() {
            "<=" => {
                let threshold = match self.value::<f64>(open, "threshold", "a number")? {
                    // a split between NaN and everything else
                    CUT => f64::INFINITY,
                    threshold => self.whole(open, "threshold", threshold)?,
                };
                let left = self.value::<bool>(open, "default_left", "true or false")?;
                let missing = match self.value::<String>(open, "missing_type", "a text")?.as_str() {
                    "None" => MissingType::None,
                    "Zero" => MissingType::Zero,
                    "NaN" => MissingType::Nan,
                    other => {
                        return Err(self.invalid(open, "missing_type", "None, Zero or NaN", shown(other)));
                    }
                };
                Ok(split::numeric(threshold, missing, left))
            }
            "==" => Ok(split::categorical(self.set(open)?)),
            other => Err(self.invalid(open, "decision_type", "<= or ==", shown(other))),
        }
    }

    /// A set of codes, `0||2||5`, as bits.
    fn set(&mut self, open: &Open<'_>) -> Result<Vec<u32>, ImportError> {
        let text = self.value::<String>(open, "threshold", "a text of codes")?;
        let mut words = Vec::new();
        for code in text.split("||").filter(|code| !code.is_empty()) {
            let Some(code) = code.parse().ok().filter(|code: &u32| *code <= HIGHEST_CODE) else {
                let expected = format!("codes of categories up to {HIGHEST_CODE}");
                return Err(self.invalid(open, "threshold", &expected, shown(code)));
            };
            let word = (code / 32) as usize;
            if word >= words.len() {
                words.resize(word + 1, 0);
            }
            words[word] |= 1 << (code % 32);
        }
        *self.words += words.len();
        if *self.words > MOST_WORDS {
            let expected = format!("sets of at most {MOST_WORDS} words in all trees");
            return Err(self.invalid(open, "threshold", &expected, self.words.to_string()));
        }
        Ok(words)
    }

    fn leaf(&self, open: &Open<'_>) -> Result<Closed, ImportError> {
        let leaf = if self.splits == 0 && open.get("leaf_index").is_none() {
            0
        } else {
            self.number(open, "leaf_index", self.splits + 1)?
        };
        let value = self.whole(open, "leaf_value", self.value(open, "leaf_value", "a number")?)?;
        let node = match self.optional(open, "leaf_const", "a number")? {
            None => Leaf::Scalar(value),
            Some(constant) => Leaf::Linear { constant, terms: self.terms(open)?, otherwise: value },
        };
        Ok(Closed {
            position: self.splits as u32 + leaf,
            node: Node::Leaf(node),
            count: self.count(open, "leaf_count")?,
            gain: Some(0.0),
        })
    }

    /// A number that the dump has not cut off.
    fn whole(&self, open: &Open<'_>, key: &str, number: f64) -> Result<f64, ImportError> {
        if number.abs() < CUT {
            return Ok(number);
        }
        let expected = "a number below 1e300, where a dump cuts numbers off";
        Err(self.invalid(open, key, expected, format!("{number:e}")))
    }

    fn terms(&self, open: &Open<'_>) -> Result<Vec<(u32, f64)>, ImportError> {
        let features: Vec<u32> = self.value(open, "leaf_features", "a list of features")?;
        let coefficients: Vec<f64> = self.value(open, "leaf_coeff", "a list of numbers")?;
        if features.len() != coefficients.len() {
            let expected = format!("{} coefficients, one for each feature", features.len());
            return Err(self.invalid(open, "leaf_coeff", &expected, coefficients.len().to_string()));
        }
        Ok(features.into_iter().zip(coefficients).collect())
    }

    /// The nodes in the order of the text model.
    fn finish(mut self, output: u32) -> Result<Tree, ImportError> {
        let place = || Place::Path(format!("tree_info[{}]", self.tree));
        let nodes = 2 * self.splits + 1;
        if self.closed.len() != nodes {
            let (expected, got) = (format!("{nodes} nodes"), self.closed.len().to_string());
            return Err(ImportError::invalid(place(), format!("{expected}, as num_leaves has it"), got));
        }
        if self.closed.last().is_some_and(|root| root.position != 0) {
            return Err(ImportError::invalid(place(), "split_index 0 at the root", "another"));
        }
        self.closed.sort_by_key(|closed| closed.position);
        if let Some(pair) = self.closed.windows(2).find(|pair| pair[0].position == pair[1].position) {
            let position = pair[0].position as usize;
            let name = match position.checked_sub(self.splits) {
                Some(leaf) => format!("leaf_index {leaf}"),
                None => format!("split_index {position}"),
            };
            return Err(ImportError::invalid(place(), format!("{name} once"), "it again"));
        }
        let gains =
            if self.splits == 0 { Some(Vec::new()) } else { self.closed.iter().map(|c| c.gain).collect() };
        let counts: Option<Vec<f64>> = self.closed.iter().map(|closed| closed.count).collect();
        let mut statistics =
            Statistics { cover: counts.unwrap_or_default(), gain: gains.unwrap_or_default() };
        statistics::complete(&mut statistics, self.splits);
        Ok(Tree { output, nodes: self.closed.into_iter().map(|closed| closed.node).collect(), statistics })
    }

    fn count(&self, open: &Open<'_>, key: &'static str) -> Result<Option<f64>, ImportError> {
        let count = self.optional::<f64>(open, key, "a count of rows")?;
        match count.filter(|count| *count < 0.0) {
            Some(count) => Err(self.invalid(open, key, "a count of rows", count.to_string())),
            None => Ok(count),
        }
    }

    fn number(&self, open: &Open<'_>, key: &'static str, end: usize) -> Result<u32, ImportError> {
        let number = self.value::<u32>(open, key, "a number of a node")?;
        if (number as usize) < end {
            Ok(number)
        } else {
            Err(self.invalid(open, key, &format!("a number below {end}"), number.to_string()))
        }
    }

    fn value<T: DeserializeOwned>(
        &self,
        open: &Open<'_>,
        key: &str,
        expected: &str,
    ) -> Result<T, ImportError> {
        let text = open
            .get(key)
            .ok_or_else(|| ImportError::Missing { place: self.place(open, ""), what: key.to_owned() })?;
        parse(text, expected, || self.place(open, key))
    }

    fn optional<T: DeserializeOwned>(
        &self,
        open: &Open<'_>,
        key: &str,
        expected: &str,
    ) -> Result<Option<T>, ImportError> {
        open.get(key).map(|text| parse(text, expected, || self.place(open, key))).transpose()
    }

    /// A node's place by the number that it has in the file, or else by its order in it.
    fn place(&self, open: &Open<'_>, key: &str) -> Place {
        let name = match (open.get("split_index"), open.get("leaf_index")) {
            (Some(split), _) => format!("split {}", shown(split).trim_matches('"')),
            (None, Some(leaf)) => format!("leaf {}", shown(leaf).trim_matches('"')),
            (None, None) => format!("node {} as they stand", open.number),
        };
        let comma = if key.is_empty() { "" } else { ", " };
        Place::Path(format!("tree_info[{}], {name}{comma}{key}", self.tree))
    }

    fn invalid(&self, open: &Open<'_>, key: &str, expected: &str, got: impl Into<String>) -> ImportError {
        ImportError::invalid(self.place(open, key), expected, got)
    }
}

impl<'a> Open<'a> {
    fn get(&self, key: &str) -> Option<&'a str> {
        let field = FIELDS.iter().position(|name| *name == key)?;
        self.fields[field]
    }

    fn begin(&mut self, side: usize) -> Result<(), &'static str> {
        self.side = side;
        if self.children[side].is_some() { Err("it again") } else { Ok(()) }
    }
}
