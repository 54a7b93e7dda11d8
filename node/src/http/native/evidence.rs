//! `/v1/evidence`: faults that were shown to this node, for whoever wants to check them (`aonode evidence verify`).

use ao_consensus::Evidence;
use ao_consensus::evidence::Offender;
use ao_storage::schema;
use ao_types::Canonical as _;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use serde_json::{Value, json};

use super::list::Asked;
use crate::error::{Code, Rejection};
use crate::http::App;
use crate::http::query::{Query, invalid, short};
use crate::http::reply::{self, Native, store_failed};

/// Every piece, by id.
pub async fn list(State(app): State<App>, uri: Uri) -> Result<Response, Native> {
    let asked = Asked::parse(&Query::of(&uri)?)?;
    let page = app.read(move |store| {
        asked.page(store, &schema::EVIDENCE, vec![0; 32], Vec::new(), |id, bytes| {
            // Rows that this build cannot read are listed all the same: whoever can may fetch them.
            let evidence = Evidence::decode(&bytes).ok();
            let mut row = json!({ "id": hex::encode(id), "bytes": bytes.len(), "kind": evidence.as_ref().map(Evidence::kind) });
            let accused = evidence.and_then(|evidence| evidence.accused());
            (row["role"], row["accused"]) = match accused {
                Some(Offender::Scheduler(address, _)) => (json!("scheduler"), json!([address.to_string()])),
                Some(Offender::Attestors(keys)) => (json!("attestor"), json!(keys.iter().map(ToString::to_string).collect::<Vec<_>>())),
                None => (Value::Null, json!([])),
            };
            Ok(Some(row))
        })
    });
    Ok(reply::json(&page.await?))
}

/// Canonical bytes of one piece.
pub async fn one(State(app): State<App>, Path(id): Path<String>, headers: HeaderMap) -> Result<Response, Native> {
    let key: [u8; 32] = hex::decode(&id)
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| invalid(format!("'evidence': 64 hexadecimal digits are expected, found `{}`", short(&id))))?;
    let bytes = app.read(move |store| schema::EVIDENCE.get(store, &key).map_err(|error| store_failed(&error))).await?;
    let bytes = bytes.ok_or_else(|| Rejection::new(Code::ItemUnknown, format!("this node does not have evidence {id}")))?;
    if reply::has_already(&headers, &id) {
        return Ok(reply::not_modified(&id));
    }
    Ok(reply::immutable(reply::bytes(reply::OCTETS, bytes), &id))
}
