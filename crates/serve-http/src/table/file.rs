//! Tables as files: CSV as pandas writes it, and Parquet. Both are brought into the signature's order row by row, and nothing
//! of a file is kept.

use bytes::Bytes;
use ndarray::Array2;
use serve_app::Context;
use serve_core::{CheckedRow, Datatype, Input, Signature, Value, cell};
use serve_features::{Cell, CellReader, FileError};

use super::{check_columns, refused_row, shaped, too_many};
use crate::failure::Failure;

/// A text of a Parquet file may be no longer; one in a dictionary can stand in every row.
const LONGEST_TEXT: usize = 1 << 16;

/// So many columns a CSV may have that its model does not: each takes memory before any row is read.
const MOST_COLUMNS: usize = 10_000;

/// What a file is read for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'s> {
    /// The model's, into whose order rows are brought.
    pub(crate) signature: &'s Signature,
    /// The most rows.
    pub(crate) most: usize,
    /// Where rows that are refused are noted as asked for.
    pub(crate) context: &'s Context,
}

/// The rows of a CSV with a header.
///
/// # Errors
/// 400 when it cannot be read, 422 when its rows do not fit the signature or are more than `most`.
pub(crate) fn csv(body: &[u8], asked: Asked<'_>) -> Result<Array2<f64>, Failure> {
    if body.iter().fold(false, |open, byte| open ^ (*byte == b'"')) {
        return Err(Failure::unreadable("malformed_csv", "the body is not valid CSV: a quote is left open"));
    }
    let (columns, most_columns) = (header_columns(body), MOST_COLUMNS.max(2 * asked.signature.len()));
    if columns > most_columns {
        let problem = format!("its header has {columns} columns; up to {most_columns} are read");
        return Err(Failure::unreadable("malformed_csv", format!("the body is not valid CSV: {problem}")));
    }
    let reader = CellReader::csv(body).map_err(|error| unreadable("malformed_csv", "CSV", &error))?;
    rows(reader, asked, ("malformed_csv", "CSV"))
}

/// How many columns the header has.
fn header_columns(body: &[u8]) -> usize {
    let (mut quoted, mut columns) = (false, 1);
    for byte in body {
        match byte {
            b'"' => quoted = !quoted,
            b',' if !quoted => columns += 1,
            b'\n' | b'\r' if !quoted => break,
            _ => {}
        }
    }
    columns
}

/// The rows of a Parquet file.
///
/// # Errors
/// As [`csv`].
pub(crate) fn parquet(body: Bytes, asked: Asked<'_>) -> Result<Array2<f64>, Failure> {
    let kind = ("malformed_parquet", "Parquet");
    let reader =
        CellReader::parquet(body, asked.most as u64).map_err(|error| unreadable(kind.0, kind.1, &error))?;
    rows(reader, asked, kind)
}

fn unreadable(code: &'static str, kind: &str, error: &FileError) -> Failure {
    let cause = std::error::Error::source(error).map_or_else(String::new, |cause| format!(": {cause}"));
    Failure::unreadable(code, format!("the body is not valid {kind}: {error}{cause}"))
}

