//! The keys that are known, by their digests, and new ones. A key is looked for by comparing its digest with each that is
//! known, whole and to the end, so that the time that takes tells nothing of how close a guess came.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use serde::Deserialize;
use serve_core::Digest;
use subtle::{ConditionallySelectable as _, ConstantTimeEq as _};

use super::config::{KeyConfig, KeyDigest};
use super::files;
use super::usage::{Usage, Usages};
use crate::caller::{Caller, Proof};
use crate::config::Mistake;
use crate::rate::{Meter, Rate};
use crate::striped::Striped;

/// The most keys that are known; each costs every request some nanoseconds.
const MOST_KEYS: usize = 10_000;

/// The longest name of a caller.
pub(super) const LONGEST_NAME: usize = 128;

/// What new keys begin with, so that those who search for leaked secrets find them.
const PREFIX: &str = "serve_";

/// A new key, of the operating system's random bytes: 32 of them in hexadecimal digits after `serve_`.
///
/// # Errors
/// When there are none.
pub fn new_key() -> Result<(String, Digest), getrandom::Error> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret)?;
    let key = format!("{PREFIX}{}", Digest::from_bytes(secret));
    let digest = Digest::of(key.as_bytes());
    Ok((key, digest))
}

/// A client as its key shows it.
#[derive(Debug)]
pub(super) struct Client {
    caller: Caller,
    /// What requests of one thread share of it.
    callers: Striped<OnceLock<Arc<Caller>>>,
    pub(super) expires: Option<Timestamp>,
    pub(super) meter: Option<Arc<Meter>>,
    pub(super) usage: Arc<Usage>,
}

impl Client {
    /// Who that is.
    pub(super) fn caller(&self) -> Arc<Caller> {
        Arc::clone(self.callers.mine().get_or_init(|| Arc::new(self.caller.clone())))
    }
}

/// All keys.
#[derive(Debug, Default)]
pub(super) struct KeyRing {
    digests: Vec<[u64; 4]>,
    clients: Vec<Arc<Client>>,
    meters: BTreeMap<Arc<str>, Arc<Meter>>,
}

/// What a keys file holds.
#[derive(Deserialize)]
#[serde(untagged)]
enum KeysFile {
    Named { keys: Vec<serde_json::Value> },
    Bare(Vec<serde_json::Value>),
}

/// The keys of a file: a list, or `keys:` with one.
pub(super) fn read_file(path: &Path, mistakes: &mut Vec<Mistake>) -> Vec<KeyConfig> {
    let setting = || format!("auth.keys_file {}", path.display());
    let text = match files::read(path) {
        Ok(text) => text,
        Err(problem) => {
            mistakes.push(Mistake::new(setting(), problem));
            return Vec::new();
        }
    };
    let listed = serde_saphyr::from_slice(&text).map(|file| match file {
        KeysFile::Named { keys } | KeysFile::Bare(keys) => keys,
    });
    let Ok(listed) = listed else {
        let problem = "expected a list of keys in YAML, as auth.keys has it".to_owned();
        mistakes.push(Mistake::new(setting(), problem));
        return Vec::new();
    };
    let mut keys = Vec::with_capacity(listed.len());
    for (at, value) in listed.into_iter().enumerate() {
        match serde_path_to_error::deserialize::<_, KeyConfig>(value) {
            Ok(key) => keys.push(key),
            Err(error) => {
                let setting = format!("{}, key {at}", setting());
                // The path within the key, if the problem is of one of its values.
                let (path, problem) =
                    (error.path().to_string(), serve_core::words::plain(&error.inner().to_string()));
                let problem = if path == "." { problem } else { format!("{path}: {problem}") };
                mistakes.push(Mistake::new(setting, problem));
            }
        }
    }
    keys
}

