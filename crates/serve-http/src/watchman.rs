//! All connections, how many there may be, and who looks after them: one task for all, so that a connection needs no timer.
//!
//! | what a client does | what comes of it |
//! |---|---|
//! | does not finish a TLS handshake in time | the connection ends |
//! | does not finish a head in time | 408; over HTTP/2 the connection is cut off |
//! | asks nothing for long | the connection ends as it does at a stop: nothing is lost |
//! | does not take an answer | the connection is cut off, and what is not sent is forgotten |
//! | sends pings, or settings, over HTTP/2 without end | the connection is cut off |

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::allowance::Allowance;
use crate::config::HttpConfig;
use crate::connection::{Connection, LINGER, Order, Phase, Place};
use crate::event_loops::Load;
use counts::Counts;

pub use counts::ConnectionCounts;

mod counts;

/// How often the watchman goes round, which is how exact the limits are.
const ROUND: Duration = Duration::from_millis(250);

/// After so long in milliseconds without a word from its client the task of a request under way is looked at on each round:
/// its limits of time may have no timer ([`crate::waiting`]).
const LONG: u64 = 1_000;

/// Pings and settings of HTTP/2 that one connection may send from one round to the next: a client that measures its connection
/// sends some hundreds a second.
const MOST_PINGS: u32 = 1_000;

/// So many connections that rest, or have ended, freed memory that is worth being given back to the system: 16 MiB.
const MANY: u64 = 1_000;

/// How long that waits at least; while it is done, who wants memory may have to wait.
const GIVE_BACK_AFTER: Duration = Duration::from_secs(5);

/// It is not done again before so many times the time that it took.
const SELDOM: u32 = 200;

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    Server,
    Address,
}

/// Limits, in milliseconds.
#[derive(Debug, Clone, Copy)]
struct Limits {
    handshake: u64,
    head: u64,
    idle: u64,
    allowance: Allowance,
}

/// Who looks after connections.
#[derive(Debug)]
pub(crate) struct Watchman {
    began: Instant,
    clock: AtomicU64,
    limits: Limits,
    max: usize,
    max_per_address: Option<usize>,
    /// The lock is held for one look at all of them, or to add or take away one; no order is carried out under it.
    connections: Mutex<Connections>,
    pub(crate) counts: Counts,
}

#[derive(Debug, Default)]
struct Connections {
    numbers: u64,
    all: HashMap<u64, Watched>,
    by_address: HashMap<IpAddr, usize>,
}

#[derive(Debug)]
struct Watched {
    connection: Arc<Connection>,
    allowance: Allowance,
    written: u64,
    /// When it was told to finish.
    finishing: Option<u64>,
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Watchman {
    pub(crate) fn new(config: &HttpConfig) -> Self {
        let handshake = config.tls.as_ref().map_or(config.header_timeout, |tls| tls.handshake_timeout);
        Self {
            began: Instant::now(),
            clock: AtomicU64::new(0),
            limits: Limits {
                handshake: milliseconds(handshake),
                head: milliseconds(config.header_timeout),
                idle: milliseconds(config.connections.idle_timeout),
                allowance: Allowance::new(&config.connections),
            },
            max: config.connections.max,
            max_per_address: config.connections.max_per_address,
            connections: Mutex::default(),
            counts: Counts::default(),
        }
    }

    /// Milliseconds since the start, as of the last round.
    pub(crate) fn now(&self) -> u64 {
        self.clock.load(Relaxed)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Connections> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for one more connection.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr, phase: Phase, load: Load) -> Result<Place, Full> {
        let mut connections = self.lock();
        let taken = connections.by_address.get(&address).copied().unwrap_or(0);
        let full =
            match (connections.all.len() >= self.max, self.max_per_address.is_some_and(|max| taken >= max)) {
                (true, _) => Some(Full::Server),
                (false, true) => Some(Full::Address),
                (false, false) => None,
            };
        if let Some(full) = full {
            self.counts.refused.fetch_add(1, Relaxed);
            return Err(full);
        }
        connections.numbers += 1;
        let number = connections.numbers;
        let connection = Arc::new(Connection::new(Arc::clone(self), number, address, phase, load));
        let allowance = self.limits.allowance;
        let watched = Watched { connection: Arc::clone(&connection), allowance, written: 0, finishing: None };
        connections.all.insert(number, watched);
        if self.max_per_address.is_some() {
            connections.by_address.insert(address, taken + 1);
        }
        self.counts.accepted.fetch_add(1, Relaxed);
        Ok(Place { connection })
    }

    pub(crate) fn leave(&self, connection: &Connection) {
        self.counts.freed.fetch_add(1, Relaxed);
        let mut connections = self.lock();
        connections.all.remove(&connection.number);
        if let Some(count) = connections.by_address.get_mut(&connection.address) {
            *count -= 1;
            if *count == 0 {
                connections.by_address.remove(&connection.address);
            }
        }
    }

    /// How many connections there are, and were.
    pub(crate) fn counts(&self) -> ConnectionCounts {
        let (open, at_rest) = {
            let connections = self.lock();
            let at_rest = connections.all.values().filter(|watched| watched.connection.rests()).count();
            (connections.all.len() as u64, at_rest as u64)
        };
        self.counts.with(open, at_rest)
    }

    /// Goes round until it is dropped.
    pub(crate) async fn watch(&self, give_back: Option<fn()>) {
        let mut not_before = Instant::now() + GIVE_BACK_AFTER;
        let mut rounds = tokio::time::interval(ROUND);
        rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            rounds.tick().await;
            let now = milliseconds(self.began.elapsed());
            let passed = now.saturating_sub(self.clock.swap(now, Relaxed));
            self.look(Duration::from_millis(passed));
            if let Some(give_back) = give_back
                && Instant::now() > not_before
                && self.counts.freed.load(Relaxed) >= MANY
            {
                self.counts.freed.store(0, Relaxed);
                let began = Instant::now();
                drop(tokio::task::spawn_blocking(give_back).await);
                not_before = Instant::now() + GIVE_BACK_AFTER.max(began.elapsed() * SELDOM);
            }
        }
    }

