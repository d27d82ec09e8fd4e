//! What the reference documents have and this server leaves out, with the reason. `docs/http-api.md` has the whole list.

/// The beginnings of paths, and why there is nothing.
const LEFT_OUT: [(&str, &str); 4] = [
    ("/experiments", "there are no experiments yet; a model's challenger is asked by its alias"),
    (
        "/api/ml/train",
        "models are not trained over HTTP; `serve-ctl train` and `serve-ctl import` publish them",
    ),
    ("/api/ml/performance", "outcomes are not tracked yet; GET /models/{name} has the metrics of training"),
    ("/api/ml", "of /api/ml there are serve and batch"),
];

/// TensorFlow Serving's verbs for models that were exported with its signatures.
const VERBS_LEFT_OUT: [&str; 3] = [":classify", ":regress", ":multi_inference"];

/// Why there is no metadata of TensorFlow's.
const METADATA: &str =
    "signature definitions are TensorFlow's; GET /v2/models/{name} has a model's inputs and outputs";

/// Why there is nothing at a path that a reference document has.
pub(crate) fn left_out(path: &str) -> Option<&'static str> {
    let path = path.strip_prefix("/api/v1").unwrap_or(path);
    let below =
        |start: &str| path.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if path.starts_with("/v1/models/") && VERBS_LEFT_OUT.iter().any(|verb| path.ends_with(verb)) {
        return Some(
            "classify and regress take tf.Example, which there is none of here; :predict and :explain are there",
        );
    }
    if path.starts_with("/v1/models/") && path.ends_with("/metadata") {
        return Some(METADATA);
    }
    LEFT_OUT.iter().find(|(start, _)| below(start)).map(|(_, why)| *why)
}
