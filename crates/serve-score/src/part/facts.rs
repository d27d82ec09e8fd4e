//! What decides a job's rows. A job goes on only where all of it is as it was.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::location::InputFile;
use crate::model::PinnedModel;

/// The version of what stands in a folder of state.
const FORMAT: u32 = 1;

/// Differences that a message lists.
const LISTED: usize = 8;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobFacts {
    format: u32,
    /// The model as it was asked for.
    pub asked: String,
    /// Name and version.
    pub model: String,
    /// The identity of its content.
    pub digest: String,
    /// Options that change rows, as they are told.
    pub options: BTreeMap<String, String>,
    /// The input, in order.
    pub inputs: Vec<InputFacts>,
}

/// One file of the input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputFacts {
    /// Where it lies.
    pub name: String,
    /// Its length.
    pub bytes: Option<u64>,
    /// When it was changed last, or what stands for its content.
    pub stamp: Option<String>,
}

impl InputFacts {
    fn of(file: &InputFile) -> Self {
        let canonical = file.path().and_then(|path| path.canonicalize().ok());
        let name = canonical.map_or_else(|| file.name(), |path| path.display().to_string());
        Self { name, bytes: file.bytes(), stamp: file.stamp().map(str::to_owned) }
    }
}

impl std::fmt::Display for InputFacts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.bytes, &self.stamp) {
            (Some(bytes), Some(stamp)) => write!(f, "{bytes} bytes of {stamp}"),
            (Some(bytes), None) => write!(f, "{bytes} bytes"),
            _ => f.write_str("of unknown length"),
        }
    }
}

impl JobFacts {
    /// The facts of a job by a model over files.
    #[must_use]
    pub fn new(
        asked: &str,
        model: &PinnedModel,
        options: BTreeMap<String, String>,
        files: &[InputFile],
    ) -> Self {
        Self {
            format: FORMAT,
            asked: asked.to_owned(),
            model: model.to_string(),
            digest: model.digest().to_string(),
            options,
            inputs: files.iter().map(InputFacts::of).collect(),
        }
    }

    /// What is another than it was, each with both; empty where nothing is.
    #[must_use]
    pub fn differences(&self, now: &Self) -> Vec<String> {
        let mut all = Vec::new();
        let mut compare = |what: &str, was: &str, is: &str| {
            if was != is {
                all.push(format!("{what} was {was}, is {is}"));
            }
        };
        compare("the form of the state", &self.format.to_string(), &now.format.to_string());
        compare("the model", &self.model, &now.model);
        compare(&format!("the digest of {}", self.model), &self.digest, &now.digest);
        let names =
            self.options.keys().chain(now.options.keys().filter(|name| !self.options.contains_key(*name)));
        let told = |options: &BTreeMap<String, String>, name: &String| {
            options
                .get(name)
                .filter(|value| !value.is_empty())
                .cloned()
                .unwrap_or_else(|| "nothing".to_owned())
        };
        names.for_each(|name| compare(name, &told(&self.options, name), &told(&now.options, name)));
        all.extend(inputs(&self.inputs, &now.inputs));
        let more = all.len().saturating_sub(LISTED);
        all.truncate(LISTED);
        if more > 0 {
            all.push(format!("and {more} more"));
        }
        all
    }
}

fn inputs(were: &[InputFacts], are: &[InputFacts]) -> Vec<String> {
    let by_name = |files: &[InputFacts]| -> BTreeMap<String, InputFacts> {
        files.iter().map(|file| (file.name.clone(), file.clone())).collect()
    };
    let (old, new) = (by_name(were), by_name(are));
    let mut all = Vec::new();
    for file in were {
        match new.get(&file.name) {
            None => all.push(format!("the input {} is missing", file.name)),
            Some(now) if now != file => all.push(format!("the input {} was {file}, is {now}", file.name)),
            Some(_) => {}
        }
    }
    let added = are.iter().filter(|file| !old.contains_key(&file.name));
    all.extend(added.map(|file| format!("the input {} was added", file.name)));
    let order = |files: &[InputFacts]| files.iter().map(|file| file.name.clone()).collect::<Vec<_>>();
    if all.is_empty() && order(were) != order(are) {
        all.push("the order of the input's files is another".to_owned());
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> JobFacts {
        let file = |name: &str| InputFacts { name: name.into(), bytes: Some(3), stamp: Some("noon".into()) };
        JobFacts {
            format: FORMAT,
            asked: "m@champion".into(),
            model: "m@v1".into(),
            digest: "aa".into(),
            options: [("--keep".to_owned(), "id".to_owned())].into(),
            inputs: vec![file("a"), file("b")],
        }
    }

    #[test]
    fn every_difference_is_named_with_both_sides() {
        let mut now = facts();
        assert!(facts().differences(&now).is_empty());
        now.model = "m@v2".into();
        now.digest = "bb".into();
        now.options = [("--explain".to_owned(), "yes".to_owned())].into();
        now.inputs[0].bytes = Some(4);
        now.inputs[1].name = "c".into();
        let expected = [
            "the model was m@v1, is m@v2",
            "the digest of m@v1 was aa, is bb",
            "--keep was id, is nothing",
            "--explain was nothing, is yes",
            "the input a was 3 bytes of noon, is 4 bytes of noon",
            "the input b is missing",
            "the input c was added",
        ];
        assert_eq!(facts().differences(&now), expected);
    }
}
