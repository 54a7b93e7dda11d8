//! Data by id, whole or in ranges. It is sent as it is read, a chunk at a time.

use ao_types::Id;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::stream;

use super::{App, text};
use crate::limits::DATA_BYTES_MAX;
use crate::station::{Found, corrupted};

async fn find(app: &App, id: &str) -> Result<Found, Response> {
    let gateway = app.gateway;
    let found = match Id::parse(id) {
        Ok(id) => app.blocking(move |station| station.data_of(gateway, &id)).await?,
        Err(_) => None,
    };
    found.ok_or_else(|| text(StatusCode::NOT_FOUND, "Not Found."))
}

/// `GET /raw/{id}` and `GET /{id}`: of an item, its data alone.
pub async fn data(State(app): State<App>, Path(id): Path<String>, headers: HeaderMap) -> Result<Response, Response> {
    let found = find(&app, &id).await?;
    let length = found.data.len();
    let range = match headers.get(header::RANGE).and_then(|value| value.to_str().ok()).map(|text| range_of(text, length)) {
        None | Some(Range::Whole) => None,
        Some(Range::Part(from, to)) => Some((from, to)),
        Some(Range::Impossible) => {
            let mut response = text(StatusCode::RANGE_NOT_SATISFIABLE, "");
            set(&mut response, header::CONTENT_RANGE, format!("bytes */{length}"));
            return Err(response);
        }
    };
    let (from, to) = range.unwrap_or((0, length));
    let content_type = found.content_type.clone();
    let mut response = Response::new(pieces(app, found, from, to));
    if range.is_some() {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        set(&mut response, header::CONTENT_RANGE, format!("bytes {from}-{}/{length}", to.saturating_sub(1)));
    }
    set(&mut response, header::CONTENT_LENGTH, (to - from).to_string());
    set(&mut response, header::ACCEPT_RANGES, "bytes".to_owned());
    set(&mut response, header::CONTENT_TYPE, content_type.unwrap_or_else(|| "application/octet-stream".to_owned()));
    Ok(response)
}

/// `GET /tx/{id}/data`: the same as text in base64url, within a bound.
pub async fn data_text(State(app): State<App>, Path(id): Path<String>) -> Result<Response, Response> {
    let found = find(&app, &id).await?;
    let data = found.data.clone();
    let bytes = app.blocking(move |station| station.read_whole(&data, DATA_BYTES_MAX)).await?;
    let bytes = bytes.ok_or_else(|| text(StatusCode::BAD_REQUEST, "tx_data_too_big"))?;
    let bytes = if found.corrupt { corrupted(&bytes) } else { bytes };
    Ok(text(StatusCode::OK, URL_SAFE_NO_PAD.encode(bytes)))
}

/// A value that is no header is left out: tags of items may hold anything.
fn set(response: &mut Response, name: header::HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        response.headers_mut().insert(name, value);
    }
}

fn pieces(app: App, found: Found, from: u64, to: u64) -> Body {
    let corrupt = found.corrupt;
    let steps = stream::try_unfold((app, found.data, from), move |(app, data, at)| async move {
        if at >= to {
            return Ok::<_, std::io::Error>(None);
        }
        let shared = app.shared.clone();
        let (data, piece) = tokio::task::spawn_blocking(move || {
            let piece = shared.station.read(&data, at);
            (data, piece)
        })
        .await
        .map_err(std::io::Error::other)?;
        let piece: Bytes = piece.ok_or_else(|| std::io::Error::other("a chunk is gone"))?;
        let piece = piece.slice(..piece.len().min(usize::try_from(to - at).unwrap_or(usize::MAX)));
        let piece = if corrupt { corrupted(&piece) } else { piece };
        let next = at + piece.len() as u64;
        Ok(Some((piece, (app, data, next))))
    });
    Body::from_stream(steps)
}

#[derive(Debug, PartialEq, Eq)]
enum Range {
    /// From the first byte to behind the last.
    Part(u64, u64),
    /// Not a form that is served in parts: then everything is sent, as the standard has it.
    Whole,
    Impossible,
}

/// One range of bytes.
fn range_of(text: &str, length: u64) -> Range {
    let Some((first, last)) = text.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else { return Range::Whole };
    match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), _) if first >= length => Range::Impossible,
        (Ok(first), Ok(last)) if last < first => Range::Whole,
        (Ok(first), Ok(last)) => Range::Part(first, last.saturating_add(1).min(length)),
        (Ok(first), Err(_)) if last.is_empty() => Range::Part(first, length),
        (Err(_), Ok(0)) if first.is_empty() => Range::Impossible,
        (Err(_), Ok(last)) if first.is_empty() => Range::Part(length.saturating_sub(last), length),
        _ => Range::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let length = 10;
        for (text, expected) in [
            ("bytes=0-3", Range::Part(0, 4)),
            ("bytes=4-", Range::Part(4, 10)),
            ("bytes=-3", Range::Part(7, 10)),
            ("bytes=-30", Range::Part(0, 10)),
            ("bytes=9-18446744073709551615", Range::Part(9, 10)),
            ("bytes=10-", Range::Impossible),
            ("bytes=-0", Range::Impossible),
            ("bytes=5-4", Range::Whole),
            ("bytes=1-2,4-5", Range::Whole),
            ("lines=1-2", Range::Whole),
            ("bytes=-", Range::Whole),
        ] {
            assert_eq!(range_of(text, length), expected, "{text}");
        }
    }
}
