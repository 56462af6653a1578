//! What becomes of an upstream: gone, blocked, renamed, hidden, too large, or asking for a pause.

use secrecy::SecretString;
use starkeep::domain::ids::GithubId;
use starkeep::domain::job::{JobKind, JobState};
use starkeep::domain::marker::REF;
use starkeep::domain::mirror::Status;
use starkeep::domain::refs::RefMap;
use starkeep::simulator::{Fault, On, SimulatorOptions, Trigger};
use starkeep::store::mirrors;

use super::tools::{MAIN, assert_whole, mirrored, name, world};
use crate::world::{World, on_both};

/// The mirror is gone with this reason, and its copy is as it was.
async fn assert_gone(world: &World, id: GithubId, code: &str, refs: &RefMap) {
    let mirror = world.mirror(id).await;
    let error = mirror.error.unwrap();
    assert_eq!((mirror.status, error.code.as_str()), (Status::Gone, code), "{}", error.message);
    let others = |all: &RefMap| all.iter().filter(|it| it.0.as_str() != REF).map(|it| (it.0.clone(), *it.1)).collect();
    let (now, then): (RefMap, RefMap) = (others(&world.refs(id).await), others(refs));
    assert_eq!(now, then, "only the marker says that it is gone");
    assert!(mirror.next_sync_at.is_some(), "it is looked for again");
}

on_both! {
async fn an_upstream_that_was_deleted_is_gone_and_the_copy_stays(world: World) {
    let mut world = world;
    let id = world.repository("octo", "hello");
    world.star(id).await;
    let refs = world.refs(id).await;
    world.github().delete(id).unwrap();
    world.check(id).await;
    assert_gone(&world, id, "upstream_not_found", &refs).await;
    world.sync(id).await;
    assert_gone(&world, id, "upstream_not_found", &refs).await;
    world.end().await;
}
}

on_both! {
async fn an_upstream_whose_owner_is_gone_too_says_so(world: World) {
    let mut world = world;
    let id = world.repository("octo", "hello");
    world.star(id).await;
    let refs = world.refs(id).await;
    let owner = world.github().account("octo");
    world.github().delete(id).unwrap();
    world.check(id).await;
    assert_gone(&world, id, "upstream_not_found", &refs).await;
    world.github().delete_account(owner);
    world.sync(id).await;
    assert_gone(&world, id, "upstream_owner_gone", &refs).await;
    let told = world.onedev().project("github/octo/hello").unwrap().description.unwrap();
    assert!(told.contains("no account `octo`"), "{told}");
    world.end().await;
}
}

#[actix::test]
async fn a_token_that_lacks_a_permission_is_an_error_and_nothing_is_gone() {
    let mut world = world();
    world.config.github.token = Some(world.github().token().to_owned().into());
    let id = world.repository("octo", "hello");
    world.star(id).await;
    let refs = world.refs(id).await;
    world.github().rename(id, "bye").unwrap();
    let refusal = r#"{"message": "Resource not accessible by personal access token"}"#;
    world.github().fail(Trigger::next(On::Rest), Fault::answer(403, refusal));
    world.sync(id).await;
    let message = world.assert_error(id, "github_forbidden").await;
    assert!(message.contains("not accessible"), "{message}");
    assert_eq!(world.refs(id).await, refs);
    world.sync(id).await;
    world.assert_healthy(id).await;
    world.end().await;
}

#[actix::test]
async fn with_a_token_a_deleted_upstream_is_told_from_a_refused_token() {
    let mut world = world();
    world.config.github.token = Some(world.github().token().to_owned().into());
    let id = world.repository("octo", "hello");
    world.star(id).await;
    let refs = world.refs(id).await;
    world.github().delete(id).unwrap();
    world.check(id).await;
    assert_gone(&world, id, "upstream_not_found", &refs).await;
    world.end().await;
}

on_both! {
async fn a_blocked_upstream_is_gone_and_comes_back(world: World) {
    let mut world = world;
    let id = world.repository("octo", "hello");
    world.star(id).await;
    let refs = world.refs(id).await;
    world.github().block_451(id).unwrap();
    world.check(id).await;
    assert_gone(&world, id, "upstream_unavailable", &refs).await;
    world.github().block_tos(id).unwrap();
    world.sync(id).await;
    assert_gone(&world, id, "upstream_blocked", &refs).await;
    world.github().unblock(id).unwrap();
    world.github().set_disabled(id, true).unwrap();
    world.sync(id).await;
    assert_gone(&world, id, "upstream_disabled", &refs).await;
    world.github().set_disabled(id, false).unwrap();
    world.github().commit(id, "main", "README", "back").unwrap();
    let mirror = world.pushed(id).await;
    world.assert_healthy(id).await;
    assert!(mirror.error.is_none());
    world.end().await;
}
}

