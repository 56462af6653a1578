//! One connection to the service over which one request follows the other.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::Context as _;
use starkeep::simulator::Delivery;

/// A delivery as bytes, save the host.
pub(crate) fn delivery(delivery: &Delivery) -> Vec<u8> {
    let mut bytes = b"POST /webhooks/github HTTP/1.1\r\nHost: starkeep\r\n".to_vec();
    for (name, value) in delivery.headers() {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", delivery.body.len()).as_bytes());
    bytes.extend_from_slice(&delivery.body);
    bytes
}

/// A request without a body as bytes, with a key or the admin's token.
pub(crate) fn get(path: &str, key: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: starkeep\r\nAuthorization: Bearer {key}\r\n\r\n").into_bytes()
}

/// A request with a JSON body as bytes.
pub(crate) fn post(path: &str, key: &str, body: &serde_json::Value) -> Vec<u8> {
    let body = body.to_string();
    let head = format!("POST {path} HTTP/1.1\r\nHost: starkeep\r\nAuthorization: Bearer {key}\r\n");
    format!("{head}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// Who asks.
pub(crate) struct Peer {
    stream: TcpStream,
    answers: BufReader<TcpStream>,
}

impl Peer {
    /// # Errors
    /// When nobody listens.
    pub(crate) fn meet(address: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address.trim_start_matches("http://"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let answers = BufReader::new(stream.try_clone()?);
        Ok(Self { stream, answers })
    }

    /// Sends a request and reads its answer: status and body.
    ///
    /// # Errors
    /// When the connection is closed before the answer is whole, or silent for 30 seconds.
    pub(crate) fn ask(&mut self, request: &[u8]) -> anyhow::Result<(u16, Vec<u8>)> {
        self.stream.write_all(request)?;
        let (mut status, mut length) = (None, 0);
        loop {
            let mut head = String::new();
            self.answers.read_line(&mut head)?;
            let head = head.trim_end().to_ascii_lowercase();
            if head.is_empty() {
                break;
            }
            if let Some(value) = head.strip_prefix("content-length: ") {
                length = value.parse()?;
            }
            status = status.or_else(|| head.split(' ').nth(1)?.parse().ok());
        }
        let mut body = vec![0; length];
        self.answers.read_exact(&mut body)?;
        Ok((status.context("the connection was closed")?, body))
    }
}
