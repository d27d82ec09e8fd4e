//! YAML as a tree with lines and in the file's order. Serde's derive would stop at the first mistake and sort or lose the
//! features' order; the tree is walked by hand instead.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;
use serve_core::words;

use super::mistake::{DeclarationError, Mistakes};

/// A value and the line it stands in.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) line: u64,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    Null,
    Bool,
    Number(f64),
    Text(String),
    List,
    Map(Vec<(String, Node)>),
}

/// Reads a document. Depth, size and repeated keys are serde-saphyr's to refuse.
pub(super) fn read(text: &str) -> Result<Node, DeclarationError> {
    let read = serde_saphyr::from_str::<Spanned<Kind>>(text);
    // What the parser tells its programmer is no matter of who writes the file.
    let refused = |error: serde_saphyr::Error| {
        let problem = words::plain(&error.without_snippet().to_string());
        DeclarationError::Yaml {
            problem: problem
                .replace("rejected by the configured policy", "where a finite number is expected"),
        }
    };
    read.map(Node::from).map_err(refused)
}

impl Node {
    /// What the value is called in an error.
    pub(super) fn called(&self) -> String {
        match &self.kind {
            Kind::Null => "nothing".to_owned(),
            Kind::Bool => "a boolean".to_owned(),
            Kind::Number(x) => format!("the number {x}"),
            Kind::Text(text) => format!("{text:?}"),
            Kind::List => "a list".to_owned(),
            Kind::Map(_) => "a map".to_owned(),
        }
    }

    /// The value's entries, each with a known key; others are mistakes.
    pub(super) fn map(&self, what: &str, known: &[&str], mistakes: &mut Mistakes) -> Fields<'_> {
        let entries = self.entries(what, mistakes);
        for (key, node) in entries {
            if !known.contains(&key.as_str()) {
                mistakes.add(node.line, format!("unknown key `{key}`: expected {}", known.join(", ")));
            }
        }
        Fields(entries)
    }

    /// The value's entries with keys of any name.
    pub(super) fn entries(&self, what: &str, mistakes: &mut Mistakes) -> &[(String, Node)] {
        if let Kind::Map(entries) = &self.kind {
            return entries;
        }
        mistakes.add(self.line, format!("expected {what}, got {}", self.called()));
        &[]
    }

    /// The value as text.
    pub(super) fn text(&self, what: &str, mistakes: &mut Mistakes) -> Option<&str> {
        if let Kind::Text(text) = &self.kind {
            return Some(text);
        }
        mistakes.add(self.line, format!("expected {what}, got {}", self.called()));
        None
    }
}

/// A map's entries by key.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a>(&'a [(String, Node)]);

impl<'a> Fields<'a> {
    pub(super) fn get(self, key: &str) -> Option<&'a Node> {
        self.0.iter().find(|(known, _)| known == key).map(|(_, node)| node)
    }
}

impl From<Spanned<Kind>> for Node {
    fn from(spanned: Spanned<Kind>) -> Self {
        Self { line: spanned.referenced.line(), kind: spanned.value }
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KindVisitor)
    }
}

struct KindVisitor;

impl<'de> Visitor<'de> for KindVisitor {
    type Value = Kind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Kind, E> {
        Ok(Kind::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Kind, E> {
        Ok(Kind::Bool)
    }

    fn visit_i64<E>(self, x: i64) -> Result<Kind, E> {
        Ok(Kind::Number(x as f64))
    }

    fn visit_u64<E>(self, x: u64) -> Result<Kind, E> {
        Ok(Kind::Number(x as f64))
    }

    fn visit_f64<E>(self, x: f64) -> Result<Kind, E> {
        Ok(Kind::Number(x))
    }

    fn visit_str<E>(self, text: &str) -> Result<Kind, E> {
        Ok(Kind::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Kind, A::Error> {
        while seq.next_element::<Spanned<Kind>>()?.is_some() {}
        Ok(Kind::List)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Kind, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, value)) = map.next_entry::<String, Spanned<Kind>>()? {
            entries.push((key, Node::from(value)));
        }
        Ok(Kind::Map(entries))
    }
}
