//! Bodies that are under way, over all connections: how many bytes of them the server holds, and a bound on that
//! (`http.max_bodies_bytes`). Who would take more is refused at once, so that memory is bounded however many clients send.
//!
//! Short bodies are not counted: counting them would have all threads wait for one number, and what they take is bounded by
//! the connections and streams that there may be.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serve_app::metrics::Page;
use serve_app::{Code, ServiceError};
use serve_core::ByteSize;

use crate::failure::Failure;

/// Bodies of so many bytes are not counted.
const SHORT: usize = 16 << 10;

/// All bodies that are under way.
#[derive(Debug)]
pub(crate) struct Bodies {
    most: u64,
    held: AtomicU64,
    refused: AtomicU64,
}

/// What one request holds of them, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Room {
    bodies: Arc<Bodies>,
    bytes: u64,
}

impl Bodies {
    pub(crate) fn new(most: ByteSize) -> Arc<Self> {
        Arc::new(Self { most: most.0, held: AtomicU64::new(0), refused: AtomicU64::new(0) })
    }

    /// Refuses a body that is announced to be longer than what there is room for, before any of it is read.
    ///
    /// # Errors
    /// 503.
    pub(crate) fn expect(&self, bytes: u64) -> Result<(), Failure> {
        let room = self.most.saturating_sub(self.held.load(Relaxed));
        if bytes > SHORT as u64 && bytes > room { Err(self.refuse()) } else { Ok(()) }
    }

    /// Sees to it that a request has room for so many bytes; `room` is none as long as they are few.
    ///
    /// # Errors
    /// 503 where there is none.
    pub(crate) fn hold(self: &Arc<Self>, room: &mut Option<Room>, bytes: usize) -> Result<(), Failure> {
        if bytes <= SHORT && room.is_none() {
            return Ok(());
        }
        let room = room.get_or_insert_with(|| Room { bodies: Arc::clone(self), bytes: 0 });
        let more = (bytes as u64).saturating_sub(room.bytes);
        let taken = |held: u64| held.checked_add(more).filter(|held| *held <= self.most);
        self.held.fetch_update(Relaxed, Relaxed, taken).map_err(|_| self.refuse())?;
        room.bytes += more;
        Ok(())
    }

    fn refuse(&self) -> Failure {
        self.refused.fetch_add(1, Relaxed);
        let most = ByteSize(self.most);
        let message = format!(
            "the server is overloaded: the bodies of requests under way are up to their limit of {most} (http.max_bodies_bytes)"
        );
        ServiceError::new(Code::Overloaded, message).into()
    }

    pub(crate) fn tell(&self, page: &mut Page) {
        let help = "Bytes of request bodies that are held, short ones left out.";
        page.gauge("http_bodies_bytes", help, &[], self.held.load(Relaxed) as f64);
        let help = "Bytes of request bodies that may be held.";
        page.gauge("http_bodies_max_bytes", help, &[], self.most as f64);
        let help = "Requests refused because all bodies together would take more than is allowed.";
        page.counter("http_bodies_refused_total", help, &[], self.refused.load(Relaxed));
    }
}

impl Room {
    /// Gives back what is over `bytes`.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        let over = self.bytes.saturating_sub(bytes as u64);
        self.bytes -= over;
        self.bodies.held.fetch_sub(over, Relaxed);
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.bodies.held.fetch_sub(self.bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_never_exceeds_the_bound_and_is_given_back() {
        let bodies = Bodies::new(ByteSize(100 << 10));
        let held = || bodies.held.load(Relaxed);
        let (mut short, mut one, mut two) = (None, None, None);
        bodies.hold(&mut short, SHORT).expect("is not counted");
        assert!(short.is_none() && held() == 0);
        bodies.hold(&mut one, 40 << 10).expect("there is room");
        bodies.hold(&mut one, 60 << 10).expect("there is room");
        assert_eq!(held(), 60 << 10);
        bodies.hold(&mut two, 40 << 10).expect("there is room");
        let refused = bodies.hold(&mut two, (40 << 10) + 1).expect_err("there is none");
        assert_eq!(refused.entry()["code"], "overloaded");
        assert!(bodies.expect(SHORT as u64 + 1).is_err() && bodies.expect(SHORT as u64).is_ok());
        assert_eq!(held(), 100 << 10, "what was had is kept until the request ends");
        one.as_mut().expect("was taken").shrink(10 << 10);
        assert_eq!(held(), 50 << 10);
        drop((one, two));
        assert_eq!((held(), bodies.refused.load(Relaxed)), (0, 2));
    }
}
