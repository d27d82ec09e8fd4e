//! What people write to say where a registry lies: a path, `file://` and a path, or `s3://bucket/prefix`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::config::ObjectCacheConfig;
use crate::directory::Directory;
use crate::storage::{Storage, StorageError};

/// Where a registry lies.
///
/// ```
/// # use serve_registry::RegistryUrl;
/// let folder: RegistryUrl = "models.d".parse()?;
/// assert_eq!(folder.folder(), Some(std::path::Path::new("models.d")));
/// let bucket: RegistryUrl = "s3://models/production".parse()?;
/// assert_eq!((bucket.folder(), bucket.as_str()), (None, "s3://models/production"));
/// # Ok::<(), serve_registry::InvalidRegistryUrl>(())
/// ```
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RegistryUrl {
    text: String,
    place: Place,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Folder(PathBuf),
    Bucket { bucket: String, prefix: String },
}

/// Text that says no place a registry can lie in.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidRegistryUrl {
    /// There is no storage of that scheme.
    #[error("registry {scheme}://…: expected a path, file://PATH or s3://BUCKET/PREFIX")]
    Scheme {
        /// The scheme.
        scheme: String,
    },
    /// The text is not repeated: it may hold a secret.
    #[error(
        "a registry's URL holds no credentials; they come from the environment, AWS_ACCESS_KEY_ID and \
         AWS_SECRET_ACCESS_KEY"
    )]
    Credentials,
    /// The bucket is missing, or a name in the URL is not one.
    #[error("registry {url}: {problem}")]
    Name {
        /// The URL.
        url: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// Nothing was said.
    #[error("the registry's place is empty: expected a path, file://PATH or s3://BUCKET/PREFIX")]
    Empty,
}

impl RegistryUrl {
    /// The URL or path as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The folder, where it is one.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        match &self.place {
            Place::Folder(path) => Some(path),
            Place::Bucket { .. } => None,
        }
    }

    /// Opens the registry's storage.
    ///
    /// # Errors
    /// When there is no such folder, or the bucket cannot be asked for with these settings. Whether the bucket answers
    /// shows at the first call.
    pub fn open(&self, cache: &ObjectCacheConfig) -> Result<Arc<dyn Storage>, StorageError> {
        match &self.place {
            Place::Folder(path) => Ok(Arc::new(Directory::open(path)?)),
            Place::Bucket { bucket, prefix } => self.bucket(bucket, prefix, cache),
        }
    }

    /// Opens the registry's storage, making its folder if it is not there. A bucket has to be there, and to answer.
    ///
    /// # Errors
    /// When the folder cannot be made or the bucket does not answer.
    pub fn create(&self, cache: &ObjectCacheConfig) -> Result<Arc<dyn Storage>, StorageError> {
        match &self.place {
            Place::Folder(path) => Ok(Arc::new(Directory::create(path)?)),
            Place::Bucket { bucket, prefix } => {
                let storage = self.bucket(bucket, prefix, cache)?;
                storage.models()?;
                Ok(storage)
            }
        }
    }

    #[cfg(feature = "s3")]
    fn bucket(
        &self,
        bucket: &str,
        prefix: &str,
        cache: &ObjectCacheConfig,
    ) -> Result<Arc<dyn Storage>, StorageError> {
        let options = crate::object_store::ObjectOptions { cache: cache.clone(), ..Default::default() };
        Ok(Arc::new(crate::object_store::ObjectStorage::open(bucket, prefix, options)?))
    }

    #[cfg(not(feature = "s3"))]
    fn bucket(&self, _: &str, _: &str, _: &ObjectCacheConfig) -> Result<Arc<dyn Storage>, StorageError> {
        let source = "this program is built without the feature `s3` of serve-registry".into();
        Err(StorageError::Remote { action: "opened", location: self.text.clone(), source })
    }
}

/// Opens the registry's storage at a path or URL, with the default cache of objects.
///
/// # Errors
/// When it is no place for a registry, or as [`RegistryUrl::open`].
pub fn open_storage(url: &str) -> Result<Arc<dyn Storage>, StorageError> {
    url.parse::<RegistryUrl>()?.open(&ObjectCacheConfig::default())
}

/// [`open_storage`], making the folder if it is not there.
///
/// # Errors
/// When it is no place for a registry, or as [`RegistryUrl::create`].
pub fn create_storage(url: &str) -> Result<Arc<dyn Storage>, StorageError> {
    url.parse::<RegistryUrl>()?.create(&ObjectCacheConfig::default())
}

