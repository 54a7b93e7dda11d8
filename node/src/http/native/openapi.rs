//! The OpenAPI 3.1 document, made from the route table. Schemas are written here; a test checks real answers against them.

use serde_json::{Map, Value, json};

use super::{Route, Takes};
use crate::error::Code;

/// Codes that any route may refuse with.
const ANYWHERE: [Code; 5] = [Code::RequestInvalid, Code::RateLimited, Code::Busy, Code::Unavailable, Code::Internal];

/// The document.
pub fn document<'a>(routes: impl Iterator<Item = &'a Route>) -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for route in routes {
        let item = paths.entry(route.path).or_insert_with(|| json!({}));
        if let Some(item) = item.as_object_mut() {
            item.insert(route.method.into(), operation(route));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "aonode",
            "version": crate::VERSION,
            "summary": "The native interface of an AO node.",
            "description": "The routes of the older network (`/`, `/mu`, `/su`, `/cu`, `/gateway`) are those its clients know and are not described here.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": { "schemas": schemas() },
    })
}

fn operation(route: &Route) -> Value {
    let mut parameters: Vec<Value> = route
        .path
        .split('/')
        .filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| {
            let schema = match name {
                "slot" => json!({ "type": "integer", "minimum": 0 }),
                "evidence" => json!({ "type": "string", "pattern": "^[0-9a-f]{64}$" }),
                _ => reference("Id"),
            };
            json!({ "name": name, "in": "path", "required": true, "schema": schema })
        })
        .collect();
    parameters.extend(route.query.iter().map(
        |(name, meaning)| json!({ "name": name, "in": "query", "required": false, "description": meaning, "schema": { "type": "string" } }),
    ));
    let kind = match (route.path, route.gives.1) {
        ("/v1/events", _) => "text/event-stream",
        (_, "Bytes") => "application/octet-stream",
        _ => "application/json",
    };
    let mut responses: Map<String, Value> = Map::new();
    for status in route.gives.0 {
        // 202 of a reading route is "not yet": another body than the answer's.
        let schema = if *status == 202 && route.method == "get" && route.gives.1 != "Slot" { "Waiting" } else { route.gives.1 };
        responses.insert(status.to_string(), json!({ "description": "As asked.", "content": { kind: { "schema": reference(schema) } } }));
    }
    let mut refusals: Vec<Code> = route.refuses.iter().copied().chain(ANYWHERE).collect();
    refusals.sort_by_key(|code| code.as_str());
    for code in refusals {
        let meaning = format!("{}: {}", code.as_str(), code.meaning());
        let status = responses
            .entry(code.status().to_string())
            .or_insert_with(|| json!({ "description": "", "content": { "application/json": { "schema": reference("Error") } } }));
        let said = status["description"].as_str().unwrap_or_default();
        if !said.contains(code.as_str()) {
            status["description"] = json!(if said.is_empty() { meaning } else { format!("{said}\n\n{meaning}") });
        }
    }
    let mut operation = json!({
        "operationId": operation_id(route), "summary": route.summary, "parameters": parameters, "responses": responses,
    });
    match route.takes {
        Takes::Nothing => {}
        Takes::Item => {
            operation["requestBody"] = json!({
                "required": true, "description": "A signed ANS-104 data item, at most 10 MiB.",
                "content": { "application/octet-stream": { "schema": { "type": "string", "format": "binary" } } },
            });
        }
        Takes::Json(schema) => {
            operation["requestBody"] = json!({ "required": true, "content": { "application/json": { "schema": reference(schema) } } });
        }
    }
    operation
}

/// `get_v1_processes_process_slots`: unique because path and method are.
fn operation_id(route: &Route) -> String {
    let path: String =
        route.path.chars().filter(|c| !matches!(c, '{' | '}')).map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    format!("{}{path}", route.method)
}

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

fn object(required: &[&str], properties: Value) -> Value {
    json!({ "type": "object", "required": required, "properties": properties })
}

