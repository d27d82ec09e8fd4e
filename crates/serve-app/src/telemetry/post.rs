//! A POST of JSON to a collector: HTTP/1.1, a connection each, and of the answer only its status.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The longest status line that is read.
const LONGEST: usize = 64;

/// A collector's URL, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// `host:port`.
    authority: String,
    path: String,
}

impl Endpoint {
    /// `http://host[:port][/path]`; the port is OTLP's where none is said.
    pub(super) fn of(url: &str) -> Result<Self, String> {
        let refused = |why: &str| Err(format!("expected http://HOST:4318/v1/traces, got {url:?}: {why}"));
        let Some(rest) = url.strip_prefix("http://") else {
            return refused("only http is spoken; a collector beside the server forwards over TLS");
        };
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, "/v1/traces"),
        };
        if authority.is_empty() || authority.contains('@') {
            return refused("there is no host, or a password with it");
        }
        if !rest.bytes().all(|byte| byte.is_ascii_graphic()) {
            return refused("a URL is ASCII without spaces");
        }
        let port = authority.rsplit_once(':').filter(|(_, port)| !port.ends_with(']'));
        let authority = match port {
            Some((_, port)) if port.parse::<u16>().is_err() => return refused("the port is none"),
            Some(_) => authority.to_owned(),
            None => format!("{authority}:4318"),
        };
        Ok(Self { authority, path: path.to_owned() })
    }

    /// Sends a body. What is not answered with 2xx failed.
    pub(super) async fn post(&self, body: &[u8]) -> Result<(), String> {
        let Self { authority, path } = self;
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {authority}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
             connection: close\r\n\r\n",
            body.len()
        );
        let failed = |error: std::io::Error| format!("{authority}: {error}");
        let mut stream = TcpStream::connect(authority).await.map_err(failed)?;
        stream.write_all(head.as_bytes()).await.map_err(failed)?;
        stream.write_all(body).await.map_err(failed)?;
        let mut line = Vec::new();
        while line.len() < LONGEST && !line.contains(&b'\n') {
            if stream.read_buf(&mut line).await.map_err(failed)? == 0 {
                break;
            }
        }
        let line = String::from_utf8_lossy(&line);
        let status = line.split(' ').nth(1).unwrap_or_default();
        if status.len() == 3 && status.starts_with('2') {
            return Ok(());
        }
        Err(format!("{authority} answered {:?}", line.lines().next().unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let of =
            |url: &str| Endpoint::of(url).map(|Endpoint { authority, path }| format!("{authority} {path}"));
        assert_eq!(of("http://h:1/v1/traces").as_deref(), Ok("h:1 /v1/traces"));
        assert_eq!(of("http://h").as_deref(), Ok("h:4318 /v1/traces"));
        assert_eq!(of("http://[::1]/x").as_deref(), Ok("[::1]:4318 /x"));
        for url in
            ["https://h", "h:4318", "http://", "http:///x", "http://h:x/", "http://u:p@h/", "http://h/ x"]
        {
            assert!(of(url).is_err(), "{url}");
        }
    }
}
