//! What the document knows of this server when it is asked for: models that answer, declared sets, and tables that they
//! read. It shows no more than the caller may use, and never so much that a large registry makes a large document.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serve_app::{Context, ModelQuery};
use serve_core::Input;
use serve_features::{Feature, FeatureSet, FeatureStore as _, RawTable, RetrieveRequest, SourceColumn};
use serve_registry::Deployment;

use crate::routes::{self, App};

/// The most kinds of models, sets and tables that are shown.
const MOST: usize = 8;

/// The most models of which is looked at whether they can be explained.
const MOST_EXPLAINED: usize = 16;

/// The furthest that a zone is from UTC, and more.
const OFFSET: SignedDuration = SignedDuration::from_hours(24);

#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Known {
    /// Whether callers have to say who they are.
    pub(super) secured: bool,
    /// Paths that are open to everyone all the same.
    pub(super) public: Vec<&'static str>,
    /// The default model first.
    pub(super) models: Vec<KnownModel>,
    pub(super) default: Option<String>,
    pub(super) sets: Vec<KnownSet>,
    pub(super) tables: Vec<KnownTable>,
    /// The sets of `http.compare`.
    pub(super) compared: Vec<String>,
    /// The most rows of a request.
    pub(super) rows: usize,
    /// Whether there is a feature store, and whether it keeps raw rows.
    pub(super) stores: (bool, bool),
    /// The last year that is over, and older than the newest rows of the default entities.
    pub(super) year: i16,
}

/// A model that answers.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct KnownModel {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) feature_set: Option<String>,
    pub(super) model_type: Option<String>,
    pub(super) inputs: Vec<Input>,
    /// Whether its predictions can be explained, as far as that was looked at.
    pub(super) explains: bool,
    /// Whether any finite row has a finite score: so it is of trees, not of linear models.
    bounded: bool,
}

/// Models that take the same.
pub(super) struct Group<'a> {
    pub(super) model: &'a KnownModel,
    /// Those of which any finite row has a finite score; the first in any case.
    pub(super) names: Vec<&'a str>,
    /// Whether the default model is the first of them.
    pub(super) default: bool,
    /// Whether all of them can be explained.
    pub(super) explains: bool,
}

/// A declared set.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct KnownSet {
    pub(super) name: String,
    pub(super) features: Vec<Feature>,
    pub(super) entity_key: String,
    pub(super) default_entity: Option<String>,
    /// When the default entity's stored row was known.
    pub(super) newest: Option<Timestamp>,
}

/// A table that a declared set reads; all its columns, where they are known.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct KnownTable {
    pub(super) name: String,
    pub(super) columns: Option<Vec<(String, SourceColumn)>>,
    pub(super) kind: TableKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TableKind {
    Price,
    Sentiment,
    Events,
}

impl Known {
    /// What there is for this caller.
    pub(super) async fn of(app: &App, context: &Context) -> Self {
        let caller = context.caller();
        let default = app.service.loaded_deployment(context, &ModelQuery::default()).ok();
        let default = default.map(|deployment| deployment.manifest().name.as_str().to_owned());
        let mut models: Vec<KnownModel> = Vec::new();
        for model in app.service.registry().models() {
            if caller.may_use(&model.name)
                && let Some(deployment) = model.champion_deployment()
            {
                models.push(KnownModel::of(deployment));
            }
        }
        models.sort_by_key(|model| (Some(&model.name) != default.as_ref(), !model.bounded));
        let usable = app.service.usable_sets(caller);
        let declared = app.service.retriever().declarations().sets().iter();
        let declared: Vec<&FeatureSet> =
            declared.filter(|set| usable.contains(set.name())).take(MOST).collect();
        let mut sets = Vec::with_capacity(declared.len());
        for set in &declared {
            sets.push(KnownSet::of(app, set).await);
        }
        let year = |of: Timestamp| of.to_zoned(jiff::tz::TimeZone::UTC).year();
        let newest = sets.iter().filter_map(|set| set.newest).map(year);
        let year = newest.fold(year(app.service.now() - OFFSET), i16::min);
        let store = app.service.retriever().store();
        let mut known = Self {
            secured: app.asks_who(),
            public: routes::all()
                .map(|route| route.path)
                .filter(|path| app.service.locks().is_public(path))
                .collect(),
            default,
            sets,
            tables: tables(&declared),
            compared: app.config.compare.clone(),
            rows: app.service.batch_rows(),
            stores: (store.is_some(), store.is_some_and(|store| store.raw().is_some())),
            year: year - 1,
            models,
        };
        known.look_for_explanations(app).await;
        known
    }

