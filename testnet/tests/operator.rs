//! What an operator meets: paths that lead out (F42), permissions (F44), locks, the admin listener (F43), few descriptors (F53), logs without secrets, a clean end.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ao_testnet::client::Client;
use ao_testnet::items::Person;
use ao_testnet::node::Setup;
use ao_testnet::say;
use reqwest::StatusCode;
use serde_json::Value;

/// Exit codes of operations.md §1.
const CONFIG_OR_PERMISSION: i32 = 3;
const PRECONDITION: i32 = 9;

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            walk(&entry.path(), found);
        } else {
            found.push(entry.path());
        }
    }
}

/// Files that hold a secret: everything below `keys/` and `secrets/`, and the token.
fn secrets(data: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    walk(&data.join("keys"), &mut found);
    walk(&data.join("secrets"), &mut found);
    found.extend([data.join("api-token")].into_iter().filter(|path| path.exists()));
    found
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_closed_and_looser_ones_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let node = Setup::new(&data).start().await.unwrap();
    let (setup, status, _) = node.stop().await.unwrap();
    assert!(status.success() || status.code() == Some(143), "{status}");
    let secrets = secrets(&data);
    assert!(secrets.len() >= 2, "a node has keys and a token: {secrets:?}");
    assert_eq!(mode(&data), 0o700, "{}", data.display());
    for path in &secrets {
        assert_eq!(mode(path), 0o600, "{}", path.display());
        for wrong in [0o644, 0o640, 0o660] {
            fs::set_permissions(path, fs::Permissions::from_mode(wrong)).unwrap();
            let (status, text) = setup.start_refused().await.unwrap();
            assert_eq!(status.code(), Some(CONFIG_OR_PERMISSION), "{} {wrong:o}: {status}\n{text}", path.display());
            let name = path.file_name().unwrap().to_str().unwrap();
            assert!(text.contains(name), "the refusal does not name {name}:\n{text}");
        }
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).unwrap();
    let (status, text) = setup.start_refused().await.unwrap();
    assert_eq!(status.code(), Some(CONFIG_OR_PERMISSION), "{status}\n{text}");
    fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).unwrap();
    let _ = setup.start().await.unwrap().stop().await.unwrap();
}

/// F42: paths that lead out of where they begin, as clients that tidy up no path send them, on every listener. No answer has a byte of a
/// file, and none is a success but of routes that serve no files.
#[tokio::test(flavor = "multi_thread")]
async fn no_path_of_a_request_leads_to_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let node = Setup::new(&data).start().await.unwrap();
    let token = fs::read_to_string(data.join("api-token")).unwrap().trim().to_owned();
    let inside = data.join("api-token");
    let listeners = [node.base(), node.admin().unwrap(), node.metrics().unwrap()];
    let up = ["..", "%2e%2e", ".%2E", "..%2f..", "..%5c..", "%252e%252e", "..%00", "..;", "....//"];
    let before = ["", "/raw", "/gateway/raw", "/v1/items", "/v1/processes", "/docs", "/result", "/tx", "/admin", "/metrics", "/mu/cu"];
    let mut tried = 0;
    for listener in listeners {
        let address = listener.trim_start_matches("http://").split('/').next().unwrap();
        for before in before {
            for up in up {
                for file in ["api-token", "keys", "../../../../../../etc/passwd"] {
                    let answer = raw(address, &format!("{before}/{up}/{up}/{file}")).await;
                    assert!(answer.starts_with("HTTP/1.1 4"), "{listener} {before} {up} {file}: {answer}");
                    assert!(!answer.contains(&token) && !answer.contains("root:"), "{listener} {before} {up} {file}: {answer}");
                    tried += 1;
                }
            }
        }
        for absolute in
            [format!("/{}", inside.display()), format!("/raw/{}", inside.display()), "//etc/passwd".into(), "/raw//etc/passwd".into()]
        {
            let answer = raw(address, &absolute).await;
            assert!(answer.starts_with("HTTP/1.1 4") && !answer.contains(&token) && !answer.contains("root:"), "{absolute}: {answer}");
            tried += 1;
        }
    }
    say(format_args!("{tried} paths that lead out, none served"));
    let _ = node.stop().await.unwrap();
}

