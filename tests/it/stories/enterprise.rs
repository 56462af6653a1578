//! A GitHub Enterprise Server: the API below a path, and a GraphQL that knows less.

use chrono::{TimeDelta, Utc};
use starkeep::domain::ids::GithubId;
use starkeep::simulator::SimulatorOptions;
use starkeep::store::{polls, star_lists};

use crate::world::{Backend, FAN, World};

/// Stars and lists are read with a token, and lists say where mirrors go.
fn enterprise() -> World {
    let options = SimulatorOptions { api_prefix: "/api/v3".to_owned(), ..SimulatorOptions::default() };
    let mut world = World::with(Backend::Sqlite, &options).unwrap().polling();
    world.config.github.token = Some(world.github().token().to_owned().into());
    world.config.onedev.naming = "{list}/{owner}/{name}".to_owned();
    world
}

/// How often each of these was asked for.
fn asked(world: &World, path: &str) -> usize {
    world.github().requests().iter().filter(|it| it.path.starts_with(path)).count()
}

#[actix::test]
async fn stars_are_kept_and_star_lists_that_are_not_there_spoil_nothing() {
    let mut world = enterprise();
    let ids: Vec<GithubId> = ["a", "b"].map(|name| world.repository("octo", name)).to_vec();
    ids.iter().for_each(|id| drop(world.github().star(FAN, *id).unwrap()));
    let poll = world.first_look().await;
    assert_eq!((poll.failures, poll.error), (0, None));
    for id in &ids {
        world.assert_healthy(*id).await;
    }
    assert_eq!(world.path(ids[0]).await, "github/unlisted/octo/a");
    let graphql = asked(&world, "/api/graphql");
    assert!(graphql > 0 && asked(&world, "/api/v3/") > 0);
    assert_eq!(asked(&world, "/user") + asked(&world, "/repo") + asked(&world, "/graphql"), 0, "nothing beside it");

    // The lists are due again, as they will be for ever.
    for round in 1..=3 {
        let account = poll.account.clone().unwrap().0;
        world.store().write(move |c| star_lists::hasten(c, account, Utc::now())).await.unwrap();
        let again = world.look_at_stars().await;
        assert_eq!((again.failures, again.error), (0, None));
        let reading = world.store().read(star_lists::readings).await.unwrap().remove(0);
        assert_eq!((reading.failures, reading.error, reading.read_at.is_some()), (0, None, true));
        assert!(reading.next_at > Utc::now() + TimeDelta::minutes(1), "not at once again");
        assert_eq!(asked(&world, "/api/graphql"), graphql + round, "one question each time");
    }

    // A fresh star comes as it would anywhere, by its webhook too.
    let fresh = world.repository("octo", "fresh");
    world.star(fresh).await;
    world.assert_healthy(fresh).await;
    let polls = world.store().read(polls::list).await.unwrap();
    assert!(polls.iter().all(|it| it.failures == 0), "{polls:?}");
    world.end().await;
}
