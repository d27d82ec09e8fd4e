//! Every path and method in one table, with what a caller must be permitted, each also under `/api/v1`.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::Method;
use matchit::Router;
use serve_app::{AuthMode, Permission, Service};
use tokio::runtime::Handle;

use crate::bodies::Bodies;
use crate::call::Call;
use crate::config::HttpConfig;
use crate::doorway::Doorway;
use crate::failure::{Dialect, Failure};
use crate::reply::Reply;
use crate::tls::Tls;
use crate::traffic::Traffic;
use crate::watchman::{ConnectionCounts, Watchman};
use crate::websocket::Sockets;
use crate::{
    admin, batch, feast, features, health, ingest, mlflow, models, oip, openapi, predict, v1, websocket,
};

pub(crate) use parameters::Parameters;

mod parameters;

/// Under which every path stands a second time.
const PREFIX: &str = "/api/v1";

/// What handlers share.
#[derive(Debug)]
pub struct App {
    /// The prediction service.
    pub service: Arc<Service>,
    /// The configuration.
    pub config: HttpConfig,
    /// Set once the server stops taking requests.
    pub draining: AtomicBool,
    pub(crate) watchman: Arc<Watchman>,
    pub(crate) doorway: Doorway,
    /// Gives freed memory back to the system.
    pub(crate) give_back: Option<fn()>,
    /// TLS, once the server listens with it.
    pub(crate) tls: Option<Arc<Tls>>,
    /// Where long requests are answered, once the server listens.
    pub(crate) runtime: Option<Handle>,
    pub(crate) traffic: Traffic,
    pub(crate) bodies: Arc<Bodies>,
    pub(crate) sockets: Arc<Sockets>,
    /// The OpenAPI document, once somebody asked for it.
    pub(crate) document: openapi::Document,
    table: Table,
}

type Answer<'a> = Pin<Box<dyn Future<Output = Result<Reply, Failure>> + Send + 'a>>;
type Handler = for<'a> fn(&'a App, Box<Call>) -> Answer<'a>;

/// One line of the table.
#[derive(Clone)]
pub(crate) struct Route {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    /// What a caller must be permitted; nothing, where everyone may ask.
    pub(crate) permission: Option<Permission>,
    /// The administrative act that it is, where it is one, as the audit trail names it.
    pub(crate) act: Option<&'static str>,
    pub(crate) handler: Handler,
}

/// A future in memory of its own, where it is made at once instead of being moved there: it is long.
pub(crate) fn boxed<F: Future>(make: impl FnOnce() -> F) -> Pin<Box<F>> {
    Box::into_pin(Box::write(Box::new_uninit(), make()))
}

macro_rules! permission {
    (open) => {
        None
    };
    (predict) => {
        Some(Permission::Predict)
    };
    (read) => {
        Some(Permission::Read)
    };
    (admin) => {
        Some(Permission::Admin)
    };
}

macro_rules! act {
    () => {
        None
    };
    ($act:literal) => {
        Some($act)
    };
}

macro_rules! routes {
    ($($method:ident $path:literal $permission:ident $($act:literal)? => $handler:path;)*) => {
        &[$(Route {
            method: Method::$method,
            path: $path,
            permission: permission!($permission),
            act: act!($($act)?),
            handler: {
                fn handle(app: &App, call: Box<Call>) -> Answer<'_> {
                    boxed(|| $handler(app, call))
                }
                handle
            },
        }),*]
    };
}

