//! From a delivery's body to what it means.
//!
//! Small structs take only what an event needs, so that one odd field elsewhere loses no delivery:
//! everything else is skipped unread, however deep or large. What is needed must be right: ids are
//! positive whole numbers, names have a form that GitHub could have given.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use chrono::{DateTime, Utc};
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, de};

use crate::domain::event::{Account, Event, RepositoryChange, Subject};
use crate::domain::ids::{AccountId, GithubId, InstallationId};
use crate::domain::installation::{Installation, InstallationChange};
use crate::domain::repository::RepositoryName;

/// Why a body is no delivery of its event. Answered 400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// No JSON, or JSON that is no object.
    #[error("the body is not a JSON object: {0}")]
    NotAnObject(String),
    /// A field that the event needs is missing, of a wrong type or of an impossible form.
    #[error("the body is no `{event}` event: {reason}")]
    Field {
        /// The `X-GitHub-Event` header.
        event: String,
        /// Which field, and what is wrong with it.
        reason: String,
    },
}

impl PayloadError {
    /// A short stable word for the API.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotAnObject(_) => "payload_not_an_object",
            Self::Field { .. } => "payload_malformed",
        }
    }
}

/// What a delivery means. `event_name` is the checked `X-GitHub-Event` header; the signature has been
/// verified over these very bytes.
///
/// # Errors
/// [`PayloadError`] for what is no JSON object or lacks what its event needs. An event or an action
/// that starkeep does not know is no error but [`Event::Other`].
pub fn parse(event_name: &str, body: &[u8]) -> Result<Event, PayloadError> {
    // Fields that are skipped are not checked for UTF-8 by the parser.
    let body = std::str::from_utf8(body).map_err(|error| PayloadError::NotAnObject(error.to_string()))?;
    let _: Nothing = object(body).map_err(|error| PayloadError::NotAnObject(clip(&error.to_string())))?;
    let needed = match event_name {
        "ping" => object(body).map(|Ping {}| Event::Ping),
        "push" => object(body).map(|Push { repository }| Event::Pushed { repository: repository.0.into() }),
        "gollum" => object(body).map(|Push { repository }| Event::WikiChanged { repository: repository.0.into() }),
        "star" => star(body),
        "repository" => repository(body),
        "installation" | "installation_repositories" => installation(event_name, body),
        "installation_target" => renamed_target(body),
        "github_app_authorization" => authorization(body),
        name if CATALOGED.contains(&name) => {
            object(body).map(|Push { repository }| cataloged(name, body, repository.0))
        }
        _ => return Ok(other(event_name, body)),
    };
    needed.map_err(|error| PayloadError::Field { event: clip(event_name), reason: clip(&error.to_string()) })
}

fn star(body: &str) -> Result<Event, serde_json::Error> {
    let Action { action } = object(body)?;
    let starred = match action.as_str() {
        "created" => true,
        "deleted" => false,
        _ => return Ok(other("star", body)),
    };
    let Star { sender, repository } = object(body)?;
    let (sender, repository) = (sender.0.into(), repository.0.into());
    if !starred {
        return Ok(Event::Unstarred { sender, repository });
    }
    // Of use, but not worth a delivery.
    let at = object(body).ok().and_then(|StarTime { starred_at }| starred_at);
    Ok(Event::Starred { sender, repository, at })
}

#[derive(Deserialize)]
struct StarTime {
    starred_at: Option<DateTime<Utc>>,
}

fn repository(body: &str) -> Result<Event, serde_json::Error> {
    let Action { action } = object(body)?;
    let change = match action.as_str() {
        "renamed" => RepositoryChange::Renamed,
        "transferred" => RepositoryChange::Transferred,
        "archived" => RepositoryChange::Archived,
        "unarchived" => RepositoryChange::Unarchived,
        "privatized" => RepositoryChange::Privatized,
        "publicized" => RepositoryChange::Publicized,
        "edited" => RepositoryChange::Edited,
        _ => return Ok(other("repository", body)),
    };
    let Push { repository } = object(body)?;
    Ok(Event::Changed { repository: repository.0.into(), change })
}

fn installation(event: &str, body: &str) -> Result<Event, serde_json::Error> {
    let Action { action } = object(body)?;
    let Some(change) = InstallationChange::of(event, &action) else { return Ok(other(event, body)) };
    let Installed { installation } = object(body)?;
    let InstallationFields { id, account, repository_selection, permissions, suspended_at } = installation.0;
    let account = account.map(|it| it.0.into());
    let selection = repository_selection.unwrap_or_default();
    let installation = Installation { id: InstallationId(id.0), account, selection, permissions, suspended_at };
    Ok(Event::InstallationChanged { installation, change })
}

