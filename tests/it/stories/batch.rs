//! Many repositories at once: every star of a user, or a list of names.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use starkeep::domain::ids::GithubId;
use starkeep::domain::job::{JobKind, JobState, Priority};
use starkeep::domain::mirror::{Source, Status};
use starkeep::simulator::{Fault, Hold, On, Trigger};
use starkeep::store::jobs::Job;
use starkeep::store::mirrors;

use super::commands::{json as parsed, run};
use crate::api;
use crate::world::{ADMIN, Backend, World, on_both};

const SOMEBODY: &str = "somebody";

impl World {
    async fn batch(&self, body: Value, key: Option<&str>) -> (u16, Value) {
        batch_at(&self.url(""), body, key).await
    }

    /// Waits until a batch is read.
    async fn read_batch(&self, id: &Value) -> Value {
        read_batch_at(&self.url(""), id).await
    }

    /// Somebody's stars, each with git behind it.
    fn somebodys_stars(&self, count: usize) -> Vec<GithubId> {
        let ids: Vec<_> = (0..count).map(|n| self.repository("octo", &format!("r{n}"))).collect();
        ids.iter().for_each(|id| drop(self.github().star(SOMEBODY, *id).unwrap()));
        ids
    }

    /// Of any state; other work follows them.
    async fn queued_syncs(&self) -> Vec<Job> {
        self.jobs().await.into_iter().filter(|it| it.kind == JobKind::Sync).collect()
    }

    async fn mirrors_in_all(&self) -> u64 {
        self.store().read(mirrors::counts_by_status).await.unwrap().values().sum()
    }
}

async fn batch_at(server: &str, body: Value, key: Option<&str>) -> (u16, Value) {
    let url = format!("{server}/api/v1/batches");
    let mut request = api::request(Method::POST, &url).bearer_auth(ADMIN).json(&body);
    if let Some(key) = key {
        request = request.header("Idempotency-Key", key);
    }
    let answer = api::call(request).await;
    (answer.status, answer.json())
}

