//! The refs of a mirror as they stand on both sides right now.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

use super::change::no_project;
use super::mirrors::{find, no_wiki, part};
use super::query::{Query, mirror_id};
use super::{List, Paging, page};
use crate::domain::kept::{ALIAS, KEPT};
use crate::domain::part::{Part, PartId};
use crate::domain::refs::{Oid, RefName};
use crate::http::auth::Admin;
use crate::http::problem::Problem;
use crate::http::shared::Shared;
use crate::stages::messages::{BothSides, Look, TwoSides};
use crate::store::{Page, StoreError, Window, parts};

/// How long a place in the stage that reads refs is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// The whole look at both sides.
const LIMIT: Duration = Duration::from_secs(60);

/// One ref on both sides.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Ref)]
struct RefView {
    #[serde(rename = "ref")]
    #[schema(value_type = String)]
    name: RefName,
    #[schema(value_type = Option<String>)]
    upstream: Option<Oid>,
    #[schema(value_type = Option<String>)]
    onedev: Option<Oid>,
    state: State,
}

/// How the sides compare over one ref.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = RefState)]
enum State {
    /// The same on both sides.
    Level,
    /// On both sides, at different objects.
    Differs,
    /// Upstream only.
    Missing,
    /// In OneDev only.
    Extra,
    /// A kept ref of starkeep.
    Kept,
    /// An alias ref of starkeep.
    Alias,
}

/// `GET /mirrors/{id}/refs?part=code|wiki`: both sides are read anew for every page. Upstream's side holds the managed
/// refs, OneDev's side all of them. In the order of their names.
#[utoipa::path(
    get, path = "/api/v1/mirrors/{id}/refs", operation_id = "listRefs", tag = "mirrors",
    params(("id" = Uuid, Path), Paging, ("part" = Option<Part>, Query)),
    responses((status = 200, body = List<RefView>), (status = 409), (status = 502))
)]
pub(super) async fn refs(_: Admin, shared: web::Data<Shared>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let (query, window) = Query::list(&request, &["part"])?;
    let part = part(&query)?;
    let after = after(&window)?;
    let mirror = find(&shared, mirror_id(&request)?).await?;
    let sides = match part {
        Part::Code => TwoSides::of(&mirror).ok_or_else(no_project)?,
        Part::Wiki => {
            let id = PartId::wiki(mirror.id);
            let wiki = shared.store.read(move |c| parts::find(c, id)).await?.ok_or_else(no_wiki)?;
            TwoSides::of_wiki(&mirror, &wiki).ok_or_else(no_project)?
        }
    };
    let asked =
        tokio::time::timeout(LIMIT, shared.stages.transfer.ask(Look { mirror: mirror.id, sides }, PATIENCE)).await;
    let late = |_| Problem::unavailable("look_slow", "GitHub or OneDev did not answer in time; come again", PATIENCE);
    let sides = asked.map_err(late)???;
    Ok(page(cut(&sides, after, window.limit), |it| it))
}

/// A cursor is the name of the last ref shown.
fn after(window: &Window) -> Result<Option<RefName>, Problem> {
    let name = window.cursor.as_deref().map(RefName::new).transpose();
    name.map_err(|_| StoreError::Cursor.into())
}

fn cut(sides: &BothSides, after: Option<RefName>, limit: u32) -> Page<RefView> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    let range = (from, Bound::Unbounded);
    // More than a page of either side cannot be on it.
    let some = limit.saturating_add(1);
    let upstream = sides.upstream.range(range.clone()).take(some);
    let onedev = sides.onedev.range(range).take(some);
    let names: BTreeSet<&RefName> = upstream.chain(onedev).map(|(name, _)| name).collect();
    let more = names.len() > limit;
    let items: Vec<RefView> = names.into_iter().take(limit).map(|it| view(sides, it)).collect();
    let next = items.last().filter(|_| more).map(|it| it.name.to_string());
    Page { items, next }
}

fn view(sides: &BothSides, name: &RefName) -> RefView {
    let (upstream, onedev) = (sides.upstream.get(name).copied(), sides.onedev.get(name).copied());
    let state = match (upstream, onedev) {
        (Some(one), Some(other)) if one == other => State::Level,
        (Some(_), Some(_)) => State::Differs,
        (Some(_), None) => State::Missing,
        (None, _) if name.as_str().starts_with(KEPT) => State::Kept,
        (None, _) if name.as_str().starts_with(ALIAS) => State::Alias,
        (None, _) => State::Extra,
    };
    RefView { name: name.clone(), upstream, onedev, state }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sides() -> BothSides {
        let at = |list: &[(&str, u8)]| {
            list.iter().map(|(name, oid)| (RefName::new(name).unwrap(), Oid::from_bytes([*oid; 20]))).collect()
        };
        BothSides {
            upstream: at(&[("refs/heads/a", 1), ("refs/heads/b", 1), ("refs/heads/c", 1)]),
            onedev: at(&[
                ("refs/heads/a", 1),
                ("refs/heads/b", 2),
                ("refs/heads/z", 1),
                ("refs/starkeep/alias/tags/v1_2b0", 1),
                ("refs/starkeep/kept/20260101T000000Z-01010101/heads/b", 1),
            ]),
        }
    }

    #[test]
    fn every_ref_of_either_side_is_shown_once_with_what_it_means() {
        let page = cut(&sides(), None, 200);
        let shown: Vec<_> = page.items.iter().map(|it| (it.name.as_str(), it.state)).collect();
        assert_eq!(
            shown,
            [
                ("refs/heads/a", State::Level),
                ("refs/heads/b", State::Differs),
                ("refs/heads/c", State::Missing),
                ("refs/heads/z", State::Extra),
                ("refs/starkeep/alias/tags/v1_2b0", State::Alias),
                ("refs/starkeep/kept/20260101T000000Z-01010101/heads/b", State::Kept),
            ]
        );
        assert_eq!(page.next, None);
    }

    #[test]
    fn pages_of_any_size_make_up_the_whole() {
        let whole = cut(&sides(), None, 200).items;
        for limit in 1..=7 {
            let (mut pieces, mut after) = (Vec::new(), None);
            loop {
                let page = cut(&sides(), after, limit);
                assert!(page.items.len() <= usize::try_from(limit).unwrap());
                pieces.extend(page.items);
                match page.next {
                    Some(next) => after = Some(RefName::new(&next).unwrap()),
                    None => break,
                }
            }
            assert_eq!(pieces, whole);
        }
    }
}
