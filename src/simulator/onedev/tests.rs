//! Stories of the simulated OneDev, told by reqwest and the real git client: the same steps as were
//! taken on a running 16.5.6, with the same answers.

mod booting;
mod pushes;
mod rest;

use serde_json::Value;

use crate::domain::refs::{Head, RefName};
use crate::simulator::testing::{Client, Said};
use crate::simulator::{OneDevSimulator, Simulator, SimulatorOptions};

/// A server, a client for each of its sides, and a working copy.
struct Story {
    simulator: Simulator,
    http: reqwest::Client,
    client: Client,
}

/// Status, content type and body of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Answer {
    status: u16,
    content_type: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// Status, type, text: what the transcripts hold.
    fn is(&self, status: u16, content_type: &str, body: &str) {
        let expected = (status, content_type, body);
        assert_eq!((self.status, self.content_type.as_str(), self.body.as_str()), expected);
    }
}

impl Story {
    fn new() -> Self {
        Self::with(SimulatorOptions::default())
    }

    fn with(options: SimulatorOptions) -> Self {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { simulator: Simulator::start(options).unwrap(), http, client: Client::new() }
    }

    fn onedev(&self) -> &OneDevSimulator {
        self.simulator.onedev()
    }

    async fn send(&self, method: &str, path: &str, token: Option<&str>, body: Option<&str>) -> Answer {
        let method = method.parse().unwrap();
        let mut request = self.http.request(method, format!("{}{path}", self.onedev().url()));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_owned());
        }
        let response = request.send().await.unwrap();
        let content_type = response.headers().get("content-type").map(|it| it.to_str().unwrap().to_owned());
        let status = response.status().as_u16();
        Answer { status, content_type: content_type.unwrap_or_default(), body: response.text().await.unwrap() }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send("GET", &format!("/~api/{path}"), Some(self.onedev().admin_token()), None).await
    }

    async fn post(&self, path: &str, body: &str) -> Answer {
        self.send("POST", &format!("/~api/{path}"), Some(self.onedev().admin_token()), Some(body)).await
    }

    /// A project's address with the admin's token in it, for the git client only.
    fn url(&self, path: &str) -> String {
        let address = self.onedev().url().replace("http://", "");
        format!("http://any:{}@{address}/{path}", self.onedev().admin_token())
    }

    fn push(&self, path: &str, refs: &[&str]) -> Said {
        let url = self.url(path);
        self.client.git(&[&["push", &url], refs].concat())
    }

    fn ref_names(&self, path: &str) -> Vec<String> {
        self.onedev().refs(path).unwrap().into_keys().map(String::from).collect()
    }
}

fn born(branch: &str) -> Head {
    Head::Branch(RefName::of_branch(branch).unwrap())
}
