//! What one request is called: `X-Request-Id` for the caller, the correlation id for the log and the
//! work that follows.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header::HeaderMap;
use actix_web::{FromRequest, HttpMessage as _, HttpRequest};
use uuid::Uuid;

use crate::domain::ids::CorrelationId;

/// The header of both directions.
pub(super) const HEADER: &str = "x-request-id";
/// Longer ones are replaced. Characters.
const LONGEST: usize = 128;

/// The names of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RequestIds {
    /// `X-Request-Id` of the answer: the caller's own if it is sane.
    pub(super) shown: String,
    /// Follows the work through the log: the caller's id if that is a UUID.
    pub(super) correlation: CorrelationId,
}

impl RequestIds {
    /// New ones, the same for both.
    pub(super) fn made() -> Self {
        let id = Uuid::now_v7();
        Self { shown: id.to_string(), correlation: CorrelationId(id) }
    }

    /// Those that the caller asks for, as far as they may be kept.
    pub(super) fn read(headers: &HeaderMap) -> Self {
        let made = Self::made();
        let Some(shown) = headers.get(HEADER).and_then(|it| it.to_str().ok()).filter(|it| is_sane(it)) else {
            return made;
        };
        // Only the usual form of 36 characters: the parser would take bare digits too.
        let asked = Uuid::try_parse(shown).ok().filter(|it| shown.len() == 36 && !it.is_nil());
        Self { shown: shown.to_owned(), correlation: asked.map_or(made.correlation, CorrelationId) }
    }
}

/// It goes to headers and logs as it is, so it must be harmless in both.
fn is_sane(text: &str) -> bool {
    (1..=LONGEST).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

impl FromRequest for RequestIds {
    type Error = actix_web::Error;
    type Future = Ready<Result<Self, Self::Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let known = request.extensions().get::<Self>().cloned();
        ready(Ok(known.unwrap_or_else(Self::made)))
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> RequestIds {
        let mut headers = HeaderMap::new();
        headers.insert(HeaderName::from_static(HEADER), HeaderValue::from_str(text).unwrap());
        RequestIds::read(&headers)
    }

    #[test]
    fn a_sane_id_is_kept_and_a_uuid_is_the_correlation_id_too() {
        let uuid = "72d3162e-cc78-11e3-81ab-4c9367dc0958";
        assert_eq!(read(uuid).shown, uuid);
        assert_eq!(read(uuid).correlation.to_string(), uuid);
        assert_eq!(read("build_7.a-b").shown, "build_7.a-b");
        assert_ne!(read("build_7.a-b").correlation, read("build_7.a-b").correlation);
    }

    #[test]
    fn what_is_not_sane_is_replaced() {
        for odd in ["", "a b", "a;b", "<x>", &"x".repeat(129)] {
            let ids = read(odd);
            assert_ne!(ids.shown, odd);
            assert_eq!(ids.shown, ids.correlation.to_string());
        }
        assert_eq!(read(&"x".repeat(128)).shown.len(), 128);
        let nil = "00000000-0000-0000-0000-000000000000";
        assert_ne!(read(nil).correlation.to_string(), nil);
    }

    proptest! {
        #[test]
        fn what_is_shown_is_always_sane(text in "[ -~]{0,200}") {
            prop_assert!(is_sane(&read(&text).shown));
        }
    }
}
