//! What HTTP costs beyond signature, order and evaluation: processor time of the thread that serves, per request, over loopback sockets.
//!
//! `cargo bench -p aonode --bench http`. The node is a real one on a memory store with the default Lua module; it verifies, orders and
//! evaluates on threads of its own, which are not counted. The client has a thread of its own too, and one connection.

#![allow(clippy::print_stdout, reason = "figures are what a bench is for")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ao_types::{Id, ItemBuilder, Tag, Wallet};
use aonode::http::{App, Limits, serve};
use aonode::metrics::{Build, Metrics};
use aonode::shell::Options;
use aonode::wiring::Setup;
use aonode::{Node, handle::Via};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

const REQUESTS: usize = 2_000;

fn main() {
    let metrics = Metrics::new(&Build::new("solo", "bench")).expect("names are unique");
    let wallet = |seed| Wallet::ed25519_from_seed(&[seed; 32]);
    let options = Options::new("bench", Arc::new(wallet(1)), Arc::new(wallet(2)), metrics.clone());
    let setup = Setup::standard(ao_vm::Settings::default(), 2_000).expect("the machine starts");
    let (node, running) = Node::start(options, setup, None, &ao_storage::rocks::Settings::default()).expect("the node starts");
    let served = node.clone();
    let (send_address, address) = oneshot::channel();
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let server = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let app = App::new(Arc::new(served), Limits::default(), metrics, stopped.clone());
            // SAFETY: no arguments; the id of this thread.
            let thread = unsafe { libc::gettid() };
            let _ = send_address.send((listener.local_addr().expect("an address"), thread));
            serve(listener, app.public(), stopped).await;
        });
    });
    let (address, thread) = address.blocking_recv().expect("the server is up");

    let tag = |name: &str, value: &str| Tag::new(name, value);
    let own = |kind: &str| [tag("Data-Protocol", "ao"), tag("Variant", "ao.TN.1"), tag("Type", kind)];
    let identity = node.identity();
    let process = ItemBuilder::new()
        .tags(own("Process"))
        .tags([tag("Module", &identity.default_module.to_string()), tag("Scheduler", &identity.scheduler.to_string())])
        .sign(&wallet(9))
        .expect("signs");
    let message = |n: usize| {
        let tags = [tag("Action", "Nothing"), tag("N", &n.to_string())];
        let builder = ItemBuilder::new().target(process.id()).tags(own("Message")).tags(tags).data(vec![b'x'; 1024]);
        builder.sign(&wallet(9)).expect("signs")
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(node.submit(process.as_bytes().clone(), Via::Client)).expect("spawns");
    let items: Vec<_> = (0..REQUESTS).map(message).collect();
    let ids: Vec<Id> = items.iter().map(|item| item.id()).collect();

    println!("{REQUESTS} requests each, one connection, one serving thread, memory store");
    let mut client = Client::new(address);
    measure("POST / (1 KiB message)", thread, || {
        for item in &items {
            let bytes = item.as_bytes();
            client.ask(&format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", bytes.len()), bytes, 202);
        }
    });
    let last = ids.last().copied().expect("some");
    runtime.block_on(node.result(process.id(), last)).expect("evaluates");
    measure("GET /result/{message}", thread, || {
        for id in &ids {
            client.ask(&format!("GET /result/{id}?process-id={} HTTP/1.1\r\nhost: x\r\n\r\n", process.id()), &[], 200);
        }
    });
    measure("GET /livez", thread, || (0..REQUESTS).for_each(|_| client.ask("GET /livez HTTP/1.1\r\nhost: x\r\n\r\n", &[], 200)));
    let page = format!("GET /{0}?process-id={0}&limit=100 HTTP/1.1\r\nhost: x\r\n\r\n", process.id());
    measure("GET /{process}, 100 slots (without the reading thread)", thread, || {
        (0..REQUESTS / 20).for_each(|_| client.ask(&page, &[], 200))
    });
    drop(client);
    stop.cancel();
    server.join().expect("ends");
    running.stop(Duration::from_secs(5));
}

fn measure(what: &str, thread: i32, work: impl FnOnce()) {
    let (before, began) = (thread_cpu(thread), Instant::now());
    work();
    let (cpu, wall) = (thread_cpu(thread) - before, began.elapsed());
    let requests = if what.contains("100 slots") { REQUESTS / 20 } else { REQUESTS } as f64;
    println!("{what:52} {:8.1} µs CPU   {:8.1} µs wall", cpu.as_secs_f64() * 1e6 / requests, wall.as_secs_f64() * 1e6 / requests);
}

/// Processor time of one thread of this process, user and kernel, nanoseconds as the scheduler counts them.
fn thread_cpu(thread: i32) -> Duration {
    let text = std::fs::read_to_string(format!("/proc/self/task/{thread}/schedstat")).unwrap_or_default();
    Duration::from_nanos(text.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(0))
}

struct Client {
    socket: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    fn new(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).expect("connects");
        socket.set_nodelay(true).expect("a socket option");
        Self { socket, buffer: vec![0; 1 << 20] }
    }

    fn ask(&mut self, head: &str, body: &[u8], status: u16) {
        let request = [head.as_bytes(), body].concat();
        self.socket.write_all(&request).expect("writes");
        let mut have = 0;
        let (head, length) = loop {
            have += self.socket.read(&mut self.buffer[have..]).expect("reads");
            let text = std::str::from_utf8(&self.buffer[..have.min(4096)]).unwrap_or_default();
            let Some(head) = text.find("\r\n\r\n") else { continue };
            assert_eq!(&text[9..12], status.to_string(), "{text}");
            let length =
                text[..head].lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |n| n.parse().expect("a number"));
            break (head + 4, length);
        };
        if self.buffer.len() < head + length {
            self.buffer.resize(head + length, 0);
        }
        while have < head + length {
            have += self.socket.read(&mut self.buffer[have..]).expect("reads");
        }
    }
}
