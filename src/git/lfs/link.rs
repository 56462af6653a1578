//! Where an object is read from or written to, as a batch answer tells it, and until when that holds.

use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};
use serde::Deserialize;
use tokio::time::Instant;
use url::Url;

use crate::git::error::{Side, WireError};

/// A link that ends so soon is renewed rather than used.
const MARGIN: Duration = Duration::from_secs(5);

/// What tells an address of OneDev's LFS.
pub(super) const ONEDEVS: &str = "lfs-objects=true";

/// OneDev does not say so, but the token in its links lasts 300 s.
const TARGET_TOKEN: Duration = Duration::from_secs(240);

/// An address with the headers that it needs. Both may be secrets (signed addresses): never shown.
#[derive(Clone)]
pub struct Link {
    pub(super) href: Url,
    pub(super) headers: HeaderMap,
    /// Where the server wants to be told that an upload has ended.
    pub(super) verify: Option<Box<Self>>,
    until: Option<Instant>,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { href, headers, verify: _, until: _ } = self;
        let at = href.origin().ascii_serialization();
        f.debug_struct("Link").field("at", &at).field("headers", &headers.len()).finish_non_exhaustive()
    }
}

/// An `action` of a batch answer.
#[derive(Debug, Deserialize)]
pub(super) struct Action {
    href: String,
    #[serde(default)]
    header: std::collections::HashMap<String, String>,
    #[serde(default)]
    expires_in: Option<f64>,
    #[serde(default)]
    expires_at: Option<chrono::DateTime<chrono::Utc>>,
}

impl Link {
    /// The link of an action. OneDev's addresses are moved to the server that we know: it builds them from a
    /// setting, which may name a host that cannot be reached from here.
    pub(super) fn of(action: &Action, side: Side, base: &Url) -> Result<Self, WireError> {
        let bad = |detail: &str| WireError::Protocol { side, detail: detail.to_owned() };
        let mut href = base.join(&action.href).map_err(|_| bad("the address of an LFS object is malformed"))?;
        // Somebody else's server may be a OneDev too.
        if side == Side::Target || (side == Side::Elsewhere && href.query() == Some(ONEDEVS)) {
            let found = href;
            href = base.clone();
            href.set_path(found.path());
            href.set_query(found.query());
        }
        let plain = href.scheme() == "http" && base.scheme() != "http";
        if plain || !matches!(href.scheme(), "http" | "https") {
            return Err(bad("the address of an LFS object is not one of https"));
        }
        href.set_fragment(None);
        let mut until = deadline(action.expires_in, action.expires_at);
        if side == Side::Target && until.is_none() {
            until = Instant::now().checked_add(TARGET_TOKEN);
        }
        Ok(Self { href, headers: headers(&action.header), verify: None, until })
    }

    /// With the address at which the end of the upload is to be told.
    pub(super) fn verified_at(self, verify: Option<Self>) -> Self {
        Self { verify: verify.map(Box::new), ..self }
    }

    /// An address of our own making.
    pub(super) fn to(href: Url) -> Self {
        Self { href, headers: HeaderMap::new(), verify: None, until: None }
    }

    /// Whether it has run out, or nearly.
    pub(super) fn is_stale(&self) -> bool {
        self.until.is_some_and(|it| it <= Instant::now() + MARGIN)
    }
}

/// A link that ends at once is used once all the same: a server's clock may be wrong.
fn deadline(within: Option<f64>, at: Option<chrono::DateTime<chrono::Utc>>) -> Option<Instant> {
    let within = within.filter(|it| *it > 0.0).and_then(|it| Duration::try_from_secs_f64(it).ok());
    let left = within.or_else(|| (at? - chrono::Utc::now()).to_std().ok())?;
    Instant::now().checked_add(left)
}

fn headers(given: &std::collections::HashMap<String, String>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        let (Ok(name), Ok(mut value)) = (HeaderName::try_from(name.as_str()), HeaderValue::from_str(value)) else {
            continue;
        };
        // What belongs to the connection is not the server's to say.
        if ![HOST, CONTENT_LENGTH, TRANSFER_ENCODING].contains(&name) {
            value.set_sensitive(true);
            headers.insert(name, value);
        }
    }
    headers
}

/// Whether an address is on the server that `base` is on.
pub(super) fn is_same_server(href: &Url, base: &Url) -> bool {
    href.origin() == base.origin()
}

/// Whether these headers bring a credential of their own.
pub(super) fn has_credential(headers: &HeaderMap) -> bool {
    headers.contains_key(AUTHORIZATION)
}