on_both! {
async fn the_description_says_that_upstream_has_gone_until_it_is_back(world: World) {
    let mut world = world;
    let id = world.repository("octo", "hello");
    world.github().set_description(id, Some("says hello")).unwrap();
    world.star(id).await;
    let told = |world: &World| world.onedev().project("github/octo/hello").unwrap().description.unwrap();
    assert_eq!(told(&world), "says hello");
    world.github().block_451(id).unwrap();
    world.check(id).await;
    let first = told(&world);
    assert!(first.starts_with("[Gone from GitHub since ") && first.contains("(upstream_unavailable)"), "{first}");
    assert!(first.ends_with("]\n\nsays hello"), "{first}");
    world.sync(id).await;
    assert_eq!(told(&world), first, "a second look says the same");
    world.github().block_tos(id).unwrap();
    world.sync(id).await;
    let second = told(&world);
    assert!(second.contains("(upstream_blocked)") && !second.contains("upstream_unavailable"), "{second}");
    world.github().unblock(id).unwrap();
    world.sync(id).await;
    world.assert_healthy(id).await;
    assert_eq!(told(&world), "says hello");
    world.end().await;
}
}

on_both! {
async fn a_verification_of_what_is_gone_says_so(world: World) {
    let mut world = world;
    let id = world.repository("octo", "hello");
    world.star(id).await;
    let refs = world.refs(id).await;
    world.github().delete(id).unwrap();
    world.queue(id, JobKind::Verify).await;
    world.drain().await;
    assert_gone(&world, id, "upstream_not_found", &refs).await;
    world.end().await;
}
}

#[actix::test]
async fn each_way_of_being_shut_is_found_by_the_routine_check() {
    for (shut, code) in
        [("451", "upstream_unavailable"), ("tos", "upstream_blocked"), ("disabled", "upstream_disabled")]
    {
        let (world, id) = mirrored().await;
        let refs = world.refs(id).await;
        match shut {
            "451" => world.github().block_451(id),
            "tos" => world.github().block_tos(id),
            _ => world.github().set_disabled(id, true),
        }
        .unwrap();
        world.check(id).await;
        assert_gone(&world, id, code, &refs).await;
        world.end().await;
    }
}

#[actix::test]
async fn a_star_of_what_is_gone_already_leaves_no_project_behind() {
    let mut world = world();
    let id = world.repository("octo", "hello");
    world.start().await;
    let star = world.github().star(crate::world::FAN, id).unwrap();
    world.github().delete(id).unwrap();
    world.accepted(&star).await;
    world.drain().await;
    assert_eq!(world.mirror(id).await.status, Status::Gone);
    assert!(world.onedev().projects().is_empty());
    world.end().await;
}

#[actix::test]
async fn an_upstream_that_goes_in_the_middle_of_its_first_sync_leaves_no_project_behind() {
    let mut world = world();
    let id = world.repository("octo", "hello");
    let gate = world.github().hold(Trigger::next(On::FETCH), starkeep::simulator::Hold::Arrival);
    world.start().await;
    let star = world.github().star(crate::world::FAN, id).unwrap();
    world.accepted(&star).await;
    gate.reached().await;
    world.github().delete(id).unwrap();
    gate.release();
    world.drain().await;
    world.sync(id).await;
    assert_eq!(world.mirror(id).await.status, Status::Gone);
    assert!(world.onedev().project("github/octo/hello").is_none());
    world.end().await;
}

on_both! {
async fn a_renamed_upstream_is_followed_though_nobody_said_so(world: World) {
    let mut world = world;
    let id = world.repository("octo", "hello");
    world.star(id).await;
    world.github().rename(id, "bye").unwrap();
    world.github().transfer(id, "acme").unwrap();
    let mirror = world.check(id).await;
    world.assert_healthy(id).await;
    assert_eq!(mirror.name.to_string(), "acme/bye");
    let former = world.store().read(move |c| mirrors::former_names(c, mirror.id)).await.unwrap();
    assert_eq!(former.iter().map(|(it, _)| it.to_string()).collect::<Vec<_>>(), ["octo/hello"]);
    assert_eq!(world.path(id).await, "github/acme/bye", "its project follows");
    let projects = world.onedev().projects().len();
    world.github().commit(id, "main", "README", "under the new name").unwrap();
    world.pushed(id).await;
    world.assert_healthy(id).await;
    assert_eq!(world.onedev().projects().len(), projects);
    world.end().await;
}
}

