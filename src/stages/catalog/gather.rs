//! Reading: one page of one of GitHub's lists, and what it means, in one transaction.

use std::time::Duration;

use chrono::Utc;
use serde_json::Value;

use super::slice::Slice;
use crate::domain::catalog::feed::Leaf;
use crate::domain::catalog::{Feed, Item, Kind, Visit, asset, item};
use crate::domain::ids::MirrorId;
use crate::domain::retry::Retry;
use crate::github::{Budget, Question, Sheet, Told};
use crate::stages::failure::Failure;
use crate::store::catalog::items::{self, Packed};
use crate::store::catalog::{feeds, todo};
use crate::store::{Connection, StoreError};

/// A share of the limit is left for syncs: one of so many requests.
const RESERVE: u32 = 5;
/// Pages of one pull request's reviews.
const MOST_REVIEW_PAGES: u32 = 10;

impl Slice<'_> {
    /// Reads one page. `None` when nothing is left to read in this round; else the pause that GitHub's
    /// limit asks for.
    pub(super) async fn step(&self) -> Result<Option<Duration>, Failure> {
        let mirror = self.mirror.id;
        let (visits, pull) =
            self.tools.store.read(move |c| Ok((feeds::load(c, mirror)?, todo::reviews(c, mirror)?))).await?;
        let budget = match (visits.into_iter().find(|it| it.wanted), pull) {
            (Some(visit), _) => self.page(visit).await?,
            (None, Some(pull)) => self.reviews(pull).await?,
            (None, None) if self.bring_one().await? => None,
            (None, None) => return Ok(None),
        };
        Ok(Some(pause(budget)))
    }

    async fn page(&self, visit: Visit) -> Result<Option<Budget>, Failure> {
        let query = visit.query();
        let address = address(visit.feed, &query);
        let known = visit.etag.as_deref().filter(|_| visit.etag_of.as_deref() == Some(address.as_str()));
        let sheet = self.ask(path(visit.feed), &query, known).await?;
        let budget = sheet.budget;
        match sheet.told {
            Told::Unchanged => self.end_visit(visit, None).await?,
            Told::Absent(why) if visit.feed == Feed::Repository => {
                let message = format!("GitHub does not show the repository: {why}; the catalog stays as it is");
                return Err(Failure::new("catalog_no_upstream", message, Retry::Never));
            }
            // Nothing was listed, so nothing is known to be gone.
            Told::Absent(why) => self.end_visit(visit, Some(why)).await?,
            Told::Items(values) => {
                let etag = sheet.etag.filter(|_| !sheet.more && visit.page == 1);
                self.store_page(visit, values, sheet.more, etag.map(|it| (it, address))).await?;
            }
        }
        Ok(budget)
    }

    async fn ask(&self, path: &[&str], query: &[(&str, String)], etag: Option<&str>) -> Result<Sheet, Failure> {
        let question = Question { repository: self.mirror.github_id, path, query, etag };
        self.tools.github.sheet(&question).await.map_err(|error| {
            // What GitHub says of a blocked repository is for the sync to act upon.
            Failure { verdict: crate::stages::failure::Verdict::Fault, ..error.into() }
        })
    }

    /// A visit that showed nothing new.
    async fn end_visit(&self, mut visit: Visit, problem: Option<String>) -> Result<(), Failure> {
        let mirror = self.mirror.id;
        visit.problem = problem;
        visit.end(Utc::now());
        self.tools.store.write(move |c| feeds::save(c, mirror, &visit)).await?;
        Ok(())
    }

    async fn store_page(
        &self,
        mut visit: Visit,
        values: Vec<Value>,
        more: bool,
        etag: Option<(String, String)>,
    ) -> Result<(), Failure> {
        let leaf = Leaf {
            first: values.first().and_then(item::changed_at),
            last: values.last().and_then(item::changed_at),
            more,
        };
        let packed = self.packed(visit.feed.kind(), values, None).await?;
        let was = visit.clone();
        let ended = visit.turn(leaf);
        (visit.etag, visit.etag_of) = etag.unzip();
        visit.problem = None;
        let mirror = self.mirror.id;
        let page = Page { was, visit, packed, ended };
        self.tools.store.write(move |c| store(c, mirror, &page)).await?;
        Ok(())
    }

    /// All reviews of one pull request.
    async fn reviews(&self, pull: i64) -> Result<Option<Budget>, Failure> {
        let number = pull.to_string();
        let path = ["pulls", number.as_str(), "reviews"];
        let (mut all, mut budget, mut whole) = (Vec::new(), None, false);
        for page in 1..=MOST_REVIEW_PAGES {
            let query = [("per_page", "100".to_owned()), ("page", page.to_string())];
            let sheet = self.ask(&path, &query, None).await?;
            budget = sheet.budget.or(budget);
            let Told::Items(values) = sheet.told else { break };
            all.extend(self.packed(Kind::Review, values, Some(pull)).await?);
            if !sheet.more {
                whole = true;
                break;
            }
        }
        let (mirror, generation) = (self.mirror.id, self.catalog().await?.generation);
        self.tools
            .store
            .write(move |c| {
                let changed = items::put(c, mirror, generation, Kind::Review, &all)?;
                todo::add(c, mirror, changed.units)?;
                if whole && items::settle_thread(c, mirror, Kind::Review, pull, generation)? {
                    todo::add(c, mirror, [crate::domain::catalog::Unit::Thread(pull)])?;
                }
                todo::reviews_done(c, mirror, pull)
            })
            .await?;
        Ok(budget)
    }

    /// Cuts down, names and packs a page's items, off the runtime's threads.
    async fn packed(&self, kind: Kind, values: Vec<Value>, thread: Option<i64>) -> Result<Vec<Packed>, Failure> {
        let git = self.tools.github.pages();
        let work = move || values.into_iter().map(|value| pack(kind, value, thread, &git)).collect();
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(Failure::called_off()))
    }
}

