//! Wikis: mirrored beside their repositories, absent without harm, kept when they vanish.

use chrono::{TimeDelta, Utc};
use reqwest::Method;
use secrecy::SecretString;
use serde_json::{Value, json};
use starkeep::config::onedev::{OnConflict, Visibility};
use starkeep::config::stars::Unstar;
use starkeep::domain::ids::GithubId;
use starkeep::domain::job::{JobKind, JobState};
use starkeep::domain::kept::{KEPT, Reason};
use starkeep::domain::part::{Part, PartId, PartState};
use starkeep::domain::refs::{self, RefMap};
use starkeep::simulator::{Fault, Hold, On, Trigger};
use starkeep::store::kept::{self, Kept};
use starkeep::store::parts::{self, PartRecord};
use starkeep::store::{Window, mirrors};

use super::tools::{assert_whole, name};
use crate::api;
use crate::process::starkeep;
use crate::world::{ADMIN, Backend, FAN, World, on_both};

const MASTER: &str = "refs/heads/master";
const PATH: &str = "github/octo/hello/wiki";

/// A world in which wikis are mirrored, as they are by default.
fn with_wikis(mut world: World) -> World {
    world.config.sync.wiki = true;
    world
}

fn world() -> World {
    with_wikis(World::new(Backend::Sqlite).unwrap())
}

/// `octo/hello` with a wiki of one page, mirrored.
async fn mirrored(world: &mut World) -> GithubId {
    let id = world.repository("octo", "hello");
    world.github().write_page(id, "Home", "welcome").unwrap();
    world.star(id).await;
    world.assert_healthy(id).await;
    world.assert_wiki(id).await;
    id
}

impl World {
    pub async fn wiki(&self, id: GithubId) -> PartRecord {
        let mirror = self.mirror(id).await.id;
        let found = self.store().read(move |c| parts::find(c, PartId::wiki(mirror))).await.unwrap();
        found.expect("somebody looked for a wiki")
    }

    async fn wiki_state(&self, id: GithubId) -> PartState {
        self.wiki(id).await.state
    }

    pub async fn wiki_copy(&self, id: GithubId) -> RefMap {
        self.onedev().refs(&self.wiki(id).await.project.expect("the wiki has a project").path).unwrap()
    }

    pub async fn wiki_kept(&self, id: GithubId) -> Vec<Kept> {
        let mirror = self.mirror(id).await.id;
        self.store().read(move |c| kept::list(c, PartId::wiki(mirror), &Window::default())).await.unwrap().items
    }

    /// Both wikis hold the same, and starkeep says so.
    pub async fn assert_wiki(&self, id: GithubId) {
        let wiki = self.wiki(id).await;
        assert_eq!(wiki.state, PartState::Healthy, "{:?}", wiki.error);
        let upstream = self.github().wiki_refs(id).unwrap();
        assert_eq!(refs::managed(&self.wiki_copy(id).await, &self.config.sync.refs), upstream);
        let head = self.github().wiki_head(id).unwrap();
        assert_eq!(wiki.proof.expect("it is proven").digest, refs::digest(&upstream, &head));
        let path = wiki.project.unwrap().path;
        assert_eq!(self.onedev().head(&path).unwrap(), head);
        assert_whole(self, &path);
    }

    /// GitHub tells of a change to the wiki, and all that follows is done.
    pub async fn gollum(&self, id: GithubId) -> PartRecord {
        let delivery = self.github().gollum(id, "Home").unwrap();
        self.accepted(&delivery).await;
        self.drain().await;
        self.wiki(id).await
    }

    /// The time of the next look has come, and all that follows is done.
    async fn sweep(&self, id: GithubId) -> PartRecord {
        let of = PartId::wiki(self.mirror(id).await.id);
        let past = Utc::now() - TimeDelta::hours(1);
        self.store().write(move |c| parts::schedule(c, of, Some(past), Utc::now())).await.unwrap();
        let mut wakeups = self.store().wakeups();
        let looked = async {
            while self.wiki(id).await.next_look_at.is_none_or(|it| it <= Utc::now()) {
                let _ = tokio::time::timeout(std::time::Duration::from_millis(20), wakeups.changed()).await;
            }
        };
        if tokio::time::timeout(std::time::Duration::from_secs(60), looked).await.is_err() {
            panic!("the sweep does not come by: {:#?}\n{:#?}", self.wiki(id).await, self.jobs().await);
        }
        self.drain().await;
        self.wiki(id).await
    }

