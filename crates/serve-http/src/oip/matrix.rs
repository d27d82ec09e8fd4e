//! From tensors to the rows that a model takes: one tensor that holds every feature, or one tensor per feature.

use ndarray::Array2;
use serde_json::Value as Json;
use serve_app::ServiceError;
use serve_core::{CheckedRow, InvalidInput, Signature, Value};

use super::datatype::Datatype;
use super::tensor::Tensor;
use crate::failure::Failure;

/// Refuses more rows than are allowed.
pub(super) type RowLimit<'a> = &'a dyn Fn(usize) -> Result<(), ServiceError>;

/// The rows that the tensors hold, in the signature's order; NaN is missing. `limit` is asked before anything is allocated
/// by the number of rows.
pub(super) fn matrix(
    mut inputs: Vec<Tensor<'_>>,
    signature: &Signature,
    limit: RowLimit<'_>,
) -> Result<Array2<f64>, Failure> {
    let text = has_texts(signature);
    if let [tensor] = &mut inputs[..] {
        let by_name = signature.position(&tensor.name).is_some()
            && (signature.len() == 1 || tensor.dimensions()?.1 == 1);
        if !by_name {
            return whole(tensor, signature, text, limit);
        }
    }
    let columns = columns(&inputs, signature)?;
    let count = columns.rows;
    limit(count)?;
    if text || inputs.iter().any(|tensor| tensor.datatype == Datatype::Bytes) {
        return texts_by_feature(inputs, count, signature);
    }
    numbers_by_feature(inputs, &columns, signature)
}

/// Whether some feature is a text.
pub(super) fn has_texts(signature: &Signature) -> bool {
    signature.inputs().iter().any(|input| input.datatype == serve_core::Datatype::Bytes)
}

/// One tensor that holds every feature. A tensor of one dimension is one row.
fn whole(
    tensor: &mut Tensor<'_>,
    signature: &Signature,
    text: bool,
    limit: RowLimit<'_>,
) -> Result<Array2<f64>, Failure> {
    if tensor.shape.len() == 1 {
        tensor.shape.insert(0, 1);
    }
    let (rows, columns) = tensor.dimensions()?;
    limit(rows)?;
    if columns != signature.len() {
        let message = format!(
            "input {:?} has {columns} columns, the model takes {}: send one tensor [rows, {}], or one per feature",
            tensor.name,
            signature.len(),
            signature.len()
        );
        return Err(Failure::invalid("invalid_shape", message));
    }
    if text || tensor.datatype == Datatype::Bytes {
        let elements = tensor.elements()?;
        let rows: Vec<_> = elements.chunks_exact(columns).collect();
        return checked(rows.len(), signature, |at, row| signature.read_positional(rows[at], row));
    }
    shaped(rows, columns, tensor.numbers()?)
}

/// Where tensors that hold one feature each belong.
struct Columns {
    rows: usize,
    positions: Vec<usize>,
}

/// Holds names and shapes against the model before any element is read.
fn columns(inputs: &[Tensor<'_>], signature: &Signature) -> Result<Columns, Failure> {
    let mut positions: Vec<usize> = Vec::with_capacity(inputs.len());
    let mut given = vec![false; signature.len()];
    let mut count = None;
    for tensor in inputs {
        let name = &*tensor.name;
        let Some(position) = signature.position(name) else {
            let message = format!("unknown input {name:?}; the model's metadata lists its inputs");
            return Err(Failure::invalid("unknown_input", message));
        };
        if std::mem::replace(&mut given[position], true) {
            return Err(Failure::invalid("duplicate_input", format!("input {name:?} is given twice")));
        }
        let (rows, width) = tensor.dimensions()?;
        if width != 1 || count.is_some_and(|count| count != rows) {
            let expected = count.map_or_else(|| "rows".to_owned(), |count: usize| count.to_string());
            let message =
                format!("input {name:?}: expected a shape of [{expected}, 1], got {:?}", tensor.shape);
            return Err(Failure::invalid("invalid_shape", message));
        }
        count = Some(rows);
        positions.push(position);
    }
    let rows = count.ok_or_else(|| Failure::invalid("invalid_request", "there are no inputs"))?;
    Ok(Columns { rows, positions })
}

/// One tensor of numbers per feature; a feature that has none is missing.
fn numbers_by_feature(
    inputs: Vec<Tensor<'_>>,
    columns: &Columns,
    signature: &Signature,
) -> Result<Array2<f64>, Failure> {
    let mut read = Vec::with_capacity(inputs.len());
    for (mut tensor, position) in inputs.into_iter().zip(&columns.positions) {
        read.push((*position, tensor.numbers()?));
    }
    let mut matrix = Array2::from_elem((columns.rows, signature.len()), f64::NAN);
    for (position, numbers) in read {
        matrix.column_mut(position).iter_mut().zip(numbers).for_each(|(place, number)| *place = number);
    }
    Ok(matrix)
}

/// One tensor per feature where some are texts; a feature that has none is missing.
fn texts_by_feature(
    mut inputs: Vec<Tensor<'_>>,
    count: usize,
    signature: &Signature,
) -> Result<Array2<f64>, Failure> {
    let mut columns: Vec<(String, Vec<Value<'_>>)> = Vec::with_capacity(inputs.len());
    for tensor in &mut inputs {
        let name = tensor.name.to_string();
        columns.push((name, tensor.elements()?));
    }
    checked(count, signature, |at, row| {
        let named: Vec<_> =
            columns.iter().map(|(name, values)| (name.as_str(), values[at].clone())).collect();
        signature.read_named(&named, row)
    })
}

/// Rows that the signature has read one by one, for types that are more than numbers.
fn checked(
    count: usize,
    signature: &Signature,
    read: impl Fn(usize, &mut CheckedRow) -> Result<(), InvalidInput>,
) -> Result<Array2<f64>, Failure> {
    let mut numbers = Vec::with_capacity(count * signature.len());
    let mut row = CheckedRow::new();
    for at in 0..count {
        read(at, &mut row).map_err(|error| {
            let details = ServiceError::from(error.clone()).details.unwrap_or(Json::Null);
            Failure::invalid("invalid_row", format!("row {at}: {error}: {details}"))
        })?;
        numbers.extend_from_slice(row.values());
    }
    shaped(count, signature.len(), numbers)
}

fn shaped(rows: usize, columns: usize, numbers: Vec<f64>) -> Result<Array2<f64>, Failure> {
    Array2::from_shape_vec((rows, columns), numbers).map_err(|error| {
        Failure::invalid("invalid_shape", format!("the tensor's shape does not fit: {error}"))
    })
}
