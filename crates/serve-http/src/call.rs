//! One request as handlers see it: path parameters, query, body, id, who asks and until when.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, header};
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serve_app::Context;

use crate::bodies::Room;
use crate::failure::Failure;
use crate::reply;
use crate::routes::{App, Parameters};
use crate::tls::ClientCertificate;

/// A request's id: the client's `X-Request-Id`, or one of ours.
#[derive(Debug, Clone)]
pub struct RequestId(pub Arc<str>);

/// Who is at the other end of a connection.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Where they connect from.
    pub address: SocketAddr,
    /// The same as it stands in the log: written once for all that a connection asks.
    pub shown: Arc<str>,
    /// Who asks: they, or whom they ask for, where they are a proxy that is believed.
    pub client: IpAddr,
    /// Where they connected to.
    pub local: SocketAddr,
    /// Whether the connection is under TLS.
    pub secure: bool,
    /// The certificate that they showed, verified.
    pub certificate: Option<Arc<ClientCertificate>>,
}

impl Peer {
    /// Whose request a proxy that is believed hands on, where that is not the proxy's own.
    #[must_use]
    pub fn forwarded(&self) -> Option<IpAddr> {
        Some(self.client).filter(|client| *client != self.address.ip().to_canonical())
    }

    /// The subject of their certificate.
    #[must_use]
    pub fn subject(&self) -> Option<&Arc<str>> {
        self.certificate.as_ref().map(|certificate| &certificate.subject)
    }
}

/// Parameters of a query, decoded.
pub type Pairs<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// One request.
#[derive(Debug)]
pub struct Call {
    /// Values of the path's `{…}`, percent-decoded.
    pub(crate) path: Parameters,
    /// Everything but the body.
    pub parts: Parts,
    /// The body.
    pub body: Bytes,
    /// Its room among all bodies that are under way.
    pub(crate) room: Option<Room>,
    /// The id.
    pub id: RequestId,
    /// Who is at the other end.
    pub peer: Peer,
    /// Who asks, until when, and where the time goes.
    pub context: Arc<Context>,
}

impl Call {
    /// The value of a `{name}` in the path.
    #[must_use]
    pub fn path(&self, name: &str) -> &str {
        self.path.get(name, self.parts.uri.path())
    }

    /// A `{name}` of the path as an identifier.
    ///
    /// # Errors
    /// 404 when it cannot be one: nothing is known under such a name.
    pub fn path_as<T: std::str::FromStr>(&self, name: &str, code: serve_app::Code) -> Result<T, Failure>
    where
        T::Err: std::fmt::Display,
    {
        let text = self.path(name);
        text.parse().map_err(|error: T::Err| serve_app::ServiceError::new(code, error.to_string()).into())
    }

    /// The query's parameters, decoded.
    ///
    /// # Errors
    /// 422 when one is not in `known`, or stands twice.
    pub fn query(&self, known: &[&str]) -> Result<Pairs<'_>, Failure> {
        let mut pairs: Pairs<'_> = Vec::new();
        for (key, value) in form_urlencoded::parse(self.parts.uri.query().unwrap_or_default().as_bytes()) {
            if !known.contains(&&*key) {
                let message =
                    format!("unknown query parameter {key:?}; expected one of {}", known.join(", "));
                return Err(Failure::invalid("unknown_parameter", message));
            }
            if pairs.iter().any(|(other, _)| *other == key) {
                return Err(Failure::invalid(
                    "duplicate_parameter",
                    format!("query parameter {key:?} stands twice"),
                ));
            }
            pairs.push((key, value));
        }
        Ok(pairs)
    }

    /// The body, which must be JSON where there is any. An empty body is no body, whatever its type.
    ///
    /// # Errors
    /// 415 when it says that it is something else.
    pub fn json_body(&self) -> Result<Option<&[u8]>, Failure> {
        if self.body.iter().all(u8::is_ascii_whitespace) {
            return Ok(None);
        }
        check_json(&self.parts.headers)?;
        Ok(Some(&self.body))
    }

    /// The body as a value; `None` where there is no body.
    ///
    /// # Errors
    /// 400, 415 or 422 when it is not one.
    pub fn json<T: DeserializeOwned>(&self) -> Result<Option<T>, Failure> {
        self.json_body()?.map(object).transpose()
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        reply::spare(mem::take(&mut self.parts.headers));
    }
}

impl App {
    /// Makes sense of a request's body: where it arrived, or, if it is long, on the threads for what takes long.
    ///
    /// # Errors
    /// As `read`; 408 when the deadline passes first.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        call: Box<Call>,
        read: impl Fn(&Call) -> Result<T, Failure> + Send + Sync + 'static,
    ) -> Result<(Box<Call>, T), Failure> {
        let (context, bytes) = (Arc::clone(&call.context), call.body.len());
        let (call, read) = self.service.read(&context, bytes, call, move |call| read(call)).await?;
        Ok((call, read?))
    }
}

/// Reads a body that is an object. A derived reader takes a list of the fields' values as well, which nobody means.
///
/// # Errors
/// 400 when it is no JSON, 422 when it has another shape.
pub(crate) fn object<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Failure> {
    let read = serde_json::from_slice(body);
    // A list that is longer than the object is not taken for JSON, so whether it is has to be asked.
    let is_list = || body.trim_ascii_start().starts_with(b"[");
    if is_list() && (read.is_ok() || serde_json::from_slice::<IgnoredAny>(body).is_ok()) {
        let message = "the body is not as expected: expected an object, got a list";
        return Err(Failure::invalid("invalid_request", message));
    }
    Ok(read?)
}

/// The same of an object within a body.
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = Object<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }
        deserializer.deserialize_map(Members(PhantomData))
    }
}

/// For `#[serde(deserialize_with)]`: a list of objects.
pub(crate) fn objects<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    let objects = Vec::<Object<T>>::deserialize(deserializer)?;
    Ok(objects.into_iter().map(|Object(object)| object).collect())
}

/// For `#[serde(deserialize_with)]`: a list of objects, or nothing.
pub(crate) fn maybe_objects<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Vec<T>>, D::Error> {
    let objects = Option::<Vec<Object<T>>>::deserialize(deserializer)?;
    Ok(objects.map(|objects| objects.into_iter().map(|Object(object)| object).collect()))
}

/// For `#[serde(deserialize_with)]`: an object, or nothing.
pub(crate) fn maybe_object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    Ok(Option::<Object<T>>::deserialize(deserializer)?.map(|Object(object)| object))
}

/// JSON, or nothing said. `curl -d` says a form, which is the most common mistake.
fn check_json(headers: &HeaderMap) -> Result<(), Failure> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let text = value.to_str().unwrap_or("not text");
    let essence = text.split(';').next().unwrap_or_default().trim();
    let json = essence.eq_ignore_ascii_case("application/json")
        || (essence.len() > 5 && essence[essence.len() - 5..].eq_ignore_ascii_case("+json"));
    if json { Ok(()) } else { Err(Failure::media_type(text)) }
}
