//! The project follows its upstream's name, and nothing is lost, doubled or mixed up on the way.

use std::time::Duration;

use starkeep::config::onedev::{OnConflict, OnRename};
use starkeep::domain::ids::GithubId;
use starkeep::domain::job::JobKind;
use starkeep::domain::kept::Reason;
use starkeep::domain::mirror::Status;
use starkeep::simulator::{Fault, Hold, On, Trigger};
use starkeep::store::page::Window;
use starkeep::store::{audit, mirrors};

use super::tools::{MAIN, assert_whole, world};
use crate::world::{World, on_both};

const PATH: &str = "github/octo/hello";

impl World {
    /// Paths of all projects that hold something or were made to.
    fn paths(&self) -> Vec<String> {
        let mut paths: Vec<_> = self.onedev().projects().into_iter().map(|it| it.path).collect();
        paths.sort();
        paths
    }

    /// It stands there, level, and a verification finds it so; its page is there too.
    async fn assert_at(&self, id: GithubId, path: &str) {
        self.assert_healthy(id).await;
        self.queue(id, JobKind::Verify).await;
        self.drain().await;
        self.assert_healthy(id).await;
        let project = self.mirror(id).await.project.unwrap();
        assert_eq!(project.path, path);
        assert!(project.url.ends_with(path), "{}", project.url);
        assert_eq!(self.onedev().project(path).map(|it| (it.id, it.path)), Some((project.id.0, path.to_owned())));
        assert_whole(self, path);
    }

    pub async fn audited(&self, action: &str) -> Vec<(String, serde_json::Value)> {
        let filter = audit::Filter { action: Some(action.to_owned()), ..audit::Filter::default() };
        let found = self.store().read(move |c| audit::list(c, &filter, &Window::default())).await.unwrap();
        found.items.into_iter().rev().map(|it| (it.entry.subject, it.entry.detail)).collect()
    }

    /// GitHub tells of a new name, and all that follows is done.
    async fn renamed(&self, id: GithubId, from: &str) {
        self.accepted(&self.github().renamed(id, from).unwrap()).await;
        self.drain().await;
    }

    async fn former(&self, id: GithubId) -> Vec<String> {
        let mirror = self.mirror(id).await.id;
        let former = self.store().read(move |c| mirrors::former_names(c, mirror)).await.unwrap();
        former.into_iter().map(|(it, _)| it.to_string()).collect()
    }
}

on_both! {
async fn an_announced_rename_takes_the_project_along_with_all_that_it_holds(world: World) {
    let mut world = world;
    let id = world.repository("octo", "hello");
    let (_, object) = world.github().commit_lfs(id, "main", "big.bin", b"large").unwrap();
    let project = world.star(id).await.project.unwrap().id;
    let old = world.tip(id, MAIN);
    world.github().force_branch(id, "main").unwrap();
    world.pushed(id).await;

    world.github().rename(id, "bye").unwrap();
    world.renamed(id, "hello").await;
    world.assert_at(id, "github/octo/bye").await;
    assert_eq!(world.mirror(id).await.project.unwrap().id, project);
    world.assert_keeps(id, &[(MAIN, old, Reason::Overwritten)]).await;
    assert_eq!(world.paths(), ["github", "github/octo", "github/octo/bye"]);
    assert_eq!(world.former(id).await, ["octo/hello"]);
    let moved = serde_json::json!({ "from": PATH, "to": "github/octo/bye" });
    assert_eq!(world.audited("project.move").await, [("octo/bye".to_owned(), moved)]);
    let renamed = serde_json::json!({ "from": "octo/hello", "to": "octo/bye" });
    assert_eq!(world.audited("mirror.rename").await, [("octo/bye".to_owned(), renamed)]);

    assert!(world.onedev().lfs_object("github/octo/bye", object.oid).unwrap().is_some());

    // What comes later goes there, LFS objects too.
    world.github().commit_lfs(id, "main", "more.bin", b"larger").unwrap();
    world.pushed(id).await;
    world.assert_at(id, "github/octo/bye").await;
    let told = world.overview().await;
    world.sync(id).await;
    assert_eq!(world.overview().await, told);
    assert_eq!(world.audited("project.move").await.len(), 1);
    world.end().await;
}
}

on_both! {
async fn an_announced_transfer_goes_to_an_owner_whose_project_is_made(world: World) {
    let mut world = world;
    let id = world.repository("octo", "hello");
    world.star(id).await;
    world.github().transfer(id, "acme").unwrap();
    world.accepted(&world.github().transferred(id, "octo").unwrap()).await;
    world.drain().await;
    world.assert_at(id, "github/acme/hello").await;
    assert_eq!(world.paths(), ["github", "github/acme", "github/acme/hello", "github/octo"]);
    world.end().await;
}
}