    async fn admin(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let mut request = api::request(method, &self.url(&format!("/api/v1{path}"))).bearer_auth(ADMIN);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = api::call(request).await;
        (answer.status, answer.json())
    }
}

on_both! {
async fn a_wiki_is_mirrored_below_its_repository_and_kept_level_and_old_tips_are_kept(world: World) {
    let mut world = with_wikis(world);
    let id = mirrored(&mut world).await;
    let project = world.onedev().project(PATH).unwrap();
    assert_eq!((project.description.as_deref(), project.issue_management), (Some("Wiki of octo/hello"), false));
    let second = world.github().write_page(id, "Install", "do this").unwrap();
    world.gollum(id).await;
    world.assert_wiki(id).await;
    assert!(world.wiki_kept(id).await.is_empty(), "it went forward");
    let first = world.github().wiki_refs(id).unwrap();
    world.github().delete_wiki(id).unwrap();
    world.github().write_page(id, "Home", "all anew").unwrap();
    assert_ne!(world.github().wiki_refs(id).unwrap(), first);
    world.gollum(id).await;
    world.assert_wiki(id).await;
    let kept = world.wiki_kept(id).await;
    assert_eq!(kept.iter().map(|it| (it.oid, it.reason)).collect::<Vec<_>>(), [(second, Reason::Overwritten)]);
    assert_eq!(world.wiki_copy(id).await.get(&kept[0].kept_ref), Some(&second));
    world.assert_keeps(id, &[]).await;
    let parts: Vec<Part> = world.syncs(id).await.iter().map(|it| it.part).collect();
    assert_eq!(parts, [Part::Wiki, Part::Wiki, Part::Wiki, Part::Code]);
    world.end().await;
}
}

on_both! {
async fn an_absent_wiki_is_no_error_with_a_token_or_without_and_is_found_once_it_is_there(world: World) {
    let mut world = with_wikis(world);
    for (n, token) in [None, Some(SecretString::from(world.github().token().to_owned()))].into_iter().enumerate() {
        world.stop().await;
        world.config.github.token = token;
        let repository = format!("repository-{n}");
        let id = world.repository("octo", &repository);
        world.star(id).await;
        world.assert_healthy(id).await;
        assert_eq!(world.wiki_state(id).await, PartState::Absent);
        world.gollum(id).await;
        assert_eq!(world.sweep(id).await.state, PartState::Absent);
        assert!(world.onedev().project(&format!("github/octo/{repository}/wiki")).is_none());
        assert!(world.jobs().await.iter().all(|it| it.state == JobState::Done));
        world.github().write_page(id, "Home", "welcome").unwrap();
        world.sweep(id).await;
        world.assert_wiki(id).await;
    }
    world.end().await;
}
}

on_both! {
async fn a_wiki_that_vanishes_keeps_its_copy_and_may_come_back(world: World) {
    let mut world = with_wikis(world);
    let id = mirrored(&mut world).await;
    let copy = world.wiki_copy(id).await;
    world.github().delete_wiki(id).unwrap();
    for _ in 0..2 {
        assert_eq!(world.sweep(id).await.state, PartState::Gone);
        assert_eq!(world.wiki_copy(id).await, copy);
    }
    assert_eq!(world.gollum(id).await.state, PartState::Gone);
    world.assert_healthy(id).await;
    world.github().write_page(id, "Home", "back again").unwrap();
    world.gollum(id).await;
    world.assert_wiki(id).await;
    assert_eq!(world.wiki_kept(id).await.len(), 1);
    world.end().await;
}
}

