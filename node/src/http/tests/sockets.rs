//! Real sockets: a server on a free port, and a client that does what no HTTP library would.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::support::Script;
use crate::http::{App, Limits, serve};

/// Nothing in these tests takes this long unless it is broken.
pub const LONG: Duration = Duration::from_secs(20);

pub struct Server {
    pub address: SocketAddr,
    pub app: App,
    pub stop: CancellationToken,
    pub served: JoinHandle<()>,
}

pub async fn server(script: &Arc<Script>, limits: Limits) -> Server {
    let app = script.app_with(limits);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let served = tokio::spawn(serve(listener, app.public(), stop.clone()));
    Server { address, app, stop, served }
}

impl Server {
    pub async fn connect(&self) -> Client {
        Client(TcpStream::connect(self.address).await.unwrap())
    }

    /// One GET on a connection of its own.
    pub async fn get(&self, path: &str) -> String {
        let mut client = self.connect().await;
        client.send(&format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).await;
        client.rest().await
    }
}

pub struct Client(pub TcpStream);

impl Client {
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Whatever comes until the server closes. A reset counts as an end.
    pub async fn rest(&mut self) -> String {
        let mut out = Vec::new();
        let _ = timeout(LONG, self.0.read_to_end(&mut out)).await.expect("the server keeps the connection");
        String::from_utf8_lossy(&out).into_owned()
    }

    /// Reads up to and including `end`.
    pub async fn until(&mut self, end: &str) -> String {
        self.until_end_of("", end).await
    }

    /// Reads up to and including the first `end` after `start`.
    pub async fn until_end_of(&mut self, start: &str, end: &str) -> String {
        let mut out = String::new();
        // A deadline for all of it: a stream that only says that it is alive would pass one for each read.
        let deadline = tokio::time::Instant::now() + LONG;
        while !out.find(start).is_some_and(|at| out[at..].contains(end)) {
            let mut piece = [0; 4096];
            let Ok(read) = timeout_at(deadline, self.0.read(&mut piece)).await else {
                panic!("`{start}{end}` does not come, only {out:?}")
            };
            let read = read.unwrap_or(0);
            assert_ne!(read, 0, "the connection ended after {out:?}");
            out.push_str(&String::from_utf8_lossy(&piece[..read]));
        }
        out
    }
}
