//! What there is beside one user's stars: his lists, sources of the configuration, and an owner of whom GitHub shows
//! nothing all at once.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use starkeep::domain::mirror::Status;
use starkeep::domain::sources::{Declaration, Filter, Of};
use starkeep::simulator::Delivery;
use starkeep::store::listings::{self, Listing};
use starkeep::store::{polls, star_lists, vanished};

use super::events::make;
use super::model::{Fate, Repo};
use super::player::{Month, PATIENCE};
use crate::world::{FAN, World};

/// An organization whose repositories are kept, starred or not.
pub const GUILD: &str = "guild";
/// The owner who vanishes.
const MOB: &str = "mob";
const MOST_OF_MOB: usize = 8;
/// So many of an owner's mirrors that vanish within a day are not believed.
const TOO_MANY: usize = 5;
const LISTS: [&str; 3] = ["Tools", "Machine Learning", "To read"];

/// Whose the `n`th of so many repositories is, if it is one of these: the vanishing ones are starred from the
/// beginning, those of the organization are not.
pub fn owner(n: usize, of: usize) -> Option<&'static str> {
    let guild = (of / 25).max(4);
    if n < MOST_OF_MOB {
        return Some(MOB);
    }
    (n >= of - guild).then_some(GUILD)
}

/// The organization, and two repositories by name: one of the organization's, one of somebody else.
pub fn declare(world: &mut World, repos: &mut [Repo]) {
    world.github().make_organization(GUILD);
    let mob = repos.iter_mut().filter(|it| it.owner == MOB);
    mob.for_each(|it| it.firm = true);
    let of_guild = repos.iter().position(|it| it.owner == GUILD).unwrap();
    let mut names = Vec::new();
    for place in [of_guild, of_guild - 1] {
        let repo = &mut repos[place];
        (repo.firm, repo.declared, repo.unseen) = (true, true, true);
        names.push(repo.full_name().parse().unwrap());
    }
    let of = [Of::Organization(GUILD.to_owned()), Of::Names(names)];
    world.config.sources.all = of.map(|of| Declaration { of, filter: Filter::default() }).to_vec();
}

pub fn lists(world: &World) -> Vec<(String, String)> {
    LISTS.map(|name| (world.github().create_list(FAN, name, false), name.to_owned())).to_vec()
}

impl Month {
    pub fn put_in_list(&mut self, place: usize) -> Vec<Delivery> {
        let (id, name) = self.lists[self.dice.below(self.lists.len())].clone();
        self.world.github().put_in_list(&id, self.model.repos[place].id).unwrap();
        self.model.repos[place].lists.insert(name);
        Vec::new()
    }

    pub fn take_from_list(&mut self, place: usize) -> Vec<Delivery> {
        let repo = &mut self.model.repos[place];
        let name = repo.lists.pop_first().unwrap();
        let (id, _) = self.lists.iter().find(|it| it.1 == name).unwrap();
        self.world.github().take_from_list(id, repo.id).unwrap();
        Vec::new()
    }

    /// The organization has one more.
    pub fn found(&mut self) -> Vec<Delivery> {
        let name = format!("n{}", self.serial);
        let new = make(&self.world, &mut self.dice, GUILD, &name);
        self.model.repos.push(new);
        Vec::new()
    }

    /// The user's lists are read with his stars.
    pub async fn lists_are_due(&self) {
        let due = |c: &mut starkeep::store::Connection| {
            let account = polls::find(c, FAN)?.and_then(|it| it.account);
            account.map_or(Ok(()), |(id, _)| star_lists::hasten(c, id, Utc::now()))
        };
        self.world.store().write(due).await.unwrap();
    }

    /// The time of the sources has come, and they are read whole.
    pub async fn read_sources(&self) {
        let (all, since) = (self.world.config.sources.all.clone(), Utc::now());
        let (count, known) = (all.len(), || unreachable!("they are declared"));
        let due =
            move |c: &mut starkeep::store::Connection| listings::declare(c, &all, TimeDelta::zero(), known, since);
        self.world.store().write(due).await.unwrap();
        let is_read = |it: &Listing| it.error.is_none() && it.whole_at.is_some_and(|at| at > since);
        let read = async {
            loop {
                let all = self.world.store().read(listings::declared).await.unwrap();
                if all.len() == count && all.iter().all(is_read) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(120), read).await.is_err() {
            panic!("the sources are not read: {:#?}", self.world.store().read(listings::declared).await.unwrap());
        }
    }

    /// GitHub shows nothing of one owner. Gives what had a mirror that was level.
    pub fn vanish(&mut self) -> Vec<usize> {
        let is_level = |it: &Repo| it.owner == MOB && it.fate.is_none() && !it.unseen;
        let all: Vec<usize> = (0..self.model.repos.len()).filter(|it| is_level(&self.model.repos[*it])).collect();
        for place in &all {
            let repo = &mut self.model.repos[*place];
            self.world.github().block_451(repo.id).unwrap();
            (repo.fate, repo.unseen) = (Some(Fate::Blocked), true);
        }
        all
    }

    /// The first few are believed; the others wait, and nothing was done to them.
    pub async fn braked(&self, vanished: &[usize]) {
        let mut held = 0;
        for place in vanished {
            let mirror = self.world.mirror(self.model.repos[*place].id).await;
            let code = mirror.error.as_ref().map(|it| it.code.as_str());
            assert!(matches!(code, Some("upstream_unavailable" | "mass_gone")), "{mirror:#?}");
            if code == Some("mass_gone") {
                assert_eq!((mirror.status, mirror.unstarred_at), (Status::Error, None), "{mirror:#?}");
                held += 1;
            }
        }
        let least = (vanished.len() + 1).saturating_sub(TOO_MANY);
        assert!(held >= least, "{held} of {} wait for an admin", vanished.len());
    }

    /// It was GitHub's mistake, and an admin says so.
    pub async fn come_back(&mut self, vanished: &[usize]) {
        for place in vanished {
            let repo = &mut self.model.repos[*place];
            self.world.github().unblock(repo.id).unwrap();
            repo.fate = None;
        }
        self.world.store().write(|c| vanished::answer(c, None, false, Utc::now())).await.unwrap();
        self.hour_passes(false).await;
        self.world.drain_for(PATIENCE).await;
    }

    /// In how many of the user's lists a mirror is must be what he did.
    pub async fn is_listed(&self, repo: &Repo) {
        let id = repo.id;
        let found = self.world.store().read(move |c| star_lists::of_repository(c, id)).await.unwrap();
        let names: Vec<String> = found.into_iter().map(|it| it.name).collect();
        let mut expected: Vec<&String> = repo.lists.iter().collect();
        expected.sort_by_key(|name| LISTS.iter().position(|it| it == name));
        assert_eq!(names.iter().collect::<Vec<_>>(), expected, "{}: its lists", repo.full_name());
    }

    /// Somebody was told of each change, once, and knows how it stands.
    pub async fn is_told(&self) {
        self.world.all_is_told().await;
        super::told::all(self).await;
    }
}