/// Tells of the account under its new login, and of the installation its id alone.
fn renamed_target(body: &str) -> Result<Event, serde_json::Error> {
    let Action { action } = object(body)?;
    let Some(change) = InstallationChange::of("installation_target", &action) else {
        return Ok(other("installation_target", body));
    };
    let Target { account, installation } = object(body)?;
    let installation = Installation {
        id: InstallationId(installation.0.id.0),
        account: Some(account.0.into()),
        selection: String::new(),
        permissions: BTreeMap::new(),
        suspended_at: None,
    };
    Ok(Event::InstallationChanged { installation, change })
}

fn authorization(body: &str) -> Result<Event, serde_json::Error> {
    let Action { action } = object(body)?;
    if action != "revoked" {
        return Ok(other("github_app_authorization", body));
    }
    let Sent { sender } = object(body)?;
    Ok(Event::AuthorizationRevoked { sender: sender.0.into() })
}

#[derive(Deserialize)]
struct Installed {
    installation: Object<InstallationFields>,
}

#[derive(Deserialize)]
struct InstallationFields {
    id: PositiveId,
    account: Option<Object<SenderFields>>,
    repository_selection: Option<String>,
    #[serde(default)]
    permissions: BTreeMap<String, String>,
    suspended_at: Option<DateTime<Utc>>,
}

#[derive(Deserialize)]
struct Target {
    account: Object<SenderFields>,
    installation: Object<Identified>,
}

#[derive(Deserialize)]
struct Identified {
    id: PositiveId,
}

#[derive(Deserialize)]
struct Sent {
    sender: Object<SenderFields>,
}

/// Whether an event of that name could ask for something: what was missed of the others is not fetched.
pub fn is_of_use(event_name: &str) -> bool {
    let known = ["push", "gollum", "star", "repository", "installation", "installation_repositories"];
    known.contains(&event_name) || event_name == "installation_target" || CATALOGED.contains(&event_name)
}

/// Events that tell of what git does not carry.
const CATALOGED: [&str; 8] = [
    "issues",
    "issue_comment",
    "pull_request",
    "pull_request_review",
    "pull_request_review_comment",
    "release",
    "label",
    "milestone",
];

fn cataloged(name: &str, body: &str, repository: RepositoryFields) -> Event {
    let action = if let Event::Other { action, .. } = other(name, body) { action } else { None };
    Event::Cataloged { repository: repository.into(), name: name.to_owned(), action }
}

/// An event that is only recorded; its action too, if it is a word.
fn other(name: &str, body: &str) -> Event {
    let is_word =
        |it: &String| (1..=64).contains(&it.len()) && it.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let action = object(body).ok().map(|Action { action }| action).filter(is_word);
    Event::Other { name: name.to_owned(), action }
}

/// Reads the whole body as one JSON object and takes `T`'s fields of it.
fn object<T: DeserializeOwned>(body: &str) -> Result<T, serde_json::Error> {
    serde_json::from_str::<Object<T>>(body).map(|it| it.0)
}

/// At most 200 characters on one line: the text may hold a piece of the body.
fn clip(text: &str) -> String {
    text.chars().take(200).flat_map(char::escape_debug).collect()
}

#[derive(Deserialize)]
struct Nothing {}

#[derive(Deserialize)]
struct Action {
    action: String,
}

#[derive(Deserialize)]
struct Ping {}

#[derive(Deserialize)]
struct Push {
    repository: Object<RepositoryFields>,
}

#[derive(Deserialize)]
struct Star {
    sender: Object<SenderFields>,
    repository: Object<RepositoryFields>,
}

#[derive(Deserialize)]
struct RepositoryFields {
    id: PositiveId,
    full_name: RepositoryName,
}

impl From<RepositoryFields> for Subject {
    fn from(RepositoryFields { id, full_name }: RepositoryFields) -> Self {
        Self { id: GithubId(id.0), name: full_name }
    }
}

#[derive(Deserialize)]
struct SenderFields {
    id: PositiveId,
    login: Login,
}

impl From<SenderFields> for Account {
    fn from(SenderFields { id, login }: SenderFields) -> Self {
        Self { id: AccountId(id.0), login: login.0 }
    }
}

#[derive(Deserialize)]
#[serde(try_from = "i64")]
struct PositiveId(i64);

impl TryFrom<i64> for PositiveId {
    type Error = &'static str;

    fn try_from(id: i64) -> Result<Self, Self::Error> {
        if id > 0 { Ok(Self(id)) } else { Err("an id is a positive whole number") }
    }
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Login(String);

impl TryFrom<String> for Login {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        // An App acts under a login like `dependabot[bot]`.
        let name = text.strip_suffix("[bot]").unwrap_or(&text);
        let fits = (1..=39).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        if fits { Ok(Self(text)) } else { Err("a login is 1 to 39 letters, digits or hyphens") }
    }
}

/// A `T` out of a JSON object only: serde's derived structs would take an array of the right length too.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData)).map(Self)
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(fields)).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
