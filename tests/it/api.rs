//! Calls of the HTTP API. Every answer that a story gets is held against the OpenAPI document.

use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Method, RequestBuilder};
use serde_json::Value;

use crate::contract::{Contract, Told};

thread_local! {
    static CONTRACT: Contract = Contract::new(starkeep::app::openapi());
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    /// The body; `null` if there is none, or it is no JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|it| it.to_str().unwrap())
    }
}

/// Begins a call.
pub fn request(method: Method, url: &str) -> RequestBuilder {
    reqwest::Client::builder().no_proxy().build().unwrap().request(method, url)
}

/// Sends it, and gives the answer that the document promised.
pub async fn call(request: RequestBuilder) -> Answer {
    let (client, request) = request.build_split();
    let request = request.unwrap();
    let (method, path) = (request.method().to_string(), request.url().path().to_owned());
    let response = client.execute(request).await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let answer = Answer { status, headers, text: response.text().await.unwrap() };
    expect(&method, &path, answer.status, answer.header(CONTENT_TYPE.as_str()), &answer.text);
    answer
}

/// Holds an answer against the document.
#[track_caller]
pub fn expect(method: &str, path: &str, status: u16, media_type: Option<&str>, body: &str) {
    CONTRACT.with(|it| it.expect(&Told { method, path, status, media_type, body }));
}
