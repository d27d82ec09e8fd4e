//! From the environment's settings to a client of S3.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use ::object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use ::object_store::{ClientOptions, RetryConfig};

use crate::storage::StorageError;

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Settings of other tools that begin alike are not ours to judge.
const PREFIX: &str = "AWS_";

type Failed = Box<dyn Error + Send + Sync>;

/// A client for a bucket.
pub(super) struct Client {
    pub(super) store: Arc<AmazonS3>,
    /// Values that no error text may hold.
    pub(super) secrets: Vec<String>,
    /// Where it was told to ask, if it was: the same bucket's name elsewhere is another bucket.
    pub(super) endpoint: String,
}

/// A bucket for whoever reads other things than a registry from it, with the settings that a registry's would have
/// ([`ObjectStorage::open`](super::ObjectStorage::open)). Requests that fail are made again until they have failed for so long.
///
/// # Errors
/// When the settings contradict each other. Nothing is asked of the bucket.
pub fn bucket(bucket: &str, retry: Duration) -> Result<Arc<AmazonS3>, StorageError> {
    let retry = RetryConfig { max_retries: 1000, retry_timeout: retry, ..RetryConfig::default() };
    let client = client(bucket, std::env::vars(), retry);
    client.map(|client| client.store).map_err(|source| StorageError::Remote {
        action: "opened",
        location: format!("s3://{bucket}"),
        source,
    })
}

/// A client for a bucket by the environment's settings.
pub(super) fn client(
    bucket: &str,
    settings: impl IntoIterator<Item = (String, String)>,
    retry: RetryConfig,
) -> Result<Client, Failed> {
    // The whole answer may take long, silence may not: the calls have timeouts of their own, and attempts too.
    let mut client = ClientOptions::new().with_timeout_disabled().with_connect_timeout(CONNECT_TIMEOUT);
    let mut builder = AmazonS3Builder::new();
    let (mut secrets, mut endpoint) = (Vec::new(), String::new());
    for (name, value) in settings.into_iter().filter(|(name, _)| name.starts_with(PREFIX)) {
        let Ok(key) = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>() else { continue };
        match key {
            // The URL says it.
            AmazonS3ConfigKey::Bucket => continue,
            // What is set on the client would be lost where it is laid over below.
            AmazonS3ConfigKey::Client(key) => {
                client = client.with_config(key, value);
                continue;
            }
            AmazonS3ConfigKey::AccessKeyId
            | AmazonS3ConfigKey::SecretAccessKey
            | AmazonS3ConfigKey::Token => secrets.push(value.clone()),
            AmazonS3ConfigKey::Endpoint => endpoint.clone_from(&value),
            _ => {}
        }
        builder = builder.with_config(key, value);
    }
    secrets.retain(|secret| !secret.is_empty());
    let store = builder.with_bucket_name(bucket).with_client_options(client).with_retry(retry).build()?;
    Ok(Client { store: Arc::new(store), secrets, endpoint })
}
