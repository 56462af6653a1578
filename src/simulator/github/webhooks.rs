//! Webhooks as GitHub sends them: payloads with all their fields, signed with HMAC-SHA256 over the
//! raw bytes.

use std::fmt::Write as _;
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Map, Value, json};
use sha2::Sha256;
use uuid::Uuid;

use super::{GithubSimulator, json};
use crate::domain::ids::GithubId;
use crate::domain::refs::Oid;
use crate::simulator::SimulatorError;
use crate::simulator::record::lock;

type Result<T> = std::result::Result<T, SimulatorError>;

/// One webhook request, ready to be sent as often as one likes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The `X-GitHub-Event` header.
    pub event: String,
    /// The `X-GitHub-Delivery` header.
    pub guid: String,
    /// The raw body, JSON.
    pub body: Vec<u8>,
    /// The `X-Hub-Signature-256` header, `sha256=` in front.
    pub signature: String,
}

impl Delivery {
    /// Signs a payload under a GUID of its own.
    pub fn new(event: &str, payload: &Value, secret: &str) -> Self {
        let body = payload.to_string().into_bytes();
        let signature = sign(secret, &body);
        Self { event: event.to_owned(), guid: Uuid::new_v4().to_string(), body, signature }
    }

    /// Every header of the request, `Content-Type` included.
    pub fn headers(&self) -> [(&'static str, &str); 8] {
        [
            ("Content-Type", "application/json"),
            ("User-Agent", "GitHub-Hookshot/simulated"),
            ("X-GitHub-Event", &self.event),
            ("X-GitHub-Delivery", &self.guid),
            ("X-Hub-Signature-256", &self.signature),
            ("X-GitHub-Hook-ID", "1"),
            ("X-GitHub-Hook-Installation-Target-ID", "1"),
            ("X-GitHub-Hook-Installation-Target-Type", "integration"),
        ]
    }

    /// Sends it; answers the status and the body as JSON (`null` if it is none).
    ///
    /// # Errors
    /// When nobody answers within ten seconds, as long as GitHub waits.
    pub async fn deliver(&self, url: &str) -> Result<(u16, Value)> {
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build()?;
        let mut request = client.post(url).body(self.body.clone());
        for (name, value) in self.headers() {
            request = request.header(name, value);
        }
        let response = request.send().await?;
        let status = response.status().as_u16();
        let body = response.bytes().await?;
        Ok((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
    }
}

/// `sha256=<hex of HMAC-SHA256(secret, body)>`.
pub fn sign(secret: &str, body: &[u8]) -> String {
    let mut signature = String::from("sha256=");
    // An HMAC takes a key of any length, so there is always one.
    if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) {
        mac.update(body);
        for byte in mac.finalize().into_bytes() {
            // Writing to a String cannot fail.
            let _written = write!(signature, "{byte:02x}");
        }
    }
    signature
}

impl GithubSimulator {
    /// A user stars a repository: the star is kept and GitHub's delivery of it answered. A login
    /// without an account gets one.
    ///
    /// # Errors
    /// When there is no such repository.
    pub fn star(&self, login: &str, id: GithubId) -> Result<Delivery> {
        let at = {
            let mut state = lock(&self.shared.state);
            let user = state.ensure_account(login);
            state.repo(id)?;
            let now = state.tick();
            let stars = state.stars.entry(user).or_default();
            stars.retain(|(it, _)| *it != id);
            stars.push((id, now));
            json::time(now)
        };
        self.delivery("star", login, Some(id), json!({ "action": "created", "starred_at": at }))
    }

    /// The user takes the star back.
    ///
    /// # Errors
    /// When there is no such repository.
    pub fn unstar(&self, login: &str, id: GithubId) -> Result<Delivery> {
        {
            let mut state = lock(&self.shared.state);
            let user = state.ensure_account(login);
            if let Some(stars) = state.stars.get_mut(&user) {
                stars.retain(|(it, _)| *it != id);
            }
            state.star_lists.unstarred(user, id);
        }
        self.delivery("star", login, Some(id), json!({ "action": "deleted", "starred_at": null }))
    }

    /// GitHub tries the address of a new webhook.
    ///
    /// # Errors
    /// None as yet.
    pub fn ping(&self) -> Result<Delivery> {
        let hook =
            json!({ "type": "App", "id": 1, "name": "web", "active": true, "events": ["push", "repository", "star"] });
        self.delivery(
            "ping",
            "octocat",
            None,
            json!({ "zen": "Keep it logically awesome.", "hook_id": 1, "hook": hook }),
        )
    }

    /// A ref went from one oid to another; `None` for one that was not there, or is no more.
    ///
    /// # Errors
    /// When there is no such repository.
    pub fn push(&self, id: GithubId, name: &str, before: Option<Oid>, after: Option<Oid>) -> Result<Delivery> {
        let sender = self.owner(id)?;
        let text = |oid: Option<Oid>| oid.unwrap_or(Oid::ZERO).to_string();
        let fields = json!({
            "ref": name,
            "before": text(before),
            "after": text(after),
            "created": before.is_none(),
            "deleted": after.is_none(),
            "forced": false,
            "base_ref": null,
            "compare": format!("{}/compare/{}...{}", self.api_url(), text(before), text(after)),
            "commits": [],
            "head_commit": null,
            "pusher": { "name": sender, "email": "simulated@example.org" },
        });
        self.delivery("push", &sender, Some(id), fields)
    }

    /// `repository` with an action: `archived`, `privatized`, `edited`, …; `changes` may be null.
    ///
    /// # Errors
    /// When there is no such repository.
    pub fn repository_event(&self, id: GithubId, action: &str, changes: Value) -> Result<Delivery> {
        let mut fields = json!({ "action": action });
        if let (Value::Object(fields), false) = (&mut fields, changes.is_null()) {
            fields.insert("changes".to_owned(), changes);
        }
        self.delivery("repository", &self.owner(id)?, Some(id), fields)
    }

    /// The repository was called `from` until now.
    ///
    /// # Errors
    /// When there is no such repository.
    pub fn renamed(&self, id: GithubId, from: &str) -> Result<Delivery> {
        self.repository_event(id, "renamed", json!({ "repository": { "name": { "from": from } } }))
    }

    /// The repository belonged to `from` until now.
    ///
    /// # Errors
    /// When there is no such repository.
    pub fn transferred(&self, id: GithubId, from: &str) -> Result<Delivery> {
        let user = {
            let mut state = lock(&self.shared.state);
            let user = state.ensure_account(from);
            json::account(&state, user, &self.api_url())
        };
        self.repository_event(id, "transferred", json!({ "owner": { "from": { "user": user } } }))
    }

    /// Any event with any fields; `sender` and `repository` are filled in.
    ///
    /// # Errors
    /// When there is no such repository.
    pub fn delivery(&self, event: &str, sender: &str, id: Option<GithubId>, fields: Value) -> Result<Delivery> {
        let base = self.api_url();
        let mut state = lock(&self.shared.state);
        let user = state.ensure_account(sender);
        let mut payload = if let Value::Object(fields) = fields { fields } else { Map::new() };
        if let Some(id) = id {
            let repo = state.repo(id)?;
            let mut body = json::repository(&state, repo, &base);
            if let (true, Value::Object(body)) = (event == "push", &mut body) {
                // In push events, and only there, these are Unix seconds.
                body.insert("pushed_at".to_owned(), json!(repo.pushed_at.map(|it| it.timestamp())));
                body.insert("created_at".to_owned(), json!(repo.created_at.timestamp()));
            }
            payload.insert("repository".to_owned(), body);
        }
        payload.insert("sender".to_owned(), json::account(&state, user, &base));
        payload.insert("installation".to_owned(), json!({ "id": self.shared.options.installation_id }));
        Ok(Delivery::new(event, &Value::Object(payload), &self.shared.options.webhook_secret))
    }

    fn owner(&self, id: GithubId) -> Result<String> {
        let state = lock(&self.shared.state);
        Ok(state.login(state.repo(id)?.owner).to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_vector_is_signed_as_published() {
        let expected = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        assert_eq!(sign("It's a Secret to Everybody", b"Hello, World!"), expected);
    }
}
