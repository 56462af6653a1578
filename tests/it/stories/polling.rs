//! Stars that no webhook tells of: the lists of the watched users are looked at.

use std::time::Duration;

use chrono::Utc;
use serde_json::{Value, json};
use starkeep::config::stars::Unstar;
use starkeep::domain::ids::GithubId;
use starkeep::domain::job::{JobKind, JobState, Priority};
use starkeep::domain::mirror::Status;
use starkeep::simulator::{Fault, Hold, On, RequestRecord, Trigger};
use starkeep::store::page::Window;
use starkeep::store::polls::{self, Poll};
use starkeep::store::{audit, jobs, mirrors, starred, stars};

use crate::api;
use crate::world::{ADMIN, Backend, FAN, World, on_both};

/// Nothing is looked at by itself in the time of a story.
const SELDOM: Duration = Duration::from_secs(3600);
/// The list that is looked at.
const LIST: &str = "/starred";

impl World {
    pub fn polling(mut self) -> Self {
        self.config.stars.poll_interval = Some(SELDOM);
        self
    }

    async fn poll_row(&self) -> Option<Poll> {
        self.store().read(|c| polls::find(c, FAN)).await.unwrap()
    }

    /// Waits for the end of a look that was due at `since`.
    pub async fn polled(&self, since: chrono::DateTime<Utc>) -> Poll {
        let wait = async {
            loop {
                match self.poll_row().await {
                    Some(poll) if poll.lease.is_none() && poll.next_at > since => return poll,
                    _ => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(120), wait).await.expect("the stars are looked at")
    }

    /// Starts the service and waits for its first look and for all that follows.
    pub async fn first_look(&mut self) -> Poll {
        let since = Utc::now();
        self.start().await;
        let poll = self.polled(since).await;
        self.drain().await;
        poll
    }

    /// Begins a look.
    pub async fn hasten(&self) -> chrono::DateTime<Utc> {
        let now = Utc::now();
        assert!(self.store().write(move |c| polls::hasten(c, FAN, now)).await.unwrap());
        now
    }

    /// A look, and all that follows is done.
    pub async fn look_at_stars(&self) -> Poll {
        let poll = self.polled(self.hasten().await).await;
        self.drain().await;
        poll
    }

    async fn status(&self, id: GithubId) -> Status {
        self.mirror(id).await.status
    }

    /// So many starred repositories, the first one starred first, which are not synced: OneDev is away.
    fn starred(&self, count: usize) -> Vec<GithubId> {
        let ids: Vec<_> = (0..count).map(|n| self.repository("octo", &format!("r{n}"))).collect();
        ids.iter().for_each(|id| drop(self.github().star(FAN, *id).unwrap()));
        ids
    }

    /// Asks the admin API about stars.
    async fn ask_admin(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let url = self.url(&format!("/api/v1/stars{path}"));
        let mut request = api::request(method.parse().unwrap(), &url).bearer_auth(ADMIN);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = api::call(request).await;
        (answer.status, answer.json())
    }

    fn looked_at(&self) -> Vec<String> {
        self.github().requests().iter().filter(|it| it.path.contains(LIST)).map(|it| it.line()).collect()
    }
}

on_both! {
async fn a_star_that_no_webhook_tells_of_is_mirrored(world: World) {
    let mut world = world.polling();
    let old = world.starred(2);
    let poll = world.first_look().await;
    for id in &old {
        world.assert_healthy(*id).await;
    }
    assert_eq!(poll.known.unwrap().total, 2);
    let mirror = world.mirror(old[0]).await.id;
    let since = world.store().read(move |c| stars::list(c, mirror)).await.unwrap()[0].1;
    assert_eq!(since.format("%Y").to_string(), "2024", "the star's own time is kept");

    // Nothing new costs one request.
    world.github().clear_requests();
    world.look_at_stars().await;
    assert_eq!(world.looked_at().len(), 1);

    let fresh = world.repository("octo", "fresh");
    world.github().star(FAN, fresh).unwrap();
    world.look_at_stars().await;
    world.assert_healthy(fresh).await;
    world.end().await;
}
}

on_both! {
async fn an_unstar_that_no_webhook_tells_of_archives_and_a_new_star_wakes(world: World) {
    let mut world = world.polling();
    let ids = world.starred(3);
    world.first_look().await;
    world.github().unstar(FAN, ids[1]).unwrap();
    world.look_at_stars().await;
    assert_eq!(world.status(ids[1]).await, Status::Archived);
    world.assert_healthy(ids[0]).await;
    world.github().star(FAN, ids[1]).unwrap();
    world.look_at_stars().await;
    world.assert_healthy(ids[1]).await;
    assert!(world.mirror(ids[1]).await.unstarred_at.is_none());
    // The history tells each step.
    let filter = audit::Filter { subject: Some("octo/r1".to_owned()), ..audit::Filter::default() };
    let window = Window { limit: 50, cursor: None };
    let told = world.store().read(move |c| audit::list(c, &filter, &window)).await.unwrap().items;
    let told: Vec<_> = told.iter().rev().map(|it| it.entry.action.as_str()).collect();
    assert_eq!(told, ["star", "unstar", "star"]);
    world.end().await;
}
}

on_both! {
async fn a_star_for_a_star_is_noticed_on_both_sides(world: World) {
    let mut world = world.polling();
    let ids = world.starred(3);
    world.first_look().await;
    // The count is the same afterwards.
    let other = world.repository("octo", "other");
    world.github().star(FAN, other).unwrap();
    world.github().unstar(FAN, ids[0]).unwrap();
    world.look_at_stars().await;
    world.assert_healthy(other).await;
    assert_eq!(world.status(ids[0]).await, Status::Archived);
    world.end().await;
}
}

on_both! {
async fn a_repository_that_vanished_is_in_no_list_and_is_not_let_go_for_that(world: World) {
    let mut world = world.polling();
    (world.config.stars.unstar, world.config.stars.delete_after) = (Unstar::Delete, Duration::ZERO);
    let ids = world.starred(4);
    world.first_look().await;
    let refs = world.managed(ids[1]).await;
    world.github().delete(ids[1]).unwrap();
    world.github().unstar(FAN, ids[2]).unwrap();
    world.look_at_stars().await;
    let (gone, error) = (world.mirror(ids[1]).await, "upstream_not_found");
    assert_eq!((gone.status, gone.error.unwrap().code.as_str()), (Status::Gone, error));
    assert_eq!(world.managed(ids[1]).await, refs);
    let id = ids[2];
    assert!(world.store().read(move |c| mirrors::by_github_id(c, id)).await.unwrap().is_none(), "that was taken back");
    // Later looks find it missing as well, and ask no more.
    world.github().unstar(FAN, ids[3]).unwrap();
    world.github().clear_requests();
    world.look_at_stars().await;
    assert_eq!(world.status(ids[1]).await, Status::Gone);
    assert!(world.github().requests().iter().all(|it| !it.path.ends_with(&format!("/repositories/{}", ids[1]))));
    world.github().clear_requests();
    world.look_at_stars().await;
    assert_eq!(world.looked_at().len(), 1, "the count is explained");
    world.assert_healthy(ids[0]).await;
    world.end().await;
}
}

#[actix::test]
async fn a_private_star_that_a_webhook_told_of_is_not_let_go_for_missing_in_somebody_elses_list() {
    let mut world = World::new(Backend::Sqlite).unwrap().polling();
    // A token that sees the repository, and is not the user's own.
    world.config.github.token = Some(world.github().token().to_owned().into());
    let ids = world.starred(2);
    world.first_look().await;
    let hidden = world.repository("octo", "hidden");
    world.github().set_private(hidden, true).unwrap();
    world.star(hidden).await;
    // The list does not show it.
    let unstarred = world.github().unstar(FAN, hidden).unwrap();
    world.github().unstar(FAN, ids[0]).unwrap();
    world.look_at_stars().await;
    assert_eq!(world.status(ids[0]).await, Status::Archived);
    world.assert_healthy(hidden).await;
    world.accepted(&unstarred).await;
    world.drain().await;
    assert_eq!(world.status(hidden).await, Status::Archived, "a webhook tells of that too");
    world.end().await;
}

#[actix::test]
async fn within_the_grace_period_a_star_that_is_seen_again_saves_the_project() {
    let mut world = World::new(Backend::Sqlite).unwrap().polling();
    world.config.stars.unstar = Unstar::Delete;
    let ids = world.starred(2);
    world.first_look().await;
    world.github().unstar(FAN, ids[0]).unwrap();
    world.look_at_stars().await;
    let job = world.waiting().await;
    assert_eq!(job.kind, JobKind::Remove);
    assert!((job.run_after - Utc::now()).num_days() >= 29);
    world.github().star(FAN, ids[0]).unwrap();
    world.look_at_stars().await;
    world.assert_healthy(ids[0]).await;
    world.end().await;
}

#[actix::test]
async fn an_unstar_may_mean_nothing_here_too() {
    let mut world = World::new(Backend::Sqlite).unwrap().polling();
    world.config.stars.unstar = Unstar::Ignore;
    let ids = world.starred(2);
    world.first_look().await;
    world.github().unstar(FAN, ids[0]).unwrap();
    world.look_at_stars().await;
    world.assert_healthy(ids[0]).await;
    world.github().clear_requests();
    world.look_at_stars().await;
    assert_eq!(world.looked_at().len(), 1, "the withdrawal is dealt with");
    world.end().await;
}

on_both! {
async fn a_scan_that_fails_half_way_removes_nothing(world: World) {
    let mut world = world.polling();
    world.github().set_largest_page(2);
    let ids = world.starred(8);
    world.first_look().await;
    world.github().unstar(FAN, ids[0]).unwrap();
    world.github().unstar(FAN, ids[7]).unwrap();
    // The third page never comes, whoever asks.
    world.github().fail(Trigger::next(On::Rest).path("/user/").nth(2).always(), Fault::answer(502, "oops"));
    let poll = world.look_at_stars().await;
    assert_eq!(poll.error.as_ref().map(|it| it.0.as_str()), Some("github_server_error"));
    for id in &ids {
        assert_eq!(world.status(*id).await, Status::Healthy);
    }
    world.github().clear_faults();
    let poll = world.look_at_stars().await;
    assert!(poll.error.is_none());
    assert_eq!(world.status(ids[0]).await, Status::Archived);
    assert_eq!(world.status(ids[7]).await, Status::Archived);
    assert_eq!(world.status(ids[1]).await, Status::Healthy);
    world.end().await;
}
}

on_both! {
async fn an_entry_that_slips_past_a_walk_is_not_let_go(world: World) {
    let mut world = world.polling();
    world.github().set_largest_page(2);
    let ids = world.starred(6);
    world.first_look().await;
    // A withdrawal asks for a walk; while its second page is asked for, one of the first page goes, and the
    // first of the second page slips past.
    world.github().unstar(FAN, ids[0]).unwrap();
    let gate = world.github().hold(Trigger::next(On::Rest).path("/user/"), Hold::Arrival);
    let since = world.hasten().await;
    gate.reached().await;
    world.github().unstar(FAN, ids[5]).unwrap();
    gate.release();
    let poll = world.polled(since).await;
    assert!(poll.wants_scan, "the list is read again");
    for id in &ids {
        assert_eq!(world.status(*id).await, Status::Healthy);
    }
    let poll = world.look_at_stars().await;
    assert!(!poll.wants_scan);
    for (n, id) in ids.iter().enumerate() {
        let expected = if [0, 5].contains(&n) { Status::Archived } else { Status::Healthy };
        assert_eq!(world.status(*id).await, expected, "r{n}");
    }
    world.end().await;
}
}

#[actix::test]
async fn a_star_that_comes_in_while_the_list_is_read_is_not_missed() {
    let mut world = World::new(Backend::Sqlite).unwrap().polling();
    world.github().set_largest_page(2);
    let ids = world.starred(5);
    let gate = world.github().hold(Trigger::next(On::Rest).path("/user/"), Hold::Arrival);
    let since = Utc::now();
    world.start().await;
    gate.reached().await;
    let fresh = world.repository("octo", "fresh");
    world.github().star(FAN, fresh).unwrap();
    gate.release();
    world.polled(since).await;
    let job = world.jobs().await.into_iter().find(|it| it.priority == Priority::FRESH).expect("it overtakes");
    assert_eq!(job.mirror, Some(world.mirror(fresh).await.id));
    world.drain().await;
    for id in ids.iter().chain([&fresh]) {
        world.assert_healthy(*id).await;
    }
    world.end().await;
}

on_both! {
async fn a_fresh_star_overtakes_an_import_that_github_slows_down(world: World) {
    let mut world = world.polling();
    world.config.stars.poll_interval = Some(Duration::from_secs(1));
    world.github().set_largest_page(2);
    world.starred(40);
    // So little is left that the pages of the import wait for minutes.
    world.github().set_rate_limit(1000, 100, Utc::now().timestamp() + 3600);
    world.start().await;
    while world.poll_row().await.is_none_or(|it| it.scan == 0) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let fresh = world.repository("octo", "fresh");
    world.github().star(FAN, fresh).unwrap();
    let found = async {
        while world.store().read(move |c| mirrors::by_github_id(c, fresh)).await.unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), found).await.expect("it is found");
    let imported = world.store().read(mirrors::counts_by_status).await.unwrap().values().sum::<u64>();
    assert!(imported < 41, "the import has not ended");
    let id = world.mirror(fresh).await.id;
    let is_sync = |it: &jobs::Job| it.mirror == Some(id) && it.kind == JobKind::Sync;
    let job = world.jobs().await.into_iter().find(is_sync).expect("it is queued");
    assert_eq!(job.priority, Priority::FRESH);
    world.stop().await;
}
}

on_both! {
async fn a_user_who_is_not_there_any_more_is_told_once_and_keeps_everything(world: World) {
    let mut world = world.polling();
    let ids = world.starred(2);
    world.first_look().await;
    let account = world.github().account(FAN);
    world.github().delete_account(account);
    let first = world.look_at_stars().await.error.unwrap();
    let again = world.look_at_stars().await;
    assert_eq!(first.0, "github_no_user");
    assert_eq!(again.error.unwrap().2, first.2, "since then");
    assert_eq!(again.failures, 2);
    for id in &ids {
        world.assert_healthy(*id).await;
    }
    world.end().await;
}
}

#[actix::test]
async fn a_credential_that_is_refused_lets_nothing_go() {
    let mut world = World::new(Backend::Sqlite).unwrap().polling();
    let token = world.github().token().to_owned();
    world.config.github.token = Some(token.clone().into());
    let ids = world.starred(2);
    world.first_look().await;
    world.github().unstar(FAN, ids[0]).unwrap();
    world.github().revoke_token(&token);
    assert_eq!(world.look_at_stars().await.error.unwrap().0, "github_unauthorized");
    world.github().fail(Trigger::next(On::Rest).path(LIST), Fault::answer(403, "{\"message\": \"no\"}"));
    world.github().add_token(&token);
    assert_eq!(world.look_at_stars().await.error.unwrap().0, "github_forbidden");
    assert_eq!(world.status(ids[0]).await, Status::Healthy);
    assert!(world.look_at_stars().await.error.is_none());
    assert_eq!(world.status(ids[0]).await, Status::Archived);
    world.end().await;
}

#[actix::test]
async fn a_watched_user_is_followed_under_another_login_and_nobody_else_takes_his_place() {
    let mut world = World::new(Backend::Sqlite).unwrap().polling();
    let ids = world.starred(3);
    world.first_look().await;
    let account = world.github().account(FAN);
    world.github().rename_account(account, "new-login").unwrap();
    // Somebody takes the old one, and stars something else.
    let strange = ["x", "y", "z", "w"].map(|it| world.repository("octo", it));
    strange.iter().for_each(|it| drop(world.github().star(FAN, *it).unwrap()));
    let fresh = world.repository("octo", "fresh");
    world.github().star("new-login", fresh).unwrap();
    let poll = world.look_at_stars().await;
    assert_eq!(poll.account.unwrap().1, "new-login");
    world.assert_healthy(fresh).await;
    for id in &ids {
        world.assert_healthy(*id).await;
    }
    for id in strange {
        assert!(world.store().read(move |c| mirrors::by_github_id(c, id)).await.unwrap().is_none());
    }
    world.end().await;
}

#[actix::test]
async fn a_mirror_that_an_admin_forgot_does_not_come_back_before_a_new_star() {
    let mut world = World::new(Backend::Sqlite).unwrap().polling();
    let ids = world.starred(2);
    world.first_look().await;
    let mirror = world.mirror(ids[0]).await.id;
    world.store().write(move |c| mirrors::delete(c, mirror)).await.unwrap();
    // A withdrawal makes it read the whole list.
    world.github().unstar(FAN, ids[1]).unwrap();
    world.look_at_stars().await;
    let id = ids[0];
    assert!(world.store().read(move |c| mirrors::by_github_id(c, id)).await.unwrap().is_none());
    world.github().star(FAN, id).unwrap();
    world.look_at_stars().await;
    assert!(world.store().read(move |c| mirrors::by_github_id(c, id)).await.unwrap().is_some());
    world.end().await;
}

on_both! {
async fn a_pause_that_github_asks_for_survives_a_restart(world: World) {
    let mut world = world.polling();
    world.starred(1);
    world.first_look().await;
    world.github().fail(Trigger::next(On::Rest), Fault::too_many_requests(600));
    assert_eq!(world.look_at_stars().await.error.unwrap().0, "github_rate_limited");
    world.stop().await;
    world.github().clear_requests();
    world.start().await;
    let poll = world.look_at_stars().await;
    assert_eq!(poll.error.unwrap().0, "github_rate_limited");
    assert!((poll.next_at - Utc::now()).num_seconds() > 500);
    assert_eq!(world.github().requests(), [], "nothing was sent");
    world.forgive().await;
    assert!(world.look_at_stars().await.error.is_none());
    world.end().await;
}
}

#[actix::test]
async fn several_processes_look_once() {
    let Some(world) = World::new(Backend::Postgres) else { return };
    let mut world = world.polling();
    world.attach().await;
    let ids = world.starred(3);
    let since = Utc::now();
    let processes = [world.process(), world.process()];
    world.polled(since).await;
    world.drain().await;
    for id in &ids {
        world.assert_healthy(*id).await;
    }
    // The look at the top, the list, and the look at the top again.
    assert_eq!(world.looked_at().len(), 3, "{:#?}", world.looked_at());
    let syncs = world.jobs().await.into_iter().filter(|it| it.kind == JobKind::Sync && it.state == JobState::Done);
    assert_eq!(syncs.count(), 3);
    for process in processes {
        assert!(process.terminate().success());
    }
}

on_both! {
async fn a_service_that_ends_in_the_middle_of_a_list_reads_it_again(world: World) {
    let mut world = world.polling();
    world.github().set_largest_page(2);
    let ids = world.starred(5);
    let gate = world.github().hold(Trigger::next(On::Rest).path("/user/"), Hold::Arrival);
    let since = Utc::now();
    world.start().await;
    gate.reached().await;
    world.stop().await;
    gate.release();
    world.start().await;
    world.polled(since).await;
    world.drain().await;
    for id in &ids {
        world.assert_healthy(*id).await;
    }
    world.end().await;
}
}

on_both! {
async fn many_stars_that_are_gone_at_once_wait_for_an_admin(world: World) {
    let mut world = world.polling();
    let ids = world.starred(8);
    world.first_look().await;
    ids.iter().take(6).for_each(|id| drop(world.github().unstar(FAN, *id).unwrap()));
    let poll = world.look_at_stars().await;
    assert_eq!(poll.held.unwrap().0, 6);
    assert!(poll.error.is_none());
    for id in &ids {
        assert_eq!(world.status(*id).await, Status::Healthy);
    }
    // A fresh star is seen all the same, and the list is not read over and over again.
    let fresh = world.repository("octo", "fresh");
    world.github().star(FAN, fresh).unwrap();
    world.github().clear_requests();
    assert_eq!(world.look_at_stars().await.held, poll.held);
    world.assert_healthy(fresh).await;
    assert_eq!(world.looked_at().len(), 2, "{:#?}", world.looked_at());

    let (status, shown) = world.ask_admin("POST", "/stargazer", Some(json!({"allow_mass_gone": true}))).await;
    assert_eq!((status, shown["held"]["stars"].as_u64()), (202, Some(6)));
    let since = Utc::now();
    let poll = world.polled(since).await;
    world.drain().await;
    assert!(poll.held.is_none() && !poll.allows_mass_gone);
    for (n, id) in ids.iter().enumerate() {
        assert_eq!(world.status(*id).await, if n < 6 { Status::Archived } else { Status::Healthy });
    }
    let (_, list) = world.ask_admin("GET", "", None).await;
    assert_eq!(list["items"][0]["stars"], 3);
    assert_eq!(list["items"][0]["login"], "stargazer");
    assert_eq!(world.ask_admin("POST", "/nobody", None).await.0, 404);
    world.end().await;
}
}

#[actix::test]
async fn a_list_of_12_000_stars_is_taken_over_page_by_page() {
    let mut world = World::new(Backend::Sqlite).unwrap().polling();
    // One job holds the only worker, so that nothing but the list is worked on.
    world.config.sync.workers = 1;
    world.github().star_many(FAN, "octo", 12_000);
    world.config.server.shutdown_timeout = Duration::from_millis(300);
    let held = world.github().hold(Trigger::next(On::Rest).path("/repositories/"), Hold::Arrival);
    world.github().set_rate_limit(5_000, 5_000, Utc::now().timestamp() + 3600);
    let since = Utc::now();
    world.start().await;
    let poll = world.polled(since).await;
    assert_eq!(poll.known.unwrap().total, 12_000);
    assert_eq!(world.looked_at().len(), 122, "the top, 120 pages, and the top again");
    let counts = world.store().read(mirrors::counts_by_status).await.unwrap();
    assert_eq!(counts.values().sum::<u64>(), 12_000);
    let queued = world.jobs().await;
    assert!(queued.iter().all(|it| it.priority == Priority::IMPORTED));
    // The newest star comes first.
    let (filter, window) =
        (jobs::Filter { state: Some(JobState::Running), ..jobs::Filter::default() }, Window::default());
    let running = world.store().read(move |c| jobs::list(c, &filter, &window)).await.unwrap().items;
    let mirror = running.first().and_then(|it| it.mirror).expect("one is worked on");
    let first = world.store().read(move |c| mirrors::find(c, mirror)).await.unwrap().unwrap();
    assert!(first.name.name().starts_with("star-119"), "{}", first.name);
    world.github().clear_requests();
    world.polled(world.hasten().await).await;
    assert_eq!(world.looked_at().len(), 1);
    world.stop().await;
    drop(held);
}

on_both! {
async fn what_is_known_of_a_list_outlives_a_restart_and_so_do_the_times_of_its_stars(world: World) {
    let mut world = world.polling();
    // Within ten minutes an unchanged answer is believed.
    world.config.stars.poll_interval = Some(Duration::from_secs(300));
    let ids = world.starred(3);
    let before = world.first_look().await;
    let (etag, account) = (before.etag.clone().unwrap(), before.account.clone().unwrap().0);
    let url = format!("{}/users/{FAN}/starred?sort=created&direction=desc", world.github().api_url());
    let request = api::request(reqwest::Method::GET, &url).header("Accept", "application/vnd.github.star+json");
    let told = request.header("User-Agent", "a-test").send().await.unwrap().text().await.unwrap();
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told.as_array().unwrap().len(), 3, "{told}");
    for (entry, id) in told.as_array().unwrap().iter().zip(ids.iter().rev()) {
        assert_eq!(entry["repo"]["id"], id.0);
        let id = *id;
        let at = world.store().read(move |c| starred::since(c, account, id)).await.unwrap().unwrap();
        assert_eq!(at, entry["starred_at"].as_str().unwrap().parse::<chrono::DateTime<Utc>>().unwrap());
    }
    world.stop().await;
    world.github().clear_requests();
    world.start().await;
    let after = world.look_at_stars().await;
    let requests = world.github().requests();
    assert_eq!(requests.len(), 1, "{requests:#?}");
    assert!(requests[0].conditional && requests[0].query.contains("per_page=1"), "{requests:#?}");
    assert_eq!((after.etag.as_ref(), after.known), (Some(&etag), before.known));
    world.end().await;
}
}

