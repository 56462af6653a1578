//! Star lists: kept with each mirror, followed by the projects, and believed only when they were read whole.

use std::time::Duration;

use chrono::Utc;
use serde_json::Value;
use starkeep::app::archive;
use starkeep::domain::ids::GithubId;
use starkeep::domain::mirror::Status;
use starkeep::domain::star_lists::Membership;
use starkeep::simulator::{Fault, Hold, Oddity, On, Trigger};
use starkeep::store::{polls, star_lists};

use super::tools::assert_whole;
use crate::api;
use crate::world::{ADMIN, Backend, FAN, World, on_both};

/// Nothing is read by itself in the time of a story.
const SELDOM: Duration = Duration::from_secs(12 * 3600);

impl World {
    /// Stars are looked at and lists are read, with the user's own token, and put mirrors into their places.
    fn listing(self) -> Self {
        let mut world = self.polling();
        let token = world.github().token().to_owned();
        world.github().give_token(&token, FAN);
        world.config.github.token = Some(token.into());
        world.config.stars.lists_interval = Some(SELDOM);
        world.config.onedev.naming = "{list}/{owner}/{name}".to_owned();
        world
    }

    /// Repositories that the user starred, oldest first.
    fn stars(&self, names: &[&str]) -> Vec<GithubId> {
        let ids: Vec<_> = names.iter().map(|name| self.repository("octo", name)).collect();
        ids.iter().for_each(|id| drop(self.github().star(FAN, *id).unwrap()));
        ids
    }

    /// A list of the user with these in it.
    fn list(&self, name: &str, items: &[GithubId]) -> String {
        let list = self.github().create_list(FAN, name, false);
        items.iter().for_each(|id| self.github().put_in_list(&list, *id).unwrap());
        list
    }

    /// The stars are looked at and the lists read, and all that follows is done.
    async fn read_lists(&self) {
        let account = self.store().read(|c| polls::find(c, FAN)).await.unwrap().unwrap().account.unwrap().0;
        self.store().write(move |c| star_lists::hasten(c, account, Utc::now())).await.unwrap();
        self.look_at_stars().await;
    }

