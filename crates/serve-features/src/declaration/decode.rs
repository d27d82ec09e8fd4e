//! From the YAML tree to feature sets, collecting every mistake on the way.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::mistake::{DeclarationError, Mistakes};
use super::yaml::{self, Fields, Kind, Node};
use super::{DeclarationDigest, Feature, FeatureSet, Source, SourceColumn, feature};
use crate::compute::plan::Plan;
use crate::duration;
use crate::freshness::MaxAge;
use crate::name::FeatureSetName;
use crate::raw::{PRICE_COLUMNS, RawTable, hex};

/// Every set of a document.
pub(super) fn declarations(text: &str) -> Result<Vec<FeatureSet>, DeclarationError> {
    let document = yaml::read(text)?;
    let mut mistakes = Mistakes::default();
    let fields = document.map("a map with the key `feature_sets`", &["feature_sets"], &mut mistakes);
    if fields.get("feature_sets").is_none() {
        mistakes.add(document.line, "expected the key `feature_sets`");
    }
    let sets = fields.get("feature_sets");
    let sets = sets.map_or(&[][..], |node| node.entries("a map of feature sets by name", &mut mistakes));
    let mut decoded = Vec::with_capacity(sets.len());
    for (name, node) in sets {
        mistakes.set = Some(name.clone());
        decoded.extend(set(name, node, &mut mistakes));
    }
    mistakes.finish().map(|()| decoded)
}

fn set(name: &str, node: &Node, mistakes: &mut Mistakes) -> Option<FeatureSet> {
    let name = mistakes.check(node.line, name.parse::<FeatureSetName>());
    let known = ["entity", "default_entity", "max_age", "sources", "features"];
    let fields = node.map("a feature set as a map", &known, mistakes);
    if fields.get("entity").is_none() {
        mistakes.add(node.line, "expected the key `entity`, the name of what the features describe");
    }
    let entity_key = fields.get("entity").and_then(|node| entity_key(node, mistakes));
    let default_entity = fields.get("default_entity").and_then(|node| parsed(node, "an entity", mistakes));
    let max_age = max_age(fields, mistakes);
    let sources = fields.get("sources").map_or_else(Vec::new, |node| sources(node, mistakes));
    let entries = fields.get("features").map(|node| {
        let entries = node.entries("a map of features by name", mistakes);
        if entries.is_empty() {
            mistakes.add(node.line, "expected at least one feature");
        }
        entries
    });
    let entries = entries.unwrap_or_default();
    let (features, plan) = match fields.get("sources") {
        None => (feature::ready(entries, mistakes), Plan::default()),
        // Without any source, every column would be a mistake of its own.
        Some(_) if sources.is_empty() => (Vec::new(), Plan::default()),
        Some(_) => feature::computed(entries, &sources, mistakes),
    };
    let computed_by = DeclarationDigest::of(&sources, &features);
    let (plan, digest) = (plan.into(), digest(&sources, &features));
    Some(FeatureSet {
        name: name?,
        entity_key: entity_key?,
        default_entity,
        max_age,
        sources,
        features,
        plan,
        digest,
        computed_by,
    })
}

/// Names all that a feature's value depends on but raw rows. A change of what the text means must change the first word.
fn digest(sources: &[Source], features: &[Feature]) -> String {
    let mut sha = Sha256::new();
    sha.update("1\n");
    for Source { name, table, columns, max_age, delay } in sources {
        let max_age = max_age.map(|limit| limit.to_string()).unwrap_or_default();
        sha.update(format!("{name} {table} {columns:?} {max_age} {}\n", duration::format(*delay)));
    }
    for feature in features {
        sha.update(format!("{:?} {:?}\n", feature.name, feature.text));
    }
    hex(&sha.finalize())
}

fn sources(node: &Node, mistakes: &mut Mistakes) -> Vec<Source> {
    let entries = node.entries("a map of sources by name", mistakes);
    if entries.is_empty() {
        mistakes.add(node.line, "expected at least one source");
    }
    let mut sources = Vec::with_capacity(entries.len());
    for (i, (name, node)) in entries.iter().enumerate() {
        mistakes.part = Some(format!("source \"{name}\""));
        sources.push(source(name, node, i == 0, mistakes));
        mistakes.part = None;
    }
    sources
}