on_both! {
async fn a_rename_is_announced(world: World) {
    let mut world = world;
    let id = world.repository("octo", "hello");
    world.star(id).await;
    world.github().rename(id, "bye").unwrap();
    world.accepted(&world.github().renamed(id, "hello").unwrap()).await;
    world.drain().await;
    world.assert_healthy(id).await;
    assert_eq!(world.mirror(id).await.name.to_string(), "octo/bye");
    world.end().await;
}
}

on_both! {
async fn a_name_that_another_repository_has_taken_over_leads_to_no_mix_up(world: World) {
    let mut world = world;
    let one = world.repository("octo", "hello");
    world.star(one).await;
    let first = world.tip(one, MAIN);
    world.github().rename(one, "bye").unwrap();
    let other = world.github().create_repository("octo", "hello").unwrap();
    world.github().commit(other, "main", "OTHER", "quite another project").unwrap();
    // Nobody said anything: the routine check sees other refs under the name that it knows.
    let mirror = world.check(one).await;
    world.assert_healthy(one).await;
    assert_eq!(mirror.name.to_string(), "octo/bye");
    world.assert_keeps(one, &[]).await;
    assert_eq!(world.refs(one).await.get(&name(MAIN)), Some(&first));
    world.star(other).await;
    world.assert_healthy(other).await;
    assert_ne!(world.path(one).await, world.path(other).await);
    world.end().await;
}
}

#[actix::test]
async fn a_star_or_a_push_under_a_new_name_is_not_synced_from_the_old_one() {
    for event in ["star", "push", "asked"] {
        let (mut world, one) = mirrored().await;
        world.github().rename(one, "bye").unwrap();
        let other = world.github().create_repository("octo", "hello").unwrap();
        world.github().commit(other, "main", "OTHER", "quite another project").unwrap();
        match event {
            "star" => world.star(one).await,
            "push" => world.pushed(one).await,
            _ => world.sync(one).await,
        };
        world.assert_healthy(one).await;
        world.assert_keeps(one, &[]).await;
        world.end().await;
    }
}

on_both! {
async fn a_private_upstream_is_read_with_the_token_and_gone_without(world: World) {
    let mut world = world;
    world.config.github.token = Some(world.github().token().to_owned().into());
    let id = world.repository("octo", "hidden");
    world.github().set_private(id, true).unwrap();
    let mirror = world.star(id).await;
    world.assert_healthy(id).await;
    assert!(mirror.upstream.unwrap().private);
    let refs = world.refs(id).await;
    world.stop().await;
    world.config.github.token = None;
    world.start().await;
    world.sync(id).await;
    assert_gone(&world, id, "upstream_not_found", &refs).await;
    world.end().await;
}
}

#[actix::test]
async fn a_revoked_token_is_an_error_that_names_the_key_and_is_not_tried_again() {
    let mut world = world();
    world.config.github.token = Some(world.github().token().to_owned().into());
    let id = world.repository("octo", "hello");
    world.star(id).await;
    let token = world.github().token().to_owned();
    world.github().revoke_token(&token);
    let message = {
        world.check(id).await;
        world.assert_error(id, "github_unauthorized").await
    };
    assert!(message.contains("github.token") && !message.contains(&token), "{message}");
    assert!(world.jobs().await.iter().any(|it| it.state == JobState::Dead && it.attempts == 1));
    world.github().add_token(&token);
    world.sync(id).await;
    world.assert_healthy(id).await;
    world.end().await;
}

#[actix::test]
async fn an_installation_token_that_was_revoked_early_is_minted_again_in_the_same_sync() {
    let mut world = world();
    world.config.github.app_id = u64::try_from(SimulatorOptions::default().app_id).ok();
    world.config.github.app_private_key =
        Some(SecretString::from(include_str!("../../../src/github/tests/app-key.pem")));
    let id = world.repository("octo", "hidden");
    world.github().set_private(id, true).unwrap();
    world.star(id).await;
    world.assert_healthy(id).await;
    let minted = world.github().mints();
    world.github().expire_installation_tokens();
    world.github().commit(id, "main", "README", "two").unwrap();
    world.pushed(id).await;
    world.assert_healthy(id).await;
    assert_eq!(world.github().mints(), minted + 1);
    assert!(world.jobs().await.iter().all(|it| it.attempts == 0));
    world.end().await;
}

