//! Schemas and examples of rows as one model, set or table of this server takes them.

use serde_json::{Map, Value as Json, json};
use serve_core::{Datatype, Input, MissingPolicy};
use serve_features::{Feature, FeatureKind, SourceColumn};

use super::known::{KnownModel, KnownTable, TableKind};

/// Up to here whole numbers are told apart from their neighbours.
const MOST_EXACT: i64 = (1 << 53) - 1;

/// What an input takes.
pub(super) fn value_of(input: &Input) -> Json {
    let missing = input.missing != MissingPolicy::Reject;
    let mut schema = match input.datatype {
        Datatype::Int64 => json!({ "type": ["integer", "boolean"] }),
        Datatype::Bool => json!({ "enum": [true, false, 0, 1] }),
        // Of a text by its hash whole numbers are texts too.
        Datatype::Bytes if input.text_hashes.is_some() => {
            json!({ "type": ["string", "integer"], "minimum": -MOST_EXACT, "maximum": MOST_EXACT })
        }
        Datatype::Bytes => json!({ "type": ["string"] }),
        // Booleans are computed with as 0 and 1.
        _ => json!({ "type": ["number", "boolean"] }),
    };
    let Some(object) = schema.as_object_mut() else { return schema };
    if let Some(range) = input.range {
        // A boolean would have to lie in the range too, which a schema cannot say of it.
        object.insert(
            "type".to_owned(),
            json!([if input.datatype == Datatype::Int64 { "integer" } else { "number" }]),
        );
        range.min.into_iter().for_each(|min| drop(object.insert("minimum".to_owned(), json!(min))));
        range.max.into_iter().for_each(|max| drop(object.insert("maximum".to_owned(), json!(max))));
    }
    if let (Some(words), None) = (&input.vocabulary, input.unknown)
        && !missing
    {
        object.insert("enum".to_owned(), json!(words));
    }
    if missing {
        for key in ["type", "enum"] {
            let null = if key == "type" { json!("null") } else { Json::Null };
            object
                .get_mut(key)
                .and_then(Json::as_array_mut)
                .into_iter()
                .for_each(|list| list.push(null.clone()));
        }
    }
    schema
}

/// A value that an input takes.
fn example(input: &Input) -> Json {
    match (&input.vocabulary, input.datatype) {
        (Some(words), _) if !words.is_empty() => json!(words[0]),
        (_, Datatype::Bytes) => json!("a"),
        (_, Datatype::Bool) => json!(true),
        (_, datatype) => {
            let bounds = input.range.map(|range| (range.min, range.max));
            let x = match bounds {
                Some((Some(min), Some(max))) => f64::midpoint(min, max),
                Some((Some(end), None) | (None, Some(end))) => end,
                _ => 0.5,
            };
            if datatype == Datatype::Int64 { json!(x.round() as i64) } else { json!(x) }
        }
    }
}

impl KnownModel {
    /// A row by name. A model's own rule for missing values makes a name optional; names that it lacks are ignored.
    pub(super) fn by_name(&self) -> Json {
        let properties: Map<String, Json> =
            self.inputs.iter().map(|one| (one.name.clone(), value_of(one))).collect();
        let required: Vec<&str> = self.required().collect();
        json!({ "type": "object", "properties": properties, "required": required })
    }

    /// A row by name in a table, which has every column for which nothing stands in.
    pub(super) fn record(&self) -> Json {
        let mut row = self.by_name();
        row["required"] = self.columns();
        row
    }

    /// The columns that a table has to have.
    fn columns(&self) -> Json {
        let needed = |one: &&Input| matches!(one.missing, MissingPolicy::Reject | MissingPolicy::Nan);
        self.inputs.iter().filter(needed).map(|one| one.name.as_str()).collect()
    }

    /// A row by position.
    pub(super) fn by_position(&self) -> Json {
        list_of(&self.inputs.iter().map(value_of).collect::<Vec<_>>())
    }

    /// One list a feature, of one value here.
    pub(super) fn by_column(&self) -> Json {
        let column = |one: &Input| (one.name.clone(), list_of(&[value_of(one)]));
        let properties: Map<String, Json> = self.inputs.iter().map(column).collect();
        json!({ "type": "object", "properties": properties, "required": self.columns(), "minProperties": 1 })
    }