#[actix::test]
async fn the_sweep_finds_what_nobody_announced_and_costs_one_request_where_nothing_changed() {
    let mut world = world();
    let id = mirrored(&mut world).await;
    world.requests();
    let before = world.wiki(id).await;
    let after = world.sweep(id).await;
    let (github, onedev) = world.requests();
    assert_eq!(github, ["POST /octo/hello.wiki.git/git-upload-pack"]);
    assert!(onedev.is_empty(), "{onedev:#?}");
    assert_eq!(after.proof, before.proof);
    assert!(after.looked_at > before.looked_at && after.next_look_at > Some(Utc::now() + TimeDelta::hours(20)));
    world.github().write_page(id, "Quiet", "unannounced").unwrap();
    world.sweep(id).await;
    world.assert_wiki(id).await;
    world.end().await;
}

#[actix::test]
async fn where_wikis_are_not_wanted_nobody_asks_for_one() {
    let mut world = World::new(Backend::Sqlite).unwrap();
    let id = world.repository("octo", "hello");
    world.github().write_page(id, "Home", "welcome").unwrap();
    world.star(id).await;
    let delivery = world.github().gollum(id, "Home").unwrap();
    world.accepted(&delivery).await;
    world.drain().await;
    let (github, _) = world.requests();
    assert!(github.iter().all(|it| !it.contains(".wiki")), "{github:#?}");
    assert!(world.onedev().project(PATH).is_none());
    world.end().await;
}

on_both! {
async fn somebodys_project_called_wiki_is_left_alone(world: World) {
    let mut world = with_wikis(world);
    let id = world.repository("octo", "hello");
    world.star(id).await;
    world.onedev().create_project(PATH).unwrap();
    let theirs = world.onedev().commit(PATH, "main", "THEIRS", "theirs").unwrap();
    world.github().write_page(id, "Home", "welcome").unwrap();
    world.gollum(id).await;
    world.assert_wiki(id).await;
    assert_eq!(world.wiki(id).await.project.unwrap().path, format!("{PATH}-gh{id}"));
    assert_eq!(world.onedev().refs(PATH).unwrap(), [(name("refs/heads/main"), theirs)].into());
    assert_eq!(world.onedev().project(PATH).unwrap().description, None);
    world.end().await;
}
}

#[actix::test]
async fn a_wikis_project_that_nobody_remembers_is_known_again_with_what_was_kept_in_it() {
    let mut world = world();
    let id = mirrored(&mut world).await;
    world.github().delete_wiki(id).unwrap();
    world.github().write_page(id, "Home", "all anew").unwrap();
    world.gollum(id).await;
    let kept = world.wiki_kept(id).await;
    let of = PartId::wiki(world.mirror(id).await.id);
    world.store().write(move |c| parts::forget_project(c, of, Utc::now())).await.unwrap();
    world.github().write_page(id, "Home", "more").unwrap();
    world.gollum(id).await;
    // The mirror takes it over as it is, and sees to the rest of it at the next look.
    world.assert_wiki(id).await;
    assert_eq!(world.wiki(id).await.project.unwrap().path, PATH);
    assert_eq!((world.onedev().projects().len(), world.wiki_kept(id).await), (4, kept));
    world.end().await;
}

#[actix::test]
async fn where_conflicts_are_to_fail_the_wiki_does_and_its_mirror_does_not() {
    let mut world = world();
    world.config.onedev.on_conflict = OnConflict::Fail;
    let id = world.repository("octo", "hello");
    world.star(id).await;
    world.onedev().create_project(PATH).unwrap();
    world.github().write_page(id, "Home", "welcome").unwrap();
    let wiki = world.gollum(id).await;
    assert_eq!((wiki.state, wiki.error.unwrap().code.as_str()), (PartState::Error, "onedev_conflict"));
    world.assert_healthy(id).await;
    assert!(world.onedev().refs(PATH).unwrap().is_empty());
    world.end().await;
}

#[actix::test]
async fn a_project_called_wiki_is_adopted_only_if_it_holds_nothing_that_upstream_lacks() {
    for theirs in [false, true] {
        let mut world = world();
        world.config.onedev.on_conflict = OnConflict::Adopt;
        let id = world.repository("octo", "hello");
        world.star(id).await;
        world.onedev().create_project(PATH).unwrap();
        if theirs {
            world.onedev().commit(PATH, "main", "THEIRS", "theirs").unwrap();
        }
        world.github().write_page(id, "Home", "welcome").unwrap();
        let wiki = world.gollum(id).await;
        if theirs {
            assert_eq!((wiki.state, wiki.error.unwrap().code.as_str()), (PartState::Error, "project_conflict"));
            assert_eq!(wiki.project, None);
        } else {
            world.assert_wiki(id).await;
            assert_eq!(wiki.project.unwrap().path, PATH);
        }
        world.end().await;
    }
}

