//! How a load reaches a node: requests that were put together before the clock started, over plain connections that stay open.
//!
//! The client of a measurement shares the machine with what it measures. The command line's HTTP client costs as much as a node's whole
//! work on a message, so a load has one of its own, which does what a post needs and nothing else: one write, one read, a status and a
//! length. One request is under way on a connection at a time, as with the clients that people use.

use ao_types::{DataItem, Verified};
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::cli::client::refused;
use crate::cli::exit::{Exit, Failure};
use crate::error::Code;

/// A head and a body that are longer than this are no answer to a post.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// A post of an item, as it goes over the wire.
pub fn request(address: &str, item: &Verified<DataItem>) -> Bytes {
    let body = item.as_bytes();
    let head = format!(
        "POST /v1/messages HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/octet-stream\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat().into()
}

/// What a node said to a post.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// The item has its slot.
    Taken,
    /// Ask again.
    Busy,
}

/// A connection to a node.
pub struct Line {
    stream: TcpStream,
    address: String,
    read: BytesMut,
}

impl Line {
    /// Connects to `host:port`.
    ///
    /// # Errors
    /// Nobody is there.
    pub async fn open(address: &str) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address).await.map_err(|error| gone(address, &error.to_string()))?;
        stream.set_nodelay(true).map_err(|error| gone(address, &error.to_string()))?;
        Ok(Self { stream, address: address.to_owned(), read: BytesMut::with_capacity(4 << 10) })
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// The node is gone, or refuses the item.
    pub async fn post(&mut self, request: &[u8]) -> Result<Said, Failure> {
        self.stream.write_all(request).await.map_err(|error| gone(&self.address, &error.to_string()))?;
        loop {
            if let Some(answer) = answer(&self.read).map_err(|reason| gone(&self.address, reason))? {
                let Answer { status, head, body } = answer;
                let said = said(status, &self.read[head..head + body]);
                drop(self.read.split_to(head + body));
                return said;
            }
            let found = self.stream.read_buf(&mut self.read).await.map_err(|error| gone(&self.address, &error.to_string()))?;
            if found == 0 {
                return Err(gone(&self.address, "it closed the connection"));
            }
        }
    }
}

fn said(status: u16, body: &[u8]) -> Result<Said, Failure> {
    if status < 300 {
        return Ok(Said::Taken);
    }
    let failure = refused(status, body);
    if failure.code == Some(Code::Busy) { Ok(Said::Busy) } else { Err(failure) }
}

fn gone(address: &str, reason: &str) -> Failure {
    Failure::new(Exit::Unreachable, format!("{address} does not answer: {reason}"))
}

/// Status of an answer, and how long its two parts are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    head: usize,
    body: usize,
}

/// Reads an answer; `None` while it is not whole.
fn answer(bytes: &[u8]) -> Result<Option<Answer>, &'static str> {
    let Some(head) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return if bytes.len() > ANSWER_BYTES_MAX { Err("its answer has no end") } else { Ok(None) };
    };
    let text = std::str::from_utf8(&bytes[..head]).map_err(|_| "its answer is no HTTP")?;
    let status = text.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok()).ok_or("its answer is no HTTP/1.1")?;
    let length = text.lines().filter_map(|line| line.split_once(':')).find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let body = length.and_then(|(_, value)| value.trim().parse().ok()).ok_or("its answer does not say how long it is")?;
    if body > ANSWER_BYTES_MAX {
        return Err("its answer is too long");
    }
    let head = head + 4;
    Ok((bytes.len() >= head + body).then_some(Answer { status, head, body }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &[u8] = b"HTTP/1.1 202 Accepted\r\nContent-Length: 5\r\nx: y\r\n\r\nhello";

    #[test]
    fn an_answer_is_read_when_it_is_whole() {
        for length in 0..WHOLE.len() {
            assert_eq!(answer(&WHOLE[..length]), Ok(None), "{length}");
        }
        let whole = Answer { status: 202, head: WHOLE.len() - 5, body: 5 };
        assert_eq!(answer(WHOLE), Ok(Some(whole)));
        assert_eq!(answer(&[WHOLE, b"HTTP/1.1 2"].concat()), Ok(Some(whole)), "what follows is the next one's");
        for bad in ["HTTP/1.1 200 OK\r\n\r\n", "nonsense\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n"] {
            assert!(answer(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(answer(&vec![b'x'; ANSWER_BYTES_MAX + 1]).is_err());
    }

    #[tokio::test]
    async fn a_line_carries_one_post_after_the_other() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let wallet = ao_types::Wallet::ed25519_from_seed(&[1; 32]);
        let request = request(&address, &ao_types::ItemBuilder::new().data("x").sign(&wallet).unwrap());
        let length = request.len();
        let node = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut got = vec![0; length];
            let busy = br#"{"error":{"code":"AON-4001","message":"full","retry_after_s":1}}"#;
            let busy = [format!("HTTP/1.1 503 no\r\ncontent-length: {}\r\n\r\n", busy.len()).as_bytes(), busy].concat();
            for answer in [WHOLE, &busy, b"HTTP/1.1 400 no\r\ncontent-length: 2\r\n\r\n{}"] {
                socket.read_exact(&mut got).await.unwrap();
                socket.write_all(answer).await.unwrap();
            }
            got
        });
        let mut line = Line::open(&address).await.unwrap();
        assert_eq!(line.post(&request).await.unwrap(), Said::Taken);
        assert_eq!(line.post(&request).await.unwrap(), Said::Busy);
        assert!(line.post(&request).await.is_err());
        let got = node.await.unwrap();
        assert_eq!(got, request);
        assert_eq!(line.post(&request).await.unwrap_err().exit, Exit::Unreachable);
    }
}
