//! Answers that servers share through Redis. Only scores are there: whoever has the version decides upon them by itself, so
//! that nothing from outside is taken for a decision, a class or a label.
//!
//! A key is the version's digest and the digest of the row's bits. A value is a mark of this form, the first half of the
//! SHA-256 of version, row and scores, and the scores; what does not add up was not written by a server like this one, and
//! counts as nothing. That guards against accidents; whoever may write to that Redis may write answers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use serve_core::{Digest, Pipeline, Prediction};
use serve_features::{OpenError, RedisBytes, RedisCacheOptions, RedisUrl};

use super::{CacheConfig, Key, SharedStats, add};

/// The form of a value; another one has another mark.
const MARK: [u8; 4] = *b"SPC1";
/// Bytes of the check.
const CHECK: usize = 16;

#[derive(Debug)]
pub(crate) struct SharedAnswers {
    redis: RedisBytes,
    hits: AtomicU64,
    misses: AtomicU64,
    corrupt: AtomicU64,
}

impl SharedAnswers {
    pub(super) fn open(url: &RedisUrl, config: &CacheConfig) -> Result<Self, OpenError> {
        let options = RedisCacheOptions {
            ttl: config.predictions.ttl,
            timeout: config.redis_timeout,
            ..RedisCacheOptions::default()
        };
        let redis = RedisBytes::open("prediction cache", url, options)?;
        let (hits, misses, corrupt) = Default::default();
        Ok(Self { redis, hits, misses, corrupt })
    }

    /// What another server, or this one, answered before.
    pub(crate) async fn get(
        &self,
        key: &Key,
        pipeline: &Pipeline,
        deadline: Option<Instant>,
    ) -> Option<Prediction> {
        let Some(value) = self.redis.get(&name(key), deadline).await else {
            add(&self.misses, 1);
            return None;
        };
        let prediction = decode(key, &value).and_then(|scores| pipeline.predict_from_scores(&scores).ok());
        add(if prediction.is_some() { &self.hits } else { &self.corrupt }, 1);
        prediction
    }

    pub(crate) fn put(&self, key: &Key, prediction: &Prediction) {
        self.redis.put(&name(key), encode(key, prediction.scores()));
    }

    /// Why Redis is not asked now, where it is not.
    pub(super) async fn trouble(&self) -> Option<String> {
        self.redis.trouble().await
    }

    pub(super) fn stats(&self) -> SharedStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        SharedStats {
            hits: read(&self.hits),
            misses: read(&self.misses),
            corrupt: read(&self.corrupt),
            failures: self.redis.failures(),
        }
    }
}

fn name(key: &Key) -> String {
    let row: Vec<u8> = key.row.iter().flat_map(|bits| bits.to_le_bytes()).collect();
    format!("prediction:{}:{}", key.digest, Digest::of(&row))
}

fn encode(key: &Key, scores: &[f64]) -> Vec<u8> {
    let scores: Vec<u8> = scores.iter().flat_map(|score| score.to_le_bytes()).collect();
    [&MARK[..], &check(key, &scores), &scores].concat()
}

fn decode(key: &Key, value: &[u8]) -> Option<Vec<f64>> {
    let rest = value.strip_prefix(&MARK)?;
    let (told, scores) = rest.split_at_checked(CHECK)?;
    let (numbers, []) = scores.as_chunks::<8>() else { return None };
    (told == check(key, scores)).then(|| numbers.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect())
}

fn check(key: &Key, scores: &[u8]) -> [u8; CHECK] {
    let row = key.row.iter().flat_map(|bits| bits.to_le_bytes());
    // The row's length is that of the version's signature, so that nothing can move from one part to the next.
    let all: Vec<u8> =
        key.digest.as_bytes().iter().copied().chain(row).chain(scores.iter().copied()).collect();
    let mut half = [0; CHECK];
    half.copy_from_slice(&Digest::of(&all).as_bytes()[..CHECK]);
    half
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_written_for_this_row_is_nothing() {
        let key = |version: &[u8], row: &[f64]| Key {
            digest: Digest::of(version),
            explain: false,
            row: row.iter().map(|x| x.to_bits()).collect(),
        };
        let ours = key(b"v1", &[1.0, -0.0]);
        let value = encode(&ours, &[0.25, 0.75]);
        assert_eq!(decode(&ours, &value), Some(vec![0.25, 0.75]));
        for other in [key(b"v2", &[1.0, -0.0]), key(b"v1", &[1.0, 0.0]), key(b"v1", &[1.0])] {
            assert_eq!(decode(&other, &value), None);
            assert_ne!(name(&other), name(&ours));
        }
        for at in 0..value.len() {
            let mut damaged = value.clone();
            damaged[at] ^= 1;
            assert_eq!(decode(&ours, &damaged), None, "byte {at}");
            assert_eq!(decode(&ours, &value[..at]), None, "cut at {at}");
        }
        assert_eq!(decode(&ours, &[&value[..], &[0; 8]].concat()), None);
    }
}
