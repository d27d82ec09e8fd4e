//! The features of a set: computed ones with their expressions, or what ready rows hold.

use super::mistake::Mistakes;
use super::yaml::{Fields, Kind, Node};
use super::{Feature, FeatureKind, FeatureRange, MissingPolicy, Source};
use crate::compute::plan::Plan;
use crate::expression::{self, Expr, Scope, reference};

/// The longest name, in bytes.
const NAME_BYTES: usize = 128;

/// Features with expressions over sources, and how all of them are computed.
pub(super) fn computed(
    entries: &[(String, Node)],
    sources: &[Source],
    mistakes: &mut Mistakes,
) -> (Vec<Feature>, Plan) {
    let names: Vec<&str> = entries.iter().map(|(name, _)| name.as_str()).collect();
    let (mut features, mut expressions) = (Vec::with_capacity(entries.len()), Vec::new());
    for (name, node) in entries {
        mistakes.part = Some(format!("feature \"{name}\""));
        let scope = Scope { sources, features: &names, this: name };
        if let Some((feature, expr)) = one(name, node, &scope, mistakes) {
            features.push(feature);
            expressions.push(expr);
        }
        mistakes.part = None;
    }
    if features.len() < entries.len() {
        return (features, Plan::default());
    }
    let expressions: Vec<&Expr> = expressions.iter().collect();
    match reference::order(&expressions) {
        Ok(order) => (features, Plan::new(&expressions, &order)),
        Err(circle) => {
            let named = circle.iter().chain(circle.first()).map(|i| format!("`{}`", names[*i]));
            let named: Vec<String> = named.collect();
            let line = circle.first().map_or(0, |i| entries[*i].1.line);
            mistakes.add(line, format!("features refer to each other in a circle: {}", named.join(" → ")));
            (features, Plan::default())
        }
    }
}

/// What ready rows hold.
pub(super) fn ready(entries: &[(String, Node)], mistakes: &mut Mistakes) -> Vec<Feature> {
    let mut features = Vec::with_capacity(entries.len());
    for (name, node) in entries {
        mistakes.part = Some(format!("feature \"{name}\""));
        features.extend(one_ready(name, node, mistakes));
        mistakes.part = None;
    }
    features
}

fn one(name: &str, node: &Node, scope: &Scope<'_>, mistakes: &mut Mistakes) -> Option<(Feature, Expr)> {
    check_name(name, node, mistakes);
    let plain = |text: String| Feature { text: Some(text), ..empty(name) };
    let feature = match &node.kind {
        Kind::Text(text) => plain(text.clone()),
        Kind::Number(x) => plain(x.to_string()),
        Kind::Map(_) => {
            let known = ["expr", "type", "range", "missing", "max_null_rate"];
            let fields = node.map("a feature", &known, mistakes);
            if fields.get("expr").is_none() {
                mistakes.add(node.line, "expected the key `expr`");
            }
            let feature = described(name, fields, mistakes);
            if feature.kind != FeatureKind::Number {
                mistakes.add(node.line, "`type`: an expression gives numbers, expected `number`");
            }
            Feature { text: Some(expression(fields.get("expr")?, mistakes)?), ..feature }
        }
        Kind::Null | Kind::Bool | Kind::List => {
            let expected = "expected an expression, or a map with `expr` and `missing`";
            mistakes.add(node.line, format!("{expected}, got {}", node.called()));
            return None;
        }
    };
    let text = feature.text.as_deref().unwrap_or_default();
    let expr = mistakes.check(node.line, expression::compile(text, scope))?;
    Some((feature, expr))
}

fn expression(node: &Node, mistakes: &mut Mistakes) -> Option<String> {
    match &node.kind {
        Kind::Number(x) => Some(x.to_string()),
        _ => node.text("an expression", mistakes).map(str::to_owned),
    }
}

fn one_ready(name: &str, node: &Node, mistakes: &mut Mistakes) -> Option<Feature> {
    check_name(name, node, mistakes);
    match &node.kind {
        Kind::Text(text) if kind_of(text).is_none() => {
            let needs = "an expression needs the key `sources`, which says where its columns come from";
            mistakes.add(node.line, format!("expected `number`, `bool` or `text`, got {text:?}; {needs}"));
            None
        }
        Kind::Text(text) => Some(Feature { kind: kind_of(text)?, ..empty(name) }),
        Kind::Map(_) => {
            let fields = node.map("a feature", &["type", "range", "missing", "max_null_rate"], mistakes);
            Some(described(name, fields, mistakes))
        }
        Kind::Null | Kind::Bool | Kind::Number(_) | Kind::List => {
            let expected = "expected `number`, `bool`, `text`, or a map with `type`";
            mistakes.add(node.line, format!("{expected}, got {}", node.called()));
            None
        }
    }
}

