//! Lists below a repository, one page at a time: issues, comments, releases and the like.
//!
//! Addresses name the repository by its identity, so that a renamed one is still itself and a new one
//! under an old name is not taken for it. JSON goes on as GitHub gave it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::app::next_page;
use super::client::GithubClient;
use super::error::GithubError;
use super::exchange::{Answer, Terms};
use super::limits;
use crate::domain::ids::GithubId;
use crate::domain::rate::{LONGEST_PAUSE, Window};

/// A hundred issues of GitHub's longest texts have some 7 MB.
const LARGEST_PAGE: usize = 24 << 20;

/// One page of one list.
#[derive(Debug, Clone)]
pub struct Question<'a> {
    /// Whose.
    pub repository: GithubId,
    /// Below the repository: `["issues", "comments"]`. Nothing is the repository itself.
    pub path: &'a [&'a str],
    /// Names and values.
    pub query: &'a [(&'a str, String)],
    /// The `ETag` of the answer that is known.
    pub etag: Option<&'a str>,
}

/// What GitHub told.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    /// The answer with that `ETag` still stands. Costs nothing of the limit.
    Unchanged,
    /// There is no such list, or not for us (issues switched off, no permission); says why.
    Absent(String),
    /// The items, or the one thing that was asked for.
    Items(Vec<Value>),
}

/// How much may still be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Requests an hour.
    pub limit: u32,
    /// Requests left.
    pub remaining: u32,
    /// Until there are as many as `limit` again.
    pub resets_in: Duration,
}

/// A page.
#[derive(Debug, Clone, PartialEq)]
pub struct Sheet {
    /// What stands on it.
    pub told: Told,
    /// There is a page behind it.
    pub more: bool,
    /// Its `ETag`.
    pub etag: Option<String>,
    /// What is left of the limit, if GitHub says so.
    pub budget: Option<Budget>,
}

impl GithubClient {
    /// Reads one page. A 404, a 410 and a 403 that is neither a limit nor a block are [`Told::Absent`]:
    /// they say something about this list, and nothing about the repository.
    ///
    /// # Errors
    /// [`GithubError`]; with a limit used up, [`GithubError::RateLimited`] with the pause.
    pub async fn sheet(&self, question: &Question<'_>) -> Result<Sheet, GithubError> {
        let mut url = self.below(question.repository, question.path);
        if !question.query.is_empty() {
            url.query_pairs_mut().extend_pairs(question.query);
        }
        let terms = Terms { etag: question.etag, largest: LARGEST_PAGE, ..Terms::PLAIN };
        let absent = |why: String| Ok(Sheet { told: Told::Absent(why), more: false, etag: None, budget: None });
        let answer = match self.get_below(question.repository, url, terms).await {
            Ok(answer) => answer,
            Err(GithubError::NotFound) => return absent("GitHub shows no such list".to_owned()),
            Err(GithubError::Rejected { status: 410, message } | GithubError::Forbidden(message)) => {
                return absent(message);
            }
            Err(error) => return Err(error),
        };
        let etag = answer.header("etag").map(str::to_owned);
        let budget = budget(&answer, self.now());
        if answer.status == 304 {
            return Ok(Sheet { told: Told::Unchanged, more: false, etag, budget });
        }
        let more = next_page(&answer).is_some();
        // The bytes go before the items are taken apart any further.
        let items = match answer.json::<Value>()? {
            Value::Array(items) => items,
            one @ Value::Object(_) => vec![one],
            _ => return Err(GithubError::Malformed("neither a list nor an object".to_owned())),
        };
        Ok(Sheet { told: Told::Items(items), more, etag, budget })
    }
}

fn budget(answer: &Answer, now: DateTime<Utc>) -> Option<Budget> {
    let (_, Window { limit, remaining, resets_at }) = limits::window(answer, now)?;
    let resets_in = (resets_at - now).to_std().unwrap_or_default() + Duration::from_secs(1);
    Some(Budget { limit, remaining, resets_in: resets_in.min(LONGEST_PAUSE) })
}
