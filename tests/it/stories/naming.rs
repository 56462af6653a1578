//! Where a mirror's project lies, what stands there already, and taking back what was made for nothing.

use std::time::Duration;

use chrono::Utc;
use starkeep::config::onedev::{OnConflict, Visibility};
use starkeep::domain::kept::Reason;
use starkeep::domain::mirror::{Source, Status};
use starkeep::simulator::{Fault, Hold, On, Trigger};
use starkeep::store::mirrors;

use super::tools::{MAIN, mirrored, name, world};
use crate::world::{World, on_both};

const PATH: &str = "github/octo/hello";
/// OneDev's id of the role `Code Reader`.
const READER: i64 = 4;

on_both! {
async fn two_owners_of_one_name_get_two_projects(world: World) {
    let mut world = world;
    let (one, other) = (world.repository("octo", "hello"), world.repository("acme", "hello"));
    world.star(one).await;
    world.star(other).await;
    world.assert_healthy(one).await;
    world.assert_healthy(other).await;
    assert_eq!((world.path(one).await.as_str(), world.path(other).await.as_str()), (PATH, "github/acme/hello"));
    world.end().await;
}
}

#[actix::test]
async fn names_that_onedev_cannot_have_are_escaped() {
    let mut world = world();
    for (given, path) in [
        (".github", "github/octo/_.github"),
        ("_.github", "github/octo/__.github"),
        ("projects", "github/octo/_projects"),
        ("-dash", "github/octo/_-dash"),
    ] {
        let id = world.repository("octo", given);
        world.star(id).await;
        world.assert_healthy(id).await;
        assert_eq!(world.path(id).await, path);
    }
    world.end().await;
}

/// Somebody's project stands where the mirror would go; answers what it holds.
fn occupied(world: &World) -> String {
    world.onedev().create_project(PATH).unwrap();
    world.onedev().commit(PATH, "main", "THEIRS", "somebody's work").unwrap();
    world.onedev().set_description(PATH, Some("somebody's")).unwrap();
    state(world)
}

fn state(world: &World) -> String {
    format!("{:?} {:?}", world.onedev().project(PATH), world.onedev().refs(PATH).unwrap())
}

on_both! {
async fn a_project_that_is_somebodys_is_left_alone_and_the_mirror_goes_beside_it(world: World) {
    let mut world = world;
    let theirs = occupied(&world);
    let id = world.repository("octo", "hello");
    world.star(id).await;
    world.assert_healthy(id).await;
    assert_eq!(world.path(id).await, format!("{PATH}-gh{id}"));
    world.sync(id).await;
    assert_eq!(world.path(id).await, format!("{PATH}-gh{id}"));
    assert_eq!(state(&world), theirs);
    world.end().await;
}
}

#[actix::test]
async fn where_both_places_are_taken_nothing_is_touched() {
    let mut world = world();
    let theirs = occupied(&world);
    let id = world.repository("octo", "hello");
    let second = format!("{PATH}-gh{id}");
    world.onedev().create_project(&second).unwrap();
    world.onedev().commit(&second, "main", "THEIRS", "more of somebody's work").unwrap();
    let refs = world.onedev().refs(&second).unwrap();
    world.star(id).await;
    let message = world.assert_error(id, "onedev_conflict").await;
    assert!(message.contains(&second), "{message}");
    assert_eq!((state(&world), world.onedev().refs(&second).unwrap()), (theirs, refs));
    world.end().await;
}

#[actix::test]
async fn where_conflicts_are_to_fail_they_do_with_the_mend() {
    let mut world = world();
    world.config.onedev.on_conflict = OnConflict::Fail;
    let theirs = occupied(&world);
    let id = world.repository("octo", "hello");
    world.star(id).await;
    let message = world.assert_error(id, "onedev_conflict").await;
    assert!(message.contains("onedev.on_conflict"), "{message}");
    assert_eq!(state(&world), theirs);
    assert!(world.mirror(id).await.project.is_none());
    world.onedev().delete_project(PATH).unwrap();
    world.sync(id).await;
    world.assert_healthy(id).await;
    world.end().await;
}

