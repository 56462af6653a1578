//! Somebody who uses the admin API all the time.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::world::ADMIN;

/// Between two calls.
const PACE: Duration = Duration::from_millis(50);

/// How often each status was answered; 0 is no answer.
pub(super) type Statuses = BTreeMap<u16, u64>;

/// Calls under way.
pub(super) struct Calls {
    stop: CancellationToken,
    task: JoinHandle<Statuses>,
}

impl Calls {
    pub(super) async fn stop(&mut self) -> Statuses {
        self.stop.cancel();
        (&mut self.task).await.unwrap()
    }
}

pub(super) fn start(address: String) -> Calls {
    let stop = CancellationToken::new();
    let caller = Caller { client: Client::new(), address, statuses: Statuses::new(), mirrors: Vec::new() };
    Calls { task: actix::spawn(caller.run(stop.clone())), stop }
}

struct Caller {
    client: Client,
    address: String,
    statuses: Statuses,
    /// Mirrors that a list has shown.
    mirrors: Vec<String>,
}

impl Caller {
    async fn run(mut self, stop: CancellationToken) -> Statuses {
        for n in 0_usize.. {
            if stop.is_cancelled() {
                break;
            }
            self.call(n).await;
            tokio::time::sleep(PACE).await;
        }
        self.statuses
    }

    async fn call(&mut self, n: usize) {
        let one = self.mirrors.get(n % self.mirrors.len().max(1)).map(|id| format!("/api/v1/mirrors/{id}"));
        match (n % 12, one) {
            (0, _) => {
                let list = self.ask(Method::GET, "/api/v1/mirrors?limit=200", ADMIN, Value::Null).await;
                let ids = list["items"].as_array().into_iter().flatten().filter_map(|it| it["id"].as_str());
                let ids: Vec<String> = ids.map(str::to_owned).collect();
                if !ids.is_empty() {
                    self.mirrors = ids;
                }
            }
            (1, Some(one)) => drop(self.ask(Method::POST, &format!("{one}/sync"), ADMIN, Value::Null).await),
            (2, Some(one)) => drop(self.ask(Method::POST, &format!("{one}/verify"), ADMIN, Value::Null).await),
            (3, Some(one)) => drop(self.ask(Method::GET, &one, ADMIN, Value::Null).await),
            (4, Some(one)) => drop(self.ask(Method::GET, &format!("{one}/syncs"), ADMIN, Value::Null).await),
            (5, Some(one)) => drop(self.ask(Method::GET, &format!("{one}/kept"), ADMIN, Value::Null).await),
            (6, _) => drop(self.ask(Method::GET, "/api/v1/jobs?limit=50", ADMIN, Value::Null).await),
            (7, _) => drop(self.ask(Method::GET, "/api/v1/deliveries", ADMIN, Value::Null).await),
            (8, _) => drop(self.ask(Method::GET, "/api/v1/audit", ADMIN, Value::Null).await),
            (9, _) => drop(self.ask(Method::GET, "/readyz", ADMIN, Value::Null).await),
            (10, _) => drop(self.ask(Method::GET, "/metrics", ADMIN, Value::Null).await),
            // Keys are dear: each takes memory and time by design.
            (11, _) if n % 120 == 11 => self.key().await,
            _ => {}
        }
    }

    /// A key is made, used, and revoked.
    async fn key(&mut self) {
        let wanted = json!({ "name": "soak", "scopes": ["mirrors:read"], "expires_in_days": 1 });
        let made = self.ask(Method::POST, "/api/v1/api-keys", ADMIN, wanted).await;
        let (Some(id), Some(key)) = (made["id"].as_str(), made["full_key"].as_str()) else { return };
        self.ask(Method::GET, "/api/v1/mirrors?limit=1", key, Value::Null).await;
        self.ask(Method::DELETE, &format!("/api/v1/api-keys/{id}"), ADMIN, Value::Null).await;
    }

    async fn ask(&mut self, method: Method, path: &str, token: &str, body: Value) -> Value {
        let request = self.client.request(method, format!("{}{path}", self.address)).bearer_auth(token);
        let request = if body.is_null() { request } else { request.json(&body) };
        let (status, answer) = match request.timeout(Duration::from_secs(20)).send().await {
            Ok(answer) => (answer.status().as_u16(), answer.json().await.unwrap_or_default()),
            Err(_) => (0, Value::Null),
        };
        *self.statuses.entry(status).or_default() += 1;
        if status >= 500 && status != 503 {
            println!("{path}: {status} {answer}");
        }
        answer
    }
}
