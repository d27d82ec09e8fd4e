//! What a guard window asks again. While a new champion is watched, a sample of the requests that it answered or refused is
//! kept as it came, and read by the signature of either version as if it had come to that one.

use serve_core::CheckedRow;
use serve_features::{FeatureRow, FeatureSetName};
use serve_registry::Deployment;
use serve_registry::guard::Reply;

use crate::gather::{needed, read};
use crate::request::{ModelQuery, PredictRequest};

/// What the version that answered had from the store.
#[derive(Debug)]
pub(crate) enum Stored {
    /// It did not ask.
    Unfetched,
    /// It names no feature set, so nobody could be asked.
    NoFeatureSet,
    /// Rows of these sets, stored or computed.
    Rows(Vec<(FeatureSetName, FeatureRow)>),
}

impl Stored {
    /// The rows of these sets, where all are there.
    fn of<'a>(&'a self, sets: &[&'a str]) -> Option<Vec<(&'a str, &'a FeatureRow)>> {
        let rows = if let Self::Rows(rows) = self { rows.as_slice() } else { &[] };
        let row = |set: &&'a str| {
            let (_, row) = rows.iter().find(|(fetched, _)| fetched.as_str() == *set)?;
            Some((*set, row))
        };
        sets.iter().map(row).collect()
    }
}

/// Keeps a request for the guard of the version that answers it, if there is one with room for it.
pub(crate) fn offer(deployment: &Deployment, request: &PredictRequest<'_>, stored: impl FnOnce() -> Stored) {
    if let Some(guard) = deployment.guard() {
        guard.offer(|| {
            let kept = Kept::new(request, stored());
            Box::new(move |deployment| kept.reply(deployment))
        });
    }
}

/// A request as far as it decides an answer.
struct Kept {
    request: PredictRequest<'static>,
    stored: Stored,
}

impl Kept {
    fn new(request: &PredictRequest<'_>, stored: Stored) -> Self {
        let request = PredictRequest {
            // Both versions are known.
            model: ModelQuery::default(),
            entity: request.entity.as_deref().map(|entity| entity.to_owned().into()),
            features: request.features.to_static(),
            ..*request
        };
        Self { request, stored }
    }