/// One request with its path as it stands; the whole answer.
async fn raw(address: &str, path: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_do_not_share_a_directory() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = Setup::new(folder.path().join("data")).start().await.unwrap();
    let (status, text) = first.setup().start_refused().await.unwrap();
    assert_eq!(status.code(), Some(PRECONDITION), "{status}\n{text}");
    first.alive().unwrap();
    // what a killed node leaves behind is no lock
    let setup = first.kill().await.unwrap();
    let _ = setup.start().await.unwrap().stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_configuration_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::new(folder.path().join("data"));
    for (name, value, named) in [
        ("AONODE_API__LISTN", "127.0.0.1:0", "listen"),
        ("AONODE_COMPUTE__WORKERS", "many", "workers"),
        ("AONODE_API__LISTEN", "0.0.0.0:0", "allow_remote"),
    ] {
        let (status, text) = setup.clone().env(name, value).start_refused().await.unwrap();
        assert_eq!(status.code(), Some(CONFIG_OR_PERMISSION), "{name}={value}: {status}\n{text}");
        assert!(text.contains(named), "{name}={value}: the refusal does not say {named}:\n{text}");
    }
}

/// Everything is done that could make a node log something, at its most talkative; then its log is searched for what must not be there.
#[tokio::test(flavor = "multi_thread")]
async fn logs_keep_secrets_and_data_to_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let node = Setup::new(&data).config("log.level", "trace").start().await.unwrap();
    let client = Client::new(node.base()).unwrap();
    let owner = Person::named("owner");
    let process = client.spawn(&owner, None, &[], " ").await.unwrap();
    client.eval(&owner, process, "return 'spoken-in-confidence'").await.unwrap();
    let failing = client.call(process, &owner.eval(process, "error('told-under-the-seal')")).await.unwrap();
    assert!(failing["Error"].is_string());
    let mut forged = owner.message(process, &[], "carried-in-a-forged-item");
    let mut bytes = forged.bytes.to_vec();
    bytes[10] ^= 1;
    forged.bytes = bytes.into();
    client.post("/", &forged).await.unwrap().refusal().unwrap();
    let token = fs::read_to_string(data.join("api-token")).unwrap();
    let admin = Client::new(node.admin().unwrap()).unwrap();
    let refused = admin.get("/admin/status?token=guessed-in-a-query").await.unwrap();
    assert!(refused.status.as_u16() >= 400);
    let held = secrets(&data);
    let (_, _, text) = node.stop().await.unwrap();
    assert!(text.lines().count() >= 8, "trace level says something:\n{text}");

    let mut forbidden = vec!["spoken-in-confidence".to_owned(), "told-under-the-seal".into(), "carried-in-a-forged-item".into()];
    forbidden.push(token.trim().to_owned());
    for path in held {
        collect_private(&serde_json::from_slice(&fs::read(&path).unwrap()).unwrap_or_default(), &mut forbidden);
    }
    assert!(forbidden.len() >= 5, "no private key was found to look for: {forbidden:?}");
    for secret in forbidden {
        assert!(!text.contains(&secret), "the log contains {secret}");
    }
}

