//! Rebuilds a lost database from OneDev alone: every project below the root that carries a marker becomes a
//! mirror again, with its names, stars, kept refs, aliases and the history of its proofs, its wiki, its LFS objects
//! and its catalog.
//!
//! Each mirror is written in one transaction, so that a run that was cut off is gone on with by the next. A
//! mirror that is known already is left alone. Nothing is written to OneDev.

mod catalog;
mod read;

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::Utc;
use url::Url;

use crate::domain::ids::GithubId;
use crate::domain::refs::RefName;
use crate::domain::repository::RepositoryName;
use crate::onedev::Project;
use crate::stages::failure::Failure;
use crate::stages::restore::Tools;
use crate::store::adopted::{self, Whole};
use crate::store::catalog as table;
use crate::store::mirrors;

use catalog::Standing;
use read::Found;

/// What became of one project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Adopted {
    /// It is a mirror again.
    Made(RepositoryName),
    /// Its mirror is in the database already.
    Known(RepositoryName),
    /// It holds the wiki of a mirror that is known, or is one again.
    Wiki(RepositoryName),
    /// Another project holds the same upstream and was proven later.
    Second(RepositoryName, String),
    /// It carries no marker.
    Unmarked,
    /// Its marker cannot be read, or is of another GitHub: why.
    Unreadable(String),
}

/// One project and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its full path.
    pub path: String,
    /// What became of it.
    pub outcome: Adopted,
}

/// How projects are to be read.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Which GitHub the mirrors are of: markers of another one are left alone.
    pub instance: String,
    /// Tips are kept by default, so that a ref that moved since its marker may count as put where it stands.
    pub keep_overwritten: bool,
    /// Wikis are mirrored.
    pub wiki: bool,
    /// The ref that holds catalogs, if they are kept.
    pub catalog: Option<RefName>,
    /// Where GitHub shows pages: attachments are known by it.
    pub pages: Url,
    /// Look only.
    pub dry_run: bool,
}

/// Reads every project below the root, and makes mirrors of those that are marked.
///
/// # Errors
/// When OneDev or the database cannot be used; a project that cannot be read is no error but named.
pub async fn adopt(tools: &Tools, rules: &Rules) -> Result<Vec<Line>, Failure> {
    tools.onedev.check().await?;
    let mut lines = Vec::new();
    let mut marked: BTreeMap<GithubId, Vec<Found>> = BTreeMap::new();
    let mut wikis: BTreeMap<String, RepositoryName> = BTreeMap::new();
    for project in tools.onedev.projects_below_root().await? {
        match read::facts(tools, rules, &project).await? {
            Ok(found) => marked.entry(found.marker.github.id).or_default().push(found),
            Err(outcome) => lines.push(Line { path: project.path, outcome }),
        }
    }
    for (_, mut candidates) in marked {
        // The one that was proven last is the one that was in use; of two the one that was there first.
        candidates.sort_by_key(|it| (std::cmp::Reverse(it.proven_at()), it.project.id));
        let mut candidates = candidates.into_iter();
        let Some(chosen) = candidates.next() else { continue };
        let path = chosen.project.path.clone();
        wikis.extend(chosen.marker.wiki.iter().map(|it| (it.path.clone(), chosen.marker.github.repository.clone())));
        for other in candidates {
            let outcome = Adopted::Second(other.marker.github.repository.clone(), path.clone());
            lines.push(Line { path: other.project.path, outcome });
        }
        lines.push(one(tools, rules, chosen).await?);
    }
    for line in lines.iter_mut().filter(|it| it.outcome == Adopted::Unmarked) {
        if let Some(name) = wikis.remove(&line.path) {
            line.outcome = Adopted::Wiki(name);
        }
    }
    lines.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(lines)
}

async fn one(tools: &Tools, rules: &Rules, found: Found) -> Result<Line, Failure> {
    let (id, mirror, name) = (found.marker.github.id, found.marker.mirror, found.marker.github.repository.clone());
    let path = found.project.path.clone();
    let known = tools
        .store
        .read(move |c| Ok(mirrors::by_github_id(c, id)?.is_some() || mirrors::find(c, mirror)?.is_some()))
        .await?;
    if known {
        return Ok(Line { path, outcome: Adopted::Known(name) });
    }
    // Also on trial: it shows whether the whole of it can be read.
    let outcome = match read::whole(tools, rules, found).await? {
        Ok(_) if rules.dry_run => Adopted::Made(name),
        Ok(whole) => {
            let whole = Arc::new(whole);
            let copy = Arc::clone(&whole);
            let made = tools.store.write(move |c| adopted::insert(c, &copy, Utc::now())).await?;
            if made {
                read_catalog(tools, rules, &whole).await;
                Adopted::Made(name)
            } else {
                Adopted::Known(name)
            }
        }
        Err(why) => Adopted::Unreadable(why),
    };
    Ok(Line { path, outcome })
}

/// A catalog that cannot be read back is read from GitHub by its next look.
async fn read_catalog(tools: &Tools, rules: &Rules, whole: &Whole) {
    let Some((name, commit)) = whole.catalog.clone() else { return };
    let standing = Standing {
        mirror: whole.marker.mirror,
        path: &whole.project.path,
        name,
        commit,
        marked: whole.marker.catalog.as_ref(),
        pages: &rules.pages,
    };
    let (path, mirror) = (&whole.project.path, standing.mirror);
    if let Err(failure) = catalog::read_back(tools, standing).await {
        tracing::warn!(code = failure.code, path, "its catalog was not read back: {}", failure.message);
    }
    if let Err(error) = tools.store.write(move |c| table::hasten(c, mirror, Utc::now())).await {
        tracing::warn!(code = error.code(), path, "its next look is an hour away: {error}");
    }
}

/// A project's page, for people.
fn page(tools: &Tools, project: &Project) -> String {
    project.path.parse().map(|it| tools.onedev.page_url(&it).to_string()).unwrap_or_default()
}