on_both! {
async fn a_pause_that_github_asks_for_is_kept_and_no_attempt(world: World) {
    let mut world = world;
    let id = world.repository("octo", "hello");
    world.github().fail(Trigger::next(On::Rest), Fault::too_many_requests(600));
    world.star(id).await;
    let job = world.waiting().await;
    assert_eq!((job.attempts, job.error.as_ref().unwrap().0.as_str()), (0, "github_rate_limited"));
    assert!((job.run_after - chrono::Utc::now()).num_seconds() > 500, "{}", job.run_after);
    world.sync(id).await;
    let limited = world.mirror(id).await;
    if limited.status != Status::Healthy {
        // The client remembers GitHub's pause, and does not even ask.
        assert_eq!(limited.error.unwrap().code, "github_rate_limited");
        world.forgive().await;
        world.sync(id).await;
    }
    world.assert_healthy(id).await;
    world.end().await;
}
}

#[actix::test]
async fn a_pause_that_githubs_git_asks_for_is_kept_too() {
    let (mut world, id) = mirrored().await;
    world.github().commit(id, "main", "README", "two").unwrap();
    world.github().fail(Trigger::next(On::FETCH), Fault::too_many_requests(600));
    world.pushed(id).await;
    let job = world.waiting().await;
    assert_eq!((job.attempts, job.error.as_ref().unwrap().0.as_str()), (0, "upstream_rate_limited"));
    assert!((job.run_after - chrono::Utc::now()).num_seconds() > 500, "{}", job.run_after);
    world.github().clear_requests();
    assert_eq!(world.sync(id).await.error.unwrap().code, "github_rate_limited");
    let asked = world.github().requests();
    assert!(asked.iter().all(|it| !it.path.contains(".git")), "git is not asked meanwhile: {asked:#?}");
    world.forgive().await;
    world.sync(id).await;
    world.assert_healthy(id).await;
    world.end().await;
}

on_both! {
async fn an_upstream_larger_than_allowed_is_paused_and_goes_on_when_it_is_resumed(world: World) {
    let mut world = world;
    world.config.sync.max_bytes = Some(1 << 20);
    let id = world.repository("octo", "huge");
    world.github().set_size(id, 10_000).unwrap();
    let mirror = world.star(id).await;
    assert_eq!((mirror.status, mirror.error.unwrap().code.as_str()), (Status::Paused, "too_large"));
    assert!(world.onedev().projects().is_empty());
    world.pushed(id).await;
    assert_eq!(world.mirror(id).await.status, Status::Paused);
    world.stop().await;
    world.config.sync.max_bytes = None;
    world.start().await;
    world.store().write(move |c| mirrors::resume(c, mirror.id, chrono::Utc::now())).await.unwrap();
    world.sync(id).await;
    world.assert_healthy(id).await;
    world.end().await;
}
}

#[actix::test]
async fn a_pack_larger_than_allowed_is_given_up_and_the_mirror_paused() {
    let mut world = world();
    world.config.sync.max_bytes = Some(100_000);
    let id = world.repository("octo", "huge");
    world.github().commit(id, "main", "NOISE", &World::noise(400_000)).unwrap();
    let mirror = world.star(id).await;
    let error = mirror.error.unwrap();
    assert_eq!((mirror.status, error.code.as_str()), (Status::Paused, "upstream_too_large"), "{}", error.message);
    assert!(world.onedev().project("github/octo/huge").is_none(), "the empty project is taken back");
    world.end().await;
}

#[actix::test]
async fn an_archived_upstream_is_mirrored_like_any_other() {
    let (world, id) = mirrored().await;
    world.github().set_archived(id, true).unwrap();
    let archived = world.github().repository_event(id, "archived", serde_json::Value::Null).unwrap();
    world.accepted(&archived).await;
    world.drain().await;
    let mirror = world.mirror(id).await;
    assert!(mirror.upstream.unwrap().archived);
    world.assert_healthy(id).await;
    assert_whole(&world, &world.path(id).await);
    world.end().await;
}
