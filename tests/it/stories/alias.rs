//! Refs that OneDev's hooks refuse or trip over: told by name, held under an alias, and no harm to others.

use starkeep::domain::kept::{Reason, alias_name};
use starkeep::domain::mirror::{Source, Status};
use starkeep::simulator::{Fault, On, Trigger};

use super::tools::{MAIN, mirrored, name};
use crate::world::{World, on_both};

const BUILD: &str = "refs/tags/v1.0+build.5";

/// What OneDev's pre-receive hook says about a ref that a protection forbids.
fn accuses(it: &str) -> Fault {
    let stars = "*".repeat(55);
    Fault::Decline(format!("{stars}\n*\n*  ERROR PUSHING REF: {it}\n---\n*  Cannot create this branch\n*\n{stars}"))
}

on_both! {
async fn names_that_onedev_trips_over_are_held_and_told_and_the_others_are_level(world: World) {
    let mut world = world;
    let id = world.repository("octo", "hello");
    let tip = world.tip(id, MAIN);
    let build = world.github().annotated_tag(id, "v1.0+build.5", tip).unwrap();
    let names = ["refs/tags/100%", "refs/heads/a&b", "refs/heads/k=v", "refs/heads/c++", "refs/heads/zz", "refs/tags/p%zz"];
    for it in names {
        world.github().set_ref(id, it, tip).unwrap();
    }
    let mirror = world.star(id).await;
    assert_eq!(mirror.status, Status::Partial, "{:?}", mirror.error);
    let told: Vec<_> = mirror.not_level.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(told, ["refs/tags/100%", "refs/tags/p%zz", BUILD]);
    let aliases = world.aliases(id).await;
    assert_eq!(aliases.len(), 3);
    assert_eq!(aliases.get(&alias_name(&name(BUILD)).unwrap()), Some(&build), "the tag itself, not its commit");
    assert!(mirror.not_level.iter().all(|it| aliases.contains_key(it.alias.as_ref().unwrap())));
    let refs = world.managed(id).await;
    for it in ["refs/heads/a&b", "refs/heads/k=v", "refs/heads/c++", "refs/heads/zz", MAIN] {
        assert_eq!(refs.get(&name(it)), Some(&tip), "{it}");
    }
    assert_eq!(world.head(id).await, "main");
    assert_eq!(mirror.source, Source::Star);
    // Looked at again, closely and not, it stays as it is.
    let before = world.overview().await;
    world.check(id).await;
    world.sync(id).await;
    assert_eq!(world.overview().await, before);
    world.end().await;
}
}

on_both! {
async fn an_alias_moves_and_goes_with_its_ref_and_its_tips_are_kept(world: World) {
    let mut world = world;
    let id = world.repository("octo", "hello");
    let first = world.tip(id, MAIN);
    world.github().set_ref(id, BUILD, first).unwrap();
    world.star(id).await;
    let second = world.github().commit(id, "main", "README", "two").unwrap();
    world.github().set_ref(id, BUILD, second).unwrap();
    let mirror = world.pushed(id).await;
    assert_eq!(mirror.status, Status::Partial);
    assert_eq!(world.aliases(id).await.into_values().collect::<Vec<_>>(), [second]);
    world.assert_keeps(id, &[(BUILD, first, Reason::Overwritten)]).await;
    world.github().delete_ref(id, BUILD).unwrap();
    world.pushed(id).await;
    world.assert_healthy(id).await;
    assert!(world.aliases(id).await.is_empty());
    world.assert_keeps(id, &[(BUILD, first, Reason::Overwritten), (BUILD, second, Reason::Deleted)]).await;
    world.end().await;
}
}

#[actix::test]
async fn a_branch_under_an_alias_goes_forward_without_a_kept_ref() {
    let (world, id) = mirrored().await;
    world.github().commit(id, "feature+x", "FEATURE", "one").unwrap();
    assert_eq!(world.pushed(id).await.status, Status::Partial);
    let tip = world.github().commit(id, "feature+x", "FEATURE", "two").unwrap();
    world.pushed(id).await;
    assert_eq!(world.aliases(id).await.into_values().collect::<Vec<_>>(), [tip]);
    world.assert_keeps(id, &[]).await;
    let folder = world.onedev().repo_dir(&world.path(id).await).unwrap();
    // Somebody makes it by hand, which OneDev's REST can: then there is nothing to hold any more.
    super::tools::git(&folder, &["update-ref", "refs/heads/feature+x", &tip.to_string()]);
    world.sync(id).await;
    world.assert_healthy(id).await;
    assert!(world.aliases(id).await.is_empty());
    world.assert_keeps(id, &[]).await;
    world.end().await;
}

#[actix::test]
async fn an_alias_that_somebody_moved_is_put_back_and_what_stood_there_is_kept() {
    let (world, id) = mirrored().await;
    let tip = world.tip(id, MAIN);
    world.github().set_ref(id, BUILD, tip).unwrap();
    world.pushed(id).await;
    let path = world.path(id).await;
    let by_hand = world.onedev().commit(&path, "hand", "HAND", "by hand").unwrap();
    world.onedev().delete_ref(&path, "refs/heads/hand").unwrap();
    world.onedev().set_ref(&path, alias_name(&name(BUILD)).unwrap().as_str(), by_hand).unwrap();
    world.sync(id).await;
    assert_eq!(world.aliases(id).await.into_values().collect::<Vec<_>>(), [tip]);
    world.assert_keeps(id, &[(BUILD, by_hand, Reason::MovedInOnedev)]).await;
    world.end().await;
}

