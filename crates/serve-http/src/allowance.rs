//! How long somebody is waited for. Waiting uses the allowance up, bytes that get through buy it back: a client that is slow for a
//! moment loses nothing, one that lets the other side wait for every byte loses all of it.

use std::time::Duration;

use crate::config::ConnectionsConfig;

/// What is left of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allowance {
    left: Duration,
    most: Duration,
    bytes_per_second: u32,
}

impl Allowance {
    pub(crate) fn new(config: &ConnectionsConfig) -> Self {
        let most = config.patience;
        Self { left: most, most, bytes_per_second: config.min_bytes_per_second.max(1) }
    }

    /// What is left.
    pub(crate) fn left(&self) -> Duration {
        self.left
    }

    /// So many bytes came through.
    pub(crate) fn earn(&mut self, bytes: u64) {
        let earned =
            Duration::from_nanos(bytes.saturating_mul(1_000_000_000) / u64::from(self.bytes_per_second));
        self.left = self.left.saturating_add(earned).min(self.most);
    }

    /// So much time was waited; `false` when it was too much.
    pub(crate) fn wait(&mut self, time: Duration) -> bool {
        self.left = self.left.saturating_sub(time);
        !self.left.is_zero()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_buy_time_back_at_the_rate() {
        let config = ConnectionsConfig { min_bytes_per_second: 100, ..ConnectionsConfig::default() };
        let second = Duration::from_secs(1);
        let lasts = |bytes: u64| {
            let mut patience = Allowance::new(&config);
            (1..1000).find(|_| {
                patience.earn(bytes);
                !patience.wait(second)
            })
        };
        assert_eq!(lasts(0), Some(10));
        assert_eq!(lasts(50), Some(19));
        assert_eq!(lasts(100), None);
        assert_eq!(lasts(u64::MAX), None);
    }
}
