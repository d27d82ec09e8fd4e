//! What `/predict` and `/predict/both` may be asked of this server, and examples that are answered.

use serde_json::{Map, Value as Json, json};

use super::described::{MODEL_NAME, SELECTOR};
use super::known::{Group, Known, KnownSet};

/// A moment that has been: rows of the future are refused. RFC 3339 with a zone.
///
/// Told are years up to one that ends before the newest rows of the default entities: so who tries out, or has a program try,
/// what this document tells does not change what predictions of them are made from.
pub(super) fn moment(year: i16) -> Json {
    let decades = (200..year / 10).map(|decade| format!("{decade}[0-9]"));
    let last = (year >= 2000).then(|| format!("{}[0-{}]", year / 10, year % 10));
    let until: Vec<String> = ["1[0-9]{3}".to_owned()].into_iter().chain(decades).chain(last).collect();
    let day = "(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))";
    let time = r"T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,9})?";
    let until = until.join("|");
    json!({
        "type": "string",
        "description": "A moment that has been, RFC 3339 with a zone. (The pattern ends before the newest rows, so that trying this \
                        out leaves them the newest; later moments until now are taken too, and so is the 29th of February.)",
        "pattern": format!("^(?:{until})-{day}{time}(?:Z|[+-](?:0[0-9]|1[0-3]):[0-5][0-9])$"),
        "examples": [a_moment(year)],
    })
}

/// A moment of that year.
pub(super) fn a_moment(year: i16) -> String {
    format!("{year}-10-04T13:00:00Z")
}

/// 1 to 256 bytes without control characters: of ASCII as many characters, of others a quarter of them for sure.
pub(super) fn entity() -> Json {
    json!({
        "description": "Whom or what a row describes: 1 to 256 bytes of text without control characters.",
        "anyOf": [
            { "type": "string", "pattern": "^[ -~]{1,256}$" },
            { "type": "string", "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f]{1,64}$" },
        ],
        "examples": ["SOL/USD"],
    })
}

/// Any values by position, or a list of one such row.
pub(super) fn any_list() -> Json {
    let flat = json!({ "type": "array", "items": { "type": ["number", "string", "boolean", "null"] } });
    let row =
        json!({ "type": "array", "items": { "type": "array", "items": {} }, "minItems": 1, "maxItems": 1 });
    json!({ "anyOf": [flat, row], "description": "Values by position, or a list of one such row." })
}

fn text(value: &str) -> Json {
    json!({ "enum": [value, null] })
}

/// A schema with `null` as absent.
fn or_null(schema: &Json) -> Json {
    json!({ "anyOf": [schema, { "type": "null" }] })
}

fn object(description: &str, properties: Map<String, Json>, required: &[&str]) -> Json {
    json!({ "type": "object", "description": description, "properties": properties, "required": required,
            "additionalProperties": false })
}

fn moment_ref() -> Json {
    or_null(&json!({ "$ref": "#/components/schemas/Moment" }))
}

/// Whether a request without a body is answered: from stored features of the default model's set.
pub(super) fn answers_nothing(known: &Known) -> bool {
    let set = known.default_model().and_then(|model| model.feature_set.as_deref());
    known.sets.iter().any(|one| Some(one.name.as_str()) == set && one.newest.is_some())
}

/// What a prediction may be asked.
pub(super) fn predict(known: &Known) -> Json {
    let mut forms: Vec<Json> = Vec::new();
    for group in known.groups() {
        forms.push(with_row(&group, "features", &group.model.by_name()));
        let (flat, nested) = (group.model.by_position(), super::rows::list_of(&[group.model.by_position()]));
        forms.push(with_row(&group, "data", &json!({ "anyOf": [flat, nested] })));
    }
    if let Some(model) = known.default_model() {
        let mut bare = model.by_name();
        bare["description"] =
            json!(format!("Features of {}, the default model, and nothing else.", model.name));
        bare["minProperties"] = json!(1);
        forms.push(bare);
    }
    forms.extend(known.sets.iter().flat_map(|set| of_stored(known, set)));
    json!({ "anyOf": forms, "description": "A row for a model, features of the default model, or a question about stored \
             features. Any model of `GET /models` may be named; some are told here." })
}

/// Names, and `null` where a default stands in.
fn names(names: &[&str], default: bool) -> Json {
    let mut listed: Vec<Json> = names.iter().map(|name| json!(name)).collect();
    listed.extend(default.then_some(Json::Null));
    json!({ "enum": listed })
}

