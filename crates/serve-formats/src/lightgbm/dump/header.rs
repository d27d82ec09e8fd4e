//! The dump's header: the text's facts as JSON.

use std::collections::HashMap;

use serde::Deserialize;
use serve_core::tree::Aggregation;

use super::super::header::{A_TREE, Header, check_rounds, check_version};
use super::super::objective::Objective;
use super::Object;
use crate::error::{ImportError, shown};
use crate::imported::{Feature, unusable};

/// What the dump says of a feature that some tree could ask; codes of a categorical one are in `values`.
#[derive(Deserialize)]
struct Info {
    #[serde(default)]
    values: Vec<i64>,
}

pub(super) fn read(file: &Object<'_>, trees: usize) -> Result<Header, ImportError> {
    let version: String = file.parse("version", "a text")?;
    check_version(&version, || file.place("version"))?;
    let per_round = trees_per_round(file, trees)?;
    let objective = match file.get("objective") {
        Some(_) => {
            let text: String = file.parse("objective", "a text")?;
            Objective::read(&text, &file.place("objective"), per_round)?
        }
        None => Objective::custom("custom", per_round),
    };
    let average = file.parse::<bool>("average_output", "true or false")?;
    let aggregation = match (average, trees) {
        (true, 0) => return Err(ImportError::invalid(file.place("average_output"), A_TREE, "none")),
        (true, _) => Aggregation::Average,
        (false, _) => Aggregation::Sum,
    };
    let mut features = features(file)?;
    let highest_codes = read_infos(file, &mut features)?;
    Ok(Header { version, features, highest_codes, objective, aggregation })
}

fn trees_per_round(file: &Object<'_>, trees: usize) -> Result<usize, ImportError> {
    let key = "num_tree_per_iteration";
    let per_round = file.parse::<usize>(key, "a count")?;
    let invalid = |key, expected: String| {
        ImportError::invalid(file.place(key), expected, shown(&per_round.to_string()))
    };
    check_rounds(trees, per_round).map_err(|expected| invalid(key, expected))?;
    let classes = file.parse::<usize>("num_class", "a count")?;
    if classes != per_round {
        return Err(invalid(key, format!("{classes}, the same as num_class")));
    }
    Ok(per_round)
}

fn features(file: &Object<'_>) -> Result<Vec<Feature>, ImportError> {
    let names: Vec<String> = file.parse("feature_names", "a list of texts")?;
    let last = file.parse::<usize>("max_feature_idx", "a count")?;
    if last.checked_add(1) != Some(names.len()) {
        let expected = format!("one below the {} feature names", names.len());
        return Err(ImportError::invalid(file.place("max_feature_idx"), expected, last.to_string()));
    }
    if let Some((name, problem)) = unusable(names.iter().map(String::as_str)) {
        let got = format!("{}, {problem}", shown(name));
        return Err(ImportError::invalid(file.place("feature_names"), "distinct names", got));
    }
    Ok(names.into_iter().map(|name| Feature { name, ..Feature::default() }).collect())
}

/// Marks categorical features. LightGBM before 3.0 leaves this out, and what was never split on is not in it.
fn read_infos(file: &Object<'_>, features: &mut [Feature]) -> Result<Vec<Option<u32>>, ImportError> {
    if file.get("feature_infos").is_none() {
        return Ok(Vec::new());
    }
    let infos: HashMap<String, Info> = file.parse("feature_infos", "an object for each feature")?;
    let mut highest = Vec::with_capacity(features.len());
    for feature in features {
        let values = infos.get(&feature.name).map_or(&[][..], |info| &info.values);
        feature.categorical = !values.is_empty();
        highest.push(values.iter().filter_map(|code| u32::try_from(*code).ok()).max());
    }
    Ok(highest)
}

#[cfg(test)]
mod tests {
    use super::super::Object;
    use super::*;

    fn error(text: &str, trees: usize) -> String {
        let file = Object::read(text, String::new()).expect("an object");
        read(&file, trees).expect_err("refused").to_string()
    }

    #[test]
    fn what_answers_depend_on_must_be_there() {
        let head = r#"{"version":"v4","num_class":1,"num_tree_per_iteration":1,"max_feature_idx":0,"feature_names":["a"]"#;
        assert_eq!(error(&format!("{head}}}"), 1), "the dump: average_output is missing");
        assert_eq!(
            error(&format!("{head},\"average_output\":0}}"), 1),
            "average_output: expected true or false, got \"0\""
        );
        assert_eq!(
            error(&format!("{head},\"average_output\":true}}"), 0),
            "average_output: expected at least one tree to average, got none"
        );
        assert_eq!(
            error(&format!("{}}}", head.replace("_iteration\":1", "_iteration\":100000000")), 0),
            "num_tree_per_iteration: expected 1 to 64 in a file without trees, got \"100000000\""
        );
        assert_eq!(
            error(&format!("{}}}", head.replace("_iteration\":1", "_iteration\":2")), 3),
            "num_tree_per_iteration: expected a divisor of the 3 trees, got \"2\""
        );
    }
}
