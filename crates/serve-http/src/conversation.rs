//! What is spoken on a connection: HTTP/1.1 or HTTP/2, whichever the client begins with, until one side ends it.
//!
//! A connection over HTTP/1.1 on which nothing happens for a while is put to rest: its parser is given up with its buffers,
//! 16 KiB, and made anew when something comes.

use std::convert::Infallible;
use std::error::Error;
use std::future::{Future, poll_fn, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tracing::debug;

use crate::config::HttpConfig;
use crate::connection::{Connection, Order, Phase};
use crate::wire::Wire;

/// What a client that speaks HTTP/2 begins with (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Answers that one HTTP/2 stream may have under way; more waits with the body.
const STREAM_BUFFER: usize = 64 << 10;

/// What is spoken here, and how.
#[derive(Debug, Clone)]
pub(crate) struct Protocols {
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
}

/// How a client begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beginning {
    Http1,
    Http2,
    /// Not at all.
    Nothing,
}

/// How a stretch of HTTP/1.1 ends.
enum Stretch {
    /// With the connection.
    End,
    /// With silence.
    Rest,
}

impl Protocols {
    pub(crate) fn new(config: &HttpConfig, header_bytes: usize) -> Self {
        let mut http1 = http1::Builder::new();
        // Heads and pauses are the watchman's.
        http1.header_read_timeout(None::<Duration>);
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(config.http2.max_streams)
            // A head that is a little too large is answered by us, one that is much too large by the protocol.
            .max_header_list_size(u32::try_from(header_bytes).unwrap_or(u32::MAX).saturating_mul(2))
            .max_pending_accept_reset_streams(20)
            .max_local_error_reset_streams(256)
            .max_send_buf_size(STREAM_BUFFER)
            .keep_alive_interval(Some(config.http2.ping_interval))
            .keep_alive_timeout(config.http2.ping_interval);
        Self { http1, http2 }
    }

    /// Has requests answered by `service` until one side ends the connection, or it is told to end.
    pub(crate) async fn speak<S, B>(&self, mut wire: Wire, connection: Arc<Connection>, service: S)
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
        S::Future: Send + 'static,
        B: Body<Data = Bytes, Error: Error + Send + Sync> + Send + 'static,
    {
        let beginning = begun(&mut wire, &connection).await;
        connection.wake_up();
        match beginning {
            Beginning::Http1 => self.speak_http1(wire, &connection, service).await,
            Beginning::Http2 => {
                let served = Box::pin(self.http2.serve_connection(TokioIo::new(wire), service));
                until_ended(served, &connection, http2::Connection::graceful_shutdown, || false).await;
            }
            Beginning::Nothing => {}
        }
    }

    async fn speak_http1<S, B>(&self, mut wire: Wire, connection: &Connection, mut service: S)
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
        B: Body<Data = Bytes, Error: Error + Send + Sync> + 'static,
    {
        loop {
            let mut served = Box::new(self.http1.serve_connection(TokioIo::new(wire), service));
            let may_rest = || connection.may_rest();
            let finish = http1::Connection::graceful_shutdown;
            let stretch = until_ended(Pin::new(&mut *served), connection, finish, may_rest).await;
            let parts = served.into_parts();
            (wire, service) = (parts.io.into_inner(), parts.service);
            wire.put_back(parts.read_buf);
            if matches!(stretch, Stretch::End) {
                return if connection.phase() == Phase::Upgraded {
                    connection.hand_over(wire);
                } else {
                    leave(&mut wire, connection).await;
                };
            }
            connection.rest();
            if !rested(&wire, connection).await {
                return;
            }
            connection.wake_up();
        }
    }
}

