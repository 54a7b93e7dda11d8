//! Stands in front of a node and changes what it says: a scheduler's node, or a gateway, of somebody who means ill.

use std::sync::Arc;

use reqwest::Method;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What is said instead: of a path (with its query) and the JSON that the node answered.
pub type Change = dyn Fn(&str, Value) -> Said + Send + Sync;

/// An answer.
pub enum Said {
    /// This.
    Json(Value),
    /// Ask there.
    See(String),
    /// So many bytes of nothing.
    Bytes(usize),
}

/// A running one; it ends with the value.
pub struct Shim {
    pub url: String,
    task: JoinHandle<()>,
}

impl Drop for Shim {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shim {
    pub async fn before(node: &str, change: impl Fn(&str, Value) -> Said + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (node, change): (String, Arc<Change>) = (node.to_owned(), Arc::new(change));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (node, change) = (node.clone(), Arc::clone(&change));
                // Whoever hangs up is not waited for.
                tokio::spawn(async move { serve(stream, &node, &*change).await.ok() });
            }
        });
        Self { url, task }
    }
}

/// One request, and the connection ends.
async fn serve(stream: TcpStream, node: &str, change: &Change) -> anyhow::Result<()> {
    let mut stream = BufReader::new(stream);
    let (mut line, mut length) = (String::new(), 0);
    stream.read_line(&mut line).await?;
    let words: Vec<&str> = line.split_whitespace().collect();
    let (method, path) = (words[0].to_owned(), words[1].to_owned());
    loop {
        let mut header = String::new();
        stream.read_line(&mut header).await?;
        if header.trim().is_empty() {
            break;
        }
        if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let request = reqwest::Client::new().request(Method::from_bytes(method.as_bytes())?, format!("{node}{path}"));
    let answer = request.header("content-type", "application/json").body(body).send().await?;
    let (status, bytes) = (answer.status(), answer.bytes().await?);
    let stream = stream.get_mut();
    let Ok(json) = serde_json::from_slice(&bytes) else {
        stream.write_all(format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", bytes.len()).as_bytes()).await?;
        return Ok(stream.write_all(&bytes).await?);
    };
    match change(&path, json) {
        Said::Json(value) => {
            let body = value.to_string();
            let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}", body.len());
            stream.write_all(format!("{head}\r\nconnection: close\r\n\r\n{body}").as_bytes()).await?;
        }
        Said::See(place) => {
            let head = format!("HTTP/1.1 307 Temporary Redirect\r\nlocation: {place}\r\ncontent-length: 0");
            stream.write_all(format!("{head}\r\nconnection: close\r\n\r\n").as_bytes()).await?;
        }
        Said::Bytes(count) => {
            stream.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {count}\r\nconnection: close\r\n\r\n").as_bytes()).await?;
            for _ in 0..count.div_ceil(1 << 16) {
                stream.write_all(&[b' '; 1 << 16]).await?;
            }
        }
    }
    Ok(())
}
