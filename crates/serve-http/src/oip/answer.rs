//! The answer to an inference request: JSON, and after it the outputs that are binary.

use std::ops::Range;
use std::sync::OnceLock;

use http::{HeaderValue, StatusCode};
use serve_app::text;
use serve_core::BatchPrediction;
use serve_registry::Deployment;

use super::Labels;
use super::outputs::{MOST_OUTPUTS, Output, Wanted, wanted};
use super::request::{HEADER_LENGTH, InferRequest};
use crate::failure::{Dialect, Failure};
use crate::reply::{self, Reply};
use crate::short::Short;

/// As many as are wanted, in that order.
type Outputs<'a> = [Option<Output<'a>>; MOST_OUTPUTS];

/// What of an answer is known before there is one.
#[derive(Debug, Clone)]
#[cfg_attr(test, derive(Default))]
pub(super) struct Wish {
    wanted: Vec<Wanted>,
    labels: Labels,
    /// Where it is wanted again: kept from the first answer on.
    frame: Option<OnceLock<Frame>>,
}

/// The JSON of an answer around its id, where that is the same for all answers of so many rows.
#[derive(Debug, Clone)]
struct Frame {
    rows: usize,
    before: Box<[u8]>,
    after: Box<[u8]>,
    /// How long the id was, and so the whole.
    id: usize,
    length: HeaderValue,
}

impl Wish {
    /// The answer that a request wants.
    pub(super) fn of(request: &InferRequest<'_>, deployment: &Deployment) -> Result<Self, Failure> {
        let labels = Labels::of(deployment.manifest());
        Ok(Self { wanted: wanted(request, deployment)?, labels, frame: None })
    }

    /// The same for requests that will want it again.
    pub(super) fn again(&self) -> Self {
        Self { frame: Some(OnceLock::new()), ..self.clone() }
    }

    /// How many outputs it has.
    pub(super) fn outputs(&self) -> usize {
        self.wanted.len()
    }

    /// Writes it. `batch` has no failed row.
    pub(super) fn write(&self, deployment: &Deployment, id: &str, batch: &BatchPrediction) -> Reply {
        let mut outputs: Outputs<'_> = [const { None }; MOST_OUTPUTS];
        for (place, wanted) in outputs.iter_mut().zip(&self.wanted) {
            *place = Some(wanted.of(deployment, self.labels, batch));
        }
        let size: usize = outputs.iter().flatten().map(Output::size).sum();
        let known = self.frame.as_ref().and_then(OnceLock::get).filter(|frame| frame.rows == batch.len());
        let json = known.map_or(512, |frame| frame.before.len() + id.len() + 2 + frame.after.len());
        let mut body = Vec::with_capacity(json + size);
        let written = match known {
            Some(frame) => frame.write(&mut body, id),
            None => self.json(&mut body, deployment, id, &outputs, batch.len()),
        };
        if written.is_err() {
            return Failure::internal().reply(Dialect::Oip, id);
        }
        if !outputs.iter().flatten().any(Output::is_binary) {
            return reply::raw(StatusCode::OK, body.into());
        }
        let length = match known.filter(|frame| frame.id == id.len() && json == body.len()) {
            Some(frame) => Some(frame.length.clone()),
            None => header(body.len()),
        };
        outputs.iter().flatten().for_each(|output| output.write_binary(&mut body));
        let mut reply = reply::of(StatusCode::OK, "application/octet-stream", body.into());
        length.into_iter().for_each(|length| drop(reply.headers_mut().insert(HEADER_LENGTH, length)));
        reply
    }

    /// Writes the JSON, and keeps its frame where it is wanted again.
    fn json(
        &self,
        body: &mut Vec<u8>,
        deployment: &Deployment,
        id: &str,
        outputs: &Outputs<'_>,
        rows: usize,
    ) -> serde_json::Result<()> {
        let id = json(body, deployment, id, outputs)?;
        if let Some(frame) = &self.frame
            && let Some(length) = header(body.len())
            && outputs.iter().flatten().all(Output::has_fixed_json)
        {
            let (before, after) = (&body[..id.start], &body[id.end..]);
            let id = id.len() - 2;
            frame.get_or_init(|| Frame { rows, before: before.into(), after: after.into(), id, length });
        }
        Ok(())
    }
}

impl Frame {
    fn write(&self, body: &mut Vec<u8>, id: &str) -> serde_json::Result<()> {
        body.extend_from_slice(&self.before);
        quoted(body, id)?;
        body.extend_from_slice(&self.after);
        Ok(())
    }
}

/// The length of an answer's JSON, as its header tells it.
fn header(length: usize) -> Option<HeaderValue> {
    let mut value = Short::new();
    text::whole(&mut value, length as u64).ok()?;
    value.value()
}

/// The JSON of an answer, `{"model_name", "model_version", "id", "outputs": […]}`; says where the id stands.
fn json(
    body: &mut Vec<u8>,
    deployment: &Deployment,
    id: &str,
    outputs: &Outputs<'_>,
) -> serde_json::Result<Range<usize>> {
    let manifest = deployment.manifest();
    // Names and versions have no character that JSON writes otherwise.
    let head =
        ["{\"model_name\":\"", manifest.name.as_str(), "\",\"model_version\":\"", manifest.version.as_str()];
    head.iter().for_each(|piece| body.extend_from_slice(piece.as_bytes()));
    body.extend_from_slice(b"\",\"id\":");
    let start = body.len();
    quoted(body, id)?;
    let id = start..body.len();
    body.extend_from_slice(b",\"outputs\":[");
    for (at, output) in outputs.iter().flatten().enumerate() {
        if at > 0 {
            body.push(b',');
        }
        output.write_json(body)?;
    }
    body.extend_from_slice(b"]}");
    Ok(id)
}

/// Text as JSON.
fn quoted(body: &mut Vec<u8>, text: &str) -> serde_json::Result<()> {
    let plain = |byte: u8| matches!(byte, b' ' | b'!' | b'#'..=b'[' | b']'..=b'~');
    if !text.bytes().fold(true, |all, byte| all & plain(byte)) {
        return serde_json::to_writer(body, text);
    }
    body.push(b'"');
    body.extend_from_slice(text.as_bytes());
    body.push(b'"');
    Ok(())
}
