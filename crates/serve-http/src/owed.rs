//! An answer's body, watched until the client has taken it.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use crate::connection::UnderWay;

/// Over HTTP/2 a body goes in pieces of this size: a piece is handed to the protocol whole, whatever the client takes, and
/// only what is not handed over yet is known to be owed.
const PIECE: usize = 16 << 10;

/// A body that is known to be under way for as long as it lives.
#[derive(Debug)]
pub(crate) struct Owed<B> {
    body: B,
    _request: UnderWay,
    in_pieces: bool,
    rest: Bytes,
}

impl<B> Owed<B> {
    pub(crate) fn new(body: B, request: UnderWay, in_pieces: bool) -> Self {
        Self { body, _request: request, in_pieces, rest: Bytes::new() }
    }

    fn piece(&mut self) -> Bytes {
        let length = self.rest.len().min(PIECE);
        self.rest.split_to(length)
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Owed<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        if !this.rest.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(this.piece()))));
        }
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        match polled {
            Poll::Ready(Some(Ok(frame))) if this.in_pieces => match frame.into_data() {
                Ok(data) => {
                    this.rest = data;
                    Poll::Ready(Some(Ok(Frame::data(this.piece()))))
                }
                Err(other) => Poll::Ready(Some(Ok(other))),
            },
            other => other,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.rest.is_empty() {
            return self.body.size_hint();
        }
        let mut hint = self.body.size_hint();
        let rest = self.rest.len() as u64;
        hint.set_lower(hint.lower() + rest);
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}