impl FromStr for RegistryUrl {
    type Err = InvalidRegistryUrl;

    fn from_str(text: &str) -> Result<Self, InvalidRegistryUrl> {
        if text.is_empty() {
            return Err(InvalidRegistryUrl::Empty);
        }
        let place = match text.split_once("://") {
            Some(("file", path)) => Place::Folder(file_path(text, path)?),
            Some(("s3", rest)) => bucket(text, rest)?,
            Some((scheme, _)) if is_scheme(scheme) => {
                return Err(InvalidRegistryUrl::Scheme { scheme: scheme.to_owned() });
            }
            _ => Place::Folder(PathBuf::from(text)),
        };
        Ok(Self { text: text.to_owned(), place })
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

fn file_path(url: &str, path: &str) -> Result<PathBuf, InvalidRegistryUrl> {
    if path.starts_with('/') {
        return Ok(PathBuf::from(path));
    }
    let problem = "expected an absolute path after file://, such as file:///srv/models";
    Err(InvalidRegistryUrl::Name { url: url.to_owned(), problem })
}

fn bucket(url: &str, rest: &str) -> Result<Place, InvalidRegistryUrl> {
    if rest.contains('@') {
        return Err(InvalidRegistryUrl::Credentials);
    }
    let wrong = |problem| InvalidRegistryUrl::Name { url: url.to_owned(), problem };
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if bucket.is_empty() || !bucket.chars().all(plain) {
        return Err(wrong("expected s3://BUCKET/PREFIX with letters, digits, dots and dashes in BUCKET"));
    }
    let segment = |part: &str| {
        !matches!(part, "" | "." | "..") && part.chars().all(|c| plain(c) || matches!(c, '=' | '+' | ' '))
    };
    if !prefix.is_empty() && !prefix.split('/').all(segment) {
        return Err(wrong(
            "expected a prefix of names with letters, digits, and any of . _ - = +, such as a/b",
        ));
    }
    Ok(Place::Bucket { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
}

impl Default for RegistryUrl {
    fn default() -> Self {
        Self { text: "registry".to_owned(), place: Place::Folder(PathBuf::from("registry")) }
    }
}

impl fmt::Display for RegistryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for RegistryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RegistryUrl({:?})", self.text)
    }
}

impl TryFrom<String> for RegistryUrl {
    type Error = InvalidRegistryUrl;

    fn try_from(text: String) -> Result<Self, InvalidRegistryUrl> {
        text.parse()
    }
}

impl From<RegistryUrl> for String {
    fn from(url: RegistryUrl) -> Self {
        url.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> Result<Place, String> {
        text.parse::<RegistryUrl>().map(|url| url.place).map_err(|error| error.to_string())
    }

    #[test]
    fn paths_stay_paths() {
        for path in ["registry", "./a b", "/srv/models", "..", "a:/b", "C:\\models"] {
            assert_eq!(place(path), Ok(Place::Folder(path.into())));
        }
        assert_eq!(place("file:///srv/models"), Ok(Place::Folder("/srv/models".into())));
    }

    #[test]
    fn a_bucket_has_a_name_and_maybe_a_prefix() {
        let bucket = |bucket: &str, prefix: &str| {
            Ok(Place::Bucket { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
        };
        assert_eq!(place("s3://models"), bucket("models", ""));
        assert_eq!(place("s3://models/"), bucket("models", ""));
        assert_eq!(place("s3://my.models/a/b=1/"), bucket("my.models", "a/b=1"));
    }

    #[test]
    fn what_is_no_place_is_told_without_secrets() {
        for (text, told) in [
            ("", "the registry's place is empty"),
            ("gs://models", "registry gs://…: expected a path, file://PATH or s3://BUCKET/PREFIX"),
            ("file://models", "registry file://models: expected an absolute path"),
            ("s3://", "registry s3://: expected s3://BUCKET/PREFIX"),
            ("s3://models/a//b", "registry s3://models/a//b: expected a prefix"),
            ("s3://models/../b", "registry s3://models/../b: expected a prefix"),
            ("s3://models/a?region=x", "registry s3://models/a?region=x: expected a prefix"),
        ] {
            let error = place(text).expect_err(text);
            assert!(error.starts_with(told), "{text}: {error}");
        }
        let error = place("s3://key:hush@models/a").expect_err("refused");
        assert!(error.starts_with("a registry's URL holds no credentials"), "{error}");
        assert!(!error.contains("hush"), "{error}");
    }
}