    /// Looks at all of them.
    fn look(&self, passed: Duration) {
        let mut connections = self.lock();
        for watched in connections.all.values_mut() {
            let order = self.judge(watched, passed);
            let connection = &watched.connection;
            let takes_long = connection.works() && connection.quiet() > LONG;
            if order == Order::Nothing && (takes_long || connection.may_rest() || connection.lingered()) {
                watched.connection.look();
            }
            match order {
                Order::Nothing => continue,
                Order::Finish => drop(watched.finishing.get_or_insert(self.now())),
                Order::End | Order::Cut if !watched.connection.is_ended() => {
                    self.counts.cut_off.fetch_add(1, Relaxed);
                }
                Order::End | Order::Cut | Order::Refuse => {}
            }
            watched.connection.tell(order);
        }
    }

    fn judge(&self, watched: &mut Watched, passed: Duration) -> Order {
        let connection = &watched.connection;
        let written = connection.written.load(Relaxed);
        watched.allowance.earn(written - std::mem::replace(&mut watched.written, written));
        if connection.waits_for_reader() && !watched.allowance.wait(passed) {
            return Order::Cut;
        }
        if connection.pings.swap(0, Relaxed) > MOST_PINGS {
            return Order::Cut;
        }
        let rest = connection.at_rest();
        let overstayed = |since: u64| self.now().saturating_sub(since) > LINGER;
        if watched.finishing.is_some_and(|since| rest && overstayed(since))
            && !matches!(connection.phase(), Phase::Upgraded | Phase::Leaving)
        {
            return Order::End;
        }
        match connection.phase() {
            Phase::Handshake if connection.lasted() > self.limits.handshake => Order::Cut,
            Phase::Head if rest && connection.lasted() > self.limits.head => Order::Refuse,
            // No other request of the connection goes on meanwhile.
            Phase::Frame if connection.lasted() > self.limits.head => Order::Cut,
            Phase::Idle | Phase::Open if rest && connection.lasted() > self.limits.idle => Order::Finish,
            Phase::Refused if rest && connection.lasted() > LINGER => Order::Cut,
            _ => Order::Nothing,
        }
    }