/// All rows; where one is refused, so are those before and behind it, which are noted.
fn rows(
    mut reader: CellReader<'_>,
    asked: Asked<'_>,
    kind: (&'static str, &str),
) -> Result<Array2<f64>, Failure> {
    let mut count = 0;
    read_rows(&mut reader, asked, kind, &mut count).inspect_err(|failure| {
        // What cannot be read on has no number of rows.
        if failure.code() == kind.0 {
            return;
        }
        while count <= asked.most && matches!(reader.advance(), Ok(true)) {
            count += 1;
        }
        // More than are allowed are refused unread.
        if count <= asked.most {
            asked.context.add_rows(count);
        }
    })
}

fn read_rows(
    reader: &mut CellReader<'_>,
    Asked { signature, most, .. }: Asked<'_>,
    (code, kind): (&'static str, &str),
    count: &mut usize,
) -> Result<Array2<f64>, Failure> {
    let places = places(reader.columns(), signature)?;
    let mut numbers = Vec::new();
    let mut row = CheckedRow::new();
    while reader.advance().map_err(|error| unreadable(code, kind, &error))? {
        *count += 1;
        if *count > most {
            return Err(Failure::invalid("too_many_rows", too_many(most)));
        }
        let values = signature.inputs().iter().zip(&places).map(|(input, place)| match place {
            None => Ok(Value::Missing),
            Some(column) => value(reader.cell(*column), input)
                .ok_or_else(|| reader.wrong(*column, expected(input.datatype))),
        });
        let values: Vec<Value<'_>> = values
            .collect::<Result<_, FileError>>()
            .map_err(|error| Failure::invalid("invalid_features", error.to_string()))?;
        signature.read_positional(&values, &mut row).map_err(|error| refused_row(*count - 1, &error))?;
        numbers.extend_from_slice(row.values());
    }
    shaped(*count, signature.len(), numbers)
}

/// Where each input's column stands. `to_csv` writes a column without a name for the index, which is nobody's input.
fn places(columns: &[String], signature: &Signature) -> Result<Vec<Option<usize>>, Failure> {
    let mut places = vec![None; signature.len()];
    let mut unknown = Vec::new();
    for (at, name) in columns.iter().enumerate() {
        match signature.position(name) {
            Some(position) if places[position].replace(at).is_some() => {
                return Err(Failure::invalid("duplicate_input", format!("column {name:?} stands twice")));
            }
            Some(_) => {}
            None => unknown.push(name.chars().take(80).collect::<String>()),
        }
    }
    unknown.truncate(super::LISTED);
    let given: Vec<bool> = places.iter().map(Option::is_some).collect();
    check_columns(signature, &given, &unknown)?;
    Ok(places)
}

fn expected(datatype: Datatype) -> &'static str {
    if datatype == Datatype::Bytes { "a text of at most 64 KiB" } else { "a number" }
}

/// A cell as its input reads it; none where it cannot.
fn value<'c>(cell: Cell<'c>, input: &Input) -> Option<Value<'c>> {
    let known = |text: &str| input.vocabulary.iter().flatten().any(|word| word == text);
    match (cell, input.datatype) {
        (Cell::Missing, _) => Some(Value::Missing),
        (Cell::Raw(text), Datatype::Bytes) => Some(cell::text(text, known)),
        (Cell::Raw(text), _) => cell::number(text),
        (Cell::Number(x), _) => Some(Value::from(x)),
        (Cell::Bool(x), _) => Some(Value::Bool(x)),
        (Cell::Text(text), _) if text.len() > LONGEST_TEXT => None,
        (Cell::Text(text), _) => Some(Value::Text(text.into())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serve_core::MissingPolicy;

    use super::*;

    fn signature() -> Signature {
        let vocabulary = Some(vec!["red".to_owned(), "a,b".to_owned()]);
        Signature::new(vec![
            Input::number("a").missing(MissingPolicy::Nan),
            Input {
                datatype: Datatype::Bytes,
                vocabulary,
                unknown: Some(9.0),
                missing: MissingPolicy::Nan,
                ..Input::number("colour")
            },
        ])
        .expect("valid")
    }

    /// The matrix, and how many rows were noted as refused.
    fn csv_rows(csv: &str) -> (Result<Array2<f64>, Failure>, u64) {
        let (signature, context) = (signature(), Context::internal());
        let read = super::csv(csv.as_bytes(), Asked { signature: &signature, most: 3, context: &context });
        (read, context.rows())
    }

    #[test]
    fn rows_that_are_refused_are_noted() {
        for (csv, noted) in [
            ("a,colour\n1,red\n2,red\n", 0),
            ("a,colour\n1,red\nx,red\n3,red\n", 3),
            ("a,colour\n1,red\n2,red\nx,red\n", 3),
            ("aa,colour\n1,red\n2,red\n", 2),
            ("a,colour\n1,red\n2\n", 0),
            ("a,colour\n1,red\n1,red\n1,red\n1,red\n", 0),
            ("a,colour\nx,red\n1,red\n1,red\n1,red\n", 0),
        ] {
            assert_eq!(csv_rows(csv).1, noted, "{csv}");
        }
    }

    fn read(csv: &str) -> Result<Vec<String>, String> {
        csv_rows(csv)
            .0
            .map(|matrix| matrix.iter().map(ToString::to_string).collect())
            .map_err(|failure| failure.entry()["error"].as_str().unwrap_or_default().to_owned())
    }

    #[test]
    fn a_data_frame_is_read_as_pandas_wrote_it() {
        let expected = ["1.5", "0", "NaN", "1", "inf", "9"].map(str::to_owned).to_vec();
        assert_eq!(read(",colour,a\n0,red,1.5\n1,\"a,b\",\n2,#x,inf\n"), Ok(expected));
        assert_eq!(read("a,colour\r\nTrue,NA\r\n"), Ok(vec!["1".to_owned(), "NaN".to_owned()]));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        for (csv, told) in [
            ("", "the CSV is empty"),
            ("a,colour\n1,\"red\n", "a quote is left open"),
            ("a,colour\n1\n", "line 2: expected 2 cells"),
            ("aa,colour\n1,red\n", r#"missing inputs ["a"]; there were extra inputs ["aa"]"#),
            ("a,a,colour\n1,2,red\n", "column \"a\" stands twice"),
            ("a,colour\n1,red\nx,red\n", "line 3, column `a`: expected a number, got \"x\""),
            ("a,colour\n1,red\n1,red\n1,red\n1,red\n", "more than 3 rows"),
        ] {
            let error = read(csv).expect_err("must be refused");
            assert!(error.contains(told), "{csv:?}: {error}");
        }
    }

    #[test]
    fn bytes_that_are_no_parquet_are_refused() {
        let (signature, context) = (signature(), Context::internal());
        let asked = Asked { signature: &signature, most: 3, context: &context };
        let error = super::parquet(Bytes::from_static(b"PAR1PAR1"), asked).expect_err("refused");
        let told = error.entry();
        assert_eq!(told["code"], "malformed_parquet");
        assert!(told["error"].as_str().is_some_and(|told| told.contains("too short")), "{told}");
    }

    #[test]
    fn a_header_has_columns_within_reason() {
        assert_eq!(super::header_columns(b"a,\"b\n,c\",d\n1,2,3,4,5\n"), 3);
        let csv = format!("{}a\n1\n", "a,".repeat(20_000));
        let told = read(&csv).expect_err("must be refused");
        assert!(told.contains("20001 columns; up to 10000 are read"), "{told}");
    }
}
