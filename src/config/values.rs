//! Typed values out of the flat layers.
//!
//! Each section asks for each of its keys once; what nobody asked for is unknown. A value that cannot
//! be read leaves the default in place and becomes a problem.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde::de::value::StrDeserializer;
use serde_json::Value;
use url::Url;

use super::layers::Entry;
use super::nearest::nearest;
use super::problem::{Origin, Problem, quoted};
use super::secrets::{self, MASK, Surroundings};
use super::tables::Table;

/// Why a text was not taken, and what would have been.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    /// What was found.
    pub(crate) found: String,
    /// What is accepted.
    pub(crate) accepted: String,
}

impl Refused {
    /// A value that may be shown does not have the accepted form.
    pub(crate) fn of(text: &str, accepted: &str) -> Self {
        Self { found: format!("{} is not accepted", quoted(text)), accepted: accepted.to_owned() }
    }
}

/// One line of `config show`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Shown {
    /// `section.key`.
    pub key: String,
    /// The value as it was written, secrets masked, references as they stand; null when there is none.
    pub value: Value,
    /// The layer that had the last word; `None` for a key without default that nobody set.
    pub origin: Option<Origin>,
}

/// How one text becomes a value.
pub(crate) type Form<T> = fn(&str) -> Result<T, Refused>;

/// The layers while sections read them.
pub(crate) struct Values<'a> {
    entries: &'a [Entry],
    surroundings: Surroundings<'a>,
    shown: BTreeMap<&'static str, Shown>,
    problems: Vec<Problem>,
}

impl<'a> Values<'a> {
    pub(crate) fn new(entries: &'a [Entry], surroundings: Surroundings<'a>) -> Self {
        Self { entries, surroundings, shown: BTreeMap::new(), problems: Vec::new() }
    }

    /// A key that always has a value.
    pub(crate) fn set<T>(&mut self, key: &'static str, field: &mut T, form: Form<T>) {
        let Some(entry) = self.take(key, Clone::clone) else { return };
        match scalar(&entry.value).and_then(|text| form(text.trim())) {
            Ok(value) => *field = value,
            Err(refused) => self.refuse(&entry, refused),
        }
    }

    /// A key that may have no value; an empty text is none.
    pub(crate) fn set_option<T>(&mut self, key: &'static str, field: &mut Option<T>, form: Form<T>) {
        let Some(entry) = self.take(key, Clone::clone) else { return };
        match scalar(&entry.value) {
            Ok(text) if text.trim().is_empty() => *field = None,
            Ok(text) => match form(text.trim()) {
                Ok(value) => *field = Some(value),
                Err(refused) => self.refuse(&entry, refused),
            },
            Err(refused) => self.refuse(&entry, refused),
        }
    }

    /// A list: of a file a TOML array, of the environment texts with commas between.
    pub(crate) fn set_list<T>(&mut self, key: &'static str, field: &mut Vec<T>, form: Form<T>) {
        let Some(entry) = self.take(key, parted) else { return };
        let Value::Array(items) = &entry.value else {
            let found = format!("{} is no list", quoted(&plain(&entry.value)));
            let accepted = "write a list, as in `[\"one\", \"two\"]`".to_owned();
            return self.refuse(&entry, Refused { found, accepted });
        };
        let read: Vec<_> = items.iter().map(|item| scalar(item).and_then(|text| form(text.trim()))).collect();
        let mut values = Vec::with_capacity(read.len());
        for item in read {
            match item {
                Ok(value) => values.push(value),
                Err(refused) => self.refuse(&entry, refused),
            }
        }
        *field = values;
    }

