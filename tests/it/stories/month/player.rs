//! Plays the month: does to the simulated GitHub what the plan says, has webhooks sent or lost, and lets each
//! day end when the service has done all that it can.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::Utc;
use serde_json::{Value, json};
use starkeep::domain::ids::{CorrelationId, GithubId};
use starkeep::domain::job::{JobKind, Priority};
use starkeep::domain::refs::{self, Oid};
use starkeep::simulator::{Delivery, Fault, Hold, On, Trigger};
use starkeep::store::jobs::{self, NewJob};
use starkeep::store::{mirrors, polls, vanished};
use uuid::Uuid;

use super::dice::Dice;
use super::judge;
use super::model::{Fate, Held, Model, Repo, Standing, Unstarred};
use super::plan::{self, Day, Event, Weather};
use crate::world::{FAN, World};

/// Whose repositories are starred: so many owners.
const OWNERS: usize = 40;
/// One in so many repositories is covered by the App; of the others no webhook tells.
const COVERED: usize = 3;
/// All mirrors are looked at once in so many days.
const SWEPT: usize = 12;

/// For all work of a day, on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(900);

/// The month as it goes on.
pub struct Month {
    pub world: World,
    pub model: Model,
    dice: Dice,
    /// Makes names and contents differ.
    serial: usize,
    /// Deliveries that were answered 202.
    pub guids: Vec<String>,
    /// How often each thing happened.
    pub happened: BTreeMap<Event, usize>,
}