    fn required(&self) -> impl Iterator<Item = &str> {
        self.inputs.iter().filter(|one| one.missing == MissingPolicy::Reject).map(|one| one.name.as_str())
    }

    /// Whether every input has to be there.
    pub(super) fn requires_all(&self) -> bool {
        self.required().count() == self.inputs.len()
    }

    /// Whether every input is a number, so that one tensor holds a row.
    pub(super) fn numeric(&self) -> bool {
        self.inputs.iter().all(|one| one.datatype != Datatype::Bytes)
    }

    /// The data of one row in a tensor of numbers.
    pub(super) fn numbers(&self) -> Json {
        let number = |one: &Input| {
            let mut schema = value_of(one);
            schema["type"] = if one.missing == MissingPolicy::Reject {
                json!("number")
            } else {
                json!(["number", "null"])
            };
            if one.datatype == Datatype::Bool {
                schema = json!({ "enum": [0, 1] });
            }
            schema
        };
        list_of(&self.inputs.iter().map(number).collect::<Vec<_>>())
    }

    /// One tensor a feature, in order, of one row.
    pub(super) fn tensors(&self) -> Vec<Json> {
        // One row, in one dimension or two.
        let shape = json!({ "type": "array", "items": { "const": 1 }, "minItems": 1, "maxItems": 2 });
        let tensor = |one: &Input| {
            let datatype = if one.datatype == Datatype::Bytes { "BYTES" } else { "FP64" };
            let data = match (datatype, one.missing) {
                ("BYTES", MissingPolicy::Reject) if one.text_hashes.is_some() => json!({ "type": "string" }),
                ("BYTES", _) if one.text_hashes.is_some() => json!({ "type": ["string", "null"] }),
                ("BYTES", _) => value_of(one),
                (_, MissingPolicy::Reject) => json!({ "type": "number" }),
                _ => json!({ "type": ["number", "null"] }),
            };
            json!({
                "type": "object",
                "properties": { "name": { "const": one.name }, "datatype": { "const": datatype },
                                "shape": shape, "data": list_of(&[data]) },
                "required": ["name", "datatype", "shape", "data"],
            })
        };
        self.inputs.iter().map(tensor).collect()
    }

    /// One row as tensors.
    pub(super) fn tensors_example(&self) -> Json {
        if self.numeric() {
            let width = self.inputs.len();
            return json!([{ "name": "input", "shape": [1, width], "datatype": "FP64", "data": self.positional_example() }]);
        }
        let tensor = |one: &Input| {
            let datatype = if one.datatype == Datatype::Bytes { "BYTES" } else { "FP64" };
            json!({ "name": one.name, "shape": [1, 1], "datatype": datatype, "data": [example(one)] })
        };
        self.inputs.iter().map(tensor).collect()
    }

    pub(super) fn named_example(&self) -> Json {
        Json::Object(self.inputs.iter().map(|one| (one.name.clone(), example(one))).collect())
    }

    /// A CSV file of one row.
    pub(super) fn csv_example(&self) -> Json {
        let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
        let names: Vec<String> = self.inputs.iter().map(|one| quoted(&one.name)).collect();
        let values = self.inputs.iter().map(|one| match example(one) {
            Json::String(text) => quoted(&text),
            other => other.to_string(),
        });
        json!(format!("{}\n{}\n", names.join(","), values.collect::<Vec<_>>().join(",")))
    }

    /// Such files: the header of [`csv_example`](Self::csv_example), and rows of the plainest values. There is more that is taken;
    /// a schema cannot tell CSV.
    pub(super) fn csv_pattern(&self) -> String {
        let quoted = |text: &str| format!("\"{}\"", literal(&text.replace('"', "\"\"")));
        let names: Vec<String> = self.inputs.iter().map(|one| quoted(&one.name)).collect();
        let value = |one: &Input| {
            let plain = match (one.datatype, one.range) {
                (Datatype::Bytes | Datatype::Bool, _) | (_, Some(_)) => match example(one) {
                    Json::String(text) => quoted(&text),
                    other => literal(&other.to_string()),
                },
                (Datatype::Int64, None) => "-?(?:0|[1-9][0-9]{0,4})".to_owned(),
                _ => "-?(?:0|[1-9][0-9]{0,4})(?:[.][0-9]{1,4})?".to_owned(),
            };
            // An empty cell is a missing value, but an empty line is none.
            let optional = one.missing != MissingPolicy::Reject && self.inputs.len() > 1;
            if optional { format!("(?:{plain})?") } else { plain }
        };
        let values: Vec<String> = self.inputs.iter().map(value).collect();
        format!("^{}\n(?:{}\n){{1,3}}$", names.join(","), values.join(","))
    }

