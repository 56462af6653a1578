//! A process takes deliveries, or works on them, or both.

use starkeep::domain::job::JobState;

use super::commands::run;
use crate::world::{ADMIN, Backend, FAN, World};

async fn get(url: &str) -> u16 {
    let request = reqwest::Client::new().get(url).bearer_auth(ADMIN);
    request.send().await.unwrap().status().as_u16()
}

#[actix::test]
async fn what_a_web_process_takes_a_worker_does() {
    let Some(mut world) = World::new(Backend::Postgres) else { return };
    world.attach().await;
    let id = world.repository("octo", "hello");
    let web = world.process_as("web");
    web.take(&world.github().star(FAN, id).unwrap()).await;
    assert_eq!(get(&format!("{}/api/v1/mirrors", web.address)).await, 200);

    let worker = world.process_as("worker");
    world.drain().await;
    world.assert_healthy(id).await;
    worker.log_with("proven level");
    assert!(!web.log().iter().any(|line| line.contains("proven level")), "{:#?}", web.log());

    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(get(&format!("{}{path}", web.address)).await, 200, "{path}");
        assert_eq!(get(&format!("{}{path}", worker.address)).await, 200, "{path}");
    }
    assert_eq!(get(&format!("{}/api/v1/mirrors", worker.address)).await, 404);
    assert_eq!(world.github().ping().unwrap().deliver(&worker.webhooks()).await.unwrap().0, 404);
    assert!(worker.terminate().success());

    // Nobody works now.
    world.github().commit(id, "main", "more", "more").unwrap();
    web.take(&world.github().push(id, "refs/heads/main", None, None).unwrap()).await;
    assert!(world.jobs().await.iter().any(|it| it.state == JobState::Queued));
    assert!(web.terminate().success());
    let _all = world.process();
    world.drain().await;
    world.assert_healthy(id).await;
}

#[actix::test]
async fn a_sqlite_file_serves_one_process_that_does_everything() {
    let world = World::new(Backend::Sqlite).unwrap();
    for role in ["web", "worker"] {
        let (code, _, said) = run(&world, &["serve", "--role", role]);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(role) && said.contains("needs Postgres") && said.contains("database.url"), "{said}");
    }
    assert!(!world.folder.path().join("starkeep.db").exists());
    let (code, _, said) = run(&world, &["serve", "--role", "some"]);
    assert_eq!(code, Some(2), "{said}");
}
