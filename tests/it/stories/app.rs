//! A GitHub App: its installations, its clock, its tokens; and a GitHub Enterprise Server.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use reqwest::Method;
use secrecy::SecretString;
use serde_json::Value;
use starkeep::domain::ids::GithubId;
use starkeep::domain::installation::Cover;
use starkeep::domain::mirror::Status;
use starkeep::simulator::{Hold, On, SimulatorOptions, Trigger};
use starkeep::store::page::Window;
use starkeep::store::{audit, installations};

use crate::world::{ADMIN, Backend, FAN, World, on_both};

impl World {
    /// Its credential is an App.
    pub fn with_app(mut self) -> Self {
        self.config.github.app_id = u64::try_from(SimulatorOptions::default().app_id).ok();
        let key = include_str!("../../../src/github/tests/app-key.pem");
        self.config.github.app_private_key = Some(SecretString::from(key));
        self
    }

    /// A private repository with one commit.
    fn hidden(&self, owner: &str, name: &str) -> GithubId {
        let id = self.repository(owner, name);
        self.github().set_private(id, true).unwrap();
        id
    }

    /// Waits until a mirror is healthy, though nobody asks for it.
    async fn heals(&self, id: GithubId) {
        let healed = async {
            while self.mirror(id).await.status != Status::Healthy {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), healed).await.expect("it heals by itself");
        self.drain().await;
        self.assert_healthy(id).await;
    }

    async fn cover(&self, login: &'static str) -> Cover {
        self.store().read(move |c| installations::cover_of(c, login)).await.unwrap()
    }
}

on_both! {
async fn a_suspended_installation_is_an_error_that_heals_when_it_goes_on(world: World) {
    let mut world = world.with_app();
    world.github().install("octo").unwrap();
    let (acme, _) = world.github().install("acme").unwrap();
    let (hidden, public) = (world.hidden("acme", "hidden"), world.repository("acme", "public"));
    world.star(hidden).await;
    world.star(public).await;
    world.assert_healthy(hidden).await;

    let suspended = world.github().suspend(acme).unwrap();
    assert_eq!(world.accepted(&suspended).await, "accepted");
    assert_eq!(world.cover("acme").await, Cover::Suspended);
    world.github().commit(hidden, "main", "README", "two").unwrap();
    world.github().commit(public, "main", "README", "two").unwrap();
    world.check(hidden).await;
    world.check(public).await;
    let message = world.assert_error(hidden, "installation_suspended").await;
    assert!(message.contains("acme") && message.contains("suspended"), "{message}");
    world.assert_healthy(public).await;

    let goes_on = world.github().unsuspend(acme).unwrap();
    assert_eq!(world.accepted(&goes_on).await, "accepted");
    world.heals(hidden).await;
    let entries = world.store().read(|c| audit::list(c, &audit::Filter::default(), &Window::default())).await.unwrap();
    let actions: Vec<_> = entries.items.iter().map(|it| it.entry.action.as_str()).collect();
    assert!(actions.contains(&"installation.suspend") && actions.contains(&"installation.unsuspend"), "{actions:?}");
    assert_eq!(world.accepted(&suspended).await, "duplicate");
    assert_eq!(world.cover("acme").await, Cover::Active);

    // Replayed, it tells of what was; GitHub is asked how things stand.
    let path = format!("/deliveries/{}/replay", suspended.guid);
    let (status, told) = world.ask(ADMIN, Method::POST, &path, Value::Null).await;
    assert_eq!((status, told["asks_for"].as_str()), (202, Some("note")), "{told}");
    world.check(hidden).await;
    world.assert_healthy(hidden).await;
    let active = async {
        while world.cover("acme").await != Cover::Active {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), active).await.expect("what GitHub says counts");
    world.end().await;
}
}

on_both! {
async fn behind_nat_the_list_of_installations_tells_what_no_webhook_does(world: World) {
    let mut world = world.with_app();
    world.github().install("octo").unwrap();
    let (acme, _) = world.github().install("acme").unwrap();
    let hidden = world.hidden("acme", "hidden");
    world.star(hidden).await;
    world.stop().await;
    world.github().suspend(acme).unwrap();
    world.start().await;
    world.sync(hidden).await;
    world.assert_error(hidden, "installation_suspended").await;
    world.stop().await;
    world.github().unsuspend(acme).unwrap();
    world.start().await;
    world.heals(hidden).await;
    world.end().await;
}
}

on_both! {
async fn an_app_that_was_removed_leaves_the_copies_and_finds_them_again(world: World) {
    let mut world = world.with_app();
    world.github().install("octo").unwrap();
    let (acme, _) = world.github().install("acme").unwrap();
    let hidden = world.hidden("acme", "hidden");
    world.star(hidden).await;
    world.accepted(&world.github().uninstall(acme).unwrap()).await;
    world.check(hidden).await;
    let message = world.assert_error(hidden, "installation_suspended").await;
    assert!(message.contains("removed"), "{message}");
    assert_eq!(world.cover("acme").await, Cover::Removed);
    // A restart forgets nothing.
    world.stop().await;
    world.start().await;
    world.sync(hidden).await;
    world.assert_error(hidden, "installation_suspended").await;
    let (_, created) = world.github().install("acme").unwrap();
    world.accepted(&created).await;
    world.heals(hidden).await;
    world.end().await;
}
}