impl Month {
    /// A user who has starred the first of so many repositories, and starts the service.
    pub async fn begin(mut world: World, mut dice: Dice, repositories: usize, starred: usize) -> Self {
        let goes = world.config.stars.unstar == starkeep::config::stars::Unstar::Delete;
        let unstarred = if goes { Unstarred::Goes } else { Unstarred::Stays };
        let mut repos: Vec<Repo> = Vec::new();
        for n in 0..repositories {
            let owner = format!("owner-{}", dice.below(OWNERS));
            repos.push(make(&world, &mut dice, &owner, &format!("r{n}")));
        }
        for repo in repos.iter_mut().take(starred) {
            world.github().star(FAN, repo.id).unwrap();
            repo.star();
        }
        let since = Utc::now();
        world.start().await;
        world.polled(since).await;
        world.drain_for(PATIENCE).await;
        let model = Model { repos, unstarred };
        let mut month = Self { world, model, dice, serial: 0, guids: Vec::new(), happened: BTreeMap::new() };
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
        self.look_at_stars().await;
        self.world.drain_for(PATIENCE).await;
        self.brighten(weather);
        if weather.is_clear() {
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
    }

    /// Sends the webhooks of a day, as far as they arrive; the service may die in the middle of what follows.
    async fn tell(&mut self, weather: Weather, deliveries: &[Delivery]) {
        if weather == Weather::LostWebhooks {
            return;
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
    async fn hour_passes(&self, all: bool) {
        let is_due = |it: &&Repo| all || it.unseen && !(it.fate == Some(Fate::Deleted) && it.id.0.rem_euclid(2) == 0);
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

    /// Something happens; gives what GitHub tells of it.
    fn happen(&mut self, event: Event, place: usize) -> Vec<Delivery> {
        self.serial += 1;
        self.model.repos[place].unseen = true;
        let told = match event {
            Event::Star | Event::Restar => vec![self.star(place)],
            Event::Unstar => {
                self.model.repos[place].unstar();
                vec![self.world.github().unstar(FAN, self.model.repos[place].id).unwrap()]
            }
            Event::Rename | Event::Transfer => vec![self.call_otherwise(event, place)],
            Event::NewLogin => return self.new_login(place),
            Event::TakeOver => return self.take_over(place),
            Event::Fork => return self.fork(place),
            Event::Delete | Event::Block | Event::Unblock => {
                self.end(event, place);
                Vec::new()
            }
            Event::Hide | Event::Show | Event::Archive | Event::Describe => vec![self.mark(event, place)],
            _ => vec![self.write(event, place)],
        };
        self.heard(place, told)
    }

    /// Only where the App is installed.
    fn heard(&self, place: usize, told: Vec<Delivery>) -> Vec<Delivery> {
        if self.model.repos[place].covered { told } else { Vec::new() }
    }

    fn star(&mut self, place: usize) -> Delivery {
        self.model.repos[place].star();
        self.world.github().star(FAN, self.model.repos[place].id).unwrap()
    }

    fn call_otherwise(&mut self, event: Event, place: usize) -> Delivery {
        let (github, n) = (self.world.github(), self.serial);
        let Repo { id, owner, name, .. } = self.model.repos[place].clone();
        if event == Event::Transfer {
            let new = format!("heir-{n}");
            github.transfer(id, &new).unwrap();
            self.model.repos[place].call(&new, &name);
            return github.transferred(id, &owner).unwrap();
        }
        let new = format!("{}-{n}", name.split('-').next().unwrap());
        github.rename(id, &new).unwrap();
        self.model.repos[place].call(&owner, &new);
        github.renamed(id, &name).unwrap()
    }

    /// GitHub tells the App nothing of it.
    fn new_login(&mut self, place: usize) -> Vec<Delivery> {
        let (old, new) = (self.model.repos[place].owner.clone(), format!("owner-n{}", self.serial));
        let account = self.world.github().account(&old);
        self.world.github().rename_account(account, &new).unwrap();
        for repo in self.model.repos.iter_mut().filter(|it| it.owner == old && it.fate != Some(Fate::Deleted)) {
            let name = repo.name.clone();
            // Nobody can see it of what GitHub does not show.
            let seen = repo.fate.is_some() || !repo.starred;
            repo.call(&new, &name);
            repo.unseen = !seen;
        }
        Vec::new()
    }

    /// The old name belongs to somebody else by the time anybody looks.
    fn take_over(&mut self, place: usize) -> Vec<Delivery> {
        let Repo { owner, name, .. } = self.model.repos[place].clone();
        let renamed = self.call_otherwise(Event::Rename, place);
        let mut told = self.heard(place, vec![renamed]);
        let new = make(&self.world, &mut self.dice, &owner, &name);
        self.model.repos.push(new);
        let place = self.model.repos.len() - 1;
        let starred = self.star(place);
        told.extend(self.heard(place, vec![starred]));
        told
    }

    fn fork(&mut self, of: usize) -> Vec<Delivery> {
        let (github, n) = (self.world.github(), self.serial);
        let parent = &mut self.model.repos[of];
        parent.forked = true;
        let (owner, name) = (format!("forker-{n}"), parent.name.clone());
        let id = github.fork(parent.id, &owner, &name).unwrap();
        // With something of its own.
        github.commit(id, "main", "FORK", &format!("fork {n}")).unwrap();
        let mut fork = Repo::new(id, &owner, &name, false);
        note_tips(&self.world, &mut fork);
        self.model.repos.push(fork);
        self.star(self.model.repos.len() - 1);
        Vec::new()
    }

    /// GitHub tells nobody.
    fn end(&mut self, event: Event, place: usize) {
        let (github, repo) = (self.world.github(), &mut self.model.repos[place]);
        match event {
            Event::Delete => {
                github.delete(repo.id).unwrap();
                repo.fate = Some(Fate::Deleted);
            }
            Event::Block => {
                github.block_451(repo.id).unwrap();
                repo.fate = Some(Fate::Blocked);
            }
            _ => {
                github.unblock(repo.id).unwrap();
                repo.fate = None;
            }
        }
    }

    fn mark(&mut self, event: Event, place: usize) -> Delivery {
        let (github, n, repo) = (self.world.github(), self.serial, &mut self.model.repos[place]);
        let (action, changes) = match event {
            Event::Hide => ("privatized", Value::Null),
            Event::Show => ("publicized", Value::Null),
            Event::Archive => ("archived", Value::Null),
            _ => ("edited", json!({ "description": { "from": "" } })),
        };
        match event {
            Event::Hide | Event::Show => {
                repo.hidden = event == Event::Hide;
                github.set_private(repo.id, repo.hidden).unwrap();
            }
            Event::Archive => {
                repo.read_only = true;
                github.set_archived(repo.id, true).unwrap();
            }
            _ => github.set_description(repo.id, Some(&format!("the {n}th text"))).unwrap(),
        }
        github.repository_event(repo.id, action, changes).unwrap()
    }

    /// Somebody pushes.
    fn write(&mut self, event: Event, place: usize) -> Delivery {
        let (github, n) = (self.world.github(), self.serial);
        let repo = &mut self.model.repos[place];
        let id = repo.id;
        let text = format!("change {n}");
        match event {
            Event::Force => drop(github.force_branch(id, "main").unwrap()),
            Event::Branch => {
                github.commit(id, &format!("b{}", repo.branches), "BRANCH", &text).unwrap();
                repo.branches += 1;
            }
            Event::Prune => {
                repo.branches -= 1;
                github.delete_ref(id, &format!("refs/heads/b{}", repo.branches)).unwrap();
            }
            Event::Tag | Event::Retag => {
                repo.tags += u32::from(event == Event::Tag);
                let target = github.commit_on(id, &[], "TAGGED", &text).unwrap();
                let name = format!("refs/tags/v{}", repo.tags);
                // libgit2 makes no tag where one stands.
                github.delete_ref(id, &name).unwrap();
                github.annotated_tag(id, &format!("v{}", repo.tags), target).unwrap();
            }
            Event::Empty => {
                for name in github.refs(id).unwrap().keys() {
                    github.delete_ref(id, name.as_str()).unwrap();
                }
                (repo.branches, repo.tags) = (0, 0);
            }
            _ => drop(github.commit(id, "main", "README", &text).unwrap()),
        }
        repo.empty = event == Event::Empty;
        note_tips(&self.world, &mut self.model.repos[place]);
        self.world.github().push(id, "refs/heads/main", None, None).unwrap()
    }
}

/// A small repository of two branches and a tag.
fn make(world: &World, dice: &mut Dice, owner: &str, name: &str) -> Repo {
    let github = world.github();
    let id = github.create_repository(owner, name).unwrap();
    let first = github.commit(id, "main", "README", &format!("{owner}/{name} {id}")).unwrap();
    let mut repo = Repo::new(id, owner, name, dice.once_in(COVERED));
    if dice.once_in(2) {
        github.set_ref(id, "refs/heads/b0", first).unwrap();
        repo.branches = 1;
    }
    if dice.once_in(2) {
        github.annotated_tag(id, "v1", first).unwrap();
        repo.tags = 1;
    }
    note_tips(world, &mut repo);
    repo
}

fn note_tips(world: &World, repo: &mut Repo) {
    repo.tips.extend(world.github().refs(repo.id).unwrap());
}
