//! What git does not carry: issues, pull requests, releases and the like, kept as a tree in the project.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use chrono::Utc;
use serde_json::{Value, json};
use starkeep::domain::ids::GithubId;
use starkeep::domain::job::JobKind;
use starkeep::domain::mirror::Status;
use starkeep::simulator::{Fault, Hold, On, Trigger};
use starkeep::store::catalog::{self, Catalog};

use super::tools::{MAIN, git, name};
use crate::world::{World, on_both};

pub const META: &str = "refs/starkeep/meta";

impl World {
    /// The same world with catalogs switched on.
    pub fn with_catalogs(mut self) -> Self {
        self.config.sync.metadata = true;
        self
    }

    /// Somebody asks for a look at the catalog, and all that follows is done.
    pub async fn look(&self, id: GithubId) -> Catalog {
        self.queue(id, JobKind::Catalog).await;
        self.drain().await;
        self.catalog(id).await
    }

    pub async fn catalog(&self, id: GithubId) -> Catalog {
        let mirror = self.mirror(id).await.id;
        self.store().read(move |c| catalog::find(c, mirror)).await.unwrap().expect("there is a catalog")
    }

    /// Everything is to be listed by the next look.
    pub async fn doubt_catalog(&mut self) {
        self.stop().await;
        self.config.sync.metadata_sweep = Duration::ZERO;
        self.start().await;
    }

    /// Every file of the catalog, as git shows it.
    pub async fn files(&self, id: GithubId) -> BTreeMap<String, String> {
        self.files_at(id, META).await
    }

    pub async fn files_at(&self, id: GithubId, rev: &str) -> BTreeMap<String, String> {
        files(&self.onedev().repo_dir(&self.path(id).await).unwrap(), rev)
    }

    /// The subjects of the catalog's commits, the newest first.
    pub async fn log(&self, id: GithubId) -> Vec<String> {
        let folder = self.onedev().repo_dir(&self.path(id).await).unwrap();
        git(&folder, &["log", "--format=%s", META]).lines().map(str::to_owned).collect()
    }

    /// The project is whole, the catalog's objects too.
    pub async fn assert_fsck(&self, id: GithubId) {
        let folder = self.onedev().repo_dir(&self.path(id).await).unwrap();
        git(&folder, &["fsck", "--full", "--no-dangling"]);
    }

    /// What was asked of GitHub's lists since the requests were last forgotten.
    pub fn asked(&self, id: GithubId) -> Vec<String> {
        let mark = format!("/repositories/{id}/");
        self.github().requests().iter().filter(|it| it.path.starts_with(&mark)).map(|it| it.line()).collect()
    }
}

/// Every file of a commit, by its path.
pub fn files(folder: &Path, rev: &str) -> BTreeMap<String, String> {
    let repository = git2::Repository::open_bare(folder).unwrap();
    let tree = repository.revparse_single(rev).unwrap().peel_to_tree().unwrap();
    let mut files = BTreeMap::new();
    tree.walk(git2::TreeWalkMode::PreOrder, |folder, entry| {
        if let Some(blob) = entry.to_object(&repository).unwrap().as_blob() {
            let text = String::from_utf8(blob.content().to_vec()).unwrap();
            files.insert(format!("{folder}{}", entry.name().unwrap()), text);
        }
        git2::TreeWalkResult::Ok
    })
    .unwrap();
    files
}

fn json_of(files: &BTreeMap<String, String>, path: &str) -> Value {
    let text = files.get(path).unwrap_or_else(|| panic!("no {path}: {:#?}", files.keys().collect::<Vec<_>>()));
    serde_json::from_str(text).unwrap()
}