    /// Tells all connections to end, and waits until they have; those of other protocols are not waited for.
    pub(crate) async fn dismiss(&self) {
        for watched in self.lock().all.values_mut() {
            watched.finishing.get_or_insert(self.now());
            watched.connection.tell(Order::Finish);
        }
        while self.lock().all.values().any(|watched| watched.connection.phase() != Phase::Upgraded) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watchman(change: impl FnOnce(&mut HttpConfig)) -> Arc<Watchman> {
        let mut config = HttpConfig::default();
        change(&mut config);
        Arc::new(Watchman::new(&config))
    }

    fn pass(watchman: &Watchman, seconds: u64) {
        watchman.clock.fetch_add(seconds * 1000, Relaxed);
        watchman.look(Duration::from_secs(seconds));
    }

    fn load() -> Load {
        Load::of(&Arc::default())
    }

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn places_are_counted_by_address_too() {
        let watchman = watchman(|config| {
            config.connections.max = 3;
            config.connections.max_per_address = Some(2);
        });
        let other: IpAddr = "10.0.0.1".parse().expect("an address");
        let mine = [watchman.enter(HERE, Phase::Idle, load()), watchman.enter(HERE, Phase::Idle, load())];
        assert!(mine.iter().all(Result::is_ok));
        assert_eq!(watchman.enter(HERE, Phase::Idle, load()).err(), Some(Full::Address));
        let theirs = watchman.enter(other, Phase::Idle, load());
        assert_eq!(watchman.enter(other, Phase::Idle, load()).err(), Some(Full::Server));
        drop((mine, theirs));
        let counts = watchman.counts();
        assert_eq!((counts.open, counts.accepted, counts.refused), (0, 3, 2));
        assert!(watchman.lock().by_address.is_empty());
    }

    #[test]
    fn each_phase_has_its_limit() {
        let watchman = watchman(|_| ());
        let told = |phase: Phase, seconds: u64| {
            let place = watchman.enter(HERE, Phase::Idle, load()).expect("a place");
            place.connection.enter(phase);
            pass(&watchman, seconds);
            place.connection.order()
        };
        for (phase, limit, order) in [
            (Phase::Handshake, 10, Order::Cut),
            (Phase::Head, 10, Order::Refuse),
            (Phase::Frame, 10, Order::Cut),
            (Phase::Idle, 75, Order::Finish),
            (Phase::Open, 75, Order::Finish),
            (Phase::Refused, 2, Order::Cut),
        ] {
            assert_eq!(told(phase, limit), Order::Nothing, "{phase:?}");
            assert_eq!(told(phase, limit + 1), order, "{phase:?}");
        }
        assert_eq!(told(Phase::Body, 1000), Order::Nothing);
        assert_eq!(told(Phase::Leaving, 1000), Order::Nothing);
        assert_eq!(told(Phase::Upgraded, 1000), Order::Nothing);
    }

    #[test]
    fn who_was_told_of_the_end_is_waited_for_as_long_as_it_sends() {
        let watchman = watchman(|_| ());
        let place = watchman.enter(HERE, Phase::Idle, load()).expect("a place");
        let lingered = |seconds: u64, sends: bool| {
            place.connection.enter(Phase::Idle);
            for _ in 0..seconds {
                if sends || place.connection.phase() == Phase::Idle {
                    place.connection.enter(Phase::Leaving);
                }
                pass(&watchman, 1);
            }
            place.connection.lingered()
        };
        let told = [lingered(2, false), lingered(3, false), lingered(10, true), lingered(11, true)];
        assert_eq!(told, [false, true, false, true]);
        // A stop waits for no one for long, and what is sent stays sent.
        watchman.lock().all.values_mut().for_each(|watched| watched.finishing = Some(0));
        place.connection.tell(Order::Finish);
        assert_eq!([lingered(2, true), lingered(3, true)], [false, true]);
        assert!(!place.connection.is_cut());
        // Nor is it taken back from who does not hear that the connection is to end.
        place.connection.enter(Phase::Open);
        pass(&watchman, 1);
        assert_eq!(place.connection.order(), Order::End);
    }

    #[test]
    fn a_client_that_pings_without_end_is_cut_off() {
        let watchman = watchman(|_| ());
        let place = watchman.enter(HERE, Phase::Open, load()).expect("a place");
        for _ in 0..10 {
            place.connection.pinged(MOST_PINGS);
            pass(&watchman, 1);
        }
        assert_eq!(place.connection.order(), Order::Nothing);
        place.connection.pinged(1);
        place.connection.pinged(MOST_PINGS);
        pass(&watchman, 1);
        assert!(place.connection.is_cut());
    }

    #[test]
    fn a_client_that_does_not_take_its_answer_is_cut_off_and_a_slow_handler_is_not_its_fault() {
        let watchman = watchman(|_| ());
        let place = watchman.enter(HERE, Phase::Idle, load()).expect("a place");
        let mut request = place.connection.begin();
        pass(&watchman, 1000);
        assert_eq!(place.connection.order(), Order::Nothing);
        request.answered();
        for _ in 0..100 {
            place.connection.wrote(1024);
            pass(&watchman, 1);
        }
        assert_eq!(place.connection.order(), Order::Nothing);
        for _ in 0..10 {
            place.connection.wrote(1);
            pass(&watchman, 1);
        }
        assert!(place.connection.is_cut());
        assert_eq!(watchman.counts().cut_off, 1);
    }
}
