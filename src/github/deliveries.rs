//! What GitHub delivered, or tried to, to the App's webhook within the last three days.
//!
//! The list shows which deliveries there were; each one's payload is asked for by itself.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::app::{App, about_app, linked};
use super::client::GithubClient;
use super::error::GithubError;
use super::exchange::{Answer, Terms};
use crate::domain::ids::GithubId;
use crate::domain::rate::Urgency;

/// A page of a hundred deliveries has some 40 KiB.
const LARGEST_PAGE: usize = 1 << 20;
/// A delivery that is larger is a push of thousands of commits; the routine look finds those.
const LARGEST_DELIVERY: usize = 8 << 20;

/// A delivery as the list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// GitHub's number for this attempt; a redelivery has another one.
    pub id: i64,
    /// The `X-GitHub-Delivery` header, the same for each attempt.
    pub guid: String,
    /// When it was sent, by GitHub's clock.
    pub at: DateTime<Utc>,
    /// The `X-GitHub-Event` header.
    pub event: String,
    /// The repository it is about.
    pub repository: Option<GithubId>,
}

/// A page of deliveries, the newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryPage {
    /// The deliveries; those that could not be understood are left out.
    pub entries: Vec<Delivered>,
    /// Where the next page begins.
    pub next: Option<String>,
}

#[derive(Deserialize)]
struct EntryBody {
    id: i64,
    guid: String,
    delivered_at: DateTime<Utc>,
    event: String,
    repository_id: Option<i64>,
}

#[derive(Deserialize)]
struct DeliveryBody {
    request: RequestBody,
}

#[derive(Deserialize)]
struct RequestBody {
    payload: Value,
}

impl GithubClient {
    /// A page of the App's deliveries: the first, or the one that a page before leads to.
    ///
    /// # Errors
    /// [`GithubError`]; `NotFound` where the App has no webhook.
    pub async fn app_deliveries(&self, from: Option<&str>) -> Result<DeliveryPage, GithubError> {
        let mut url = self.exchange().url(&["app", "hook", "deliveries"]);
        url.query_pairs_mut().append_pair("per_page", "100");
        if let Some(cursor) = from {
            url.query_pairs_mut().append_pair("cursor", cursor);
        }
        let answer = self.ask_as_app(&url, LARGEST_PAGE).await?;
        let entries: Vec<Value> = answer.json()?;
        let cursor = |url: Url| url.query_pairs().find(|(name, _)| name == "cursor").map(|it| it.1.into_owned());
        Ok(DeliveryPage {
            entries: entries.into_iter().filter_map(entry).collect(),
            next: linked(&answer, "next").and_then(cursor),
        })
    }

    /// The payload of a delivery, as JSON.
    ///
    /// # Errors
    /// [`GithubError`]; `NotFound` when GitHub keeps it no longer.
    pub async fn app_delivery(&self, id: i64) -> Result<Vec<u8>, GithubError> {
        let url = self.exchange().url(&["app", "hook", "deliveries", &id.to_string()]);
        let body: DeliveryBody = self.ask_as_app(&url, LARGEST_DELIVERY).await?.json()?;
        Ok(body.request.payload.to_string().into_bytes())
    }

    /// One request by the App itself.
    pub(super) async fn ask_as_app(&self, url: &Url, largest: usize) -> Result<Answer, GithubError> {
        let app: &App = self.app().ok_or_else(|| GithubError::Config("there is no GitHub App".to_owned()))?;
        let (exchange, terms) = (self.exchange(), Terms { largest, ..Terms::PLAIN });
        let get = |pass: super::exchange::Pass| async move {
            exchange.get_on(url.clone(), &pass.with(Urgency::Routine), terms).await
        };
        app.ask(exchange, get).await.map_err(|error| match error {
            GithubError::NotFound => error,
            other => about_app(other),
        })
    }
}

fn entry(value: Value) -> Option<Delivered> {
    let EntryBody { id, guid, delivered_at, event, repository_id } = serde_json::from_value(value).ok()?;
    Some(Delivered { id, guid, at: delivered_at, event, repository: repository_id.map(GithubId) })
}
