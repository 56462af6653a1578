//! Plays the month: does to the simulated GitHub what the plan says, has webhooks sent or lost, and lets each
//! day end when the service has done all that it can.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::Utc;
use starkeep::domain::ids::{CorrelationId, GithubId};
use starkeep::domain::job::{JobKind, Priority};
use starkeep::domain::refs::{self, Oid};
use starkeep::simulator::{Delivery, Fault, Hold, On, Trigger};
use starkeep::store::jobs::{self, NewJob};
use starkeep::store::{mirrors, polls, vanished};
use uuid::Uuid;

use super::super::notices::receiver::Receiver;
use super::beside;
use super::dice::Dice;
use super::events::make;
use super::judge;
use super::model::{Fate, Held, Model, Repo, Standing, Unstarred};
use super::plan::{self, Day, Event, Weather};
use crate::world::{FAN, World};

/// Whose repositories are starred: so many owners.
const OWNERS: usize = 40;
/// All mirrors are looked at once in so many days.
const SWEPT: usize = 12;

/// For all work of a day, on a machine that has other things to do.
pub const PATIENCE: Duration = Duration::from_secs(900);

/// The month as it goes on.
pub struct Month {
    pub world: World,
    pub model: Model,
    /// Who is told what became of mirrors.
    pub hook: Receiver,
    pub dice: Dice,
    /// The user's lists: GitHub's id, and the name.
    pub lists: Vec<(String, String)>,
    /// Makes names and contents differ.
    pub serial: usize,
    /// Deliveries that were answered 202.
    pub guids: Vec<String>,
    /// How often each thing happened.
    pub happened: BTreeMap<Event, usize>,
}

impl Month {
    /// A user who has starred the first of so many repositories, and starts the service.
    pub async fn begin(mut world: World, hook: Receiver, mut dice: Dice, repositories: usize, starred: usize) -> Self {
        let goes = world.config.stars.unstar == starkeep::config::stars::Unstar::Delete;
        let unstarred = if goes { Unstarred::Goes } else { Unstarred::Stays };
        let mut repos: Vec<Repo> = Vec::new();
        for n in 0..repositories {
            let owner =
                beside::owner(n, repositories).map_or_else(|| format!("owner-{}", dice.below(OWNERS)), str::to_owned);
            repos.push(make(&world, &mut dice, &owner, &format!("r{n}")));
        }
        beside::declare(&mut world, &mut repos);
        let lists = beside::lists(&world);
        for repo in repos.iter_mut().take(starred) {
            world.github().star(FAN, repo.id).unwrap();
            repo.star();
        }
        let since = Utc::now();
        world.start().await;
        world.polled(since).await;
        world.drain_for(PATIENCE).await;
        let model = Model { repos, unstarred };
        let (guids, happened) = (Vec::new(), BTreeMap::new());
        let mut month = Self { world, model, hook, dice, lists, serial: 0, guids, happened };
        month.read_sources().await;
        month.settle().await;
        month
    }

    /// The plan of the days to come.
    pub fn plan(&mut self) -> Vec<Day> {
        let repositories = self.model.repos.len();
        let to_come = self.model.repos.iter().filter(|it| !it.ever).count();
        plan::month(&mut self.dice, repositories, to_come)
    }

    /// Gives what could not happen to any repository on that day.
    pub async fn day(&mut self, day: Day) -> Vec<Event> {
        let weather = day.weather;
        self.darken(weather);
        let vanished = if matches!(weather, Weather::Mistake | Weather::Purge) { self.vanish() } else { Vec::new() };
        let (mut deliveries, mut late) = (Vec::new(), Vec::new());
        for event in day.events {
            let Some(place) = plan::choose(&mut self.dice, &self.model, event) else {
                late.push(event);
                continue;
            };
            println!("day {} {weather:?}: {event:?} {}", day.number, self.model.repos[place].full_name());
            deliveries.extend(self.happen(event, place));
            *self.happened.entry(event).or_default() += 1;
        }
        self.tell(weather, &deliveries).await;
        let all = weather.is_clear() && day.number % SWEPT == SWEPT - 1;
        self.hour_passes(all).await;
        self.lists_are_due().await;
        self.look_at_stars().await;
        if weather.is_clear() {
            self.read_sources().await;
        }
        self.world.drain_for(PATIENCE).await;
        self.brighten(weather);
        self.braked(&vanished).await;
        if weather == Weather::Mistake {
            self.come_back(&vanished).await;
        }
        if weather.is_clear() {
            // A day before may have been dark.
            self.world.caught_up_for(PATIENCE).await;
            self.believe_what_vanished().await;
            self.settle().await;
        }
        late
    }

    fn darken(&self, weather: Weather) {
        let github = self.world.github();
        match weather {
            Weather::Outage => github.fail(Trigger::next(On::Any).always(), Fault::answer(503, "down")),
            Weather::Silence => github.go_down(),
            Weather::LostToken => github.revoke_token(github.token()),
            _ => {}
        }
    }