on_both! {
async fn a_token_for_the_root_alone_may_move_what_lies_below(world: World) {
    let mut world = world;
    world.onedev().create_project("github").unwrap();
    world.config.onedev.token = Some(world.onedev().scoped_token("github").unwrap().into());
    let id = world.repository("octo", "hello");
    world.star(id).await;
    world.github().transfer(id, "acme").unwrap();
    world.sync(id).await;
    world.assert_at(id, "github/acme/hello").await;
    world.end().await;
}
}

on_both! {
async fn a_case_only_rename_changes_the_spelling_in_place(world: World) {
    let mut world = world;
    let id = world.repository("octo", "hello");
    world.star(id).await;
    world.github().rename(id, "Hello").unwrap();
    world.renamed(id, "hello").await;
    world.assert_at(id, "github/octo/Hello").await;
    assert!(world.former(id).await.is_empty());
    world.end().await;
}
}

on_both! {
async fn a_name_that_was_taken_over_is_another_mirror_beside_the_one_that_had_it(world: World) {
    let mut world = world;
    let one = world.repository("octo", "hello");
    world.star(one).await;
    world.github().rename(one, "bye").unwrap();
    let other = world.github().create_repository("octo", "hello").unwrap();
    world.github().commit(other, "main", "OTHER", "quite another project").unwrap();
    // The new one is starred before anybody tells that the old one moved away.
    world.star(other).await;
    world.assert_at(other, &format!("{PATH}-gh{other}")).await;
    world.check(one).await;
    world.assert_at(one, "github/octo/bye").await;
    world.assert_keeps(one, &[]).await;
    // Its own place is free now, and it takes it at once.
    world.assert_at(other, PATH).await;
    world.assert_keeps(other, &[]).await;
    assert_eq!(world.paths(), ["github", "github/octo", "github/octo/bye", PATH]);
    world.end().await;
}
}

on_both! {
async fn two_that_swap_their_names_swap_their_places(world: World) {
    let mut world = world;
    let (one, other) = (world.repository("octo", "a"), world.repository("octo", "b"));
    world.star(one).await;
    world.star(other).await;
    world.github().rename(one, "c").unwrap();
    world.github().rename(other, "a").unwrap();
    world.github().rename(one, "b").unwrap();
    world.sync(one).await;
    world.assert_at(one, &format!("github/octo/b-gh{one}")).await;
    world.sync(other).await;
    world.assert_at(other, "github/octo/a").await;
    world.assert_at(one, "github/octo/b").await;
    for id in [one, other] {
        world.assert_keeps(id, &[]).await;
    }
    assert_eq!(world.paths(), ["github", "github/octo", "github/octo/a", "github/octo/b"]);
    world.end().await;
}
}

on_both! {
async fn a_project_in_the_way_is_left_alone_whatever_the_policy(world: World) {
    let mut world = world;
    let id = world.repository("octo", "hello");
    world.star(id).await;
    world.onedev().create_project("github/octo/bye").unwrap();
    let theirs = world.onedev().commit("github/octo/bye", "main", "THEIRS", "somebody's work").unwrap();
    world.github().rename(id, "bye").unwrap();

    world.stop().await;
    world.config.onedev.on_conflict = OnConflict::Fail;
    world.start().await;
    world.renamed(id, "hello").await;
    let message = world.assert_error(id, "onedev_conflict").await;
    assert!(message.contains("onedev.on_conflict"), "{message}");
    assert_eq!(world.path(id).await, PATH, "it stays until somebody decides");

    for policy in [OnConflict::Suffix, OnConflict::Adopt] {
        world.stop().await;
        world.config.onedev.on_conflict = policy;
        world.start().await;
        world.sync(id).await;
        world.assert_at(id, &format!("github/octo/bye-gh{id}")).await;
    }
    let refs = world.onedev().refs("github/octo/bye").unwrap();
    assert_eq!((refs.len(), refs.values().next()), (1, Some(&theirs)));
    world.end().await;
}
}

