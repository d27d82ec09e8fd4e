//! What differs between two configurations.

use serde_json::{Map, Value};

use super::secrets::masked;

/// A setting that differs.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Which, e.g. `log.level`.
    pub setting: String,
    /// What it was; a secret is not shown.
    pub from: Value,
    /// What it is; a secret is not shown.
    pub to: Value,
}

/// Every setting that differs, by name. Lists are compared as a whole.
#[must_use]
pub fn changes(from: &Value, to: &Value) -> Vec<Change> {
    let mut found = Vec::new();
    compare(&mut Vec::new(), from, to, &mut found);
    found
}

fn compare(levels: &mut Vec<String>, from: &Value, to: &Value, found: &mut Vec<Change>) {
    let (Value::Object(old), Value::Object(new)) = (from, to) else {
        if from != to {
            let key = levels.last().map_or("", String::as_str);
            found.push(Change { setting: levels.join("."), from: masked(key, from), to: masked(key, to) });
        }
        return;
    };
    let at = |map: &Map<String, Value>, key: &str| map.get(key).cloned().unwrap_or_default();
    let added = new.keys().filter(|key| !old.contains_key(*key));
    for key in old.keys().chain(added) {
        levels.push(key.clone());
        compare(levels, &at(old, key), &at(new, key), found);
        levels.pop();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn settings_that_differ_are_told_without_secrets() {
        let from = json!({ "log": { "level": "info" }, "keys": [1], "a": { "token": "x" }, "same": 1 });
        let to =
            json!({ "log": { "level": "debug" }, "keys": [2], "a": { "token": "y" }, "same": 1, "new": 2 });
        let told: Vec<String> =
            changes(&from, &to).iter().map(|c| format!("{} {} {}", c.setting, c.from, c.to)).collect();
        let mut expected =
            ["log.level \"info\" \"debug\"", "keys [1] [2]", "a.token \"***\" \"***\"", "new null 2"];
        let mut told: Vec<&str> = told.iter().map(String::as_str).collect();
        told.sort_unstable();
        expected.sort_unstable();
        assert_eq!(told, expected);
    }
}