    /// Waits until the lists of so many users were read and nothing is left to do.
    async fn all_lists_read(&self, users: usize) {
        let settled = async {
            loop {
                let (polls, readings) =
                    self.store().read(|c| Ok((polls::list(c)?, star_lists::readings(c)?))).await.unwrap();
                let read = readings.iter().filter(|it| it.read_at.is_some()).count();
                if read == users && polls.iter().all(|it| it.lease.is_none()) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(120), settled).await.expect("all lists are read");
        self.drain().await;
    }

    async fn reading(&self) -> star_lists::Reading {
        self.store().read(star_lists::readings).await.unwrap().remove(0)
    }

    async fn lists_of(&self, id: GithubId) -> Vec<Membership> {
        self.store().read(move |c| star_lists::of_repository(c, id)).await.unwrap()
    }

    async fn assert_lies(&self, id: GithubId, path: &str) {
        let mirror = self.mirror(id).await;
        assert_eq!(mirror.project.as_ref().unwrap().path, path);
        self.assert_healthy(id).await;
        assert_whole(self, path);
    }

    fn labels(&self, path: &str) -> Vec<String> {
        let mut labels = self.onedev().project(path).unwrap().labels;
        labels.sort();
        labels
    }

    fn graphql_requests(&self) -> usize {
        self.github().requests().iter().filter(|it| it.path.ends_with("/graphql")).count()
    }

    async fn get(&self, path: &str) -> Value {
        api::call(api::request(reqwest::Method::GET, &self.url(path)).bearer_auth(ADMIN)).await.json()
    }
}

on_both! {
async fn a_mirror_lies_under_its_first_list_and_follows_it(world: World) {
    let mut world = world.listing();
    let ids = world.stars(&["a", "b", "c"]);
    let (tools, ml) = (world.list("Tools", &ids[..1]), world.list("Machine Learning", &ids[..2]));
    world.first_look().await;
    // The lists are read before the first mirror is made: none goes a roundabout way.
    world.assert_lies(ids[0], "github/Tools/octo/a").await;
    world.assert_lies(ids[1], "github/Machine-Learning/octo/b").await;
    world.assert_lies(ids[2], "github/unlisted/octo/c").await;
    assert_eq!(world.labels("github/Tools/octo/a"), ["Machine Learning"]);
    assert!(world.labels("github/Machine-Learning/octo/b").is_empty());
    assert!(world.audited("project.move").await.is_empty());

    // Another list, and none.
    world.github().take_from_list(&tools, ids[0]).unwrap();
    world.github().take_from_list(&ml, ids[1]).unwrap();
    world.github().put_in_list(&tools, ids[2]).unwrap();
    world.read_lists().await;
    world.assert_lies(ids[0], "github/Machine-Learning/octo/a").await;
    world.assert_lies(ids[1], "github/unlisted/octo/b").await;
    world.assert_lies(ids[2], "github/Tools/octo/c").await;
    assert!(world.labels("github/Machine-Learning/octo/a").is_empty(), "it is a place now, and no label");
    assert_eq!(world.audited("project.move").await.len(), 3);
    assert_eq!(world.audited("lists.change").await.len(), 2);

    // A renamed list, and one that goes.
    world.github().rename_list(&ml, "ML").unwrap();
    world.github().delete_list(&tools);
    world.read_lists().await;
    world.assert_lies(ids[0], "github/ML/octo/a").await;
    world.assert_lies(ids[2], "github/unlisted/octo/c").await;

    // What a pushed commit changes goes there.
    world.github().commit(ids[0], "main", "NEW", "new").unwrap();
    world.pushed(ids[0]).await;
    world.assert_lies(ids[0], "github/ML/octo/a").await;
    let id = world.mirror(ids[0]).await.id;
    let told = world.get(&format!("/api/v1/mirrors/{id}/lists")).await;
    assert_eq!((&told["items"][0]["name"], &told["items"][0]["folder"]), (&"ML".into(), &"ML".into()));
    assert!(world.get("/api/v1/stars").await["items"][0]["lists"]["last_read_at"].is_string());
    world.end().await;
}
}

on_both! {
async fn what_did_not_change_costs_one_request_and_moves_nothing(world: World) {
    let mut world = world.listing();
    let ids = world.stars(&["a"]);
    world.list("Tools", &ids);
    world.first_look().await;
    let told = world.overview().await;
    world.github().clear_requests();
    world.look_at_stars().await;
    assert_eq!(world.graphql_requests(), 0, "not before the interval is over");
    world.read_lists().await;
    assert_eq!(world.graphql_requests(), 1);
    assert_eq!(world.overview().await, told);
    world.end().await;
}
}

on_both! {
async fn a_reading_that_fails_or_is_not_whole_changes_nothing(world: World) {
    let mut world = world.listing();
    let ids = world.stars(&["a", "b", "c", "d"]);
    let list = world.list("Tools", &ids);
    world.list("Rust", &[]);
    world.first_look().await;
    let told = world.overview().await;
    world.github().set_largest_page(2);
    world.github().take_from_list(&list, ids[0]).unwrap();

    // The second page of the list fails; half of what there is came with an error, and 200; nothing at all.
    world.github().fail(Trigger::next(On::Rest).path("/graphql").nth(2), Fault::answer(502, ""));
    world.read_lists().await;
    assert_eq!(world.reading().await.error.unwrap().0, "github_server_error");
    world.github().garble_lists(Oddity::Partial, 1);
    world.read_lists().await;
    assert_eq!(world.reading().await.error.unwrap().0, "github_graphql");
    world.github().set_graphql_limit(5_000, 0, (Utc::now() + chrono::TimeDelta::hours(1)).timestamp());
    world.read_lists().await;
    assert_eq!(world.overview().await, told, "nothing was moved");
    assert_eq!(world.lists_of(ids[0]).await.len(), 1);
    world.github().set_graphql_limit(5_000, 5_000, (Utc::now() + chrono::TimeDelta::hours(1)).timestamp());
    world.forgive().await;

    world.read_lists().await;
    assert!(world.reading().await.error.is_none());
    world.assert_lies(ids[0], "github/unlisted/octo/a").await;
    world.assert_lies(ids[1], "github/Tools/octo/b").await;
    world.end().await;
}
}

on_both! {
async fn a_page_that_repeats_or_skips_entries_is_read_again(world: World) {
    let mut world = world.listing();
    let ids = world.stars(&["a", "b", "c", "d", "e"]);
    world.list("Tools", &ids);
    world.github().set_largest_page(2);
    world.first_look().await;
    let told = world.overview().await;
    for oddity in [Oddity::Repeats, Oddity::Skips] {
        world.github().clear_requests();
        world.github().garble_lists(oddity, 3);
        world.read_lists().await;
        assert_eq!(world.graphql_requests(), 6, "read twice: {oddity:?}");
        assert!(world.reading().await.error.is_none());
        assert_eq!(world.overview().await, told);
    }
    // An entry that the token is not shown is counted all the same: it reads the same twice, and is believed.
    world.github().hide_from(world.github().token(), ids[4]);
    world.github().set_private(ids[4], true).unwrap();
    world.read_lists().await;
    assert!(world.reading().await.error.is_none());
    assert!(world.lists_of(ids[4]).await.is_empty());
    assert_eq!(world.lists_of(ids[3]).await.len(), 1);
    world.end().await;
}
}

on_both! {
async fn private_lists_are_their_owners_and_stay_while_somebody_else_reads(world: World) {
    let mut world = world.listing();
    let ids = world.stars(&["a", "b"]);
    let secret = world.github().create_list(FAN, "Secret", true);
    world.github().put_in_list(&secret, ids[0]).unwrap();
    let open = world.list("Open", &ids[1..]);
    world.first_look().await;
    world.assert_lies(ids[0], "github/Secret/octo/a").await;

    world.stop().await;
    world.github().give_token("somebody-elses", "other");
    world.config.github.token = Some("somebody-elses".to_owned().into());
    world.start().await;
    world.github().rename_list(&open, "Wide open").unwrap();
    world.read_lists().await;
    world.assert_lies(ids[0], "github/Secret/octo/a").await;
    world.assert_lies(ids[1], "github/Wide-open/octo/b").await;
    world.end().await;
}
}

on_both! {
async fn names_that_no_path_can_have_become_folders_of_their_own(world: World) {
    let mut world = world.listing();
    let ids = world.stars(&["a", "b", "c", "d", "e"]);
    for (id, name) in ids.iter().zip(["🚀 My stack", "my/stack", "✨", "projects", "unlisted"]) {
        world.list(name, &[*id]);
    }
    world.first_look().await;
    for (id, path) in ids.iter().zip(["My-stack/octo/a", "my-stack-2/octo/b", "list/octo/c", "_projects/octo/d", "unlisted-2/octo/e"]) {
        world.assert_lies(*id, &format!("github/{path}")).await;
    }
    world.end().await;
}
}

on_both! {
async fn of_two_users_lists_those_of_the_first_count_first(world: World) {
    let mut world = world.listing();
    world.config.stars.users.insert(0, "Second".to_owned());
    let ids = world.stars(&["a", "b"]);
    drop(world.github().star("Second", ids[0]).unwrap());
    world.list("Tools", &ids);
    let theirs = world.github().create_list("Second", "Theirs", false);
    world.github().put_in_list(&theirs, ids[0]).unwrap();
    let same = world.github().create_list("Second", "tools", false);
    world.github().put_in_list(&same, ids[1]).unwrap();
    world.first_look().await;
    // Whoever of the two was looked at first: in the end it is the order of the configuration.
    world.all_lists_read(2).await;
    world.assert_lies(ids[0], "github/Theirs/octo/a").await;
    let lists = world.lists_of(ids[1]).await;
    assert_eq!(lists.len(), 2);
    assert_eq!(lists[0].folder, lists[1].folder, "one name, one folder");
    assert!(world.labels("github/Theirs/octo/a").contains(&"Tools".to_owned()));
    world.end().await;
}
}

on_both! {
async fn labels_come_and_go_and_those_of_other_hands_stay(world: World) {
    let mut world = world.listing();
    let ids = world.stars(&["a"]);
    world.list("Tools", &ids);
    let (rust, go) = (world.list("Rust", &ids), world.list("Go", &ids));
    world.first_look().await;
    let path = "github/Tools/octo/a";
    assert_eq!(world.labels(path), ["Go", "Rust"]);
    world.sync(ids[0]).await;
    world.onedev().clear_requests();
    world.sync(ids[0]).await;
    assert!(world.onedev().requests().iter().all(|it| !it.path.contains("label")), "level labels cost nothing");
    world.onedev().label(path, "Favourite").unwrap();
    world.github().delete_list(&rust);
    world.github().rename_list(&go, "Golang").unwrap();
    world.read_lists().await;
    assert_eq!(world.labels(path), ["Favourite", "Golang"]);
    world.end().await;
}
}

on_both! {
async fn a_token_that_may_not_make_labels_is_asked_once(world: World) {
    let mut world = world.listing();
    world.onedev().create_project("github").unwrap();
    world.config.onedev.token = Some(world.onedev().scoped_token("github").unwrap().into());
    let ids = world.stars(&["a", "b", "c"]);
    world.list("Tools", &ids);
    world.list("Rust", &ids);
    world.config.sync.workers = 1;
    world.first_look().await;
    for (id, name) in ids.iter().zip(["a", "b", "c"]) {
        world.assert_lies(*id, &format!("github/Tools/octo/{name}")).await;
        assert!(world.labels(&format!("github/Tools/octo/{name}")).is_empty());
    }
    let asked = world.onedev().requests().iter().filter(|it| it.path.contains("label-specs")).count();
    assert_eq!(asked, 1);
    world.end().await;
}
}

on_both! {
async fn the_service_dies_between_the_lists_and_the_moves(world: World) {
    let mut world = world.listing();
    world.config.server.shutdown_timeout = Duration::from_millis(10);
    let ids = world.stars(&["a"]);
    let list = world.list("Tools", &ids);
    world.first_look().await;
    world.github().rename_list(&list, "Things").unwrap();
    let gate = world.onedev().hold(Trigger::next(On::Rest).method("POST").path("/~api/projects/"), Hold::Answer);
    let account = world.reading().await.account;
    world.store().write(move |c| star_lists::hasten(c, account, Utc::now())).await.unwrap();
    world.hasten().await;
    gate.reached().await;
    world.stop().await;
    drop(gate);
    world.start().await;
    world.drain().await;
    world.assert_lies(ids[0], "github/Things/octo/a").await;
    assert_eq!(world.mirror(ids[0]).await.status, Status::Healthy);
    world.end().await;
}
}

on_both! {
async fn after_a_lost_database_nothing_moves_before_the_lists_were_read(world: World) {
    let mut world = world.listing();
    let ids = world.stars(&["a"]);
    world.list("Tools", &ids);
    world.first_look().await;
    world.lose_database().await;
    assert!(!archive::adopt(&world.config, false).await.unwrap().is_empty());
    // The lists cannot be read.
    world.github().fail(Trigger::next(On::Rest).path("/graphql").always(), Fault::answer(502, ""));
    world.first_look().await;
    world.sync(ids[0]).await;
    world.assert_lies(ids[0], "github/Tools/octo/a").await;
    world.github().clear_faults();
    world.read_lists().await;
    world.assert_lies(ids[0], "github/Tools/octo/a").await;
    assert!(world.audited("project.move").await.is_empty());
    world.end().await;
}
}

#[actix::test]
async fn without_a_credential_every_mirror_is_unlisted() {
    let mut world = World::new(Backend::Sqlite).unwrap().listing();
    world.config.github.token = None;
    let ids = world.stars(&["a"]);
    world.list("Tools", &ids);
    world.first_look().await;
    world.assert_lies(ids[0], "github/unlisted/octo/a").await;
    assert!(world.store().read(star_lists::readings).await.unwrap().is_empty());
    world.github().rename(ids[0], "b").unwrap();
    world.sync(ids[0]).await;
    world.assert_lies(ids[0], "github/unlisted/octo/b").await;
    world.end().await;
}

#[actix::test]
async fn lists_are_kept_where_the_naming_rule_does_not_ask_for_them() {
    let mut world = World::new(Backend::Sqlite).unwrap().listing();
    world.config.onedev.naming = "{owner}/{name}".to_owned();
    let ids = world.stars(&["a"]);
    let list = world.list("Tools", &ids);
    world.first_look().await;
    world.assert_lies(ids[0], "github/octo/a").await;
    assert_eq!(world.lists_of(ids[0]).await[0].name, "Tools");
    let told = world.overview().await;
    world.github().delete_list(&list);
    world.read_lists().await;
    assert!(world.lists_of(ids[0]).await.is_empty());
    assert_eq!(world.overview().await, told, "no mirror is bothered");
    world.end().await;
}
