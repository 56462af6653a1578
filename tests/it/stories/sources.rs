//! What is kept besides stars: sources of the configuration, which are walked again and again.

use std::time::Duration;

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use starkeep::domain::ids::GithubId;
use starkeep::domain::job::{JobKind, Priority};
use starkeep::domain::mirror::{Source, Status};
use starkeep::domain::sources::{Declaration, Filter, Of, Visibility};
use starkeep::simulator::{Fault, Hold, On, Trigger};
use starkeep::store::listings::{self, Listing};
use starkeep::store::mirrors;

use crate::api;
use crate::world::{ADMIN, FAN, World, on_both};

fn source(of: Of) -> Declaration {
    Declaration { of, filter: Filter::default() }
}

fn organization(login: &str) -> Declaration {
    source(Of::Organization(login.to_owned()))
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|it| (*it).to_owned()).collect()
}

impl World {
    /// The sources are read so often.
    fn hurry(&mut self) {
        self.config.sources.interval = Duration::from_millis(50);
    }

    async fn sources(&self) -> Vec<Listing> {
        self.store().read(listings::declared).await.unwrap()
    }

    /// Waits until each source was read after `since` or has failed, and all that follows is done.
    async fn walked(&self, since: DateTime<Utc>) {
        let is_over = |it: &Listing| it.error.is_some() || it.whole_at.is_some_and(|at| at > since);
        self.sees("every source is read", |all| all.iter().all(is_over)).await;
        self.drain().await;
    }

