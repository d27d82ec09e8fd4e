//! A list of transforms resolved to positions, once per model: each operation reads slots and appends new ones, and
//! the result is a choice of slots. Nothing is looked up by name per row.

use std::collections::HashMap;

use super::{InvalidTransform, Transform};
use crate::scaler::clip;

/// More columns than this are a mistake, or an attack.
const MAX_COLUMNS: usize = 100_000;

/// More steps than this, with what later transforms throw away.
const MAX_OPERATIONS: usize = 10 * MAX_COLUMNS;

/// More text than this in the names of new columns: a product's name holds those of its factors.
const MAX_NAME_BYTES: usize = 64 << 20;

#[derive(Debug)]
enum Operation {
    /// Product of slots, multiplied from the last to the first as scikit-learn does; empty is 1.
    Product(Vec<u32>),
    Ratio(u32, u32),
    Log1p(u32),
    Clip(u32, f64, f64),
    Equals(u32, f64),
    /// The code that stands beside a number, in an ascending list.
    Recode(u32, Box<[(f64, f64)]>),
}

/// Transforms ready to run.
#[derive(Debug)]
pub(crate) struct Plan {
    operations: Vec<Operation>,
    /// The slot of each column that comes out.
    columns: Vec<u32>,
    identity: bool,
}

impl Plan {
    /// The plan, and the names of the columns that come out.
    pub(crate) fn new<'a>(
        inputs: impl IntoIterator<Item = &'a str>,
        transforms: &[Transform],
    ) -> Result<(Self, Vec<String>), InvalidTransform> {
        let columns: Vec<_> = inputs.into_iter().map(str::to_owned).collect();
        let slots = columns.iter().cloned().zip(0..).collect();
        let (inputs, operations) = (columns.len(), Vec::new());
        let mut planner = Planner { inputs, operations, columns, slots, name_bytes: 0 };
        for (position, transform) in transforms.iter().enumerate() {
            let invalid = |problem| InvalidTransform { position, kind: transform.kind(), problem };
            planner.distinct().and_then(|()| planner.add(transform)).map_err(invalid)?;
        }
        let Planner { operations, columns, slots, .. } = planner;
        let identity = transforms.is_empty();
        let order = if identity {
            (0..inputs as u32).collect()
        } else {
            columns.iter().map(|column| slots[column]).collect()
        };
        Ok((Self { operations, columns: order, identity }, columns))
    }

    /// How many columns come out.
    pub(crate) fn width(&self) -> usize {
        self.columns.len()
    }

    /// Whether rows come out as they went in.
    pub(crate) fn is_identity(&self) -> bool {
        self.identity
    }

    /// Appends the transformed row to `out`. `slots` is scratch.
    pub(crate) fn apply(&self, row: &[f64], slots: &mut Vec<f64>, out: &mut Vec<f64>) {
        slots.clear();
        slots.extend_from_slice(row);
        for operation in &self.operations {
            let value = operation.value(slots);
            slots.push(value);
        }
        out.extend(self.columns.iter().map(|slot| slots[*slot as usize]));
    }
}

/// A plan in the making. Invariant: `slots` has exactly the names of `columns`.
struct Planner {
    inputs: usize,
    operations: Vec<Operation>,
    columns: Vec<String>,
    slots: HashMap<String, u32>,
    name_bytes: usize,
}

impl Planner {
    fn distinct(&self) -> Result<(), String> {
        let distinct = self.slots.len() == self.columns.len();
        if distinct { Ok(()) } else { Err("two columns have the same name".to_owned()) }
    }

    fn add(&mut self, transform: &Transform) -> Result<(), String> {
        match transform {
            Transform::Polynomial { columns, degree, interaction_only, include_bias } => {
                self.polynomial(columns, *degree, *interaction_only, *include_bias)
            }
            Transform::Interaction { left, right } => {
                let factors = vec![self.slot(left)?, self.slot(right)?];
                self.append(format!("{left} {right}"), Operation::Product(factors))
            }
            Transform::Ratio { numerator, denominator } => {
                let operation = Operation::Ratio(self.slot(numerator)?, self.slot(denominator)?);
                self.append(format!("{numerator} / {denominator}"), operation)
            }
            Transform::OneHot { column, categories, drop_first } => {
                self.one_hot(column, categories, *drop_first)
            }
            Transform::Log1p { columns } => self.replace(columns, Operation::Log1p),
            Transform::Clip { columns, min, max } => {
                let (low, high) = (min.unwrap_or(f64::NEG_INFINITY), max.unwrap_or(f64::INFINITY));
                if low > high || low.is_nan() || high.is_nan() {
                    return Err(format!("the lower end {low} is above the upper end {high}"));
                }
                self.replace(columns, |slot| Operation::Clip(slot, low, high))
            }
            Transform::Recode { column, values } => self.recode(column, values),
            Transform::Select { columns } => self.select(columns),
        }
    }

