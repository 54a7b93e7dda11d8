//! Whatever is asked: no bug of ours, and every refusal is JSON of the form its route promises.

use axum::body::Body;
use axum::extract::Request;
use proptest::prelude::*;

use super::support::{Script, message_item, send};

const PARTS: [&str; 46] = [
    "",
    "mu",
    "su",
    "cu",
    "gateway",
    "v1",
    "result",
    "results",
    "cron",
    "state",
    "dry-run",
    "monitor",
    "push",
    "processes",
    "messages",
    "slots",
    "outbox",
    "bundle",
    "items",
    "trace",
    "latest",
    "timestamp",
    "health",
    "graphql",
    "raw",
    "tx",
    "status",
    "tx_anchor",
    "price",
    "wallet",
    "balance",
    "info",
    "height",
    "block",
    "current",
    "identity",
    "docs",
    "openapi.json",
    "0",
    "1",
    "18446744073709551615",
    "-1",
    "x",
    "{P}",
    "{M}",
    "%2e%2e",
];
const PARAMETERS: [&str; 24] = [
    "process-id={P}",
    "process-id={M}",
    "process-id=x",
    "assign={M}",
    "exclude=Data",
    "base-layer",
    "from=0",
    "from=x",
    "from=99999999999999999999",
    "to=1795345082000",
    "to={M}",
    "limit=1",
    "limit=0",
    "sort=DESC",
    "from-nonce=-1",
    "to-nonce=9223372036854775807",
    "show-anchor",
    "debug=1",
    "process={P}",
    "page=18446744073709551615",
    "cursor=AAAAAAAAAAA",
    "order=desc",
    "from=eyJ0aW1lc3RhbXAiOjEsIm9yZGluYXRlIjoiMSJ9",
    "%ff=%zz",
];
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "DELETE", "OPTIONS", "PUT", "BREW"];
const HEADERS: [(&str, &str); 8] = [
    ("range", "bytes=0-"),
    ("range", "bytes=99999999999999999999-"),
    ("if-none-match", "*"),
    ("if-none-match", "W/\"x\", \""),
    ("content-type", "application/json"),
    ("content-encoding", "gzip"),
    ("x-request-id", "\u{7f}"),
    ("content-length", "5"),
];

fn bodies() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        Just("{}".to_owned()),
        Just("item".to_owned()),
        Just(r#"{"query":"{ transactions { edges { node { id } } } }"}"#.to_owned()),
        Just(r#"{"Tags":[{"name":"a","value":"b"}],"Data":null}"#.to_owned()),
        "\\PC{0,60}",
        r#"[{}\[\]:,"a0]{0,40}"#,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn is_answered_in_form(
        method in prop::sample::select(&METHODS[..]),
        parts in prop::collection::vec(prop::sample::select(&PARTS[..]), 0..6),
        parameters in prop::collection::vec(prop::sample::select(&PARAMETERS[..]), 0..4),
        header in prop::option::of(prop::sample::select(&HEADERS[..])),
        body in bodies(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let script = Script::new();
            let edge = script.app().public();
            let process = script.spawned(5);
            let message = script.sent(process, "1").id;
            // Everything is evaluated: no request waits.
            script.evaluate(process, 1, 0, &super::support::result("1"), false);
            let fill = |text: &str| text.replace("{P}", &process.to_string()).replace("{M}", &message.to_string());
            let target = fill(&format!("/{}?{}", parts.join("/"), parameters.join("&")));
            let body = if body == "item" { message_item(process, &[], "x").as_bytes().to_vec() } else { body.clone().into_bytes() };
            let mut request = Request::builder().method(method).uri(&target);
            if let Some((name, value)) = header
                && let Ok(value) = axum::http::HeaderValue::from_bytes(value.as_bytes())
            {
                request = request.header(name, value);
            }
            if target.starts_with("/v1/events") {
                return Ok(()); // Has no end.
            }
            let answer = send(&edge, request.body(Body::from(body)).unwrap()).await;
            prop_assert!(answer.status != 500, "{method} {target}: {}", answer.text());
            prop_assert_eq!(answer.header("access-control-allow-origin"), "*");
            if answer.status.as_u16() >= 400 && method != "HEAD" && answer.status != 416 {
                let error = answer.json()["error"].clone();
                let native = parts.iter().filter(|part| !part.is_empty()).count() > 1 && parts.iter().find(|part| !part.is_empty()) == Some(&"v1");
                prop_assert!(if native { error["code"].is_string() } else { error.is_string() }, "{method} {target}: {}", answer.text());
            }
            Ok(())
        })?;
    }
}
