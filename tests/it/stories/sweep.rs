//! What changed is asked of GitHub before git: a hundred mirrors in one request.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::SecretString;
use starkeep::domain::ids::GithubId;
use starkeep::domain::mirror::Status;
use starkeep::simulator::{Fault, Hold, On, Trigger};
use starkeep::store::mirrors::{self, Mirror};
use starkeep::store::page::Window;
use starkeep::store::sweeps::{self, UPSTREAMS};
use starkeep::store::syncs;

use crate::level::level;
use crate::world::{Backend, World, on_both};

/// Sweeps ask here.
const GRAPHQL: &str = "/graphql";
/// Not git's turn.
const LATER: TimeDelta = TimeDelta::days(1);

impl World {
    /// With the token that the simulated GitHub knows: sweeps are on.
    fn sweeping(mut self) -> Self {
        self.config.github.token = Some(SecretString::from(self.github().token().to_owned()));
        self
    }

    /// Makes mirrors due now, and git's turn after so long.
    async fn make_mirrors_due(&self, ids: &[GithubId], turn: TimeDelta) -> DateTime<Utc> {
        let mut mirrors = Vec::new();
        for id in ids {
            mirrors.push(self.mirror(*id).await.id);
        }
        let now = Utc::now();
        let due = move |c: &mut starkeep::store::Connection| {
            mirrors.iter().try_for_each(|id| {
                mirrors::plan_full(c, *id, now + turn)?;
                mirrors::schedule(c, *id, Some(now), now).map(drop)
            })
        };
        self.store().write(due).await.unwrap();
        now
    }

