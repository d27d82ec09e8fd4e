//! What a foreign file says, in the terms of serve-core: enough to make a bundle of, and to tell a person about.

use std::collections::{BTreeMap, HashSet};

use serde_json::Value;
use serve_core::signature::{InvalidSignature, Signature};
use serve_core::{Datatype, Estimator, Golden, Input, MissingPolicy, SourceInfo, Task, Tolerance, Transform};
use thiserror::Error;

/// One feature, in the model's order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Feature {
    /// Its name: the file's, or the one that the library gives a feature without a name.
    pub name: String,
    /// Whether the model asks for its category.
    pub categorical: bool,
    /// The texts of its categories where the file has them; a text's position is the number that the model sees.
    pub vocabulary: Option<Vec<String>>,
    /// The code of a text outside the vocabulary, where the model has a rule for such texts.
    pub unknown: Option<f64>,
    /// CatBoost's hashes of the texts that the model tells apart; a text's code is its hash's position, and for every other
    /// text their number. In place of a vocabulary.
    pub text_hashes: Option<Vec<u32>>,
    /// The numbers that the model's codes 0, 1, … stand for, where categories are numbers.
    pub numbers: Option<Vec<f64>>,
    /// Whether the model has no rule for a missing value: a row without it is refused.
    pub required: bool,
}

impl Feature {
    /// Takes over the categories that a file has for the codes 0, 1, …. Texts become the vocabulary, and numbers are
    /// recoded. A mixture stays codes, and the note that is returned says so.
    pub(crate) fn take_categories(&mut self, list: Vec<Value>) -> Option<String> {
        if list.is_empty() {
            return None;
        }
        if let Some(words) = list.iter().map(|value| value.as_str().map(str::to_owned)).collect() {
            self.vocabulary = Some(words);
            return None;
        }
        let number = |value: &Value| value.as_f64().or(value.as_bool().map(|flag| f64::from(u8::from(flag))));
        let first = list.iter().take(5).map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let (more, last) = (if list.len() > 5 { ", …" } else { "" }, list.len() - 1);
        let name = &self.name;
        let distinct = |numbers: &Vec<f64>| {
            let mut sorted: Vec<f64> = numbers.iter().map(|x| x + 0.0).collect();
            sorted.sort_by(f64::total_cmp);
            sorted.windows(2).all(|pair| pair[0] < pair[1])
        };
        match list.iter().map(number).collect::<Option<Vec<f64>>>().filter(distinct) {
            Some(numbers) if numbers.iter().zip(0..).all(|(number, code)| *number == f64::from(code)) => None,
            Some(numbers) => {
                self.numbers = Some(numbers);
                Some(format!(
                    "the categories of feature {name:?} are the numbers {first}{more}; another one counts as missing"
                ))
            }
            None => Some(format!(
                "feature {name:?} is given as the codes 0 to {last} of its categories {first}{more}"
            )),
        }
    }
}

/// A model read from a foreign file.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ImportedModel {
    /// The model and its link function.
    pub estimator: Estimator,
    /// Its features in order.
    pub features: Vec<Feature>,
    /// Regression, or classification with its labels; `"0"`, `"1"`, … where the file has none.
    pub task: Task,
    /// The library that wrote the file, and its version where the file tells it.
    pub source: SourceInfo,
    /// The objective as the file names it, with its parameters.
    pub objective: String,
    /// The operators of the file's own graph with counts; none where the format has no graph.
    pub operators: BTreeMap<String, usize>,
    /// The trainer's settings that the file carries, for people.
    pub hyperparameters: BTreeMap<String, serde_json::Value>,
    /// How exact our answers must be: the library's own arithmetic, up to the last bits of the link function.
    pub tolerance: Tolerance,
    /// What a person should know about how the file was read.
    pub notes: Vec<String>,
    /// Rows that the training library answered when the file was written, where the file has some.
    pub golden: Option<Golden>,
}

