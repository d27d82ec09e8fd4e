//! Columns of Arrow to the engine's columns, by the rules of the signature: the code that turns a request's values into numbers,
//! [`Input::read`] and [`Input::read_cell`], turns these. Numbers need none of it and are copied as they are.
//!
//! Integers beyond 2^53 are rounded to the nearest `f64` and decimals to the nearest, as a JSON number is. A truth value is 1 or 0. A date
//! is days since 1970-01-01, a timestamp seconds since then (UTC), where a number is expected; where a text is, both are ISO 8601.
//! Text is read as in a CSV where a number is expected. A dictionary is what its values are.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Date64Type, Decimal128Type, Float16Type, Float32Type, Float64Type,
    Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::{DataType, TimeUnit};
use ndarray::{ArrayView2, ShapeBuilder};
use serve_core::engine::Rows;
use serve_core::signature::Problem;
use serve_core::{Datatype, Input, Signature, Value};

/// Where texts come from: in a CSV some of them say that nothing is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Texts {
    /// Cells of a CSV.
    Cells,
    /// Values that are null where nothing is there.
    Values,
}

/// Whether a column's type can be one of an input.
///
/// # Errors
/// What the input expects.
pub fn check(datatype: &DataType, input: &Input) -> Result<(), &'static str> {
    use DataType::{
        Boolean, Date32, Date64, Decimal32, Decimal64, Decimal128, Decimal256, Dictionary, Float16, Float32,
        Float64, Int8, Int16, Int32, Int64, LargeUtf8, Null, RunEndEncoded, Timestamp, UInt8, UInt16, UInt32,
        UInt64, Utf8, Utf8View,
    };
    let text = input.datatype == Datatype::Bytes;
    match datatype {
        Dictionary(_, values) => check(values, input),
        RunEndEncoded(..) => Err("a column that is not run-end encoded"),
        Null | Utf8 | LargeUtf8 | Utf8View | Date32 | Date64 | Timestamp(..) => Ok(()),
        Float16 | Float32 | Float64 | Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 | UInt64
            if !text || input.text_hashes.is_some() =>
        {
            Ok(())
        }
        Boolean | Decimal32(..) | Decimal64(..) | Decimal128(..) | Decimal256(..) if !text => Ok(()),
        _ if text => Err("text"),
        _ => Err("numbers"),
    }
}

/// A value that is no number of its input.
#[derive(Debug, Clone, PartialEq)]
pub struct Wrong {
    /// The row of the batch.
    pub row: usize,
    /// The input.
    pub input: usize,
    /// Why.
    pub problem: Problem,
}

/// A batch as the engine takes it: a column after the other, `f32` where that loses nothing.
///
/// It is made to be used again.
#[derive(Debug, Default)]
pub struct Matrix {
    rows: usize,
    inputs: usize,
    single: bool,
    narrow: Vec<f32>,
    wide: Vec<f64>,
}

impl Matrix {
    /// Reads the columns of the signature's inputs, in order. What is wrong stands as missing and is told.
    pub fn read(
        &mut self,
        signature: &Signature,
        columns: &[ArrayRef],
        texts: Texts,
        wrong: &mut Vec<Wrong>,
    ) {
        self.rows = columns.first().map_or(0, Array::len);
        let inputs = signature.inputs();
        self.inputs = columns.len();
        self.single = columns
            .iter()
            .zip(inputs)
            .all(|(column, input)| input.datatype != Datatype::Bytes && fits_single(column.data_type()));
        if self.single {
            self.narrow.resize(self.rows * columns.len(), 0.0);
            for (column, into) in columns.iter().zip(self.narrow.chunks_mut(self.rows.max(1))) {
                single(column, into);
            }
        } else {
            self.wide.resize(self.rows * columns.len(), 0.0);
            let places = self.wide.chunks_mut(self.rows.max(1));
            for (at, ((column, input), into)) in columns.iter().zip(inputs).zip(places).enumerate() {
                double(column, input, texts, into, &mut |row, problem| {
                    wrong.push(Wrong { row, input: at, problem });
                });
            }
        }
    }

    /// As the engine reads it.
    #[must_use]
    pub fn rows(&self) -> Rows<'_> {
        // There are as many numbers as the shape has places, since `read` made them so.
        let shape = (self.rows, self.inputs).f();
        if self.single {
            Rows::F32(ArrayView2::from_shape(shape, &self.narrow).unwrap_or_else(|_| empty(&[])))
        } else {
            Rows::F64(ArrayView2::from_shape(shape, &self.wide).unwrap_or_else(|_| empty(&[])))
        }
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// One input of one row.
    #[must_use]
    pub fn at(&self, row: usize, input: usize) -> f64 {
        let at = input * self.rows + row;
        if self.single { self.narrow[at].into() } else { self.wide[at] }
    }
}

