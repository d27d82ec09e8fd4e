//! `--ranges`: what a person declares of features, enforced on every request.

use std::collections::BTreeMap;
use std::path::Path;

use serve_app::{Exit, ExitReason};
use serve_core::signature::Signature;
use serve_core::{Input, Range};

use super::{bytes, data};

/// The signature with the ranges that a person declared.
pub(super) fn declared(signature: Signature, path: Option<&Path>) -> Result<Signature, Exit> {
    let Some(path) = path else { return Ok(signature) };
    let text = String::from_utf8_lossy(&bytes(path)?).into_owned();
    let mut ranges: BTreeMap<String, Range> = serde_saphyr::from_str(&text)
        .map_err(|error| Exit::told(ExitReason::Data, format!("{}: {error}", path.display())))?;
    let inputs = signature.inputs().iter();
    let inputs =
        inputs.map(|input| Input { range: ranges.remove(&input.name).or(input.range), ..input.clone() });
    let signature = Signature::new(inputs.collect()).map_err(data)?;
    match ranges.keys().next() {
        Some(name) => Err(Exit::told(
            ExitReason::Data,
            format!("{}: the model has no feature {name:?}", path.display()),
        )),
        None => Ok(signature),
    }
}