    async fn sees(&self, what: &str, is_so: impl Fn(&[Listing]) -> bool) {
        let wait = async {
            loop {
                let all = self.sources().await;
                if all.len() == self.config.sources.all.len() && is_so(&all) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(120), wait).await.is_err() {
            panic!("never: {what}: {:#?}", self.sources().await);
        }
    }

    /// Two whole walks more.
    async fn walked_twice(&self) {
        for _ in 0..2 {
            self.walked(Utc::now()).await;
        }
    }

    async fn has_mirror(&self, id: GithubId) -> bool {
        self.store().read(move |c| mirrors::by_github_id(c, id)).await.unwrap().is_some()
    }

    async fn sync_jobs(&self) -> usize {
        self.jobs().await.into_iter().filter(|it| it.kind == JobKind::Sync).count()
    }

    async fn kept_mirrors(&self) -> u64 {
        self.store().read(mirrors::counts_by_status).await.unwrap().values().sum()
    }
}

on_both! {
async fn users_organizations_installations_and_names_become_mirrors(world: World) {
    let mut world = world.with_app();
    world.github().set_largest_page(2);
    world.github().install("acme").unwrap();
    world.github().make_organization("guild");
    let of_user: Vec<_> = (0..3).map(|n| world.repository("somebody", &format!("r{n}"))).collect();
    let of_guild: Vec<_> = (0..5).map(|n| world.repository("guild", &format!("r{n}"))).collect();
    let covered: Vec<_> = (0..3).map(|n| world.repository("acme", &format!("r{n}"))).collect();
    world.github().set_private(covered[2], true).unwrap();
    let (named, other) = (world.repository("octo", "named"), world.repository("octo", "other"));
    world.config.sources.all = vec![
        source(Of::User("somebody".to_owned())),
        organization("guild"),
        source(Of::Installation("acme".to_owned())),
        source(Of::Names(vec!["octo/named".parse().unwrap(), "octo/lost".parse().unwrap()])),
    ];
    world.start().await;
    world.walked(Utc::now() - chrono::TimeDelta::hours(1)).await;
    for id in of_user.iter().chain(&of_guild).chain(&covered) {
        world.assert_healthy(*id).await;
        assert_eq!(world.mirror(*id).await.source, Source::Owned);
    }
    world.assert_healthy(named).await;
    assert_eq!(world.mirror(named).await.source, Source::Declared);
    assert!(!world.has_mirror(other).await);
    let jobs = world.jobs().await;
    assert!(jobs.iter().filter(|it| it.kind == JobKind::Sync).all(|it| it.priority == Priority::ROUTINE));
    let sources = world.sources().await;
    let [failing] = sources.iter().filter_map(|it| it.error.as_ref()).collect::<Vec<_>>().try_into().unwrap();
    assert!(failing.0 == "upstream_not_found" && failing.1.contains("octo/lost"), "{failing:?}");
    let url = world.url("/metrics");
    let metrics = api::call(api::request(reqwest::Method::GET, &url).bearer_auth(ADMIN)).await.text;
    for line in ["starkeep_sources{state=\"read\"} 3", "starkeep_sources{state=\"failing\"} 1"] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
    world.end().await;
}
}

on_both! {
async fn with_his_own_token_a_users_private_repositories_are_listed_too(world: World) {
    let mut world = world;
    world.github().set_largest_page(2);
    let ids: Vec<_> = (0..5).map(|n| world.repository("somebody", &format!("r{n}"))).collect();
    world.github().set_private(ids[4], true).unwrap();
    world.github().give_token("ghp_own", "somebody");
    world.config.github.token = Some(SecretString::from("ghp_own"));
    world.config.sources.all = vec![source(Of::User("Somebody".to_owned()))];
    world.start().await;
    world.walked(Utc::now() - chrono::TimeDelta::hours(1)).await;
    for id in ids {
        world.assert_healthy(id).await;
    }
    world.end().await;
}
}

on_both! {
async fn what_does_not_pass_the_filter_is_left(world: World) {
    let mut world = world;
    world.github().make_organization("guild");
    let all = ["fits", "skip-this", "fork", "old", "large", "python", "plain", "tiny"];
    let ids = all.map(|name| world.repository("guild", name));
    for id in ids {
        world.github().set_traits(id, Some("Rust"), &["cli", "tool"]).unwrap();
        world.github().set_size(id, 20).unwrap();
    }
    let [fits, _, fork, old, large, python, plain, tiny] = ids;
    world.github().set_fork(fork, true).unwrap();
    world.github().set_archived(old, true).unwrap();
    world.github().set_size(large, 2000).unwrap();
    world.github().set_size(tiny, 1).unwrap();
    world.github().set_traits(python, Some("Python"), &["cli"]).unwrap();
    world.github().set_traits(plain, Some("Rust"), &[]).unwrap();
    let filter = Filter {
        include: texts(&["guild/*"]),
        exclude: texts(&["skip-*"]),
        forks: false,
        archived: false,
        visibility: Some(Visibility::Public),
        topics: texts(&["cli"]),
        languages: texts(&["rust"]),
        min_bytes: 10 << 10,
        max_bytes: Some(1 << 20),
    };
    let names = all.map(|name| format!("guild/{name}").parse().unwrap()).to_vec();
    let private = Filter { visibility: Some(Visibility::Private), ..Filter::default() };
    world.config.sources.all = vec![
        Declaration { filter: filter.clone(), ..organization("guild") },
        Declaration { of: Of::Names(names), filter },
        Declaration { filter: private, ..organization("guild") },
    ];
    world.start().await;
    world.walked(Utc::now() - chrono::TimeDelta::hours(1)).await;
    world.assert_healthy(fits).await;
    assert_eq!(world.kept_mirrors().await, 1);
    world.end().await;
}
}

on_both! {
async fn by_two_sources_and_a_star_it_is_one_mirror_which_outlives_the_star(world: World) {
    let mut world = world;
    world.hurry();
    world.github().make_organization("guild");
    let [starred, listed] = ["starred", "listed"].map(|name| world.repository("guild", name));
    let before = world.star(starred).await;
    world.stop().await;
    let names = ["guild/starred", "guild/listed"].map(|it| it.parse().unwrap()).to_vec();
    world.config.sources.all = vec![organization("guild"), source(Of::Names(names))];
    world.start().await;
    world.walked_twice().await;
    let after = world.mirror(starred).await;
    assert_eq!((after.id, after.source, world.kept_mirrors().await), (before.id, Source::Star, 2));
    assert_eq!(world.sync_jobs().await, 2, "neither is queued anew");

    world.star(listed).await;
    for id in [starred, listed] {
        assert_eq!(world.accepted(&world.github().unstar(FAN, id).unwrap()).await, "accepted");
        world.drain().await;
        world.assert_healthy(id).await;
    }
    // Declared no more it stays, and is what it was.
    world.stop().await;
    world.config.sources.all = Vec::new();
    world.start().await;
    assert!(world.sources().await.is_empty());
    world.assert_healthy(starred).await;
    world.star(starred).await;
    world.accepted(&world.github().unstar(FAN, starred).unwrap()).await;
    world.drain().await;
    assert_eq!(world.mirror(starred).await.status, Status::Archived);

    // Declared again it is wanted again.
    world.stop().await;
    world.config.sources.all = vec![organization("guild")];
    world.start().await;
    world.walked(Utc::now()).await;
    world.assert_healthy(starred).await;
    assert_eq!(world.kept_mirrors().await, 2);
    world.end().await;
}
}

on_both! {
async fn a_source_that_fails_holds_up_no_other_and_is_tried_again(world: World) {
    let mut world = world;
    world.hurry();
    world.github().make_organization("guild");
    let id = world.repository("guild", "hello");
    world.github().account("somebody");
    world.config.sources.all = ["nobody", "late", "somebody", "guild"].map(organization).to_vec();
    world.start().await;
    world.walked(Utc::now()).await;
    world.assert_healthy(id).await;
    let errors = |all: &[Listing]| all.iter().filter_map(|it| it.error.clone()).collect::<Vec<_>>();
    let first = errors(&world.sources().await);
    assert_eq!(first.len(), 3, "{first:#?}");
    assert!(first.iter().all(|it| it.0 == "github_no_user"), "{first:#?}");
    world.walked_twice().await;
    let mut again = errors(&world.sources().await);
    again.retain(|it| first.contains(it));
    assert_eq!(again.len(), 3, "it is the same failure, since the same time");

    world.github().make_organization("late");
    let late = world.repository("late", "hello");
    world.sees("one comes right", |all| errors(all).len() == 2).await;
    while !world.has_mirror(late).await {
        world.walked(Utc::now()).await;
    }
    world.drain().await;
    world.assert_healthy(late).await;
    world.end().await;
}
}

on_both! {
async fn after_a_kill_in_the_middle_of_a_walk_it_goes_on_there(world: World) {
    let mut world = world;
    world.config.sync.lease = Duration::from_secs(1);
    world.github().set_largest_page(2);
    world.github().make_organization("guild");
    world.attach().await;
    let ids: Vec<_> = (0..5).map(|n| world.repository("guild", &format!("r{n}"))).collect();
    world.config.sources.all = vec![organization("guild")];
    // Links to further pages have the account's number, the first page has its name.
    let gate = world.github().hold(Trigger::next(On::Rest).path("/organizations/"), Hold::Arrival);
    let process = world.process();
    gate.reached().await;
    process.kill();
    drop(gate);
    world.github().clear_faults();
    world.github().clear_requests();

    let process = world.process();
    world.walked(Utc::now() - chrono::TimeDelta::hours(1)).await;
    for id in &ids {
        world.assert_healthy(*id).await;
    }
    assert_eq!((world.kept_mirrors().await, world.sync_jobs().await), (5, 5));
    let lines: Vec<String> = world.github().requests().iter().map(|it| it.line()).collect();
    assert!(!lines.iter().any(|it| it.contains("/orgs/")), "the first page was read already: {lines:#?}");
    assert!(process.terminate().success());
}
}

on_both! {
async fn a_new_repository_is_found_at_the_next_walk_and_none_is_let_go(world: World) {
    let mut world = world;
    world.hurry();
    world.github().set_largest_page(2);
    world.github().make_organization("guild");
    let ids: Vec<_> = (0..3).map(|n| world.repository("guild", &format!("r{n}"))).collect();
    let filter = Filter { archived: false, ..Filter::default() };
    world.config.sources.all = vec![Declaration { filter, ..organization("guild") }];
    world.start().await;
    world.walked(Utc::now()).await;
    assert_eq!(world.kept_mirrors().await, 3);

    world.github().set_archived(ids[0], true).unwrap();
    world.github().transfer(ids[1], "elsewhere").unwrap();
    let new = world.repository("guild", "new");
    world.walked_twice().await;
    for id in ids.iter().chain([&new]) {
        world.assert_healthy(*id).await;
    }
    assert_eq!((world.kept_mirrors().await, world.sync_jobs().await), (4, 4), "what is kept already is not queued anew");
    world.end().await;
}
}

on_both! {
async fn a_name_that_github_does_not_tell_of_keeps_no_other_waiting(world: World) {
    let mut world = world;
    world.config.sources.interval = Duration::from_secs(1);
    let mut names: Vec<_> = (0..23).map(|n| format!("open-{n}")).collect();
    names.insert(3, "closed".to_owned());
    names.insert(22, "shut".to_owned());
    let ids: Vec<_> = names.iter().map(|name| world.repository("guild", name)).collect();
    for name in ["closed", "shut"] {
        let refusal = r#"{"message": "Resource protected by organization SAML enforcement."}"#;
        world.github().fail(Trigger::next(On::Rest).path(&format!("/guild/{name}")).always(), Fault::answer(403, refusal));
    }
    let all = names.iter().map(|name| format!("guild/{name}").parse().unwrap()).collect();
    world.config.sources.all = vec![source(Of::Names(all))];
    world.start().await;
    world.sees("two are refused", |all| all.iter().any(|it| it.error.is_some())).await;
    world.drain().await;
    let error = world.sources().await.remove(0).error.unwrap();
    assert_eq!(error.0, "github_forbidden", "{}", error.1);
    assert!(error.1.starts_with("guild/closed, guild/shut: ") && error.1.contains("SAML"), "{}", error.1);
    for (place, id) in ids.iter().enumerate().filter(|(place, _)| ![3, 22].contains(place)) {
        assert!(world.has_mirror(*id).await, "{}", names[place]);
        world.assert_healthy(*id).await;
    }
    world.github().clear_faults();
    world.sees("they are told now", |all| all.iter().all(|it| it.error.is_none())).await;
    world.drain().await;
    for id in ids {
        world.assert_healthy(id).await;
    }
    world.end().await;
}
}