fn empty<T>(nothing: &[T]) -> ArrayView2<'_, T> {
    ArrayView2::from_shape((0, 0), nothing).expect("no numbers have the shape of no rows")
}

fn fits_single(datatype: &DataType) -> bool {
    use DataType::{Boolean, Float16, Float32, Int8, Int16, UInt8, UInt16};
    matches!(datatype, Float32 | Float16 | Int8 | Int16 | UInt8 | UInt16 | Boolean)
}

fn primitive<T: ArrowPrimitiveType, N: Copy>(
    column: &ArrayRef,
    into: &mut [N],
    missing: N,
    number: impl Fn(T::Native) -> N,
) {
    let column = column.as_primitive::<T>();
    for (into, x) in into.iter_mut().zip(column.values()) {
        *into = number(*x);
    }
    if let Some(nulls) = column.nulls().filter(|nulls| nulls.null_count() > 0) {
        for (row, into) in into.iter_mut().enumerate() {
            if nulls.is_null(row) {
                *into = missing;
            }
        }
    }
}

fn booleans<N: Copy>(column: &ArrayRef, into: &mut [N], [no, yes, missing]: [N; 3]) {
    for (into, x) in into.iter_mut().zip(column.as_boolean()) {
        *into = x.map_or(missing, |x| if x { yes } else { no });
    }
}

fn single(column: &ArrayRef, into: &mut [f32]) {
    match column.data_type() {
        DataType::Float32 => primitive::<Float32Type, _>(column, into, f32::NAN, |x| x),
        DataType::Float16 => primitive::<Float16Type, _>(column, into, f32::NAN, f32::from),
        DataType::Int8 => primitive::<Int8Type, _>(column, into, f32::NAN, f32::from),
        DataType::Int16 => primitive::<Int16Type, _>(column, into, f32::NAN, f32::from),
        DataType::UInt8 => primitive::<UInt8Type, _>(column, into, f32::NAN, f32::from),
        DataType::UInt16 => primitive::<UInt16Type, _>(column, into, f32::NAN, f32::from),
        DataType::Boolean => booleans(column, into, [0.0, 1.0, f32::NAN]),
        _ => into.fill(f32::NAN),
    }
}

/// One column, value by value where the input has to be asked.
fn double(
    column: &ArrayRef,
    input: &Input,
    texts: Texts,
    into: &mut [f64],
    wrong: &mut dyn FnMut(usize, Problem),
) {
    if let DataType::Dictionary(..) = column.data_type() {
        return dictionary(column, input, texts, into, wrong);
    }
    if is_text(column.data_type()) || (input.datatype == Datatype::Bytes && is_time(column.data_type())) {
        return text(column, input, texts, into, wrong);
    }
    numbers(column, into);
    if input.datatype == Datatype::Bytes {
        for (row, x) in into.iter_mut().enumerate() {
            *x = input.read(&Value::from(*x)).unwrap_or_else(|problem| {
                wrong(row, problem);
                f64::NAN
            });
        }
    }
}

