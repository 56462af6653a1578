//! Compares what must be true with what is: in the database, in OneDev's repositories, in the history.

use std::collections::{BTreeMap, BTreeSet};

use starkeep::domain::job::JobState;
use starkeep::domain::kept::{KEPT, Reason};
use starkeep::domain::mirror::Status;
use starkeep::domain::refs::{self, Head};
use starkeep::store::jobs;
use starkeep::store::mirrors::Mirror;
use starkeep::store::page::{Page, Window};
use starkeep::store::syncs::{self, Outcome, Sync};
use starkeep::store::{Connection, StoreError, audit, deliveries, kept, mirrors};

use super::super::tools::assert_whole;
use super::model::{Fate, Held, Model, Repo, Standing, Unstarred};
use super::player::Month;
use crate::world::{FAN, World};

/// Whether projects follow their upstreams' names.
const PROJECTS_FOLLOW: bool = true;

/// The whole month.
pub async fn all(month: &Month) {
    let (world, model) = (&month.world, &month.model);
    let told = audit_log(world).await;
    for repo in &model.repos {
        one(world, model, repo).await;
        explained(world, repo, &told).await;
        // What GitHub does not show is in no list that it shows.
        if repo.fate.is_none() {
            month.is_listed(repo).await;
        }
    }
    none_twice(world, model).await;
    for guid in month.guids.clone() {
        let found = world.store().read(move |c| deliveries::find(c, &guid)).await.unwrap().expect("it is on record");
        assert_ne!(found.state, deliveries::State::Accepted, "{found:?}");
    }
    for state in [JobState::Queued, JobState::Running] {
        let filter = jobs::Filter { state: Some(state), ..jobs::Filter::default() };
        let left = world.store().read(move |c| jobs::list(c, &filter, &Window::default())).await.unwrap().items;
        assert!(left.is_empty(), "jobs are left over: {left:#?}");
    }
}

/// One repository's mirror is as the model says.
pub async fn one(world: &World, model: &Model, repo: &Repo) {
    let (id, name) = (repo.id, repo.full_name());
    let found = world.store().read(move |c| mirrors::by_github_id(c, id)).await.unwrap();
    let standing = model.standing(repo);
    if standing == Standing::None {
        assert!(found.is_none(), "{name}: nobody stars it, and there is a mirror: {found:?}");
        return;
    }
    let mirror = found.unwrap_or_else(|| panic!("{name}: there is no mirror; it must be {standing:?}"));
    let error = mirror.error.as_ref().map(|it| it.code.as_str());
    let expected = match standing {
        Standing::Level if repo.remnant.is_some() => (Status::Partial, None),
        Standing::Level => (Status::Healthy, None),
        // Its owner may have taken another login since.
        Standing::Gone(Fate::Deleted) if error == Some("upstream_owner_gone") => (Status::Gone, error),
        Standing::Gone(Fate::Deleted) => (Status::Gone, Some("upstream_not_found")),
        Standing::Gone(Fate::Blocked) => (Status::Gone, Some("upstream_unavailable")),
        Standing::LetGo | Standing::None => (Status::Archived, error),
    };
    assert_eq!((mirror.status, error), expected, "{name}: {:?}\n{repo:#?}", mirror.error);
    assert_eq!(mirror.unstarred_at.is_some(), standing == Standing::LetGo, "{name}");
    if standing == Standing::Level {
        assert_eq!(mirror.name.to_string(), name);
    }
    let copy = repo.copy.as_ref().unwrap_or_else(|| panic!("{name}: it was never seen"));
    holds(world, repo, &mirror, copy);
    stands(world, model, repo, &mirror);
    keeps(world, repo, &mirror).await;
}

/// OneDev holds what upstream held, and starkeep has proven it.
fn holds(world: &World, repo: &Repo, mirror: &Mirror, copy: &Held) {
    let name = repo.full_name();
    let path = &mirror.project.as_ref().unwrap_or_else(|| panic!("{name}: it has no project")).path;
    let standing = world.onedev().refs(path).unwrap();
    let mut expected = copy.refs.clone();
    expected.extend(repo.remnant.clone());
    assert_eq!(refs::managed(&standing, &world.config.sync.refs), expected, "{name}\n{repo:#?}");
    let proof = mirror.proof.as_ref().unwrap_or_else(|| panic!("{name}: it is not proven"));
    assert_eq!(proof.digest, refs::digest(&copy.refs, &copy.head), "{name}");
    // OneDev has no default branch that is not there.
    if matches!(copy.head, Head::Branch(_)) {
        assert_eq!(world.onedev().head(path).unwrap(), copy.head, "{name}");
    }
}

/// The project stands where the name says; beside that place only if another project stands there.
fn stands(world: &World, model: &Model, repo: &Repo, mirror: &Mirror) {
    let (name, path) = (repo.full_name(), &mirror.project.as_ref().unwrap().path);
    let follows = PROJECTS_FOLLOW && model.standing(repo) == Standing::Level;
    let names = if follows { BTreeSet::from([name.clone()]) } else { repo.names.clone() };
    let plain = |name: &String| format!("{}/{name}", world.config.onedev.root);
    let beside = |name: &String| format!("{}-gh{}", plain(name), repo.id);
    if names.iter().any(|it| plain(it) == *path) {
        return;
    }
    assert!(names.iter().any(|it| beside(it) == *path), "{name} stands at {path}");
    if follows && model.unstarred == Unstarred::Stays {
        assert!(world.onedev().project(&plain(&name)).is_some(), "{name} stands at {path}, and its place is free");
    }
}

