//! Features: numbers and categories stand in lists of their own; their flat index is their place in a row. A category's
//! code is the place of its text's hash in the list of hashes that splits ask for, and the list's length for every
//! other text.

use std::collections::HashMap;

use super::file::{CategoricalFeature, FeaturesInfo};
use crate::error::{ImportError, Place, shown};
use crate::imported::{Feature, unusable};

/// Most places of a row. The list may leave places out, so a few digits could else claim gigabytes.
const MOST_FEATURES: usize = 1 << 20;

/// A number's place in a row, and where a missing one goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Number {
    pub(super) flat: u32,
    pub(super) missing_above: bool,
}

/// A category's place in a row, and the hashes it is asked for.
#[derive(Debug)]
pub(super) struct Category {
    pub(super) flat: u32,
    pub(super) codes: HashMap<u32, u32>,
}

#[derive(Debug)]
pub(super) struct Features {
    /// In the order of a row.
    pub(super) all: Vec<Feature>,
    /// By the index that splits use.
    pub(super) numbers: HashMap<usize, Number>,
    pub(super) categories: HashMap<usize, Category>,
    pub(super) notes: Vec<String>,
}

impl Features {
    pub(super) fn read(info: &FeaturesInfo) -> Result<Self, ImportError> {
        let mut features =
            Self { all: Vec::new(), numbers: HashMap::new(), categories: HashMap::new(), notes: Vec::new() };
        let mut named: Vec<Option<Feature>> = Vec::new();
        for (place, number) in info.float_features.iter().flatten().enumerate() {
            let path = format!("features_info.float_features[{place}]");
            let missing_above = match number.nan_value_treatment.as_str() {
                "AsTrue" => number.has_nans,
                "AsFalse" | "AsIs" => false,
                other => {
                    let place = Place::Path(format!("{path}.nan_value_treatment"));
                    return Err(ImportError::invalid(place, "AsIs, AsTrue or AsFalse", shown(other)));
                }
            };
            let name = number.feature_name.as_deref().unwrap_or(&number.feature_id);
            let feature = Feature { name: name.to_owned(), ..Feature::default() };
            let flat = put(&mut named, number.flat_feature_index, feature, &path)?;
            let twice = features.numbers.insert(number.feature_index, Number { flat, missing_above });
            distinct(twice.is_none(), number.feature_index, &path)?;
        }
        for (place, category) in info.categorical_features.iter().flatten().enumerate() {
            let path = format!("features_info.categorical_features[{place}]");
            let flat = put(&mut named, category.flat_feature_index, text_feature(category), &path)?;
            let hashes = category.values.iter().flatten().map(|hash| hash.cast_unsigned());
            let codes = hashes.enumerate().map(|(code, hash)| (hash, code as u32)).collect();
            let twice = features.categories.insert(category.feature_index, Category { flat, codes });
            distinct(twice.is_none(), category.feature_index, &path)?;
        }
        features.all = complete(named)?;
        features.notes = category_notes(info, &features);
        Ok(features)
    }
}

fn text_feature(category: &CategoricalFeature) -> Feature {
    let name = category.feature_name.as_deref().unwrap_or(&category.feature_id);
    let hashes = category.values.iter().flatten().map(|hash| hash.cast_unsigned()).collect();
    Feature {
        name: name.to_owned(),
        categorical: true,
        text_hashes: Some(hashes),
        required: true,
        ..Feature::default()
    }
}

fn put(
    named: &mut Vec<Option<Feature>>,
    flat: usize,
    feature: Feature,
    path: &str,
) -> Result<u32, ImportError> {
    let invalid = |expected: String| {
        let place = Place::Path(format!("{path}.flat_feature_index"));
        Err(ImportError::invalid(place, expected, flat.to_string()))
    };
    if flat >= MOST_FEATURES {
        return invalid(format!("0 to {}", MOST_FEATURES - 1));
    }
    if named.len() <= flat {
        named.resize(flat + 1, None);
    }
    if named[flat].replace(feature).is_some() {
        return invalid("a place that no other feature has".to_owned());
    }
    Ok(flat as u32)
}

fn distinct(new: bool, index: usize, path: &str) -> Result<(), ImportError> {
    if new {
        return Ok(());
    }
    let place = Place::Path(format!("{path}.feature_index"));
    Err(ImportError::invalid(place, "an index that no other feature has", index.to_string()))
}

/// A feature without a name has its place for one, as in CatBoost's `feature_names_`; places that are left out are of
/// numbers that no tree asks for.
fn complete(named: Vec<Option<Feature>>) -> Result<Vec<Feature>, ImportError> {
    let mut all = Vec::with_capacity(named.len());
    for (flat, feature) in named.into_iter().enumerate() {
        let mut feature = feature.unwrap_or_default();
        if feature.name.is_empty() {
            feature.name = flat.to_string();
        }
        all.push(feature);
    }
    let place = || Place::Path("features_info".to_owned());
    match unusable(all.iter().map(|feature| feature.name.as_str())) {
        _ if all.is_empty() => Err(ImportError::invalid(place(), "at least one feature", "none")),
        Some((name, problem)) => {
            Err(ImportError::invalid(place(), "distinct names", format!("{}, {problem}", shown(name))))
        }
        None => Ok(all),
    }
}

/// The texts that a model tells apart, where the file has them.
fn category_notes(info: &FeaturesInfo, features: &Features) -> Vec<String> {
    const SHOWN: usize = 10;
    let texts: HashMap<u32, &str> =
        info.cat_features_hash.iter().flatten().map(|text| (text.hash, text.value.as_str())).collect();
    let mut notes = Vec::new();
    for feature in features.all.iter().filter(|feature| feature.categorical) {
        let hashes = feature.text_hashes.as_deref().unwrap_or_default();
        let known: Vec<String> =
            hashes.iter().filter_map(|hash| texts.get(hash)).take(SHOWN).map(|text| shown(text)).collect();
        if !known.is_empty() {
            let more = if hashes.len() > known.len() { " and more" } else { "" };
            let (name, list) = (shown(&feature.name), known.join(", "));
            notes.push(format!(
                "feature {name} tells apart {list}{more}; all other texts are alike to the model"
            ));
        }
    }
    notes
}
