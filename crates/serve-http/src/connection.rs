//! One connection as the watchman sees it: what it is doing, since when, and what it was told to do.
//!
//! The connection's own task notes its state here in passing, without asking for the time or setting a timer; the watchman
//! ([`crate::watchman`]) goes round four times a second, looks at all of them, and tells those that outstay to end.

use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use futures_util::task::AtomicWaker;
use tokio::sync::oneshot;

use crate::event_loops::Load;
use crate::watchman::Watchman;
use crate::wire::Wire;

/// After so long in milliseconds without a request a connection's parser is given up.
const REST: u64 = 1_000;

/// So long in milliseconds whoever is told that the connection ends may be silent.
pub(crate) const LINGER: u64 = 2_000;

/// So long they may go on to send, unless the server stops.
const LINGER_MOST: u64 = 10_000;

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// TLS is being agreed upon.
    Handshake,
    /// Between requests, or a request is being answered.
    Idle,
    /// A request's head is coming.
    Head,
    /// A request's body is coming; whoever reads it watches the time.
    Body,
    /// A request asks for another protocol.
    Asking,
    /// HTTP/2.
    Open,
    /// HTTP/2, and a head or another short frame is coming.
    Frame,
    /// Another protocol, of which nothing is known here.
    Upgraded,
    /// A head was refused: the answer is being made and sent.
    Refused,
    /// All is sent, and the client was told so; what still comes is thrown away.
    Leaving,
}

impl Phase {
    const ALL: [Self; 10] = [
        Self::Handshake,
        Self::Idle,
        Self::Head,
        Self::Body,
        Self::Asking,
        Self::Open,
        Self::Frame,
        Self::Upgraded,
        Self::Refused,
        Self::Leaving,
    ];
}

/// What a connection is told to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Order {
    Nothing,
    /// Refuse the head that does not come.
    Refuse,
    /// End after the requests under way.
    Finish,
    /// End now. What was sent stays sent.
    End,
    /// End now, and take back what the client did not take.
    Cut,
}

/// A connection's state.
#[derive(Debug)]
pub(crate) struct Connection {
    watchman: Arc<Watchman>,
    pub(crate) number: u64,
    pub(crate) address: IpAddr,
    phase: AtomicU8,
    /// When the phase began, by the watchman's clock.
    since: AtomicU64,
    /// When something last happened.
    touched: AtomicU64,
    /// Requests that a handler works on.
    pub(crate) computing: AtomicU32,
    /// Answers that the client has not taken.
    pub(crate) owed: AtomicU32,
    blocked: AtomicBool,
    pub(crate) written: AtomicU64,
    /// Since the watchman's last look, what wanted an answer and asked for nothing.
    pub(crate) pings: AtomicU32,
    order: AtomicU8,
    /// Its place in the loop that it lives on, and whether it rests: no parser is kept for it then.
    load: Load,
    /// Who takes the wire over, where another protocol was asked for.
    upgrade: Mutex<Option<oneshot::Sender<Wire>>>,
    /// Set where the connection's task has something to look at, before it is woken.
    told: AtomicBool,
    task: AtomicWaker,
}

