//! `/docs`: the same document for people, and every error code. No scripts, nothing fetched from elsewhere.

use axum::http::HeaderValue;
use axum::http::header::CONTENT_SECURITY_POLICY;
use axum::response::Response;

use super::Takes;
use crate::error::Code;
use crate::http::reply;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}\
code{font-family:ui-monospace,monospace}table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.4rem .8rem .4rem 0;border-bottom:1px solid #8884}";

/// The routes.
pub async fn page() -> Response {
    let mut rows = String::new();
    for (route, _) in super::api() {
        let takes = match route.takes {
            Takes::Nothing => "",
            Takes::Item => "<br>Body: a signed data item.",
            Takes::Json(_) => "<br>Body: JSON.",
        };
        let query: String = route.query.iter().map(|(name, meaning)| format!("<br><code>{name}</code>: {}", escape(meaning))).collect();
        rows.push_str(&format!(
            "<tr><td><code>{} {}</code></td><td>{}{takes}{query}</td></tr>\n",
            route.method.to_uppercase(),
            escape(route.path),
            escape(route.summary)
        ));
    }
    html(
        "aonode: native interface",
        &format!(
            "<p>The machine-readable form is <a href=\"/openapi.json\">/openapi.json</a>; <a href=\"/docs/errors\">error codes</a> have a page of \
             their own. Clients of the older network find its routes at the root and under <code>/mu /su /cu /gateway</code>.</p>\
             <table><thead><tr><th>Route</th><th>What it does</th></tr></thead><tbody>\n{rows}</tbody></table>"
        ),
    )
}

/// The error codes.
pub async fn errors() -> Response {
    let rows: String = Code::ALL
        .iter()
        .map(|code| {
            format!(
                "<tr id=\"{0}\"><td><code>{0}</code></td><td>{1}</td><td>{2}</td></tr>\n",
                code.as_str(),
                code.status(),
                escape(code.meaning())
            )
        })
        .collect();
    html(
        "aonode: error codes",
        &format!("<table><thead><tr><th>Code</th><th>Status</th><th>Meaning</th></tr></thead><tbody>\n{rows}</tbody></table>"),
    )
}

fn html(title: &str, body: &str) -> Response {
    let page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{title}</title><style>{STYLE}</style></head><body><h1>{title}</h1>\n{body}\n</body></html>\n"
    );
    let mut response = reply::typed(reply::HTML, page);
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'"));
    response
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