/// A row that comes with the request.
fn with_row(group: &Group<'_>, key: &str, row: &Json) -> Json {
    let (selector, limit) =
        (json!({ "type": "string", "pattern": SELECTOR }), "^(?:[1-9][0-9]{0,4}(?:ms|s|m|h|d)|none)$");
    let mut properties = Map::from_iter([
        ("model".to_owned(), names(&group.names, group.default)),
        (key.to_owned(), row.clone()),
        ("model_version".to_owned(), or_null(&selector)),
        ("explain".to_owned(), explain(group.explains)),
        ("timestamp".to_owned(), moment_ref()),
        ("max_age".to_owned(), json!({ "type": ["string", "null"], "pattern": limit })),
    ]);
    if group.model.requires_all() || key == "data" {
        properties.insert("entity".to_owned(), or_null(&json!({ "$ref": "#/components/schemas/RowEntity" })));
    }
    let by = if key == "data" { "position" } else { "name" };
    let required: &[&str] = if group.default { &[key] } else { &["model", key] };
    object(&format!("A row of {} by {by}.", group.names.join(", ")), properties, required)
}

/// Questions about stored features of a set's default entity, by a model's name or by set and kind.
fn of_stored(known: &Known, set: &KnownSet) -> Vec<Json> {
    let Some(entity) = set.default_entity.as_ref().filter(|_| set.newest.is_some()) else {
        return Vec::new();
    };
    let mut common = stored_keys(known, set, entity);
    common.insert("max_age".to_owned(), json!({ "enum": ["none", null],
        "description": "How old stored features may be: `none`, or a duration such as `15m`, and then 422 where they are older." }));
    let listed: Vec<&str> = known.models_of(&set.name).map(|model| model.name.as_str()).collect();
    let kinds: Vec<&str> =
        known.models_of(&set.name).filter_map(|model| model.model_type.as_deref()).collect();
    let mut forms = Vec::new();
    let told = format!(
        "Stored features of {:?} in the set {}; so of any {} that has rows.",
        entity, set.name, set.entity_key
    );
    if !listed.is_empty() {
        let mut by_name = common.clone();
        let default =
            known.default_model().is_some_and(|model| model.feature_set.as_deref() == Some(&set.name));
        by_name.insert("model".to_owned(), names(&listed, default));
        forms.push(object(&told, by_name, if default { &[] } else { &["model"] }));
    }
    if kinds.len() == listed.len() && !kinds.is_empty() {
        common.insert("feature_set".to_owned(), json!({ "const": set.name }));
        common.insert("model_type".to_owned(), json!({ "enum": kinds }));
        forms.push(object(&told, common, &["feature_set", "model_type"]));
    }
    forms
}

/// Whether contributions are asked for.
fn explain(explains: bool) -> Json {
    if explains { json!({ "type": ["boolean", "null"] }) } else { json!({ "enum": [false, null] }) }
}

fn stored_keys(known: &Known, set: &KnownSet, entity: &str) -> Map<String, Json> {
    let explains = known.models_of(&set.name).all(|model| model.explains);
    let newest = set.newest.map(|newest| text(&newest.to_string()));
    let mut keys = Map::from_iter([
        ("entity".to_owned(), text(entity)),
        ("symbol".to_owned(), text(entity)),
        ("explain".to_owned(), explain(explains)),
        (
            "use_cached_features".to_owned(),
            json!({ "enum": [true, false, "auto", null],
            "description": "`true` reads what is stored, `\"auto\"` computes where that is stale, and `false` computes." }),
        ),
    ]);
    if let Some(mut newest) = newest {
        newest["description"] = json!("Answer as of then: here the newest stored row's time.");
        keys.insert("timestamp".to_owned(), newest);
    }
    keys
}

/// The same question to each compared set.
pub(super) fn both(known: &Known) -> Json {
    let compared: Vec<&KnownSet> =
        known.sets.iter().filter(|set| known.compared.contains(&set.name)).collect();
    let entity = compared.first().and_then(|set| set.default_entity.as_deref());
    let mut properties = entity
        .map(|entity| {
            let mut keys = stored_keys(known, compared[0], entity);
            keys.remove("timestamp");
            keys
        })
        .unwrap_or_default();
    let kinds =
        compared.first().map(|set| known.models_of(&set.name).filter_map(|model| model.model_type.clone()));
    let kinds: Vec<String> = kinds.into_iter().flatten().collect();
    if !kinds.is_empty() {
        let mut kinds: Vec<Json> = kinds.into_iter().map(Json::from).collect();
        kinds.push(Json::Null);
        properties.insert("model_type".to_owned(), json!({ "enum": kinds }));
    }
    object(
        "A question to each of the compared sets. Features may come with it, as for `/predict`.",
        properties,
        &[],
    )
}

