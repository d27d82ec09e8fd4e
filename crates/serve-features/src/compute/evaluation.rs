//! One expression over aligned sources. A part that reads one source runs on that source's rows; where parts of several
//! meet, each is brought to the rows of the first source. Recursion is bounded by the tree's depth, which the parser bounds.

use std::borrow::Cow;

use jiff::Timestamp;

use super::ComputeError;
use crate::expression::Expr;
use crate::frame::Frame;

/// A source's rows beside those of the first.
pub(super) struct Aligned<'a> {
    pub(super) name: String,
    pub(super) frame: &'a Frame,
    /// When each row becomes visible.
    pub(super) visible: Vec<Option<Timestamp>>,
    /// For each row of the first source, the row of this one that it sees; `None` for the first itself.
    pub(super) joined: Option<Vec<Option<usize>>>,
}

/// Part of an expression: one number, or a column on the rows of a source.
enum Series<'a> {
    Constant(f64),
    Rows { source: usize, values: Cow<'a, [f64]> },
}

impl Series<'_> {
    fn source(&self) -> Option<usize> {
        match self {
            Self::Constant(_) => None,
            Self::Rows { source, .. } => Some(*source),
        }
    }
}

pub(super) struct Evaluation<'a, 'e> {
    pub(super) sources: &'a [Aligned<'a>],
    pub(super) absent: &'e dyn Fn(&str, &Aligned<'_>) -> ComputeError,
}

impl<'a> Evaluation<'a, '_> {
    /// The expression's value at every row of the first source.
    pub(super) fn column(&self, expr: &Expr) -> Result<Vec<f64>, ComputeError> {
        let series = self.series(expr)?;
        Ok(self.at(0, series).into_owned())
    }

    fn series(&self, expr: &Expr) -> Result<Series<'a>, ComputeError> {
        match expr {
            Expr::Constant(x) => Ok(Series::Constant(*x)),
            Expr::Column { source, name } => self.named(*source, name),
            // Only a function of timestamps asks for them, and takes them from the source itself.
            Expr::Timestamps { source } => Ok(Series::Rows { source: *source, values: Cow::Borrowed(&[]) }),
            Expr::Negate(x) => Ok(match self.series(x)? {
                Series::Constant(x) => Series::Constant(-x),
                Series::Rows { source, values } => {
                    Series::Rows { source, values: values.iter().map(|x| -x).collect() }
                }
            }),
            Expr::Binary { operator, left, right } => {
                let (left, right) = (self.series(left)?, self.series(right)?);
                let source = meeting(&[&left, &right]);
                let (left, right) = (self.at(source, left), self.at(source, right));
                let values = left.iter().zip(&*right).map(|(a, b)| operator.of(*a, *b)).collect();
                Ok(Series::Rows { source, values })
            }
            Expr::Call { function, inputs } => {
                let inputs = inputs.iter().map(|input| self.series(input)).collect::<Result<Vec<_>, _>>()?;
                let source = meeting(&inputs.iter().collect::<Vec<_>>());
                let inputs: Vec<Cow<'a, [f64]>> =
                    inputs.into_iter().map(|input| self.at(source, input)).collect();
                let columns: Vec<&[f64]> = inputs.iter().map(|column| &**column).collect();
                let values = function.apply(self.sources[source].frame.timestamps(), &columns);
                Ok(Series::Rows { source, values: values.into() })
            }
        }
    }

    fn named(&self, source: usize, name: &str) -> Result<Series<'a>, ComputeError> {
        let aligned = &self.sources[source];
        match aligned.frame.column(name) {
            Some(values) => Ok(Series::Rows { source, values: values.into() }),
            None if aligned.frame.is_empty() => Ok(Series::Rows { source, values: Cow::Borrowed(&[]) }),
            None => Err((self.absent)(name, aligned)),
        }
    }

    /// A series on the rows of `source`, which is its own or the first.
    fn at(&self, source: usize, series: Series<'a>) -> Cow<'a, [f64]> {
        match series {
            Series::Constant(x) => Cow::Owned(vec![x; self.sources[source].frame.len()]),
            Series::Rows { source: own, values } if own == source => values,
            Series::Rows { source: own, values } => {
                let joined = self.sources[own].joined.as_deref().unwrap_or_default();
                joined.iter().map(|row| row.map_or(f64::NAN, |row| values[row])).collect()
            }
        }
    }
}

/// Where series meet: on the rows of the one source that they read, else on those of the first.
fn meeting(series: &[&Series<'_>]) -> usize {
    let mut sources = series.iter().filter_map(|series| series.source());
    let first = sources.next().unwrap_or(0);
    if sources.all(|other| other == first) { first } else { 0 }
}