fn empty(name: &str) -> Feature {
    Feature {
        name: name.into(),
        text: None,
        missing: MissingPolicy::default(),
        kind: FeatureKind::default(),
        range: FeatureRange::default(),
        max_null_rate: None,
    }
}

fn check_name(name: &str, node: &Node, mistakes: &mut Mistakes) {
    if name.is_empty() || name.len() > NAME_BYTES || name.chars().any(char::is_control) {
        mistakes
            .add(node.line, format!("expected a name of 1 to {NAME_BYTES} bytes without control characters"));
    }
    if matches!(name, "entity" | "timestamp") {
        mistakes.add(node.line, "the name is taken by a column of every built table");
    }
}

/// What a feature's map says besides its expression.
fn described(name: &str, fields: Fields<'_>, mistakes: &mut Mistakes) -> Feature {
    let missing = fields.get("missing").and_then(|node| missing(node, mistakes)).unwrap_or_default();
    let kind = fields.get("type").and_then(|node| kind(node, mistakes)).unwrap_or_default();
    let range = fields.get("range").map(|node| range(node, mistakes)).unwrap_or_default();
    let max_null_rate = fields.get("max_null_rate").and_then(|node| rate(node, mistakes));
    if let Some(node) = fields.get("range").filter(|_| kind != FeatureKind::Number) {
        mistakes.add(node.line, "`range`: only numbers have one");
    }
    if let (Some(node), MissingPolicy::Constant(_), true) =
        (fields.get("missing"), missing, kind != FeatureKind::Number)
    {
        mistakes.add(node.line, "`missing`: only numbers have a constant");
    }
    Feature { missing, kind, range, max_null_rate, ..empty(name) }
}

fn kind_of(text: &str) -> Option<FeatureKind> {
    match text {
        "number" => Some(FeatureKind::Number),
        "bool" => Some(FeatureKind::Bool),
        "text" => Some(FeatureKind::Text),
        _ => None,
    }
}

fn kind(node: &Node, mistakes: &mut Mistakes) -> Option<FeatureKind> {
    let found = if let Kind::Text(text) = &node.kind { kind_of(text) } else { None };
    if found.is_none() {
        let expected = "`type`: expected `number`, `bool` or `text`";
        mistakes.add(node.line, format!("{expected}, got {}", node.called()));
    }
    found
}

fn range(node: &Node, mistakes: &mut Mistakes) -> FeatureRange {
    let fields = node.map("`range`: a map with `min`, `max` or both", &["min", "max"], mistakes);
    let mut end = |key: &str| {
        let node = fields.get(key)?;
        match node.kind {
            Kind::Number(x) if x.is_finite() => Some(x),
            _ => {
                let expected = format!("`range`: expected a finite number as `{key}`");
                mistakes.add(node.line, format!("{expected}, got {}", node.called()));
                None
            }
        }
    };
    let range = FeatureRange { min: end("min"), max: end("max") };
    if let (Some(min), Some(max)) = (range.min, range.max)
        && min > max
    {
        mistakes.add(node.line, format!("`range`: expected `min` not above `max`, got {min} and {max}"));
    }
    range
}

fn rate(node: &Node, mistakes: &mut Mistakes) -> Option<f64> {
    match node.kind {
        Kind::Number(x) if (0.0..=1.0).contains(&x) => Some(x),
        _ => {
            let expected = "`max_null_rate`: expected a number from 0 to 1";
            mistakes.add(node.line, format!("{expected}, got {}", node.called()));
            None
        }
    }
}

fn missing(node: &Node, mistakes: &mut Mistakes) -> Option<MissingPolicy> {
    let expected = "`missing`: expected `nan`, `reject` or `{ constant: NUMBER }`";
    match &node.kind {
        // YAML knows `.nan` as a number; the bare word is text.
        Kind::Text(text) if text == "nan" => Some(MissingPolicy::Nan),
        Kind::Number(x) if x.is_nan() => Some(MissingPolicy::Nan),
        Kind::Text(text) if text == "reject" => Some(MissingPolicy::Reject),
        Kind::Map(_) => {
            let fields = node.map("a policy", &["constant"], mistakes);
            match fields.get("constant").map(|node| &node.kind) {
                Some(Kind::Number(x)) if x.is_finite() => Some(MissingPolicy::Constant(*x)),
                _ => {
                    mistakes.add(node.line, expected);
                    None
                }
            }
        }
        _ => {
            mistakes.add(node.line, format!("{expected}, got {}", node.called()));
            None
        }
    }
}