/// Requests that are answered.
pub(super) fn predict_examples(known: &Known) -> Json {
    let mut shown = Map::new();
    let mut add = |name: &str, summary: &str, value: Json| {
        shown.insert(name.to_owned(), json!({ "summary": summary, "value": value }));
    };
    let stored = known.sets.iter().find_map(|set| {
        let entity = set.default_entity.as_ref().filter(|_| set.newest.is_some())?;
        let default = known.default_model().filter(|model| model.feature_set.as_deref() == Some(&set.name));
        let model = default.or_else(|| known.models_of(&set.name).next())?;
        Some((&model.name, entity, set.newest?))
    });
    if let Some((model, entity, newest)) = stored {
        add("1_stored_features", "Stored features", json!({ "model": model, "entity": entity }));
        add(
            "2_as_of_then",
            "As of then",
            json!({ "model": model, "entity": entity, "timestamp": newest.to_string() }),
        );
        if known.explained().iter().any(|group| group.names.contains(&&**model)) {
            let value = json!({ "model": model, "entity": entity, "explain": true });
            add("3_with_contributions", "With contributions", value);
        }
    }
    if let Some(model) = known.models.first() {
        add(
            "4_features_by_name",
            "Features by name",
            json!({ "model": model.name, "features": model.named_example() }),
        );
        add(
            "5_features_by_position",
            "Features by position",
            json!({ "model": model.name, "data": model.positional_example() }),
        );
    }
    Json::Object(shown)
}

/// Many at once.
pub(super) fn batch_examples(known: &Known) -> Option<Json> {
    let stored =
        known.stored().and_then(|(set, entity)| Some((known.models_of(&set.name).next()?, set, entity)));
    if let Some((model, set, entity)) = stored {
        let then = set.newest.map(|newest| json!({ "entity": entity, "timestamp": newest.to_string() }));
        let rows: Vec<Json> = [Some(json!({ "entity": entity })), then].into_iter().flatten().collect();
        return Some(json!({
            "two_rows": { "summary": "Two rows", "value": { "model": model.name, "requests": rows } },
            "symbols": { "summary": "Symbols", "value": { "model": model.name, "symbols": [entity] } },
        }));
    }
    let model = known.models.first()?;
    let rows = [model.named_example(), model.positional_example()];
    Some(
        json!({ "two_rows": { "summary": "Two rows", "value": { "model": model.name, "instances": rows } } }),
    )
}

/// What Feast's client would ask.
pub(super) fn online_example(known: &Known) -> Option<Json> {
    let (set, entity) = known.stored()?;
    let names = set.features.iter().take(2).map(|feature| format!("{}:{}", set.name, feature.name()));
    let features: Vec<String> = names.collect();
    let entities = Map::from_iter([(set.entity_key.clone(), json!([entity]))]);
    let value = json!({ "features": features, "entities": entities });
    Some(json!({ "two_features": { "summary": "Two features", "value": value } }))
}

pub(super) fn compared_example(known: &Known) -> Json {
    let entity = known.sets.iter().find(|set| known.compared.contains(&set.name));
    let value = entity
        .and_then(|set| set.default_entity.as_ref())
        .map_or_else(|| json!({}), |entity| json!({ "entity": entity }));
    json!({ "stored_features": { "summary": "Stored features", "value": value } })
}

/// Which models an administrative request means, by its name: `null` is nothing said. One who may mean several may say less
/// than one who means one.
pub(super) fn asked_models(default: bool) -> [(&'static str, Json); 4] {
    let null = json!({ "type": "null" });
    let name = json!({ "type": "string", "pattern": MODEL_NAME });
    let text = json!({ "type": "string", "minLength": 1 });
    let version = or_null(&json!({ "type": "string", "pattern": SELECTOR }));
    let dry_run =
        json!({ "type": ["boolean", "null"], "description": "Prove what would serve, and change nothing." });
    let form = |pairs: [(&str, Json); 4], required: &[&str]| {
        object("", pairs.into_iter().map(|(key, schema)| (key.to_owned(), schema)).collect(), required)
    };
    let by_name = |model: Json, (key, last): (&'static str, Json), required: &[&str]| {
        form(
            [("model", model), ("feature_set", null.clone()), ("model_type", null.clone()), (key, last)],
            required,
        )
    };
    let by_kind = |kind: Json, (key, last): (&'static str, Json), required: &[&str]| {
        form(
            [("model", null.clone()), ("feature_set", kind.clone()), ("model_type", kind), (key, last)],
            required,
        )
    };
    let both = ["feature_set", "model_type"];
    let version = || ("model_version", version.clone());
    let dry_run = || ("dry_run", dry_run.clone());
    let any = |forms: [Json; 2]| json!({ "anyOf": forms });
    let one = if default {
        by_name(or_null(&name), version(), &[])
    } else {
        by_name(name.clone(), version(), &["model"])
    };
    [
        ("Asked", any([one, by_kind(text.clone(), version(), &both)])),
        (
            "AskedMany",
            any([by_name(or_null(&name), version(), &[]), by_kind(or_null(&text), version(), &[])]),
        ),
        (
            "ReloadRequest",
            any([by_name(or_null(&name), dry_run(), &[]), by_kind(or_null(&text), dry_run(), &[])]),
        ),
        (
            "FeatureValue",
            json!({ "type": ["number", "string", "boolean", "null"], "description": "A feature's value; `null` is a missing one." }),
        ),
    ]
}