    /// Finds out which of the models that are shown can be explained, which is made ready for that; of some, for it takes
    /// time and memory.
    async fn look_for_explanations(&mut self, app: &App) {
        let grouped = self.groups().into_iter().flat_map(|group| group.names);
        let of_sets =
            self.sets.iter().flat_map(|set| self.models_of(&set.name)).map(|model| model.name.as_str());
        let shown: BTreeSet<String> =
            grouped.chain(of_sets).take(MOST_EXPLAINED).map(str::to_owned).collect();
        for name in shown {
            let model = app.service.registry().model(&name);
            let Some(deployment) = model.as_ref().and_then(|model| model.champion_deployment()) else {
                continue;
            };
            let ready = app.service.prepare_explanations(deployment).await.is_ok();
            let explains = ready && deployment.explanations().is_some_and(|made| made.explainer().is_ok());
            self.models
                .iter_mut()
                .filter(|model| model.name == name)
                .for_each(|model| model.explains = explains);
        }
    }

    /// Models by what they take: first those that take what the default model does, then others that are shown with paths of
    /// their own.
    pub(super) fn groups(&self) -> Vec<Group<'_>> {
        self.groups_of(|_| true)
    }

    /// The same of those models that can be explained.
    pub(super) fn explained(&self) -> Vec<Group<'_>> {
        self.groups_of(|model| model.explains)
    }

    fn groups_of(&self, of: impl Fn(&KnownModel) -> bool) -> Vec<Group<'_>> {
        let mut groups: Vec<Group<'_>> = Vec::new();
        for model in self.models.iter().filter(|model| of(model)) {
            let default = self.default.as_ref() == Some(&model.name);
            match groups.iter().position(|group| group.model.inputs == model.inputs) {
                Some(at) if model.bounded => {
                    groups[at].names.push(&model.name);
                    groups[at].explains &= model.explains;
                }
                None if groups.len() < MOST => {
                    groups.push(Group { model, names: vec![&model.name], default, explains: model.explains });
                }
                _ => {}
            }
        }
        groups
    }

    /// The model that answers where a request names none.
    pub(super) fn default_model(&self) -> Option<&KnownModel> {
        let name = self.default.as_ref()?;
        self.models.iter().find(|model| model.name == *name)
    }

    /// The model that a path's own name says, or that examples are about.
    pub(super) fn model_of(&self, path: &str) -> Option<&KnownModel> {
        let named = |model: &&KnownModel| {
            path.split('/').any(|part| part.split(':').next() == Some(model.name.as_str()))
        };
        self.models.iter().find(named).or_else(|| self.models.first())
    }

    /// A set, and the entity of it that has a stored row.
    pub(super) fn stored(&self) -> Option<(&KnownSet, &str)> {
        self.sets
            .iter()
            .find_map(|set| Some((set, set.default_entity.as_deref().filter(|_| set.newest.is_some())?)))
    }

    /// The models that are served from a set.
    pub(super) fn models_of<'a>(&'a self, set: &'a str) -> impl Iterator<Item = &'a KnownModel> {
        self.models.iter().filter(move |model| model.feature_set.as_deref() == Some(set))
    }
}

impl KnownModel {
    fn of(deployment: &Deployment) -> Self {
        let manifest = deployment.manifest();
        Self {
            name: manifest.name.as_str().to_owned(),
            version: manifest.version.as_str().to_owned(),
            feature_set: manifest.feature_set.clone(),
            model_type: manifest.model_type.clone(),
            inputs: manifest.signature.inputs().to_vec(),
            explains: false,
            bounded: !deployment.pipeline().tree_engines().is_empty(),
        }
    }
}

impl KnownSet {
    async fn of(app: &App, set: &FeatureSet) -> Self {
        let entity = set.default_entity();
        let mut newest = None;
        if let Some(entity) = entity {
            let request = RetrieveRequest::cached(set.name().clone(), [entity.clone()]);
            let rows = app.service.retriever().retrieve(request).await.unwrap_or_default();
            newest = rows.into_iter().flatten().next().map(|found| found.row.timestamp());
        }
        Self {
            name: set.name().as_str().to_owned(),
            features: set.features().to_vec(),
            entity_key: set.entity_key().to_owned(),
            default_entity: entity.map(|entity| entity.as_str().to_owned()),
            newest,
        }
    }
}

fn tables(sets: &[&FeatureSet]) -> Vec<KnownTable> {
    let mut tables: Vec<KnownTable> = Vec::new();
    for source in sets.iter().flat_map(|set| set.sources()) {
        let name = source.table.name().to_owned();
        if tables.len() < MOST && tables.iter().all(|table| table.name != name) {
            let kind = |column: &str| source.column(column).map(|kind| (column.to_owned(), kind));
            let columns = source.columns().map(|names| names.into_iter().filter_map(kind).collect());
            let kind = match source.table {
                RawTable::Price => TableKind::Price,
                RawTable::Sentiment => TableKind::Sentiment,
                _ => TableKind::Events,
            };
            tables.push(KnownTable { name, columns, kind });
        }
    }
    tables
}