    fn slot(&self, name: &str) -> Result<u32, String> {
        self.slots.get(name).copied().ok_or_else(|| format!("there is no column {name:?}"))
    }

    fn new_slot(&mut self, operation: Operation) -> Result<u32, String> {
        if self.operations.len() >= MAX_OPERATIONS {
            return Err(format!("more than {MAX_OPERATIONS} steps"));
        }
        self.operations.push(operation);
        Ok((self.inputs + self.operations.len() - 1) as u32)
    }

    fn append(&mut self, name: String, operation: Operation) -> Result<(), String> {
        if self.columns.len() >= MAX_COLUMNS {
            return Err(format!("more than {MAX_COLUMNS} columns"));
        }
        self.name_bytes += name.len();
        if self.name_bytes > MAX_NAME_BYTES {
            return Err(format!("the names of the columns it makes have more than {MAX_NAME_BYTES} bytes"));
        }
        if self.slots.contains_key(&name) {
            return Err(format!("there is a column {name:?} already"));
        }
        let slot = self.new_slot(operation)?;
        self.slots.insert(name.clone(), slot);
        self.columns.push(name);
        Ok(())
    }

    fn replace(&mut self, names: &[String], operation: impl Fn(u32) -> Operation) -> Result<(), String> {
        for name in names {
            let slot = self.new_slot(operation(self.slot(name)?))?;
            self.slots.insert(name.clone(), slot);
        }
        Ok(())
    }

    /// Takes columns away and answers with their slots.
    fn take(&mut self, names: &[String]) -> Result<Vec<u32>, String> {
        let mut taken = Vec::with_capacity(names.len());
        for name in names {
            taken.push(self.slot(name)?);
            self.slots.remove(name);
        }
        self.columns.retain(|column| self.slots.contains_key(column));
        Ok(taken)
    }

    fn select(&mut self, names: &[String]) -> Result<(), String> {
        let mut slots = HashMap::with_capacity(names.len().min(self.slots.len()));
        for name in names {
            if slots.insert(name.clone(), self.slot(name)?).is_some() {
                return Err(format!("column {name:?} is chosen twice"));
            }
        }
        (self.columns, self.slots) = (names.to_vec(), slots);
        Ok(())
    }

    fn recode(&mut self, column: &str, values: &[f64]) -> Result<(), String> {
        if values.iter().any(|value| value.is_nan()) {
            return Err("a value is not a number".to_owned());
        }
        // Adding zero makes -0.0 the zero that it equals.
        let mut codes: Vec<(f64, f64)> =
            values.iter().map(|value| value + 0.0).zip((0..).map(f64::from)).collect();
        codes.sort_by(|a, b| a.0.total_cmp(&b.0));
        if let Some(pair) = codes.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(format!("the value {} is given twice", pair[0].0));
        }
        self.replace(&[column.to_owned()], |slot| Operation::Recode(slot, codes.as_slice().into()))
    }

    fn one_hot(&mut self, column: &str, categories: &[f64], drop_first: bool) -> Result<(), String> {
        if categories.is_empty() {
            return Err("there are no categories".to_owned());
        }
        if categories.iter().any(|category| category.is_nan()) {
            return Err("a category is not a number; a missing value is in no category".to_owned());
        }
        let slot = self.take(&[column.to_owned()])?[0];
        for category in categories.iter().skip(usize::from(drop_first)) {
            self.append(format!("{column}_{category}"), Operation::Equals(slot, *category))?;
        }
        Ok(())
    }

    fn polynomial(&mut self, names: &[String], degree: u32, only: bool, bias: bool) -> Result<(), String> {
        if !(1..=6).contains(&degree) || names.is_empty() {
            return Err(format!("expected columns and a degree of 1 to 6, got {} and {degree}", names.len()));
        }
        let slots = self.take(names)?;
        if bias {
            self.append("1".to_owned(), Operation::Product(Vec::new()))?;
        }
        let mut products: Vec<Vec<usize>> = vec![Vec::new()];
        for _ in 0..degree {
            products = extend(&products, slots.len(), only);
            for product in &products {
                let factors = product.iter().map(|&column| slots[column]).collect();
                self.append(product_name(product, names), Operation::Product(factors))?;
            }
        }
        Ok(())
    }
}