impl Connection {
    pub(crate) fn new(
        watchman: Arc<Watchman>,
        number: u64,
        address: IpAddr,
        phase: Phase,
        load: Load,
    ) -> Self {
        let now = watchman.now();
        Self {
            watchman,
            number,
            address,
            phase: AtomicU8::new(phase as u8),
            since: AtomicU64::new(now),
            touched: AtomicU64::new(now),
            computing: AtomicU32::new(0),
            owed: AtomicU32::new(0),
            blocked: AtomicBool::new(false),
            written: AtomicU64::new(0),
            pings: AtomicU32::new(0),
            order: AtomicU8::new(Order::Nothing as u8),
            load,
            upgrade: Mutex::default(),
            told: AtomicBool::new(false),
            task: AtomicWaker::new(),
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        Phase::ALL[usize::from(self.phase.load(Relaxed))]
    }

    pub(crate) fn enter(&self, phase: Phase) {
        let now = self.watchman.now();
        self.touched.store(now, Relaxed);
        if self.phase.swap(phase as u8, Relaxed) != phase as u8 || matches!(phase, Phase::Head | Phase::Frame)
        {
            self.since.store(now, Relaxed);
        }
    }

    /// How long the phase has lasted, in milliseconds.
    pub(crate) fn lasted(&self) -> u64 {
        self.watchman.now().saturating_sub(self.since.load(Relaxed))
    }

    /// How long nothing has happened, in milliseconds.
    pub(crate) fn quiet(&self) -> u64 {
        self.watchman.now().saturating_sub(self.touched.load(Relaxed))
    }

    /// Whether a request is being answered.
    pub(crate) fn works(&self) -> bool {
        self.computing.load(Relaxed) > 0
    }

    /// Has the connection's task look at what it does.
    pub(crate) fn look(&self) {
        self.told.store(true, SeqCst);
        self.task.wake();
    }

    /// Whether nothing is asked and nothing is owed.
    pub(crate) fn at_rest(&self) -> bool {
        self.computing.load(Relaxed) == 0 && !self.waits_for_reader()
    }

    /// Whether a parser is kept for it, for nothing since long.
    pub(crate) fn may_rest(&self) -> bool {
        self.phase() == Phase::Idle && self.at_rest() && !self.rests() && self.quiet() > REST
    }

    /// Whether it has waited long enough for a client that was told of the end.
    pub(crate) fn lingered(&self) -> bool {
        let most = if self.order() == Order::Finish { LINGER } else { LINGER_MOST };
        self.phase() == Phase::Leaving && (self.quiet() > LINGER || self.lasted() > most)
    }

    /// Its parser is given up.
    pub(crate) fn rest(&self) {
        self.load.rest(true);
        self.watchman.counts.freed.fetch_add(1, Relaxed);
    }

    /// Whether it has none.
    pub(crate) fn rests(&self) -> bool {
        self.load.rests()
    }

    /// Whether an answer is to wait for the others of the loop's turn.
    pub(crate) fn sends_together(&self) -> bool {
        self.load.sends_together()
    }

    /// It has a parser.
    pub(crate) fn wake_up(&self) {
        self.load.rest(false);
    }

    /// For the request that asks for another protocol.
    pub(crate) fn upgrade(&self) -> Upgrade {
        let (sender, receiver) = oneshot::channel();
        *self.upgrade.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        Upgrade(Arc::new(Mutex::new(Some(receiver))))
    }

    /// Hands the wire to who asked for another protocol.
    pub(crate) fn hand_over(&self, wire: Wire) {
        let sender = self.upgrade.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Whoever waits no more lets it drop, which ends the connection.
        if let Some(sender) = sender {
            drop(sender.send(wire));
        }
    }

    /// Whether the client keeps the server waiting with an answer.
    pub(crate) fn waits_for_reader(&self) -> bool {
        self.blocked.load(Relaxed) || self.owed.load(Relaxed) > 0
    }

    pub(crate) fn blocked(&self, is: bool) {
        if self.blocked.load(Relaxed) != is {
            self.blocked.store(is, Relaxed);
        }
    }

    pub(crate) fn wrote(&self, bytes: usize) {
        self.written.fetch_add(bytes as u64, Relaxed);
    }

    /// So many frames came that want an answer and ask for nothing.
    pub(crate) fn pinged(&self, frames: u32) {
        if frames > 0 {
            self.pings.fetch_add(frames, Relaxed);
        }
    }

    pub(crate) fn count_refused_head(&self) {
        self.watchman.counts.heads_refused.fetch_add(1, Relaxed);
    }

    /// A request has come.
    pub(crate) fn begin(self: &Arc<Self>) -> UnderWay {
        self.computing.fetch_add(1, Relaxed);
        self.load.begin();
        UnderWay { connection: Arc::clone(self), answered: false }
    }

    /// Tells the connection what to do, unless it was told to do more.
    pub(crate) fn tell(&self, order: Order) {
        if self.order.fetch_max(order as u8, Relaxed) < order as u8 {
            self.look();
        }
    }

    /// Waits until the connection is told something. One task at a time does; it is asked whenever the task is looked at, so
    /// it costs little.
    pub(crate) async fn told(&self) -> Order {
        poll_fn(|context| {
            self.task.register(context.waker());
            if self.told.load(SeqCst) && self.told.swap(false, SeqCst) {
                return Poll::Ready(());
            }
            Poll::Pending
        })
        .await;
        self.order()
    }

    pub(crate) fn order(&self) -> Order {
        match self.order.load(Relaxed) {
            0 => Order::Nothing,
            1 => Order::Refuse,
            2 => Order::Finish,
            3 => Order::End,
            _ => Order::Cut,
        }
    }

    pub(crate) fn is_too_slow(&self) -> bool {
        self.order.load(Relaxed) == Order::Refuse as u8
    }

    /// Whether it is to end now.
    pub(crate) fn is_ended(&self) -> bool {
        self.order() >= Order::End
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.order.load(Relaxed) == Order::Cut as u8
    }
}

/// A connection that goes on in another protocol, once the answer that says so is sent.
#[derive(Debug, Clone)]
pub(crate) struct Upgrade(Arc<Mutex<Option<oneshot::Receiver<Wire>>>>);

impl Upgrade {
    /// The connection's bytes; nothing, where it ended before.
    pub(crate) async fn wire(self) -> Option<Wire> {
        let receiver = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        receiver?.await.ok()
    }
}

/// A request under way: computed, then owed, until its answer was taken or given up.
#[derive(Debug)]
pub(crate) struct UnderWay {
    connection: Arc<Connection>,
    answered: bool,
}

impl UnderWay {
    pub(crate) fn answered(&mut self) {
        self.answered = true;
        self.connection.owed.fetch_add(1, Relaxed);
        self.connection.computing.fetch_sub(1, Relaxed);
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let counter = if self.answered { &self.connection.owed } else { &self.connection.computing };
        counter.fetch_sub(1, Relaxed);
        // A head that came in the meantime was not waited for until now.
        let now = self.connection.watchman.now();
        self.connection.touched.store(now, Relaxed);
        self.connection.since.store(now, Relaxed);
    }
}

/// A connection's place among the others, which is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) connection: Arc<Connection>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connection.watchman.leave(&self.connection);
    }
}
