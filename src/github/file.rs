//! Files that hang on releases and texts: opened here, streamed by whoever asked.
//!
//! The credential goes to the API's own host only; the store that it leads to gets none.

use std::time::Duration;

use http::header::{ACCEPT, LOCATION};
use http::{HeaderValue, Method};
use reqwest::Response;
use url::Url;

use super::client::GithubClient;
use super::error::{GithubError, clip};
use super::exchange::{Exchange, Pass};
use crate::domain::catalog::asset;
use crate::domain::ids::GithubId;
use crate::domain::outage::Sign;
use crate::domain::rate::Resource;

/// From the API to the store, and within the store.
const MAX_HOPS: usize = 4;
/// The whole download: the caller watches whether bytes move.
const LONGEST: Duration = Duration::from_secs(6 * 3600);
/// Hosts that GitHub leads to from its attachments.
const STORES: [&str; 2] = [".githubusercontent.com", ".amazonaws.com"];

impl GithubClient {
    /// Opens a release's asset by its id.
    ///
    /// # Errors
    /// [`GithubError`]; `NotFound` when it is gone.
    pub async fn asset(&self, repository: GithubId, asset: &str) -> Result<Response, GithubError> {
        let url = self.below(repository, &["releases", "assets", asset]);
        let pass = self.pass_below(repository).await?;
        self.exchange().open(url, &pass, |_| true).await
    }

    /// Opens an attachment, without a credential. Only addresses where GitHub keeps attachments are asked,
    /// and only its own stores are gone on to.
    ///
    /// # Errors
    /// [`GithubError`]; `Forbidden` for any other address.
    pub async fn attachment(&self, url: &Url) -> Result<Response, GithubError> {
        let pages = self.pages();
        if !asset::is_attachment(url, &pages) {
            return Err(GithubError::Forbidden("this is no address of GitHub's attachments".to_owned()));
        }
        let leads = |next: &Url| {
            let host = next.host_str().unwrap_or_default();
            next.origin() == pages.origin() || (next.scheme() == "https" && STORES.iter().any(|it| host.ends_with(it)))
        };
        self.exchange().open(url.clone(), &Pass::anonymous(), leads).await
    }
}

impl Exchange {
    /// GET of bytes: redirects are followed, to another host without the credential and by TLS only.
    async fn open(&self, url: Url, pass: &Pass, leads: impl Fn(&Url) -> bool) -> Result<Response, GithubError> {
        let mut url = url;
        for _ in 0..MAX_HOPS {
            let home = self.is_home(&url);
            let anonymous = Pass::anonymous();
            let pass = if home { pass } else { &anonymous };
            let response = self.bytes(Method::GET, url.clone(), pass, home).await?;
            if response.status().as_u16() == 200 {
                return Ok(response);
            }
            let location = response.headers().get(LOCATION).and_then(|it| it.to_str().ok()).unwrap_or_default();
            let next = url.join(location).map_err(|_| GithubError::Malformed("a redirect to nowhere".to_owned()))?;
            let safe = next.scheme() == "https" || next.origin() == url.origin();
            if location.is_empty() || !safe || !leads(&next) {
                return Err(GithubError::RedirectElsewhere(clip(next.host_str().unwrap_or("nowhere"))));
            }
            url = next;
        }
        Err(GithubError::Malformed("it redirects without end".to_owned()))
    }

    /// One request; anything but 200 and a redirect is an error. Limits are the API's own: what a store
    /// says is no limit of the API.
    async fn bytes(&self, method: Method, url: Url, pass: &Pass, home: bool) -> Result<Response, GithubError> {
        let turn = if home { Some(self.enter()?) } else { None };
        let sign = self.sign(&url);
        let place = match home {
            true => Some(self.governors().admit(pass.principal, Resource::Core, pass.urgency, || self.now()).await?),
            false => None,
        };
        let request = self.signed(method, url, pass).timeout(LONGEST);
        let request = request.header(ACCEPT, HeaderValue::from_static("application/octet-stream"));
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => {
                self.count("none");
                turn.map(|it| it.failed(if error.is_connect() { Sign::Unreached } else { sign }));
                return Err(error.into());
            }
        };
        if let Some(turn) = turn {
            turn.answered();
        }
        let status = response.status().as_u16();
        self.count(&status.to_string());
        drop(place);
        if matches!(status, 200 | 301 | 302 | 303 | 307 | 308) {
            return Ok(response);
        }
        let answer = Self::read(response, 64 << 10).await?;
        Err(if home { self.refused(&answer, pass) } else { store_says(status) })
    }
}

/// A store's refusals are pages or XML, never GitHub's JSON.
fn store_says(status: u16) -> GithubError {
    match status {
        404 | 410 => GithubError::NotFound,
        429 | 500.. => GithubError::Server { status, after: None },
        status => GithubError::Rejected { status, message: "the store of GitHub's files refuses it".to_owned() },
    }
}