on_both! {
async fn tags_of_blobs_and_trees_do_no_harm(world: World) {
    let mut world = world;
    let id = world.repository("octo", "hello");
    let tip = world.tip(id, MAIN);
    let blob = world.github().tag_of_blob(id, "a-blob", "public key").unwrap();
    world.github().tag_of_tree(id, "a-tree", tip).unwrap();
    world.github().annotated_tag(id, "a-signed-blob", blob).unwrap();
    for n in 0..5 {
        let old = world.github().commit_on(id, &[tip], "OLD", &format!("{n}")).unwrap();
        world.github().set_ref(id, &format!("refs/tags/v{n}"), old).unwrap();
    }
    world.github().commit(id, "zeta", "ZETA", "zeta").unwrap();
    world.star(id).await;
    world.assert_healthy(id).await;
    assert_eq!(world.head(id).await, "main");
    let (_, onedev) = world.requests();
    let pushes = onedev.iter().filter(|it| it.starts_with("POST") && it.ends_with("receive-pack")).count();
    assert_eq!(pushes, 1 + 1 + 3 + 1, "the default branch, all others, each odd tag, the marker: {onedev:#?}");
    // They move and go.
    let second = world.github().tag_of_blob(id, "a-blob", "another key").unwrap();
    world.github().delete_ref(id, "refs/tags/a-tree").unwrap();
    world.github().commit(id, "zeta", "ZETA", "more").unwrap();
    world.pushed(id).await;
    world.assert_healthy(id).await;
    world.assert_kept(id, blob).await;
    assert_eq!(world.refs(id).await.get(&name("refs/tags/a-blob")), Some(&second));
    world.end().await;
}
}

#[actix::test]
async fn many_refused_names_are_held_together_and_only_a_few_are_tried_again() {
    let (world, id) = mirrored().await;
    let tip = world.tip(id, MAIN);
    for n in 0..12 {
        world.github().set_ref(id, &format!("refs/tags/v{n}+build"), tip).unwrap();
    }
    let mirror = world.pushed(id).await;
    assert_eq!((mirror.status, mirror.not_level.len(), world.aliases(id).await.len()), (Status::Partial, 12, 12));
    world.requests();
    world.sync(id).await;
    let (_, onedev) = world.requests();
    let pushes = onedev.iter().filter(|it| it.starts_with("POST") && it.ends_with("receive-pack")).count();
    assert_eq!(pushes, 4, "{onedev:#?}");
    assert_eq!(world.mirror(id).await.not_level.len(), 12);
    world.end().await;
}

#[actix::test]
async fn a_push_that_is_declined_without_a_name_is_halved_until_the_ref_is_found() {
    let (world, id) = mirrored().await;
    let tip = world.tip(id, MAIN);
    for it in ["a", "b", "c", "poison", "x", "y", "z"] {
        world.github().set_ref(id, &format!("refs/tags/{it}"), tip).unwrap();
    }
    world.onedev().fail(Trigger::next(On::PUSH).body("refs/tags/poison").always(), Fault::Decline("no".to_owned()));
    let mirror = world.pushed(id).await;
    assert_eq!(mirror.status, Status::Partial, "{:?}", mirror.error);
    assert_eq!(mirror.not_level.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["refs/tags/poison"]);
    assert_eq!(world.aliases(id).await.into_values().collect::<Vec<_>>(), [tip]);
    assert_eq!(world.managed(id).await.len(), 7);
    // As long as OneDev says no nothing changes; then the real name is taken and the alias goes.
    assert_eq!(world.sync(id).await.status, Status::Partial);
    world.onedev().clear_faults();
    world.sync(id).await;
    world.assert_healthy(id).await;
    assert!(world.aliases(id).await.is_empty());
    world.assert_keeps(id, &[]).await;
    world.end().await;
}

#[actix::test]
async fn a_protected_branch_is_named_by_onedev_and_the_others_pass_in_the_next_push() {
    let (world, id) = mirrored().await;
    let tip = world.tip(id, MAIN);
    for n in 0..6 {
        world.github().set_ref(id, &format!("refs/heads/b{n}"), tip).unwrap();
    }
    world.requests();
    world.onedev().fail(Trigger::next(On::PUSH).body("refs/heads/b3").always(), accuses("refs/heads/b3"));
    let mirror = world.pushed(id).await;
    assert_eq!(mirror.status, Status::Partial, "{:?}", mirror.error);
    assert_eq!(mirror.not_level.len(), 1);
    assert_eq!(mirror.not_level[0].name, name("refs/heads/b3"));
    let (_, onedev) = world.requests();
    let pushes = onedev.iter().filter(|it| it.starts_with("POST") && it.ends_with("receive-pack")).count();
    assert_eq!(pushes, 4 + 1, "all, the five others, it alone, its alias, the marker: {onedev:#?}");
    world.end().await;
}

#[actix::test]
async fn a_protected_branch_that_upstream_forced_keeps_its_place_and_the_new_tip_has_an_alias() {
    let (world, id) = mirrored().await;
    let old = world.tip(id, MAIN);
    world.onedev().fail(Trigger::next(On::PUSH).body(" refs/heads/main").always(), accuses(MAIN));
    let new = world.github().force_branch(id, "main").unwrap();
    let mirror = world.pushed(id).await;
    assert_eq!(mirror.status, Status::Partial, "{:?}", mirror.error);
    assert_eq!(world.refs(id).await.get(&name(MAIN)), Some(&old));
    assert_eq!(world.aliases(id).await.into_values().collect::<Vec<_>>(), [new]);
    world.onedev().clear_faults();
    world.sync(id).await;
    world.assert_healthy(id).await;
    world.assert_kept(id, old).await;
    world.end().await;
}