on_both! {
async fn the_wiki_goes_with_its_mirror(world: World) {
    let mut world = with_wikis(world);
    (world.config.stars.unstar, world.config.stars.delete_after) = (Unstar::Delete, std::time::Duration::ZERO);
    let id = mirrored(&mut world).await;
    world.accepted(&world.github().unstar(FAN, id).unwrap()).await;
    world.drain().await;
    let paths: Vec<_> = world.onedev().projects().into_iter().map(|it| it.path).collect();
    assert_eq!(paths, ["github", "github/octo"]);
    assert!(world.store().read(move |c| mirrors::by_github_id(c, id)).await.unwrap().is_none());
    world.star(id).await;
    world.assert_wiki(id).await;
    let mirror = world.mirror(id).await.id;
    let (status, _) = world.admin(Method::DELETE, &format!("/mirrors/{mirror}?project=delete"), None).await;
    assert_eq!((status, world.onedev().projects().len()), (204, 2));
    world.end().await;
}
}

#[actix::test]
async fn a_child_that_is_not_ours_keeps_the_mirrors_project_from_being_deleted() {
    let mut world = world();
    let id = mirrored(&mut world).await;
    world.onedev().create_project("github/octo/hello/theirs").unwrap();
    let mirror = world.mirror(id).await.id;
    let (status, _) = world.admin(Method::DELETE, &format!("/mirrors/{mirror}?project=delete"), None).await;
    assert_ne!(status, 204);
    assert!(world.onedev().project("github/octo/hello/theirs").is_some());
    world.sync(id).await;
    world.assert_healthy(id).await;
    // Its wiki was deleted before that was found; it is made again.
    world.sweep(id).await;
    world.assert_wiki(id).await;
    world.end().await;
}

on_both! {
async fn the_wiki_follows_its_repository_to_a_new_name_announced_or_not(world: World) {
    let mut world = with_wikis(world);
    let id = mirrored(&mut world).await;
    world.github().rename(id, "bye").unwrap();
    world.github().write_page(id, "Home", "under the new name").unwrap();
    world.sweep(id).await;
    world.assert_wiki(id).await;
    assert_eq!(world.mirror(id).await.name.to_string(), "octo/bye");
    assert_eq!(world.wiki(id).await.project.unwrap().path, "github/octo/bye/wiki", "its project follows");
    world.github().transfer(id, "acme").unwrap();
    world.github().write_page(id, "Home", "under another owner").unwrap();
    world.gollum(id).await;
    world.assert_wiki(id).await;
    world.end().await;
}
}

#[actix::test]
async fn a_name_that_another_repository_has_taken_over_brings_no_foreign_pages() {
    let mut world = world();
    let one = mirrored(&mut world).await;
    let bare = world.repository("octo", "bare");
    world.star(bare).await;
    world.github().rename(one, "bye").unwrap();
    world.github().rename(bare, "barer").unwrap();
    for taken in ["hello", "bare"] {
        let other = world.repository("octo", taken);
        world.github().write_page(other, "Home", "quite another wiki").unwrap();
    }
    world.sweep(one).await;
    world.assert_wiki(one).await;
    assert!(world.wiki_kept(one).await.is_empty());
    assert_eq!(world.sweep(bare).await.state, PartState::Absent);
    assert!(world.onedev().project("github/octo/bare/wiki").is_none(), "the project that was made is gone again");
    world.end().await;
}

