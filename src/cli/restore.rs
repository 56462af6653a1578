//! `starkeep restore`: brings a mirror back out of OneDev, as it is or as it was at some time.

use std::path::PathBuf;

use base64::Engine as _;
use chrono::{DateTime, NaiveDate, Utc};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use url::Url;

use super::{Given, output, status};
use crate::app::archive::{Archive, Destination};
use crate::config;
use crate::domain::repository::RepositoryName;

/// Holds the credential of the server that is restored to, where none is named.
const CREDENTIAL: &str = "env:STARKEEP_RESTORE_CREDENTIAL";

/// What is to be restored, and where to.
#[derive(Debug, clap::Args)]
pub(super) struct Order {
    /// OWNER/NAME
    #[arg(value_name = "OWNER/NAME")]
    repository: RepositoryName,
    /// An empty repository at any git server (http or https), or a folder
    #[arg(long, value_name = "URL|FOLDER")]
    to: String,
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

/// Where it goes.
enum Place {
    Folder(PathBuf),
    Remote(Url),
}

fn place(text: &str) -> anyhow::Result<Place> {
    if !text.contains("://") {
        return Ok(Place::Folder(PathBuf::from(text)));
    }
    let url: Url = text.parse()?;
    let bare = url.username().is_empty() && url.password().is_none();
    anyhow::ensure!(bare, "credentials do not belong in --to; name where they stand by --credential env:NAME");
    anyhow::ensure!(matches!(url.scheme(), "http" | "https"), "--to takes http and https addresses, and folders");
    Ok(Place::Remote(url))
}

pub(super) async fn run(given: &Given, order: Order) -> anyhow::Result<u8> {
    let place = place(&order.to)?;
    let config = given.quiet_config()?;
    let archive = Archive::open(&config).await?;
    let mut found = status::select(&archive.store, std::slice::from_ref(&order.repository)).await?;
    let mirror = found.pop().ok_or_else(|| anyhow::anyhow!("there is no mirror of {}", order.repository))?;
    let wanted = archive.wanted(&mirror, order.at).await?;
    let done = match place {
        Place::Folder(folder) => archive.to_folder(&mirror, &wanted, &folder).await?,
        Place::Remote(url) => {
            let authorization = authorization(given, order.credential.as_deref())?;
            let clear = url.scheme() == "http" && !config::is_loopback(&url) && authorization.is_some();
            anyhow::ensure!(!clear, "the credential would go unencrypted over the network; use an https address");
            archive.to_remote(&wanted, Destination { url, authorization }).await?
        }
    };
    if given.json {
        let refused: Vec<_> = done.refused.iter().map(|(name, why)| json!({ "ref": name, "reason": why })).collect();
        output::json(&json!({
            "repository": mirror.name,
            "to": order.to,
            "proven_at": wanted.proven_at,
            "digest": wanted.digest,
            "exact": wanted.exact,
            "refs": done.refs,
            "kept": done.kept,
            "refused": refused,
        }))?;
    } else {
        let at = wanted.proven_at.format("%Y-%m-%d %H:%M:%SZ");
        output::line(&format!(
            "{}: {} refs and {} kept ones, as proven {at}, are in {}",
            mirror.name, done.refs, done.kept, order.to
        ));
    }
    for (name, why) in &done.refused {
        output::say(&format!("error: {name} was refused there: {why}"));
    }
    if !wanted.exact {
        output::say(
            "warning: these are not exactly the refs of that proof: OneDev could not hold some of them; `starkeep status` names them",
        );
    }
    Ok(u8::from(!done.refused.is_empty()))
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
