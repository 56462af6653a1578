//! Restoring onto a git server: relayed out of OneDev, without a copy on this disk. LFS objects go before the
//! refs that need them, since some servers refuse refs without them.

use std::sync::Arc;

use secrecy::SecretString;
use tokio::sync::Semaphore;
use url::Url;

use super::folder::{MOST_GONE, without};
use super::plan::Repository;
use super::{Moved, Objects, Restored, Tools, Wanted, depot, lfs, project};
use crate::domain::plan::is_troublesome;
use crate::domain::refs::{Oid, RefMap, RefName};
use crate::domain::retry::Retry;
use crate::git::{
    self, Address, Command, Findings, LfsEndpoint, Order, Prepared, Push, PushReport, Relay, Side, Target,
    TransferOptions, Upstream,
};
use crate::stages::failure::Failure;

/// Another git server, and how to write to it.
#[derive(Clone)]
pub struct Destination {
    /// The repository's address, without credentials.
    pub url: Url,
    /// The value of the `Authorization` header.
    pub authorization: Option<SecretString>,
}

impl Destination {
    fn address(&self) -> Address {
        Address { url: self.url.clone(), authorization: self.authorization.clone(), service: "restore" }
    }
}

/// The wiki's address beside a repository's: most servers call it `name.wiki.git`.
pub fn wiki_of(url: &Url) -> Url {
    let mut wiki = url.clone();
    let path = url.path().trim_end_matches('/');
    wiki.set_path(&format!("{}.wiki.git", path.strip_suffix(".git").unwrap_or(path)));
    wiki
}

/// Restores onto a git server whose repositories are empty, or hold nothing but what an earlier run of the same
/// put there. A wiki goes to an address of its own.
///
/// # Errors
/// `restore_not_empty`; those of both servers. What the server refuses, and a wiki that it does not take, are no
/// errors but named.
pub async fn restore(
    tools: &Tools,
    wanted: &Wanted,
    to: &Destination,
    wiki: &Destination,
) -> Result<Restored, Failure> {
    let mut done = Restored { lost: wanted.lost.clone(), ..Restored::default() };
    let mut all = wanted.code.all();
    all.extend(wanted.catalog.iter().map(|it| (it.name.clone(), it.commit)));
    let way = Way::open(tools, &wanted.code.path, to, &all).await?;
    let (moved, objects) = way.carry(&wanted.code.all(), Some(&wanted.code)).await?;
    done.objects = objects;
    done.code = moved;
    if let Some(catalog) = &wanted.catalog {
        match way.carry(&[(catalog.name.clone(), catalog.commit)].into(), None).await {
            Ok((moved, objects)) => {
                done.code.bytes += moved.bytes;
                done.objects.absorb(objects);
                done.catalog = moved.refused.is_empty();
                done.lost.extend(moved.refused.into_iter().map(|(_, why)| ("catalog", why)));
            }
            Err(failure) => done.lost.push(("catalog", failure.message)),
        }
    }
    if let Some(pages) = &wanted.wiki {
        match carry_wiki(tools, pages, wiki).await {
            Ok(moved) => done.wiki = Some(moved),
            Err(failure) => {
                done.lost.push(("wiki", format!("{} does not take it: {}", wiki.url, failure.message)));
            }
        }
    }
    Ok(done)
}

async fn carry_wiki(tools: &Tools, pages: &Repository, to: &Destination) -> Result<Moved, Failure> {
    let way = Way::open(tools, &pages.path, to, &pages.all()).await?;
    Ok(way.carry(&pages.all(), Some(pages)).await?.0)
}

/// From a project onto another server.
struct Way<'a> {
    tools: &'a Tools,
    from: Upstream,
    target: Target,
    from_lfs: LfsEndpoint,
    to_lfs: LfsEndpoint,
    standing: RefMap,
}

impl<'a> Way<'a> {
    /// Reads what stands there, which must be part of what is to stand there.
    async fn open(tools: &'a Tools, path: &str, to: &Destination, all: &RefMap) -> Result<Self, Failure> {
        let (http, claims, metrics) = (tools.http.clone(), git::Claims::default(), tools.metrics.clone());
        let target = Target::new(http.clone(), to.address(), metrics.clone(), tools.wire)?;
        let to_lfs = LfsEndpoint::new(http, to.address(), Side::Elsewhere, claims, metrics, tools.wire)?;
        let standing = target.receive_refs().await?.refs;
        refuse_strange(&standing, all)?;
        let from = project(tools, path)?;
        // Reading the list also tells which protocol the project speaks.
        from.ls_refs(&["refs/heads/"]).await?;
        Ok(Self { tools, from, target, from_lfs: depot(tools, path)?, to_lfs, standing })
    }