/// Private members of a key file, wherever they are in it.
fn collect_private(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match (name.as_str(), value) {
                    ("d" | "p" | "q" | "dp" | "dq" | "qi" | "seed" | "secret" | "private_key", Value::String(text)) if text.len() > 16 => {
                        found.push(text.clone())
                    }
                    _ => collect_private(value, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| collect_private(value, found)),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_listener_wants_a_token_and_its_own_name() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let node = Setup::new(&data).start().await.unwrap();
    let admin = node.admin().unwrap().to_owned();
    let token = fs::read_to_string(data.join("api-token")).unwrap().trim().to_owned();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let log = |token: Option<&str>, host: Option<&str>, origin: Option<&str>| {
        let mut request = http.post(format!("{admin}/admin/log")).json(&serde_json::json!({"level": "debug", "directives": "debug"}));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(host) = host {
            request = request.header("host", host);
        }
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        async move { request.send().await.unwrap() }
    };
    for (wrong, host) in
        [(None, None), (Some("guess"), None), (Some(&token[..token.len() - 1]), None), (Some(token.as_str()), Some("evil.example:80"))]
    {
        let answer = log(wrong, host, None).await;
        let status = answer.status();
        assert!(
            status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN || status.as_u16() == 421,
            "{wrong:?} {host:?}: {status}"
        );
    }
    let foreign = log(None, None, Some("https://evil.example")).await;
    assert!(foreign.headers().get("access-control-allow-origin").is_none(), "the admin listener lets browsers in");
    assert!(foreign.headers().get("set-cookie").is_none());
    // the public listener knows nothing of it
    let public = Client::new(node.base()).unwrap();
    let answer = public.ask(reqwest::Method::POST, "/admin/log", "application/json", "{}").await.unwrap();
    assert!([404, 405].contains(&answer.status.as_u16()), "{}", answer.status);
    let _ = node.stop().await.unwrap();
}

/// F53: with few descriptors the node says so, and a flood of connections does not take it down.
#[tokio::test(flavor = "multi_thread")]
async fn few_descriptors_are_survived() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::new(folder.path().join("data")).files_max(256);
    let mut node = match setup.start().await {
        Ok(node) => node,
        Err(error) => {
            let text = format!("{error:#}");
            assert!(
                text.contains("nofile") || text.contains("descriptor") || text.contains("open files"),
                "it refuses but does not say why: {text}"
            );
            say("ulimit -n 256: refused with a reason");
            return;
        }
    };
    let text = node.log().text().to_lowercase();
    assert!(text.contains("nofile") || text.contains("descriptor") || text.contains("open files"), "nobody was warned:\n{text}");
    let address = node.base().trim_start_matches("http://").to_owned();
    let mut held = Vec::new();
    for _ in 0..400 {
        match tokio::time::timeout(Duration::from_secs(2), tokio::net::TcpStream::connect(&address)).await {
            Ok(Ok(stream)) => held.push(stream),
            _ => break,
        }
    }
    node.alive().unwrap();
    let opened = held.len();
    drop(held);
    let client = Client::new(node.base()).unwrap();
    let started = Instant::now();
    let owner = Person::named("owner");
    let process = client.spawn(&owner, None, &[], " ").await.unwrap();
    assert_eq!(client.eval(&owner, process, "6 * 7").await.unwrap(), "42");
    say(format_args!("ulimit -n 256: {opened} connections held, then answered in {:.0} ms", started.elapsed().as_secs_f64() * 1e3));
    let _ = node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_is_clean_and_quick_and_leaves_nothing_to_repeat() {
    let folder = tempfile::tempdir().unwrap();
    let node = Setup::new(folder.path().join("data")).start().await.unwrap();
    let client = Client::new(node.base()).unwrap();
    let owner = Person::named("owner");
    let process = client.spawn(&owner, None, &[], " ").await.unwrap();
    for n in 0..20 {
        client.send(&owner.eval(process, format!("N = {n}"))).await.unwrap();
    }
    let started = Instant::now();
    let (setup, status, _) = node.stop().await.unwrap();
    assert!(status.success() || status.code() == Some(143), "{status}");
    assert!(started.elapsed() < Duration::from_secs(10), "it took {:?} to stop", started.elapsed());
    let started = Instant::now();
    let node = setup.start().await.unwrap();
    let ready = started.elapsed();
    let client = Client::new(node.base()).unwrap();
    assert_eq!(client.peek(&owner, process, "N").await.unwrap(), "19");
    say(format_args!("stopped and started again, ready after {} ms; resident {} MiB", ready.as_millis(), node.resident().unwrap() >> 20));
    let _ = node.stop().await.unwrap();
}

/// Metrics are well-formed, and count what happened.
#[tokio::test(flavor = "multi_thread")]
async fn metrics_count_what_happened() {
    let folder = tempfile::tempdir().unwrap();
    let node = Setup::new(folder.path().join("data")).start().await.unwrap();
    let client = Client::new(node.base()).unwrap();
    let owner = Person::named("owner");
    let process = client.spawn(&owner, None, &[], " ").await.unwrap();
    client.eval(&owner, process, "1").await.unwrap();
    let metrics = Client::new(node.metrics().unwrap()).unwrap();
    let text = metrics.text("/metrics").await.unwrap();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
        assert!(name.starts_with("aonode_") || name.starts_with("process_"), "{line}");
        value.parse::<f64>().unwrap_or_else(|_| panic!("no number: {line}"));
        assert!(!name.contains(&process.to_string()), "an id is a label: {line}");
    }
    for name in ["aonode_build_info", "aonode_ready", "aonode_messages_total", "aonode_http_requests_total"] {
        assert!(text.contains(name), "{name} is missing");
    }
    for stage in ["assign", "confirm", "compute"] {
        let of_stage = format!("aonode_message_stage_seconds_count{{stage=\"{stage}\"}} ");
        let count = text.lines().find_map(|line| line.strip_prefix(&of_stage)).unwrap_or_else(|| panic!("no stage {stage}"));
        assert_eq!(count, "2", "{stage}: a process and a message");
    }
    let _ = node.stop().await.unwrap();
}