on_both! {
async fn a_first_catalog_holds_everything_that_git_does_not_carry(world: World) {
    let mut world = world.with_catalogs();
    let id = world.repository("octo", "hello");
    let github = world.github();
    let about = json!({ "topics": ["keep", "stars"], "homepage": "https://example.org", "license": { "spdx_id": "MIT" } });
    github.set_about(id, &about).unwrap();
    github.label(id, "bug").unwrap();
    github.milestone(id, "1.0").unwrap();
    let issue = github.open_issue(id, "It fails", "Look at this").unwrap();
    github.comment(id, issue, "I see it too").unwrap();
    let pull = github.open_pull(id, "Mend it", "So").unwrap();
    let review = github.review(id, pull, "APPROVED", "Good").unwrap();
    let line = github.review_comment(id, pull, "src/lib.rs", "A typo here").unwrap();
    let release = github.release(id, "v1.0", "The first").unwrap();
    world.star(id).await;
    world.assert_healthy(id).await;
    world.assert_fsck(id).await;
    let files = world.files(id).await;
    assert_eq!(json_of(&files, "repository.json")["topics"], json!(["keep", "stars"]));
    assert_eq!(json_of(&files, "repository.json").get("stargazers_count"), None);
    assert_eq!(json_of(&files, "labels.json")[0]["name"], "bug");
    assert_eq!(json_of(&files, "milestones/000001.json")["title"], "1.0");
    let at = format!("issues/000000-000099/{issue:06}");
    assert_eq!(json_of(&files, &format!("{at}/issue.json"))["title"], "It fails");
    let page = &files[&format!("{at}/issue.md")];
    assert!(page.contains("# #1 It fails") && page.contains("I see it too"), "{page}");
    assert_eq!(files.keys().filter(|it| it.starts_with(&format!("{at}/comments/"))).count(), 1);
    let at = format!("pulls/000000-000099/{pull:06}");
    assert_eq!(json_of(&files, &format!("{at}/pull.json"))["head"]["label"], "fork:topic");
    assert_eq!(json_of(&files, &format!("{at}/reviews/{review}.json"))["state"], "APPROVED");
    assert_eq!(json_of(&files, &format!("{at}/review-comments/{line}.json"))["path"], "src/lib.rs");
    assert!(files[&format!("{at}/pull.md")].contains("approved"));
    assert!(files[&format!("releases/v1.0-{release}/release.md")].contains("The first"));
    assert!(files["README.md"].contains("starred by account") && files["README.md"].contains("licence: MIT"));
    assert_eq!(world.log(id).await.len(), 1);
    // Told twice, nothing changes.
    let tip = world.catalog(id).await.tip;
    for _ in 0..7 {
        assert_eq!(world.look(id).await.tip, tip);
    }
    world.end().await;
}
}

on_both! {
async fn an_edited_comment_and_a_deleted_issue_become_history(world: World) {
    let mut world = world.with_catalogs();
    let id = world.repository("octo", "hello");
    let (kept, gone) = (world.github().open_issue(id, "Stays", "").unwrap(), world.github().open_issue(id, "Goes", "The only copy").unwrap());
    let comment = world.github().comment(id, kept, "A first thought").unwrap();
    world.github().comment(id, gone, "Lost?").unwrap();
    world.star(id).await;
    world.github().edit_comment(id, comment, "A second thought").unwrap();
    world.look(id).await;
    let page = format!("issues/000000-000099/{kept:06}/issue.md");
    assert!(world.files(id).await[&page].contains("A second thought"));
    assert!(world.files_at(id, &format!("{META}~1")).await[&page].contains("A first thought"));
    // Nobody tells of a deletion: a look does not see it, the sweep does.
    world.github().delete_issue(id, gone).unwrap();
    world.look(id).await;
    let file = format!("issues/000000-000099/{gone:06}/issue.json");
    assert!(world.files(id).await.contains_key(&file));
    world.doubt_catalog().await;
    world.look(id).await;
    let files = world.files(id).await;
    assert!(!files.keys().any(|it| it.contains(&format!("{gone:06}"))), "{:#?}", files.keys());
    assert!(files.contains_key(&page));
    assert!(world.files_at(id, &format!("{META}~1")).await[&file].contains("The only copy"));
    assert_eq!(world.log(id).await.len(), 3);
    world.assert_fsck(id).await;
    world.end().await;
}
}

