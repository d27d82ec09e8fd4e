//! Spans as the JSON of the OpenTelemetry Protocol 1.0: `ExportTraceServiceRequest` with ids in hexadecimal and times in
//! nanoseconds as text (<https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>). Attributes have the names of the
//! semantic conventions for HTTP where there are any.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::trace::Trace;

/// `SPAN_KIND_SERVER`.
const SERVER: u8 = 2;

/// `STATUS_CODE_ERROR`.
const ERROR: u8 = 2;

/// One request.
#[derive(Debug, Clone)]
pub struct Span {
    /// Its place in the trace.
    pub trace: Trace,
    /// What was asked, in few words: `POST /predict`.
    pub name: String,
    /// When it began.
    pub began: Timestamp,
    /// How long it took.
    pub took: Duration,
    /// Its stages in order, each with how long it took.
    pub stages: Vec<(&'static str, Duration)>,
    /// What is known of it.
    pub attributes: Vec<(&'static str, Attribute)>,
    /// Whether the server failed on it.
    pub failed: bool,
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum Attribute {
    /// Text.
    Text(String),
    /// A whole number.
    Whole(u64),
    /// Any number.
    Number(f64),
}

/// The body of a request that exports spans.
pub(super) fn body(spans: &[Span], service: &str) -> Vec<u8> {
    let name = attribute("service.name", &Attribute::Text(service.to_owned()));
    let scope = json!({ "name": env!("CARGO_PKG_NAME"), "version": env!("CARGO_PKG_VERSION") });
    let spans: Vec<Value> = spans.iter().map(span).collect();
    let body = json!({ "resourceSpans": [{
        "resource": { "attributes": [name] },
        "scopeSpans": [{ "scope": scope, "spans": spans }],
    }] });
    body.to_string().into_bytes()
}

fn span(span: &Span) -> Value {
    let began = span.began.as_nanosecond();
    let at = |after: Duration| (began + i128::try_from(after.as_nanos()).unwrap_or_default()).to_string();
    let mut until = Duration::ZERO;
    let stages = span.stages.iter().map(|(name, took)| {
        let from = at(until);
        until += *took;
        let took = attribute("duration_ms", &Attribute::Number(took.as_secs_f64() * 1e3));
        json!({ "timeUnixNano": from, "name": name, "attributes": [took] })
    });
    let stages: Vec<Value> = stages.collect();
    let attributes: Vec<Value> = span.attributes.iter().map(|(key, value)| attribute(key, value)).collect();
    let mut told = json!({
        "traceId": format!("{:032x}", span.trace.trace_id),
        "spanId": format!("{:016x}", span.trace.span_id),
        "name": span.name,
        "kind": SERVER,
        "startTimeUnixNano": at(Duration::ZERO),
        "endTimeUnixNano": at(span.took),
        "attributes": attributes,
        "events": stages,
        "status": if span.failed { json!({ "code": ERROR }) } else { json!({}) },
    });
    if span.trace.parent_id != 0 {
        told["parentSpanId"] = format!("{:016x}", span.trace.parent_id).into();
    }
    told
}

fn attribute(key: &str, value: &Attribute) -> Value {
    let value = match value {
        Attribute::Text(text) => json!({ "stringValue": text }),
        // 64-bit numbers are text in protobuf's JSON.
        Attribute::Whole(number) => json!({ "intValue": number.to_string() }),
        Attribute::Number(number) => json!({ "doubleValue": number }),
    };
    json!({ "key": key, "value": value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_the_protocol_s_form() {
        let trace = Trace { trace_id: 0xab, span_id: 0xcd, parent_id: 0xef, sampled: true };
        let began = Timestamp::from_second(1).expect("a time");
        let told = Span {
            trace,
            name: "POST /predict".to_owned(),
            began,
            took: Duration::from_micros(30),
            stages: vec![("parse", Duration::from_micros(10)), ("infer", Duration::from_micros(20))],
            attributes: vec![("http.response.status_code", Attribute::Whole(500))],
            failed: true,
        };
        let body: Value = serde_json::from_slice(&body(&[told], "here")).expect("is JSON");
        let expected = json!({ "resourceSpans": [{
            "resource": { "attributes": [{ "key": "service.name", "value": { "stringValue": "here" } }] },
            "scopeSpans": [{
                "scope": { "name": "serve-app", "version": env!("CARGO_PKG_VERSION") },
                "spans": [{
                    "traceId": "000000000000000000000000000000ab",
                    "spanId": "00000000000000cd",
                    "parentSpanId": "00000000000000ef",
                    "name": "POST /predict",
                    "kind": 2,
                    "startTimeUnixNano": "1000000000",
                    "endTimeUnixNano": "1000030000",
                    "attributes": [{ "key": "http.response.status_code", "value": { "intValue": "500" } }],
                    "events": [
                        { "timeUnixNano": "1000000000", "name": "parse",
                          "attributes": [{ "key": "duration_ms", "value": { "doubleValue": 0.01 } }] },
                        { "timeUnixNano": "1000010000", "name": "infer",
                          "attributes": [{ "key": "duration_ms", "value": { "doubleValue": 0.02 } }] },
                    ],
                    "status": { "code": 2 },
                }],
            }],
        }] });
        assert_eq!(body, expected);
    }
}
