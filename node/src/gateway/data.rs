//! The bytes of an item: its data, whole or a range, under the type its signer gave it.

use ao_storage::schema;
use ao_types::DataItem;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{ACCEPT_RANGES, CONTENT_RANGE, CONTENT_SECURITY_POLICY, RANGE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;

use crate::error::{Code, Rejection};
use crate::http::reply::{self, Legacy, store_failed};
use crate::http::{App, query, text};

/// `GET /raw/{id}`, `GET /gateway/{id}`.
pub async fn by_id(State(app): State<App>, Path(id): Path<String>, headers: HeaderMap) -> Result<Response, Legacy> {
    Ok(of(&app, &id, &headers).await?)
}

/// The data of item `id`. It can never change, so it carries its id as ETag.
///
/// # Errors
/// `id` is not an id, or the item is not here.
pub async fn of(app: &App, id: &str, headers: &HeaderMap) -> Result<Response, Rejection> {
    let id = query::id("id", id)?;
    let text = id.to_string();
    if reply::has_already(headers, &text) && app.has_item(&id)? {
        return Ok(reply::not_modified(&text));
    }
    // What was pruned is fetched first, which takes its time.
    let item = if schema::PRUNED.contains(app.store(), &id).map_err(|error| store_failed(&error))? {
        app.read(move |store| text::item(store, &id).map_err(|error| store_failed(&error))).await?
    } else {
        text::item(app.store(), &id).map_err(|error| store_failed(&error))?
    };
    let item = item.ok_or_else(|| Rejection::new(Code::ItemUnknown, format!("this node does not have item {id}")))?;
    let mut response = ranged(item.data_bytes(), content_type(&item), headers.get(RANGE));
    let headers = response.headers_mut();
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    // Anybody can upload a page: it must not run with this origin's rights.
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(if response.status().is_success() { reply::immutable(response, &text) } else { response })
}

fn content_type(item: &DataItem) -> HeaderValue {
    item.tag("Content-Type").and_then(|value| HeaderValue::from_str(value).ok()).unwrap_or(reply::OCTETS)
}

/// One range or all. Several ranges, other units and nonsense mean all, as RFC 9110 allows; a range outside is 416.
fn ranged(data: Bytes, content_type: HeaderValue, range: Option<&HeaderValue>) -> Response {
    let size = data.len();
    match range.and_then(|range| range.to_str().ok()).map(|range| parse_range(range, size)) {
        None | Some(Ok(None)) => reply::bytes(content_type, data),
        Some(Ok(Some((first, last)))) => {
            let mut response = reply::with_status(StatusCode::PARTIAL_CONTENT, reply::bytes(content_type, data.slice(first..=last)));
            set_range(&mut response, &format!("bytes {first}-{last}/{size}"));
            response
        }
        Some(Err(())) => {
            let mut response = reply::with_status(StatusCode::RANGE_NOT_SATISFIABLE, Response::new(Body::empty()));
            set_range(&mut response, &format!("bytes */{size}"));
            response
        }
    }
}

fn set_range(response: &mut Response, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        response.headers_mut().insert(CONTENT_RANGE, value);
    }
}

/// First and last byte; `Ok(None)`: not a range we follow; `Err`: nothing of it exists.
fn parse_range(range: &str, size: usize) -> Result<Option<(usize, usize)>, ()> {
    let Some((first, last)) = range.strip_prefix("bytes=").filter(|ranges| !ranges.contains(',')).and_then(|range| range.split_once('-'))
    else {
        return Ok(None);
    };
    let number = |text: &str| text.trim().parse::<usize>().ok();
    match (first.trim().is_empty(), number(first), last.trim().is_empty(), number(last)) {
        // The last n bytes.
        (true, _, false, Some(length)) if length > 0 && size > 0 => Ok(Some((size.saturating_sub(length), size - 1))),
        (true, _, false, Some(_)) => Err(()),
        (false, Some(first), true, _) if first < size => Ok(Some((first, size - 1))),
        (false, Some(first), false, Some(last)) if first <= last && first < size => Ok(Some((first, last.min(size - 1)))),
        (false, Some(first), false, Some(last)) if first > last => Ok(None),
        (false, Some(_), _, _) => Err(()),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranges_as_rfc_9110_reads_them() {
        for (range, size, expected) in [
            ("bytes=0-4", 10, Ok(Some((0, 4)))),
            ("bytes=5-", 10, Ok(Some((5, 9)))),
            ("bytes=-3", 10, Ok(Some((7, 9)))),
            ("bytes=-30", 10, Ok(Some((0, 9)))),
            ("bytes=9-99", 10, Ok(Some((9, 9)))),
            ("bytes=10-", 10, Err(())),
            ("bytes=10-12", 10, Err(())),
            ("bytes=-0", 10, Err(())),
            ("bytes=0-", 0, Err(())),
            ("bytes=-1", 0, Err(())),
            ("bytes=4-2", 10, Ok(None)),
            ("bytes=0-1,3-4", 10, Ok(None)),
            ("lines=0-1", 10, Ok(None)),
            ("bytes=a-b", 10, Ok(None)),
            ("bytes=-", 10, Ok(None)),
        ] {
            assert_eq!(parse_range(range, size), expected, "{range} of {size}");
        }
    }

    proptest! {
        #[test]
        fn a_range_is_always_inside(range in "bytes=[0-9]{0,4}-[0-9]{0,4}", size in 0_usize..5000) {
            if let Ok(Some((first, last))) = parse_range(&range, size) {
                prop_assert!(first <= last && last < size);
            }
        }
    }
}
