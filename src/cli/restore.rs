//! `starkeep restore`: brings a mirror back out of OneDev, as it is or as it was at some time.

use std::path::PathBuf;

use base64::Engine as _;
use chrono::{DateTime, NaiveDate, Utc};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use url::Url;

use super::{Given, output, status, waiting};
use crate::app::archive::{Archive, Destination, Moved, Restored, Wanted, wiki_address, wiki_folder};
use crate::config;
use crate::domain::lfs::Pointer;
use crate::domain::repository::RepositoryName;

/// Holds the credential of the server that is restored to, where none is named.
const CREDENTIAL: &str = "env:STARKEEP_RESTORE_CREDENTIAL";
/// LFS objects that are named one by one.
const MOST_NAMED: usize = 500;

/// What is to be restored, and where to.
#[derive(Debug, clap::Args)]
pub(super) struct Order {
    /// OWNER/NAME
    #[arg(value_name = "OWNER/NAME")]
    repository: RepositoryName,
    /// An empty repository at any git server (http or https), or a folder; LFS objects go there too
    #[arg(long, value_name = "URL|FOLDER")]
    to: String,
    /// Where the wiki goes, if it has one [default: --to with .wiki.git at its end]
    #[arg(long, value_name = "URL|FOLDER")]
    wiki_to: Option<String>,
    /// As it was last proven at that time: 2026-11-20 or 2026-11-20T15:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    at: Option<DateTime<Utc>>,
    /// Where the credential of that server stands: env:NAME or file:PATH, holding TOKEN or USER:PASSWORD
    /// [default: env:STARKEEP_RESTORE_CREDENTIAL, if it is set]
    #[arg(long, value_name = "REFERENCE")]
    credential: Option<String>,
}

fn time(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.to_utc());
    }
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().and_then(|it| it.and_hms_opt(0, 0, 0));
    day.map(|it| it.and_utc()).ok_or_else(|| "write 2026-11-20, or 2026-11-20T15:00:00Z".to_owned())
}

/// Where it goes: the repository, and its wiki.
enum Place {
    Folder(PathBuf, PathBuf),
    Remote(Url, Url),
}

fn place(to: &str, wiki: Option<&str>) -> anyhow::Result<Place> {
    anyhow::ensure!(wiki.is_none_or(|it| it != to), "--wiki-to must name another place than --to");
    Ok(match (address(to)?, wiki.map(address).transpose()?) {
        (Err(folder), None) => {
            let wiki = wiki_folder(&folder);
            Place::Folder(folder, wiki)
        }
        (Err(folder), Some(Err(wiki))) => Place::Folder(folder, wiki),
        (Ok(url), None) => {
            let wiki = wiki_address(&url);
            Place::Remote(url, wiki)
        }
        (Ok(url), Some(Ok(wiki))) => Place::Remote(url, wiki),
        _ => anyhow::bail!("--to and --wiki-to must both be folders, or both be addresses"),
    })
}

/// An address, or else a folder.
fn address(text: &str) -> anyhow::Result<Result<Url, PathBuf>> {
    if !text.contains("://") {
        return Ok(Err(PathBuf::from(text)));
    }
    let url: Url = text.parse()?;
    let bare = url.username().is_empty() && url.password().is_none();
    anyhow::ensure!(bare, "credentials do not belong in an address; name where they stand by --credential env:NAME");
    anyhow::ensure!(matches!(url.scheme(), "http" | "https"), "http and https addresses are taken, and folders");
    Ok(Ok(url))
}

/// The way to a server. A credential never goes unencrypted over a network.
fn destination(url: Url, authorization: Option<SecretString>) -> anyhow::Result<Destination> {
    let clear = url.scheme() == "http" && !config::is_loopback(&url) && authorization.is_some();
    anyhow::ensure!(!clear, "the credential would go unencrypted over the network; use an https address");
    Ok(Destination { url, authorization })
}

/// What is written to.
enum Target {
    Folders(PathBuf, PathBuf),
    Servers(Destination, Destination),
}

fn target(given: &Given, order: &Order) -> anyhow::Result<Target> {
    Ok(match place(&order.to, order.wiki_to.as_deref())? {
        Place::Folder(folder, wiki) => Target::Folders(folder, wiki),
        Place::Remote(url, wiki) => {
            let authorization = authorization(given, order.credential.as_deref())?;
            Target::Servers(destination(url, authorization.clone())?, destination(wiki, authorization)?)
        }
    })
}