/// Every product with one factor more, in lexicographic order.
fn extend(products: &[Vec<usize>], columns: usize, interaction_only: bool) -> Vec<Vec<usize>> {
    let step = usize::from(interaction_only);
    let mut longer = Vec::new();
    for product in products {
        let first = product.last().map_or(0, |last| last + step);
        longer.extend((first..columns).map(|column| [&product[..], &[column]].concat()));
        if longer.len() > MAX_COLUMNS {
            break;
        }
    }
    longer
}

fn product_name(product: &[usize], names: &[String]) -> String {
    let powers = product.chunk_by(|a, b| a == b).map(|run| match run.len() {
        1 => names[run[0]].clone(),
        power => format!("{}^{power}", names[run[0]]),
    });
    powers.collect::<Vec<_>>().join(" ")
}

impl Operation {
    fn value(&self, slots: &[f64]) -> f64 {
        match self {
            Self::Product(factors) => match factors.split_last() {
                None => 1.0,
                Some((last, rest)) => rest
                    .iter()
                    .rev()
                    .fold(slots[*last as usize], |product, &slot| slots[slot as usize] * product),
            },
            Self::Ratio(a, b) => slots[*a as usize] / slots[*b as usize],
            Self::Log1p(a) => libm::log1p(slots[*a as usize]),
            Self::Clip(a, low, high) => clip(slots[*a as usize], *low, *high),
            Self::Recode(a, codes) => {
                let x = slots[*a as usize] + 0.0;
                codes
                    .binary_search_by(|(value, _)| value.total_cmp(&x))
                    .map_or(f64::NAN, |place| codes[place].1)
            }
            Self::Equals(a, category) => f64::from(u8::from(slots[*a as usize] == *category)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{apply, output_names};
    use super::*;

    fn polynomial(degree: u32, interaction_only: bool) -> Transform {
        let columns = vec!["a".to_owned(), "b".to_owned()];
        Transform::Polynomial { columns, degree, interaction_only, include_bias: true }
    }

    #[test]
    fn polynomial_has_the_order_and_names_of_scikit_learn() {
        let names = output_names(["a", "b"], &[polynomial(2, false)]).expect("valid");
        assert_eq!(names, ["1", "a", "b", "a^2", "a b", "b^2"]);
        let row = apply(["a", "b"], &[polynomial(2, true)], &[3.0, 5.0]).expect("valid");
        assert_eq!(row, [1.0, 3.0, 5.0, 15.0]);
    }

    #[test]
    fn transforms_build_on_one_another() {
        let transforms = [
            Transform::Clip { columns: vec!["a".into()], min: Some(0.0), max: None },
            Transform::Log1p { columns: vec!["a".into()] },
            Transform::OneHot { column: "c".into(), categories: vec![0.0, 1.0, 2.0], drop_first: true },
            Transform::Ratio { numerator: "a".into(), denominator: "b".into() },
        ];
        let names = output_names(["a", "b", "c"], &transforms).expect("valid");
        assert_eq!(names, ["a", "b", "c_1", "c_2", "a / b"]);
        let row = apply(["a", "b", "c"], &transforms, &[-4.0, 2.0, 2.0]).expect("valid");
        assert_eq!(row, [0.0, 2.0, 0.0, 1.0, 0.0]);
    }

    #[test]
    fn numbers_become_their_positions() {
        let recode = |values| Transform::Recode { column: "a".into(), values };
        let coded = |x| apply(["a"], &[recode(vec![10.0, -3.0, 0.0])], &[x]).expect("valid")[0];
        assert_eq!([10.0, -3.0, 0.0, -0.0].map(coded), [0.0, 1.0, 2.0, 2.0]);
        assert!([1.0, 10.5, f64::NAN, f64::INFINITY].into_iter().all(|x| coded(x).is_nan()));
        let error = output_names(["a"], &[recode(vec![1.0, 1.0])]).expect_err("refused");
        assert_eq!(error.to_string(), "transform 0 (recode): the value 1 is given twice");
    }

    #[test]
    fn a_missing_column_is_named() {
        let error =
            output_names(["a"], &[Transform::Log1p { columns: vec!["x".into()] }]).expect_err("refused");
        assert_eq!(error.to_string(), "transform 0 (log1p): there is no column \"x\"");
    }

    #[test]
    fn an_explosion_of_columns_is_refused() {
        let names: Vec<String> = (0..1000).map(|i| format!("x{i}")).collect();
        let all = Transform::Polynomial {
            columns: names.clone(),
            degree: 6,
            interaction_only: false,
            include_bias: false,
        };
        let error = output_names(names.iter().map(String::as_str), &[all]).expect_err("refused");
        assert!(error.to_string().contains("more than 100000 columns"), "{error}");
    }
}