impl KeyRing {
    /// The keys as configured. Meters of a ring before are kept where their rate stays, so that a reload refills nobody.
    pub(super) fn new(
        keys: &[KeyConfig],
        before: Option<&Self>,
        usages: &Usages,
        mistakes: &mut Vec<Mistake>,
    ) -> Self {
        let mut ring = Self::default();
        if keys.len() > MOST_KEYS {
            let problem = format!("{} keys are more than {MOST_KEYS}; tokens are for that many", keys.len());
            mistakes.push(Mistake::new("auth.keys".to_owned(), problem));
            return ring;
        }
        let mut rates: BTreeMap<&str, Option<Rate>> = BTreeMap::new();
        for (at, key) in keys.iter().enumerate() {
            let mut wrong = |problem: String| {
                mistakes.push(Mistake::new(format!("auth.keys[{at}]"), problem));
            };
            own_mistakes(key).for_each(&mut wrong);
            if !is_name(&key.id) {
                continue;
            }
            if *rates.entry(&key.id).or_insert(key.rate) != key.rate {
                wrong(format!(
                    "{:?} has another rate in another line; its keys are counted together",
                    key.id
                ));
            }
            let client = Arc::new(ring.client(key, before, usages));
            for digest in &key.sha256 {
                if digest.0 == Digest::of(b"") {
                    wrong(format!("{:?} has the SHA-256 of nothing", key.id));
                } else if ring.find(&digest.0).is_some() {
                    wrong(format!("{:?} has a key that stands there already: {digest}", key.id));
                } else {
                    ring.add(*digest, Arc::clone(&client));
                }
            }
        }
        ring
    }

    fn client(&mut self, key: &KeyConfig, before: Option<&Self>, usages: &Usages) -> Client {
        let name: Arc<str> = key.id.as_str().into();
        let meter = key.rate.map(|rate| {
            let kept =
                before.and_then(|before| before.meters.get(&name)).filter(|meter| meter.rate() == rate);
            let made = || kept.map_or_else(|| Arc::new(Meter::new(rate)), Arc::clone);
            Arc::clone(self.meters.entry(Arc::clone(&name)).or_insert_with(made))
        });
        let usage = usages.of(&name);
        let caller = Caller::new(name, key.permissions.iter().copied()).known_by(Proof::Key);
        let caller = match &key.models {
            Some(models) => caller.only(models.iter().cloned()),
            None => caller,
        };
        Client { caller, callers: Striped::default(), expires: key.expires, meter, usage }
    }

    fn add(&mut self, digest: KeyDigest, client: Arc<Client>) {
        self.digests.push(words(&digest.0));
        self.clients.push(client);
    }

    /// Whose key has that digest.
    pub(super) fn find(&self, digest: &Digest) -> Option<&Arc<Client>> {
        let sought = words(digest);
        let mut found = u64::MAX;
        for (at, known) in self.digests.iter().enumerate() {
            let differing = known.iter().zip(&sought).fold(0, |bits, (a, b)| bits | (a ^ b));
            found.conditional_assign(&(at as u64), differing.ct_eq(&0));
        }
        self.clients.get(usize::try_from(found).ok()?)
    }
}

/// What a key's line shows to be wrong by itself.
fn own_mistakes(key: &KeyConfig) -> impl Iterator<Item = String> {
    let unnamed = !is_name(&key.id);
    let name = || format!("the id is no name: expected 1 to {LONGEST_NAME} printable characters");
    let idle = || format!("{:?} may do nothing; expected some of predict, read, admin", key.id);
    let keyless = || format!("{:?} has no sha256", key.id);
    let told = [
        unnamed.then(name),
        (!unnamed && key.permissions.is_empty()).then(idle),
        (!unnamed && key.sha256.is_empty()).then(keyless),
    ];
    told.into_iter().flatten()
}