on_both! {
async fn a_wiki_that_is_wiped_waits_for_an_admin_too(world: World) {
    let mut world = with_wikis(world);
    let id = world.repository("octo", "hello");
    let tip = world.github().write_page(id, "Home", "welcome").unwrap();
    for n in 0..15 {
        world.github().set_wiki_ref(id, &format!("refs/heads/b{n}"), tip).unwrap();
    }
    world.star(id).await;
    world.assert_wiki(id).await;
    let copy = world.wiki_copy(id).await;
    world.github().delete_wiki(id).unwrap();
    world.github().write_page(id, "Home", "all anew").unwrap();
    for wiki in [world.gollum(id).await, world.sweep(id).await] {
        assert_eq!((wiki.state, wiki.error.unwrap().code.as_str()), (PartState::Error, "mass_delete"));
    }
    assert_eq!(world.wiki_copy(id).await, copy);
    world.assert_healthy(id).await;
    let path = format!("/mirrors/{}/sync", world.mirror(id).await.id);
    assert_eq!(world.admin(Method::POST, &path, Some(json!({ "allow_mass_delete": true }))).await.0, 202);
    world.drain().await;
    world.assert_wiki(id).await;
    assert_eq!(world.wiki_kept(id).await.len(), 16);
    let audit = world.admin(Method::GET, "/audit", None).await.1;
    let holds = audit["items"].as_array().unwrap().iter().filter(|it| it["action"] == "mirror.hold").count();
    assert_eq!(holds, 1);
    world.end().await;
}
}

on_both! {
async fn a_verification_covers_the_wiki(world: World) {
    let mut world = with_wikis(world);
    let id = mirrored(&mut world).await;
    let before = world.wiki(id).await.proof.unwrap();
    world.queue(id, JobKind::Verify).await;
    world.drain().await;
    assert!(world.wiki(id).await.proof.unwrap().verified_at > before.verified_at);
    let by_hand = world.onedev().commit(PATH, "master", "HAND", "by hand").unwrap();
    world.queue(id, JobKind::Verify).await;
    world.drain().await;
    world.assert_wiki(id).await;
    let kept = world.wiki_kept(id).await;
    assert_eq!(kept.iter().map(|it| (it.oid, it.reason)).collect::<Vec<_>>(), [(by_hand, Reason::MovedInOnedev)]);
    world.end().await;
}
}

#[actix::test]
async fn the_command_line_and_the_api_show_it() {
    let mut world = world();
    let id = world.repository("octo", "hello");
    world.github().write_page(id, "Home", "welcome").unwrap();
    let run = |world: &World, arguments: &[&str]| {
        let output = starkeep(&world.config, world.folder.path()).args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    assert_eq!(run(&world, &["mirror", "octo/hello"]).0, Some(0));
    let (_, shown) = run(&world, &["status"]);
    assert!(shown.contains("wiki: healthy, 1 refs"), "{shown}");
    let (_, shown) = run(&world, &["status", "--json"]);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown[0]["wiki"]["onedev"]["path"], PATH);
    let (code, shown) = run(&world, &["verify"]);
    assert!(code == Some(0) && shown.contains("octo/hello (wiki): level, 1 refs"), "{shown}");
    world.start().await;
    let first = world.wiki_copy(id).await[&name(MASTER)];
    world.github().delete_wiki(id).unwrap();
    world.github().write_page(id, "Home", "all anew").unwrap();
    let (code, shown) = run(&world, &["verify"]);
    assert!(code == Some(1) && shown.contains("octo/hello (wiki): 1 refs differ"), "{shown}");
    world.gollum(id).await;
    let mirror = world.mirror(id).await.id;
    let (status, wiki) = world.admin(Method::GET, &format!("/mirrors/{mirror}/wiki"), None).await;
    assert_eq!((status, &wiki["state"], &wiki["default_branch"]), (200, &json!("healthy"), &json!("master")));
    let kept = world.admin(Method::GET, &format!("/mirrors/{mirror}/kept?part=wiki"), None).await.1;
    assert_eq!(kept["items"][0]["oid"], json!(first));
    let kept = world.admin(Method::GET, &format!("/mirrors/{mirror}/kept"), None).await.1;
    assert_eq!(kept["items"], json!([]));
    let refs = world.admin(Method::GET, &format!("/mirrors/{mirror}/refs?part=wiki"), None).await.1;
    let shown: Vec<_> = refs["items"].as_array().unwrap().iter().map(|it| it["state"].as_str().unwrap()).collect();
    assert_eq!(shown, ["level", "kept"]);
    assert_eq!(world.admin(Method::GET, &format!("/mirrors/{mirror}/refs?part=x"), None).await.0, 400);
    world.end().await;
}