/// Cuts an item down, names and packs it. `git` is the base of GitHub's pages. Blocks.
///
/// # Errors
/// `github_malformed` for what is no item of that kind.
pub(in crate::stages) fn pack(
    kind: Kind,
    value: Value,
    thread: Option<i64>,
    git: &url::Url,
) -> Result<Packed, Failure> {
    let of_release = if kind == Kind::Release { asset::of_release(&value) } else { Vec::new() };
    let body = value.get("body").and_then(Value::as_str).unwrap_or_default().to_owned();
    let item = Item::new(kind, value, thread)
        .map_err(|error| Failure::new("github_malformed", error.to_string(), Retry::Backoff))?;
    let files = match kind {
        Kind::Release => of_release,
        Kind::Issue | Kind::Comment | Kind::Review | Kind::ReviewComment => {
            asset::in_text(kind, item.id, item.number, &body, git)
        }
        // A pull request's text is its issue side's too.
        Kind::Repository | Kind::Label | Kind::Milestone | Kind::Pull => Vec::new(),
    };
    Ok(Packed::new(&item, files)?)
}

/// A page that was read.
struct Page {
    /// The visit before it.
    was: Visit,
    /// The visit behind it.
    visit: Visit,
    packed: Vec<Packed>,
    ended: bool,
}

/// Writes a page down: its items, what they make to do, what is gone, and the place in the list.
fn store(c: &mut Connection, mirror: MirrorId, page: &Page) -> Result<(), StoreError> {
    let (kind, mut visit) = (page.visit.feed.kind(), page.visit.clone());
    let catalog = crate::store::catalog::find(c, mirror)?.unwrap_or_default();
    let changed = items::put(c, mirror, catalog.generation, kind, &page.packed)?;
    todo::add(c, mirror, changed.units)?;
    match kind {
        Kind::Issue if !catalog.sweeping && !changed.pulls.is_empty() => {
            want(c, mirror, &[Feed::Pulls, Feed::ReviewComments])?;
        }
        Kind::Pull => todo::add_reviews(c, mirror, &changed.pulls)?,
        _ => {}
    }
    if page.ended {
        if page.was.is_complete() {
            let twice = page.visit.paged;
            let gone = items::settle_unseen(c, mirror, kind, catalog.generation, twice)?;
            todo::add(c, mirror, gone)?;
        }
        visit.end(Utc::now());
    }
    feeds::save(c, mirror, &visit)
}

/// These too are to be read in this round, though nothing said so when it was opened.
fn want(c: &mut Connection, mirror: MirrorId, feeds: &[Feed]) -> Result<(), StoreError> {
    let visits = feeds::load(c, mirror)?;
    for mut visit in visits.into_iter().filter(|it| feeds.contains(&it.feed) && !it.wanted) {
        visit.begin(false);
        feeds::save(c, mirror, &visit)?;
    }
    Ok(())
}

fn path(feed: Feed) -> &'static [&'static str] {
    match feed {
        Feed::Repository => &[],
        Feed::Labels => &["labels"],
        Feed::Milestones => &["milestones"],
        Feed::Releases => &["releases"],
        Feed::Issues => &["issues"],
        Feed::Pulls => &["pulls"],
        Feed::Comments => &["issues", "comments"],
        Feed::ReviewComments => &["pulls", "comments"],
    }
}

/// What an `ETag` is for.
fn address(feed: Feed, query: &[(&str, String)]) -> String {
    let query: Vec<String> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!("{}?{}", feed.as_str(), query.join("&"))
}

/// The pause until the limit is whole again, once only the share for syncs is left.
fn pause(budget: Option<Budget>) -> Duration {
    match budget {
        Some(it) if it.limit > 0 && it.remaining.saturating_mul(RESERVE) < it.limit => it.resets_in,
        _ => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_of_the_limit_is_left_to_syncs() {
        let budget = |remaining| Some(Budget { limit: 5_000, remaining, resets_in: Duration::from_secs(60) });
        assert_eq!(pause(budget(1_000)), Duration::ZERO);
        assert_eq!(pause(budget(999)), Duration::from_secs(60));
        assert_eq!(pause(None), Duration::ZERO);
    }

    #[test]
    fn every_feed_has_an_address_of_its_own() {
        let all: std::collections::BTreeSet<String> =
            Feed::ALL.into_iter().map(|it| address(it, &Visit::new(it).query())).collect();
        assert_eq!(all.len(), Feed::ALL.len());
    }
}
