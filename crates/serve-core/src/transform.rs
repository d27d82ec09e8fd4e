//! Transforms as data: what feature engineering a model needs stands in its bundle, so it cannot differ between
//! training and serving. They apply in order. `log1p`, `clip` and `recode` replace columns where they stand; `polynomial` and
//! `one_hot` take columns away and append their results at the end; `interaction` and `ratio` append one column;
//! `select` keeps the named columns in the named order.
//!
//! NaN stays NaN through every one of them; `one_hot` turns it into zeros, as it does with a category it does not
//! know where told to ignore those.

mod plan;

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub(crate) use plan::Plan;

/// One transform. Columns are named; names made by earlier transforms can be used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
#[non_exhaustive]
pub enum Transform {
    /// All products of the columns up to a degree, in the order of `sklearn.preprocessing.PolynomialFeatures`; they
    /// are named as there: `a`, `a^2`, `a b`. The columns themselves are taken away.
    Polynomial {
        /// The columns to combine.
        columns: Vec<String>,
        /// Greatest degree, 1 to 6.
        degree: u32,
        /// Whether each column enters a product at most once.
        #[serde(default)]
        interaction_only: bool,
        /// Whether a first column `1` is made.
        #[serde(default)]
        include_bias: bool,
    },
    /// The product of two columns, named `a b`.
    Interaction {
        /// One factor.
        left: String,
        /// The other.
        right: String,
    },
    /// `numerator / denominator`, named `a / b`; division by zero follows IEEE 754.
    Ratio {
        /// The dividend.
        numerator: String,
        /// The divisor.
        denominator: String,
    },
    /// One 0/1 column per category, as `sklearn.preprocessing.OneHotEncoder` with `handle_unknown="ignore"`; a whole
    /// category's column is named without its fraction: `a_1`.
    OneHot {
        /// The column to encode; it is taken away.
        column: String,
        /// The categories, as numbers (for text: positions in the vocabulary).
        categories: Vec<f64>,
        /// Leaves out the first category's column.
        #[serde(default)]
        drop_first: bool,
    },
    /// `ln(1 + x)`, in place.
    Log1p {
        /// The columns.
        columns: Vec<String>,
    },
    /// Holds values between two ends, in place.
    Clip {
        /// The columns.
        columns: Vec<String>,
        /// The lower end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        min: Option<f64>,
        /// The upper end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max: Option<f64>,
    },
    /// A number's position in a list, in place; any other number becomes missing. For categories that are numbers, as
    /// pandas has them. Since manifest format 2.
    Recode {
        /// The column.
        column: String,
        /// The numbers, in the order of their codes.
        values: Vec<f64>,
    },
    /// Keeps these columns in this order.
    Select {
        /// The columns.
        columns: Vec<String>,
    },
}

/// The transforms of an ensemble's member as they stand in `model.bin`: in the manifest's own JSON, since the codec cannot
/// read an enum whose kind is a field.
pub(crate) mod as_json {
    use serde::de::{Deserialize, Deserializer, Error as _};
    use serde::ser::{Error as _, Serializer};

    use super::Transform;

    pub(crate) fn serialize<S: Serializer>(
        transforms: &[Transform],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&serde_json::to_string(transforms).map_err(S::Error::custom)?)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Transform>, D::Error> {
        serde_json::from_str(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// A transform that cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("transform {position} ({kind}): {problem}")]
#[non_exhaustive]
pub struct InvalidTransform {
    /// Its place in the list, from 0.
    pub position: usize,
    /// Its kind, e.g. `polynomial`.
    pub kind: &'static str,
    /// What is wrong with it.
    pub problem: String,
}

impl Transform {
    fn kind(&self) -> &'static str {
        match self {
            Self::Polynomial { .. } => "polynomial",
            Self::Interaction { .. } => "interaction",
            Self::Ratio { .. } => "ratio",
            Self::OneHot { .. } => "one_hot",
            Self::Log1p { .. } => "log1p",
            Self::Clip { .. } => "clip",
            Self::Recode { .. } => "recode",
            Self::Select { .. } => "select",
        }
    }
}

/// The names of the columns after `transforms` have been applied to columns named `inputs`.
///
/// # Errors
/// When a transform cannot be applied, e.g. because a column is not there.
///
/// ```
/// use serve_core::{Transform, transform::output_names};
/// let ratio = Transform::Ratio { numerator: "a".into(), denominator: "b".into() };
/// assert_eq!(output_names(["a", "b"], &[ratio])?, ["a", "b", "a / b"]);
/// # Ok::<(), serve_core::transform::InvalidTransform>(())
/// ```
pub fn output_names<'a>(
    inputs: impl IntoIterator<Item = &'a str>,
    transforms: &[Transform],
) -> Result<Vec<String>, InvalidTransform> {
    Plan::new(inputs, transforms).map(|(_, names)| names)
}

/// Applies `transforms` to one row of columns named `inputs`. Convenient rather than fast: a pipeline plans once.
///
/// # Errors
/// As [`output_names`].
pub fn apply<'a>(
    inputs: impl IntoIterator<Item = &'a str>,
    transforms: &[Transform],
    row: &[f64],
) -> Result<Vec<f64>, InvalidTransform> {
    let (plan, _) = Plan::new(inputs, transforms)?;
    let (mut slots, mut out) = (Vec::new(), Vec::new());
    plan.apply(row, &mut slots, &mut out);
    Ok(out)
}
