//! The line of every setting of a YAML file. Read beside the values: what a type refuses, it refuses without a line.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

/// Settings, as `http.port` or `auth.keys[0].id`, each with its line. Depth and size are serde-saphyr's to refuse.
pub(super) fn of(text: &str) -> Result<Vec<(String, u64)>, serde_saphyr::Error> {
    let mut found = Vec::new();
    collect(serde_saphyr::from_str(text)?, "", &mut found);
    Ok(found)
}

fn collect(node: Node, name: &str, found: &mut Vec<(String, u64)>) {
    for (key, line, inner) in node.0 {
        let name = match key {
            Key::Name(key) if name.is_empty() => key,
            Key::Name(key) => format!("{name}.{key}"),
            Key::Index(at) => format!("{name}[{at}]"),
        };
        collect(inner, &name, found);
        found.push((name, line));
    }
}

/// What is in a map or list, each with its line; nothing, in anything else.
#[derive(Default)]
struct Node(Vec<(Key, u64, Node)>);

enum Key {
    Name(String),
    Index(usize),
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Node, E> {
        Ok(Node::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Node, E> {
        Ok(Node::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Node, E> {
        Ok(Node::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
        Ok(Node::default())
    }

    fn visit_str<E>(self, _: &str) -> Result<Node, E> {
        Ok(Node::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = seq.next_element::<Spanned<Node>>()? {
            entries.push((Key::Index(entries.len()), entry.referenced.line(), entry.value));
        }
        Ok(Node(entries))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            entries.push((Key::Name(key.value), key.referenced.line(), map.next_value()?));
        }
        Ok(Node(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_has_the_line_of_its_key() {
        let yaml = "# a comment\nhttp:\n  port: 1\n  tls:\n    cert: a\nkeys:\n  - id: a\n    at: [1, x]\n  - b\nend: ~\n";
        let mut found = of(yaml).expect("valid YAML");
        found.sort_by(|a, b| a.1.cmp(&b.1).then_with(|| a.0.cmp(&b.0)));
        let found: Vec<String> = found.iter().map(|(name, line)| format!("{line} {name}")).collect();
        let expected = [
            "2 http",
            "3 http.port",
            "4 http.tls",
            "5 http.tls.cert",
            "6 keys",
            "7 keys[0]",
            "7 keys[0].id",
            "8 keys[0].at",
            "8 keys[0].at[0]",
            "8 keys[0].at[1]",
            "9 keys[1]",
            "10 end",
        ];
        assert_eq!(found, expected);
    }
}