    /// A list of tables: of a file TOML's, of the environment JSON. `form` reads one; what it finds wrong is told with
    /// the place, counted from 1.
    pub(crate) fn set_tables<T>(&mut self, key: &'static str, field: &mut Vec<T>, form: fn(&mut Table) -> Option<T>) {
        let Some(entry) = self.take(key, decoded) else { return };
        let Value::Array(items) = &entry.value else {
            let accepted = format!("write tables, each as `[[{key}]]`; in the environment a JSON list of objects");
            return self.refuse(&entry, Refused { found: "is no list of tables".to_owned(), accepted });
        };
        let mut values = Vec::with_capacity(items.len());
        for (place, item) in items.iter().enumerate() {
            let mut table = Table::new(format!("{key}[{}]", place + 1), item);
            values.extend(form(&mut table));
            for (key, Refused { found, accepted }) in table.finish() {
                self.problems.push(Problem::new(&key, found, accepted).from(Some(entry.origin.clone())));
            }
        }
        *field = values;
    }

    /// A secret or a reference to one; an empty text is none.
    pub(crate) fn set_secret(&mut self, key: &'static str, field: &mut Option<SecretString>) {
        let Some(entry) = self.take(key, |entry| masked(entry, secrets::masked)) else { return };
        match self.secret(&entry.key) {
            Ok(secret) => *field = secret,
            Err(refused) => self.refuse(&entry, refused),
        }
    }

    /// A list of secrets or references; empty texts are left out.
    pub(crate) fn set_secrets(&mut self, key: &'static str, field: &mut Vec<SecretString>) {
        let mask = |entry: &Entry| {
            let items = parted(entry).value.as_array().map(|items| items.iter().map(masked_item).collect());
            Entry { value: items.map_or_else(|| MASK.into(), Value::Array), ..entry.clone() }
        };
        let Some(shown) = self.take(key, mask) else { return };
        let Some(Value::Array(items)) = self.last(key).map(|it| parted(it).value) else {
            let accepted = "write a list, as in `[\"env:ONE\", \"file:two\"]`".to_owned();
            return self.refuse(&shown, Refused { found: "is no list".to_owned(), accepted });
        };
        let texts = items.iter().filter_map(Value::as_str).map(str::trim).filter(|it| !it.is_empty());
        let read: Vec<_> = texts.map(|it| secrets::resolve(it, self.surroundings)).collect();
        let mut values = Vec::with_capacity(read.len());
        for item in read {
            match item {
                Ok(secret) => values.push(secret),
                Err(refused) => self.refuse(&shown, refused),
            }
        }
        *field = values;
    }

    /// An address that may hold a password, or a reference to one. Shown without the password.
    pub(crate) fn set_secret_address(&mut self, key: &'static str, field: &mut SecretString) {
        let Some(entry) = self.take(key, |entry| masked(entry, without_password)) else { return };
        match self.secret(&entry.key) {
            Ok(Some(secret)) => *field = secret,
            Ok(None) => self.refuse(&entry, Refused::of("", "write an address")),
            Err(refused) => self.refuse(&entry, refused),
        }
    }

    fn secret(&self, key: &str) -> Result<Option<SecretString>, Refused> {
        let Some(entry) = self.last(key) else { return Ok(None) };
        let no_text = |_| Refused {
            found: "is not a text".to_owned(),
            accepted: "write the secret in quotes, or `env:NAME` or `file:PATH`".to_owned(),
        };
        let text = scalar(&entry.value).map_err(no_text)?;
        if text.is_empty() { Ok(None) } else { secrets::resolve(&text, self.surroundings).map(Some) }
    }

    /// The entry that has the last word, noted as known and as shown.
    fn take(&mut self, key: &'static str, show: impl Fn(&Entry) -> Entry) -> Option<Entry> {
        let entry = self.last(key).map(show);
        let value = entry.as_ref().map_or(Value::Null, |entry| self.shaped(entry));
        let origin = entry.as_ref().map(|entry| entry.origin.clone());
        self.shown.insert(key, Shown { key: key.to_owned(), value, origin });
        entry
    }

