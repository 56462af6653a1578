//! Stories about GitHub's answers, told by a server on loopback.

mod app;
mod credentials;
mod governors;
mod limits;
mod repositories;
mod simulated;
mod stars;

use std::sync::{Arc, Mutex};

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::{Clock, GithubClient};
use crate::canned::Canned;
use crate::config::github::Github;
use crate::domain::repository::RepositoryName;
use crate::telemetry::metrics::Metrics;

const KEY: &str = include_str!("app-key.pem");
const TOKEN: &str = "ghp_very-secret";

/// A clock that stands still until it is told to move.
#[derive(Clone)]
struct Hands(Arc<Mutex<DateTime<Utc>>>);

impl Hands {
    fn new() -> Self {
        Self(Arc::new(Mutex::new("2026-11-20T12:00:00Z".parse().unwrap())))
    }

    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap()
    }

    fn forward(&self, seconds: i64) {
        *self.0.lock().unwrap() += TimeDelta::seconds(seconds);
    }

    fn clock(&self) -> Clock {
        let hands = self.clone();
        Arc::new(move || hands.now())
    }
}

fn anonymous(server: &Canned) -> Github {
    Github { api_url: server.url.clone(), git_url: server.url.clone(), ..Github::default() }
}

fn with_token(server: &Canned) -> Github {
    Github { token: Some(SecretString::from(TOKEN)), ..anonymous(server) }
}

fn with_app(server: &Canned) -> Github {
    Github { app_id: Some(77), app_private_key: Some(SecretString::from(KEY)), ..anonymous(server) }
}

fn client(config: &Github) -> GithubClient {
    GithubClient::new(config, &Metrics::new().unwrap()).unwrap()
}

fn client_at(config: &Github, hands: &Hands) -> GithubClient {
    GithubClient::with_clock(config, &Metrics::new().unwrap(), hands.clock()).unwrap()
}

fn name(text: &str) -> RepositoryName {
    text.parse().unwrap()
}

fn repository(id: i64, full: &str) -> Value {
    let (owner, name) = full.split_once('/').unwrap();
    json!({
        "id": id, "node_id": "R_x", "name": name, "full_name": full, "owner": {"login": owner, "id": 1},
        "private": false, "archived": true, "disabled": false, "fork": true, "size": 120,
        "default_branch": "trunk", "description": "Says hello", "pushed_at": "2026-11-20T10:00:00Z",
        "stargazers_count": 3, "license": null,
    })
}
