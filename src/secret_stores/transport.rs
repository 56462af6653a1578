//! One request to a store and its bounded answer.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use serde_json::Value;

use super::Failure;
use crate::outbound;

/// A secret of Secrets Manager has at most 64 KiB, one of Vault 1 MiB.
const LARGEST: usize = 2 << 20;
const ATTEMPTS: u32 = 3;
/// Between two attempts, doubled each time.
const PAUSE: Duration = Duration::from_millis(200);

/// Shares connections.
#[derive(Debug, Clone)]
pub(super) struct Transport {
    client: Result<reqwest::Client, String>,
    timeout: Duration,
}

/// An answer as it came.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Bytes,
}

impl Answer {
    /// What a store says of itself when it refuses; never of an answer that may hold a secret.
    pub(super) fn words(&self) -> String {
        let json: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let errors = json.get("errors").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        let message = ["Message", "message"].iter().find_map(|it| json.get(*it)?.as_str());
        let text = errors.chain(message).collect::<Vec<_>>().join("; ");
        text.chars().filter(|c| !c.is_control()).take(200).collect()
    }
}

impl Transport {
    pub(super) fn new(timeout: Duration) -> Self {
        Self { client: outbound::client().build().map_err(unreachable), timeout }
    }

    /// Sends what `request` makes, again if the other side is away, busy or broken.
    pub(super) async fn send<F>(&self, store: &str, request: impl Fn() -> F) -> Result<Answer, Failure>
    where
        F: Future<Output = Result<http::Request<Bytes>, Failure>>,
    {
        let mut attempt = 1;
        loop {
            let outcome = self.once(request().await?).await;
            let passing = match &outcome {
                Ok(answer) => answer.status == 429 || answer.status >= 500,
                Err(_) => true,
            };
            if !passing || attempt >= ATTEMPTS {
                let mend = "see that it runs and can be reached from here";
                return outcome.map_err(|why| Failure::new(format!("cannot be read: {store} {why}"), mend));
            }
            tokio::time::sleep(PAUSE * 2_u32.pow(attempt - 1)).await;
            attempt += 1;
        }
    }

    /// # Errors
    /// Why there is no answer.
    pub(super) async fn once(&self, request: http::Request<Bytes>) -> Result<Answer, String> {
        let request = reqwest::Request::try_from(request).map_err(unreachable)?;
        let whole = async {
            let client = self.client.as_ref().map_err(Clone::clone)?;
            let answer = client.execute(request).await.map_err(unreachable)?;
            let status = answer.status().as_u16();
            let mut body = Vec::new();
            let mut parts = answer.bytes_stream();
            while let Some(part) = parts.next().await {
                body.extend_from_slice(&part.map_err(unreachable)?);
                if body.len() > LARGEST {
                    return Err(format!("answered more than {LARGEST} bytes"));
                }
            }
            Ok(Answer { status, body: body.into() })
        };
        let late = |_| format!("did not answer within {} ms", self.timeout.as_millis());
        tokio::time::timeout(self.timeout, whole).await.map_err(late)?
    }
}

fn unreachable(error: reqwest::Error) -> String {
    format!("cannot be reached: {}", outbound::causes(error))
}
