//! Features: their names, which of them are categories, and the texts of these.

use serde_json::Value;

use super::file::{Encoding, HeadLearner, Number, count};
use crate::error::{ImportError, Place, shown};
use crate::imported::{Feature, unusable};

/// Most features that a file may have without naming them: their number is then nothing but a claim.
const MOST_UNNAMED: usize = 1 << 20;

/// The features in order, and what a person should know about them.
///
/// `model` is the path of the trees, and `encodings` what stands in it about categories.
pub(super) fn features(
    learner: &HeadLearner,
    model: &str,
    encodings: &[Encoding],
) -> Result<(Vec<Feature>, Vec<String>), ImportError> {
    let mut features = named(learner)?;
    let invalid = |path: String, expected: String, got: usize| {
        Err(ImportError::invalid(Place::Path(path), expected, got.to_string()))
    };
    let (types, expected) = (&learner.feature_types, format!("{} values or none", features.len()));
    if !types.is_empty() && types.len() != features.len() {
        return invalid("learner.feature_types".to_owned(), expected, types.len());
    }
    if !encodings.is_empty() && encodings.len() != features.len() {
        return invalid(format!("{model}.cats.enc"), expected, encodings.len());
    }
    features.iter_mut().zip(types).for_each(|(feature, kind)| feature.categorical = kind == "c");
    let mut notes = Vec::new();
    for (number, (feature, encoding)) in features.iter_mut().zip(encodings).enumerate() {
        if feature.categorical {
            let place = || Place::Path(format!("{model}.cats.enc[{number}]"));
            notes.extend(take_encoding(feature, encoding, place)?);
        }
    }
    Ok((features, notes))
}

fn named(learner: &HeadLearner) -> Result<Vec<Feature>, ImportError> {
    let path = || "learner.learner_model_param.num_feature".to_owned();
    let (told, names) = (&learner.param.num_feature, &learner.feature_names);
    let features = count(told, path)?;
    let feature = |name: String| Feature { name, ..Feature::default() };
    if names.is_empty() && (1..=MOST_UNNAMED).contains(&features) {
        return Ok((0..features).map(|number| feature(format!("f{number}"))).collect());
    }
    if names.is_empty() {
        let expected = format!("1 to {MOST_UNNAMED} features where they have no names");
        return Err(ImportError::invalid(Place::Path(path()), expected, shown(told)));
    }
    let place = Place::Path("learner.feature_names".to_owned());
    if names.len() != features {
        return Err(ImportError::invalid(place, format!("{features} names"), names.len().to_string()));
    }
    match unusable(names.iter().map(String::as_str)) {
        Some((name, problem)) => {
            Err(ImportError::invalid(place, "distinct names", format!("{}, {problem}", shown(name))))
        }
        None => Ok(names.iter().cloned().map(feature).collect()),
    }
}

/// Texts stand one after the other as bytes, which are written as signed numbers. XGBoost 3.2 counts characters for
/// bytes and so cuts every text beyond ASCII short; a column with such a text keeps its codes.
fn take_encoding(
    feature: &mut Feature,
    encoding: &Encoding,
    place: impl Fn() -> Place,
) -> Result<Option<String>, ImportError> {
    let Some(offsets) = &encoding.offsets else {
        let categories: Vec<Value> =
            encoding.values.iter().map(|number| Value::Number(number.0.clone())).collect();
        return Ok(if categories.is_empty() { None } else { feature.take_categories(categories) });
    };
    let byte = |number: &Number| number.0.as_i64().and_then(|byte| i8::try_from(byte).ok());
    let bytes: Option<Vec<u8>> = encoding.values.iter().map(|n| byte(n).map(i8::cast_unsigned)).collect();
    let bytes = bytes.ok_or_else(|| ImportError::invalid(place(), "bytes, -128 to 127", "another number"))?;
    let text = |pair: &[usize]| match bytes.get(pair[0]..pair[1]) {
        Some(text) => Ok(Value::from(String::from_utf8_lossy(text))),
        None => {
            let expected = format!("ascending offsets up to {}", bytes.len());
            Err(ImportError::invalid(place(), expected, format!("{} {}", pair[0], pair[1])))
        }
    };
    let texts = offsets.windows(2).map(text).collect::<Result<Vec<Value>, _>>()?;
    if bytes.is_ascii() {
        return Ok(feature.take_categories(texts));
    }
    Ok(Some(format!(
        "feature {:?} is given as the codes 0 to {} of its categories, whose texts beyond ASCII XGBoost cuts short",
        feature.name,
        texts.len().saturating_sub(1)
    )))
}