    /// Carries some refs over, with all that they need. `of` is the repository that these refs are the whole of.
    async fn carry(&self, all: &RefMap, of: Option<&Repository>) -> Result<(Moved, Objects), Failure> {
        let progress = Arc::clone(&self.tools.progress);
        let relay = Relay {
            upstream: &self.from,
            target: &self.target,
            spool: &self.tools.spool,
            permits: Arc::new(Semaphore::new(1)),
            progress: Arc::clone(&progress),
            options: TransferOptions { scan: true, ..TransferOptions::default() },
        };
        let Ready { all, order, mut prepared, mut refused } =
            self.prepare(&relay, all.clone(), of.and_then(|it| it.head.as_ref())).await?;
        let anew = all.keys().all(|it| !self.standing.contains_key(it));
        let found = match prepared.take_findings().await?.filter(|_| anew) {
            Some(found) => git::settle(&self.from, &order.wants, &order.haves, found).await?,
            None => self.search(&all).await?,
        };
        let mut objects = lfs::onto_server(&self.from_lfs, &found.pointers, &self.to_lfs, &progress).await?;
        objects.unsearched = !found.is_complete();
        let done = relay.deliver(&order, prepared).await?;
        refused.extend(done.reports.iter().flat_map(PushReport::refused).map(told));
        if let Some(unpack) = done.reports.iter().find_map(|it| it.unpack_failed.as_ref()) {
            let why = format!("the server did not unpack it: {unpack}");
            return Err(Failure::new("restore_refused", why, Retry::Never));
        }
        let there = |its: &RefMap| its.keys().filter(|it| all.contains_key(*it)).count();
        let (refs, kept) = of.map_or((0, 0), |it| (there(&it.refs), there(&it.kept)));
        Ok((Moved { refs, kept, bytes: done.received, refused }, objects))
    }

    /// The pack, without what OneDev does not have.
    async fn prepare(&self, relay: &Relay<'_>, mut all: RefMap, head: Option<&RefName>) -> Result<Ready, Failure> {
        let mut refused = Vec::new();
        loop {
            let pushes = pushes(&all, &self.standing, head);
            let new: Vec<Oid> = pushes.iter().flatten().map(|it| it.new).collect();
            let order = Order {
                wants: git::wants(&new, &self.standing),
                haves: git::haves(&[], &self.standing, &all),
                pushes: pushes.into_iter().map(Push::plain).collect(),
            };
            let error = match relay.prepare(&order).await {
                Ok(prepared) => return Ok(Ready { all, order, prepared, refused }),
                Err(error) => error,
            };
            let lacking = error.lacking().filter(|_| refused.len() < MOST_GONE);
            let gone = lacking.map(|oid| without(&mut all, &[oid].into())).unwrap_or_default();
            if gone.is_empty() {
                return Err(error.into());
            }
            refused.extend(gone);
        }
    }

    /// An earlier run brought refs, and maybe not all objects: every pointer is looked for.
    async fn search(&self, all: &RefMap) -> Result<Findings, Failure> {
        let tips = git::wants(all.values(), &RefMap::new());
        if tips.is_empty() {
            return Ok(Findings::default());
        }
        Ok(git::scan_all(&self.from, &tips, &[]).await?)
    }
}

/// What can be carried over, and what not.
struct Ready {
    all: RefMap,
    order: Order,
    prepared: Prepared,
    refused: Vec<(String, String)>,
}

fn told((name, why): (&RefName, &git::Refusal)) -> (String, String) {
    (name.to_string(), why.reason().to_owned())
}

/// What stands there must be part of what is to stand there.
fn refuse_strange(standing: &RefMap, all: &RefMap) -> Result<(), Failure> {
    match standing.iter().find(|(name, oid)| all.get(*name) != Some(*oid)) {
        None => Ok(()),
        Some((name, _)) => {
            let why = format!("the repository there is not empty: it holds {name}; name an empty one");
            Err(Failure::new("restore_not_empty", why, Retry::Never))
        }
    }
}

/// The default branch first and alone, so that it becomes the default one there too; what a OneDev would trip
/// over last and alone.
fn pushes(all: &RefMap, standing: &RefMap, head: Option<&RefName>) -> Vec<Vec<Command>> {
    let missing = all.iter().filter(|(name, _)| !standing.contains_key(*name));
    let commands = missing.map(|(name, oid)| Command { name: name.clone(), old: Oid::ZERO, new: *oid });
    let (first, others): (Vec<Command>, Vec<Command>) = commands.partition(|it| Some(&it.name) == head);
    let (lone, most): (Vec<Command>, Vec<Command>) = others.into_iter().partition(|it| is_troublesome(&it.name));
    let groups = [first, most].into_iter().chain(lone.into_iter().map(|it| vec![it]));
    groups.filter(|it| !it.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wiki_stands_beside_its_repository() {
        let of = |it: &str| wiki_of(&it.parse().unwrap()).to_string();
        assert_eq!(of("https://git.example.org/me/hello.git"), "https://git.example.org/me/hello.wiki.git");
        assert_eq!(of("https://git.example.org/me/hello/"), "https://git.example.org/me/hello.wiki.git");
    }
}