fn words(digest: &Digest) -> [u64; 4] {
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(digest.as_bytes().as_chunks().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    words
}

/// Whether a text can stand for somebody in logs and histories.
pub(super) fn is_name(text: &str) -> bool {
    let printable = text.chars().all(|c| !c.is_control() && (c == ' ' || !c.is_whitespace()));
    !text.trim().is_empty() && text.len() <= LONGEST_NAME && printable && !text.contains(INVISIBLE)
}

/// Characters that show nothing, or turn the direction of what follows.
const INVISIBLE: [char; 14] = [
    '\u{200b}', '\u{200c}', '\u{200d}', '\u{200e}', '\u{200f}', '\u{202a}', '\u{202b}', '\u{202c}',
    '\u{202d}', '\u{202e}', '\u{2066}', '\u{2067}', '\u{2068}', '\u{2069}',
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caller::Permission;

    fn key(id: &str, secrets: &[&str]) -> KeyConfig {
        KeyConfig {
            id: id.to_owned(),
            sha256: secrets.iter().map(|secret| KeyDigest(Digest::of(secret.as_bytes()))).collect(),
            permissions: vec![Permission::Predict],
            rate: None,
            models: None,
            expires: None,
        }
    }

    fn ring(keys: &[KeyConfig]) -> (KeyRing, Vec<String>) {
        let mut mistakes = Vec::new();
        let ring = KeyRing::new(keys, None, &Usages::default(), &mut mistakes);
        (ring, mistakes.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn each_key_finds_its_client_and_others_nobody() {
        let (ring, mistakes) = ring(&[key("a", &["one", "two"]), key("b", &["three"]), key("a", &["four"])]);
        assert!(mistakes.is_empty(), "{mistakes:?}");
        let name = |secret: &str| {
            ring.find(&Digest::of(secret.as_bytes())).map(|client| client.caller.name().to_owned())
        };
        let found: Vec<_> = ["one", "two", "three", "four"].into_iter().filter_map(name).collect();
        assert_eq!(found, ["a", "a", "b", "a"]);
        assert_eq!(name("five"), None);
        // One bit beside a known digest.
        for byte in 0..32 {
            let mut close = *Digest::of(b"one").as_bytes();
            close[byte] ^= 1;
            assert!(ring.find(&Digest::from_bytes(close)).is_none(), "byte {byte}");
        }
    }

    #[test]
    fn mistakes_are_told_with_their_place_and_no_secret() {
        let mut same = key("a", &["one"]);
        same.rate = "1/s".parse().ok();
        let mut idle = key("c", &[""]);
        idle.permissions.clear();
        let (_, mistakes) = ring(&[key("a", &["one"]), same, idle, key("\u{7}", &["x"]), key("d", &[])]);
        assert_eq!(
            mistakes,
            [
                "auth.keys[1]: \"a\" has another rate in another line; its keys are counted together",
                "auth.keys[1]: \"a\" has a key that stands there already: 7692c3ad…",
                "auth.keys[2]: \"c\" may do nothing; expected some of predict, read, admin",
                "auth.keys[2]: \"c\" has the SHA-256 of nothing",
                "auth.keys[3]: the id is no name: expected 1 to 128 printable characters",
                "auth.keys[4]: \"d\" has no sha256",
            ]
        );
    }

    #[test]
    fn keys_of_one_client_are_counted_together_and_a_reload_refills_nobody() {
        let limited = |secret: &str| KeyConfig { rate: "1/h burst 2".parse().ok(), ..key("a", &[secret]) };
        let take = |ring: &KeyRing, secret: &str| {
            let client = ring.find(&Digest::of(secret.as_bytes())).expect("is known");
            client.meter.as_ref().expect("has a rate").take("key").wait.is_none()
        };
        let (first, _) = ring(&[limited("one"), limited("two")]);
        assert!(take(&first, "one") && take(&first, "two") && !take(&first, "one"));
        let second = KeyRing::new(&[limited("three")], Some(&first), &Usages::default(), &mut Vec::new());
        assert!(!take(&second, "three"));
        let (fresh, _) = ring(&[limited("three")]);
        assert!(take(&fresh, "three"));
    }

    #[test]
    fn a_new_key_is_long_and_found_by_its_digest() {
        let (key, digest) = new_key().expect("random bytes");
        assert_eq!((key.len(), digest), (PREFIX.len() + 64, Digest::of(key.as_bytes())));
        assert_ne!(new_key().expect("random bytes").0, key);
    }

    #[test]
    fn names_are_printable() {
        assert!(is_name("ci") && is_name("Grace Hopper") && is_name("auth0|5f7c8ec7"));
        for name in ["", " ", "a\nb", "a\u{202e}b", "a\tb", "\u{0}", &"x".repeat(129)] {
            assert!(!is_name(name), "{name:?}");
        }
    }
}