fn source(name: &str, node: &Node, first: bool, mistakes: &mut Mistakes) -> Source {
    let known = ["table", "columns", "join", "max_age", "delay"];
    let fields = node.map("a source as a map", &known, mistakes);
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if !name.bytes().all(word) || name.starts_with(|c: char| c.is_ascii_digit()) || name.is_empty() {
        mistakes.add(node.line, "expected a name of letters, digits and `_` that expressions can use");
    }
    if fields.get("table").is_none() {
        mistakes.add(
            node.line,
            "expected the key `table`: `price_data`, `sentiment_data` or a table of your own",
        );
    }
    let table = fields.get("table").and_then(|node| table(node, mistakes));
    let join = fields.get("join").filter(|node| !matches!(&node.kind, Kind::Text(text) if text == "as_of"));
    if let Some(other) = join {
        mistakes.add(other.line, format!("`join`: expected `as_of`, got {}", other.called()));
    }
    if let Some(limit) = fields.get("max_age").filter(|_| first) {
        mistakes.add(
            limit.line,
            "the first source gives the rows, so `max_age` would do nothing: put it on the set",
        );
    }
    let max_age = max_age(fields, mistakes);
    let delay = fields.get("delay").and_then(|node| delay(node, mistakes)).unwrap_or_default();
    let columns = fields.get("columns").map_or_else(Vec::new, |node| columns(node, table.as_ref(), mistakes));
    // After a mistake the set is thrown away; the table that takes any column keeps its features from being mistakes too.
    let table = table.unwrap_or(RawTable::Sentiment);
    Source { name: name.to_owned(), table, columns, max_age, delay }
}

fn columns(node: &Node, table: Option<&RawTable>, mistakes: &mut Mistakes) -> Vec<(Arc<str>, SourceColumn)> {
    if table == Some(&RawTable::Price) {
        mistakes.add(node.line, format!("`price_data` has the columns {}", PRICE_COLUMNS.join(", ")));
        return Vec::new();
    }
    let entries = node.entries("a map of columns, each `number` or `text`", mistakes);
    let mut columns = Vec::with_capacity(entries.len());
    for (name, node) in entries {
        match &node.kind {
            Kind::Text(kind) if kind == "number" => columns.push((Arc::from(&**name), SourceColumn::Number)),
            Kind::Text(kind) if kind == "text" => columns.push((Arc::from(&**name), SourceColumn::Text)),
            _ => {
                let expected = format!("column `{name}`: expected `number` or `text`");
                mistakes.add(node.line, format!("{expected}, got {}", node.called()));
            }
        }
    }
    columns
}

fn table(node: &Node, mistakes: &mut Mistakes) -> Option<RawTable> {
    let text = node.text("a table's name", mistakes)?;
    mistakes.check(node.line, text.parse())
}

fn max_age(fields: Fields<'_>, mistakes: &mut Mistakes) -> Option<MaxAge> {
    fields
        .get("max_age")
        .and_then(|node| parsed(node, "`max_age`: a duration such as `90m`, or `none`", mistakes))
}

fn delay(node: &Node, mistakes: &mut Mistakes) -> Option<Duration> {
    let text = node.text("`delay`: a duration such as `1d`", mistakes)?;
    mistakes.check(node.line, duration::parse(text))
}

fn entity_key(node: &Node, mistakes: &mut Mistakes) -> Option<String> {
    let text = node.text("the name of what the features describe, such as `symbol`", mistakes)?;
    if text.trim().is_empty() {
        mistakes.add(node.line, "`entity`: expected a name, got nothing");
    }
    Some(text.to_owned())
}

fn parsed<T: FromStr<Err: std::fmt::Display>>(node: &Node, what: &str, mistakes: &mut Mistakes) -> Option<T> {
    let text = node.text(what, mistakes)?;
    mistakes.check(node.line, text.parse())
}
