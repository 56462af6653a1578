//! What the simulated GitHub knows: accounts, repositories, old names, tokens, its rate limit.
//!
//! Written by the control methods ([`super::edit`]), read by the REST and git handlers.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use chrono::{DateTime, TimeZone as _, Utc};

use super::catalog::Shelf;
use crate::domain::ids::{AccountId, GithubId};
use crate::simulator::SimulatorError;

/// Simulated time starts here and moves a second with each change.
const EPOCH: i64 = 1_704_067_200;

/// Why GitHub does not show a repository that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Block {
    /// 451 after a takedown notice.
    Dmca,
    /// 403 for a breach of the terms of service.
    Tos,
}

/// A repository as GitHub knows it; what git knows stands in its folder.
#[derive(Debug, Clone)]
pub(crate) struct Repo {
    pub(crate) id: GithubId,
    pub(crate) owner: AccountId,
    pub(crate) name: String,
    pub(crate) private: bool,
    pub(crate) archived: bool,
    pub(crate) disabled: bool,
    pub(crate) fork: bool,
    /// The first repository of its network, for a fork.
    pub(crate) source: Option<GithubId>,
    pub(crate) description: Option<String>,
    pub(crate) language: Option<String>,
    pub(crate) topics: Vec<String>,
    pub(crate) size_kib: i64,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) updated_at: DateTime<Utc>,
    pub(crate) pushed_at: Option<DateTime<Utc>>,
    pub(crate) block: Option<Block>,
    pub(crate) folder: PathBuf,
    /// What stands beside git.
    pub(crate) shelf: Shelf,
}

/// The primary rate limit, counted over the whole server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    pub(crate) limit: u32,
    pub(crate) remaining: u32,
    /// Unix seconds.
    pub(crate) reset: i64,
}

#[derive(Debug)]
pub(crate) struct State {
    root: PathBuf,
    pub(crate) accounts: BTreeMap<AccountId, String>,
    /// Accounts that are no users'.
    pub(crate) organizations: BTreeSet<AccountId>,
    pub(crate) repositories: BTreeMap<GithubId, Repo>,
    /// Names once held, lower case, and who held them.
    former: HashMap<String, GithubId>,
    /// Release assets and attachments, by their name in the store.
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    pub(crate) tokens: HashSet<String>,
    /// Whose some of the tokens are.
    pub(crate) owners: HashMap<String, AccountId>,
    /// Lists show at most so many entries a page.
    pub(crate) largest_page: usize,
    pub(crate) mints: u32,
    pub(crate) rate: Rate,
    /// GraphQL's points.
    pub(crate) points: Rate,
    /// Repositories that GraphQL answers for with a null, and the error's type beside it.
    pub(crate) failing_nodes: BTreeMap<GithubId, Option<String>>,
    /// Private repositories that a token is not shown.
    pub(crate) hidden: HashSet<(String, GithubId)>,
    /// Stars by user, newest last.
    pub(crate) stars: BTreeMap<AccountId, Vec<(GithubId, DateTime<Utc>)>>,
    pub(crate) star_lists: super::star_lists::ListsState,
    pub(crate) lfs: super::lfs::LfsState,
    /// The App, as far as it is not an option.
    pub(crate) app: super::hook::AppState,
    clock: i64,
    next_id: i64,
}

