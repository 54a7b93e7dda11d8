//! Answers: JSON bodies and the two forms of an error.
//!
//! Clients of the older network read `{"error": "text"}` and never the status, so [`Legacy`] keeps `error` a text and puts the code
//! beside it. The native routes answer as `operations.md` section 7 says. The status is [`Code::status`]'s alone.

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;
use serde_json::json;

use crate::error::{Code, Rejection};

/// `content-type` of every JSON answer.
pub const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// `content-type` of bytes whose type nobody declared.
pub const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");
/// `content-type` of text.
pub const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
/// `content-type` of pages.
pub const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

/// An error for the older network's routes: `{"error": "text", "code": "AON-1001"}`.
#[derive(Debug)]
pub struct Legacy(pub Rejection);

/// An error for the native routes: `{"error": {"code", "message", "detail", "retry_after_s", "doc"}}`.
#[derive(Debug)]
pub struct Native(pub Rejection);

macro_rules! from_rejections {
    ($($form:ident),*) => {$(
        impl From<Rejection> for $form {
            fn from(rejection: Rejection) -> Self {
                Self(rejection)
            }
        }
        impl From<ao_storage::Error> for $form {
            fn from(error: ao_storage::Error) -> Self {
                Self(store_failed(&error))
            }
        }
    )*};
}
from_rejections!(Legacy, Native);

/// A store that cannot answer is this node's fault: the log gets the details, the client a code.
pub fn store_failed(error: &ao_storage::Error) -> Rejection {
    if let ao_storage::Error::Elsewhere(why) = error {
        return Rejection::retry(Code::Unavailable, why.clone(), crate::retention::limits::ASK_AGAIN.as_secs() as u32);
    }
    tracing::error!(event = "store_read_failed", code = Code::Internal.as_str(), %error, "a read failed; check the disk and the log above");
    Rejection::new(Code::Internal, "this node could not read its store")
}

impl IntoResponse for Legacy {
    fn into_response(self) -> Response {
        let Rejection { code, message, retry_after_s } = self.0;
        let body = match retry_after_s {
            Some(seconds) => json!({ "error": message, "code": code.as_str(), "retry_after_s": seconds }),
            None => json!({ "error": message, "code": code.as_str() }),
        };
        failure(code, retry_after_s, &body)
    }
}

impl IntoResponse for Native {
    fn into_response(self) -> Response {
        let Rejection { code, message, retry_after_s } = self.0;
        let body = json!({ "error": {
            "code": code.as_str(),
            "message": message,
            "detail": {},
            "retry_after_s": retry_after_s,
            "doc": format!("/docs/errors#{}", code.as_str()),
        }});
        failure(code, retry_after_s, &body)
    }
}

fn failure(code: Code, retry_after_s: Option<u32>, body: &serde_json::Value) -> Response {
    let mut response = json(body);
    *response.status_mut() = status(code);
    if let Some(seconds) = retry_after_s {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response.extensions_mut().insert(code);
    response
}

/// The status of a code.
pub fn status(code: Code) -> StatusCode {
    StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// 200 with a value as JSON.
pub fn json(value: &impl Serialize) -> Response {
    // A value of this node always has a JSON form; if one had not, an empty object would be a lie, so it is a failure.
    match serde_json::to_vec(value) {
        Ok(body) => typed(JSON, body),
        Err(error) => Native(Rejection::new(Code::Internal, error.to_string())).into_response(),
    }
}

/// 200 with JSON text that is ready.
pub fn json_text(body: impl Into<Body>) -> Response {
    typed(JSON, body)
}

/// 200 with bytes of a type.
pub fn typed(content_type: HeaderValue, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

/// The same answer with another status.
pub fn with_status(status: StatusCode, mut response: Response) -> Response {
    *response.status_mut() = status;
    response
}

/// Marks an answer as one that can never change. `tag` is the id of what is shown.
pub fn immutable(mut response: Response, tag: &str) -> Response {
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{tag}\"")) {
        response.headers_mut().insert(ETAG, tag);
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    }
    response
}

/// Whether the client says that it already has the answer tagged `tag`.
pub fn has_already(headers: &axum::http::HeaderMap, tag: &str) -> bool {
    let Some(known) = headers.get(axum::http::header::IF_NONE_MATCH).and_then(|value| value.to_str().ok()) else { return false };
    known.split(',').map(|one| one.trim().trim_start_matches("W/").trim_matches('"')).any(|one| one == tag || one == "*")
}

/// 304: the client has it.
pub fn not_modified(tag: &str) -> Response {
    immutable(with_status(StatusCode::NOT_MODIFIED, Response::new(Body::empty())), tag)
}

/// `x-slot` and `x-state`: where the process stood and how sure its order is.
pub fn mark(mut response: Response, slot: Option<u64>, state: Option<&str>) -> Response {
    if let Some(slot) = slot {
        response.headers_mut().insert(HeaderName::from_static("x-slot"), HeaderValue::from(slot));
    }
    if let Some(state) = state.and_then(|state| HeaderValue::from_str(state).ok()) {
        response.headers_mut().insert(HeaderName::from_static("x-state"), state);
    }
    response
}

/// Stored bytes as a body, without a copy.
pub fn bytes(content_type: HeaderValue, body: Bytes) -> Response {
    typed(content_type, Body::from(body))
}
