//! The body around a table: MLflow's four fields, of which TensorFlow Serving and KServe have two.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serve_core::Signature;

use super::json::TableSeed;
use super::{Table, python};
use crate::failure::Failure;
use crate::predict_body::Text;

/// Keys of a message that lists them.
const LISTED: usize = 20;

/// Under which key a table stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    Split,
    Records,
    Instances,
    Inputs,
}

impl Field {
    const ALL: [Self; 4] = [Self::Split, Self::Records, Self::Instances, Self::Inputs];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Split => "dataframe_split",
            Self::Records => "dataframe_records",
            Self::Instances => "instances",
            Self::Inputs => "inputs",
        }
    }
}

/// What a body says.
#[derive(Debug, Default)]
pub(crate) struct Body<'a> {
    /// The first table, and under which key.
    pub(crate) table: Option<(Field, Table<'a>)>,
    /// Names of the columns of a `dataframe_split`.
    columns: Option<Vec<String>>,
    /// Whether a second one came.
    pub(crate) several: bool,
    /// The keys that came, the first of them.
    pub(crate) keys: Vec<String>,
    /// Which signature of the model is meant.
    pub(crate) signature_name: Option<String>,
}

impl<'a> Body<'a> {
    /// The table with its columns' names.
    pub(crate) fn named_table(self, signature: &Signature) -> Result<Option<(Field, Table<'a>)>, Failure> {
        match (self.table, self.columns) {
            (Some((field, table)), Some(columns)) => {
                Ok(Some((field, table.with_columns(&columns, signature)?)))
            }
            (table, _) => Ok(table),
        }
    }
}

/// Reads a body and hands it to `then`; where it is JSON only as Python writes it, what it becomes as JSON.
///
/// # Errors
/// 400 when it is no JSON, 422 when it has another shape.
pub(crate) fn read<R>(
    body: &[u8],
    seed: TableSeed<'_>,
    then: impl FnOnce(Body<'_>) -> Result<R, Failure>,
) -> Result<R, Failure> {
    let error = match parse(body, seed) {
        Ok(read) => return then(read),
        Err(error) => error,
    };
    match python::strict(body).filter(|_| !error.is_data()) {
        Some(strict) => then(parse(&strict, seed)?),
        None => Err(error.into()),
    }
}

fn parse<'a>(body: &'a [u8], seed: TableSeed<'_>) -> Result<Body<'a>, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let read = BodySeed(seed).deserialize(&mut deserializer)?;
    deserializer.end().map(|()| read)
}

struct BodySeed<'s>(TableSeed<'s>);

impl<'de> DeserializeSeed<'de> for BodySeed<'_> {
    type Value = Body<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Body<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for BodySeed<'_> {
    type Value = Body<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON dictionary")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Body<'de>, A::Error> {
        let mut body = Body::default();
        while let Some(Text(key)) = map.next_key()? {
            let field = Field::ALL.into_iter().find(|field| field.as_str() == key);
            if body.keys.len() < LISTED {
                body.keys.push(key.chars().take(80).collect());
            }
            match field {
                Some(_) if body.table.is_some() => {
                    body.several = true;
                    map.next_value::<IgnoredAny>()?;
                }
                Some(Field::Split) => {
                    let (table, columns) = map.next_value_seed(SplitSeed(self.0))?;
                    (body.table, body.columns) = (Some((Field::Split, table)), columns);
                }
                Some(Field::Records) => {
                    let table = map.next_value_seed(RecordsSeed(self.0))?;
                    body.table = Some((Field::Records, table));
                }
                Some(field) => body.table = Some((field, map.next_value_seed(self.0)?)),
                None if key == "signature_name" => {
                    body.signature_name =
                        map.next_value::<Option<Text<'de>>>()?.map(|Text(name)| name.into_owned());
                }
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(body)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _seq: A) -> Result<Body<'de>, A::Error> {
        Err(A::Error::custom(exactly_one("Received a list")))
    }
}

/// What MLflow says where not exactly one field came; its clients look for the words.
pub(crate) fn exactly_one(received: &str) -> String {
    let fields = Field::ALL.map(Field::as_str).join(", ");
    format!("The input must be a JSON dictionary with exactly one of the input fields {fields}. {received}")
}

/// `{"data", "columns"?, "index"?}`.
struct SplitSeed<'s>(TableSeed<'s>);

impl<'de> DeserializeSeed<'de> for SplitSeed<'_> {
    type Value = (Table<'de>, Option<Vec<String>>);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

const SPLIT: &str =
    "Dataframe split format must have 'data' field and optionally 'columns' and 'index' fields.";

impl<'de> Visitor<'de> for SplitSeed<'_> {
    type Value = (Table<'de>, Option<Vec<String>>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dataframe split format must be a dictionary")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _seq: A) -> Result<Self::Value, A::Error> {
        Err(A::Error::custom("Dataframe split format must be a dictionary. Got list."))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut table, mut columns) = (None, None);
        while let Some(Text(key)) = map.next_key()? {
            let twice = match &*key {
                "data" => table.replace(map.next_value_seed(self.0)?).is_some(),
                "columns" => columns.replace(map.next_value::<Option<Vec<ColumnName>>>()?).is_some(),
                "index" => {
                    map.next_value::<IgnoredAny>()?;
                    false
                }
                other => return Err(A::Error::custom(format!("{SPLIT} Got {other:?}"))),
            };
            if twice {
                return Err(A::Error::custom(format!("key {key:?} stands twice")));
            }
        }
        match table {
            Some(table @ Table::Rows { scalars: false, .. }) => {
                let names =
                    columns.flatten().map(|names| names.into_iter().map(|ColumnName(name)| name).collect());
                Ok((table, names))
            }
            Some(_) => Err(A::Error::custom("Dataframe split format must have rows as lists in 'data'")),
            None => Err(A::Error::custom(SPLIT)),
        }
    }
}

/// A column's name: text, or the number that pandas gives where nobody named it.
struct ColumnName(String);

impl<'de> serde::Deserialize<'de> for ColumnName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl Visitor<'_> for NameVisitor {
            type Value = ColumnName;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a column's name")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<ColumnName, E> {
                Ok(ColumnName(text.to_owned()))
            }
            fn visit_u64<E: Error>(self, number: u64) -> Result<ColumnName, E> {
                Ok(ColumnName(number.to_string()))
            }
        }
        deserializer.deserialize_any(NameVisitor)
    }
}

/// A list of records, and nothing else.
struct RecordsSeed<'s>(TableSeed<'s>);

impl<'de> DeserializeSeed<'de> for RecordsSeed<'_> {
    type Value = Table<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Table<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for RecordsSeed<'_> {
    type Value = Table<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dataframe records format must be a list of records")
    }

    fn visit_map<A: MapAccess<'de>>(self, _map: A) -> Result<Table<'de>, A::Error> {
        Err(A::Error::custom("Dataframe records format must be a list of records. Got dictionary."))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Table<'de>, A::Error> {
        match self.0.visit_seq(seq)? {
            Table::Rows { grid, .. } if grid.rows > 0 => Err(A::Error::custom(
                "Dataframe records format must be a list of records. Got a list of rows.",
            )),
            table => Ok(table),
        }
    }
}