impl State {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self {
            root,
            accounts: BTreeMap::new(),
            organizations: BTreeSet::new(),
            repositories: BTreeMap::new(),
            former: HashMap::new(),
            files: BTreeMap::new(),
            tokens: HashSet::new(),
            owners: HashMap::new(),
            largest_page: 100,
            mints: 0,
            rate: Rate { limit: 5_000, remaining: 5_000, reset: EPOCH * 2 },
            points: Rate { limit: 5_000, remaining: 5_000, reset: EPOCH * 2 },
            failing_nodes: BTreeMap::new(),
            hidden: HashSet::new(),
            stars: BTreeMap::new(),
            star_lists: super::star_lists::ListsState::default(),
            lfs: super::lfs::LfsState::default(),
            app: super::hook::AppState::default(),
            clock: 0,
            next_id: 1_000,
        }
    }

    /// The next second of simulated time.
    pub(crate) fn tick(&mut self) -> DateTime<Utc> {
        self.clock += 1;
        Utc.timestamp_opt(EPOCH + self.clock, 0).single().unwrap_or_default()
    }

    pub(crate) fn fresh_id(&mut self) -> i64 {
        self.next_id += 1;
        self.next_id
    }

    /// Whether the holder of a valid token is shown a repository: an installation's those of its own account only.
    pub(crate) fn sees(&self, token: &str, repo: &Repo) -> bool {
        let is_covered = self.app.account_of(token).is_none_or(|it| it == repo.owner);
        !repo.private || (is_covered && !self.hidden.contains(&(token.to_owned(), repo.id)))
    }

    /// The account of a login, compared without case.
    pub(crate) fn account(&self, login: &str) -> Option<AccountId> {
        self.accounts.iter().find(|(_, it)| it.eq_ignore_ascii_case(login)).map(|(id, _)| *id)
    }

    /// The account of a login, made if it is new.
    pub(crate) fn ensure_account(&mut self, login: &str) -> AccountId {
        self.account(login).unwrap_or_else(|| {
            let id = AccountId(self.fresh_id());
            self.accounts.insert(id, login.to_owned());
            id
        })
    }

    pub(crate) fn login(&self, id: AccountId) -> &str {
        self.accounts.get(&id).map_or("ghost", String::as_str)
    }

    /// `owner/name` as it is now.
    pub(crate) fn full_name(&self, repo: &Repo) -> String {
        format!("{}/{}", self.login(repo.owner), repo.name)
    }

    pub(crate) fn add(&mut self, owner: &str, name: &str) -> Result<GithubId, SimulatorError> {
        if self.current(owner, name).is_some() {
            return Err(SimulatorError::Exists(format!("{owner}/{name}")));
        }
        let id = self.add_bare(owner, name);
        crate::simulator::repository::create(self.folder(id)?)?;
        Ok(id)
    }

    /// A repository that only REST knows; whether the name is free is not looked at.
    pub(crate) fn add_bare(&mut self, owner: &str, name: &str) -> GithubId {
        let owner = self.ensure_account(owner);
        let id = GithubId(self.fresh_id());
        let now = self.tick();
        let repo = Repo {
            id,
            owner,
            name: name.to_owned(),
            private: false,
            archived: false,
            disabled: false,
            fork: false,
            source: None,
            description: None,
            language: None,
            topics: Vec::new(),
            size_kib: 0,
            created_at: now,
            updated_at: now,
            pushed_at: None,
            block: None,
            folder: self.root.join(format!("{id}.git")),
            shelf: Shelf::default(),
        };
        self.repositories.insert(id, repo);
        id
    }

    pub(crate) fn repo(&self, id: GithubId) -> Result<&Repo, SimulatorError> {
        self.repositories.get(&id).ok_or_else(|| SimulatorError::Unknown(format!("repository {id}")))
    }

    pub(crate) fn repo_mut(&mut self, id: GithubId) -> Result<&mut Repo, SimulatorError> {
        self.repositories.get_mut(&id).ok_or_else(|| SimulatorError::Unknown(format!("repository {id}")))
    }

    pub(crate) fn folder(&self, id: GithubId) -> Result<&Path, SimulatorError> {
        self.repo(id).map(|it| it.folder.as_path())
    }

    /// The repository that holds a name now, compared without case.
    pub(crate) fn current(&self, owner: &str, name: &str) -> Option<&Repo> {
        let owner = self.account(owner)?;
        self.repositories.values().find(|it| it.owner == owner && it.name.eq_ignore_ascii_case(name))
    }

    /// The repository that once held a name which nobody holds now.
    pub(crate) fn former(&self, owner: &str, name: &str) -> Option<&Repo> {
        let id = self.former.get(&format!("{owner}/{name}").to_lowercase())?;
        self.repositories.get(id)
    }

    /// Gives a repository another owner and name; the old name leads to it from now on.
    pub(crate) fn move_to(&mut self, id: GithubId, owner: AccountId, name: &str) -> Result<(), SimulatorError> {
        let login = self.login(owner).to_owned();
        if self.current(&login, name).is_some_and(|it| it.id != id) {
            return Err(SimulatorError::Exists(format!("{login}/{name}")));
        }
        let old = self.full_name(self.repo(id)?).to_lowercase();
        let now = self.tick();
        let repo = self.repo_mut(id)?;
        repo.owner = owner;
        repo.name = name.to_owned();
        repo.updated_at = now;
        self.former.insert(old, id);
        Ok(())
    }

    /// Where the wiki of a repository lies, if there is one.
    pub(crate) fn wiki_folder(&self, id: GithubId) -> PathBuf {
        self.root.join(format!("{id}.wiki.git"))
    }

    /// Forgets a repository and every name that led to it.
    pub(crate) fn remove(&mut self, id: GithubId) -> Result<(), SimulatorError> {
        let repo = self.repositories.remove(&id).ok_or_else(|| SimulatorError::Unknown(format!("repository {id}")))?;
        self.former.retain(|_, it| *it != id);
        std::fs::remove_dir_all(repo.folder)?;
        match std::fs::remove_dir_all(self.wiki_folder(id)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        Ok(())
    }

    /// Everybody who starred a repository.
    pub(crate) fn stargazers(&self, id: GithubId) -> BTreeSet<AccountId> {
        self.stars.iter().filter(|(_, stars)| stars.iter().any(|(it, _)| *it == id)).map(|(user, _)| *user).collect()
    }
}
