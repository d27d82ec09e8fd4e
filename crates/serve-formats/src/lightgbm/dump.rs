//! LightGBM's dump of a model, `Booster.dump_model()` written as JSON. It says all that the text model says of
//! predictions, with 17 digits for every number, so that both give the same answers; LightGBM 2.3.1, 3.3.5 and 4.7
//! were compared. It lacks the training parameters.
//!
//! A tree is nested as deep as it is, so the file is read without recursion: it is first held to be JSON as a whole,
//! then cut into the texts of its values, and [`nodes`] walks a tree's text with a stack of its own.

mod header;
mod nodes;
mod scanner;

use std::collections::BTreeMap;

use serde::de::{DeserializeOwned, IgnoredAny};

use super::{assemble, pandas};
use crate::error::{ImportError, Place, shown};
use crate::imported::ImportedModel;
use scanner::{elements, fields};

/// Reads a dump.
///
/// # Errors
/// When it is broken, lacks something that answers depend on, or uses what cannot be answered exactly.
pub(crate) fn import(bytes: &[u8]) -> Result<ImportedModel, ImportError> {
    let text = sound(bytes)?;
    let file = Object::read(text, String::new())?;
    let texts = elements(file.require("tree_info")?);
    let header = header::read(&file, texts.len())?;
    let outputs = header.objective.outputs;
    let (mut trees, mut words) = (Vec::with_capacity(texts.len()), 0);
    for (number, text) in texts.into_iter().enumerate() {
        let tree = Object::read(text, format!("tree_info[{number}]"))?;
        trees.push(nodes::lower(&tree, number, (number % outputs) as u32, &mut words)?);
    }
    let lists = match file.get("pandas_categorical") {
        Some(text) => pandas::read(text, || file.place("pandas_categorical"))?,
        None => Vec::new(),
    };
    assemble(header, trees, lists, BTreeMap::new(), |tree| Place::Path(format!("tree_info[{tree}]")))
}

/// The file as text that is JSON.
fn sound(bytes: &[u8]) -> Result<&str, ImportError> {
    let text = super::text(bytes)?.trim_start();
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(_) => Ok(text),
        Err(error) => {
            let place = Place::Line { line: error.line(), tree: None, key: String::new() };
            Err(ImportError::invalid(place, "JSON", error.to_string()))
        }
    }
}

/// An object's fields, each as the text of its value.
struct Object<'a> {
    path: String,
    fields: BTreeMap<&'a str, &'a str>,
}

impl<'a> Object<'a> {
    fn read(text: &'a str, path: String) -> Result<Self, ImportError> {
        let mut object = Self { path, fields: BTreeMap::new() };
        let Some(fields) = fields(text) else {
            return Err(ImportError::invalid(Place::Path(object.path), "an object", shown(text)));
        };
        for (key, value) in fields {
            if object.fields.insert(key, value).is_some() {
                return Err(ImportError::invalid(object.place(key), "a key once", "it again"));
            }
        }
        Ok(object)
    }

    fn place(&self, key: &str) -> Place {
        let dot = if self.path.is_empty() { "" } else { "." };
        Place::Path(format!("{}{dot}{key}", self.path))
    }

    fn get(&self, key: &str) -> Option<&'a str> {
        self.fields.get(key).copied().filter(|value| *value != "null")
    }

    fn require(&self, key: &str) -> Result<&'a str, ImportError> {
        self.get(key).ok_or_else(|| ImportError::Missing {
            place: Place::Path(if self.path.is_empty() { "the dump" } else { &self.path }.to_owned()),
            what: key.to_owned(),
        })
    }

    fn parse<T: DeserializeOwned>(&self, key: &str, expected: &str) -> Result<T, ImportError> {
        parse(self.require(key)?, expected, || self.place(key))
    }
}

fn parse<T: DeserializeOwned>(
    text: &str,
    expected: &str,
    place: impl FnOnce() -> Place,
) -> Result<T, ImportError> {
    serde_json::from_str(text).map_err(|_| ImportError::invalid(place(), expected, shown(text)))
}
