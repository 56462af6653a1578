//! Those who are told: servers on loopback ports that write down what they take.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

/// Something that is told: over HTTP or by mail.
#[derive(Clone)]
pub struct Letter {
    pub head: String,
    pub body: Vec<u8>,
}

impl Letter {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|it| it.split_once(": "));
        lines.filter(|it| it.0.eq_ignore_ascii_case(name)).map(|it| it.1).next()
    }
}

/// A server on a loopback port that writes down what it takes.
#[derive(Clone)]
pub struct Receiver {
    pub port: u16,
    /// So many are answered 503 first.
    pub refusals: Arc<AtomicUsize>,
    pub refused: Arc<AtomicUsize>,
    /// It takes no more, and does not say so.
    pub silent: Arc<AtomicBool>,
    /// Who waits for it to say something.
    waiting: Arc<Mutex<Vec<TcpStream>>>,
    taken: Arc<Mutex<Vec<Letter>>>,
}

impl Receiver {
    pub fn start(serve: fn(&Self, TcpStream) -> std::io::Result<()>) -> Self {
        let door = TcpListener::bind("127.0.0.1:0").unwrap();
        let it = Self {
            port: door.local_addr().unwrap().port(),
            refusals: Arc::default(),
            refused: Arc::default(),
            silent: Arc::default(),
            waiting: Arc::default(),
            taken: Arc::default(),
        };
        let server = it.clone();
        std::thread::spawn(move || {
            for stream in door.incoming().flatten() {
                let _ = serve(&server, stream);
            }
        });
        it
    }

    fn refuses(&self) -> bool {
        let left = self.refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |it| it.checked_sub(1)).is_ok();
        self.refused.fetch_add(usize::from(left), Ordering::SeqCst);
        left
    }

    fn take(&self, head: String, body: Vec<u8>) {
        self.taken.lock().unwrap().push(Letter { head, body });
    }

    pub fn taken(&self) -> Vec<Letter> {
        self.taken.lock().unwrap().clone()
    }

    /// Waits until somebody waits for an answer.
    pub async fn kept_waiting(&self) {
        until(|| !self.waiting.lock().unwrap().is_empty()).await;
    }

    /// Waits until so many were taken in all.
    pub async fn wait(&self, count: usize) -> Vec<Letter> {
        until(|| self.taken().len() >= count).await;
        self.taken()
    }
}

pub async fn until(fact: impl Fn() -> bool) {
    let wait = async {
        while !fact() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.expect("it comes to pass");
}

pub fn http(it: &Receiver, stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? <= 2 {
            break;
        }
        if let Some(text) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
            length = text.trim().parse().unwrap();
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    if it.silent.load(Ordering::SeqCst) {
        it.waiting.lock().unwrap().push(stream);
        return Ok(());
    }
    let status = if it.refuses() { "503 Service Unavailable" } else { "200 OK" };
    if status.starts_with("200") {
        it.take(head, body);
    }
    write!(&stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}

/// As little of SMTP as a client needs.
pub fn smtp(it: &Receiver, mut stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut said = String::new();
    write!(stream, "220 stub ESMTP\r\n")?;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        said.push_str(&line);
        match line.get(..4).unwrap_or_default() {
            "EHLO" => write!(stream, "250-stub\r\n250 AUTH PLAIN\r\n")?,
            "AUTH" => write!(stream, "235 come in\r\n")?,
            "DATA" => {
                write!(stream, "354 go on\r\n")?;
                let mut mail = String::new();
                while !mail.ends_with("\r\n.\r\n") {
                    reader.read_line(&mut mail)?;
                }
                it.take(said.clone(), mail.into_bytes());
                write!(stream, "250 taken\r\n")?;
            }
            "QUIT" => return write!(stream, "221 bye\r\n"),
            _ => write!(stream, "250 fine\r\n")?,
        }
    }
}