fn list_of(schema: Value) -> Value {
    object(&["items", "next_cursor"], json!({ "items": { "type": "array", "items": schema }, "next_cursor": nullable("string") }))
}

fn nullable(kind: &str) -> Value {
    json!({ "type": [kind, "null"] })
}

fn schemas() -> Value {
    let (text, number, flag) = (json!({ "type": "string" }), json!({ "type": "integer", "minimum": 0 }), json!({ "type": "boolean" }));
    let (id, free) = (reference("Id"), json!({ "type": "object" }));
    let maybe_id = json!({ "oneOf": [reference("Id"), { "type": "null" }] });
    let hash = json!({ "type": "string", "pattern": "^[0-9a-f]{64}$" });
    let maybe_hash = json!({ "type": ["string", "null"], "pattern": "^[0-9a-f]{64}$" });
    let state = json!({ "type": "string", "enum": ["received", "assigned", "certified", "confirmed", "anchored"] });
    let wait = object(
        &["for", "reached", "reason"],
        json!({
            "for": { "type": "string", "enum": ["assigned", "certified", "confirmed", "computed", "anchored"] }, "reached": flag, "reason": nullable("string"),
        }),
    );
    let tags = json!({ "type": ["array", "null"], "items": object(&["name", "value"], json!({ "name": text, "value": text })) });
    let array = json!({ "type": "array", "items": free });
    let evaluation = json!({
        "Messages": array, "Assignments": array, "Spawns": array, "Output": {}, "GasUsed": number, "Error": {},
    });
    let result = json!({
        "process": id, "cron": nullable("object"), "slot": number, "message": maybe_id, "timestamp": number, "block_height": number, "failed": flag, "fuel": number,
        "result_hash": hash, "state_hash": maybe_hash, "result": reference("Evaluation"),
    });
    let entry = json!({
        "process": id, "slot": number, "message": id, "assignment": id, "timestamp": number, "block_height": number, "state": state,
        "compute": object(&["state"], json!({
            "state": { "type": "string", "enum": ["waiting", "computed", "pushed"] }, "failed": flag, "fuel": number,
            "result_hash": hash, "state_hash": maybe_hash,
        })),
        "pending": array, "pushed": array, "wait": wait,
    });
    let entry_fields = ["process", "slot", "message", "assignment", "timestamp", "block_height", "state", "compute", "pending", "pushed"];
    let mut traced = entry.clone();
    traced["parent"] = maybe_id.clone();
    let endpoints = json!({ "type": "array", "items": object(&["url", "answered", "failed", "failures"], json!({
        "url": text, "answered": number, "failed": number, "failures": number,
    })) });
    let anchor = json!({
        "number": number, "state": nullable("string"), "items": number, "bytes": number, "since": number, "data_root": text,
        "height": nullable("integer"), "block": nullable("string"), "transaction": maybe_id, "signed_for": text,
        "ranges": { "type": "array", "items": object(&["process", "from", "to"], json!({ "process": id, "from": number, "to": number })) },
        "carried_state": { "type": ["object", "null"], "required": ["process", "slot", "state_hash", "item"], "properties": {
            "process": id, "slot": number, "state_hash": hash, "item": id,
        } },
    });
    let backfill = json!({ "type": ["object", "null"], "required": ["done", "of", "checkpoint"], "properties": {
        "done": number, "of": number, "checkpoint": number,
    } });
    let anchored_state = json!({ "type": ["object", "null"], "required": ["slot", "state_hash", "at", "record"], "properties": {
        "slot": number, "state_hash": hash, "at": number, "record": maybe_id,
    } });
    let mut results = list_of(object(&["slot", "cron", "failed", "result_hash", "result"], result.clone()));
    results["properties"]["backfill"] = backfill.clone();
    json!({
        "Bytes": { "type": "string", "format": "binary" },
        "Id": { "type": "string", "pattern": "^[A-Za-z0-9_-]{43}$", "description": "32 bytes as base64url." },
        "Error": object(&["error"], json!({ "error": object(&["code", "message", "detail", "retry_after_s", "doc"], json!({
            "code": { "type": "string", "pattern": "^AON-[0-9]{4}$" }, "message": text, "detail": free,
            "retry_after_s": nullable("integer"), "doc": text,
        })) })),
        "Status": object(&["version", "network", "engine", "mode", "block_height", "items", "checks", "consensus", "peers", "frames", "anchoring"], json!({
            "version": text, "commit": text, "network": text, "engine": text,
            "mode": { "type": "string", "enum": ["serving", "paused", "draining"] },
            "block_height": number, "block_timestamp": number, "items": number, "connections": number,
            "signing": { "type": ["object", "null"], "properties": {
                "key": text, "state": { "type": "string", "enum": ["listening", "held", "attesting", "over"] }, "left_ms": number,
                "clock_ahead_ms": nullable("integer"),
            } },
            "anchoring": { "type": ["object", "null"], "required": ["lag_ms", "backlog", "stages", "gateways", "bundlers"], "properties": {
                "lag_ms": number, "height": nullable("integer"), "stages": { "type": "array", "items": { "type": "object" } },
                "backlog": object(&["slots", "bytes"], json!({ "slots": number, "bytes": number, "oldest": nullable("integer") })),
                "wallet": maybe_id, "balance": nullable("string"), "spent_today": nullable("string"), "days_left": nullable("integer"), "cap": text, "floor": text,
                "gateways": endpoints, "bundlers": endpoints, "trouble": nullable("string"), "fix": nullable("string"),
            } },
            "peers": { "type": ["object", "null"], "required": ["connected", "few"], "properties": { "connected": number, "few": number } },
            "frames": { "type": ["object", "null"], "required": ["here", "elsewhere"], "properties": { "here": number, "elsewhere": number } },
            "consensus": {
                "type": ["object", "null"], "required": ["network", "validators", "stake", "own", "schedules", "chains", "more"],
                "properties": {
                    "network": maybe_hash, "validators": number, "stake": text, "schedules": flag, "more": number,
                    "own": { "type": ["object", "null"], "required": ["key", "stake"], "properties": { "key": text, "stake": text } },
                    "chains": { "type": "array", "items": object(
                        &["scheduler", "tenure", "own", "sequence", "certified", "confirmed", "behind"],
                        json!({
                            "scheduler": text, "tenure": number, "own": flag, "sequence": nullable("integer"),
                            "certified": nullable("integer"), "confirmed": nullable("integer"), "behind": number,
                        }),
                    ) },
                },
            },
            "checks": { "type": "array", "items": object(&["name", "ok", "reason"], json!({ "name": text, "ok": flag, "reason": text })) },
        })),
        "Identity": object(&["scheduler", "authority", "module", "engine", "network", "version", "wallet", "hosts"], json!({
            "scheduler": text, "authority": nullable("string"), "module": id, "engine": text, "network": text, "version": text, "wallet": text,
            "hosts": { "type": "array", "items": object(
                &["scheduler", "authority", "url"],
                json!({ "scheduler": text, "authority": nullable("string"), "url": nullable("string") }),
            ) },
        })),
        "Peers": object(&["peer", "few", "peers"], json!({
            "peer": nullable("string"), "few": number,
            "peers": { "type": "array", "items": object(&["peer", "direction", "address", "score"], json!({
                "peer": text, "direction": { "type": "string", "enum": ["in", "out"] }, "address": text, "connections": number,
                "score": { "type": "integer" }, "gossip_score": { "type": "number" }, "round_trip_ms": nullable("number"), "agent": text,
                "connected_s": number, "wanted": flag,
            })) },
        })),
        "Genesis": { "type": "object", "required": ["version", "name", "chain_id", "time", "consensus", "validators"] },
        "ProcessList": list_of(object(&["id", "owner", "module", "slot"], json!({ "id": id, "owner": text, "module": id, "slot": nullable("integer") }))),
        "Process": object(&["id", "owner", "module", "scheduler", "head", "evaluated", "confirmed_slot"], json!({
            "id": id, "owner": text, "module": id, "scheduler": text, "parent": maybe_id, "timestamp": number, "block_height": number,
            "has_cron": flag, "monitored": flag, "tags": tags, "state": nullable("string"), "confirmed_slot": nullable("integer"),
            "head": nullable("object"), "evaluated": nullable("object"), "anchored_state": anchored_state, "backfill": backfill,
        })),
        "SlotList": list_of(object(&["slot", "message", "assignment", "timestamp", "block_height", "state"], json!({
            "slot": number, "message": id, "assignment": id, "timestamp": number, "block_height": number, "state": state,
            "pushed_by": nullable("object"),
        }))),
        "Slot": object(&entry_fields, entry.clone()),
        "ResultList": results,
        "Result": object(&["process", "slot", "failed", "result_hash", "result"], result),
        "Waiting": object(&["process", "slot", "behind"], json!({
            "process": id, "slot": number, "position": number, "behind": number, "halted": nullable("string"), "state": state,
            "backfill": backfill,
        })),
        "Proof": object(
            &["format", "version", "network", "state", "process", "schedule_epoch", "slot", "item", "assignment", "hash_chain", "frame", "proof"],
            json!({
                "format": text, "version": number, "network": hash, "state": state, "process": id, "schedule_epoch": number, "slot": number,
                "item": id, "assignment": id, "hash_chain": id, "proof": text, "genesis": nullable("object"),
                "frame": object(&["scheduler", "tenure", "sequence", "id"], json!({
                    "scheduler": text, "tenure": number, "sequence": number, "id": text,
                })),
            }),
        ),
        "EvidenceList": list_of(object(&["id", "bytes", "kind", "role", "accused"], json!({
            "id": hash, "bytes": number, "kind": nullable("string"), "role": nullable("string"), "accused": { "type": "array", "items": text },
        }))),
        "AnchorList": list_of(object(&["number", "state"], anchor.clone())),
        "Anchor": object(&["number", "state", "carriers", "copies", "broken", "items"], {
            let mut anchor = anchor;
            anchor["carriers"] = json!({ "type": "array", "items": object(&["id", "reward", "anchor_height", "signed"], json!({
                "id": id, "reward": text, "anchor_height": number, "signed": number,
            })) });
            let holder = object(&["endpoint", "chunks"], json!({ "endpoint": text, "chunks": number, "promise": nullable("object") }));
            anchor["copies"] = json!({ "type": "array", "items": holder });
            anchor["broken"] = json!({ "type": "array", "items": holder });
            anchor["items"] = json!({ "type": "array", "items": id });
            anchor
        }),
        "OutboxList": list_of(object(&["slot", "kind", "index", "attempts"], json!({
            "slot": number, "cron": number, "kind": text, "index": number, "part": number, "attempts": number, "not_before": number,
            "pushed_for": maybe_id,
        }))),
        "DryRun": object(&[], json!({
            "Id": text, "Owner": text, "Target": text, "Anchor": text, "Data": text, "Tags": tags, "Timestamp": number, "Block-Height": number,
        })),
        "Evaluation": object(&["Messages", "Assignments", "Spawns", "Output"], evaluation),
        "Accepted": object(&["id", "process", "slot", "assignment", "state", "status_url"], json!({
            "id": id, "process": maybe_id, "slot": nullable("integer"), "assignment": maybe_id, "timestamp": nullable("integer"),
            "state": state, "status_url": text,
            "wait": wait,
        })),
        "Message": object(&["id", "kind", "owner", "state", "logs"], json!({
            "id": id, "kind": text, "owner": text, "target": maybe_id, "received": number, "state": state, "tags": tags,
            "logs": { "type": "array", "items": reference("Slot") },
        })),
        "Trace": object(&["id", "entries", "more"], json!({ "id": id, "more": flag, "entries": { "type": "array", "items": object(&entry_fields, traced) } })),
        "Event": { "type": "string", "description": "`id: CURSOR`, `event: assigned|certified|confirmed|computed|pushed|anchored|gap`, `data: JSON`." },
    })
}