const ROUTES: &[Route] = routes! {
    GET "/" read => health::index;
    GET "/health" open => health::health;
    GET "/health/live" open => health::live;
    GET "/health/ready" open => health::ready;
    GET "/metrics" read => health::metrics;
    GET "/openapi.json" read => openapi::openapi;
    GET "/docs" read => openapi::swagger;
    GET "/docs/" read => openapi::swagger;
    GET "/docs/{file}" read => openapi::swagger_file;
    GET "/redoc" read => openapi::redoc;
    POST "/predict" predict => predict::predict;
    POST "/predict/batch" predict => batch::predict_batch;
    POST "/predict/both" predict => predict::predict_both;
    GET "/features" read => features::list;
    GET "/features/{set}" read => features::show;
    POST "/features/{set}" admin "ingest" => ingest::ready;
    GET "/features/{set}/{entity}" read => features::entity;
    POST "/raw/{table}" admin "ingest_raw" => ingest::raw;
    POST "/get-online-features" read => feast::online_features;
    GET "/models" read => models::list;
    GET "/models/types" read => models::types;
    GET "/models/cache/stats" read => models::cache_stats;
    GET "/models/{name}" read => models::show;
    GET "/models/{name}/versions" read => models::versions;
    POST "/models/reload" admin "reload" => admin::reload;
    POST "/models/load" admin "load" => admin::load;
    POST "/models/unload" admin "unload" => admin::unload;
    POST "/models/warmup" admin "warm_up" => admin::warm_up;
    POST "/models/{name}/rollback" admin "rollback" => admin::rollback;
    PUT "/models/{name}/aliases/{alias}" admin "promote" => admin::point_alias;
    GET "/ws/predict" predict => websocket::connect;
    GET "/model/info" read => models::info;
    POST "/api/ml/serve" predict => predict::predict;
    POST "/api/ml/batch" predict => batch::predict_batch;
    GET "/ping" open => mlflow::ping;
    GET "/version" open => mlflow::version;
    POST "/invocations" predict => mlflow::invocations;
    GET "/models/{name}/ping" read => mlflow::ping;
    POST "/models/{name}/invocations" predict => mlflow::invocations;
    GET "/v1/models" read => v1::status::list;
    GET "/v1/models/{name}" read => v1::status::show;
    GET "/v1/models/{name}/versions/{version}" read => v1::status::show;
    GET "/v1/models/{name}/labels/{label}" read => v1::status::show;
    POST "/v1/models/{name}:predict" predict => v1::predict;
    POST "/v1/models/{name}/versions/{version}:predict" predict => v1::predict;
    POST "/v1/models/{name}/labels/{label}:predict" predict => v1::predict;
    POST "/v1/models/{name}:explain" predict => v1::explain;
    POST "/v1/models/{name}/versions/{version}:explain" predict => v1::explain;
    POST "/v1/models/{name}/labels/{label}:explain" predict => v1::explain;
    GET "/v2" open => oip::metadata::server;
    GET "/v2/" open => oip::metadata::server;
    GET "/v2/health/live" open => oip::metadata::live;
    GET "/v2/health/ready" open => oip::metadata::ready;
    GET "/v2/models" read => oip::metadata::models;
    GET "/v2/models/stats" read => oip::statistics::all;
    GET "/v2/models/{name}" read => oip::metadata::model;
    GET "/v2/models/{name}/ready" read => oip::metadata::model_ready;
    GET "/v2/models/{name}/versions/{version}" read => oip::metadata::model;
    GET "/v2/models/{name}/versions/{version}/ready" read => oip::metadata::model_ready;
    GET "/v2/models/{name}/config" read => oip::config::config;
    GET "/v2/models/{name}/versions/{version}/config" read => oip::config::config;
    GET "/v2/models/{name}/stats" read => oip::statistics::model;
    GET "/v2/models/{name}/versions/{version}/stats" read => oip::statistics::model;
    POST "/v2/repository/index" read => oip::repository::index;
    POST "/v2/repository/models/{name}/load" admin "load" => oip::repository::load;
    POST "/v2/repository/models/{name}/unload" admin "unload" => oip::repository::unload;
    POST "/v2/models/{name}/infer" predict => oip::infer::infer;
    POST "/v2/models/{name}/versions/{version}/infer" predict => oip::infer::infer;
};

/// The whole table.
pub(crate) fn all() -> impl Iterator<Item = &'static Route> {
    ROUTES.iter()
}

/// The line of the table that a request means, and the values of its path's `{…}`.
pub(crate) struct Found {
    pub(crate) route: &'static Route,
    pub(crate) path: Parameters,
}

/// Paths to their methods.
struct Table(Router<Place>);

/// What stands at one path.
#[derive(Clone)]
struct Place {
    routes: Vec<&'static Route>,
    /// The names of its `{…}`, in order.
    names: Vec<&'static str>,
}

impl Place {
    fn new(route: &'static Route) -> Self {
        let names = route.path.split('{').skip(1).filter_map(|rest| rest.split('}').next());
        Self { routes: vec![route], names: names.collect() }
    }
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Table")
    }
}

impl Table {
    fn new() -> Self {
        let mut paths: Vec<(&str, Place)> = Vec::new();
        for route in ROUTES {
            match paths.iter_mut().find(|(other, _)| *other == route.path) {
                Some((_, place)) => place.routes.push(route),
                None => paths.push((route.path, Place::new(route))),
            }
        }
        let mut router = Router::new();
        for (path, place) in paths {
            let bare = (path == "/").then(|| PREFIX.to_owned());
            for path in [path.to_owned(), format!("{PREFIX}{path}")].into_iter().chain(bare) {
                router.insert(path, place.clone()).expect("no two lines of the table conflict");
            }
        }
        Self(router)
    }

