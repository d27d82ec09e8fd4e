//! A configuration as it may be shown: values of keys that name a secret, and passwords in URLs, are hidden.

use serde_json::Value;

/// What stands in a secret's place.
const HIDDEN: &str = "***";

/// Words that a secret's key ends with.
const SECRET: [&str; 6] = ["password", "secret", "token", "api_key", "private_key", "authorization"];

/// The value of `key` without secrets.
#[must_use]
pub fn masked(key: &str, value: &Value) -> Value {
    let key = key.to_ascii_lowercase();
    match value {
        Value::Object(map) => {
            Value::Object(map.iter().map(|(key, value)| (key.clone(), masked(key, value))).collect())
        }
        Value::Array(list) => list.iter().map(|value| masked(&key, value)).collect(),
        Value::String(text) if !text.is_empty() && SECRET.iter().any(|word| key.ends_with(word)) => {
            HIDDEN.into()
        }
        Value::String(text) => without_password(text).map_or_else(|| value.clone(), Value::String),
        other => other.clone(),
    }
}

/// `redis://user:password@host` without the password.
fn without_password(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let (user, host) = authority.rsplit_once('@')?;
    let (user, _) = user.split_once(':')?;
    let after = &rest[authority.len()..];
    Some(format!("{scheme}://{user}:{HIDDEN}@{host}{after}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_are_hidden_and_nothing_else() {
        let config = json!({
            "redis": "redis://:pw@h:1/0", "postgres": "postgres://u:p@ss@h/d?x=a@b", "sqlite": "sqlite://a.db",
            "headers": { "Authorization": "Bearer x" }, "secret": "", "keys": [{ "id": "a", "sha256": "ff" }],
            "origin": "https://user@host/",
        });
        let expected = json!({
            "redis": "redis://:***@h:1/0", "postgres": "postgres://u:***@h/d?x=a@b", "sqlite": "sqlite://a.db",
            "headers": { "Authorization": "***" }, "secret": "", "keys": [{ "id": "a", "sha256": "ff" }],
            "origin": "https://user@host/",
        });
        assert_eq!(masked("", &config), expected);
    }
}
