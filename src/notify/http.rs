//! A webhook that is signed as GitHub signs its own, and a topic at an ntfy server.

use std::time::Duration;

use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Client, RequestBuilder};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use sha2::Sha256;
use url::Url;

use super::NotifyError;
use crate::config::notify::Notify;
use crate::domain::notice::Digest;
use crate::outbound;

/// For a whole request.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Posts JSON.
#[derive(Debug, Clone)]
pub(super) struct Webhook {
    http: Client,
    url: Url,
    secret: SecretString,
}

/// Posts a text.
#[derive(Debug, Clone)]
pub(super) struct Ntfy {
    http: Client,
    url: Url,
    token: Option<SecretString>,
}

impl Webhook {
    pub(super) fn new(config: &Notify) -> Result<Option<Self>, NotifyError> {
        let (Some(url), Some(secret)) = (&config.webhook_url, &config.webhook_secret) else { return Ok(None) };
        Ok(Some(Self { http: client()?, url: url.clone(), secret: secret.clone() }))
    }

    pub(super) async fn send(&self, id: &str, digest: &Digest, now: DateTime<Utc>) -> Result<(), NotifyError> {
        let Digest { at, counts, changes } = digest;
        // By the id a receiver knows what it has, by the time what somebody else sends again.
        let body = json!({
            "id": id, "at": at, "sent_at": now, "title": digest.title(), "text": digest.text(), "counts": counts,
            "changes": changes,
        })
        .to_string();
        let request = self
            .http
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("X-Starkeep-Delivery", id)
            .header("X-Hub-Signature-256", self.sign(body.as_bytes())?);
        sent(request.body(body)).await
    }

    /// `sha256=` and the HMAC of exactly the bytes that are sent.
    fn sign(&self, body: &[u8]) -> Result<String, NotifyError> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret.expose_secret().as_bytes())
            .map_err(|_| NotifyError::Config("notify.webhook_secret cannot be used".to_owned()))?;
        mac.update(body);
        Ok(format!("sha256={}", hex::encode(mac.finalize().into_bytes())))
    }
}

impl Ntfy {
    pub(super) fn new(config: &Notify) -> Result<Option<Self>, NotifyError> {
        let Some(url) = &config.ntfy_url else { return Ok(None) };
        Ok(Some(Self { http: client()?, url: url.clone(), token: config.ntfy_token.clone() }))
    }

    pub(super) async fn send(&self, digest: &Digest) -> Result<(), NotifyError> {
        let priority = if digest.is_bad() { "high" } else { "default" };
        let mut request = self.http.post(self.url.clone()).header("Title", digest.title()).header("Priority", priority);
        if let Some(token) = &self.token {
            let value = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret()));
            let mut value = value.map_err(|_| NotifyError::Config("notify.ntfy_token cannot be used".to_owned()))?;
            value.set_sensitive(true);
            request = request.header(reqwest::header::AUTHORIZATION, value);
        }
        sent(request.body(digest.text())).await
    }
}

fn client() -> Result<Client, NotifyError> {
    let http = outbound::client().timeout(TIMEOUT).build();
    http.map_err(|error| NotifyError::Config(format!("no HTTP client: {error}")))
}

async fn sent(request: RequestBuilder) -> Result<(), NotifyError> {
    let unreachable = |error| NotifyError::Unreachable(outbound::causes(error));
    // The body of the answer is nobody's business.
    let status = request.send().await.map_err(unreachable)?.status();
    if status.is_success() { Ok(()) } else { Err(NotifyError::Refused(status.as_u16())) }
}