#[actix::test]
async fn once_a_day_the_whole_list_is_read_though_nothing_seems_to_have_changed() {
    let Some(world) = World::new(Backend::Postgres) else { return };
    let mut world = world.polling();
    world.github().set_largest_page(2);
    world.starred(5);
    world.first_look().await;
    // A page of the walk, as the top is looked at with one entry.
    let page = |it: &RequestRecord| {
        it.path.ends_with(LIST) && !it.query.contains("per_page=1&") && !it.query.ends_with("per_page=1")
    };
    let pages = |world: &World| world.github().requests().iter().filter(|it| page(it)).count();
    let first = pages(&world);
    assert!(first >= 3, "{:#?}", world.github().requests());
    world.look_at_stars().await;
    assert_eq!(pages(&world), first, "nothing changed");
    world.run_sql("UPDATE star_polls SET scanned_at = '2020-01-01T00:00:00.000000Z'");
    let poll = world.look_at_stars().await;
    assert!(pages(&world) >= first + 3, "all pages once more: {} after {first}", pages(&world));
    assert!(poll.scanned_at.unwrap() > Utc::now() - chrono::TimeDelta::hours(1));
    let all = pages(&world);
    world.look_at_stars().await;
    assert_eq!(pages(&world), all);
    world.end().await;
}