on_both! {
async fn the_service_dies_in_the_middle_of_a_move(world: World) {
    let mut world = world;
    world.config.server.shutdown_timeout = Duration::from_millis(10);
    let id = world.repository("octo", "hello");
    world.star(id).await;
    let names = ["first", "second"];
    for (name, point) in names.into_iter().zip([Hold::Arrival, Hold::Answer]) {
        let from = world.mirror(id).await.name.name().to_owned();
        world.github().rename(id, name).unwrap();
        let gate = world.onedev().hold(Trigger::next(On::Rest).method("POST").path("/~api/projects/"), point);
        world.accepted(&world.github().renamed(id, &from).unwrap()).await;
        gate.reached().await;
        assert!(world.mirror(id).await.is_moving(), "the intent is on disk");
        world.stop().await;
        drop(gate);
        // Somebody takes the place that is, or is about to be, free.
        let other = world.github().create_repository("octo", &from).unwrap();
        world.github().commit(other, "main", "OTHER", "quite another project").unwrap();
        world.start().await;
        world.star(other).await;
        world.assert_at(id, &format!("github/octo/{name}")).await;
        world.assert_keeps(id, &[]).await;
        world.assert_healthy(other).await;
        assert!(!world.mirror(id).await.is_moving());
    }
    world.end().await;
}
}

on_both! {
async fn the_stage_dies_once_before_and_once_after_the_move_and_an_answer_is_lost(world: World) {
    let mut world = world;
    let id = world.repository("octo", "hello");
    world.star(id).await;
    world.panics.plan("ensure", 1);
    world.github().rename(id, "one").unwrap();
    world.renamed(id, "hello").await;
    world.assert_at(id, "github/octo/one").await;
    let update = Trigger::next(On::Rest).method("POST").path("/~api/projects/");
    world.onedev().fail(update.clone(), Fault::CutResponse { after: 0 });
    world.github().rename(id, "two").unwrap();
    world.renamed(id, "one").await;
    world.assert_at(id, "github/octo/two").await;
    world.onedev().fail(update, Fault::answer(500, "could not execute statement"));
    world.github().rename(id, "three").unwrap();
    world.renamed(id, "two").await;
    world.assert_at(id, "github/octo/three").await;
    assert_eq!(world.paths(), ["github", "github/octo", "github/octo/three"]);
    world.end().await;
}
}

on_both! {
async fn a_project_that_is_to_stay_stays_and_another_name_makes_no_second_copy(world: World) {
    let mut world = world;
    world.config.onedev.on_rename = OnRename::Keep;
    let id = world.repository("octo", "hello");
    world.star(id).await;
    world.github().rename(id, "bye").unwrap();
    world.renamed(id, "hello").await;
    world.github().transfer(id, "acme").unwrap();
    world.check(id).await;
    world.assert_at(id, PATH).await;
    assert_eq!(world.mirror(id).await.name.to_string(), "acme/bye");
    assert_eq!(world.paths(), ["github", "github/octo", PATH]);
    // Once it may go, it goes.
    world.stop().await;
    world.config.onedev.on_rename = OnRename::Move;
    world.start().await;
    world.sync(id).await;
    world.assert_at(id, "github/acme/bye").await;
    world.end().await;
}
}

on_both! {
async fn the_wiki_goes_along_and_is_mirrored_there(world: World) {
    let mut world = world;
    world.config.sync.wiki = true;
    let id = world.repository("octo", "hello");
    world.github().write_page(id, "Home", "welcome").unwrap();
    world.star(id).await;
    world.assert_wiki(id).await;
    let project = world.wiki(id).await.project.unwrap().id;
    world.github().transfer(id, "acme").unwrap();
    world.accepted(&world.github().transferred(id, "octo").unwrap()).await;
    world.drain().await;
    world.assert_at(id, "github/acme/hello").await;
    world.github().write_page(id, "Home", "under another owner").unwrap();
    world.gollum(id).await;
    world.assert_wiki(id).await;
    let wiki = world.wiki(id).await.project.unwrap();
    assert_eq!((wiki.id, wiki.path.as_str()), (project, "github/acme/hello/wiki"));
    assert_eq!(
        world.onedev().project("github/acme/hello/wiki").unwrap().description.as_deref(),
        Some("Wiki of acme/hello")
    );
    assert!(!world.paths().iter().any(|it| it.starts_with("github/octo/")));
    world.end().await;
}
}

#[actix::test]
async fn an_archived_mirror_moves_when_it_is_starred_again() {
    let mut world = world();
    let id = world.repository("octo", "hello");
    world.star(id).await;
    world.accepted(&world.github().unstar(crate::world::FAN, id).unwrap()).await;
    world.drain().await;
    world.github().rename(id, "bye").unwrap();
    world.renamed(id, "hello").await;
    assert_eq!((world.mirror(id).await.status, world.path(id).await.as_str()), (Status::Archived, PATH));
    world.star(id).await;
    world.assert_at(id, "github/octo/bye").await;
    world.end().await;
}