    /// Waits until every one has been looked at, by whomever, and all that follows is done.
    async fn all_looked_at(&self, ids: &[GithubId], since: DateTime<Utc>) {
        let wait = async {
            for id in ids {
                while self.mirror(*id).await.next_sync_at.is_none_or(|it| it <= since) {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(120), wait).await.expect("they are looked at");
        self.drain().await;
    }

    /// A look at each, and all that follows.
    async fn look_at_mirrors(&self, ids: &[GithubId]) {
        let since = self.make_mirrors_due(ids, LATER).await;
        self.all_looked_at(ids, since).await;
    }

    /// Requests of sweeps, and requests of git.
    fn sweeps_and_git(&self) -> (usize, usize) {
        let all = self.github().requests();
        let sweeps = all.iter().filter(|it| it.path == GRAPHQL).count();
        (sweeps, all.iter().filter(|it| it.path.contains(".git")).count())
    }

    async fn code_runs(&self, id: GithubId) -> usize {
        let mirror = self.mirror(id).await.id;
        self.store().read(move |c| syncs::list(c, mirror, &Window::default())).await.unwrap().items.len()
    }

    /// So many repositories, starred and level.
    async fn level_mirrors(&mut self, count: usize) -> Vec<GithubId> {
        let mut ids = Vec::new();
        for n in 0..count {
            let id = self.repository("octo", &format!("r{n}"));
            self.star(id).await;
            ids.push(id);
        }
        // The mark of each project follows its first sync.
        self.drain().await;
        self.github().clear_requests();
        ids
    }
}

fn proof(mirror: &Mirror) -> DateTime<Utc> {
    mirror.proof.as_ref().unwrap().verified_at
}

on_both! {
async fn a_sweep_with_nothing_new_asks_git_for_nothing(world: World) {
    let mut world = world.sweeping();
    let ids = world.level_mirrors(3).await;
    let before = world.mirror(ids[0]).await;
    world.look_at_mirrors(&ids).await;
    assert_eq!(world.sweeps_and_git(), (1, 0));
    let after = world.mirror(ids[0]).await;
    assert_eq!((after.status, proof(&after)), (Status::Healthy, proof(&before)), "a sweep proves nothing");
    assert_eq!(after.last_synced_at, before.last_synced_at);
    let next = after.next_sync_at.unwrap() - Utc::now();
    assert!(next > TimeDelta::minutes(0) && next < TimeDelta::hours(5), "{next}");
    assert_eq!(world.code_runs(ids[0]).await, 1);
    world.end().await;
}
}

on_both! {
async fn what_was_pushed_to_is_synced_once(world: World) {
    let mut world = world.sweeping();
    let ids = world.level_mirrors(3).await;
    world.github().commit(ids[1], "main", "README", "new").unwrap();
    world.look_at_mirrors(&ids).await;
    world.assert_healthy(ids[1]).await;
    assert_eq!((world.code_runs(ids[0]).await, world.code_runs(ids[1]).await), (1, 2));
    world.github().clear_requests();
    world.look_at_mirrors(&ids).await;
    assert_eq!(world.sweeps_and_git(), (1, 0), "the same push is no news");
    assert_eq!(world.code_runs(ids[1]).await, 2);
    world.end().await;
}
}

on_both! {
async fn a_renamed_one_is_asked_about_and_goes_on_under_its_new_name(world: World) {
    let mut world = world.sweeping();
    let ids = world.level_mirrors(2).await;
    world.github().rename(ids[0], "better").unwrap();
    world.look_at_mirrors(&ids).await;
    assert_eq!(world.mirror(ids[0]).await.name.to_string(), "octo/better");
    world.assert_healthy(ids[0]).await;
    assert_eq!(world.code_runs(ids[1]).await, 1);
    world.end().await;
}
}

on_both! {
async fn one_that_is_not_shown_any_more_is_gone_by_the_usual_way(world: World) {
    let mut world = world.sweeping();
    let ids = world.level_mirrors(3).await;
    world.github().delete(ids[0]).unwrap();
    world.look_at_mirrors(&ids).await;
    let gone = world.mirror(ids[0]).await;
    assert_eq!((gone.status, gone.error.unwrap().code.as_str()), (Status::Gone, "upstream_not_found"));
    assert_eq!((world.code_runs(ids[1]).await, world.code_runs(ids[2]).await), (1, 1));
    world.end().await;
}
}

on_both! {
async fn errors_beside_data_lose_only_what_they_are_about(world: World) {
    let mut world = world.sweeping();
    let ids = world.level_mirrors(4).await;
    // Not shown though it is there, not answered, and a null without a word.
    world.github().fail_node(ids[0], Some("NOT_FOUND"));
    world.github().fail_node(ids[1], Some("SERVICE_UNAVAILABLE"));
    world.github().fail_node(ids[2], None);
    world.look_at_mirrors(&ids).await;
    for id in &ids {
        world.assert_healthy(*id).await;
    }
    assert_eq!((world.code_runs(ids[0]).await, world.code_runs(ids[1]).await, world.code_runs(ids[2]).await), (2, 2, 2));
    assert_eq!(world.code_runs(ids[3]).await, 1);
    // Within a day the two that were doubted are git's alone: never again a question to REST for each look.
    world.github().mend_nodes();
    world.github().clear_requests();
    world.look_at_mirrors(&ids).await;
    let (sweeps, git) = world.sweeps_and_git();
    assert!(sweeps <= 2 && git >= 2, "{sweeps} sweeps, {git} of git");
    assert!(!world.github().requests().iter().any(|it| it.path.starts_with("/repositories/")));
    world.end().await;
}
}

on_both! {
async fn while_graphql_is_limited_nothing_is_taken_for_quiet(world: World) {
    let mut world = world.sweeping();
    let ids = world.level_mirrors(2).await;
    let reset = (Utc::now() + TimeDelta::minutes(30)).timestamp();
    world.github().set_graphql_limit(5_000, 0, reset);
    let since = world.make_mirrors_due(&ids, LATER).await;
    let limited = async {
        loop {
            let sweep = world.store().read(|c| sweeps::find(c, UPSTREAMS)).await.unwrap();
            if let Some(it) = sweep.filter(|it| it.next_at > since + TimeDelta::minutes(10)) {
                return it;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let sweep = tokio::time::timeout(Duration::from_secs(60), limited).await.expect("the pause is kept");
    assert_eq!(sweep.failures, 0, "waiting that GitHub asked for");
    assert!(world.mirror(ids[0]).await.next_sync_at.unwrap() <= since);
    world.end().await;
}
}

on_both! {
async fn while_sweeps_fail_git_looks(world: World) {
    let mut world = world.sweeping();
    let ids = world.level_mirrors(2).await;
    world.github().fail(Trigger::next(On::Rest).path(GRAPHQL).always(), Fault::answer(502, "oops"));
    let failed = |c: &mut starkeep::store::Connection| {
        let (now, lease) = (Utc::now(), TimeDelta::seconds(1));
        assert!(sweeps::claim(c, UPSTREAMS, "another", lease, now)?);
        sweeps::release(c, UPSTREAMS, "another", now + TimeDelta::hours(1), 3).map(drop)
    };
    world.store().write(failed).await.unwrap();
    world.look_at_mirrors(&ids).await;
    assert_eq!(world.sweeps_and_git().0, 0, "no sweep is due");
    assert_eq!((world.code_runs(ids[0]).await, world.code_runs(ids[1]).await), (2, 2));
    world.end().await;
}
}

on_both! {
async fn without_a_token_git_looks(world: World) {
    let mut world = world;
    let ids = world.level_mirrors(2).await;
    world.look_at_mirrors(&ids).await;
    let (sweeps, git) = world.sweeps_and_git();
    assert_eq!(sweeps, 0);
    assert!(git >= 2, "{git}");
    assert_eq!((world.code_runs(ids[0]).await, world.code_runs(ids[1]).await), (2, 2));
    world.end().await;
}
}

on_both! {
async fn git_has_its_turn_whatever_sweeps_say(world: World) {
    let mut world = world.sweeping();
    let ids = world.level_mirrors(2).await;
    let since = world.make_mirrors_due(&ids[..1], TimeDelta::zero()).await;
    world.all_looked_at(&ids[..1], since).await;
    world.look_at_mirrors(&ids[1..]).await;
    assert_eq!((world.code_runs(ids[0]).await, world.code_runs(ids[1]).await), (2, 1));
    world.end().await;
}
}

on_both! {
async fn a_process_that_dies_in_a_sweep_leaves_it_to_the_next(world: World) {
    let mut world = world.sweeping();
    world.config.sync.lease = Duration::from_secs(1);
    let ids = world.level_mirrors(2).await;
    world.github().commit(ids[1], "main", "README", "new").unwrap();
    world.stop().await;
    let gate = world.github().hold(Trigger::next(On::Rest).path(GRAPHQL), Hold::Arrival);
    let since = world.make_mirrors_due(&ids, LATER).await;
    let first = world.process();
    gate.reached().await;
    first.kill();
    gate.release();
    world.start().await;
    world.all_looked_at(&ids, since).await;
    world.assert_healthy(ids[1]).await;
    assert_eq!((world.code_runs(ids[0]).await, world.code_runs(ids[1]).await), (1, 2));
    world.end().await;
}
}

#[actix::test]
async fn two_processes_sweep_once() {
    let Some(world) = World::new(Backend::Postgres) else { return };
    let mut world = world.sweeping();
    let ids = world.level_mirrors(3).await;
    let second = world.process();
    world.look_at_mirrors(&ids).await;
    // Both have ticked since.
    world.look_at_mirrors(&ids).await;
    assert_eq!(world.sweeps_and_git(), (2, 0));
    assert!(second.terminate().success());
    world.end().await;
}

on_both! {
async fn one_token_of_two_is_revoked_and_the_other_goes_on(world: World) {
    let mut world = world.sweeping();
    world.github().add_token("another");
    world.config.github.tokens = vec![SecretString::from("another")];
    let ids = world.level_mirrors(2).await;
    let token = world.github().token().to_owned();
    world.github().revoke_token(&token);
    world.github().commit(ids[0], "main", "README", "new").unwrap();
    world.look_at_mirrors(&ids).await;
    for id in &ids {
        world.assert_healthy(*id).await;
    }
    // Git too.
    world.sync(ids[1]).await;
    world.assert_healthy(ids[1]).await;
    assert_eq!(world.app().metrics.github_credentials_set_aside.get(), 1);
    world.end().await;
}
}

on_both! {
async fn two_thousand_unchanged_mirrors_cost_twenty_requests(world: World) {
    const COUNT: usize = 2_000;
    let mut world = world.sweeping();
    let ids: Vec<_> = (0..COUNT).map(|n| world.github().add_unborn("octo", &format!("r{n}"))).collect();
    let seeds = ids.clone();
    let store = world.attach().await;
    store
        .write(move |c| {
            let now = Utc::now();
            for (n, id) in seeds.iter().enumerate() {
                level(c, *id, format!("octo/r{n}").parse().unwrap(), now)?;
            }
            Ok(())
        })
        .await
        .unwrap();
    let since = Utc::now();
    world.start().await;
    let swept = async {
        while !world.store().read(move |c| mirrors::due(c, since, 1)).await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), swept).await.expect("all are swept");
    // A few may be due again before the last one was looked at.
    let (sweeps, git) = world.sweeps_and_git();
    assert!((COUNT / 100..=COUNT / 100 + 4).contains(&sweeps) && git == 0, "{sweeps} and {git}");
    world.end().await;
}
}