    fn last(&self, key: &str) -> Option<&'a Entry> {
        self.entries.iter().rev().find(|entry| entry.key == key)
    }

    /// The environment has texts only; one that stands for a number or a flag is shown as such.
    fn shaped(&self, entry: &Entry) -> Value {
        let lowest = self.entries.iter().find(|it| it.key == entry.key).map(|it| &it.value);
        match (&entry.value, lowest) {
            (Value::String(text), Some(Value::Number(_) | Value::Bool(_))) => {
                serde_json::from_str(text).unwrap_or_else(|_| entry.value.clone())
            }
            (value, _) => value.clone(),
        }
    }

    fn refuse(&mut self, entry: &Entry, refused: Refused) {
        let problem = Problem::new(&entry.key, refused.found, refused.accepted);
        self.problems.push(problem.from(Some(entry.origin.clone())));
    }

    /// What was read: problems (unknown keys among them) and a line for each key.
    pub(crate) fn finish(mut self) -> (Vec<Problem>, Vec<Shown>) {
        let known: BTreeSet<&str> = self.shown.keys().copied().collect();
        for entry in self.entries.iter().filter(|it| !known.contains(it.key.as_str())) {
            self.problems.push(unknown(entry, &known));
        }
        (self.problems, self.shown.into_values().collect())
    }
}

/// The value of an unknown key is never shown: it may be a secret under a misspelt name.
fn unknown(entry: &Entry, known: &BTreeSet<&str>) -> Problem {
    let inside: Vec<&str> =
        known.iter().filter(|key| key.split('.').next() == Some(entry.key.as_str())).copied().collect();
    let above = entry.key.split('.').next().filter(|it| known.contains(it));
    let accepted = match (inside.first(), above.or_else(|| nearest(&entry.key, known.iter().copied()))) {
        (Some(first), _) => format!("it is a section: set its keys, as in `{first}`"),
        (None, Some(key)) => format!("did you mean `{key}`?"),
        (None, None) => "`starkeep config show` lists all keys".to_owned(),
    };
    Problem::new(&quoted(&entry.key).replace('`', ""), "there is no such key", accepted)
        .from(Some(entry.origin.clone()))
}

/// One secret of a list.
fn masked_item(item: &Value) -> Value {
    item.as_str().map_or_else(|| MASK.to_owned(), secrets::masked).into()
}

fn masked(entry: &Entry, mask: fn(&str) -> String) -> Entry {
    let value = match &entry.value {
        Value::String(text) if text.is_empty() => Value::Null,
        Value::String(text) => mask(text).into(),
        _ => MASK.into(),
    };
    Entry { value, ..entry.clone() }
}

/// `postgres://me:********@host/db`; a reference as it stands; masked as a whole if it is not plain
/// which part is the password.
fn without_password(text: &str) -> String {
    let reference = secrets::masked(text);
    if reference != MASK || text.starts_with("sqlite:") {
        return if reference == MASK { text.to_owned() } else { reference };
    }
    // A `/`, `?`, `#` or `@` in a password that was not escaped makes the parser find the parts
    // elsewhere, so only the plainest address is shown.
    let word = |it: &str| it.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    let Ok(mut address) = Url::parse(text) else { return MASK.to_owned() };
    let plain = matches!(address.scheme(), "postgres" | "postgresql")
        && address.query().is_none()
        && address.fragment().is_none()
        && word(address.path().trim_start_matches('/'))
        && word(address.username())
        && text.matches('@').count() == usize::from(!address.username().is_empty());
    let masked = address.password().is_none() || address.set_password(Some(MASK)).is_ok();
    if plain && masked { address.to_string() } else { MASK.to_owned() }
}

/// A list of the environment is parted at its commas.
fn parted(entry: &Entry) -> Entry {
    let value = match (&entry.value, &entry.origin) {
        (Value::String(text), Origin::Variable(_)) => {
            text.split(',').map(str::trim).filter(|it| !it.is_empty()).map(Value::from).collect::<Vec<_>>().into()
        }
        (value, _) => value.clone(),
    };
    Entry { value, ..entry.clone() }
}

