//! Reads a stream of events as a client does, one frame after the other.

use std::time::Duration;

use reqwest::Response;
use serde_json::Value;

const FOREVER: Duration = Duration::from_secs(60);

/// An open stream, and what of it was not looked at yet.
pub struct Following {
    response: Response,
    text: String,
}

impl Following {
    pub fn of(response: Response) -> Self {
        Self { response, text: String::new() }
    }

    /// What comes next: a frame without the blank line behind it; `None` at the end.
    pub async fn next(&mut self) -> Option<String> {
        let frame = async {
            loop {
                if let Some((frame, rest)) = self.text.split_once("\n\n") {
                    let (frame, rest) = (frame.to_owned(), rest.to_owned());
                    self.text = rest;
                    return Some(frame);
                }
                let more = self.response.chunk().await.unwrap()?;
                self.text.push_str(std::str::from_utf8(&more).unwrap());
            }
        };
        tokio::time::timeout(FOREVER, frame).await.expect("something comes")
    }
}

/// A step's id and what it says; `None` for another frame.
pub fn step(frame: &str) -> Option<(i64, Value)> {
    let lines: Vec<&str> = frame.lines().collect();
    let &[id, "event: step", data] = lines.as_slice() else { return None };
    let data = serde_json::from_str(data.strip_prefix("data: ")?).unwrap();
    Some((id.strip_prefix("id: ")?.parse().unwrap(), data))
}
