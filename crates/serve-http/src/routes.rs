//! Every path and method in one table, each also under `/api/v1`, and the way from a request to its handler.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::{Method, Request};
use hyper::body::Incoming;
use matchit::Router;
use serve_app::Service;

use crate::call::{Began, Call, RequestId};
use crate::config::HttpConfig;
use crate::failure::{Dialect, Failure};
use crate::reply::Reply;
use crate::{admin, batch, feast, features, health, ingest, limits, models, oip, predict};

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
    table: Table,
}

type Answer<'a> = Pin<Box<dyn Future<Output = Result<Reply, Failure>> + Send + 'a>>;
type Handler = for<'a> fn(&'a App, Call) -> Answer<'a>;

/// One line of the table.
struct Route {
    method: Method,
    path: &'static str,
    handler: Handler,
}

macro_rules! routes {
    ($($method:ident $path:literal => $handler:path;)*) => {
        &[$(Route {
            method: Method::$method,
            path: $path,
            handler: {
                fn handle(app: &App, call: Call) -> Answer<'_> {
                    Box::pin($handler(app, call))
                }
                handle
            },
        }),*]
    };
}

const ROUTES: &[Route] = routes! {
    GET "/" => health::index;
    GET "/health" => health::health;
    GET "/health/live" => health::live;
    GET "/health/ready" => health::ready;
    GET "/metrics" => health::metrics;
    POST "/predict" => predict::predict;
    POST "/predict/batch" => batch::predict_batch;
    POST "/predict/both" => predict::predict_both;
    GET "/features" => features::list;
    GET "/features/{set}" => features::show;
    POST "/features/{set}" => ingest::ready;
    GET "/features/{set}/{entity}" => features::entity;
    POST "/raw/{table}" => ingest::raw;
    POST "/get-online-features" => feast::online_features;
    GET "/models" => models::list;
    GET "/models/types" => models::types;
    GET "/models/cache/stats" => models::cache_stats;
    GET "/models/{name}" => models::show;
    GET "/models/{name}/versions" => models::versions;
    POST "/models/reload" => admin::reload;
    POST "/models/load" => admin::load;
    POST "/models/unload" => admin::unload;
    POST "/models/warmup" => admin::warm_up;
    POST "/models/{name}/rollback" => admin::rollback;
    PUT "/models/{name}/aliases/{alias}" => admin::point_alias;
    GET "/v2" => oip::metadata::server;
    GET "/v2/" => oip::metadata::server;
    GET "/v2/health/live" => oip::metadata::live;
    GET "/v2/health/ready" => oip::metadata::ready;
    GET "/v2/models" => oip::metadata::models;
    GET "/v2/models/{name}" => oip::metadata::model;
    GET "/v2/models/{name}/ready" => oip::metadata::model_ready;
    GET "/v2/models/{name}/versions/{version}" => oip::metadata::model;
    GET "/v2/models/{name}/versions/{version}/ready" => oip::metadata::model_ready;
    POST "/v2/models/{name}/infer" => oip::infer::infer;
    POST "/v2/models/{name}/versions/{version}/infer" => oip::infer::infer;
};

/// The paths with their methods, as `GET /` lists them.
pub(crate) fn listed() -> impl Iterator<Item = (&'static str, &'static str)> {
    ROUTES.iter().map(|route| (route.method.as_str(), route.path))
}

/// Paths to their methods.
struct Table(Router<Vec<(Method, Handler)>>);

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Table")
    }
}

impl Table {
    fn new() -> Self {
        let mut paths: Vec<(&str, Vec<(Method, Handler)>)> = Vec::new();
        for Route { method, path, handler } in ROUTES {
            match paths.iter_mut().find(|(other, _)| other == path) {
                Some((_, methods)) => methods.push((method.clone(), *handler)),
                None => paths.push((path, vec![(method.clone(), *handler)])),
            }
        }
        let mut router = Router::new();
        for (path, methods) in paths {
            let prefixed = if path == "/" { PREFIX.to_owned() } else { format!("{PREFIX}{path}") };
            for path in [path.to_owned(), prefixed] {
                router.insert(path, methods.clone()).expect("no two lines of the table conflict");
            }
        }
        Self(router)
    }

    fn find(&self, method: &Method, path: &str) -> Result<(Handler, Vec<(String, String)>), Failure> {
        let found = self.0.at(path).map_err(|_| Failure::unknown_path(path))?;
        let asked = if method == Method::HEAD { &Method::GET } else { method };
        let Some((_, handler)) = found.value.iter().find(|(method, _)| method == asked) else {
            let allowed: Vec<&str> = found.value.iter().map(|(method, _)| method.as_str()).collect();
            return Err(Failure::method(method, &allowed.join(", ")));
        };
        let decode = |(key, value): (&str, &str)| {
            let text = percent_encoding::percent_decode_str(value).decode_utf8().map_err(|_| {
                let message = format!("the path's {key} is not UTF-8 once decoded: {value:?}");
                Failure::unreadable("malformed_path", message)
            })?;
            Ok((key.to_owned(), text.into_owned()))
        };
        Ok((*handler, found.params.iter().map(decode).collect::<Result<_, Failure>>()?))
    }
}

impl App {
    /// The application around a service.
    #[must_use]
    pub fn new(service: Arc<Service>, config: HttpConfig) -> Self {
        Self { service, config, draining: AtomicBool::new(false), table: Table::new() }
    }

    /// Whether the server is stopping.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Answers one request.
    pub(crate) async fn answer(&self, request: Request<Incoming>, id: RequestId, began: Began) -> Reply {
        let path = request.uri().path();
        let dialect = dialect(path);
        let request_id = id.clone();
        match self.dispatch(request, id, began).await {
            Ok(reply) => reply,
            Err(failure) => failure.reply(dialect, &request_id.0),
        }
    }

    async fn dispatch(
        &self,
        request: Request<Incoming>,
        id: RequestId,
        began: Began,
    ) -> Result<Reply, Failure> {
        let (parts, body) = request.into_parts();
        let (handler, path) = self.table.find(&parts.method, parts.uri.path())?;
        let body = limits::read_body(body, &parts.headers, self.config.max_body_bytes).await?;
        handler(self, Call { path, parts, body, id, began: began.0 }).await
    }
}

/// In whose words a path's errors are told.
pub(crate) fn dialect(path: &str) -> Dialect {
    let path = path.strip_prefix(PREFIX).unwrap_or(path);
    match path {
        "/v2" => Dialect::Oip,
        "/get-online-features" => Dialect::Feast,
        path if path.starts_with("/v2/") => Dialect::Oip,
        _ => Dialect::Native,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_is_not_utf8_is_unreadable() {
        let table = Table::new();
        let (_, found) = table.find(&Method::GET, "/features/vader/BTC%2FUSD").expect("is a path");
        assert_eq!(found[1], ("entity".to_owned(), "BTC/USD".to_owned()));
        let Err(failure) = table.find(&Method::GET, "/features/vader/%ff%fe") else {
            unreachable!("is refused");
        };
        assert_eq!(failure.entry()["code"], "malformed_path");
    }
}