/// A list of tables of the environment is JSON; an empty text is an empty list.
fn decoded(entry: &Entry) -> Entry {
    let value = match (&entry.value, &entry.origin) {
        (Value::String(text), Origin::Variable(_)) if text.trim().is_empty() => Value::Array(Vec::new()),
        (Value::String(text), Origin::Variable(_)) => {
            // What is no JSON may be a secret under a wrong name, and is not shown.
            serde_json::from_str(text).unwrap_or(Value::Null)
        }
        (value, _) => value.clone(),
    };
    Entry { value, ..entry.clone() }
}

/// Any single value as a text: `workers = 4` and `workers = "4"` mean the same.
pub(crate) fn scalar(value: &Value) -> Result<String, Refused> {
    match value {
        Value::Array(_) | Value::Object(_) => Err(Refused {
            found: format!("{} is a list or a table", quoted(&plain(value))),
            accepted: "write a single value".to_owned(),
        }),
        value => Ok(plain(value)),
    }
}

pub(crate) fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A form for everything that parses itself.
pub(crate) fn parsed<T: FromStr>(text: &str, accepted: &str) -> Result<T, Refused> {
    text.parse().map_err(|_| Refused::of(text, accepted))
}

/// `true` or `false`.
pub(crate) fn flag(text: &str) -> Result<bool, Refused> {
    parsed(text, "write `true` or `false`")
}

/// A whole number that is not negative.
pub(crate) fn number<T: FromStr>(text: &str) -> Result<T, Refused> {
    parsed(text, "write a whole number, as in `4`")
}

/// Any text.
#[expect(clippy::unnecessary_wraps, reason = "it has the shape of all forms")]
pub(crate) fn words(text: &str) -> Result<String, Refused> {
    Ok(text.to_owned())
}

/// An http or https address without credentials, query and fragment; a final slash is cut.
pub(crate) fn address(text: &str) -> Result<Url, Refused> {
    const ACCEPTED: &str = "write an address, as in `https://example.org`, without user, password, query or `#`";
    let mut address: Url = parsed(text, ACCEPTED)?;
    let path = address.path().trim_end_matches('/').to_owned();
    address.set_path(&path);
    let bare = address.username().is_empty()
        && address.password().is_none()
        && address.query().is_none()
        && address.fragment().is_none();
    let whole = matches!(address.scheme(), "http" | "https") && address.has_host();
    if bare && whole { Ok(address) } else { Err(Refused::of(text, ACCEPTED)) }
}

/// One of an enum's words; the enum's own list of variants makes the message.
pub(crate) fn word<T: DeserializeOwned>(text: &str) -> Result<T, Refused> {
    T::deserialize(StrDeserializer::<WrongWord>::new(text)).map_err(|WrongWord(accepted)| {
        let accepted: Vec<String> = accepted.iter().map(|it| format!("`{it}`")).collect();
        Refused::of(text, &format!("write {}", accepted.join(" or ")))
    })
}

/// Which words would have been right.
#[derive(Debug)]
struct WrongWord(&'static [&'static str]);

impl fmt::Display for WrongWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unknown word")
    }
}

impl std::error::Error for WrongWord {}

impl serde::de::Error for WrongWord {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self(&[])
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self(expected)
    }
}

/// A problem if a token could not stand in a request's header.
pub(crate) fn header_problem(key: &str, secret: Option<&SecretString>) -> Option<Problem> {
    let fits = secret.is_none_or(|it| it.expose_secret().bytes().all(|b| b.is_ascii_graphic()));
    (!fits).then(|| {
        Problem::new(
            key,
            "holds a character that cannot stand in a request's header (a space, a line break, a letter beyond ASCII)",
            "give the token exactly as it was issued",
        )
    })
}

/// A problem if a secret could not be the whole value of a header, which may hold spaces.
pub(crate) fn header_value_problem(key: &str, secret: Option<&SecretString>) -> Option<Problem> {
    let fits = secret.is_none_or(|it| it.expose_secret().bytes().all(|b| b.is_ascii_graphic() || b == b' '));
    (!fits).then(|| {
        Problem::new(
            key,
            "holds a character that cannot stand in a request's header (a line break, a letter beyond ASCII)",
            "give the header's value as it is to be sent, as in `Bearer TOKEN`",
        )
    })
}