/// Names given by a person that do not fit the model.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidOverride {
    /// Another number of names than there are things to name.
    #[error("the model has {expected} {what}, got {got} names")]
    Count {
        /// What is named: `features` or `classes`.
        what: &'static str,
        /// How many there are.
        expected: usize,
        /// How many names were given.
        got: usize,
    },
    /// A name is empty or stands twice.
    #[error("{name:?} cannot name one of the model's {what}: it is {problem}")]
    Name {
        /// What is named.
        what: &'static str,
        /// The name.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A regression has no classes.
    #[error("the model is a regression and has no classes to name")]
    NoClasses,
}

impl ImportedModel {
    /// The features' names in order.
    #[must_use]
    pub fn feature_names(&self) -> Vec<String> {
        self.features.iter().map(|feature| feature.name.clone()).collect()
    }

    /// What the model takes: numbers, and texts where the file has a feature's categories as text. A value may be missing
    /// where the model has a rule of its own for that, and then every number is legal.
    ///
    /// # Errors
    /// When the features make no signature; those of an imported file do.
    pub fn signature(&self) -> Result<Signature, InvalidSignature> {
        let input = |feature: &Feature| Input {
            datatype: if feature.vocabulary.is_some() || feature.text_hashes.is_some() {
                Datatype::Bytes
            } else {
                Datatype::Fp64
            },
            vocabulary: feature.vocabulary.clone(),
            unknown: feature.unknown,
            text_hashes: feature.text_hashes.clone(),
            missing: if feature.required { MissingPolicy::Reject } else { MissingPolicy::Nan },
            ..Input::number(&feature.name)
        };
        Signature::new(self.features.iter().map(input).collect())
    }

    /// The same model with categories that are numbers recoded before all else.
    pub(crate) fn recoded(mut self) -> Self {
        let numbers = |feature: &Feature| {
            let values = feature.numbers.clone()?;
            Some(Transform::Recode { column: feature.name.clone(), values })
        };
        let recodes: Vec<Transform> = self.features.iter().filter_map(numbers).collect();
        self.estimator.transforms.splice(0..0, recodes);
        self
    }

    /// The same model with other feature names, in the model's order.
    ///
    /// # Errors
    /// When there are more or fewer names than features, or a name is empty or stands twice.
    pub fn with_feature_names(mut self, names: Vec<String>) -> Result<Self, InvalidOverride> {
        check_names("features", self.features.len(), &names)?;
        for transform in &mut self.estimator.transforms {
            if let Transform::Recode { column, .. } = transform
                && let Some(place) = self.features.iter().position(|feature| feature.name == *column)
            {
                column.clone_from(&names[place]);
            }
        }
        self.features.iter_mut().zip(names).for_each(|(feature, name)| feature.name = name);
        Ok(self)
    }

    /// The same model with other class labels, in class order.
    ///
    /// # Errors
    /// When the model is a regression, there are more or fewer labels than classes, or a label is empty or stands
    /// twice.
    pub fn with_classes(mut self, labels: Vec<String>) -> Result<Self, InvalidOverride> {
        let Task::Classification { classes } = &mut self.task else {
            return Err(InvalidOverride::NoClasses);
        };
        check_names("classes", classes.len(), &labels)?;
        *classes = labels;
        Ok(self)
    }
}

fn check_names(what: &'static str, expected: usize, names: &[String]) -> Result<(), InvalidOverride> {
    if names.len() != expected {
        return Err(InvalidOverride::Count { what, expected, got: names.len() });
    }
    let error = |name: &str, problem| InvalidOverride::Name { what, name: name.to_owned(), problem };
    match unusable(names.iter().map(String::as_str)) {
        Some((name, problem)) => Err(error(name, problem)),
        None => Ok(()),
    }
}

/// The first name that is empty or stands twice.
pub(crate) fn unusable<'a>(mut names: impl Iterator<Item = &'a str>) -> Option<(&'a str, &'static str)> {
    let mut seen = HashSet::new();
    names.find_map(|name| match name {
        "" => Some((name, "empty")),
        _ => (!seen.insert(name)).then_some((name, "given twice")),
    })
}

/// `"0"`, `"1"`, …
pub(crate) fn numbered_classes(count: usize) -> Task {
    Task::Classification { classes: (0..count).map(|class| class.to_string()).collect() }
}