async fn read_batch_at(server: &str, id: &Value) -> Value {
    let url = format!("{server}/api/v1/batches/{}", id.as_str().unwrap());
    let wait = async {
        loop {
            let batch = api::call(api::request(Method::GET, &url).bearer_auth(ADMIN)).await.json();
            if batch["state"] != "reading" {
                return batch;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), wait).await.expect("the batch is read")
}

on_both! {
async fn a_plan_of_250_stars_is_right_and_changes_nothing(world: World) {
    let mut world = world;
    world.config.sync.max_bytes = Some(3 << 20);
    world.config.policy.max_total_bytes = Some(1 << 20);
    world.github().star_many(SOMEBODY, "octo", 245);
    let others = ["known", "before", "taken", "huge", "large"].map(|name| world.repository("octo", name));
    let [known, before, _, huge, large] = others;
    for id in [known, before] {
        world.star(id).await;
    }
    world.github().set_size(known, 24).unwrap();
    world.sync(known).await;
    world.github().rename(before, "after").unwrap();
    world.onedev().create_project("github/octo/taken").unwrap();
    world.github().set_size(huge, 3073).unwrap();
    world.github().set_size(large, 1024).unwrap();
    others.iter().for_each(|id| drop(world.github().star(SOMEBODY, *id).unwrap()));
    let jobs = world.jobs().await.len();
    let (code, asked) = world.batch(json!({ "starred_by": SOMEBODY, "dry_run": true }), None).await;
    assert_eq!(code, 202, "{asked}");
    let plan = world.read_batch(&asked["id"]).await;
    assert_eq!((&plan["state"], &plan["total"]), (&json!("planned"), &json!(250)), "{plan}");
    let counts = ["new", "existing", "renamed", "conflicts"].map(|it| plan["plan"][it].as_u64().unwrap());
    assert_eq!(counts, [247, 2, 1, 1], "{plan}");
    let sizes = ["too_large", "bytes", "bytes_beyond"].map(|it| plan["plan"][it].as_u64().unwrap());
    assert_eq!(sizes, [1, 1 << 20, 24 << 10], "{plan}");
    assert_eq!((&plan["plan"]["api_calls"], &plan["done"], &plan["queued"]), (&json!(3 + 248), &json!(0), &json!(0)));
    assert_eq!(plan["plan"]["seconds"], 251 * 3600 / 5000, "at the simulator's allowance: {plan}");
    assert_eq!((world.mirrors_in_all().await, world.jobs().await.len()), (2, jobs), "nothing is changed");
    world.end().await;
}
}

on_both! {
async fn a_batch_that_fails_half_way_goes_on_without_doubles(world: World) {
    let mut world = world;
    world.github().set_largest_page(2);
    let ids = world.somebodys_stars(5);
    world.start().await;
    world.github().fail(Trigger::next(On::Rest).path("/user/").nth(2).times(4), Fault::answer(502, "oops"));
    let (code, asked) = world.batch(json!({ "starred_by": SOMEBODY }), Some("a-key")).await;
    assert_eq!(code, 202, "{asked}");
    let batch = world.read_batch(&asked["id"]).await;
    assert_eq!(batch["total"], 5, "{batch}");
    world.drain().await;
    for id in &ids {
        world.assert_healthy(*id).await;
        assert_eq!(world.mirror(*id).await.source, Source::Batch);
    }
    let jobs = world.queued_syncs().await;
    assert_eq!(jobs.len(), 5);
    assert!(jobs.iter().all(|it| it.priority == Priority::IMPORTED && it.state == JobState::Done));

    // The same key again is the same batch; for another one it is refused.
    let (code, again) = world.batch(json!({ "starred_by": SOMEBODY }), Some("a-key")).await;
    assert_eq!((code, &again["id"], &again["done"]), (202, &asked["id"], &json!(5)), "{again}");
    let (code, problem) = world.batch(json!({ "starred_by": SOMEBODY, "dry_run": true }), Some("a-key")).await;
    assert_eq!((code, &problem["type"]), (422, &json!("urn:starkeep:problem:idempotency_key_reused")));
    world.end().await;
}
}

on_both! {
async fn a_process_that_is_killed_in_the_middle_of_a_list_is_followed_by_one_that_goes_on(world: World) {
    let mut world = world;
    world.config.sync.lease = Duration::from_secs(1);
    world.github().set_largest_page(2);
    world.attach().await;
    let ids = world.somebodys_stars(5);
    // Links to further pages have the account's number, the first page has its name.
    let gate = world.github().hold(Trigger::next(On::Rest).path("/user/"), Hold::Arrival);
    let wish = json!({ "starred_by": SOMEBODY });
    let process = world.process();
    let (code, asked) = batch_at(&process.address, wish.clone(), Some("a-key")).await;
    assert_eq!(code, 202, "{asked}");
    gate.reached().await;
    process.kill();
    drop(gate);
    world.github().clear_faults();
    world.github().clear_requests();

    let process = world.process();
    let (_, again) = batch_at(&process.address, wish, Some("a-key")).await;
    assert_eq!(again["id"], asked["id"]);
    let batch = read_batch_at(&process.address, &asked["id"]).await;
    assert_eq!((&batch["listed"], &batch["total"]), (&json!(5), &json!(5)), "{batch}");
    world.drain().await;
    for id in &ids {
        world.assert_healthy(*id).await;
    }
    assert_eq!((world.mirrors_in_all().await, world.queued_syncs().await.len()), (5, 5));
    let lines: Vec<String> = world.github().requests().iter().map(|it| it.line()).collect();
    let first = |line: &&String| line.contains("/starred") && line.contains("per_page=100") && !line.contains("&page=");
    assert_eq!(lines.iter().filter(first).count(), 0, "the first page was read already: {lines:#?}");
    assert!(process.terminate().success());
}
}

on_both! {
async fn by_star_and_by_batch_it_is_one_mirror(world: World) {
    let mut world = world;
    let [starred, listed] = ["starred", "listed"].map(|name| world.repository("octo", name));
    let before = world.star(starred).await;
    world.github().star(SOMEBODY, starred).unwrap();
    for wish in [json!({ "starred_by": SOMEBODY }), json!({ "repositories": ["octo/starred", "octo/listed"] })] {
        let (code, asked) = world.batch(wish, None).await;
        assert_eq!(code, 202, "{asked}");
        world.read_batch(&asked["id"]).await;
    }
    world.drain().await;
    let by_batch = world.mirror(listed).await;
    world.star(listed).await;
    let after = world.mirror(starred).await;
    assert_eq!((after.id, after.source), (before.id, before.source));
    assert_eq!(world.mirror(listed).await.id, by_batch.id);
    assert_eq!(world.mirrors_in_all().await, 2);
    for id in [starred, listed] {
        world.assert_healthy(id).await;
    }
    world.end().await;
}
}

on_both! {
async fn what_has_no_room_waits_for_the_next_batch(world: World) {
    let mut world = world;
    world.config.sync.workers = 1;
    world.config.policy.max_total_bytes = Some(1 << 20);
    let ids = world.somebodys_stars(3);
    ids.iter().for_each(|id| world.github().set_size(*id, 400).unwrap());
    world.start().await;
    let wish = json!({ "starred_by": SOMEBODY });
    let (_, first) = world.batch(wish.clone(), None).await;
    world.read_batch(&first["id"]).await;
    world.drain().await;
    let batch = world.read_batch(&first["id"]).await;
    assert_eq!((&batch["state"], &batch["done"], &batch["failed"]), (&json!("done"), &json!(2), &json!(1)), "{batch}");
    assert_eq!(batch["plan"]["bytes_beyond"], 176 << 10, "what it brought itself does not stand in its way twice");
    let mut paused = Vec::new();
    for id in &ids {
        let mirror = world.mirror(*id).await;
        if mirror.status == Status::Paused {
            paused.push(mirror.error.unwrap().code);
        }
    }
    assert_eq!(paused, ["total_too_large"]);
    assert_eq!(world.onedev().projects().iter().filter(|it| it.path.starts_with("github/octo/")).count(), 2);

    // What is kept goes on, however large it becomes; with more room the same batch brings the rest.
    world.github().set_size(ids[2], 900).unwrap();
    world.stop().await;
    world.config.policy.max_total_bytes = Some(2 << 20);
    world.start().await;
    let (_, second) = world.batch(wish, None).await;
    assert_ne!(second["id"], first["id"]);
    world.read_batch(&second["id"]).await;
    world.drain().await;
    for id in &ids {
        world.assert_healthy(*id).await;
    }
    world.end().await;
}
}

on_both! {
async fn one_key_at_once_is_one_batch(world: World) {
    let mut world = world;
    world.repository("octo", "hello");
    world.start().await;
    let ask = || world.batch(json!({ "repositories": ["octo/hello"] }), Some("a-key"));
    let (a, b, c, d) = tokio::join!(ask(), ask(), ask(), ask());
    for (code, asked) in [&a, &b, &c, &d] {
        assert_eq!((*code, &asked["id"]), (202, &a.1["id"]), "{asked}");
    }
    world.read_batch(&a.1["id"]).await;
    world.drain().await;
    assert_eq!(world.queued_syncs().await.len(), 1);
    world.end().await;
}
}

on_both! {
async fn a_name_that_fails_is_asked_for_again_and_it_alone(world: World) {
    let mut world = world;
    let names: Vec<_> = (0..25).map(|n| format!("r-{n}-")).collect();
    let ids: Vec<_> = names.iter().map(|name| world.repository("octo", name)).collect();
    world.github().fail(Trigger::next(On::Rest).path("/repos/octo/r-4-").times(3), Fault::answer(500, "oops"));
    world.start().await;
    let all: Vec<String> = names.iter().map(|name| format!("octo/{name}")).collect();
    let (_, asked) = world.batch(json!({ "repositories": all }), None).await;
    let batch = world.read_batch(&asked["id"]).await;
    assert_eq!((&batch["listed"], &batch["error"]), (&json!(25), &Value::Null), "{batch}");
    world.drain().await;
    for (name, id) in names.iter().zip(ids) {
        world.assert_healthy(id).await;
        let path = format!("/repos/octo/{name}");
        let asked = world.github().requests().iter().filter(|it| it.path.ends_with(&path)).count();
        assert_eq!(asked, if name == "r-4-" { 4 } else { 1 }, "{name}");
    }
    world.end().await;
}
}

on_both! {
async fn names_become_mirrors_and_a_stranger_is_told(world: World) {
    let mut world = world;
    let id = world.repository("octo", "hello");
    world.start().await;
    let (code, problem) = world.batch(json!({ "starred_by": "nobody" }), None).await;
    assert_eq!((code, &problem["type"]), (404, &json!("urn:starkeep:problem:github_no_user")));
    assert_eq!(world.batch(json!({}), None).await.0, 400);
    let (_, asked) = world.batch(json!({ "repositories": ["octo/hello", "octo/lost"] }), None).await;
    world.read_batch(&asked["id"]).await;
    world.drain().await;
    world.assert_healthy(id).await;
    let batch = world.read_batch(&asked["id"]).await;
    assert_eq!((&batch["done"], &batch["failed"], &batch["missing"]), (&json!(1), &json!(1), &json!(["octo/lost"])));
    world.end().await;
}
}

#[actix::test]
async fn the_command_queues_every_star_without_a_server() {
    let mut world = World::new(Backend::Sqlite).unwrap();
    world.github().star_many(SOMEBODY, "octo", 120);
    let (code, out, err) = run(&world, &["batch", "--starred-by", SOMEBODY, "--json"]);
    assert_eq!(code, Some(0), "{out}{err}");
    let batch = parsed(&out);
    assert_eq!((&batch["state"], &batch["queued"]), (&json!("queued"), &json!(120)), "{batch}");
    world.attach().await;
    assert_eq!(world.mirrors_in_all().await, 120);
    let (code, _, err) = run(&world, &["batch", "--starred-by", "nobody"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("nobody"), "{err}");
}

#[actix::test]
async fn after_a_failure_for_good_the_same_command_goes_on() {
    let world = World::new(Backend::Sqlite).unwrap();
    world.github().star_many(SOMEBODY, "octo", 120);
    world.github().fail(Trigger::next(On::Rest).path("/user/"), Fault::answer(404, "{}"));
    let (code, out, err) = run(&world, &["batch", "--starred-by", SOMEBODY, "--json"]);
    assert_eq!(code, Some(1), "{out}{err}");
    let failed = parsed(&out);
    assert_eq!((&failed["state"], &failed["listed"]), (&json!("failed"), &json!(100)), "{failed}");
    let (code, out, err) = run(&world, &["batch", "--starred-by", SOMEBODY, "--json"]);
    assert_eq!(code, Some(0), "{out}{err}");
    let batch = parsed(&out);
    assert_eq!((&batch["id"], &batch["queued"]), (&failed["id"], &json!(120)), "{batch}");
    assert!(batch["error"].is_null(), "{batch}");
}
