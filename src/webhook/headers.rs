//! The headers of a delivery: which event, which delivery, which media type.

use uuid::Uuid;

/// The longest name of an event that is taken; GitHub's longest has 33 characters.
const MAX_EVENT: usize = 64;

/// What the headers of a delivery say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// `X-GitHub-Event`: lower-case letters and `_`, at most 64.
    pub event: String,
    /// `X-GitHub-Delivery`: the same for every redelivery of one delivery.
    pub id: Uuid,
}

/// What is wrong with the headers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// A needed header is not there. Answered 400.
    #[error("the header {0} is missing")]
    Missing(&'static str),
    /// `X-GitHub-Event` is no name of an event. Answered 400.
    #[error("the header X-GitHub-Event is no name of an event: at most 64 letters, digits, `_`, `-` and `.`")]
    Event,
    /// `X-GitHub-Delivery` is no GUID. Answered 400.
    #[error("the header X-GitHub-Delivery is no GUID, as in `72d3162e-cc78-11e3-81ab-4c9367dc0958`")]
    Delivery,
    /// The body is not JSON by its own word. Answered 415.
    #[error("the content type is not `application/json`: choose it in the webhook's settings at GitHub")]
    MediaType,
}

impl HeaderError {
    /// A short stable word for the API.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing(_) => "header_missing",
            Self::Event | Self::Delivery => "header_malformed",
            Self::MediaType => "media_type_unsupported",
        }
    }
}

impl Delivery {
    /// Reads both headers; `header` looks one up by name, whatever its case.
    ///
    /// # Errors
    /// [`HeaderError::Missing`], [`HeaderError::Event`], [`HeaderError::Delivery`].
    pub fn read<'a>(header: impl Fn(&str) -> Option<&'a str>) -> Result<Self, HeaderError> {
        let get = |name| header(name).filter(|it| !it.is_empty()).ok_or(HeaderError::Missing(name));
        let event = get("X-GitHub-Event")?;
        let id = get("X-GitHub-Delivery")?;
        if !is_event(event) {
            return Err(HeaderError::Event);
        }
        // The parser would take braces, URNs and bare digits too; GitHub sends 36 characters.
        match Uuid::try_parse(id) {
            Ok(parsed) if id.len() == 36 => Ok(Self { event: event.to_owned(), id: parsed }),
            _ => Err(HeaderError::Delivery),
        }
    }
}

fn is_event(text: &str) -> bool {
    text.len() <= MAX_EVENT && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
}

/// Whether a content type says JSON in UTF-8: `application/json`, in any case, with any parameters
/// but another charset. GitHub's other form, `application/x-www-form-urlencoded`, is not taken.
///
/// # Errors
/// [`HeaderError::MediaType`].
pub fn expect_json(content_type: Option<&str>) -> Result<(), HeaderError> {
    let mut parts = content_type.unwrap_or_default().split(';').map(str::trim);
    let json = parts.next().is_some_and(|it| it.eq_ignore_ascii_case("application/json"));
    let utf8 = parts.all(|parameter| match parameter.split_once('=') {
        Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
            value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        _ => true,
    });
    if json && utf8 { Ok(()) } else { Err(HeaderError::MediaType) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GUID: &str = "72d3162e-cc78-11e3-81ab-4c9367dc0958";

    fn read(event: Option<&'static str>, id: Option<&'static str>) -> Result<Delivery, HeaderError> {
        Delivery::read(|name| if name == "X-GitHub-Event" { event } else { id })
    }

    #[test]
    fn a_delivery_is_an_event_and_a_guid() {
        let delivery = read(Some("star"), Some(GUID)).unwrap();
        assert_eq!((delivery.event.as_str(), delivery.id.to_string().as_str()), ("star", GUID));
        let upper = read(Some("star"), Some("72D3162E-CC78-11E3-81AB-4C9367DC0958")).unwrap();
        assert_eq!(upper, delivery);
    }

    #[test]
    fn what_is_missing_or_malformed_is_named() {
        assert_eq!(read(None, Some(GUID)), Err(HeaderError::Missing("X-GitHub-Event")));
        assert_eq!(read(Some("star"), None), Err(HeaderError::Missing("X-GitHub-Delivery")));
        assert_eq!(read(Some("star"), Some("")), Err(HeaderError::Missing("X-GitHub-Delivery")));
        for event in
            ["st ar", "star\n", "stär", "a/b", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"]
        {
            assert_eq!(read(Some(event), Some(GUID)), Err(HeaderError::Event), "{event}");
        }
        for id in [
            "1",
            "72d3162ecc7811e381ab4c9367dc0958",
            "{72d3162e-cc78-11e3-81ab-4c9367dc0958}",
            "zzd3162e-cc78-11e3-81ab-4c9367dc0958",
        ] {
            assert_eq!(read(Some("star"), Some(id)), Err(HeaderError::Delivery), "{id}");
        }
    }

    #[test]
    fn only_json_is_taken() {
        for fine in ["application/json", "Application/JSON; charset=UTF-8", "application/json;charset=\"utf-8\"; v=1"] {
            assert_eq!(expect_json(Some(fine)), Ok(()), "{fine}");
        }
        let others = [
            "",
            "application/x-www-form-urlencoded",
            "text/plain",
            "application/jsonp",
            "application/json; charset=latin1",
        ];
        for wrong in others.map(Some).into_iter().chain([None]) {
            assert_eq!(expect_json(wrong), Err(HeaderError::MediaType), "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn any_header_is_taken(event in "\\PC*", id in "\\PC*", media in "\\PC*") {
            let _ = Delivery::read(|name| Some(if name == "X-GitHub-Event" { &event } else { &id }));
            let _ = expect_json(Some(&media));
        }
    }
}
