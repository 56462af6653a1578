//! `ETag`, `If-Match` and `If-None-Match` (RFC 9110): whoever changes something may say which state of it he has seen.

use actix_web::HttpRequest;
use actix_web::http::header::{HeaderName, IF_MATCH, IF_NONE_MATCH};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::http::problem::Problem;
use crate::store::StoreError;

/// Bytes of the digest that a tag has.
const LENGTH: usize = 16;

/// The strong tag of one state of something: the digest of how it is shown, so whatever can be seen changes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tag(String);

impl Tag {
    /// The tag of what is shown so.
    ///
    /// # Errors
    /// [`StoreError::Refused`] for what cannot be shown as JSON.
    pub(super) fn of(shown: &impl Serialize) -> Result<Self, StoreError> {
        let text = serde_json::to_vec(shown).map_err(|it| StoreError::Refused(it.to_string()))?;
        let digest: String = hex::encode(Sha256::digest(text)).chars().take(2 * LENGTH).collect();
        Ok(Self(digest))
    }

    /// As a header has it.
    pub(super) fn header(&self) -> String {
        format!("\"{}\"", self.0)
    }
}

/// What a header names.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Named {
    /// `*`: any state.
    Any,
    /// These, and whether each is weak.
    These(Vec<(String, bool)>),
}

impl Named {
    /// Whether it names this state. A weak tag is never the same as a strong one, except to whoever only reads.
    fn has(&self, tag: &Tag, weak_too: bool) -> bool {
        match self {
            Self::Any => true,
            Self::These(all) => all.iter().any(|(it, is_weak)| *it == tag.0 && (weak_too || !is_weak)),
        }
    }
}

/// `If-Match`: the change is only to be made in one of these states.
#[derive(Debug, Clone)]
pub(super) struct IfMatch(Option<Named>);

impl IfMatch {
    /// # Errors
    /// 400 for a header of another form.
    pub(super) fn read(request: &HttpRequest) -> Result<Self, Problem> {
        read(request, &IF_MATCH).map(Self)
    }

    /// Whether the change may be made in this state.
    pub(super) fn allows(&self, tag: &Tag) -> bool {
        self.0.as_ref().is_none_or(|it| it.has(tag, false))
    }
}

/// `If-None-Match`: the answer is only wanted in another state than these.
#[derive(Debug, Clone)]
pub(super) struct IfNoneMatch(Option<Named>);

impl IfNoneMatch {
    /// # Errors
    /// 400 for a header of another form.
    pub(super) fn read(request: &HttpRequest) -> Result<Self, Problem> {
        read(request, &IF_NONE_MATCH).map(Self)
    }

    /// Whether the caller has this state already.
    pub(super) fn has(&self, tag: &Tag) -> bool {
        self.0.as_ref().is_some_and(|it| it.has(tag, true))
    }
}

fn read(request: &HttpRequest, name: &HeaderName) -> Result<Option<Named>, Problem> {
    let lines: Vec<&[u8]> = request.headers().get_all(name).map(|it| it.as_bytes()).collect();
    if lines.is_empty() {
        return Ok(None);
    }
    let malformed = || {
        let detail = format!("`{name}` is `*`, or tags in quotes with commas between, as an ETag had them");
        Problem::bad_request("etag_malformed", detail)
    };
    let text = String::from_utf8(lines.join(&b", "[..])).map_err(|_| malformed())?;
    parse(text.trim()).map(Some).ok_or_else(malformed)
}

/// A tag may hold commas, so the quotes say where one ends.
fn parse(text: &str) -> Option<Named> {
    if text == "*" {
        return Some(Named::Any);
    }
    let (mut rest, mut all) = (text, Vec::new());
    loop {
        let (opened, is_weak) = rest.strip_prefix("W/").map_or((rest, false), |it| (it, true));
        let (tag, after) = opened.strip_prefix('"')?.split_once('"')?;
        if tag.chars().any(|it| it.is_whitespace() || it.is_control()) {
            return None;
        }
        all.push((tag.to_owned(), is_weak));
        rest = match after.trim_start().strip_prefix(',') {
            Some(more) => more.trim_start(),
            None => return after.trim().is_empty().then_some(Named::These(all)),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(text: &str) -> Tag {
        Tag(text.to_owned())
    }

    #[test]
    fn a_strong_tag_matches_itself_and_a_weak_one_only_what_is_read() {
        let named = |text: &str| parse(text);
        assert!(IfMatch(None).allows(&tag("a")) && !IfNoneMatch(None).has(&tag("a")));
        assert!(IfMatch(named("*")).allows(&tag("a")) && IfNoneMatch(named("*")).has(&tag("a")));
        for list in ["\"a\"", "\"x\", \"a\"", "\"x,y\",\"a\"", "\"\" ,  \"a\" "] {
            assert!(IfMatch(named(list.trim())).allows(&tag("a")), "{list}");
            assert!(!IfMatch(named(list.trim())).allows(&tag("b")), "{list}");
        }
        assert!(!IfMatch(named("W/\"a\"")).allows(&tag("a")));
        assert!(IfNoneMatch(named("W/\"a\"")).has(&tag("a")));
    }

    #[test]
    fn what_is_no_list_of_tags_is_refused() {
        for odd in ["", "a", "\"a", "a\"", "\"a\" \"b\"", "\"a\",", ",\"a\"", "w/\"a\"", "\"a b\"", "*, \"a\"", "'a'"] {
            assert_eq!(parse(odd), None, "{odd}");
        }
    }

    #[test]
    fn whatever_can_be_seen_changes_the_tag() {
        let of = |it: serde_json::Value| Tag::of(&it).unwrap();
        assert_eq!(of(serde_json::json!({ "a": 1 })), of(serde_json::json!({ "a": 1 })));
        assert_ne!(of(serde_json::json!({ "a": 1 })), of(serde_json::json!({ "a": 2 })));
        assert_eq!(of(serde_json::json!(1)).header().len(), 2 * LENGTH + 2);
    }
}
