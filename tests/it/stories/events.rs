//! Following what is being done: at the process that does it, and at another one.

use reqwest::Method;

use crate::api;
use crate::following::{Following, step};
use crate::world::{ADMIN, Backend, FAN, World, on_both};

impl Following {
    async fn at(server: &str, seen: Option<i64>) -> Self {
        let request = api::request(Method::GET, &format!("{server}/api/v1/events")).bearer_auth(ADMIN);
        let request = match seen {
            Some(seen) => request.header("Last-Event-ID", seen.to_string()),
            None => request,
        };
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        Self::of(response)
    }

    /// Steps up to the first of this stage: id, repository and stage of each.
    async fn until(&mut self, stage: &str) -> Vec<(i64, String, String)> {
        let mut told = Vec::new();
        loop {
            let frame = self.next().await.expect("the stream goes on");
            let Some((id, data)) = step(&frame) else { continue };
            let text = |name: &str| data[name].as_str().unwrap().to_owned();
            told.push((id, text("repository"), text("stage")));
            if text("stage") == stage {
                return told;
            }
        }
    }
}

fn stages(told: &[(i64, String, String)]) -> Vec<&str> {
    told.iter().map(|it| it.2.as_str()).collect()
}

on_both! {
async fn every_stage_of_a_sync_is_told_and_gone_on_with_after_a_restart(world: World) {
    let mut world = world;
    let id = world.repository("octo", "hello");
    world.start().await;
    let mut following = Following::at(&world.url(""), None).await;
    world.star(id).await;
    let told = following.until("done").await;
    assert!(told.iter().all(|it| it.1 == "octo/hello"), "{told:?}");
    let seen = stages(&told);
    for stage in ["describe", "ensure", "transfer", "record"] {
        assert!(seen.contains(&stage), "{seen:?}");
    }
    let place = |stage: &str| seen.iter().position(|it| *it == stage);
    assert!(place("ensure") < place("transfer") && place("transfer") < place("record"), "{seen:?}");
    // The service is told to end while somebody follows: it lets the follower go and does not wait.
    let patience = world.config.server.shutdown_timeout / 2;
    tokio::time::timeout(patience, world.stop()).await.expect("nobody waits for a follower");
    while let Some(frame) = following.next().await {
        assert!(!frame.contains("event: gap"), "{frame}");
    }
    world.start().await;
    let (first, last) = (told[0].0, told[told.len() - 1].0);
    let mut again = Following::at(&world.url(""), Some(first)).await;
    assert_eq!(again.until("done").await, told[1..], "what was told before is told again, and no more");
    let mut behind = Following::at(&world.url(""), Some(last)).await;
    world.pushed(id).await;
    // Other jobs of its may have ended before that.
    behind.until("transfer").await;
    behind.until("done").await;
    world.end().await;
}
}

#[actix::test]
async fn a_sync_of_one_process_is_followed_at_another() {
    let Some(mut world) = World::new(Backend::Postgres) else { return };
    let id = world.repository("octo", "hello");
    world.attach().await;
    let (web, worker) = (world.process_as("web"), world.process_as("worker"));
    let mut following = Following::at(&web.address, None).await;
    web.take(&world.github().star(FAN, id).unwrap()).await;
    let told = following.until("done").await;
    assert!(stages(&told).contains(&"transfer"), "{told:?}");
    assert!(web.terminate().success(), "it does not wait for its follower");
    while following.next().await.is_some() {}
    // Whoever follows another process goes on there.
    let web = world.process_as("web");
    let mut again = Following::at(&web.address, Some(told[0].0)).await;
    assert_eq!(again.until("done").await, told[1..]);
    drop(again);
    assert!(worker.terminate().success() && web.terminate().success());
}