    fn brighten(&self, weather: Weather) {
        let github = self.world.github();
        match weather {
            Weather::Outage => github.clear_faults(),
            Weather::Silence => github.come_back().unwrap(),
            Weather::LostToken => github.give_token(github.token(), FAN),
            _ => {}
        }
        // A month is an hour here: nobody waits a minute to see whether GitHub is back.
        self.world.app().metrics.outages.hurry();
    }

    /// Sends the webhooks of a day, as far as they arrive; the service may die in the middle of what follows.
    async fn tell(&mut self, weather: Weather, deliveries: &[Delivery]) {
        if weather == Weather::LostWebhooks {
            return;
        }
        if weather == Weather::Restart {
            // Whoever is told is away for a moment, too.
            self.hook.refusals.store(2, Ordering::SeqCst);
        }
        if weather == Weather::Kill {
            self.world.stop().await;
            self.world.attach().await;
        }
        let process = (weather == Weather::Kill).then(|| self.world.process());
        let dies = matches!(weather, Weather::Kill | Weather::Restart);
        let nth = u32::try_from(1 + self.dice.below(12)).unwrap();
        let hold = if self.dice.once_in(2) { Hold::Arrival } else { Hold::Answer };
        let gate = dies.then(|| self.world.onedev().hold(Trigger::next(On::Any).nth(nth), hold));
        for delivery in deliveries {
            for _ in 0..if weather == Weather::TwiceTold { 2 } else { 1 } {
                let url = process.as_ref().map_or_else(|| self.world.url("/webhooks/github"), |it| it.webhooks());
                let (code, answer) = delivery.deliver(&url).await.unwrap();
                assert_eq!(code, 202, "{answer}");
            }
            self.guids.push(delivery.guid.clone());
        }
        let Some(gate) = gate else { return };
        tokio::select! {
            () = gate.reached() => {}
            () = self.world.drain_for(PATIENCE) => {}
        }
        match process {
            Some(process) => process.kill(),
            None => self.world.stop().await,
        }
        drop(gate);
        self.world.onedev().clear_faults();
        self.world.start().await;
    }

    /// The time of the next look has come for what changed unheard, or for all; and what waits for GitHub is due.
    /// Of half of what was deleted the list of stars tells first, by not having it any more.
    pub async fn hour_passes(&self, all: bool) {
        let told_by_stars = |it: &Repo| it.starred && it.fate == Some(Fate::Deleted) && it.id.0.rem_euclid(2) == 0;
        let is_due = |it: &&Repo| all || it.unseen && !told_by_stars(it);
        let ids: Vec<GithubId> = self.model.repos.iter().filter(is_due).map(|it| it.id).collect();
        let due = move |c: &mut starkeep::store::Connection| {
            for id in &ids {
                let Some(mirror) = mirrors::by_github_id(c, *id)?.filter(|it| it.status.is_synced()) else { continue };
                let job = NewJob::of(JobKind::Sync, mirror.id, Priority::ROUTINE, CorrelationId(Uuid::now_v7()));
                jobs::enqueue(c, &job, Utc::now())?;
            }
            Ok(())
        };
        self.world.store().write(due).await.unwrap();
    }

    /// Too many at once wait for an admin, who says that it is right.
    async fn look_at_stars(&self) {
        let since = self.world.hasten().await;
        if self.world.polled(since).await.held.is_none() {
            return;
        }
        let now = Utc::now();
        self.world.store().write(move |c| polls::allow_mass_gone(c, FAN, now)).await.unwrap();
        assert!(self.world.polled(now).await.held.is_none());
    }

    /// The same for upstreams that vanish: in this story a month is less than a day.
    async fn believe_what_vanished(&self) {
        let confirm = |c: &mut starkeep::store::Connection| vanished::answer(c, None, true, Utc::now());
        if self.world.store().write(confirm).await.unwrap() > 0 {
            self.hour_passes(true).await;
            self.world.drain_for(PATIENCE).await;
        }
    }

    /// What happened until now has been seen: the model says what must have come of it.
    async fn settle(&mut self) {
        let unseen: Vec<usize> = (0..self.model.repos.len()).filter(|it| self.model.repos[*it].unseen).collect();
        for place in unseen {
            let id = self.model.repos[place].id;
            let level = self.model.standing(&self.model.repos[place]) == Standing::Level;
            let copy = level.then(|| Held {
                refs: refs::managed(&self.world.github().refs(id).unwrap(), &self.world.config.sync.refs),
                head: self.world.github().head(id).unwrap(),
            });
            let folder = self.world.github().repo_dir(id).ok();
            let descends = |new: Oid, old: Oid| {
                let git = git2::Repository::open_bare(folder.as_ref().unwrap()).unwrap();
                let native = |oid: Oid| git2::Oid::from_str(&oid.to_string()).unwrap();
                git.graph_descendant_of(native(new), native(old)).unwrap_or(false)
            };
            self.model.settle(place, copy, descends);
            judge::one(&self.world, &self.model, &self.model.repos[place]).await;
        }
    }
}