on_both! {
async fn an_event_tells_of_a_deletion_at_once(world: World) {
    let mut world = world.with_catalogs();
    let id = world.repository("octo", "hello");
    let gone = world.github().open_issue(id, "Goes", "").unwrap();
    world.github().open_issue(id, "Stays", "").unwrap();
    let release = world.github().release(id, "v1", "").unwrap();
    world.star(id).await;
    world.github().delete_issue(id, gone).unwrap();
    world.github().delete_release(id, release).unwrap();
    for (event, action) in [("issues", "deleted"), ("release", "deleted")] {
        let delivery = world.github().delivery(event, "octo", Some(id), json!({ "action": action })).unwrap();
        assert_eq!(world.accepted(&delivery).await, "accepted");
        assert_eq!(world.accepted(&delivery).await, "duplicate");
    }
    // They come in crowds, so one look waits for more of them; somebody who asks does not wait.
    world.look(id).await;
    let files = world.files(id).await;
    assert!(!files.keys().any(|it| it.contains("000001") || it.starts_with("releases/")), "{:#?}", files.keys());
    assert!(files.contains_key("issues/000000-000099/000002/issue.json"));
    let stranger = world.repository("octo", "stranger");
    let delivery = world.github().delivery("issues", "octo", Some(stranger), json!({ "action": "opened" })).unwrap();
    assert_eq!(world.accepted(&delivery).await, "ignored");
    world.end().await;
}
}

on_both! {
async fn a_thousand_issues_are_paged_and_a_look_without_change_costs_three_requests(world: World) {
    let mut world = world.with_catalogs();
    let id = world.repository("octo", "hello");
    world.github().fill(id, 1_000, 300, 120).unwrap();
    world.star(id).await;
    let files = world.files(id).await;
    assert_eq!(files.keys().filter(|it| it.ends_with("/issue.json")).count(), 1_000);
    assert_eq!(files.keys().filter(|it| it.contains("/comments/")).count(), 300);
    assert_eq!(files.keys().filter(|it| it.ends_with("/release.json")).count(), 120);
    assert_eq!(world.log(id).await, ["catalog: 1000 issues and pull requests, 120 releases, 1 description of the repository"]);
    let tip = world.catalog(id).await.tip;
    for _ in 0..8 {
        world.github().clear_requests();
        assert_eq!(world.look(id).await.tip, tip);
        let asked = world.github().requests();
        // A list of more than a page is read whole when its turn comes.
        let releases = asked.iter().filter(|it| it.path.ends_with("/releases")).count();
        assert!(asked.len() <= 3 + releases.saturating_sub(1), "{asked:#?}");
    }
    // One change: one thread, one commit.
    world.github().comment(id, 77, "news").unwrap();
    world.look(id).await;
    assert_eq!(world.log(id).await[0], "catalog: 1 issue or pull request");
    world.assert_fsck(id).await;
    world.end().await;
}
}

on_both! {
async fn a_listing_that_breaks_off_removes_nothing(world: World) {
    let mut world = world.with_catalogs();
    let id = world.repository("octo", "hello");
    world.github().fill(id, 250, 0, 150).unwrap();
    world.star(id).await;
    let before = world.files(id).await;
    world.doubt_catalog().await;
    // Both lists break off behind their first page, until all attempts are used up.
    for list in ["/issues", "/releases"] {
        world.github().fail(Trigger::next(On::Rest).path(list).nth(2).always(), Fault::answer(502, "<html>bad gateway</html>"));
    }
    world.look(id).await;
    assert_eq!(world.files(id).await, before);
    let error = world.catalog(id).await.error.expect("the catalog says so");
    assert_eq!(error.code, "github_server_error");
    // The mirror's health does not hang on it.
    assert_eq!(world.mirror(id).await.status, Status::Healthy);
    world.github().clear_faults();
    world.look(id).await;
    assert_eq!(world.files(id).await, before);
    assert_eq!(world.catalog(id).await.error, None);
    world.end().await;
}
}

