//! The header: features, classes, objective. Counts are held against what the file has before anything relies on them.
//! This is the text's; the dump's says the same as JSON and becomes a [`Header`] too.

use serve_core::tree::Aggregation;

use super::objective::Objective;
use super::section::{AVERAGE, Sections};
use crate::error::{ImportError, Place, shown};
use crate::imported::{Feature, unusable};

/// Outputs that a file without trees may claim: nothing in it bears them out.
const FREE_OUTPUTS: usize = 64;
/// LightGBM answers NaN where there is none.
pub(super) const A_TREE: &str = "at least one tree to average";

/// What the header says.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) version: String,
    pub(super) features: Vec<Feature>,
    /// Per feature, the highest code of a category that was seen in training.
    pub(super) highest_codes: Vec<Option<u32>>,
    pub(super) objective: Objective,
    pub(super) aggregation: Aggregation,
}

impl Header {
    pub(super) fn read(sections: &Sections<'_>) -> Result<Self, ImportError> {
        let header = &sections.header;
        let version = header.require("version")?;
        check_version(version.value, || version.place())?;
        let per_round = trees_per_round(sections)?;
        let objective = match header.get("objective") {
            Some(entry) => Objective::read(entry.value, &entry.place(), per_round)?,
            None => Objective::custom("custom", per_round),
        };
        let aggregation = match header.get(AVERAGE) {
            Some(entry) if sections.trees.is_empty() => return Err(entry.invalid(A_TREE, "none")),
            Some(_) => Aggregation::Average,
            None => Aggregation::Sum,
        };
        let mut features = features(sections)?;
        let highest_codes = read_infos(sections, &mut features)?;
        Ok(Self { version: version.value.to_owned(), features, highest_codes, objective, aggregation })
    }
}

pub(super) fn check_version(version: &str, place: impl Fn() -> Place) -> Result<(), ImportError> {
    if matches!(version, "v3" | "v4") {
        return Ok(());
    }
    let what = format!("format version {}", shown(version));
    Err(ImportError::Unsupported { place: place(), what, supported: "v3, v4" })
}

fn trees_per_round(sections: &Sections<'_>) -> Result<usize, ImportError> {
    let trees = sections.trees.len();
    if let Some(sizes) = sections.header.get("tree_sizes") {
        let expected = sizes.value.split_ascii_whitespace().count();
        if expected != trees {
            return Err(sizes.invalid("one size for each tree", format!("{expected} for {trees} trees")));
        }
    }
    let classes = sections.header.require("num_class")?;
    let entry = sections.header.require("num_tree_per_iteration")?;
    let per_round = entry.number::<usize>("a count")?;
    if classes.number::<usize>("a count")? != per_round {
        return Err(classes.invalid("the same as num_tree_per_iteration", shown(classes.value)));
    }
    check_rounds(trees, per_round).map_err(|expected| entry.invalid(expected, shown(entry.value)))?;
    Ok(per_round)
}

/// Holds the trees of a round against those of the file, or tells what was expected. Where nothing was learnt there is
/// no tree, and nothing else bears the count out.
pub(super) fn check_rounds(trees: usize, per_round: usize) -> Result<(), String> {
    match trees {
        0 if (1..=FREE_OUTPUTS).contains(&per_round) => Ok(()),
        0 => Err(format!("1 to {FREE_OUTPUTS} in a file without trees")),
        _ if per_round > 0 && trees.is_multiple_of(per_round) => Ok(()),
        _ => Err(format!("a divisor of the {trees} trees")),
    }
}

fn features(sections: &Sections<'_>) -> Result<Vec<Feature>, ImportError> {
    let names = sections.header.require("feature_names")?;
    let feature = |name: &str| Feature { name: name.to_owned(), ..Feature::default() };
    let features: Vec<Feature> = names.value.split_ascii_whitespace().map(feature).collect();
    let count = features.len();
    let last = sections.header.require("max_feature_idx")?;
    if last.number::<usize>("a count")?.checked_add(1) != Some(count) {
        return Err(last.invalid(format!("one below the {count} feature names"), shown(last.value)));
    }
    if let Some((name, problem)) = unusable(features.iter().map(|feature| feature.name.as_str())) {
        return Err(names.invalid("distinct names", format!("{}, {problem}", shown(name))));
    }
    Ok(features)
}

/// Marks categorical features. A numeric column has its observed range, `[0.5:7]`, one that was never split on `none`,
/// a categorical one its codes, `0:2:1`, with -1 for NaN.
fn read_infos(sections: &Sections<'_>, features: &mut [Feature]) -> Result<Vec<Option<u32>>, ImportError> {
    let Some(entry) = sections.header.get("feature_infos") else { return Ok(Vec::new()) };
    let infos: Vec<&str> = entry.value.split_ascii_whitespace().collect();
    if infos.len() != features.len() {
        return Err(entry.invalid(format!("{} values", features.len()), infos.len().to_string()));
    }
    for (feature, info) in features.iter_mut().zip(&infos) {
        feature.categorical = *info != "none" && !info.starts_with('[');
    }
    let highest = |info: &str| info.split(':').filter_map(|code| code.parse::<u32>().ok()).max();
    Ok(infos.into_iter().map(highest).collect())
}