    fn find(&self, method: &Method, path: &str) -> Result<Found, Failure> {
        let found = self.0.at(path).map_err(|_| Failure::unknown_path(path))?;
        let asked = if method == Method::HEAD { &Method::GET } else { method };
        let Place { routes, names } = found.value;
        let Some(route) = routes.iter().find(|route| route.method == asked) else {
            let allowed: Vec<&str> = routes.iter().map(|route| route.method.as_str()).collect();
            let verb = routes.iter().any(|route| route.path.contains(':'));
            if dialect(path) == Dialect::TensorFlow && path.contains(':') && !verb {
                // A verb that there is not, such as `:classify`, is no model's name.
                return Err(Failure::unknown_path(path));
            }
            return Err(Failure::method(method, &allowed.join(", ")));
        };
        let mut parameters = Parameters::default();
        for (name, (_, value)) in names.iter().zip(found.params.iter()) {
            parameters.add(name, path, value)?;
        }
        Ok(Found { route, path: parameters })
    }
}

impl App {
    /// The application around a service.
    #[must_use]
    pub fn new(service: Arc<Service>, config: HttpConfig) -> Self {
        Self {
            sockets: Sockets::new(&config.websocket),
            service,
            watchman: Arc::new(Watchman::new(&config)),
            doorway: Doorway::new(&config),
            bodies: Bodies::new(config.max_bodies_bytes),
            give_back: None,
            tls: None,
            runtime: None,
            config,
            draining: AtomicBool::new(false),
            traffic: Traffic::default(),
            document: openapi::Document::default(),
            table: Table::new(),
        }
    }

    /// Has `give_back` called, on a thread of its own and seldom, after much memory was freed in small pieces: when many
    /// connections have fallen silent. Allocators keep such memory unless they are told otherwise.
    #[must_use]
    pub fn giving_back(mut self, give_back: fn()) -> Self {
        self.give_back = Some(give_back);
        self
    }

    /// The line of the table that a request means.
    pub(crate) fn find(&self, method: &Method, path: &str) -> Result<Found, Failure> {
        self.table.find(method, path)
    }

    /// How many connections there are, and were.
    #[must_use]
    pub fn connections(&self) -> ConnectionCounts {
        self.watchman.counts()
    }

    /// Whether callers have to say who they are.
    pub(crate) fn asks_who(&self) -> bool {
        self.service.locks().mode() != AuthMode::None
    }

    /// Whether the server is stopping.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

/// In whose words a path's errors are told.
pub(crate) fn dialect(path: &str) -> Dialect {
    let path = path.strip_prefix(PREFIX).unwrap_or(path);
    match path {
        "/v2" => Dialect::Oip,
        "/get-online-features" => Dialect::Feast,
        "/invocations" | "/ping" | "/version" => Dialect::Mlflow,
        path if path.starts_with("/v1/") => Dialect::TensorFlow,
        path if is_invocation(path) => Dialect::Mlflow,
        path if path.starts_with("/v2/") => Dialect::Oip,
        _ => Dialect::Native,
    }
}

/// `/models/{name}/invocations`, and `ping` beside it.
fn is_invocation(path: &str) -> bool {
    let name = path
        .strip_prefix("/models/")
        .and_then(|rest| rest.strip_suffix("/invocations").or_else(|| rest.strip_suffix("/ping")));
    name.is_some_and(|name| !name.contains('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_an_administrator_is_an_act() {
        for route in all() {
            assert_eq!(route.permission == Some(Permission::Admin), route.act.is_some(), "{}", route.path);
        }
    }

    #[test]
    fn no_path_has_more_values_than_there_is_room_for() {
        assert_eq!(
            all().map(|route| route.path.matches('{').count()).max(),
            Some(parameters::MOST_PARAMETERS)
        );
    }

    #[test]
    fn a_path_that_is_not_utf8_is_unreadable() {
        let table = Table::new();
        let found = table.find(&Method::GET, "/features/vader/BTC%2FUSD").expect("is a path");
        let get = |name| found.path.get(name, "/features/vader/BTC%2FUSD");
        assert_eq!([get("set"), get("entity"), get("name")], ["vader", "BTC/USD", ""]);
        let Err(failure) = table.find(&Method::GET, "/features/vader/%ff%fe") else {
            unreachable!("is refused");
        };
        assert_eq!(failure.entry()["code"], "malformed_path");
    }
}