/// SIGHUP: what can change in a running service changes, a wrong file changes nothing, and the node says which it was.
#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_reads_the_configuration_again() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let made = tokio::process::Command::new(ao_testnet::binary::aonode().unwrap()).arg("init").arg("--datadir").arg(&data).output().await;
    let made = made.unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let file = data.join("config.toml");
    let setup = Setup::new(&data).service().config("log.format", "logfmt").config("storage.reserve", "64MiB");
    fs::write(&file, "[api]\ncors_origins = \"https://app.example\"\n").unwrap();
    let mut node = setup.start().await.unwrap();
    let http = reqwest::Client::new();
    let allowed = async || {
        let answer = http.get(format!("{}/v1/status", node.base())).header("origin", "https://app.example").send().await.unwrap();
        answer.headers().get("access-control-allow-origin").map(|value| value.to_str().unwrap().to_owned())
    };
    assert_eq!(allowed().await.as_deref(), Some("https://app.example"));

    fs::write(
        &file,
        "[api]\ncors_origins = \"https://other.example\"\nlisten = \"127.0.0.1:1\"\nbody_max = \"1MiB\"\n[log]\nlevel = \"debug\"\n",
    )
    .unwrap();
    node.hang_up().unwrap();
    let said = node.log().wait_for(|line| line.contains("config_reloaded")).await.unwrap();
    assert!(said.contains("api.cors_origins") && said.contains("log.level"), "{said}");
    // The address it listens on comes from a variable, which no file overrides.
    assert!(said.contains("api.body_max") && !said.contains("api.listen"), "{said}");
    assert_eq!(allowed().await, None);
    node.log().wait_for(|line| line.contains("http_request")).await.expect("lines of level debug");

    fs::write(&file, "[api]\ncors_origin = \"*\"\n").unwrap();
    node.hang_up().unwrap();
    let said = node.log().wait_for(|line| line.contains("config_refused")).await.unwrap();
    assert!(said.contains("cors_origins") && said.contains("config.toml"), "{said}");
    assert_eq!(allowed().await, None);
    node.alive().unwrap();
    let (_, status, _) = node.stop().await.unwrap();
    assert!(status.success() || status.code() == Some(143), "{status}");
}
