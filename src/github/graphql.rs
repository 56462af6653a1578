//! GraphQL: one query, its data and its errors, which may come together under HTTP 200.

use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use super::client::GithubClient;
use super::error::{GithubError, clip};
use super::exchange::{Exchange, Pass, Terms};
use super::limits;
use crate::domain::rate::{Limit, Resource};

/// A hundred repositories in the fields that are asked for have some 40 KiB.
const LARGEST_ANSWER: usize = 4 << 20;

/// What a query gave: as much of the data as there is, and what is wrong with the rest.
#[derive(Debug, Clone, Default)]
pub(super) struct Graph {
    /// The data. Where an error's path leads there is a null.
    pub(super) data: Value,
    /// What is wrong with parts of it.
    pub(super) errors: Vec<Fault>,
}

/// One of GraphQL's errors.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Fault {
    /// GitHub's word, as `NOT_FOUND`.
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    message: String,
    #[serde(default)]
    extensions: Extensions,
    /// Names and places that lead to the null.
    #[serde(default)]
    path: Vec<Value>,
}

/// What GraphQL's server adds to an error that is about the question itself.
#[derive(Debug, Clone, Default, Deserialize)]
struct Extensions {
    code: Option<String>,
}

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    data: Value,
    #[serde(default)]
    errors: Vec<Fault>,
}

impl Fault {
    /// What it says, clipped.
    pub(super) fn text(&self) -> String {
        clip(&self.message)
    }

    pub(super) fn is(&self, kind: &str) -> bool {
        self.kind.as_deref() == Some(kind)
    }

    /// The question names what this GitHub does not have.
    fn is_of_an_unknown_field(&self) -> bool {
        self.extensions.code.as_deref() == Some("undefinedField")
    }

    /// The place in a list of the data that it is about.
    pub(super) fn place_in(&self, list: &str) -> Option<usize> {
        let [name, place, ..] = self.path.as_slice() else { return None };
        if name.as_str() != Some(list) {
            return None;
        }
        usize::try_from(place.as_u64()?).ok()
    }
}

impl GithubClient {
    /// Asks one query with one credential.
    ///
    /// # Errors
    /// [`GithubError`]; `RateLimited` also where GitHub says so under HTTP 200, `Graphql` where there is
    /// no data at all, and `Unsupported` where that is since it does not know what is asked for. Errors beside data
    /// are no error of this call.
    pub(super) async fn graphql(&self, pass: &Pass, query: &str, variables: Value) -> Result<Graph, GithubError> {
        let exchange = self.exchange();
        let body = json!({ "query": query, "variables": variables }).to_string();
        let terms = Terms { largest: LARGEST_ANSWER, resource: Resource::Graphql, body: Some(&body), ..Terms::PLAIN };
        let answer = exchange.once(Method::POST, exchange.graphql_url(), pass, terms).await?;
        let Body { data, errors } = answer.json()?;
        let limited = |it: &&Fault| it.is("RATE_LIMITED") || it.message.to_ascii_lowercase().contains("rate limit");
        if let Some(fault) = errors.iter().find(limited) {
            let secondary = fault.message.to_ascii_lowercase().contains("secondary");
            let limit = if secondary { Limit::Unnamed } else { Limit::UsedUp(limits::pause(&answer, self.now())) };
            return Err(exchange.governors().limited(pass.principal, Resource::Graphql, limit, self.now()));
        }
        match (data.is_object(), errors.first()) {
            (true, _) => Ok(Graph { data, errors }),
            (false, Some(fault)) if fault.is_of_an_unknown_field() => Err(GithubError::Unsupported(fault.text())),
            (false, Some(fault)) => Err(GithubError::Graphql(clip(&fault.message))),
            (false, None) => Err(GithubError::Malformed("neither data nor errors".to_owned())),
        }
    }
}

impl Exchange {
    /// Beside REST: `/graphql`, and `/api/graphql` of an Enterprise Server whose REST is `/api/v3`.
    fn graphql_url(&self) -> Url {
        let mut url = self.url(&[]);
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty();
        }
        let path = url.path().trim_end_matches('/');
        let path = format!("{}/graphql", path.strip_suffix("/v3").unwrap_or(path));
        url.set_path(&path);
        url
    }
}
