//! The default branch: right from the first push on, and whatever upstream does to its own.

use starkeep::domain::kept::STAND_IN;
use starkeep::domain::mirror::Status;

use super::tools::{MAIN, mirrored, name, world};
use crate::world::{World, on_both};

#[actix::test]
async fn a_default_branch_that_is_not_main() {
    let mut world = world();
    let id = world.github().create_repository("octo", "hello").unwrap();
    for branch in ["alpha", "trunk", "zeta"] {
        world.github().commit(id, branch, "README", branch).unwrap();
    }
    world.github().set_default_branch(id, "trunk").unwrap();
    let mirror = world.star(id).await;
    world.assert_healthy(id).await;
    assert_eq!(mirror.default_branch.as_deref(), Some("trunk"));
    assert_eq!((mirror.head, world.head(id).await.as_str()), (Some(world.tip(id, "refs/heads/trunk")), "trunk"));
    world.end().await;
}

#[actix::test]
async fn an_unborn_default_branch_leaves_the_choice_to_what_is_usual() {
    for (branches, expected) in
        [(&["a", "main", "z"][..], "main"), (&["a", "master", "z"], "master"), (&["y", "z"], "y")]
    {
        let mut world = world();
        let id = world.github().create_repository("octo", "hello").unwrap();
        for branch in branches {
            world.github().commit(id, branch, "README", branch).unwrap();
        }
        world.github().set_default_branch(id, "nowhere").unwrap();
        world.star(id).await;
        world.assert_healthy(id).await;
        assert_eq!(world.head(id).await, expected);
        world.github().commit(id, "nowhere", "README", "born").unwrap();
        world.pushed(id).await;
        world.assert_healthy(id).await;
        assert_eq!(world.head(id).await, "nowhere");
        world.end().await;
    }
}

#[actix::test]
async fn among_many_branches_the_default_one_becomes_onedevs() {
    let mut world = world();
    let id = world.github().create_repository("octo", "hello").unwrap();
    for n in 0..30 {
        world.github().commit(id, &format!("b{n:02}"), "README", &format!("{n}")).unwrap();
    }
    world.github().set_default_branch(id, "b13").unwrap();
    world.star(id).await;
    world.assert_healthy(id).await;
    assert_eq!(world.head(id).await, "b13");
    world.end().await;
}

on_both! {
async fn upstream_chooses_another_default_branch(world: World) {
    let mut world = world;
    let id = world.repository("octo", "hello");
    world.github().commit(id, "next", "NEXT", "next").unwrap();
    world.star(id).await;
    world.github().set_default_branch(id, "next").unwrap();
    let edited = serde_json::json!({ "default_branch": { "from": "main" } });
    world.accepted(&world.github().repository_event(id, "edited", edited).unwrap()).await;
    world.drain().await;
    world.assert_healthy(id).await;
    assert_eq!(world.head(id).await, "next");
    // Back, and nobody says so.
    world.github().set_default_branch(id, "main").unwrap();
    let mirror = world.check(id).await;
    world.assert_healthy(id).await;
    assert_eq!((world.head(id).await.as_str(), mirror.default_branch.as_deref()), ("main", Some("main")));
    world.end().await;
}
}

#[actix::test]
async fn a_default_branch_that_somebody_chose_in_onedev_is_put_right() {
    let (world, id) = mirrored().await;
    world.github().commit(id, "next", "NEXT", "next").unwrap();
    world.pushed(id).await;
    let folder = world.onedev().repo_dir(&world.path(id).await).unwrap();
    super::tools::git(&folder, &["symbolic-ref", "HEAD", "refs/heads/next"]);
    world.sync(id).await;
    assert_eq!(world.head(id).await, "main");
    world.end().await;
}

on_both! {
async fn the_branch_that_head_points_at_is_renamed(world: World) {
    let mut world = world;
    let id = world.repository("octo", "hello");
    world.star(id).await;
    let tip = world.tip(id, MAIN);
    world.github().set_ref(id, "refs/heads/trunk", tip).unwrap();
    world.github().set_default_branch(id, "trunk").unwrap();
    world.github().delete_ref(id, MAIN).unwrap();
    world.pushed(id).await;
    world.assert_healthy(id).await;
    assert_eq!(world.head(id).await, "trunk");
    world.end().await;
}
}