    pub(super) fn positional_example(&self) -> Json {
        self.inputs.iter().map(example).collect()
    }

    pub(super) fn names(&self) -> Json {
        self.inputs.iter().map(|one| json!(one.name)).collect()
    }
}

/// A text in a pattern, as it stands.
pub(super) fn literal(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for letter in text.chars() {
        if r"\.+*?()|[]{}^$/-".contains(letter) {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern
}

/// A list of exactly these.
pub(super) fn list_of(items: &[Json]) -> Json {
    let many = items.len();
    match items {
        [first, rest @ ..] if rest.iter().all(|other| other == first) => {
            json!({ "type": "array", "items": first, "minItems": many, "maxItems": many })
        }
        _ => {
            json!({ "type": "array", "prefixItems": items, "items": false, "minItems": many, "maxItems": many })
        }
    }
}

/// What a declared feature's value may be.
fn declared(feature: &Feature) -> Json {
    let range = feature.range();
    let mut schema = match feature.kind() {
        FeatureKind::Number => json!({ "type": ["number", "null"] }),
        FeatureKind::Bool => json!({ "type": ["boolean", "null"] }),
        FeatureKind::Text => json!({ "type": ["string", "null"] }),
    };
    if let Some(object) = schema.as_object_mut() {
        range.min.into_iter().for_each(|min| drop(object.insert("minimum".to_owned(), json!(min))));
        range.max.into_iter().for_each(|max| drop(object.insert("maximum".to_owned(), json!(max))));
    }
    schema
}

/// The values of a ready row of a set.
pub(super) fn ready_values(features: &[Feature]) -> Json {
    let properties: Map<String, Json> =
        features.iter().map(|feature| (feature.name().to_owned(), declared(feature))).collect();
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}

pub(super) fn ready_example(features: &[Feature]) -> Json {
    let value = |feature: &Feature| match (feature.kind(), feature.range().min, feature.range().max) {
        (FeatureKind::Bool, ..) => json!(true),
        (FeatureKind::Text, ..) => json!("a"),
        (_, Some(min), Some(max)) => json!(f64::midpoint(min, max)),
        (_, Some(end), None) | (_, None, Some(end)) => json!(end),
        _ => json!(0.5),
    };
    Json::Object(features.iter().map(|feature| (feature.name().to_owned(), value(feature))).collect())
}

impl KnownTable {
    /// The values of a raw row.
    pub(super) fn values(&self) -> Json {
        let scalar = json!({ "type": ["number", "boolean", "string", "null"] });
        let (number, text) = (json!({ "type": ["number", "null"] }), json!({ "type": ["string", "null"] }));
        let Some(columns) = &self.columns else {
            return match self.kind {
                TableKind::Events => json!({ "type": "object", "additionalProperties": scalar }),
                _ => {
                    json!({ "type": "object", "properties": { "text": text }, "additionalProperties": number })
                }
            };
        };
        let column = |(name, kind): &(String, SourceColumn)| {
            let schema = match (kind, self.kind) {
                (SourceColumn::Text, _) => text.clone(),
                (SourceColumn::Number, TableKind::Events) => json!({ "type": ["number", "boolean", "null"] }),
                (SourceColumn::Number, _) => number.clone(),
            };
            (name.clone(), schema)
        };
        let properties: Map<String, Json> = columns.iter().map(column).collect();
        json!({ "type": "object", "properties": properties, "additionalProperties": false })
    }

    pub(super) fn example(&self) -> Json {
        let column = |(name, kind): &(String, SourceColumn)| {
            let value = if *kind == SourceColumn::Number { json!(1.5) } else { json!("a") };
            (name.clone(), value)
        };
        Json::Object(self.columns.iter().flatten().map(column).collect())
    }
}