#[actix::test]
async fn an_empty_project_may_be_adopted_and_so_may_an_equal_or_an_older_one() {
    for held in ["nothing", "equal", "older"] {
        let mut world = world();
        world.config.onedev.on_conflict = OnConflict::Adopt;
        let id = world.repository("octo", "hello");
        world.github().set_description(id, Some("says hello")).unwrap();
        let project = world.onedev().create_project(PATH).unwrap();
        if held != "nothing" {
            world.copy(id, PATH);
        }
        if held == "older" {
            world.github().commit(id, "main", "README", "newer").unwrap();
        }
        let mirror = world.star(id).await;
        world.assert_healthy(id).await;
        assert_eq!(mirror.project.unwrap().id.0, project, "{held}");
        assert!(!mirror.made_project);
        let settled = world.onedev().project(PATH).unwrap();
        assert_eq!((settled.description.as_deref(), settled.issue_management), (Some("says hello"), false));
        world.assert_keeps(id, &[]).await;
        // What an adopted project held counts as put by us.
        let old = world.tip(id, MAIN);
        world.github().force_branch(id, "main").unwrap();
        world.pushed(id).await;
        world.assert_keeps(id, &[(MAIN, old, Reason::Overwritten)]).await;
        world.end().await;
    }
}

on_both! {
async fn a_project_that_holds_what_upstream_lacks_is_never_adopted_however_often_it_is_tried(world: World) {
    let mut world = world;
    world.config.onedev.on_conflict = OnConflict::Adopt;
    let id = world.repository("octo", "hello");
    world.onedev().create_project(PATH).unwrap();
    world.copy(id, PATH);
    world.onedev().commit(PATH, "theirs", "THEIRS", "somebody's work").unwrap();
    let theirs = state(&world);
    world.star(id).await;
    for _ in 0..2 {
        let message = world.assert_error(id, "project_conflict").await;
        assert!(message.contains("which upstream lacks"), "{message}");
        world.github().force_branch(id, "main").unwrap();
        world.pushed(id).await;
        world.sync(id).await;
        assert_eq!(state(&world), theirs, "neither refs nor settings");
    }
    world.end().await;
}
}

#[actix::test]
async fn a_project_that_another_mirror_holds_is_not_adopted() {
    let mut world = world();
    world.config.onedev.on_conflict = OnConflict::Adopt;
    world.config.onedev.naming = "{name}".to_owned();
    let (one, other) = (world.repository("octo", "hello"), world.repository("acme", "hello"));
    world.star(one).await;
    let refs = world.refs(one).await;
    world.star(other).await;
    world.assert_error(other, "onedev_conflict").await;
    assert_eq!(world.refs(one).await, refs);
    world.end().await;
}

#[actix::test]
async fn a_template_without_the_owner_parts_two_mirrors_by_their_ids() {
    let mut world = world();
    world.config.onedev.naming = "{name}".to_owned();
    let (one, other) = (world.repository("octo", "hello"), world.repository("acme", "Hello"));
    world.star(one).await;
    world.star(other).await;
    world.assert_healthy(one).await;
    world.assert_healthy(other).await;
    assert_eq!(world.path(one).await, "github/hello");
    assert_eq!(world.path(other).await, format!("github/Hello-gh{other}"));
    world.end().await;
}

on_both! {
async fn a_project_id_that_onedev_gave_to_another_project_is_not_taken_for_ours(world: World) {
    let mut world = world;
    let id = world.repository("octo", "hello");
    let ours = world.star(id).await.project.unwrap().id.0;
    world.onedev().delete_project(PATH).unwrap();
    world.onedev().restart().unwrap();
    let theirs = world.onedev().create_project("somebody").unwrap();
    assert_eq!(theirs, ours, "the id is given again");
    world.onedev().commit("somebody", "trunk", "THEIRS", "theirs").unwrap();
    let (refs, head) = (world.onedev().refs("somebody").unwrap(), world.onedev().head("somebody").unwrap());
    world.github().commit(id, "main", "README", "two").unwrap();
    world.pushed(id).await;
    world.assert_healthy(id).await;
    assert_eq!(world.path(id).await, PATH);
    assert_eq!(world.onedev().refs("somebody").unwrap(), refs);
    assert_eq!(world.onedev().head("somebody").unwrap(), head);
    world.end().await;
}
}

#[actix::test]
async fn the_default_branch_of_a_project_that_has_our_old_id_is_not_set() {
    let (world, id) = mirrored().await;
    world.github().commit(id, "next", "NEXT", "next").unwrap();
    world.pushed(id).await;
    let ours = world.mirror(id).await.project.unwrap().id.0;
    world.onedev().delete_project(PATH).unwrap();
    world.onedev().restart().unwrap();
    assert_eq!(world.onedev().create_project("somebody").unwrap(), ours);
    for branch in ["main", "next"] {
        world.onedev().commit("somebody", branch, "THEIRS", "theirs").unwrap();
    }
    // Somebody puts a copy where ours stood.
    world.onedev().create_project(PATH).unwrap();
    world.copy(id, PATH);
    world.github().set_default_branch(id, "next").unwrap();
    world.pushed(id).await;
    assert_eq!(world.onedev().head("somebody").unwrap().target().unwrap().as_str(), MAIN);
    world.end().await;
}

