//! A source of the configuration: the same walk, of which only what passes the filter is kept.
//!
//! It takes and never lets go: what is no longer listed, or passes no more, stays a mirror.

use chrono::{DateTime, Utc};
use serde_json::json;

use super::walk::{MOST_PAGES, Walker};
use crate::domain::event::{Account, Subject};
use crate::domain::job::{JobKind, Priority};
use crate::domain::listing::{Finding, Walk, allowance};
use crate::domain::repository::Repository;
use crate::domain::retry::Retry;
use crate::domain::sources::{Declaration, Of};
use crate::github::OwnedList;
use crate::stages::failure::Failure;
use crate::store::audit::NewEntry;
use crate::store::jobs::NewJob;
use crate::store::listings::{self, Listing};
use crate::store::{Connection, StoreError, audit, jobs, mirrors};

impl Walker<'_> {
    /// Reads what is left of a source.
    pub(super) async fn declared(&mut self, it: &Declaration) -> Result<(), Failure> {
        let list = match &it.of {
            Of::Names(names) => {
                self.names(names, &it.filter).await?;
                let doubtful = self.names_again(&it.filter).await?;
                return self.told_of_missing().and(doubtful.map_or(Ok(()), Err));
            }
            Of::User(login) => OwnedList::User(self.whose(login).await?),
            Of::Organization(login) => OwnedList::Organization(login.clone()),
            Of::Installation(login) => OwnedList::Installation(login.clone()),
        };
        for _ in 0..MOST_PAGES {
            let mut walk = self.listing.walk.clone();
            if walk.pages > 0 && walk.next.is_none() {
                return Ok(());
            }
            let from = walk.next.as_deref().and_then(|it| self.tools.github.page_link(it));
            let page = self.tried(|| self.owned_page(&list, from.as_ref())).await?;
            walk.odd += page.odd;
            walk.pages += 1;
            walk.allowance = allowance(&self.tools.github.standings());
            walk.next = page.next.map(|it| it.as_str().to_owned());
            let passed = page.entries.into_iter().filter(|entry| it.filter.passes(entry));
            self.take(passed.map(|it| it.repository).collect(), walk).await?;
        }
        Ok(())
    }

    /// Who has a login: asked once a walk.
    async fn whose(&mut self, login: &str) -> Result<Account, Failure> {
        if let Some((id, login)) = self.listing.walk.account.clone() {
            return Ok(Account { id, login });
        }
        let whose = self.github().account_named(login).await?;
        self.remember(Walk { account: Some((whose.id, whose.login.clone())), ..Walk::default() }).await?;
        Ok(whose)
    }

    /// Names that GitHub does not show are told once all others are taken.
    fn told_of_missing(&self) -> Result<(), Failure> {
        match self.listing.walk.missing.as_slice() {
            [] => Ok(()),
            missing => {
                let text = format!("GitHub has no {}, or shows it to others only; correct sources", missing.join(", "));
                Err(Failure::new("upstream_not_found", text, Retry::Never))
            }
        }
    }
}

/// Makes a mirror and queues its first sync, or wakes the archived one. Any other mirror is left as it is.
pub(super) fn take(
    c: &mut Connection,
    listing: &Listing,
    of: &Of,
    it: &Repository,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let subject = Subject { id: it.id, name: it.name.clone() };
    let (mirror, made) = mirrors::ensure(c, &subject, of.source(), now)?;
    listings::note(c, listing, it, if made { Finding::New } else { Finding::Existing })?;
    let woken = mirrors::restar(c, mirror.id, now)?;
    if !made && !woken {
        return Ok(());
    }
    let job = NewJob::of(JobKind::Sync, mirror.id, Priority::ROUTINE, listing.correlation);
    jobs::enqueue(c, &job, now)?;
    let entry = NewEntry {
        correlation: Some(listing.correlation),
        detail: json!({ "source": of.label(), "made": made, "woken": woken }),
        ..NewEntry::of("starkeep", "source.keep", &it.name.to_string())
    };
    audit::append(c, &entry, now)
}
