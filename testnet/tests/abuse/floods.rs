//! Clients that misbehave (F21, F38–F40): dribblers, floods, huge bodies, deep JSON. Limits bite, and others are answered.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use ao_testnet::client::Client;
use ao_testnet::items::Person;
use ao_testnet::node::{Node, Setup};
use ao_testnet::{count, say};
use reqwest::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::bystander::Bystander;

/// Slow answers are a symptom; this is what an unoptimised build on a busy machine may take.
const ANSWERED_WITHIN: Duration = Duration::from_secs(3);

fn address(node: &Node) -> String {
    node.base().trim_start_matches("http://").to_owned()
}

/// A connection that sends one byte of a request now and then; gives how long the node let it.
async fn dribble(address: String, start: &'static str) -> Option<Duration> {
    let mut stream = TcpStream::connect(&address).await.ok()?;
    let started = Instant::now();
    stream.write_all(start.as_bytes()).await.ok()?;
    let mut answer = [0; 256];
    loop {
        tokio::select! {
            read = stream.read(&mut answer) => match read {
                Ok(0) | Err(_) => return Some(started.elapsed()),
                Ok(_) => {} // a 408 before the end
            },
            () = tokio::time::sleep(Duration::from_millis(500)) => {
                if stream.write_all(b"x").await.is_err() {
                    return Some(started.elapsed());
                }
            }
        }
    }
}

/// F38: a thousand connections that dribble headers and bodies. They are closed, and others are answered all the while.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_dribblers_hold_up_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let mut node = Setup::new(folder.path().join("data")).start().await.unwrap();
    let bystander = Bystander::start(node.base()).await.unwrap();
    let started = Instant::now();
    let dribblers: Vec<_> = (0..count(1000, 1000))
        .map(|n| {
            let start = if n % 2 == 0 {
                "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "
            } else {
                "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\nContent-Length: 100000\r\n\r\n"
            };
            tokio::spawn(dribble(address(&node), start))
        })
        .collect();
    let everyone = futures::future::join_all(dribblers);
    let closed = tokio::time::timeout(Duration::from_secs(75), everyone).await.expect("dribblers are closed within the limits of the node");
    let answers = bystander.stop().await.unwrap();
    let lives: Vec<Duration> = closed.into_iter().filter_map(|life| life.unwrap()).collect();
    let longest = lives.iter().max().copied().unwrap_or_default();
    say(format_args!(
        "{} dribblers, closed after at most {:.1} s, all in {:.1} s; others: {answers}",
        lives.len(),
        longest.as_secs_f64(),
        started.elapsed().as_secs_f64()
    ));
    assert!(lives.len() > 500, "only {} connections were let in", lives.len());
    assert!(longest < Duration::from_secs(60), "a dribbler was held for {longest:?}");
    assert!(answers.worst() < ANSWERED_WITHIN, "others waited {:?}", answers.worst());
    node.alive().unwrap();
    let _ = node.stop().await.unwrap();
}

/// F40: with rates configured, who asks too much gets 429 with the time to wait; without a retry storm everything comes back.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_meets_its_rate() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::new(folder.path().join("data"))
        .config("api.loopback_free", false)
        .config("api.writes_per_s", 5)
        .config("api.reads_per_s", 50)
        .config("api.dry_runs_per_s", 2);
    let node = setup.start().await.unwrap();
    let client = Client::new(node.base()).unwrap();
    let owner = Person::named("flooder");
    let process = client.spawn(&owner, None, &[], " ").await.unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut refused = [0; 2];
    for n in 0..60 {
        let item = owner.message(process, &[], format!("{n}"));
        let write = http.post(node.base()).header("content-type", "application/octet-stream").body(item.bytes).send().await.unwrap();
        let dry =
            http.post(format!("{}/dry-run?process-id={process}", node.base())).json(&serde_json::json!({"Tags": []})).send().await.unwrap();
        for (kind, answer) in [write, dry].into_iter().enumerate() {
            if answer.status() == 429 {
                refused[kind] += 1;
                let wait: u64 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
                assert!(wait <= 60, "wait {wait} s");
                let body: serde_json::Value = answer.json().await.unwrap();
                assert!(body["error"].is_string(), "{body}");
            }
        }
    }
    say(format_args!("of 60 writes {} and of 60 dry runs {} were refused", refused[0], refused[1]));
    assert!(refused[0] > 10 && refused[1] > 10, "{refused:?}");
    let _ = node.stop().await.unwrap();
}