#[actix::test]
async fn who_may_see_a_wiki_follows_its_repository_at_once() {
    let mut world = world();
    world.config.github.token = Some(world.github().token().to_owned().into());
    world.config.onedev.visibility = Visibility::Upstream;
    let id = mirrored(&mut world).await;
    let roles = |world: &World| world.onedev().project(PATH).unwrap().base_roles.len();
    assert_eq!(roles(&world), 1);
    world.github().set_private(id, true).unwrap();
    let privatized = world.github().repository_event(id, "privatized", Value::Null).unwrap();
    world.accepted(&privatized).await;
    world.drain().await;
    assert_eq!(roles(&world), 0);
    world.gollum(id).await;
    world.assert_wiki(id).await;
    world.end().await;
}

#[actix::test]
async fn a_paused_or_archived_mirrors_wiki_waits_with_it() {
    let mut world = world();
    let id = mirrored(&mut world).await;
    let mirror = world.mirror(id).await.id;
    let path = format!("/mirrors/{mirror}");
    world.admin(Method::PATCH, &path, Some(json!({ "paused": true }))).await;
    world.github().write_page(id, "Home", "while it is paused").unwrap();
    let before = world.wiki_copy(id).await;
    world.gollum(id).await;
    assert_eq!(world.wiki_copy(id).await, before);
    world.admin(Method::PATCH, &path, Some(json!({ "paused": false }))).await;
    world.sweep(id).await;
    world.assert_wiki(id).await;
    world.accepted(&world.github().unstar(FAN, id).unwrap()).await;
    world.github().write_page(id, "Home", "while it is archived").unwrap();
    let before = world.wiki_copy(id).await;
    world.gollum(id).await;
    assert_eq!(world.wiki_copy(id).await, before);
    world.star(id).await;
    world.sweep(id).await;
    world.assert_wiki(id).await;
    world.end().await;
}

on_both! {
async fn the_empty_project_of_a_wiki_that_fails_for_good_goes_and_only_that(world: World) {
    let mut world = with_wikis(world);
    let id = world.repository("octo", "hello");
    world.star(id).await;
    world.github().write_page(id, "Home", "welcome").unwrap();
    world.github().fail(Trigger::next(On::FETCH).body("command=fetch").always(), Fault::answer(403, "no packs"));
    let wiki = world.gollum(id).await;
    assert_eq!((wiki.state, wiki.error.unwrap().code.as_str()), (PartState::Error, "upstream_forbidden"));
    assert_eq!(wiki.project, None);
    assert!(world.onedev().project(PATH).is_none() && world.onedev().project("github/octo/hello").is_some());
    world.github().clear_faults();
    world.gollum(id).await;
    world.assert_wiki(id).await;
    world.end().await;
}
}

on_both! {
async fn a_wikis_job_that_is_cut_off_anywhere_goes_on_in_the_same_project(world: World) {
    let mut world = with_wikis(world);
    world.config.server.shutdown_timeout = std::time::Duration::from_millis(10);
    let id = world.repository("octo", "hello");
    world.star(id).await;
    world.github().write_page(id, "Home", "welcome").unwrap();
    for at in [Trigger::next(On::Rest).method("POST").path("/~api/projects"), Trigger::next(On::PUSH)] {
        let gate = world.onedev().hold(at, Hold::Answer);
        let delivery = world.github().gollum(id, "Home").unwrap();
        world.accepted(&delivery).await;
        gate.reached().await;
        world.stop().await;
        gate.release();
        world.start().await;
        world.drain().await;
        world.assert_wiki(id).await;
        assert!(world.wiki_kept(id).await.is_empty());
        assert_eq!(world.onedev().projects().len(), 4);
        world.github().write_page(id, "More", "more").unwrap();
    }
    assert!(world.wiki_copy(id).await.keys().all(|it| !it.as_str().starts_with(KEPT)));
    world.end().await;
}
}
