//! Each bound of `limits.rs` bites, on real sockets (`faults.md`, F21, F38 to F40, F52, F53).

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use super::sockets::{Server, server};
use super::support::{HOME, Script, message_item, send_from, strict};
use crate::http::limits::{DRAIN_BYTES_MAX, HEADER_BYTES_MAX, ITEM_BYTES_MAX, JSON_DEPTH_MAX, STOP_GRACE, URI_BYTES_MAX};
use crate::http::{Limits, Rates};
use crate::metrics::labels::HttpRejection;

const SHORT: Duration = Duration::from_millis(200);

impl Server {
    fn rejected(&self, reason: HttpRejection) -> u64 {
        self.app.metrics.http_rejected_total.of(reason).get()
    }
}

#[tokio::test]
async fn slow_headers_end_and_others_are_served_meanwhile() {
    let script = Script::new();
    let server = server(&script, Limits { header_timeout: SHORT, ..Limits::default() }).await;
    let mut silent = server.connect().await;
    let mut halting = server.connect().await;
    halting.send("GET / HT").await;
    let mut dribbling = server.connect().await;
    dribbling.send("GET / HTTP/1.1\r\n").await;
    let dribble = async {
        // One header line now and then, for ever: never silent, never done.
        for n in 0.. {
            if tokio::io::AsyncWriteExt::write_all(&mut dribbling.0, format!("x-{n}: y\r\n").as_bytes()).await.is_err() {
                return;
            }
            tokio::time::sleep(SHORT / 20).await;
        }
    };
    // A second request on a connection is timed like the first.
    let mut second = server.connect().await;
    second.send("GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await;
    second.until("\r\n\r\n").await;
    second.send("GET").await;
    let began = Instant::now();
    let (a, b, (), c) = tokio::join!(silent.rest(), halting.rest(), dribble, second.rest());
    assert_eq!((a.as_str(), b.as_str(), c.as_str()), ("", "", ""));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(server.get("/livez").await.starts_with("HTTP/1.1 200"));
    assert_eq!(server.rejected(HttpRejection::HeaderTimeout), 4);
}

#[tokio::test]
async fn idle_connections_end_and_waiting_ones_do_not() {
    let script = Script::new();
    let process = script.spawned(5);
    let message = script.sent(process, "1").id;
    let limits = Limits { header_timeout: Duration::from_secs(60), idle_timeout: SHORT, ..Limits::default() };
    let server = server(&script, limits).await;
    let mut waiting = server.connect().await;
    waiting.send(format!("GET /result/{message}?process-id={process} HTTP/1.1\r\nhost: x\r\n\r\n")).await;
    let mut idle = server.connect().await;
    idle.send("GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(idle.rest().await.starts_with("HTTP/1.1 200"));
    // The idle one is gone; the one that waits for its result, older than it, is not.
    script.evaluate(process, 1, 0, "{\"late\":1}", false);
    assert!(waiting.until("{\"late\":1}").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn slow_bodies_end() {
    let script = Script::new();
    let limits = Limits { body_grace: SHORT, body_rate_min: 1_000_000, ..Limits::default() };
    let server = server(&script, limits).await;
    for head in ["content-length: 1000000", "transfer-encoding: chunked"] {
        let mut client = server.connect().await;
        client.send(format!("POST / HTTP/1.1\r\nhost: x\r\n{head}\r\n\r\n")).await;
        let answer = client.until("}").await;
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
        assert!(answer.contains("AON-2008"), "{answer}");
    }
    assert_eq!(server.rejected(HttpRejection::BodyTimeout), 2);
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_clearly_to_a_client_that_writes_first() {
    let script = Script::new();
    let server = server(&script, Limits::default()).await;
    let eleven = vec![0_u8; 11 * 1024 * 1024];
    let refused = |answer: &str| {
        assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
        assert!(answer.contains(r#"{"error":"the body is "#) && answer.contains("at most 10485760 bytes"), "{answer}");
    };
    // Declared, and sent to the end before anything is read.
    let mut client = server.connect().await;
    client.send(format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", eleven.len())).await;
    client.send(&eleven).await;
    refused(&client.until("}").await);
    // The connection is still good.
    client.send("GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(client.rest().await.starts_with("HTTP/1.1 200"));
    // Not declared.
    let mut client = server.connect().await;
    client.send("POST /mu HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n").await;
    for piece in eleven.chunks(1024 * 1024) {
        client.send(format!("{:x}\r\n", piece.len())).await;
        client.send(piece).await;
        client.send("\r\n").await;
    }
    client.send("0\r\n\r\n").await;
    refused(&client.until("}").await);
    // A client that asks before it sends is told not to.
    let mut client = server.connect().await;
    client.send(format!("POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n", eleven.len())).await;
    let answer = client.until("}").await;
    assert!(!answer.contains("100 Continue"), "{answer}");
    refused(&answer);
    // So much that it is not even read: the answer comes before the body.
    let mut client = server.connect().await;
    client.send(format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", DRAIN_BYTES_MAX + 1)).await;
    refused(&client.until("}").await);
    assert_eq!(server.rejected(HttpRejection::BodySize), 4);
    assert!(script.calls.lock().is_empty(), "none of it reached the node");
}

#[tokio::test]
async fn the_largest_item_passes() {
    let script = Script::new();
    let process = script.spawned(5);
    let server = server(&script, Limits::default()).await;
    let overhead = message_item(process, &[], "").as_bytes().len();
    let item = message_item(process, &[], vec![b'x'; ITEM_BYTES_MAX - overhead]);
    assert_eq!(item.as_bytes().len(), ITEM_BYTES_MAX);
    let mut client = server.connect().await;
    client.send(format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {ITEM_BYTES_MAX}\r\nconnection: close\r\n\r\n")).await;
    client.send(item.as_bytes()).await;
    assert!(client.rest().await.starts_with("HTTP/1.1 202"));
}

#[tokio::test]
async fn bodies_together_have_a_bound() {
    let script = Script::new();
    let limits = Limits { bodies_bytes_max: 1024 * 1024, ..Limits::default() };
    let server = server(&script, limits).await;
    // One upload takes all the room and stops one byte before its end.
    let mut first = server.connect().await;
    first.send("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1048576\r\n\r\n").await;
    first.send(vec![0; 1024 * 1024 - 1]).await;
    while server.app.bodies.available_permits() > 0 {
        tokio::task::yield_now().await;
    }
    let mut second = server.connect().await;
    second.send("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 7\r\n\r\ngarbage").await;
    let answer = second.until("}").await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("retry-after: 1") && answer.contains("AON-4001"), "{answer}");
    first.send([0]).await;
    assert!(first.until("}").await.starts_with("HTTP/1.1 400"));
    let mut third = server.connect().await;
    third.send("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 7\r\n\r\ngarbage").await;
    assert!(third.until("}").await.starts_with("HTTP/1.1 400"), "the room was given back");
}

#[tokio::test]
async fn long_targets_and_headers_are_refused() {
    let script = Script::new();
    let server = server(&script, Limits::default()).await;
    let answer = server.get(&format!("/livez?{}", "x".repeat(URI_BYTES_MAX))).await;
    assert!(answer.starts_with("HTTP/1.1 414") && answer.contains("AON-2006"), "{answer}");
    let ask = async |bytes: usize| {
        let mut client = server.connect().await;
        let line = format!("x-long: {}\r\n", "y".repeat(bytes / 4 - 10));
        client.send(format!("GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{}\r\n", line.repeat(4))).await;
        client.rest().await
    };
    assert!(ask(HEADER_BYTES_MAX - 1000).await.starts_with("HTTP/1.1 200"));
    let answer = ask(HEADER_BYTES_MAX + 1000).await;
    assert!(answer.starts_with("HTTP/1.1 431") && answer.contains("AON-2007"), "{answer}");
    assert!(ask(200_000).await.starts_with("HTTP/1.1 431"), "the parser's own bound");
    let many = "a: b\r\n".repeat(200);
    let mut client = server.connect().await;
    client.send(format!("GET /livez HTTP/1.1\r\nhost: x\r\n{many}\r\n")).await;
    assert!(client.rest().await.starts_with("HTTP/1.1 431"));
    let answer = server.get(&format!("/results/x?{}", "a&".repeat(65))).await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("query parameters"), "{answer}");
}

#[tokio::test]
async fn deep_json_is_refused_before_it_is_parsed() {
    let script = Script::new();
    let process = script.spawned(5);
    let server = server(&script, Limits::default()).await;
    let post = async |path: &str, body: String| {
        let mut client = server.connect().await;
        client.send(format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())).await;
        client.rest().await
    };
    let nested = |depth: usize| format!("{{\"Data\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    let path = format!("/dry-run?process-id={process}");
    assert!(post(&path, nested(JSON_DEPTH_MAX - 1)).await.starts_with("HTTP/1.1 200"));
    for depth in [JSON_DEPTH_MAX, 100_000] {
        let answer = post(&path, nested(depth)).await;
        assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("nests deeper"), "{answer}");
    }
    assert_eq!(server.rejected(HttpRejection::JsonDepth), 2);
}

#[tokio::test]
async fn packed_bodies_are_refused_unopened() {
    let script = Script::new();
    let server = server(&script, Limits::default()).await;
    for coding in ["gzip", "deflate", "br", "zstd", "identity, gzip", "x"] {
        let mut client = server.connect().await;
        client
            .send(format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-encoding: {coding}\r\ncontent-length: 3\r\nconnection: close\r\n\r\nabc"))
            .await;
        let answer = client.rest().await;
        assert!(answer.starts_with("HTTP/1.1 415") && answer.contains("AON-2009"), "{coding}: {answer}");
    }
    assert_eq!(server.rejected(HttpRejection::Encoding), 6);
}

#[tokio::test]
async fn connections_have_a_bound_and_wait_for_a_place() {
    let script = Script::new();
    let server = server(&script, Limits { connections_max: 2, ..Limits::default() }).await;
    let (mut first, mut second) = (server.connect().await, server.connect().await);
    for client in [&mut first, &mut second] {
        client.send("GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await;
        client.until("\r\n\r\n").await;
    }
    let mut third = server.connect().await;
    third.send("GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    let mut byte = [0];
    let early = tokio::time::timeout(SHORT, tokio::io::AsyncReadExt::read(&mut third.0, &mut byte)).await;
    assert!(early.is_err(), "served beyond the bound");
    drop(first);
    assert!(third.rest().await.starts_with("HTTP/1.1 200"));
    assert!(server.rejected(HttpRejection::Connections) > 0);
}

#[tokio::test]
async fn one_address_has_its_share_of_connections() {
    let script = Script::new();
    let rates = Rates { loopback_free: false, ..strict().rates };
    let server = server(&script, Limits { connections_per_ip_max: 2, rates, ..Limits::default() }).await;
    let mut kept = vec![server.connect().await, server.connect().await];
    for client in &mut kept {
        client.send("GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await;
        client.until("\r\n\r\n").await;
    }
    assert_eq!(server.connect().await.rest().await, "", "closed at once");
    assert_eq!(server.rejected(HttpRejection::ConnectionsPerIp), 1);
    // A place that is given up can be had again.
    drop(kept.pop());
    loop {
        let mut client = server.connect().await;
        if tokio::io::AsyncWriteExt::write_all(&mut client.0, b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.is_ok()
            && client.rest().await.starts_with("HTTP/1.1 200")
        {
            break;
        }
    }
}

#[tokio::test]
async fn rates_are_per_address_and_kind() {
    let script = Script::new();
    let process = script.spawned(5);
    let rates = Rates { read_per_s: 3, write_per_s: 2, dry_run_per_s: 1, burst_s: 1, loopback_free: false };
    let server = server(&script, Limits { rates, ..Limits::default() }).await;
    let edge = server.app.public();
    let mut client = server.connect().await;
    let mut statuses = Vec::new();
    let began = Instant::now();
    for _ in 0..12 {
        client.send("GET /timestamp HTTP/1.1\r\nhost: x\r\n\r\n").await;
        let answer = client.until("}").await;
        let status = answer[9..12].to_owned();
        // The status alone: times of day and request ids have these three digits in them now and then.
        if status == "429" {
            assert!(answer.contains("retry-after: 1") && answer.contains("AON-2004"), "{answer}");
        }
        statuses.push(status);
    }
    let passed = statuses.iter().filter(|status| *status == "200").count() as f64;
    assert!(passed >= 3.0 && passed <= 3.0 + 3.0 * began.elapsed().as_secs_f64() + 1.0, "{statuses:?}");
    // Health is free, other addresses have their own bucket, dry runs have one that is smaller.
    client.send("GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(client.until("\r\n\r\n").await.starts_with("HTTP/1.1 200"));
    let dry = || {
        let uri = format!("/dry-run?process-id={process}");
        axum::extract::Request::builder().method("POST").uri(uri).body(axum::body::Body::from("{}")).unwrap()
    };
    let elsewhere = std::net::IpAddr::from([10, 1, 2, 3]);
    assert_eq!(send_from(&edge, elsewhere, dry()).await.status, 200);
    let mut refused = 0;
    for _ in 0..20 {
        refused += u32::from(send_from(&edge, elsewhere, dry()).await.status == 429);
    }
    assert!(refused > 0);
    assert_eq!(send_from(&edge, HOME, dry()).await.status, 200);
}

#[tokio::test]
async fn dry_runs_and_waiters_have_bounds() {
    let script = Script::new();
    let process = script.spawned(5);
    let message = script.sent(process, "1").id;
    script.dry_runs.forget_permits(usize::MAX);
    let server = server(&script, Limits { dry_runs_max: 1, waiters_max: 1, ..Limits::default() }).await;
    let dry = format!("POST /dry-run?process-id={process} HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{{}}");
    let wait = format!("GET /result/{message}?process-id={process} HTTP/1.1\r\nhost: x\r\n\r\n");
    for (request, place) in [(&dry, &server.app.dry_runs), (&wait, &server.app.waiters)] {
        let mut first = server.connect().await;
        first.send(request).await;
        while place.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let mut second = server.connect().await;
        second.send(request).await;
        let answer = second.until("}").await;
        assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("retry-after: 1"), "{answer}");
        // A client that goes away gives its place back.
        drop(first);
        while place.available_permits() == 0 {
            tokio::task::yield_now().await;
        }
    }
    script.dry_runs.add_permits(1);
    let mut third = server.connect().await;
    third.send(&dry).await;
    assert!(third.until("}").await.starts_with("HTTP/1.1 200"));
    // What is in the store needs no place.
    assert!(server.get(&format!("/result/{process}?process-id={process}")).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_client_that_does_not_read_is_left() {
    let script = Script::new();
    let process = script.spawned(5);
    let big = json!({ "Output": "x".repeat(30_000_000), "GasUsed": 0 }).to_string();
    script.evaluate(process, 0, 0, &big, false);
    let server = server(&script, Limits { write_timeout: SHORT, ..Limits::default() }).await;
    let mut deaf = server.connect().await;
    deaf.send(format!("GET /result/{process}?process-id={process} HTTP/1.1\r\nhost: x\r\n\r\n")).await;
    // The server lets go although nothing was read; what the kernels hold is less than the answer.
    while server.app.connections() == 0 {
        tokio::task::yield_now().await;
    }
    while server.app.connections() > 0 {
        tokio::task::yield_now().await;
    }
    assert!(deaf.rest().await.len() < big.len());
}

#[tokio::test]
async fn a_bug_in_a_handler_costs_its_request_only() {
    let script = Script::new();
    let server = server(&script, Limits::default()).await;
    let id = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
    let mut client = server.connect().await;
    client.send(format!("POST /push/{id}/666?process-id={id} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n")).await;
    let answer = client.until("}").await;
    assert!(answer.starts_with("HTTP/1.1 500") && answer.contains("AON-5001") && !answer.contains("scripted"), "{answer}");
    client.send("GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(client.rest().await.starts_with("HTTP/1.1 200"), "on the same connection");
}

#[tokio::test]
async fn stopping_lets_requests_finish_and_then_drops_them() {
    let script = Script::new();
    let process = script.spawned(5);
    script.dry_runs.forget_permits(usize::MAX);
    let server = server(&script, Limits::default()).await;
    let dry = format!("POST /dry-run?process-id={process} HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{{}}");
    let (mut finishing, mut idle) = (server.connect().await, server.connect().await);
    finishing.send(&dry).await;
    idle.send("GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await;
    idle.until("\r\n\r\n").await;
    while server.app.dry_runs.available_permits() == Limits::default().dry_runs_max {
        tokio::task::yield_now().await;
    }
    let began = Instant::now();
    server.stop.cancel();
    assert_eq!(idle.rest().await, "", "idle connections end at once");
    script.dry_runs.add_permits(1);
    assert!(finishing.rest().await.starts_with("HTTP/1.1 200"));
    server.served.await.unwrap();
    assert!(began.elapsed() < STOP_GRACE);
    assert!(tokio::net::TcpStream::connect(server.address).await.is_err(), "nobody listens");
}

#[tokio::test]
async fn http2_is_served_within_the_same_bounds() {
    let script = Script::new();
    let server = server(&script, Limits { header_timeout: SHORT, ..Limits::default() }).await;
    let client = reqwest::Client::builder().http2_prior_knowledge().no_proxy().build().unwrap();
    let url = |path: &str| format!("http://{}{path}", server.address);
    let answer = client.get(url("/timestamp")).send().await.unwrap();
    assert_eq!((answer.version(), answer.status().as_u16()), (reqwest::Version::HTTP_2, 200));
    let answer = client.post(url("/")).body(vec![0; 11 * 1024 * 1024]).send().await.unwrap();
    assert_eq!(answer.status(), 413);
    // A preface and then nothing.
    let mut silent = server.connect().await;
    silent.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    silent.rest().await;
    assert!(server.rejected(HttpRejection::HeaderTimeout) > 0);
}

/// F53, in a process of its own: the limit of open files is a process's.
#[test]
fn running_out_of_files_is_waited_out() {
    let out = Command::new(std::env::current_exe().unwrap())
        .args(["http::tests::limits::out_of_files", "--exact", "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success() && text.contains("1 passed"), "{text}");
}

#[tokio::test]
#[ignore = "changes the process's limits; run by running_out_of_files_is_waited_out"]
async fn out_of_files() {
    let script = Script::new();
    let server = server(&script, Limits::default()).await;
    // The clients live in this process too: their sockets are made first, then the limit leaves none for the server's side.
    let mut waiting = Vec::new();
    let open = std::fs::read_dir("/proc/self/fd").unwrap().count() as u64;
    for _ in 0..4 {
        waiting.push(tokio::net::TcpSocket::new_v4().unwrap());
    }
    let set = |soft: u64| {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: both calls get a pointer to a live rlimit.
        unsafe {
            assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit), 0);
            let before = limit.rlim_cur;
            limit.rlim_cur = soft;
            assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit), 0);
            before
        }
    };
    let before = set(open + 3);
    let mut clients = Vec::new();
    for socket in waiting {
        clients.push(super::sockets::Client(socket.connect(server.address).await.unwrap()));
    }
    let cpu = || {
        // SAFETY: a plain value is filled in.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        assert_eq!(unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) }, 0);
        usage.ru_utime.tv_sec as f64 + usage.ru_utime.tv_usec as f64 / 1e6
    };
    let used = cpu();
    let mut last = clients.pop().unwrap();
    last.send("GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    let mut byte = [0];
    let early = tokio::time::timeout(Duration::from_millis(500), tokio::io::AsyncReadExt::read(&mut last.0, &mut byte)).await;
    assert!(early.is_err(), "there was a descriptor left");
    assert!(cpu() - used < 0.25, "waiting must not spin: {} s of CPU", cpu() - used);
    set(before);
    assert!(last.rest().await.starts_with("HTTP/1.1 200"), "served as soon as there are descriptors again");
}