/// Serves until the end, or, where it may, until the connection is to rest.
async fn until_ended<F, P>(
    mut served: Pin<P>,
    connection: &Connection,
    finish: fn(Pin<&mut F>),
    may_rest: impl Fn() -> bool,
) -> Stretch
where
    P: std::ops::DerefMut<Target = F>,
    F: Future<Output = hyper::Result<()>>,
{
    let told = |ended: hyper::Result<()>| {
        if let Err(error) = ended {
            debug!(%error, "a connection ended");
        }
        Stretch::End
    };
    // Told before there was a parser.
    if connection.order() == Order::Finish {
        if let Some(ended) = looked_once_more(served.as_mut()).await {
            return told(ended);
        }
        finish(served.as_mut());
    }
    loop {
        tokio::select! {
            // Who is told something is woken, so that comes next at the latest; chance costs time.
            biased;
            ended = served.as_mut() => return told(ended),
            order = connection.told() => match order {
                Order::End | Order::Cut => return Stretch::End,
                Order::Finish => {
                    if let Some(ended) = looked_once_more(served.as_mut()).await {
                        return told(ended);
                    }
                    finish(served.as_mut());
                }
                Order::Nothing if may_rest() => return Stretch::Rest,
                // Looking at the connection again is all it takes.
                Order::Nothing | Order::Refuse => {}
            },
        }
    }
}