/// Every tip that was overwritten can be had, and nothing is kept that upstream never had.
async fn keeps(world: &World, repo: &Repo, mirror: &Mirror) {
    let (id, name) = (mirror.id, repo.full_name());
    let kept = world.store().read(move |c| kept::all(c, id)).await.unwrap();
    let path = &mirror.project.as_ref().unwrap().path;
    let standing = world.onedev().refs(path).unwrap();
    let refs = standing.keys().filter(|it| it.as_str().starts_with(KEPT)).count();
    assert_eq!(refs, kept.len(), "{name}: each kept ref is on record");
    for it in &kept {
        assert_eq!(standing.get(&it.kept_ref), Some(&it.oid), "{name}");
        assert!(repo.tips.contains(&(it.name.clone(), it.oid)), "{name}: {} never held {}", it.name, it.oid);
        assert!(matches!(it.reason, Reason::Overwritten | Reason::Deleted), "{name}: {it:?}");
    }
    for (at, oid) in &repo.lost {
        assert!(kept.iter().any(|it| it.name == *at && it.oid == *oid), "{name}: {at} {oid} is lost: {kept:#?}");
    }
}

/// Each project that is not a parent is the project of one mirror.
async fn none_twice(world: &World, model: &Model) {
    let all = pages(world, move |c, window| mirrors::list(c, &mirrors::Filter::default(), window)).await;
    let expected = model.repos.iter().filter(|it| model.standing(it) != Standing::None).count();
    assert_eq!(all.len(), expected, "one mirror for each");
    let mut places: Vec<String> = all.into_iter().map(|it| it.project.unwrap().path).collect();
    places.sort();
    let mut standing: Vec<String> = world.onedev().projects().into_iter().map(|it| it.path).collect();
    // The root and the owners stand above them.
    standing.retain(|it| it.matches('/').count() > 1);
    standing.sort();
    assert_eq!(standing, places, "the mirrors' projects, and no others");
}

/// Each step that the model took is told of.
async fn explained(world: &World, repo: &Repo, told: &BTreeMap<(String, String), usize>) {
    let (id, name) = (repo.id, repo.full_name());
    let count =
        |action: &str| -> usize { repo.names.iter().filter_map(|it| told.get(&(action.to_owned(), it.clone()))).sum() };
    assert!(count("star") >= repo.stars, "{name}: {} stars are told of, there were {}", count("star"), repo.stars);
    assert!(count("unstar") >= repo.unstars, "{name}: {} of {} un-stars are told", count("unstar"), repo.unstars);
    let Some(mirror) = world.store().read(move |c| mirrors::by_github_id(c, id)).await.unwrap() else { return };
    let id = mirror.id;
    let former = world.store().read(move |c| mirrors::former_names(c, id)).await.unwrap();
    for old in &repo.former {
        assert!(former.iter().any(|(it, _)| it.to_string() == *old), "{name} was {old}: {former:?}");
    }
    if PROJECTS_FOLLOW && repo.starred && repo.fate.is_none() && !repo.former.is_empty() {
        assert!(count("project.move") > 0, "{name} was {:?}, and no move is told of", repo.former);
    }
    let runs = pages(world, move |c, window| syncs::list(c, id, window)).await;
    let proven: BTreeSet<&str> = runs.iter().filter_map(|it| it.work.digest.as_deref()).collect();
    for state in &repo.states {
        let digest = refs::digest(&state.refs, &state.head);
        assert!(proven.contains(digest.as_str()), "{name}: no sync tells of {state:#?}");
    }
    assert!(runs.iter().all(|it| it.outcome != Outcome::Running), "{name}: {runs:#?}");
    let is_end = |it: &&Sync| it.work.error.as_ref().is_some_and(|it| it.0.starts_with("upstream_"));
    let ends = runs.iter().filter(is_end).count();
    assert!(ends >= repo.deaths, "{name}: {ends} of {} ends are told: {runs:#?}", repo.deaths);
    if repo.states.len() > 1 {
        assert_whole(world, &mirror.project.unwrap().path);
    }
}

/// How often each action was done to each subject.
async fn audit_log(world: &World) -> BTreeMap<(String, String), usize> {
    let all = pages(world, |c, window| audit::list(c, &audit::Filter::default(), window)).await;
    let mut counts = BTreeMap::new();
    for it in all {
        if matches!(it.entry.action.as_str(), "star" | "unstar") {
            assert_eq!(it.entry.actor, format!("github:{FAN}"));
        }
        *counts.entry((it.entry.action, it.entry.subject)).or_default() += 1;
    }
    counts
}

/// Every row of a list.
async fn pages<T: Send + 'static>(
    world: &World,
    read: impl Fn(&mut Connection, &Window) -> Result<Page<T>, StoreError> + Clone + Send + 'static,
) -> Vec<T> {
    let (mut all, mut cursor) = (Vec::new(), None);
    loop {
        let window = Window { limit: 200, cursor };
        let read = read.clone();
        let page = world.store().read(move |c| read(c, &window)).await.unwrap();
        all.extend(page.items);
        match page.next {
            Some(next) => cursor = Some(next),
            None => return all,
        }
    }
}
