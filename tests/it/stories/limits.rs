//! What GitHub says when it does not want to answer now, or sends somebody elsewhere.

use std::ops::RangeInclusive;

use chrono::Utc;
use starkeep::domain::job::JobState;
use starkeep::simulator::{Fault, On, Trigger};

use super::tools::{mirrored, world};

const SECONDARY: &str = r#"{"message": "You have exceeded a secondary rate limit. Please wait a few minutes."}"#;

fn answer(status: u16, headers: &[(&str, String)], body: &str) -> Fault {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    Fault::Answer { status, headers, body: body.to_owned() }
}

#[actix::test]
async fn limits_of_every_kind_are_waited_out_and_are_no_attempt() {
    let after = |seconds: u32| ("Retry-After", seconds.to_string());
    let used_up =
        [("X-RateLimit-Remaining", "0".to_owned()), ("X-RateLimit-Reset", (Utc::now().timestamp() + 900).to_string())];
    // With up to half as long again, so that not all come back at once.
    let all: [(&str, Fault, RangeInclusive<i64>); 6] = [
        ("429 with a time", answer(429, &[after(600)], "{}"), 590..=900),
        ("429 without", answer(429, &[], "slow down"), 55..=90),
        ("a secondary limit with a time", answer(403, &[after(120)], SECONDARY), 115..=180),
        ("a secondary limit without", answer(403, &[], SECONDARY), 55..=90),
        ("an hour that is used up", answer(403, &used_up, r#"{"message": "API rate limit exceeded"}"#), 880..=1360),
        ("503 with a time", answer(503, &[after(200)], "{}"), 195..=300),
    ];
    for (what, fault, pause) in all {
        let mut world = world();
        let id = world.repository("octo", "hello");
        world.github().fail(Trigger::next(On::Rest).path("/repositories/"), fault);
        world.star(id).await;
        let job = world.waiting().await;
        let (code, said) = job.error.unwrap();
        assert!(["github_rate_limited", "github_server_error"].contains(&code.as_str()), "{what}: {code}: {said}");
        let waits = (job.run_after - Utc::now()).num_seconds();
        assert_eq!((job.attempts, pause.contains(&waits)), (0, true), "{what}: {waits} s");
        world.forgive().await;
        world.sync(id).await;
        world.assert_healthy(id).await;
        world.end().await;
    }
}

#[actix::test]
async fn a_403_that_is_no_limit_is_waited_out_by_nobody() {
    let mut world = world();
    let (id, other) = (world.repository("octo", "hello"), world.repository("octo", "other"));
    let refusal = answer(403, &[], r#"{"message": "Resource not accessible by personal access token"}"#);
    world.github().fail(Trigger::next(On::Rest).path(&format!("/repositories/{id}")).always(), refusal);
    world.star(id).await;
    world.assert_error(id, "github_forbidden").await;
    assert!(
        world.jobs().await.iter().any(|it| it.state == JobState::Dead && it.attempts == 1),
        "it is not tried again"
    );
    world.star(other).await;
    world.assert_healthy(other).await;
    world.end().await;
}

#[actix::test]
async fn a_redirect_to_another_host_is_not_followed_and_the_token_stays_home() {
    let mut world = world();
    world.config.github.token = Some(world.github().token().to_owned().into());
    let id = world.repository("octo", "hello");
    let elsewhere = |path: &str| answer(301, &[("Location", format!("{}{path}", world.onedev().url()))], "");
    world.github().fail(Trigger::next(On::Rest).path("/repositories/").always(), elsewhere("/somewhere/else"));
    world.star(id).await;
    let said = world.assert_error(id, "github_redirect").await;
    assert!(said.contains("github.api_url"), "{said}");
    world.github().clear_faults();
    world.sync(id).await;
    world.assert_healthy(id).await;

    world.github().commit(id, "main", "README", "two").unwrap();
    let elsewhere =
        answer(301, &[("Location", format!("{}/octo/hello.git/git-upload-pack", world.onedev().url()))], "");
    world.github().fail(Trigger::next(On::FETCH).always(), elsewhere);
    world.pushed(id).await;
    world.assert_error(id, "upstream_redirected").await;
    let asked = world.onedev().requests();
    let strays =
        asked.iter().filter(|it| it.path.contains("/somewhere/else") || it.path.starts_with("/octo/hello.git"));
    assert_eq!(strays.count(), 0, "{asked:#?}");
    world.github().clear_faults();
    world.sync(id).await;
    world.assert_healthy(id).await;
    world.end().await;
}

#[actix::test]
async fn a_redirect_that_a_rename_explains_is_followed() {
    let (world, id) = mirrored().await;
    world.github().rename(id, "bye").unwrap();
    world.github().commit(id, "main", "README", "two").unwrap();
    world.check(id).await;
    assert_eq!(world.mirror(id).await.name.to_string(), "octo/bye");
    world.assert_healthy(id).await;
    world.end().await;
}
