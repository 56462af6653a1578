//! `starkeep key`: keys of the admin API, made, listed, rotated and revoked without a server.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use clap::Subcommand;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Given, output};
use crate::app;
use crate::config::duration;
use crate::domain::api_key::{FullKey, LONGEST_OVERLAP, Scope, Scopes};
use crate::store::api_keys::{self, Key, NewKey};
use crate::store::audit::{self, NewEntry};
use crate::store::minting::{Minted, mint};
use crate::store::{Connection, Store, StoreError, Window};

/// Who does it, in the audit log.
const ACTOR: &str = "cli";

#[derive(Debug, Subcommand)]
pub(super) enum Action {
    /// Make a key; it is shown this once
    Create {
        /// What it is for
        name: String,
        /// What it may do: mirrors:read, mirrors:write, batches, deliveries, audit:read, keys, sync:commits,
        /// read:repos, or admin for everything; several times, or with commas
        #[arg(long = "scope", value_name = "SCOPE", required = true, value_delimiter = ',')]
        scopes: Vec<Scope>,
        /// Days until it ends [default: never]
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(i64).range(1..=3650))]
        expires_in_days: Option<i64>,
    },
    /// List the keys
    List {
        /// Revoked ones too
        #[arg(long)]
        include_revoked: bool,
    },
    /// Make a key in place of one, which ends after a while; the new one is shown this once
    Rotate {
        /// Its id, or its prefix, sk_ and eight characters
        #[arg(value_name = "KEY")]
        key: String,
        /// How long both are valid, up to 30d
        #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = overlap)]
        overlap: TimeDelta,
    },
    /// End a key at once, in every process
    Revoke {
        /// Its id, or its prefix, sk_ and eight characters
        #[arg(value_name = "KEY")]
        key: String,
    },
}

pub(super) async fn run(given: &Given, action: Action) -> anyhow::Result<u8> {
    let config = given.quiet_config().await?;
    let store = app::open_store(&config).await?;
    match action {
        Action::Create { name, scopes, expires_in_days } => create(given, &store, name, &scopes, expires_in_days).await,
        Action::List { include_revoked } => list(given, &store, include_revoked).await,
        Action::Rotate { key, overlap } => rotate(given, &store, key, overlap).await,
        Action::Revoke { key } => revoke(given, &store, key).await,
    }
}

async fn create(given: &Given, store: &Store, name: String, scopes: &[Scope], days: Option<i64>) -> anyhow::Result<u8> {
    let words: Vec<&str> = scopes.iter().map(|it| it.as_str()).collect();
    let scopes = Scopes::parse(&words)?;
    let (now, Minted { full, hash }) = (Utc::now(), mint().await?);
    let key = NewKey {
        id: Uuid::now_v7(),
        name,
        prefix: full.prefix().to_owned(),
        hash,
        scopes,
        created_by: ACTOR.to_owned(),
        expires_at: days.map(|it| now + TimeDelta::days(it)),
    };
    let made = store.write(move |c| record(c, &key, now)).await?;
    show_once(given, &made, &full, now)?;
    Ok(0)
}

fn show_once(given: &Given, made: &Key, full: &FullKey, now: DateTime<Utc>) -> anyhow::Result<()> {
    if given.json {
        let mut shown = made.to_json(now);
        if let Some(members) = shown.as_object_mut() {
            members.insert("full_key".to_owned(), Value::from(full.expose()));
        }
        output::json(&shown)?;
    } else {
        output::line(full.expose());
        output::say("keep it now: it is not shown again");
    }
    Ok(())
}

fn record(c: &mut Connection, key: &NewKey, now: DateTime<Utc>) -> Result<Key, StoreError> {
    let made = api_keys::insert(c, key, now)?;
    let detail = json!({ "name": made.name, "scopes": made.scopes.words(), "expires_at": made.expires_at });
    audit::append(c, &NewEntry { detail, ..NewEntry::of(ACTOR, "key.create", &made.prefix) }, now)?;
    Ok(made)
}

