//! What happens to one repository at GitHub, and what GitHub tells of it.

use serde_json::{Value, json};
use starkeep::simulator::Delivery;

use super::beside::GUILD;
use super::dice::Dice;
use super::model::{Fate, Repo};
use super::plan::Event;
use super::player::Month;
use crate::world::{FAN, World};

/// One in so many repositories is covered by the App; of the others no webhook tells.
const COVERED: usize = 3;

impl Month {
    /// Something happens; gives what GitHub tells of it.
    pub fn happen(&mut self, event: Event, place: usize) -> Vec<Delivery> {
        self.serial += 1;
        match event {
            Event::List => return self.put_in_list(place),
            Event::Unlist => return self.take_from_list(place),
            Event::Found => return self.found(),
            _ => self.model.repos[place].unseen = true,
        }
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
            let seen = repo.fate.is_some() || !repo.followed();
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
pub fn make(world: &World, dice: &mut Dice, owner: &str, name: &str) -> Repo {
    let github = world.github();
    let id = github.create_repository(owner, name).unwrap();
    let first = github.commit(id, "main", "README", &format!("{owner}/{name} {id}")).unwrap();
    let mut repo = Repo::new(id, owner, name, dice.once_in(COVERED));
    (repo.declared, repo.unseen) = (owner == GUILD, owner == GUILD);
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
