//! `starkeep kept`: the old tips of a mirror, and making a branch of one.

use clap::Subcommand;
use serde_json::json;

use super::{Given, output, status};
use crate::app::{self, App, AppOptions};
use crate::domain::refs::RefName;
use crate::domain::repository::RepositoryName;
use crate::store::kept::{self, Kept};
use crate::store::mirrors::Mirror;

#[derive(Debug, Subcommand)]
pub(super) enum Action {
    /// List the tips that upstream overwrote or deleted, or that somebody had moved in OneDev
    List {
        /// OWNER/NAME
        #[arg(value_name = "OWNER/NAME")]
        repository: RepositoryName,
    },
    /// Make a branch of one in OneDev; no sync touches it
    Branch {
        /// OWNER/NAME
        #[arg(value_name = "OWNER/NAME")]
        repository: RepositoryName,
        /// The number that `kept list` shows, or the whole ref
        #[arg(value_name = "KEPT")]
        kept: String,
        /// The branch to make
        #[arg(long = "as", value_name = "BRANCH")]
        branch: String,
    },
}

pub(super) async fn run(given: &Given, action: Action) -> anyhow::Result<u8> {
    match action {
        Action::List { repository } => list(given, repository).await,
        Action::Branch { repository, kept, branch } => make(given, repository, &kept, &branch).await,
    }
}

async fn list(given: &Given, name: RepositoryName) -> anyhow::Result<u8> {
    let config = given.quiet_config().await?;
    let store = app::open_store(&config).await?;
    let mirror = one(&store, name).await?;
    let mut found = store.read(move |c| kept::all(c, mirror.id)).await?;
    found.reverse();
    if given.json {
        output::json(&found.iter().map(as_json).collect::<Vec<_>>())?;
    } else {
        found.iter().for_each(|it| output::line(&as_text(it)));
        if found.is_empty() {
            output::say("nothing was overwritten or deleted yet");
        }
    }
    Ok(0)
}

async fn make(given: &Given, name: RepositoryName, which: &str, branch: &str) -> anyhow::Result<u8> {
    let branch = RefName::of_branch(branch)?;
    let config = given.quiet_config().await?;
    let app = App::start(AppOptions { config, only: Some(Vec::new()), ..AppOptions::default() }).await?;
    let made = async { app.revive(&one(&app.store, name.clone()).await?, which, &branch).await }.await;
    app.shut_down().await;
    let (commit, short) = (made?, branch.branch().unwrap_or_default());
    if given.json {
        output::json(&json!({ "repository": name, "branch": short, "commit": commit }))?;
    } else {
        output::line(&format!("{name}: the branch {short} is at {commit}; no sync touches it"));
    }
    Ok(0)
}

async fn one(store: &crate::store::Store, name: RepositoryName) -> anyhow::Result<Mirror> {
    let mut found = status::select(store, &[name]).await?;
    found.pop().ok_or_else(|| anyhow::anyhow!("there is no such mirror"))
}

fn as_json(it: &Kept) -> serde_json::Value {
    json!({
        "id": it.id.0,
        "ref": it.name,
        "kept_ref": it.kept_ref,
        "oid": it.oid,
        "reason": it.reason,
        "kept_at": it.created_at,
    })
}

fn as_text(it: &Kept) -> String {
    let at = it.created_at.format("%Y-%m-%d %H:%M:%SZ");
    format!("{:>6}  {at}  {:<15} {}  {}", it.id.0, it.reason.as_str(), it.oid, it.name)
}
