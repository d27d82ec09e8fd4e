//! `/openapi.json`, and the pages that show it.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use aide::redoc::Redoc;
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use utoipa_swagger_ui::{Config, SwaggerFile};

use super::fitted_to;
use super::known::Known;
use crate::call::Call;
use crate::failure::Failure;
use crate::reply::{self, Reply};
use crate::routes::App;

/// What a page may load: what comes from here, nothing else. Swagger UI and ReDoc style elements where they stand, and
/// ReDoc starts from a script in its page.
const POLICY: &str = "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; \
                      img-src 'self' data:; font-src 'self' data:; worker-src 'self' blob:; connect-src 'self'; \
                      frame-ancestors 'none'";

/// The one thing that ReDoc would fetch from elsewhere.
const LOGO: &str = "https://cdn.redoc.ly/redoc/logo-mini.svg";

/// The document.
pub(crate) async fn openapi(app: &App, call: Box<Call>) -> Result<Reply, Failure> {
    let known = Known::of(app, &call.context).await;
    Ok(reply::raw(StatusCode::OK, app.document.of(known)?))
}

/// The document that was made last, with what was known then. Models change seldom, and making it takes a while.
#[derive(Debug, Default)]
pub(crate) struct Document(Mutex<Option<(Known, Bytes)>>);

impl Document {
    fn of(&self, known: Known) -> Result<Bytes, Failure> {
        // Held while the document is made, so that it is made once; nothing in between can fail but an allocation.
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, bytes)) = last.as_ref().filter(|(of, _)| *of == known) {
            return Ok(bytes.clone());
        }
        let bytes = Bytes::from(fitted_to(&known).map_err(|_| Failure::internal())?);
        *last = Some((known, bytes.clone()));
        Ok(bytes)
    }
}

/// Swagger UI. Its files lie below `docs/`, wherever the page itself was found.
pub(crate) async fn swagger(_app: &App, call: Box<Call>) -> Result<Reply, Failure> {
    let page = found("index.html")?;
    let text = String::from_utf8_lossy(&page.bytes);
    let base = if call.parts.uri.path().ends_with('/') { "./" } else { "docs/" };
    let text = text.replacen("<head>", &format!("<head>\n    <base href=\"{base}\">"), 1);
    Ok(html(text.replacen("<title>Swagger UI</title>", "<title>serve-server</title>", 1)))
}

/// A file of Swagger UI.
pub(crate) async fn swagger_file(_app: &App, call: Box<Call>) -> Result<Reply, Failure> {
    let file = found(call.path("file"))?;
    let mut reply = reply::raw(StatusCode::OK, file.bytes.into_owned().into());
    if let Ok(media) = HeaderValue::from_str(&file.content_type) {
        reply.headers_mut().insert(header::CONTENT_TYPE, media);
    }
    if file.gzpipped {
        reply.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    protect(&mut reply);
    Ok(reply)
}

fn found(name: &str) -> Result<SwaggerFile<'static>, Failure> {
    static CONFIG: OnceLock<Arc<Config<'static>>> = OnceLock::new();
    let config = CONFIG.get_or_init(|| {
        // Found from the page, so that it is right below a prefix too.
        let config = Config::new(["../openapi.json"]).validator_url("none").try_it_out_enabled(true);
        Arc::new(
            config.persist_authorization(true).display_request_duration(true).filter(true).use_base_layout(),
        )
    });
    let file = utoipa_swagger_ui::serve(name, Arc::clone(config)).ok().flatten();
    file.ok_or_else(|| Failure::unknown_path(name))
}

/// ReDoc.
pub(crate) async fn redoc(_app: &App, _call: Box<Call>) -> Result<Reply, Failure> {
    static PAGE: OnceLock<String> = OnceLock::new();
    let page = PAGE.get_or_init(|| {
        // ReDoc shows its maker's logo, from their server; their name in text stays.
        Redoc::new("openapi.json")
            .with_title("serve-server")
            .html()
            .replace(LOGO, "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg'/%3E")
            // Else a browser asks for `/favicon.ico`, and complains that there is none.
            .replacen("</title>", "</title>\n    <link rel=\"icon\" href=\"data:,\">", 1)
    });
    Ok(html(page.clone()))
}

fn html(text: String) -> Reply {
    let mut reply = reply::text("text/html; charset=utf-8", text);
    protect(&mut reply);
    reply
}

fn protect(reply: &mut Reply) {
    reply.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
}