    /// What a version would have made of the request.
    fn reply(&self, deployment: &Deployment) -> Reply {
        let Ok(sets) = needed(deployment, &self.request) else { return Reply::Error };
        let rows = match (self.stored.of(&sets), &self.stored) {
            (Some(rows), _) => rows,
            (None, Stored::NoFeatureSet) => return Reply::Unseen,
            (None, Stored::Rows(_) | Stored::Unfetched) => return Reply::Unknown,
        };
        let mut row = CheckedRow::new();
        if read(deployment, &self.request.features, &rows, &mut row).is_err() {
            return Reply::Error;
        }
        deployment.pipeline().predict_checked(&row).map_or(Reply::Error, Reply::Answer)
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use serve_core::{EngineLoader, Value, doctest};
    use serve_features::Mode;
    use serve_registry::{Directory, Storage};

    use super::*;
    use crate::request::Features;

    /// A version that takes `a` and `b`, of a feature set or of none.
    fn deployment(feature_set: Option<&str>) -> Deployment {
        let folder = tempfile::tempdir().expect("a folder");
        let directory = Directory::create(folder.path()).expect("a registry");
        let mut builder = doctest::logistic("m", "v1", 0.0);
        builder.feature_set = feature_set.map(str::to_owned);
        directory.publish(&builder.build().expect("proves"), "test").expect("published");
        let (name, version) = ("m".parse().expect("a name"), "v1".parse().expect("a version"));
        Deployment::load(&directory, &EngineLoader, &name, &version).expect("loads")
    }

    fn row(set: &str, names: &[&str]) -> Stored {
        let features: Vec<_> = names.iter().map(|name| ((*name).into(), Value::Number(1.0))).collect();
        let entity = "BTC".parse().expect("an entity");
        let row = FeatureRow::new(entity, jiff::Timestamp::UNIX_EPOCH, features);
        Stored::Rows(vec![(set.parse().expect("a set"), row)])
    }

    fn named(names: &[&'static str]) -> Features<'static> {
        Features::Named(names.iter().map(|name| (Cow::Borrowed(*name), Value::Number(1.0))).collect())
    }

    fn of(features: Features<'static>, entity: Option<&'static str>) -> PredictRequest<'static> {
        PredictRequest { features, entity: entity.map(Cow::Borrowed), ..PredictRequest::default() }
    }

    #[track_caller]
    fn check(request: &PredictRequest<'_>, stored: Stored, by: &Deployment, expected: &str) {
        let told = match Kept::new(request, stored).reply(by) {
            Reply::Answer(prediction) => format!("{:.3}", prediction.scores()[1]),
            other => format!("{other:?}"),
        };
        assert_eq!(told, expected);
    }

    #[test]
    fn what_a_request_brings_is_read_by_either_version() {
        let version = deployment(Some("s"));
        // 1/(1 + exp(-(1 + 2)))
        check(&of(named(&["a", "b"]), None), Stored::Unfetched, &version, "0.953");
        check(&of(named(&["a", "b"]), Some("BTC")), Stored::Unfetched, &version, "0.953");
        check(&of(named(&["a"]), None), Stored::Unfetched, &version, "Error");
        let values = Features::Positional(vec![Value::Number(0.0); 2]);
        check(&of(values, None), Stored::Unfetched, &version, "0.500");
        let values = Features::Positional(vec![Value::Number(0.0); 3]);
        check(&of(values, None), Stored::Unfetched, &version, "Error");
    }

    #[test]
    fn a_stored_row_is_of_a_version_with_its_set() {
        let (version, without) = (deployment(Some("s")), deployment(None));
        let (stored, mixed) = (of(Features::None, Some("BTC")), of(named(&["a"]), Some("BTC")));
        check(&stored, row("s", &["a", "b"]), &version, "0.953");
        check(&mixed, row("s", &["b"]), &version, "0.953");
        check(&stored, row("s", &["a"]), &version, "Error");
        check(&stored, row("other", &["a", "b"]), &version, "Unknown");
        check(&stored, row("s", &["a", "b"]), &without, "Error");
    }

    #[test]
    fn a_version_without_a_set_is_held_against_one_that_has_it() {
        let (version, without) = (deployment(Some("s")), deployment(None));
        let stored = of(Features::None, Some("BTC"));
        check(&stored, Stored::NoFeatureSet, &without, "Error");
        check(&stored, Stored::NoFeatureSet, &version, "Unseen");
        let on_demand = PredictRequest { mode: Mode::Compute, ..of(named(&["a"]), None) };
        check(&on_demand, row("s", &["b"]), &version, "0.953");
        check(&on_demand, Stored::Unfetched, &version, "Unknown");
        check(&on_demand, Stored::NoFeatureSet, &without, "Error");
        let covered = PredictRequest { mode: Mode::Compute, ..of(named(&["a", "b"]), None) };
        check(&covered, Stored::Unfetched, &version, "0.953");
    }

    #[test]
    fn a_version_that_joins_sets_is_read_from_each() {
        let joining = {
            let folder = tempfile::tempdir().expect("a folder");
            let directory = Directory::create(folder.path()).expect("a registry");
            let mut builder = doctest::logistic("m", "v1", 0.0);
            builder.feature_set = Some("s".to_owned());
            let mut inputs = builder.signature.inputs().to_vec();
            inputs[1].feature_set = Some("t".to_owned());
            builder.signature = serve_core::Signature::new(inputs).expect("a signature");
            directory.publish(&builder.build().expect("proves"), "test").expect("published");
            let (name, version) = ("m".parse().expect("a name"), "v1".parse().expect("a version"));
            Deployment::load(&directory, &EngineLoader, &name, &version).expect("loads")
        };
        let stored = of(Features::None, Some("BTC"));
        let (Stored::Rows(s), Stored::Rows(t)) = (row("s", &["a"]), row("t", &["a", "b"])) else {
            unreachable!("both are rows")
        };
        check(&stored, Stored::Rows([s.clone(), t.clone()].concat()), &joining, "0.953");
        check(&stored, Stored::Rows(s), &joining, "Unknown");
        // Its own set's feature is not taken from the other's row.
        let (Stored::Rows(s), t) = (row("s", &["b"]), t) else { unreachable!("rows") };
        check(&stored, Stored::Rows([s, t].concat()), &joining, "Error");
    }
}