/// F40 without rates: as many requests as can be sent at once; each is answered or refused clearly, the bystander too.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_without_rates_is_answered_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut node = Setup::new(folder.path().join("data")).start().await.unwrap();
    let client = Client::new(node.base()).unwrap();
    let owner = Person::named("flooder");
    let process = client.spawn(&owner, None, &[], " ").await.unwrap();
    let bystander = Bystander::start(node.base()).await.unwrap();
    let started = Instant::now();
    let requests = count(1500, 10_000);
    let floods = (0..requests).map(|n| {
        let (client, item) = (client.clone(), owner.message(process, &[], format!("{n}")));
        async move { client.post("/", &item).await }
    });
    use futures::StreamExt as _;
    let answers: Vec<_> = futures::stream::iter(floods).buffer_unordered(256).collect().await;
    let took = started.elapsed();
    let mut taken = 0;
    for answer in answers {
        let answer = answer.unwrap();
        if answer.status.is_success() {
            taken += 1;
        } else {
            assert!([429, 503].contains(&answer.status.as_u16()), "{} {}", answer.status, answer.text());
            answer.refusal().unwrap();
        }
    }
    let answers = bystander.stop().await.unwrap();
    say(format_args!("{requests} messages at once: {taken} taken, {:.0}/s; others: {answers}", taken as f64 / took.as_secs_f64()));
    assert!(taken > 0);
    node.alive().unwrap();
    let schedule = ao_testnet::schedule::Schedule::read(&client, process).await.unwrap();
    assert_eq!(schedule.len(), taken + 1);
    let _ = node.stop().await.unwrap();
}

/// F21, F39: bodies that are too large, compressed, deep or endless are refused before they cost memory.
#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_too_much_are_refused_early() {
    let folder = tempfile::tempdir().unwrap();
    let mut node = Setup::new(folder.path().join("data")).start().await.unwrap();
    let client = Client::new(node.base()).unwrap();
    let owner = Person::named("owner");
    let process = client.spawn(&owner, None, &[], " ").await.unwrap();
    let before = node.resident().unwrap();
    let dry = format!("/dry-run?process-id={process}");
    for (name, path, kind, body, allowed) in [
        ("11 MiB item", "/", "application/octet-stream", vec![1u8; 11 << 20], [413, 413]),
        ("40 MiB item", "/", "application/octet-stream", vec![1u8; 40 << 20], [413, 413]),
        ("deep JSON", dry.as_str(), "application/json", b"[".repeat(100_000), [400, 413]),
        ("deep JSON, closed", &dry, "application/json", [b"[".repeat(5000), b"]".repeat(5000)].concat(), [400, 413]),
        ("40 MiB JSON", &dry, "application/json", vec![b' '; 40 << 20], [413, 413]),
    ] {
        match client.ask(Method::POST, path, kind, body).await {
            Ok(answer) => {
                assert!(allowed.contains(&answer.status.as_u16()), "{name}: {} {}", answer.status, answer.text());
                answer.refusal().unwrap();
            }
            // the node may close the connection while the rest is still being sent; then there is no answer to read
            Err(error) => assert!(format!("{error:?}").contains("hyper") || error.to_string().contains("request"), "{name}: {error:#}"),
        }
        node.alive().unwrap();
    }
    endless(&node).await.unwrap();
    let after = node.resident().unwrap();
    say(format_args!("resident memory from {} to {} MiB", before >> 20, after >> 20));
    assert!(after < before + (256 << 20), "resident memory grew from {} to {} MiB", before >> 20, after >> 20);
    assert_eq!(client.eval(&owner, process, "6 * 7").await.unwrap(), "42");
    let _ = node.stop().await.unwrap();
}

/// A refused body is read on for a while (64 MiB), so that its sender gets to read the refusal; then the connection is closed.
const ENDLESS_BYTES: usize = 128 << 20;

/// A chunked body that never ends: cut off at the limit, however it is dressed.
async fn endless(node: &Node) -> Result<()> {
    let mut stream = TcpStream::connect(address(node)).await?;
    stream.write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n").await?;
    let chunk = [b"10000\r\n".as_slice(), &[7u8; 0x10000], b"\r\n"].concat();
    let mut sent = 0usize;
    while sent < ENDLESS_BYTES {
        if stream.write_all(&chunk).await.is_err() {
            return Ok(());
        }
        sent += 0x10000;
        let mut answer = [0; 64];
        match tokio::time::timeout(Duration::from_micros(50), stream.read(&mut answer)).await {
            Ok(Ok(0) | Err(_)) => return Ok(()),
            Ok(Ok(n)) => {
                let head = String::from_utf8_lossy(&answer[..n]).into_owned();
                anyhow::ensure!(head.starts_with("HTTP/1.1 413"), "{head}");
                return Ok(());
            }
            Err(_) => {}
        }
    }
    Err(anyhow::anyhow!("the node took {sent} bytes of one body")).context("an endless body")
}

/// Idle connections do not keep others out for ever: the limit is met, then room is made.
#[tokio::test(flavor = "multi_thread")]
async fn more_connections_than_allowed_are_put_off_and_let_in_later() {
    let folder = tempfile::tempdir().unwrap();
    let node = Setup::new(folder.path().join("data"))
        .config("api.loopback_free", false)
        .config("api.connections_max", 50)
        .config("api.connections_per_ip", 50)
        .start()
        .await
        .unwrap();
    let mut held = Vec::new();
    for _ in 0..80 {
        if let Ok(Ok(stream)) = tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(address(&node))).await {
            held.push(stream);
        }
    }
    let files = node.open_files().unwrap();
    assert!(files < 50 + 256, "{files} open files");
    drop(held);
    let client = Client::new(node.base()).unwrap();
    let started = Instant::now();
    assert!(client.get("/timestamp").await.unwrap().status.is_success());
    say(format_args!("let in {:.0} ms after the others left", started.elapsed().as_secs_f64() * 1e3));
    let _ = node.stop().await.unwrap();
}