on_both! {
async fn a_secondary_limit_in_the_middle_is_waited_out_and_nothing_is_read_twice(world: World) {
    let mut world = world.with_catalogs();
    let id = world.repository("octo", "hello");
    world.github().fill(id, 350, 0, 0).unwrap();
    let limit = Fault::Answer {
        status: 403,
        headers: vec![("Retry-After".to_owned(), "1".to_owned())],
        body: "{\"message\":\"You have exceeded a secondary rate limit.\"}".to_owned(),
    };
    world.github().fail(Trigger::next(On::Rest).path("/issues").nth(3), limit);
    world.star(id).await;
    let waiting = world.waiting().await;
    assert_eq!((waiting.kind, waiting.attempts), (JobKind::Catalog, 0), "{:?}", waiting.error);
    assert_eq!(waiting.error.expect("it says why it waits").0, "github_rate_limited");
    // A sync does not wait with it.
    world.github().commit(id, "main", "README", "more").unwrap();
    while world.catalog(id).await.looked_at.is_none() {
        tokio::time::sleep(Duration::from_millis(100)).await;
        world.drain().await;
    }
    let issues: Vec<String> = world.asked(id).into_iter().filter(|it| it.contains("/issues?")).collect();
    assert_eq!(issues.len(), 5, "four pages, and the one that was refused: {issues:#?}");
    assert_eq!(world.files(id).await.keys().filter(|it| it.ends_with("/issue.json")).count(), 350);
    assert_eq!(world.mirror(id).await.status, Status::Healthy);
    world.end().await;
}
}

on_both! {
async fn a_403_that_is_no_limit_concerns_its_list_alone(world: World) {
    let mut world = world.with_catalogs();
    let id = world.repository("octo", "hello");
    world.github().open_issue(id, "Here", "").unwrap();
    world.github().release(id, "v1", "").unwrap();
    let refusal = Fault::answer(403, "{\"message\":\"Resource not accessible by integration\"}");
    world.github().fail(Trigger::next(On::Rest).path("/releases").always(), refusal);
    world.github().switch_issues(id, true).unwrap();
    world.star(id).await;
    let files = world.files(id).await;
    assert!(files.contains_key("issues/000000-000099/000001/issue.json"));
    assert!(!files.keys().any(|it| it.starts_with("releases/")));
    world.github().clear_faults();
    // Issues are switched off: what is known of them stays.
    world.github().switch_issues(id, false).unwrap();
    world.doubt_catalog().await;
    world.look(id).await;
    let files = world.files(id).await;
    assert!(files.contains_key("issues/000000-000099/000001/issue.json"));
    assert!(files.keys().any(|it| it.starts_with("releases/v1-")));
    world.end().await;
}
}

on_both! {
async fn what_somebody_put_in_the_catalogs_place_is_kept(world: World) {
    let mut world = world.with_catalogs();
    let id = world.repository("octo", "hello");
    world.github().open_issue(id, "Here", "").unwrap();
    world.star(id).await;
    let (path, ours) = (world.path(id).await, world.catalog(id).await.tip.unwrap());
    let stranger = world.onedev().commit(&path, "by-hand", "NOTE", "somebody's").unwrap();
    let folder = world.onedev().repo_dir(&path).unwrap();
    git(&folder, &["update-ref", META, &stranger.to_string()]);
    world.github().open_issue(id, "News", "").unwrap();
    world.look(id).await;
    world.assert_kept(id, stranger).await;
    assert_eq!(world.log(id).await.len(), 2);
    // Somebody deleted it: the history goes on where it was.
    git(&folder, &["update-ref", "-d", META]);
    world.github().open_issue(id, "More news", "").unwrap();
    world.look(id).await;
    assert_eq!(world.log(id).await.len(), 3);
    git(&folder, &["merge-base", "--is-ancestor", &ours.to_string(), META]);
    // Its objects are gone too: all of it is written anew.
    git(&folder, &["update-ref", "-d", META]);
    git(&folder, &["reflog", "expire", "--expire=now", "--all"]);
    git(&folder, &["gc", "--quiet", "--prune=now"]);
    world.github().open_issue(id, "Still more", "").unwrap();
    world.look(id).await;
    assert_eq!(world.files(id).await.keys().filter(|it| it.ends_with("/issue.json")).count(), 4);
    world.assert_fsck(id).await;
    world.end().await;
}
}

