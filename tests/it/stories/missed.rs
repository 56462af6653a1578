//! Deliveries that never came in are fetched back: in order, once, and from where the look was left.

use std::time::Duration;

use chrono::{DateTime, Utc};
use starkeep::domain::ids::GithubId;
use starkeep::domain::mirror::Status;
use starkeep::domain::stars::Star;
use starkeep::simulator::{Delivery, Fault, Hold, On, SimulatorOptions, Trigger};
use starkeep::store::page::Window;
use starkeep::store::{deliveries, mirrors, recoveries, starred};

use crate::world::{Backend, FAN, World, on_both};

const APP: fn() -> i64 = || SimulatorOptions::default().app_id;
/// GitHub's list of what it delivered.
const LIST: &str = "/app/hook/deliveries";

impl World {
    /// GitHub could not deliver this.
    fn not_delivered(&self, delivery: &Delivery) {
        self.github().attempted(delivery, 502);
    }

    /// Waits for the end of a look that began after `since`.
    async fn recovered(&self, since: DateTime<Utc>) -> Option<String> {
        let ended = async {
            loop {
                let (at, error) = self.store().read(|c| recoveries::ended(c, APP())).await.unwrap();
                if let Some((code, _)) = error {
                    return Some(code);
                }
                if at.is_some_and(|it| it > since) {
                    return None;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let error = tokio::time::timeout(Duration::from_secs(60), ended).await.expect("it ends");
        self.drain().await;
        error
    }

    async fn recover(&self) -> Option<String> {
        let now = Utc::now();
        self.store().write(move |c| recoveries::hasten(c, APP(), now)).await.unwrap();
        // What was wrong before is written over at the end of the look.
        let busy = async {
            while !self.store().read(|c| recoveries::is_due(c, APP(), Utc::now())).await.is_ok_and(|due| !due) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            while self.store().read(move |c| recoveries::is_under_way(c, APP())).await.unwrap() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), busy).await.expect("it begins and ends");
        self.drain().await;
        self.store().read(|c| recoveries::ended(c, APP())).await.unwrap().1.map(|it| it.0)
    }

    /// Requests for the list, and for single deliveries.
    fn looks(&self) -> (usize, usize) {
        let all = self.github().requests();
        let lists = all.iter().filter(|it| it.path == LIST).count();
        (lists, all.iter().filter(|it| it.path.starts_with(LIST)).count() - lists)
    }

    fn hub(self) -> Self {
        let world = self.with_app();
        world.github().install("octo").unwrap();
        world
    }

    async fn there(&self, id: GithubId) -> bool {
        self.store().read(move |c| mirrors::by_github_id(c, id)).await.unwrap().is_some()
    }
}

on_both! {
async fn what_was_missed_is_processed_in_order_and_once(world: World) {
    let mut world = world.hub();
    let (kept, let_go) = (world.repository("octo", "kept"), world.repository("octo", "let-go"));
    let unknown = world.repository("octo", "unknown");
    let star = world.github().star(FAN, let_go).unwrap();
    world.not_delivered(&star);
    world.not_delivered(&world.github().unstar(FAN, let_go).unwrap());
    world.not_delivered(&world.github().star(FAN, kept).unwrap());
    world.not_delivered(&world.github().push(unknown, "refs/heads/main", None, None).unwrap());
    world.not_delivered(&world.github().repository_event(kept, "created", serde_json::Value::Null).unwrap());
    world.not_delivered(&world.github().delivery("fork", "octo", Some(kept), serde_json::Value::Null).unwrap());
    let since = Utc::now();
    world.start().await;
    assert_eq!(world.recovered(since).await, None);
    world.assert_healthy(kept).await;
    assert_eq!(world.mirror(let_go).await.status, Status::Archived, "the star came before it was taken back");
    assert!(!world.there(unknown).await);
    assert_eq!(world.looks(), (1, 3), "only what may ask for something is fetched");
    let rows = world.store().read(|c| deliveries::list(c, &deliveries::Filter::default(), &Window::default())).await;
    assert_eq!(rows.unwrap().items.len(), 3);

    // Again, and by GitHub itself: nothing happens twice.
    let overview = world.overview().await;
    assert_eq!(world.recover().await, None);
    assert_eq!(world.looks(), (2, 3));
    assert_eq!(world.accepted(&star).await, "duplicate");
    world.drain().await;
    assert_eq!(world.overview().await, overview);
    world.end().await;
}
}

on_both! {
async fn what_was_overtaken_by_what_is_known_by_now_changes_nothing(world: World) {
    let mut world = world.hub();
    let since = Utc::now();
    world.start().await;
    world.recovered(since).await;
    let (let_go, again) = (world.repository("octo", "let-go"), world.repository("octo", "again"));
    // The star was seen otherwise, and taken back since.
    let missed = world.github().star(FAN, let_go).unwrap();
    world.github().attempted_at(&missed, 502, Utc::now() - chrono::TimeDelta::hours(2));
    world.star(let_go).await;
    world.accepted(&world.github().unstar(FAN, let_go).unwrap()).await;
    // The star was taken back unheard, and put again.
    world.star(again).await;
    let missed = world.github().unstar(FAN, again).unwrap();
    world.github().attempted_at(&missed, 502, Utc::now() - chrono::TimeDelta::hours(1));
    let (account, star) = (world.github().account(FAN), Star { repository: again, at: Utc::now() });
    world.store().write(move |c| starred::note(c, account, star, 0, Utc::now())).await.unwrap();
    assert_eq!(world.recover().await, None);
    assert_eq!(world.mirror(let_go).await.status, Status::Archived);
    world.assert_healthy(again).await;
    world.end().await;
}
}

on_both! {
async fn what_came_in_is_not_fetched_and_what_failed_runs_again(world: World) {
    let mut world = world.hub();
    world.config.retry.max_attempts = 1;
    let since = Utc::now();
    world.start().await;
    world.recovered(since).await;
    let (fine, ill) = (world.repository("octo", "fine"), world.repository("octo", "ill"));
    let star = world.github().star(FAN, fine).unwrap();
    world.accepted(&star).await;
    world.github().attempted(&star, 202);
    world.drain().await;
    world.github().fail(Trigger::next(On::FETCH).body("command=fetch").always(), Fault::GarbagePack);
    let star = world.github().star(FAN, ill).unwrap();
    world.accepted(&star).await;
    world.github().attempted(&star, 202);
    world.drain().await;
    assert_eq!(world.mirror(ill).await.status, Status::Error);
    world.github().clear_faults();
    world.github().clear_requests();
    assert_eq!(world.recover().await, None);
    assert_eq!(world.looks(), (1, 1));
    world.assert_healthy(ill).await;
    world.end().await;
}
}

on_both! {
async fn a_look_that_breaks_off_goes_on_at_its_page(world: World) {
    let mut world = world.hub();
    world.github().set_delivery_page(2);
    let ids: Vec<_> = (0..7).map(|n| world.repository("octo", &format!("r{n}"))).collect();
    ids.iter().for_each(|id| world.not_delivered(&world.github().star(FAN, *id).unwrap()));
    world.github().fail(Trigger::next(On::Rest).path(LIST).nth(3), Fault::answer(502, "oops"));
    let since = Utc::now();
    world.start().await;
    assert_eq!(world.recovered(since).await.as_deref(), Some("github_server_error"));
    assert_eq!(world.looks(), (3, 0));
    world.github().clear_requests();
    assert_eq!(world.recover().await, None);
    assert_eq!(world.looks(), (2, 7), "two pages were left");
    for id in &ids {
        world.assert_healthy(*id).await;
    }
    world.end().await;
}
}

#[actix::test]
async fn a_place_in_the_list_that_github_has_forgotten_is_looked_for_from_the_top() {
    let mut world = World::new(Backend::Sqlite).unwrap().hub();
    world.github().set_delivery_page(2);
    let ids: Vec<_> = (0..5).map(|n| world.repository("octo", &format!("r{n}"))).collect();
    ids.iter().for_each(|id| world.not_delivered(&world.github().star(FAN, *id).unwrap()));
    let refused = Fault::answer(422, "{\"message\": \"Invalid cursor\"}");
    world.github().fail(Trigger::next(On::Rest).path(LIST).nth(2), refused);
    let since = Utc::now();
    world.start().await;
    assert_eq!(world.recovered(since).await, None);
    assert_eq!(world.looks(), (2 + 3, 5));
    world.end().await;
}

on_both! {
async fn a_service_that_ends_in_the_middle_of_it_goes_on_at_its_next_start(world: World) {
    let mut world = world.hub();
    let ids: Vec<_> = (0..4).map(|n| world.repository("octo", &format!("r{n}"))).collect();
    ids.iter().for_each(|id| world.not_delivered(&world.github().star(FAN, *id).unwrap()));
    let gate = world.github().hold(Trigger::next(On::Rest).path("/app/hook/deliveries/").nth(3), Hold::Arrival);
    world.start().await;
    gate.reached().await;
    world.stop().await;
    gate.release();
    let since = Utc::now();
    world.github().clear_requests();
    world.start().await;
    assert_eq!(world.recovered(since).await, None);
    assert_eq!(world.looks().1, 2, "what was processed is not fetched again");
    for id in &ids {
        world.assert_healthy(*id).await;
    }
    world.end().await;
}
}

#[actix::test]
async fn what_github_has_forgotten_or_cannot_be_read_is_left_out() {
    let mut world = World::new(Backend::Sqlite).unwrap().hub();
    let (old, fine) = (world.repository("octo", "old"), world.repository("octo", "fine"));
    let long_ago = Utc::now() - chrono::TimeDelta::days(4);
    world.github().attempted_at(&world.github().star(FAN, old).unwrap(), 502, long_ago);
    let odd = world.github().delivery("star", FAN, None, serde_json::json!({"action": "created"})).unwrap();
    world.not_delivered(&odd);
    world.not_delivered(&world.github().star(FAN, fine).unwrap());
    let since = Utc::now();
    world.start().await;
    assert_eq!(world.recovered(since).await, None);
    assert!(!world.there(old).await);
    world.assert_healthy(fine).await;
    world.end().await;
}

#[actix::test]
async fn without_an_app_or_when_it_is_off_nobody_looks() {
    for app in [false, true] {
        let mut world = World::new(Backend::Sqlite).unwrap();
        if app {
            world = world.hub();
            world.config.github.recover_interval = None;
        }
        let id = world.repository("octo", "hello");
        world.star(id).await;
        assert_eq!(world.looks(), (0, 0));
        world.end().await;
    }
}

#[actix::test]
async fn several_processes_fetch_each_delivery_once() {
    let Some(world) = World::new(Backend::Postgres) else { return };
    let mut world = world.hub();
    world.attach().await;
    let ids: Vec<_> = (0..6).map(|n| world.repository("octo", &format!("r{n}"))).collect();
    ids.iter().for_each(|id| world.not_delivered(&world.github().star(FAN, *id).unwrap()));
    let since = Utc::now();
    let processes = [world.process(), world.process()];
    assert_eq!(world.recovered(since).await, None);
    for id in &ids {
        world.assert_healthy(*id).await;
    }
    assert_eq!(world.looks(), (1, 6));
    for process in processes {
        assert!(process.terminate().success());
    }
}
