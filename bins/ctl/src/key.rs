//! `key new`: a key for a caller of a server. It is printed and kept nowhere; the server knows its SHA-256 alone.

use serve_app::auth::{AuthConfig, KeyConfig, KeyDigest, new_key};
use serve_app::{AuthMode, Exit, ExitReason, Permission};
use serve_core::ModelName;

use crate::args::NewKey;
use crate::print;

pub(crate) fn new(asked: NewKey) -> Result<(), Exit> {
    let NewKey { id, permissions, models, rate, expires_in } = asked;
    let (key, digest) = new_key().map_err(|error| Exit::because(ExitReason::System, error))?;
    let far = || Exit::told(ExitReason::Data, "--expires-in is too long");
    let expires =
        expires_in.map(|time| jiff::Timestamp::now().checked_add(time).map_err(|_| far())).transpose()?;
    let expires = expires.map(|at| at.round(jiff::Unit::Second)).transpose().map_err(|_| far())?;
    let line = line(
        &id,
        &digest.to_string(),
        &permissions,
        models.as_deref(),
        rate.map(|rate| rate.to_string()),
        expires,
    );
    let keys = vec![KeyConfig { id, sha256: vec![KeyDigest(digest)], permissions, rate, models, expires }];
    // The server would refuse what is wrong with it.
    let config = AuthConfig { mode: Some(AuthMode::Keys), keys, ..AuthConfig::default() };
    if let Some(mistake) = config.mistakes().first() {
        return Err(Exit::told(ExitReason::Data, mistake.problem.clone()));
    }
    eprintln!(
        "The key is shown this once and kept nowhere. The line below it goes into auth.keys, or auth.keys_file:"
    );
    print(&format!("{key}\n{line}"))
}

/// The key's line in YAML. Names in quotes are JSON's, which YAML reads alike.
fn line(
    id: &str,
    sha256: &str,
    permissions: &[Permission],
    models: Option<&[ModelName]>,
    rate: Option<String>,
    expires: Option<jiff::Timestamp>,
) -> String {
    let listed = permissions.iter().map(|permission| permission.as_str()).collect::<Vec<_>>().join(", ");
    let id = serde_json::Value::from(id);
    let models = models.map(|models| {
        let models = models.iter().map(|model| format!("\"{model}\"")).collect::<Vec<_>>().join(", ");
        format!("models: [{models}]")
    });
    let must = [format!("id: {id}"), format!("sha256: \"{sha256}\""), format!("permissions: [{listed}]")];
    let rate = rate.map(|rate| format!("rate: {rate}"));
    let expires = expires.map(|expires| format!("expires: {expires}"));
    let parts: Vec<String> = must.into_iter().chain(models).chain(rate).chain(expires).collect();
    format!("- {{ {} }}", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_reads_as_what_was_asked_for() {
        let model: ModelName = "m".parse().expect("is a name");
        let at = "2027-01-01T00:00:00Z".parse().expect("is a time");
        let rate: serve_app::Rate = "600/m burst 50".parse().expect("is a rate");
        let text = line(
            "a: \"b\"",
            &"0e".repeat(32),
            &Permission::ALL,
            Some(std::slice::from_ref(&model)),
            Some(rate.to_string()),
            Some(at),
        );
        let [key]: [KeyConfig; 1] =
            serde_saphyr::from_str::<Vec<KeyConfig>>(&text).expect(&text).try_into().expect("is one");
        assert_eq!((key.id.as_str(), key.permissions.len(), key.models), ("a: \"b\"", 3, Some(vec![model])));
        assert_eq!((key.rate, key.expires, key.sha256.len()), (Some(rate), Some(at), 1));
    }
}
