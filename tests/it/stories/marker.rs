//! What a project says of its mirror, and when it says so anew.

use starkeep::domain::job::{JobKind, JobState};
use starkeep::domain::marker::{self, Marker};
use starkeep::domain::mirror::Status;
use starkeep::domain::refs::RefMap;
use starkeep::simulator::{Fault, On, Trigger};

use super::tools::{MAIN, assert_whole, git, mirrored, name};
use crate::world::{World, on_both};

impl World {
    /// What the project of a mirror says now: facts and refs.
    pub async fn marked(&self, id: starkeep::domain::ids::GithubId) -> (Marker, RefMap) {
        let folder = self.onedev().repo_dir(&self.path(id).await).unwrap();
        let show = |file: &str| git(&folder, &["show", &format!("{}:{file}", marker::REF)]);
        let facts = Marker::read(show(marker::FACTS_FILE).as_bytes()).unwrap();
        (facts, marker::read_refs(&show(marker::REFS_FILE)).unwrap())
    }

    /// How many markers were written.
    pub async fn marks(&self, id: starkeep::domain::ids::GithubId) -> usize {
        let folder = self.onedev().repo_dir(&self.path(id).await).unwrap();
        git(&folder, &["rev-list", "--count", marker::REF]).trim().parse().unwrap()
    }
}

on_both! {
async fn a_project_says_whose_mirror_it_is_and_what_nobody_else_knows(world: World) {
    let mut world = world;
    let id = world.repository("octo", "hello");
    world.star(id).await;
    let (facts, refs) = world.marked(id).await;
    let mirror = world.mirror(id).await;
    assert_eq!((facts.mirror, facts.github.id, facts.status), (mirror.id, id, Status::Healthy));
    assert_eq!(facts.proof.as_ref().unwrap().digest, mirror.proof.unwrap().digest);
    assert_eq!((facts.stars.len(), facts.stars[0].login.as_deref()), (1, Some("stargazer")));
    assert_eq!(refs, world.managed(id).await);
    assert!(facts.github.instance.starts_with("http://127.0.0.1") && !facts.to_text().contains("token"));
    assert_whole(&world, &world.path(id).await);

    world.github().force_branch(id, "main").unwrap();
    world.pushed(id).await;
    let (facts, refs) = world.marked(id).await;
    assert_eq!((facts.kept.len(), world.marks(id).await), (1, 2), "a kept ref is told at once");
    assert_eq!(refs, world.managed(id).await);

    world.github().commit(id, "main", "more", "more").unwrap();
    world.pushed(id).await;
    assert_eq!(world.marks(id).await, 2, "a move alone waits");

    world.github().rename(id, "hi").unwrap();
    world.sync(id).await;
    let (facts, _) = world.marked(id).await;
    assert_eq!((facts.github.former[0].repository.name(), world.marks(id).await), ("hello", 3));

    let unstar = world.github().unstar(crate::world::FAN, id).unwrap();
    world.accepted(&unstar).await;
    world.drain().await;
    let (facts, _) = world.marked(id).await;
    assert_eq!((facts.status, facts.stars.len()), (Status::Archived, 0));
    assert!(facts.unstarred_at.is_some());
    assert_eq!(world.jobs().await.iter().filter(|it| it.kind == JobKind::Mark && it.state != JobState::Done).count(), 0);
    world.end().await;
}
}

#[actix::test]
async fn an_unchanged_mirror_is_not_marked_again() {
    let (world, id) = mirrored().await;
    for _ in 0..3 {
        world.queue(id, JobKind::Mark).await;
        world.sync(id).await;
    }
    assert_eq!(world.marks(id).await, 1);
    world.end().await;
}

#[actix::test]
async fn a_marker_that_cannot_be_written_is_no_trouble_of_the_mirrors() {
    let (world, id) = mirrored().await;
    world.onedev().fail(Trigger::next(On::PUSH).body(marker::REF).always(), Fault::Decline("no".to_owned()));
    world.github().force_branch(id, "main").unwrap();
    world.pushed(id).await;
    world.assert_healthy(id).await;
    assert_eq!(world.marks(id).await, 1);
    let dead = world.jobs().await.into_iter().find(|it| it.state == JobState::Dead).unwrap();
    assert_eq!((dead.kind, dead.error.unwrap().0.as_str()), (JobKind::Mark, "marker_refused"));
    world.onedev().clear_faults();
    world.queue(id, JobKind::Mark).await;
    world.drain().await;
    assert_eq!((world.marks(id).await, world.marked(id).await.0.kept.len()), (2, 1));
    world.end().await;
}

#[actix::test]
async fn a_marker_written_by_a_run_that_was_cut_off_is_gone_on_from() {
    let (world, id) = mirrored().await;
    world.onedev().fail(Trigger::next(On::PUSH).body(marker::REF), Fault::CutResponse { after: 0 });
    world.github().force_branch(id, "main").unwrap();
    world.pushed(id).await;
    assert_eq!(world.marked(id).await.0.kept.len(), 1);
    let folder = world.onedev().repo_dir(&world.path(id).await).unwrap();
    assert_eq!(git(&folder, &["rev-list", "--merges", marker::REF]), "");
    assert_whole(&world, &world.path(id).await);
    assert_eq!(world.refs(id).await.get(&name(MAIN)), Some(&world.tip(id, MAIN)));
    world.end().await;
}