async fn list(given: &Given, store: &Store, revoked: bool) -> anyhow::Result<u8> {
    let found = store.read(move |c| all(c, revoked)).await?;
    let now = Utc::now();
    if given.json {
        output::json(&found.iter().map(|it| it.to_json(now)).collect::<Vec<_>>())?;
        return Ok(0);
    }
    found.iter().for_each(|it| output::line(&as_text(it, now)));
    if found.is_empty() {
        output::say("there are no keys; make one with `starkeep key create NAME --scope SCOPE`");
    }
    Ok(0)
}

fn all(c: &mut Connection, revoked: bool) -> Result<Vec<Key>, StoreError> {
    let (mut found, mut window) = (Vec::new(), Window { limit: 200, cursor: None });
    loop {
        let page = api_keys::list(c, revoked, &window)?;
        found.extend(page.items);
        match page.next {
            Some(next) => window.cursor = Some(next),
            None => return Ok(found),
        }
    }
}

fn as_text(it: &Key, now: DateTime<Utc>) -> String {
    let day = |at: DateTime<Utc>| at.format("%Y-%m-%d").to_string();
    let used = it.last_used.as_ref().map_or_else(|| "never".to_owned(), |it| day(it.0));
    let until = it.expires_at.map_or_else(|| "for ever".to_owned(), day);
    let (status, scopes) = (it.status(now).as_str(), it.scopes.words().join(","));
    format!("{}  {status:<7}  until {until}, used {used} ({}x)  {scopes}  {}", it.prefix, it.usage_count, it.name)
}

/// How long both keys are valid.
fn overlap(text: &str) -> Result<TimeDelta, String> {
    let accepted = || "write a duration from 0s to 30d, as in 1h".to_owned();
    let overlap = duration::parse(text).map_err(|_| accepted())?;
    TimeDelta::from_std(overlap).ok().filter(|_| overlap <= LONGEST_OVERLAP).ok_or_else(accepted)
}

async fn rotate(given: &Given, store: &Store, which: String, overlap: TimeDelta) -> anyhow::Result<u8> {
    let Some(old) = store.read(move |c| find(c, &which)).await? else {
        anyhow::bail!("there is no such key; `starkeep key list` shows them")
    };
    let (now, Minted { full, hash }) = (Utc::now(), mint().await?);
    let key = NewKey {
        id: Uuid::now_v7(),
        name: old.name.clone(),
        prefix: full.prefix().to_owned(),
        hash,
        scopes: old.scopes.clone(),
        created_by: ACTOR.to_owned(),
        expires_at: old.renewed_until(now),
    };
    let entry = NewEntry::of(ACTOR, "key.rotate", &old.prefix);
    let made = store.write(move |c| api_keys::replace(c, old.id, &key, overlap, &entry, now)).await?;
    let Some(made) = made else {
        anyhow::bail!("this key is revoked or expired; make a new one with `starkeep key create`")
    };
    show_once(given, &made, &full, now)?;
    if !given.json {
        output::say(&format!(
            "the key of before ends at {}",
            (now + overlap).to_rfc3339_opts(SecondsFormat::Secs, true)
        ));
    }
    Ok(0)
}

/// By its id or its prefix.
fn find(c: &mut Connection, which: &str) -> Result<Option<Key>, StoreError> {
    match Uuid::try_parse(which) {
        Ok(id) => api_keys::find(c, id),
        Err(_) => Ok(api_keys::by_prefix(c, which)?.map(|it| it.0)),
    }
}

async fn revoke(given: &Given, store: &Store, which: String) -> anyhow::Result<u8> {
    let ended = store.write(move |c| end(c, &which, Utc::now())).await?;
    let Some(key) = ended else { anyhow::bail!("there is no such key; `starkeep key list` shows them") };
    if given.json {
        output::json(&key.to_json(Utc::now()))?;
    } else {
        output::line(&format!("{} is revoked", key.prefix));
    }
    Ok(0)
}

fn end(c: &mut Connection, which: &str, now: DateTime<Utc>) -> Result<Option<Key>, StoreError> {
    let Some(key) = find(c, which)? else { return Ok(None) };
    if api_keys::revoke(c, key.id, now)? {
        let detail = json!({ "name": key.name });
        audit::append(c, &NewEntry { detail, ..NewEntry::of(ACTOR, "key.revoke", &key.prefix) }, now)?;
    }
    api_keys::find(c, key.id)
}
