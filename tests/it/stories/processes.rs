//! Several processes on one Postgres, and one that is told to end.

use std::collections::BTreeSet;
use std::time::Duration;

use starkeep::domain::job::JobState;
use starkeep::domain::mirror::Status;
use starkeep::simulator::{Hold, On, Trigger};
use starkeep::store::page::Window;
use starkeep::store::{deliveries, mirrors, syncs};

use crate::world::{Backend, FAN, World, on_both};

const MIRRORS: usize = 200;

#[actix::test]
async fn two_processes_share_200_mirrors_and_sync_each_once() {
    let Some(mut world) = World::new(Backend::Postgres) else { return };
    world.attach().await;
    let processes = [world.process(), world.process()];
    let mut ids = Vec::new();
    for n in 0..MIRRORS {
        ids.push(world.repository("octo", &format!("repository-{n}")));
    }
    for (n, id) in ids.iter().enumerate() {
        processes[n % 2].take(&world.github().star(FAN, *id).unwrap()).await;
    }
    world.drain().await;
    for id in &ids {
        let mirror = world.mirror(*id).await;
        assert_eq!(mirror.status, Status::Healthy, "{:?}", mirror.error);
        let runs = world.store().read(move |c| syncs::list(c, mirror.id, &Window::default())).await.unwrap().items;
        assert_eq!(runs.len(), 1, "{runs:#?}");
    }
    let pushes = world.onedev().requests();
    let pushes: Vec<_> =
        pushes.iter().filter(|it| it.path.ends_with("/git-receive-pack") && it.method == "POST").collect();
    let projects: BTreeSet<_> = pushes.iter().map(|it| it.path.as_str()).collect();
    assert_eq!((pushes.len(), projects.len()), (2 * MIRRORS, MIRRORS), "refs and marker");
    for process in processes {
        let worked = process.log().iter().filter(|line| line.contains("proven level")).count();
        assert!(worked > MIRRORS / 10, "one process did {worked} of {MIRRORS}");
        assert!(process.terminate().success());
    }
}

#[actix::test]
async fn a_dead_process_is_taken_over_within_its_lease() {
    let Some(mut world) = World::new(Backend::Postgres) else { return };
    world.config.sync.lease = Duration::from_secs(1);
    world.attach().await;
    let id = world.repository("octo", "hello");
    let gate = world.onedev().hold(Trigger::next(On::PUSH), Hold::Arrival);
    let first = world.process();
    first.take(&world.github().star(FAN, id).unwrap()).await;
    gate.reached().await;
    let second = world.process();
    first.kill();
    gate.release();
    world.drain().await;
    world.assert_healthy(id).await;
    second.log_with("leases had run out");
}

on_both! {
async fn a_terminated_process_leaves_its_job_to_the_next(world: World) {
    let mut world = world;
    world.config.server.shutdown_timeout = Duration::from_millis(300);
    world.attach().await;
    let id = world.repository("octo", "hello");
    let gate = world.onedev().hold(Trigger::next(On::PUSH), Hold::Arrival);
    let process = world.process();
    process.take(&world.github().star(FAN, id).unwrap()).await;
    gate.reached().await;
    assert!(process.terminate().success());
    let job = world.jobs().await.remove(0);
    assert_eq!((job.state, job.attempts), (JobState::Queued, 0));
    gate.release();
    let process = world.process();
    world.drain().await;
    world.assert_healthy(id).await;
    assert!(process.terminate().success());
}
}

#[actix::test]
async fn a_second_serve_on_one_sqlite_file_is_refused() {
    let mut world = World::new(Backend::Sqlite).unwrap();
    world.attach().await;
    let _first = world.process();
    let second = crate::process::starkeep(&world.config, world.folder.path()).arg("serve").output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains("starkeep.db"), "{said}");
    assert!(world.store().read(mirrors::counts_by_status).await.unwrap().is_empty());
}

#[actix::test]
async fn one_correlation_id_leads_from_the_delivery_to_the_proof() {
    let mut world = World::new(Backend::Sqlite).unwrap();
    world.attach().await;
    let id = world.repository("octo", "hello");
    let process = world.process();
    let guid = world.star_by(&process, id).await.guid;
    let delivery = world.store().read(move |c| deliveries::find(c, &guid)).await.unwrap().unwrap();
    let log = process.log_with("proven level");
    for what in ["/webhooks/github", "proven level"] {
        let line = log.iter().find(|line| line.contains(what)).unwrap();
        assert!(line.contains(&delivery.correlation.to_string()), "{line}");
    }
    let jobs = world.jobs().await;
    assert!(jobs.iter().all(|it| it.correlation == delivery.correlation));
}