on_both! {
async fn a_lost_database_goes_on_with_the_history_that_onedev_holds(world: World) {
    let mut world = world.with_catalogs();
    let id = world.repository("octo", "hello");
    let (stays, gone) = (world.github().open_issue(id, "Stays", "").unwrap(), world.github().open_issue(id, "Goes", "").unwrap());
    world.star(id).await;
    let (tip, mirror) = (world.catalog(id).await.tip.unwrap(), world.mirror(id).await.id);
    world.store().write(move |c| catalog::forget(c, mirror)).await.unwrap();
    world.github().delete_issue(id, gone).unwrap();
    world.look(id).await;
    let folder = world.onedev().repo_dir(&world.path(id).await).unwrap();
    git(&folder, &["merge-base", "--is-ancestor", &tip.to_string(), META]);
    let at = |number: i64| format!("issues/000000-000099/{number:06}/issue.json");
    let files = world.files(id).await;
    assert!(files.contains_key(&at(stays)) && !files.contains_key(&at(gone)));
    assert!(world.files_at(id, &format!("{META}~1")).await.contains_key(&at(gone)));
    assert!(world.kept(id).await.is_empty(), "nothing had to be kept: it is the history");
    world.assert_fsck(id).await;
    world.end().await;
}
}

on_both! {
async fn verify_tells_of_a_catalog_that_somebody_moved_and_the_mirror_stays_healthy(world: World) {
    let mut world = world.with_catalogs();
    let id = world.repository("octo", "hello");
    world.github().open_issue(id, "Here", "").unwrap();
    world.star(id).await;
    let compared = world.app().compare(&world.mirror(id).await).await.unwrap();
    assert_eq!(compared.catalog, None);
    let path = world.path(id).await;
    let (ours, folder) = (world.catalog(id).await.tip.unwrap(), world.onedev().repo_dir(&path).unwrap());
    let main = world.tip(id, MAIN);
    git(&folder, &["update-ref", META, &main.to_string()]);
    let compared = world.app().compare(&world.mirror(id).await).await.unwrap();
    let moved = compared.catalog.clone().expect("it is told");
    assert_eq!((moved.expected, moved.found), (ours, Some(main)));
    assert!(compared.is_level());
    // The job does not only tell: the ref is put back, and what stood there is kept.
    world.queue(id, JobKind::Verify).await;
    world.drain().await;
    world.assert_healthy(id).await;
    world.look(id).await;
    world.assert_kept(id, main).await;
    assert_eq!(world.catalog(id).await.error, None);
    assert!(world.files(id).await.contains_key("issues/000000-000099/000001/issue.json"));
    world.end().await;
}
}

