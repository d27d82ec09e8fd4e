//! A running server, asked over HTTP/1.1 or HTTP/2, with TLS where its URL says so.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use serve_app::{Exit, ExitReason};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::args::remote::Remote as Options;

mod trust;

/// A server, and how to get in.
pub(crate) struct Remote {
    host: String,
    port: u16,
    /// What stands before every path: a prefix of the URL, without a slash at its end.
    prefix: String,
    headers: HeaderMap,
    tls: Option<TlsConnector>,
    timeout: Duration,
    http2: bool,
}

/// An open connection, with one request at a time.
pub(crate) struct Connection<'r> {
    remote: &'r Remote,
    sender: Sender,
}

enum Sender {
    One(http1::SendRequest<Full<Bytes>>),
    Two(http2::SendRequest<Full<Bytes>>),
}

/// What a server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// When to ask again, where it says so.
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: Bytes,
}

impl Answer {
    /// The body as text, cut where it is long.
    pub(crate) fn excerpt(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        let short: String = text.chars().take(300).collect();
        if short.len() < text.len() { format!("{short}…") } else { short }
    }
}

/// A request that is sent as often as it is needed.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Ask {
    /// A GET.
    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self { method: Method::GET, path: path.into(), headers: HeaderMap::new(), body: Bytes::new() }
    }

    /// A request with a JSON body.
    pub(crate) fn json(method: Method, path: impl Into<String>, body: impl Into<Bytes>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Self { method, path: path.into(), headers, body: body.into() }
    }
}

impl Remote {
    /// Whether it is asked with a key or a token.
    pub(crate) fn has_key(&self) -> bool {
        self.headers.contains_key(header::AUTHORIZATION)
    }

    /// The server that the options name. Nothing is connected yet.
    pub(crate) fn new(options: &Options, http2: bool) -> Result<Self, Exit> {
        let usage = |message: String| Exit::told(ExitReason::Usage, message);
        let url = &options.url;
        let tls = match url.scheme_str() {
            Some("http") => None,
            Some("https") => Some(TlsConnector::from(Arc::new(trust::config(options.ca.as_deref(), http2)?))),
            _ => return Err(usage(format!("{url}: expected a URL such as http://127.0.0.1:8000"))),
        };
        let host = url.host().ok_or_else(|| usage(format!("{url}: it names no host")))?;
        let port = url.port_u16().unwrap_or(if tls.is_some() { 443 } else { 80 });
        let mut headers = HeaderMap::new();
        let authority = url.authority().map_or(host, http::uri::Authority::as_str);
        headers.insert(header::HOST, value("the host", authority)?);
        if let Some(key) = &options.key {
            let mut bearer = value("--key", &format!("Bearer {key}"))?;
            bearer.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, bearer);
        }
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
            prefix: url.path().trim_end_matches('/').to_owned(),
            headers,
            tls,
            timeout: options.timeout,
            http2,
        })
    }

    /// Connects, within the time limit.
    pub(crate) async fn connect(&self) -> Result<Connection<'_>, String> {
        let connecting = tokio::time::timeout(self.timeout, self.open());
        let sender = connecting.await.map_err(|_| "connecting takes too long".to_owned())??;
        Ok(Connection { remote: self, sender })
    }

    async fn open(&self) -> Result<Sender, String> {
        let stream = TcpStream::connect((self.host.as_str(), self.port))
            .await
            .map_err(|error| format!("cannot connect to {}:{}: {error}", self.host, self.port))?;
        // Requests are small and wanted at once.
        drop(stream.set_nodelay(true));
        let Some(tls) = &self.tls else { return self.handshake(stream).await };
        let name = ServerName::try_from(self.host.clone()).map_err(|error| error.to_string())?;
        let stream = tls.connect(name, stream).await.map_err(|error| format!("no TLS: {error}"))?;
        self.handshake(stream).await
    }

    async fn handshake(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> Result<Sender, String> {
        let told = |error: hyper::Error| format!("the connection fails: {error}");
        if self.http2 {
            let (sender, connection) =
                http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.map_err(told)?;
            tokio::spawn(connection);
            return Ok(Sender::Two(sender));
        }
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(told)?;
        tokio::spawn(connection);
        Ok(Sender::One(sender))
    }

    fn request(&self, ask: &Ask) -> Result<Request<Full<Bytes>>, String> {
        let target = format!("{}{}", self.prefix, ask.path);
        let target = if self.http2 {
            // HTTP/2 has the scheme and the authority in the target.
            let authority = self.headers.get(header::HOST).and_then(|host| host.to_str().ok());
            let scheme = if self.tls.is_some() { "https" } else { "http" };
            format!("{scheme}://{}{target}", authority.unwrap_or_default())
        } else {
            target
        };
        let uri: Uri = target.parse().map_err(|error| format!("{target:?} is no target: {error}"))?;
        let mut request = Request::new(Full::new(ask.body.clone()));
        *request.method_mut() = ask.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = self.headers.clone();
        if self.http2 {
            request.headers_mut().remove(header::HOST);
        }
        request.headers_mut().extend(ask.headers.clone());
        Ok(request)
    }

    /// Asks once, on a connection of its own.
    pub(crate) async fn ask(&self, ask: &Ask) -> Result<Answer, String> {
        self.connect().await?.ask(ask).await
    }
}

impl Connection<'_> {
    /// Asks, within the time limit. After an error the connection is of no further use.
    pub(crate) async fn ask(&mut self, ask: &Ask) -> Result<Answer, String> {
        let request = self.remote.request(ask)?;
        let asking = async {
            let told = |error: hyper::Error| format!("no answer: {error}");
            let response = match &mut self.sender {
                Sender::One(sender) => {
                    sender.ready().await.map_err(told)?;
                    sender.send_request(request).await
                }
                Sender::Two(sender) => {
                    sender.ready().await.map_err(told)?;
                    sender.send_request(request).await
                }
            };
            let (head, body) = response.map_err(told)?.into_parts();
            let body = body.collect().await.map_err(|error| format!("the answer breaks off: {error}"))?;
            let seconds =
                head.headers.get(header::RETRY_AFTER).and_then(|after| after.to_str().ok()?.parse().ok());
            let retry_after = seconds.map(Duration::from_secs);
            Ok(Answer { status: head.status, retry_after, body: body.to_bytes() })
        };
        let late = || format!("no answer within {}", serve_core::duration::format(self.remote.timeout));
        tokio::time::timeout(self.remote.timeout, asking).await.map_err(|_| late())?
    }
}

/// A header's value.
pub(crate) fn value(what: &str, text: &str) -> Result<HeaderValue, Exit> {
    HeaderValue::from_str(text).map_err(|_| {
        Exit::told(
            ExitReason::Data,
            format!("{what} cannot stand in a header: it has characters that none may have"),
        )
    })
}
