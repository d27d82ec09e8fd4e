//! Encoders: tables from the categories of a column to numbers. One-hot tables become comparisons, in which explanations
//! find the category again; others are looked up.

use serve_core::graph::{Binary, Dtype, Lookup, Op, Tensor, Unary};

use super::file::{Encode, Table};
use super::lower::{Lowering, Refused};
use super::number::{Number, plain};

/// The columns' results one after the other.
pub(super) fn lower(lowering: &mut Lowering, op: &Encode) -> Result<Tensor, Refused> {
    let x = lowering.earlier(op.of)?;
    let width = lowering.width(x);
    if op.columns.len() != width || width == 0 {
        return Err(Refused::new(
            ".columns",
            format!("expected a table for each of {width} columns, got {}", op.columns.len()),
        ));
    }
    let mut parts = Vec::with_capacity(width);
    let mut indicators = Indicators::default();
    for (column, table) in op.columns.iter().enumerate() {
        check(table).map_err(|refused| {
            Refused::new(format!(".columns[{column}]{}", refused.path), refused.problem)
        })?;
        match one_hot(table) {
            Some(keys) => indicators.extend(column, &keys),
            None => {
                indicators.finish(lowering, x, &mut parts)?;
                parts.push(look_up(lowering, x, column, table)?);
            }
        }
    }
    indicators.finish(lowering, x, &mut parts)?;
    Ok(lowering.graph.concat(1, &parts)?)
}

fn check(table: &Table) -> Result<(), Refused> {
    let (keys, values, width) = (table.keys.len(), table.values.len(), table.otherwise.len());
    if keys != values || keys == 0 {
        return Err(Refused::new(".values", format!("expected {keys} rows, one a key, got {values}")));
    }
    if width == 0 {
        return Err(Refused::new(".otherwise", "expected at least one number"));
    }
    match table.values.iter().position(|row| row.len() != width) {
        Some(row) => {
            let got = table.values[row].len();
            Err(Refused::new(
                format!(".values[{row}]"),
                format!("expected {width} numbers as in otherwise, got {got}"),
            ))
        }
        None => Ok(()),
    }
}

/// The key of each result, where each is 1 for one key and 0 for everything else. Missing as a key is not meant.
fn one_hot(table: &Table) -> Option<Vec<f64>> {
    let width = table.otherwise.len();
    if table.otherwise.iter().any(|x| x.0 != 0.0) {
        return None;
    }
    let mut found = vec![None; width];
    for (key, row) in table.keys.iter().zip(&table.values) {
        for (result, value) in found.iter_mut().zip(row) {
            match value.0 {
                0.0 => {}
                1.0 if result.is_none() && !key.0.is_nan() => *result = Some(key.0),
                _ => return None,
            }
        }
    }
    found.into_iter().collect()
}

/// One-hot columns in a row, which become one comparison.
#[derive(Default)]
struct Indicators {
    columns: Vec<usize>,
    keys: Vec<f64>,
}

impl Indicators {
    fn extend(&mut self, column: usize, keys: &[f64]) {
        self.columns.extend(std::iter::repeat_n(column, keys.len()));
        self.keys.extend(keys);
    }

    fn finish(&mut self, lowering: &mut Lowering, x: Tensor, parts: &mut Vec<Tensor>) -> Result<(), Refused> {
        if self.columns.is_empty() {
            return Ok(());
        }
        let Self { columns, keys } = std::mem::take(self);
        let spread = lowering.graph.select(x, 1, &columns)?;
        let keys = lowering.constant(keys)?;
        parts.push(lowering.binary(Binary::Equal, spread, keys)?);
        Ok(())
    }
}

/// Looks a column up: each result by itself, since a table has few.
fn look_up(lowering: &mut Lowering, x: Tensor, column: usize, table: &Table) -> Result<Tensor, Refused> {
    let x = lowering.graph.select(x, 1, &[column])?;
    let keys = plain(&table.keys);
    let mut parts = Vec::with_capacity(table.otherwise.len());
    for (result, Number(otherwise)) in table.otherwise.iter().enumerate() {
        let values: Vec<f64> = table.values.iter().map(|row| row[result].0).collect();
        if let [key] = keys[..]
            && key.is_nan()
            && values == [1.0]
            && *otherwise == 0.0
        {
            let missing = lowering.graph.unary(Unary::IsNan, x)?;
            parts.push(lowering.number(missing)?);
            continue;
        }
        let lookup = Lookup { keys: keys.clone(), values, otherwise: *otherwise, dtype: Dtype::F64 };
        parts.push(lowering.graph.push(Op::Lookup(lookup), &[x])?);
    }
    Ok(lowering.graph.concat(1, &parts)?)
}