#[actix::test]
async fn the_default_branch_goes_and_upstream_names_no_other() {
    let (world, id) = mirrored().await;
    for branch in ["one", "two"] {
        world.github().commit(id, branch, "README", branch).unwrap();
    }
    world.pushed(id).await;
    world.github().delete_ref(id, MAIN).unwrap();
    world.pushed(id).await;
    world.assert_healthy(id).await;
    assert_eq!(world.head(id).await, "one");
    world.end().await;
}

#[actix::test]
async fn the_default_branch_becomes_a_folder_and_a_branch_again_and_nothing_is_left_behind() {
    let (world, id) = mirrored().await;
    let tip = world.tip(id, MAIN);
    world.github().delete_ref(id, MAIN).unwrap();
    world.github().set_ref(id, "refs/heads/main/x", tip).unwrap();
    world.github().set_default_branch(id, "main/x").unwrap();
    world.pushed(id).await;
    world.assert_healthy(id).await;
    assert_eq!(world.head(id).await, "main/x");
    world.github().delete_ref(id, "refs/heads/main/x").unwrap();
    world.github().set_ref(id, MAIN, tip).unwrap();
    world.github().set_default_branch(id, "main").unwrap();
    world.pushed(id).await;
    world.assert_healthy(id).await;
    assert_eq!(world.head(id).await, "main");
    assert!(!world.refs(id).await.contains_key(&name(STAND_IN)));
    assert!(world.keeps(id).await.iter().all(|(it, ..)| it != STAND_IN));
    world.end().await;
}

#[actix::test]
async fn a_folder_of_branches_takes_the_place_of_the_default_branch_among_others() {
    let (world, id) = mirrored().await;
    world.github().commit(id, "other", "OTHER", "other").unwrap();
    world.pushed(id).await;
    let tip = world.tip(id, MAIN);
    world.github().delete_ref(id, MAIN).unwrap();
    for below in ["a", "b"] {
        world.github().set_ref(id, &format!("refs/heads/main/{below}"), tip).unwrap();
    }
    world.github().set_default_branch(id, "main/b").unwrap();
    world.pushed(id).await;
    world.assert_healthy(id).await;
    assert_eq!(world.head(id).await, "main/b");
    world.end().await;
}

#[actix::test]
async fn the_new_default_branch_was_deleted_in_onedev_meanwhile() {
    let (world, id) = mirrored().await;
    world.github().commit(id, "next", "NEXT", "next").unwrap();
    world.pushed(id).await;
    world.onedev().delete_ref(&world.path(id).await, "refs/heads/next").unwrap();
    world.github().set_default_branch(id, "next").unwrap();
    world.github().delete_ref(id, MAIN).unwrap();
    world.pushed(id).await;
    world.assert_healthy(id).await;
    assert_eq!(world.head(id).await, "next");
    world.end().await;
}

#[actix::test]
async fn a_default_branch_whose_name_onedev_refuses_gives_way_to_another() {
    let mut world = world();
    let id = world.github().create_repository("octo", "hello").unwrap();
    world.github().commit(id, "release+1", "README", "release").unwrap();
    world.github().commit(id, "topic", "README", "topic").unwrap();
    world.github().set_default_branch(id, "release+1").unwrap();
    let mirror = world.star(id).await;
    assert_eq!(mirror.status, Status::Partial, "{:?}", mirror.error);
    assert_eq!(world.head(id).await, "topic");
    assert_eq!(world.aliases(id).await.len(), 1);
    world.sync(id).await;
    assert_eq!(world.head(id).await, "topic");
    world.end().await;
}

#[actix::test]
async fn when_the_last_branch_goes_onedev_cannot_let_go_of_it_and_that_is_told() {
    let (world, id) = mirrored().await;
    let tip = world.tip(id, MAIN);
    world.github().set_ref(id, "refs/tags/v1", tip).unwrap();
    world.github().delete_ref(id, MAIN).unwrap();
    let mirror = world.pushed(id).await;
    assert_eq!(mirror.status, Status::Partial, "{:?}", mirror.error);
    assert_eq!(mirror.not_level.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), [MAIN]);
    assert!(mirror.not_level[0].reason.contains("current branch"), "{:?}", mirror.not_level);
    world.github().commit(id, "main", "README", "again").unwrap();
    world.pushed(id).await;
    world.assert_healthy(id).await;
    world.end().await;
}
