//! Examples that are answered on one server: its models, versions, sets and entities in the place of the demonstration's.

use serde_json::{Value as Json, json};

use super::asked::{batch_examples, online_example};
use super::known::{Known, KnownModel};

/// Fits the examples of parameters and bodies to what is known.
pub(super) fn fit(document: &mut Json, known: &Known) {
    let Some(paths) = document.get_mut("paths").and_then(Json::as_object_mut) else { return };
    for (path, item) in paths.iter_mut() {
        let methods = item.as_object_mut().into_iter().flatten();
        for (method, operation) in methods.filter(|(_, operation)| operation.is_object()) {
            parameters(operation, path, method, known);
            if let Some(shown) = body(path, known)
                && let Some(content) = operation.pointer_mut("/requestBody/content/application~1json")
            {
                content["examples"] = shown;
            }
        }
    }
}

/// The examples of a path's and a query's parameters.
fn parameters(operation: &mut Json, path: &str, method: &str, known: &Known) {
    let told = operation.get_mut("parameters").and_then(Json::as_array_mut).into_iter().flatten();
    for one in told.filter_map(Json::as_object_mut) {
        // Paths whose bodies depend on a model say which models they are about.
        let fitted = one.get("schema").is_some_and(|schema| schema.get("enum").is_some());
        let example = match one.get("name").and_then(Json::as_str).unwrap_or_default() {
            "name" | "model" if !fitted => example_model(path, known).map(|model| json!(model.name)),
            "version" => known.model_of(path).map(|model| json!(model.version)),
            "set" if method == "get" => known.sets.first().map(|set| json!(set.name)),
            "entity" => known.stored().map(|(_, entity)| json!(entity)),
            "timestamp" => known.stored().and_then(|(set, _)| Some(json!(set.newest?.to_string()))),
            _ => continue,
        };
        // One that nothing fits would be answered with 404.
        match example {
            Some(example) => drop(one.insert("example".to_owned(), example)),
            None => drop(one.remove("example")),
        }
    }
}

/// The model that a path's examples are about. The one to be unloaded is not that of all others, where there is another:
/// whoever tries one after the other finds it ready.
fn example_model<'k>(path: &str, known: &'k Known) -> Option<&'k KnownModel> {
    if path.ends_with("/unload") { known.models.last() } else { known.models.first() }
}

/// The examples of a body that depends on no path.
fn body(path: &str, known: &Known) -> Option<Json> {
    let one = |summary: &str, value: Json| json!({ "example": { "summary": summary, "value": value } });
    let model = example_model(path, known);
    match path {
        "/predict/batch" | "/api/ml/batch" => batch_examples(known),
        "/get-online-features" => online_example(known),
        "/models/load" | "/models/unload" | "/models/warmup" => {
            Some(one("One model", json!({ "model": model?.name })))
        }
        "/models/{name}/aliases/{alias}" => {
            Some(one("The version that serves", json!({ "version": model?.version })))
        }
        _ => None,
    }
}
