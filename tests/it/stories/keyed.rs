//! Calls under an `Idempotency-Key`, through the whole service.

use reqwest::Method;
use serde_json::json;
use starkeep::simulator::{Hold, On, Trigger};

use crate::api::{self, Answer};
use crate::world::{ADMIN, World, on_both};

impl World {
    async fn add_keyed(&self, name: &str, key: &str) -> Answer {
        let request = api::request(Method::POST, &self.url("/api/v1/mirrors")).bearer_auth(ADMIN);
        api::call(request.header("Idempotency-Key", key).json(&json!({ "repository": name }))).await
    }
}

on_both! {
async fn a_call_under_way_is_not_run_twice_and_its_answer_outlives_the_process(world: World) {
    let mut world = world;
    world.repository("octo", "hello");
    world.start().await;
    let gate = world.github().hold(Trigger::next(On::Rest).path("/repos/octo/hello"), Hold::Arrival);
    let meanwhile = async {
        gate.reached().await;
        let told = world.add_keyed("octo/hello", "a-key").await;
        assert_eq!((told.status, told.header("retry-after")), (409, Some("1")), "{}", told.text);
        assert_eq!(told.json()["type"], "urn:starkeep:problem:idempotency_under_way");
        drop(gate);
    };
    let (first, ()) = tokio::join!(world.add_keyed("octo/hello", "a-key"), meanwhile);
    assert_eq!(first.status, 201, "{}", first.text);
    world.drain().await;
    world.stop().await;
    world.start().await;
    let again = world.add_keyed("octo/hello", "a-key").await;
    assert_eq!((again.status, &again.text), (201, &first.text));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(world.add_keyed("octo/hello", "another").await.status, 200);
    world.drain().await;
    world.end().await;
}
}

on_both! {
async fn a_caller_who_hangs_up_finds_the_answer_under_its_key(world: World) {
    let mut world = world;
    world.repository("octo", "hello");
    world.start().await;
    let gate = world.github().hold(Trigger::next(On::Rest).path("/repos/octo/hello"), Hold::Arrival);
    tokio::select! {
        answer = world.add_keyed("octo/hello", "a-key") => panic!("{answer:?}"),
        () = gate.reached() => {}
    }
    drop(gate);
    let answered = loop {
        let answer = world.add_keyed("octo/hello", "a-key").await;
        if answer.status != 409 {
            break answer;
        }
    };
    assert_eq!((answered.status, answered.header("idempotency-replayed")), (201, Some("true")), "{}", answered.text);
    world.drain().await;
    world.end().await;
}
}
