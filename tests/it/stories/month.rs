//! A month of a user's life: three hundred repositories, and everything that GitHub can do to them.
//!
//! `STARKEEP_TEST_SEED` repeats a month, `STARKEEP_TEST_REPOSITORIES` makes it larger or smaller.

mod beside;
mod dice;
mod events;
mod judge;
mod model;
mod plan;
mod player;
mod told;

use std::time::Duration;

use chrono::Utc;
use starkeep::config::stars::Unstar;

use self::dice::Dice;
use self::plan::{COUNTED_FOR, DECK};
use self::player::Month;
use crate::world::{Backend, FAN, World};

const SEED: u64 = 20_240_101;

#[actix::test]
async fn every_repository_that_was_ever_starred_is_kept_on_sqlite() {
    live(World::new(Backend::Sqlite).unwrap(), 300).await;
}

#[actix::test]
async fn every_repository_that_was_ever_starred_is_kept_on_postgres() {
    if let Some(mut world) = World::new(Backend::Postgres) {
        // A killed process's leases must run out there.
        world.config.sync.lease = Duration::from_secs(3);
        live(world, 60).await;
    }
}

#[actix::test]
async fn what_nobody_stars_any_more_goes_where_that_is_wanted_and_nothing_else() {
    let mut world = World::new(Backend::Sqlite).unwrap();
    (world.config.stars.unstar, world.config.stars.delete_after) = (Unstar::Delete, Duration::ZERO);
    live(world, 40).await;
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|it| it.parse().ok())
}

async fn live(mut world: World, repositories: usize) {
    let seed = number("STARKEEP_TEST_SEED").unwrap_or(SEED);
    let repositories = number("STARKEEP_TEST_REPOSITORIES").map_or(repositories, |it| usize::try_from(it).unwrap());
    println!("seed {seed}, {repositories} repositories");
    // The user's own token, with far more requests than a real one: the month passes in a minute.
    let token = world.github().token().to_owned();
    world.github().give_token(&token, FAN);
    world.github().set_rate_limit(1_000_000, 1_000_000, Utc::now().timestamp() + 86_400);
    world.config.github.token = Some(token.into());
    // Whoever stops does not wait for what is under way.
    world.config.server.shutdown_timeout = Duration::from_millis(10);
    let (mut world, hook) = world.polling().telling();
    // The shortest that may be configured, and every name, so that it can be followed who was told what.
    (world.config.notify.digest, world.config.notify.names) = (Duration::from_secs(1), 1_000);
    // Some come by being taken over and forked: three hundred in the end.
    let made = repositories * 24 / 25;
    let mut month = Month::begin(world, hook, Dice::new(seed), made, made * 2 / 3).await;
    let mut late = Vec::new();
    for mut day in month.plan() {
        day.events.append(&mut late);
        late = month.day(day).await;
    }
    println!("{:?}", month.happened);
    if repositories >= COUNTED_FOR {
        let missing: Vec<_> = DECK.iter().filter(|(it, _)| !month.happened.contains_key(it)).collect();
        assert!(missing.is_empty(), "that never happened: {missing:?}");
        assert!(month.model.repos.iter().any(|it| !it.lost.is_empty()), "no tip was overwritten");
    }
    judge::all(&month).await;
    month.is_told().await;
    month.world.end().await;
}
