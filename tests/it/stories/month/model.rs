//! What must be true: for each repository what happened to it, and what its mirror must hold for that.
//!
//! Nothing here knows of starkeep. What OneDev must hold follows from what upstream held whenever a day ended
//! on which the service could see it.

use std::collections::BTreeSet;

use starkeep::domain::ids::GithubId;
use starkeep::domain::refs::{Head, Oid, RefMap, RefName};

/// Why a repository is not to be had from GitHub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Deleted,
    Blocked,
}

/// What upstream held when the service last saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    pub refs: RefMap,
    pub head: Head,
}

impl Held {
    /// The default branch and its tip.
    fn default(&self) -> Option<(RefName, Oid)> {
        let name = self.head.target()?;
        Some((name.clone(), *self.refs.get(name)?))
    }
}

/// How the mirror of a repository must stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// There is none.
    None,
    Level,
    /// Un-starred: the copy stays as it was.
    LetGo,
    /// Upstream is gone: the copy stays as it was.
    Gone(Fate),
}

/// What to do with mirrors that nobody stars any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unstarred {
    Stays,
    Goes,
}

/// A repository at GitHub.
#[derive(Debug, Clone)]
pub struct Repo {
    pub id: GithubId,
    pub owner: String,
    pub name: String,
    /// GitHub's App is installed there, so that webhooks tell of what happens.
    pub covered: bool,
    pub starred: bool,
    /// A source of the configuration has it, and never lets it go.
    pub declared: bool,
    /// It keeps its star, its name and its owner: something else is done to it.
    pub firm: bool,
    /// The user's lists that it is in.
    pub lists: BTreeSet<String>,
    /// It was starred at some time.
    pub ever: bool,
    pub fate: Option<Fate>,
    pub hidden: bool,
    pub read_only: bool,
    pub empty: bool,
    /// There is a fork that lives on its objects.
    pub forked: bool,
    /// Branches and tags that may go or move.
    pub branches: u32,
    pub tags: u32,
    /// Something happened that the service has not seen yet.
    pub unseen: bool,
    /// What its mirror holds, if there is one.
    pub copy: Option<Held>,
    /// The branch that upstream has no more and OneDev does not let go: nobody deletes a default branch where
    /// there is no other.
    pub remnant: Option<(RefName, Oid)>,
    /// Its name as the service last saw it.
    pub seen_name: Option<String>,
    /// Names under which it was seen before.
    pub former: BTreeSet<String>,
    /// Every name it ever had.
    pub names: BTreeSet<String>,
    /// Tips that its mirror held and that upstream has overwritten or deleted since.
    pub lost: BTreeSet<(RefName, Oid)>,
    /// Every tip that upstream ever had.
    pub tips: BTreeSet<(RefName, Oid)>,
    /// What its mirror held, one after the other.
    pub states: Vec<Held>,
    pub stars: usize,
    pub unstars: usize,
    /// How often it was taken away from GitHub and seen to be.
    pub deaths: usize,
}

impl Repo {
    pub fn new(id: GithubId, owner: &str, name: &str, covered: bool) -> Self {
        let full = format!("{owner}/{name}");
        Self {
            id,
            owner: owner.to_owned(),
            name: name.to_owned(),
            covered,
            starred: false,
            declared: false,
            firm: false,
            lists: BTreeSet::new(),
            ever: false,
            fate: None,
            hidden: false,
            read_only: false,
            empty: false,
            forked: false,
            branches: 0,
            tags: 0,
            unseen: false,
            copy: None,
            remnant: None,
            seen_name: None,
            former: BTreeSet::new(),
            names: BTreeSet::from([full]),
            lost: BTreeSet::new(),
            tips: BTreeSet::new(),
            states: Vec::new(),
            stars: 0,
            unstars: 0,
            deaths: 0,
        }
    }

    pub fn full_name(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }

    pub fn star(&mut self) {
        (self.starred, self.ever, self.unseen) = (true, true, true);
        self.stars += 1;
    }

    pub fn unstar(&mut self) {
        (self.starred, self.unseen) = (false, true);
        self.unstars += 1;
        self.lists.clear();
    }

    /// Its mirror is kept level as long as upstream is there.
    pub fn followed(&self) -> bool {
        self.starred || self.declared
    }

    pub fn call(&mut self, owner: &str, name: &str) {
        (self.owner, self.name) = (owner.to_owned(), name.to_owned());
        self.names.insert(self.full_name());
        self.unseen = true;
    }

    /// The service has seen what upstream holds now.
    fn see(&mut self, now: Held, descends: impl Fn(Oid, Oid) -> bool) {
        let name = self.full_name();
        if let Some(before) = self.seen_name.replace(name.clone()).filter(|it| *it != name) {
            self.former.insert(before);
        }
        if self.copy.as_ref() == Some(&now) {
            return;
        }
        for (name, old) in self.copy.iter().flat_map(|it| &it.refs) {
            let new = now.refs.get(name);
            if new.is_none_or(|new| new != old && !(name.branch().is_some() && descends(*new, *old))) {
                self.lost.insert((name.clone(), *old));
            }
        }
        let has_branches = now.refs.keys().any(|it| it.branch().is_some());
        self.remnant = self.remnant.take().or_else(|| self.copy.as_ref()?.default()).filter(|_| !has_branches);
        self.states.push(now.clone());
        self.copy = Some(now);
    }

    /// The mirror went with its project.
    fn forget(&mut self) {
        (self.copy, self.remnant, self.seen_name) = (None, None, None);
        self.lost.clear();
        self.states.clear();
        self.former.clear();
    }
}

/// All of it.
#[derive(Debug)]
pub struct Model {
    pub repos: Vec<Repo>,
    pub unstarred: Unstarred,
}

impl Model {
    pub fn standing(&self, repo: &Repo) -> Standing {
        match (repo.ever || repo.declared, repo.followed(), repo.fate, self.unstarred) {
            (false, ..) | (true, false, _, Unstarred::Goes) => Standing::None,
            (true, false, _, Unstarred::Stays) => Standing::LetGo,
            (true, true, Some(fate), _) => Standing::Gone(fate),
            (true, true, None, _) => Standing::Level,
        }
    }

    /// A day ended on which the service saw what there was to see of a repository.
    pub fn settle(&mut self, place: usize, upstream: Option<Held>, descends: impl Fn(Oid, Oid) -> bool) {
        let standing = self.standing(&self.repos[place]);
        let repo = &mut self.repos[place];
        match (standing, upstream) {
            (Standing::Level, Some(now)) => repo.see(now, descends),
            (Standing::None, _) => repo.forget(),
            (Standing::Gone(_), _) if repo.unseen => repo.deaths += 1,
            (Standing::Level | Standing::LetGo | Standing::Gone(_), _) => {}
        }
        repo.unseen = false;
    }
}