on_both! {
async fn a_project_deleted_in_onedev_is_made_again(world: World) {
    let mut world = world;
    let id = world.repository("octo", "hello");
    world.star(id).await;
    world.onedev().delete_project(PATH).unwrap();
    world.sync(id).await;
    world.assert_healthy(id).await;
    world.end().await;
}
}

on_both! {
async fn an_empty_project_where_we_were_about_to_make_one_is_ours(world: World) {
    let mut world = world;
    let id = world.repository("octo", "hello");
    world.start().await;
    let subject = starkeep::domain::event::Subject { id, name: "octo/hello".parse().unwrap() };
    let intend = world.store().write(move |c| {
        let (mirror, _) = mirrors::ensure(c, &subject, Source::Star, Utc::now())?;
        mirrors::intend_project(c, mirror.id, PATH, Utc::now())
    });
    intend.await.unwrap();
    let project = world.onedev().create_project(PATH).unwrap();
    let mirror = world.star(id).await;
    world.assert_healthy(id).await;
    assert_eq!(mirror.project.unwrap().id.0, project);
    assert!(mirror.made_project);
    world.end().await;
}
}

on_both! {
async fn the_service_stops_while_the_project_is_made_and_makes_no_second_one(world: World) {
    let mut world = world;
    world.config.server.shutdown_timeout = Duration::from_millis(10);
    let id = world.repository("octo", "hello");
    world.start().await;
    let gate = world.onedev().hold(Trigger::next(On::Rest).method("POST").path("/~api/projects").nth(3), Hold::Answer);
    let star = world.github().star(crate::world::FAN, id).unwrap();
    world.accepted(&star).await;
    gate.reached().await;
    world.stop().await;
    gate.release();
    let project = world.onedev().project(PATH).unwrap().id;
    world.start().await;
    world.drain().await;
    world.assert_healthy(id).await;
    let mirror = world.mirror(id).await;
    assert!(mirror.project.unwrap().id.0 == project && mirror.made_project);
    assert_eq!(world.onedev().projects().len(), 3);
    world.end().await;
}
}

#[actix::test]
async fn a_project_that_is_not_empty_where_we_were_about_to_make_one_is_somebodys() {
    let mut world = world();
    let id = world.repository("octo", "hello");
    world.start().await;
    let subject = starkeep::domain::event::Subject { id, name: "octo/hello".parse().unwrap() };
    let intend = world.store().write(move |c| {
        let (mirror, _) = mirrors::ensure(c, &subject, Source::Star, Utc::now())?;
        mirrors::intend_project(c, mirror.id, PATH, Utc::now())
    });
    intend.await.unwrap();
    let theirs = occupied(&world);
    world.star(id).await;
    world.assert_healthy(id).await;
    assert_eq!(world.path(id).await, format!("{PATH}-gh{id}"));
    assert_eq!(state(&world), theirs);
    world.end().await;
}

#[actix::test]
async fn a_connection_that_breaks_while_the_project_is_made_makes_no_second_one() {
    let mut world = world();
    let id = world.repository("octo", "hello");
    let create = Trigger::next(On::Rest).method("POST").path("/~api/projects").nth(3);
    world.onedev().fail(create, Fault::CutResponse { after: 0 });
    world.star(id).await;
    world.assert_healthy(id).await;
    assert_eq!(world.path(id).await, PATH);
    assert_eq!(world.onedev().projects().len(), 3);
    world.end().await;
}

#[actix::test]
async fn a_description_is_clipped_before_onedev_would_cut_a_character_in_two() {
    let mut world = world();
    let id = world.repository("octo", "hello");
    let long = format!("x{}", "\u{1f980}".repeat(10_000));
    world.github().set_description(id, Some(&long)).unwrap();
    world.star(id).await;
    world.assert_healthy(id).await;
    let kept = world.onedev().project(PATH).unwrap().description.unwrap();
    assert!(long.starts_with(&kept) && kept.encode_utf16().count() == 14_999, "{}", kept.encode_utf16().count());
    world.github().set_description(id, Some("short")).unwrap();
    let edited = serde_json::json!({ "description": { "from": "long" } });
    world.accepted(&world.github().repository_event(id, "edited", edited).unwrap()).await;
    world.drain().await;
    assert_eq!(world.onedev().project(PATH).unwrap().description.as_deref(), Some("short"));
    world.end().await;
}