#[actix::test]
async fn no_request_asks_for_the_installation_of_a_repository() {
    let mut world = World::new(Backend::Sqlite).unwrap().with_app();
    for login in ["octo", "acme", "umbrella"] {
        world.github().install(login).unwrap();
    }
    let ids: Vec<_> = (0..4).map(|n| world.hidden("umbrella", &format!("r{n}"))).collect();
    for id in &ids {
        world.star(*id).await;
    }
    world.stop().await;
    world.github().clear_requests();
    world.start().await;
    for id in &ids {
        world.sync(*id).await;
        world.assert_healthy(*id).await;
    }
    let lines: Vec<_> = world.github().requests().iter().map(|it| it.line()).collect();
    let count = |part: &str| lines.iter().filter(|it| it.contains(part)).count();
    assert_eq!(count("/installation "), 0);
    assert_eq!((count("GET /app/installations"), count("access_tokens")), (1, 1), "{lines:#?}");
    assert_eq!(count("GET /repositories/"), ids.len(), "the right one is asked first, after a restart too");
    world.end().await;
}

#[actix::test]
async fn a_clock_that_is_hours_off_keeps_nothing_from_working() {
    for hours in [3, -3] {
        let mut world = World::new(Backend::Sqlite).unwrap().with_app();
        world.github().set_clock_ahead(TimeDelta::hours(hours));
        world.github().install("octo").unwrap();
        let (one, two) = (world.hidden("octo", "one"), world.hidden("octo", "two"));
        world.star(one).await;
        world.star(two).await;
        world.assert_healthy(one).await;
        world.assert_healthy(two).await;
        assert_eq!(world.github().mints(), 1, "a token is good for an hour, whatever our clock says");
        world.end().await;
    }
}

on_both! {
async fn a_token_that_expires_in_the_middle_of_a_list_is_replaced_and_the_walk_goes_on(world: World) {
    let mut world = world.with_app().polling();
    world.github().set_largest_page(2);
    let ids: Vec<_> = (0..6).map(|n| world.repository("octo", &format!("r{n}"))).collect();
    ids.iter().for_each(|id| drop(world.github().star(FAN, *id).unwrap()));
    let gate = world.github().hold(Trigger::next(On::Rest).path("/user/"), Hold::Arrival);
    let since = Utc::now();
    world.start().await;
    gate.reached().await;
    let minted = world.github().mints();
    world.github().expire_installation_tokens();
    gate.release();
    let poll = world.polled(since).await;
    assert!(poll.error.is_none() && poll.scanned_at.is_some());
    assert_eq!(world.github().mints(), minted + 1);
    world.drain().await;
    for id in &ids {
        world.assert_healthy(*id).await;
    }
    world.end().await;
}
}

on_both! {
async fn an_enterprise_server_has_its_api_below_a_prefix_and_git_beside_it(world: World) {
    // The world of the macro has no prefix; its database is what counts.
    let options = SimulatorOptions { api_prefix: "/api/v3".to_owned(), ..SimulatorOptions::default() };
    let backend = if world.is_postgres() { Backend::Postgres } else { Backend::Sqlite };
    let mut world = World::with(backend, &options).unwrap().with_app().polling();
    assert!(world.config.github.api_url.path() == "/api/v3" && world.config.github.git_url.path() == "/");
    world.config.sync.metadata = true;
    world.github().install("octo").unwrap();
    world.github().set_largest_page(2);
    let ids: Vec<_> = (0..5).map(|n| world.hidden_or_not(n)).collect();
    ids.iter().for_each(|id| drop(world.github().star(FAN, *id).unwrap()));
    world.github().commit_lfs(ids[0], "main", "big.bin", b"content").unwrap();
    world.first_look().await;
    world.github().rename(ids[1], "bye").unwrap();
    world.check(ids[1]).await;
    assert_eq!(world.mirror(ids[1]).await.name.to_string(), "octo/bye");
    let found = world.app().describe("octo/r1".parse().unwrap()).await.unwrap();
    assert_eq!(found.name.to_string(), "octo/bye", "the redirect leads below the prefix");
    for id in &ids {
        world.assert_healthy(*id).await;
    }
    for it in world.github().requests() {
        let is_git = it.path.contains(".git/") || it.path.starts_with("/_lfs/");
        assert_eq!(it.path.starts_with("/api/v3/"), !is_git, "{}", it.line());
    }
    world.end().await;
}
}

impl World {
    fn hidden_or_not(&self, n: usize) -> GithubId {
        let name = format!("r{n}");
        if n.is_multiple_of(2) { self.repository("octo", &name) } else { self.hidden("octo", &name) }
    }
}