pub(super) async fn run(given: &Given, order: Order) -> anyhow::Result<u8> {
    let target = target(given, &order)?;
    let config = given.quiet_config().await?;
    let archive = Archive::open(&config).await?;
    let mut found = status::select(&archive.store, std::slice::from_ref(&order.repository)).await?;
    let mirror = found.pop().ok_or_else(|| anyhow::anyhow!("there is no mirror of {}", order.repository))?;
    let wanted = archive.wanted(&mirror, order.at).await?;
    let wiki = match &target {
        Target::Folders(_, wiki) => wiki.display().to_string(),
        Target::Servers(_, wiki) => wiki.url.to_string(),
    };
    let work = async {
        match &target {
            Target::Folders(folder, wiki) => archive.to_folder(&mirror, &wanted, folder, wiki).await,
            Target::Servers(to, wiki) => archive.to_remote(&wanted, to, wiki).await,
        }
    };
    let done = waiting::shown(&mirror.name.to_string(), || archive.moved(), work).await?;
    let told = Told { repository: &mirror.name, to: &order.to, wiki: &wiki, wanted: &wanted, done: &done };
    if given.json {
        output::json(&told.as_json())?;
    } else {
        output::line(&told.as_text());
    }
    told.complain();
    Ok(u8::from(!done.is_whole()))
}

/// What is told of a restore.
struct Told<'a> {
    repository: &'a RepositoryName,
    to: &'a str,
    wiki: &'a str,
    wanted: &'a Wanted,
    done: &'a Restored,
}

impl Told<'_> {
    fn as_json(&self) -> Value {
        let Self { wanted, done, .. } = self;
        let missing: Vec<Value> = done.objects.missing.iter().take(MOST_NAMED).map(missing).collect();
        let wiki = done.wiki.as_ref().zip(wanted.wiki.as_ref()).map(|(moved, wanted)| {
            json!({
                "to": self.wiki,
                "proven_at": wanted.proven_at,
                "digest": wanted.digest,
                "exact": wanted.exact,
                "refs": moved.refs,
                "kept": moved.kept,
                "refused": refused(moved),
            })
        });
        let catalog = wanted.catalog.as_ref().filter(|_| done.catalog);
        let lost: Vec<Value> = done.lost.iter().map(|(what, why)| json!({ "what": what, "reason": why })).collect();
        json!({
            "repository": self.repository,
            "to": self.to,
            "proven_at": wanted.code.proven_at,
            "digest": wanted.code.digest,
            "exact": wanted.code.exact,
            "refs": done.code.refs,
            "kept": done.code.kept,
            "refused": refused(&done.code),
            "lfs": {
                "objects": done.objects.objects,
                "bytes": done.objects.bytes,
                "missing": missing,
                "missing_count": done.objects.missing.len(),
            },
            "wiki": wiki,
            "catalog": catalog.map(|it| json!({ "ref": it.name, "commit": it.commit })),
            "lost": lost,
        })
    }

    fn as_text(&self) -> String {
        let Self { repository, to, wanted, done, .. } = self;
        let at = wanted.code.proven_at.format("%Y-%m-%d %H:%M:%SZ");
        let mut text = format!("{repository}: {} refs and {} kept ones", done.code.refs, done.code.kept);
        if done.objects.objects > 0 {
            text.push_str(&format!(", {} LFS objects", done.objects.objects));
        }
        if done.catalog {
            text.push_str(", issues and releases");
        }
        text.push_str(&format!(", as proven {at}, are in {to}"));
        if let Some(pages) = &done.wiki {
            text.push_str(&format!("; the wiki's {} refs are in {}", pages.refs, self.wiki));
        }
        text
    }

    /// What is not there, on stderr.
    fn complain(&self) {
        let Self { wanted, done, .. } = self;
        let pages = done.wiki.iter().flat_map(|it| &it.refused);
        for (name, why) in done.code.refused.iter().chain(pages) {
            output::say(&format!("error: {name} is not there: {why}"));
        }
        for (what, why) in &done.lost {
            output::say(&format!("error: the {what} is not there: {why}"));
        }
        let missing = &done.objects.missing;
        for (object, why) in missing.iter().take(MOST_NAMED) {
            output::say(&format!("error: the LFS object {} of {} bytes is not there: {why}", object.oid, object.size));
        }
        if missing.len() > MOST_NAMED {
            output::say(&format!("error: and {} further LFS objects", missing.len() - MOST_NAMED));
        }
        if done.objects.unsearched {
            output::say("error: not everything could be searched for LFS pointers: run it again");
        }
        let exact = wanted.code.exact && wanted.wiki.as_ref().is_none_or(|it| it.exact);
        if !exact {
            output::say(
                "warning: these are not exactly the refs of that proof: OneDev could not hold some of them; `starkeep status` names them",
            );
        }
    }
}

fn refused(moved: &Moved) -> Vec<Value> {
    moved.refused.iter().map(|(name, why)| json!({ "ref": name, "reason": why })).collect()
}

fn missing((object, why): &(Pointer, String)) -> Value {
    json!({ "oid": object.oid, "size": object.size, "reason": why })
}

/// The header for the server that is restored to. A bare token goes as the password, which every forge takes.
fn authorization(given: &Given, reference: Option<&str>) -> anyhow::Result<Option<SecretString>> {
    let secret = match reference {
        Some(reference) => Some(config::secret(reference, &given.options).map_err(anyhow::Error::msg)?),
        None => config::secret(CREDENTIAL, &given.options).ok(),
    };
    Ok(secret.map(|it| {
        let text = it.expose_secret().trim();
        let pair = if text.contains(':') { text.to_owned() } else { format!("x-access-token:{text}") };
        SecretString::from(format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair)))
    }))
}