#[actix::test]
async fn who_may_see_a_mirror_follows_upstream_where_that_is_asked_for() {
    let mut world = world();
    world.config.github.token = Some(world.github().token().to_owned().into());
    world.config.onedev.visibility = Visibility::Upstream;
    let (open, hidden) = (world.repository("octo", "hello"), world.repository("octo", "hidden"));
    world.github().set_private(hidden, true).unwrap();
    world.star(open).await;
    world.star(hidden).await;
    let roles = |path: &str| world.onedev().project(path).unwrap().base_roles;
    assert_eq!((roles(PATH), roles("github/octo/hidden")), (vec![READER], vec![]));
    world.github().set_private(open, true).unwrap();
    let privatized = world.github().repository_event(open, "privatized", serde_json::Value::Null).unwrap();
    world.accepted(&privatized).await;
    world.drain().await;
    world.assert_healthy(open).await;
    assert_eq!(world.onedev().project(PATH).unwrap().base_roles, Vec::<i64>::new());
    world.end().await;
}

/// Upstream answers questions about refs but never gives a pack.
fn packs_are_forbidden(world: &World) {
    world.github().fail(Trigger::next(On::FETCH).body("command=fetch").always(), Fault::answer(403, "no packs"));
}

on_both! {
async fn the_empty_project_of_a_first_mirror_that_fails_for_good_goes_and_only_that(world: World) {
    let mut world = world;
    let id = world.repository("octo", "hello");
    packs_are_forbidden(&world);
    world.star(id).await;
    world.assert_error(id, "upstream_forbidden").await;
    let paths: Vec<_> = world.onedev().projects().into_iter().map(|it| it.path).collect();
    assert_eq!(paths, ["github", "github/octo"]);
    assert!(world.mirror(id).await.project.is_none());
    world.github().clear_faults();
    world.sync(id).await;
    world.assert_healthy(id).await;
    world.end().await;
}
}

#[actix::test]
async fn a_project_in_which_somebody_put_something_meanwhile_is_not_taken_back() {
    for theirs in ["refs/heads/theirs", "refs/changes/1"] {
        let mut world = world();
        let id = world.repository("octo", "hello");
        let gate = world.github().hold(Trigger::next(On::FETCH).body("command=fetch"), Hold::Arrival);
        packs_are_forbidden(&world);
        world.start().await;
        let star = world.github().star(crate::world::FAN, id).unwrap();
        world.accepted(&star).await;
        gate.reached().await;
        let commit = world.onedev().commit(PATH, "theirs", "THEIRS", "theirs").unwrap();
        world.onedev().delete_ref(PATH, "refs/heads/theirs").unwrap();
        world.onedev().set_ref(PATH, theirs, commit).unwrap();
        gate.release();
        world.drain().await;
        assert_eq!(world.mirror(id).await.status, Status::Error);
        assert_eq!(world.onedev().refs(PATH).unwrap().get(&name(theirs)), Some(&commit));
        world.end().await;
    }
}

#[actix::test]
async fn an_adopted_project_and_a_proven_one_are_never_taken_back() {
    let mut world = world();
    world.config.onedev.on_conflict = OnConflict::Adopt;
    world.onedev().create_project(PATH).unwrap();
    let id = world.repository("octo", "hello");
    packs_are_forbidden(&world);
    world.star(id).await;
    assert!(world.onedev().project(PATH).is_some());
    let empty = world.github().create_repository("octo", "empty").unwrap();
    world.star(empty).await;
    world.github().commit(empty, "main", "README", "x").unwrap();
    let mirror = world.pushed(empty).await;
    assert_eq!(mirror.status, Status::Error);
    assert!(world.onedev().project("github/octo/empty").is_some());
    world.end().await;
}

#[actix::test]
async fn the_token_needs_no_more_than_the_root_project() {
    let mut world = world();
    world.onedev().create_project("github").unwrap();
    let token = world.onedev().scoped_token("github").unwrap();
    world.config.onedev.token = Some(token.into());
    let id = world.repository("octo", "hello");
    world.star(id).await;
    world.assert_healthy(id).await;
    world.end().await;
}