/// Has a connection look for what has come before it is told to finish: without a request under way it ends at once. First the
/// event loop gets to notice.
async fn looked_once_more<F: Future>(mut served: Pin<&mut F>) -> Option<F::Output> {
    tokio::task::yield_now().await;
    poll_fn(|context| match served.as_mut().poll(context) {
        Poll::Ready(ended) => Poll::Ready(Some(ended)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// Ends a connection in order, where its parser has not done so: after an error, or where another protocol was asked for.
async fn leave(wire: &mut Wire, connection: &Connection) {
    while !connection.is_ended() {
        tokio::select! {
            biased;
            _ = wire.shutdown() => return,
            _ = connection.told() => {}
        }
    }
}

/// Waits until something comes, and says whether there is something to be done about it.
async fn rested(wire: &Wire, connection: &Connection) -> bool {
    loop {
        tokio::select! {
            biased;
            ready = wire.readable() => return ready.is_ok(),
            order = connection.told() => match order {
                Order::End | Order::Cut => return false,
                Order::Finish => return true,
                Order::Nothing | Order::Refuse => {}
            },
        }
    }
}

/// Reads as much as it takes to tell how a client begins, and puts it back.
async fn begun(wire: &mut Wire, connection: &Connection) -> Beginning {
    let mut first = [0; PREFACE.len()];
    let mut known = 0;
    let mut finishing = false;
    let beginning = loop {
        tokio::select! {
            biased;
            read = wire.read(&mut first[known..]) => match read {
                Ok(0) if known > 0 => break Beginning::Http1,
                Ok(0) | Err(_) => return Beginning::Nothing,
                Ok(read) => known += read,
            },
            () = ready(()), if finishing => break Beginning::Http1,
            order = connection.told() => match order {
                Order::End | Order::Cut => return Beginning::Nothing,
                Order::Finish => {
                    // What has come already is looked at once more.
                    tokio::task::yield_now().await;
                    finishing = true;
                }
                Order::Nothing | Order::Refuse => {}
            },
        }
        if first[..known] != PREFACE[..known] {
            break Beginning::Http1;
        }
        if known == PREFACE.len() {
            break Beginning::Http2;
        }
    };
    wire.put_back(Bytes::copy_from_slice(&first[..known]));
    beginning
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::io::{Read, Write};
    use std::net::Shutdown;

    use http_body_util::{BodyExt as _, Full};
    use hyper::service::service_fn;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::event_loops::Load;
    use crate::owed::Owed;
    use crate::transport::Transport;
    use crate::watchman::Watchman;
    use crate::wire::HeadLimits;

    const ASKED: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

    fn asking_for(protocol: &str) -> Vec<u8> {
        let headers = format!("Connection: upgrade\r\nUpgrade: {protocol}\r\n\r\n");
        [&ASKED[..ASKED.len() - 2], headers.as_bytes()].concat()
    }

    /// A connection that is served by a task of its own, with its client.
    async fn served() -> (std::net::TcpStream, Arc<Connection>, tokio::task::JoinHandle<()>) {
        served_by(|_| ready(Bytes::from_static(b"answered"))).await
    }

    /// One whose answers' bodies are those of `answer`.
    async fn served_by<F>(
        answer: impl Fn(Request<Incoming>) -> F + Send + 'static,
    ) -> (std::net::TcpStream, Arc<Connection>, tokio::task::JoinHandle<()>)
    where
        F: Future<Output = Bytes> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
        let client = std::net::TcpStream::connect(listener.local_addr().expect("has one")).expect("connects");
        client.set_read_timeout(Some(Duration::from_secs(10))).expect("an option");
        let (socket, address): (TcpStream, _) = listener.accept().await.expect("accepts");
        let config = HttpConfig::default();
        let watchman = Arc::new(Watchman::new(&config));
        let watching = Arc::clone(&watchman);
        tokio::spawn(async move { watching.watch(None).await });
        let load = Load::of(&Arc::default());
        let place = watchman.enter(address.ip(), Phase::Idle, load).expect("a place");
        let connection = Arc::clone(&place.connection);
        let limits = HeadLimits { header_bytes: 8192, uri_bytes: 1024 };
        let wire = Wire::new(Transport::Plain(socket), place, limits, 0);
        let theirs = Arc::clone(&connection);
        let service = service_fn(move |request| {
            let (mut under_way, answer) = (theirs.begin(), answer(request));
            async move {
                let answer = answer.await;
                under_way.answered();
                Ok::<_, Infallible>(Response::new(Owed::new(Full::new(answer), under_way, false)))
            }
        });
        let (protocols, theirs) = (Protocols::new(&config, 8192), Arc::clone(&connection));
        let speaking = tokio::spawn(async move { protocols.speak(wire, theirs, service).await });
        (client, connection, speaking)
    }

    /// All that comes until the end.
    fn rest_of(mut client: std::net::TcpStream) -> String {
        let mut text = String::new();
        client.read_to_string(&mut text).expect("ends in order");
        text
    }

    #[tokio::test]
    async fn what_has_come_is_answered_before_a_connection_ends() {
        // One that has said nothing yet; one in the middle of what tells the protocols apart; one that was answered before.
        for (before, asked) in
            [(&b""[..], ASKED), (&b"P"[..], &b"UT / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..]), (ASKED, ASKED)]
        {
            let (mut client, connection, speaking) = served().await;
            client.write_all(before).expect("is open");
            for _ in 0..20 {
                tokio::task::yield_now().await;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            client.write_all(asked).expect("is open");
            // The event loop has heard of neither.
            connection.tell(Order::Finish);
            let answers = tokio::task::spawn_blocking(|| rest_of(client).matches("answered").count());
            let answers = answers.await.expect("is read");
            speaking.await.expect("ends");
            assert_eq!(answers, if before == ASKED { 2 } else { 1 }, "{before:?}");
        }
    }

    #[tokio::test]
    async fn who_closes_the_sending_side_alone_is_answered() {
        for asked in [ASKED.to_vec(), [ASKED, ASKED].concat()] {
            let (mut client, _, speaking) = served().await;
            client.write_all(&asked).expect("is open");
            client.shutdown(Shutdown::Write).expect("is open");
            speaking.await.expect("ends");
            assert_eq!(rest_of(client).matches("answered").count(), asked.len() / ASKED.len());
        }
        // An answer that does not go out at once is sent whole.
        let (mut client, _, speaking) = served_by(|_| ready(vec![b'x'; 8 << 20].into())).await;
        client.write_all(ASKED).expect("is open");
        client.shutdown(Shutdown::Write).expect("is open");
        let rest = tokio::task::spawn_blocking(|| rest_of(client).len());
        assert!(rest.await.expect("is read") > 8 << 20);
        speaking.await.expect("ends");
    }

    #[tokio::test]
    async fn nobody_waits_for_an_answer_to_a_client_that_is_gone() {
        let upgrade = asking_for("websocket");
        // Whatever lies behind the request, and whether that came with it.
        for behind in [&b""[..], b"\r\n", b"GET / HT", ASKED, &upgrade, &[&upgrade, &[0x81, 0][..]].concat()]
        {
            for apart in [false, true] {
                for gone in [true, false] {
                    let (mut client, connection, speaking) = served_by(|_| pending()).await;
                    if apart {
                        client.write_all(ASKED).expect("is open");
                        while !connection.works() {
                            tokio::task::yield_now().await;
                        }
                        client.write_all(behind).expect("is open");
                    } else {
                        client.write_all(&[ASKED, behind].concat()).expect("is open");
                    }
                    if gone {
                        drop(client);
                    } else {
                        client.shutdown(Shutdown::Write).expect("is open");
                    }
                    let ended = tokio::time::timeout(Duration::from_secs(10), speaking).await;
                    assert!(ended.is_ok() && !connection.works(), "{apart} {gone} {behind:?}");
                }
            }
        }
    }

    #[tokio::test]
    async fn another_protocol_is_asked_for_behind_requests() {
        for before in [1, 2, 5] {
            let (mut client, _, speaking) = served().await;
            client.write_all(&[ASKED.repeat(before), asking_for("websocket")].concat()).expect("is open");
            let told = tokio::task::spawn_blocking(move || {
                let mut told = Vec::new();
                let mut piece = [0; 1024];
                while String::from_utf8_lossy(&told).matches("answered").count() <= before {
                    match client.read(&mut piece) {
                        Ok(read) if read > 0 => told.extend_from_slice(&piece[..read]),
                        other => unreachable!("{other:?} after {told:?}"),
                    }
                }
            });
            told.await.expect("all have their answers");
            speaking.await.expect("ends");
        }
    }

    #[tokio::test]
    async fn what_was_answered_reaches_who_still_sends_when_the_connection_ends() {
        let last = [&ASKED[..ASKED.len() - 2], b"Connection: close\r\n\r\n"].concat();
        let long = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n";
        let long = [&long[..], &vec![b'x'; 1_000_000]].concat();
        // Requests behind the last one; a body that is answered unread; one that nobody answers a client that ends.
        for (asked, ends) in [
            ([&last[..], &long].concat(), false),
            ([ASKED, ASKED, &last, &long].concat(), false),
            ([ASKED, ASKED, &long[..500_000]].concat(), false),
            ([ASKED, ASKED, &long, &long[..500_000]].concat(), true),
        ] {
            let answered = asked.windows(ASKED.len() - 2).filter(|window| ASKED.starts_with(window)).count();
            let (mut client, connection, speaking) =
                served_by(move |request: Request<Incoming>| async move {
                    match *request.method() {
                        http::Method::POST if ends => {
                            drop(request.into_body().collect().await);
                            pending().await
                        }
                        http::Method::POST => Bytes::new(),
                        _ => vec![b'x'; 100_000].into(),
                    }
                })
                .await;
            let sent = tokio::task::spawn_blocking(move || {
                client.write_all(&asked).expect("is taken");
                if ends {
                    client.shutdown(Shutdown::Write).expect("is open");
                }
                client
            });
            let client = sent.await.expect("is sent");
            let leaves = async {
                while connection.phase() != Phase::Leaving && !speaking.is_finished() {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            };
            let left = tokio::time::timeout(Duration::from_secs(10), leaves).await;
            assert!(left.is_ok(), "{answered} {ends} {:?}", connection.phase());
            let told = tokio::task::spawn_blocking(|| rest_of(client).len());
            let told = told.await.expect("is read");
            assert!(told > answered * 100_000, "{answered} {ends} {told}");
            speaking.await.expect("ends");
        }
    }

    #[tokio::test]
    async fn who_asks_nothing_is_let_go() {
        let (client, connection, speaking) = served().await;
        connection.tell(Order::Finish);
        speaking.await.expect("ends");
        assert_eq!(rest_of(client), "");
    }
}