fn is_text(datatype: &DataType) -> bool {
    matches!(datatype, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn is_time(datatype: &DataType) -> bool {
    matches!(datatype, DataType::Date32 | DataType::Date64 | DataType::Timestamp(..))
}

fn numbers(column: &ArrayRef, into: &mut [f64]) {
    match column.data_type() {
        DataType::Float64 => primitive::<Float64Type, _>(column, into, f64::NAN, |x| x),
        DataType::Float32 => primitive::<Float32Type, _>(column, into, f64::NAN, f64::from),
        DataType::Float16 => primitive::<Float16Type, _>(column, into, f64::NAN, f64::from),
        DataType::Int8 => primitive::<Int8Type, _>(column, into, f64::NAN, f64::from),
        DataType::Int16 => primitive::<Int16Type, _>(column, into, f64::NAN, f64::from),
        DataType::Int32 => primitive::<Int32Type, _>(column, into, f64::NAN, f64::from),
        DataType::Int64 => primitive::<Int64Type, _>(column, into, f64::NAN, |x| x as f64),
        DataType::UInt8 => primitive::<UInt8Type, _>(column, into, f64::NAN, f64::from),
        DataType::UInt16 => primitive::<UInt16Type, _>(column, into, f64::NAN, f64::from),
        DataType::UInt32 => primitive::<UInt32Type, _>(column, into, f64::NAN, f64::from),
        DataType::UInt64 => primitive::<UInt64Type, _>(column, into, f64::NAN, |x| x as f64),
        DataType::Boolean => booleans(column, into, [0.0, 1.0, f64::NAN]),
        DataType::Date32 => primitive::<Date32Type, _>(column, into, f64::NAN, f64::from),
        DataType::Date64 => primitive::<Date64Type, _>(column, into, f64::NAN, |x| x as f64 / 86_400_000.0),
        DataType::Timestamp(unit, _) => timestamps(column, *unit, into),
        DataType::Decimal128(_, scale) => decimals(column, *scale, into),
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal256(..) => written(column, into),
        _ => into.fill(f64::NAN),
    }
}

fn timestamps(column: &ArrayRef, unit: TimeUnit, into: &mut [f64]) {
    use arrow_array::types::{
        TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
    };
    match unit {
        TimeUnit::Second => primitive::<TimestampSecondType, _>(column, into, f64::NAN, |x| x as f64),
        TimeUnit::Millisecond => {
            primitive::<TimestampMillisecondType, _>(column, into, f64::NAN, |x| x as f64 / 1e3);
        }
        TimeUnit::Microsecond => {
            primitive::<TimestampMicrosecondType, _>(column, into, f64::NAN, |x| x as f64 / 1e6);
        }
        TimeUnit::Nanosecond => {
            primitive::<TimestampNanosecondType, _>(column, into, f64::NAN, |x| x as f64 / 1e9);
        }
    }
}

/// The nearest number: exact powers of ten divide exact integers with one rounding; anything else is read as it is written.
fn decimals(column: &ArrayRef, scale: i8, into: &mut [f64]) {
    const EXACT: i128 = 1 << 53;
    let values = column.as_primitive::<Decimal128Type>();
    let small = |x: &i128| (-EXACT..=EXACT).contains(x);
    if (0..=22).contains(&scale) && values.values().iter().all(small) {
        let power = 10_f64.powi(scale.into());
        primitive::<Decimal128Type, _>(column, into, f64::NAN, |x| x as f64 / power);
    } else {
        written(column, into);
    }
}

/// Numbers by their digits.
fn written(column: &ArrayRef, into: &mut [f64]) {
    let options = FormatOptions::new();
    let Ok(formatter) = ArrayFormatter::try_new(column, &options) else { return into.fill(f64::NAN) };
    for (row, into) in into.iter_mut().enumerate() {
        *into = if column.is_null(row) {
            f64::NAN
        } else {
            formatter.value(row).to_string().parse().unwrap_or(f64::NAN)
        };
    }
}

/// A dictionary's values are read once each.
fn dictionary(
    column: &ArrayRef,
    input: &Input,
    texts: Texts,
    into: &mut [f64],
    wrong: &mut dyn FnMut(usize, Problem),
) {
    let column = column.as_any_dictionary();
    let values = column.values();
    if values.is_empty() {
        return into.fill(f64::NAN);
    }
    let mut numbers = vec![f64::NAN; values.len()];
    let mut problems: Vec<Option<Problem>> = vec![None; values.len()];
    double(values, input, texts, &mut numbers, &mut |value, problem| problems[value] = Some(problem));
    let keys = column.normalized_keys();
    let nulls = column.nulls();
    for ((row, into), key) in into.iter_mut().enumerate().zip(keys) {
        *into = f64::NAN;
        if nulls.is_some_and(|nulls| nulls.is_null(row)) {
            continue;
        }
        match &problems[key] {
            Some(problem) => wrong(row, problem.clone()),
            None => *into = numbers[key],
        }
    }
}

fn text(
    column: &ArrayRef,
    input: &Input,
    texts: Texts,
    into: &mut [f64],
    wrong: &mut dyn FnMut(usize, Problem),
) {
    let mut read = |row: usize, text: Option<&str>| {
        let number = match text {
            None => Ok(f64::NAN),
            Some(text) if texts == Texts::Values && input.datatype == Datatype::Bytes => {
                input.read(&Value::Text(text.into()))
            }
            Some(text) => input.read_cell(text),
        };
        into[row] = number.unwrap_or_else(|problem| {
            wrong(row, problem);
            f64::NAN
        });
    };
    match column.data_type() {
        DataType::Utf8 => column.as_string::<i32>().iter().enumerate().for_each(|(row, x)| read(row, x)),
        DataType::LargeUtf8 => column.as_string::<i64>().iter().enumerate().for_each(|(row, x)| read(row, x)),
        DataType::Utf8View => column.as_string_view().iter().enumerate().for_each(|(row, x)| read(row, x)),
        _ => {
            let options = FormatOptions::new();
            let Ok(formatter) = ArrayFormatter::try_new(column, &options) else { return into.fill(f64::NAN) };
            for row in 0..column.len() {
                let shown = (!column.is_null(row)).then(|| formatter.value(row).to_string());
                read(row, shown.as_deref());
            }
        }
    }
}

/// A column of a CSV with null where a cell says that nothing is there.
pub(crate) fn missing_as_null(column: &ArrayRef) -> ArrayRef {
    use serve_core::cell;
    let Some(texts) = column.as_string_opt::<i32>() else { return column.clone() };
    let present = |text: &&str| cell::text(text, |_| false) != Value::Missing;
    std::sync::Arc::new(texts.iter().map(|text| text.filter(present)).collect::<arrow_array::StringArray>())
}