on_both! {
async fn a_branch_may_hold_the_catalog_unless_upstream_has_it(world: World) {
    let mut world = world.with_catalogs();
    world.config.sync.metadata_ref = name("refs/heads/github-meta");
    world.config.sync.foreign_refs = starkeep::config::sync::ForeignRefs::Prune;
    let id = world.repository("octo", "hello");
    world.github().open_issue(id, "Here", "").unwrap();
    world.star(id).await;
    // It is no foreign ref, and a sync neither prunes nor doubts it.
    world.sync(id).await;
    assert_eq!(world.mirror(id).await.status, Status::Healthy);
    assert!(world.files_at(id, "refs/heads/github-meta").await.contains_key("README.md"));
    let ours = world.catalog(id).await.tip.unwrap();
    world.github().commit(id, "github-meta", "README", "theirs").unwrap();
    world.pushed(id).await;
    world.assert_healthy(id).await;
    world.assert_kept(id, ours).await;
    world.github().open_issue(id, "News", "").unwrap();
    world.look(id).await;
    assert_eq!(world.catalog(id).await.error.expect("it says so").code, "metadata_ref_taken");
    world.assert_healthy(id).await;
    world.end().await;
}
}

on_both! {
async fn a_push_whose_answer_was_lost_is_known_as_ours(world: World) {
    let mut world = world.with_catalogs();
    let id = world.repository("octo", "hello");
    world.github().open_issue(id, "Here", "").unwrap();
    world.onedev().fail(Trigger::next(On::PUSH).body(META), Fault::LoseReport);
    world.star(id).await;
    assert_eq!(world.log(id).await.len(), 1);
    assert_eq!(world.catalog(id).await.error, None);
    assert!(world.kept(id).await.is_empty());
    let known = world.catalog(id).await;
    assert_eq!(world.refs(id).await.get(&name(META)), known.tip.as_ref());
    world.end().await;
}
}

#[actix::test]
async fn a_catalog_killed_at_any_page_goes_on_behind_it() {
    let mut world = super::tools::world().with_catalogs();
    world.config.sync.lease = Duration::from_secs(1);
    world.attach().await;
    let id = world.repository("octo", "hello");
    world.github().fill(id, 450, 250, 3).unwrap();
    let pull = world.github().open_pull(id, "Mend it", "So").unwrap();
    world.github().review(id, pull, "APPROVED", "Good").unwrap();
    let process = world.process();
    let delivery = world.github().star(crate::world::FAN, id).unwrap();
    // Each life gets one page further, or one push.
    let gate = world.github().hold(Trigger::next(On::Rest).path("/labels"), Hold::Arrival);
    delivery.deliver(&process.webhooks()).await.unwrap();
    gate.reached().await;
    process.kill();
    drop(gate);
    let mut lives = 1_u32;
    loop {
        world.github().clear_faults();
        world.onedev().clear_faults();
        let mark = format!("/repositories/{id}/");
        let hold = if lives.is_multiple_of(2) { Hold::Arrival } else { Hold::Answer };
        let rest = world.github().hold(Trigger::next(On::Rest).path(&mark).nth(3 + lives % 3), hold);
        let push = world.onedev().hold(Trigger::next(On::PUSH).body(META), hold);
        let process = world.process();
        let done = async {
            while world
                .store()
                .read(|c| starkeep::store::jobs::is_busy(c, Utc::now() + chrono::TimeDelta::seconds(90)))
                .await
                .unwrap()
            {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let ended = tokio::select! {
            () = rest.reached() => false,
            () = push.reached() => false,
            () = done => true,
        };
        process.kill();
        lives += 1;
        if ended {
            break;
        }
        assert!(lives < 60, "it gets on");
    }
    assert!(lives > 4, "{lives}");
    let files = world.files(id).await;
    assert_eq!(files.keys().filter(|it| it.ends_with("/issue.json")).count(), 451);
    assert_eq!(files.keys().filter(|it| it.contains("/comments/")).count(), 250);
    assert_eq!(files.keys().filter(|it| it.contains("/reviews/")).count(), 1);
    assert_eq!(files.keys().filter(|it| it.ends_with("/release.json")).count(), 3);
    assert_eq!(world.log(id).await.len(), 1, "one commit, however often it was cut off");
    world.assert_fsck(id).await;
}
