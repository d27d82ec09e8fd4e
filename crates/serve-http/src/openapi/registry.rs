//! The chapter of models.

mod changes;
mod shown;

use serde_json::json;

use super::described::{Described, Tag};
use changes::{
    Asked, AskedMany, LoadedVersion, Moved, PointAlias, ReloadRequest, Reloaded, UnloadedVersion, WarmedUp,
    Why,
};
use shown::{CacheStats, Model, Models, Types, Versions};

const BY_QUERY: &str = "The query takes the body's keys too, and what it says holds, whatever a body says. A `feature_set` and a \
    `model_type` have to fit the model where that is named too.";

pub(super) fn describe(method: &str, path: &str) -> Option<Described> {
    let new = |id, summary| Described::new(Tag::Models, id, summary);
    let one = || [("One model", json!({ "model": "vader-random-forest" }))];
    Some(match (method, path) {
        ("GET", "/models") => new("models", "All models").answers::<Models>("All models.", None),
        ("GET", "/models/{name}") => new("model", "One model with its description, versions and history")
            .answers::<Model>("The model.", None),
        ("GET", "/model/info") => new("model_info", "The default model, or the one that the query names")
            .query_model()
            .answers::<Model>("The model.", None),
        ("GET", "/models/{name}/versions") => {
            new("versions", "A model's versions").answers::<Versions>("Its versions.", None)
        }
        ("GET", "/models/types") => new("types", "Feature sets and model types, with the models of each")
            .answers::<Types>("What there is.", None),
        ("GET", "/models/cache/stats") => new("cache_stats", "What is loaded, and what the cache did so far")
            .answers::<CacheStats>("The cache.", None),
        ("POST", "/models/reload") => new("reload", "Read the registry again, or rehearse that")
            .text(BY_QUERY)
            .takes::<ReloadRequest>(false, &[("Rehearse", json!({ "dry_run": true }))])
            .answers::<Reloaded>("What came of each model.", None),
        ("POST", "/models/load") => new("load", "Load a version")
            .text(BY_QUERY)
            .takes::<Asked>(true, &one())
            .answers::<LoadedVersion>("It is loaded.", None),
        ("POST", "/models/unload") => new("unload", "Free a version's memory")
            .text(BY_QUERY)
            .takes::<Asked>(true, &one())
            .answers::<UnloadedVersion>("What came of it.", None),
        ("POST", "/models/warmup") => new("warm_up", "Load versions and answer their golden rows again")
            .text(BY_QUERY)
            .takes::<AskedMany>(false, &one())
            .answers::<WarmedUp>("What came of each.", None),
        ("POST", "/models/{name}/rollback") => new("rollback", "Take the champion's newest promotion back")
            .takes::<Why>(false, &[("With a reason", json!({ "why": "worse on Mondays" }))])
            .answers::<Moved>("The champion is the version before.", None)
            .fails(&[409]),
        ("PUT", "/models/{name}/aliases/{alias}") => new("promote", "Point an alias to a version")
            .text("The version is proven first; one that does not prove is refused, and the alias stays.")
            .takes::<PointAlias>(true, &[("Promote", json!({ "version": "20250331_000000" }))])
            .answers::<Moved>("The alias points there.", None)
            .fails(&[409]),
        _ => return None,
    })
}
