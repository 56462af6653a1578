//! The rounds of one sync: read both sides, decide, push, and read again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::Utc;
use tokio::sync::Semaphore;

use super::lfs::{Known, Lfs, Open};
use super::wiki;
use crate::config::policy::Policy;
use crate::config::sync::{ForeignRefs, Sync};
use crate::domain::kept;
use crate::domain::mirror::NotLevel;
use crate::domain::naming::ProjectPath;
use crate::domain::outcome::{Comparison, Moved, Stats, Synced};
use crate::domain::part::{Part, PartId};
use crate::domain::plan::{self, Plan, Rules, Sides};
use crate::domain::refs::{self, Oid, RefMap, RefName};
use crate::domain::retry::Retry;
use crate::git::{self, Address, Advertisement, Patience, ReceiveAdvertisement, Spool, Target, Upstream};
use crate::github::{GitPlace, GithubClient};
use crate::onedev::OnedevClient;
use crate::stages::failure::Failure;
use crate::stages::messages::{BothSides, Depth, Ticket, TwoSides};
use crate::stages::panics::Panics;
use crate::store::{Store, tips};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::progress::Progress;

/// Halving a declined push of 100,000 refs down to the one that OneDev refuses takes 17 rounds.
const MOST_ROUNDS: usize = 24;

/// What every transfer works with; shared by the stage's children.
pub struct Tools {
    /// State.
    pub store: Store,
    /// Where the upstreams are.
    pub github: GithubClient,
    /// Where the projects are.
    pub onedev: OnedevClient,
    /// What the git wire client connects with.
    pub connections: git::Connections,
    /// How long a silent server is waited for.
    pub wire: Patience,
    /// Holds packs until they are whole.
    pub spool: Spool,
    /// The cached engine's copies, if that is the engine.
    pub caches: Option<git::Caches>,
    /// One permit for each push under way: `onedev.concurrent_pushes`.
    pub pushes: Arc<Semaphore>,
    /// One permit for each LFS object under way.
    pub lfs: Arc<Semaphore>,
    /// Who uploads which LFS object.
    pub claims: git::Claims,
    /// How to sync.
    pub sync: Sync,
    /// What waits for an admin.
    pub policy: Policy,
    /// What is counted.
    pub metrics: Metrics,
    /// Told how many bytes moved.
    pub progress: Progress,
    /// Planned panics; none in production.
    pub panics: Panics,
}

/// One sync of one mirror.
pub(super) struct Run<'a> {
    pub(super) tools: &'a Tools,
    pub(super) ticket: &'a Ticket,
    pub(super) sides: &'a TwoSides,
    pub(super) upstream: Upstream,
    /// Upstream is read without a credential.
    anonymous: bool,
    /// The right to read it.
    _place: GitPlace,
    pub(super) target: Target,
    /// The copy on disk, with the cached engine.
    pub(super) cache: Option<git::Cache>,
    /// The project's path, as it is in OneDev.
    pub(super) path: ProjectPath,
    pub(super) put: RefMap,
    pub(super) intents: BTreeMap<RefName, Option<Oid>>,
    /// Refs whose real name OneDev refused, with its reason: they live under an alias.
    pub(super) refused: BTreeMap<RefName, String>,
    /// Refs that nothing helps: neither the real name nor an alias can be brought level.
    pub(super) stuck: BTreeMap<RefName, String>,
    /// Refs whose last push failed, and where they stood then: they go alone in the next round.
    pub(super) suspects: BTreeMap<RefName, Option<Oid>>,
    /// Refs in one push; halved when a push was declined and nobody said over which ref.
    pub(super) batch: usize,
    /// OneDev's default branch, once it was asked: `Some(None)` is unborn.
    pub(super) default_branch: Option<Option<String>>,
    pub(super) announced: bool,
    /// Refs that were pushed and not yet written down as such.
    pub(super) landed: Vec<(RefName, Option<Oid>)>,
    pub(super) bytes: Arc<git::Progress>,
    pub(super) lfs: Lfs,
    pub(super) stats: Stats,
}

/// Both sides as one round sees them.
pub(super) struct View {
    /// Upstream's list as it came.
    pub(super) list: Advertisement,
    /// Upstream's managed refs.
    pub(super) upstream: RefMap,
    /// Every ref of the project: as read, and then as each push is reported done.
    pub(super) target: RefMap,
    /// Where the catalog's ref stands.
    pub(super) catalog: Option<Oid>,
    /// The objects that those refs hold, once somebody asked.
    held: Option<BTreeSet<Oid>>,
}

impl View {
    /// A ref of the project was put, or deleted.
    pub(super) fn landed(&mut self, at: &RefName, new: Option<Oid>) {
        match new {
            Some(oid) => self.target.insert(at.clone(), oid),
            None => self.target.remove(at),
        };
        if let Some(held) = &mut self.held {
            held.extend(new);
        }
    }

    /// Which of these objects the project lacks.
    pub(super) fn lacking(&mut self, oids: impl Iterator<Item = Oid>) -> Vec<Oid> {
        let held = self.held.get_or_insert_with(|| self.target.values().copied().collect());
        let lacking: BTreeSet<Oid> = oids.filter(|it| !held.contains(it)).collect();
        lacking.into_iter().collect()
    }
}

/// The project's side of a transfer.
pub(super) fn target(tools: &Tools, path: &ProjectPath) -> Result<Target, Failure> {
    Ok(Target::new(tools.connections.clone(), address(tools, path), tools.metrics.clone(), tools.wire)?)
}

/// The project, to be read from.
pub(super) fn project(tools: &Tools, path: &ProjectPath) -> Result<Upstream, Failure> {
    Ok(Upstream::of_project(tools.connections.clone(), address(tools, path), tools.metrics.clone(), tools.wire)?)
}

fn address(tools: &Tools, path: &ProjectPath) -> Address {
    let url = tools.onedev.push_url(path);
    // By SSH a key tells who we are.
    let authorization = (url.scheme() != "ssh").then(|| tools.onedev.git_authorization());
    Address { url, authorization, service: "onedev" }
}

/// A project's path as it is remembered.
pub(super) fn path_of(sides: &TwoSides) -> Result<ProjectPath, Failure> {
    sides.path.parse().map_err(|error| {
        Failure::new("project_path", format!("the project's path cannot be used: {error}"), Retry::Never)
    })
}

impl<'a> Run<'a> {
    pub(super) async fn open(tools: &'a Tools, ticket: &'a Ticket, sides: &'a TwoSides) -> Result<Self, Failure> {
        let wiki::Source { upstream, anonymous, place } = wiki::upstream(tools, &sides.repository, sides.part).await?;
        let path = path_of(sides)?;
        let refused = sides.not_level.iter().filter(|it| it.alias.is_some());
        let refused = refused.filter_map(|it| Some((it.name.reference()?, it.reason.clone())));
        Ok(Self {
            tools,
            ticket,
            sides,
            upstream,
            anonymous,
            _place: place,
            target: target(tools, &path)?,
            // A wiki is small: it is relayed in any case.
            cache: tools
                .caches
                .as_ref()
                .filter(|_| sides.part == Part::Code)
                .map(|it| it.of(sides.network, sides.github_id)),
            path,
            bytes: Arc::new(git::Progress::new(&tools.metrics)),
            refused: refused.collect(),
            put: RefMap::new(),
            intents: BTreeMap::new(),
            stuck: BTreeMap::new(),
            suspects: BTreeMap::new(),
            batch: usize::MAX,
            default_branch: None,
            announced: false,
            landed: Vec::new(),
            lfs: Lfs::new(tools, sides.part),
            stats: Stats::default(),
        })
    }

    /// What is synced: whose tips and kept refs these are.
    pub(super) fn of(&self) -> PartId {
        PartId { mirror: self.ticket.mirror, part: self.sides.part }
    }

    pub(super) async fn sync(mut self, depth: Depth) -> Result<Synced, Failure> {
        self.tools.panics.strike("transfer");
        if depth == Depth::Quick {
            return self.look_quickly().await;
        }
        let (mut view, (tips, lfs)) = tokio::try_join!(self.read_both(), self.tips())?;
        (self.put, self.intents) = tips;
        self.lfs.know(lfs);
        self.know_arrival(&view);
        if depth != Depth::Full {
            self.check_name()?;
        }
        if self.sides.adopting {
            self.take_over(&view).await?;
        }
        if depth == Depth::Full && !self.refused.is_empty() {
            self.brake(&self.plan(&view), &view).await?;
            if self.retry_refused(&mut view).await? {
                view = self.read_both().await?;
            }
        }
        if depth == Depth::Full {
            self.look_closely_at_lfs(&view).await?;
        }
        for _ in 0..MOST_ROUNDS {
            let mut plan = self.plan(&view);
            self.brake(&plan, &view).await?;
            self.record(&plan).await?;
            plan.changes.retain(|it| !self.stuck.contains_key(&it.at));
            if plan.is_level() {
                if depth == Depth::Full {
                    // A copy that was lost, or is new, does not wait for the next change.
                    self.fill(&view).await?;
                }
                self.settle_head(&view, depth).await?;
                self.settle_kept(&view).await?;
                self.settle_arrival(&view).await?;
                self.bring_lfs().await?;
                self.miss_only_what_is_needed(&view, depth).await?;
                self.ask_where_objects_are(depth).await?;
                return self.proof(&view).await;
            }
            self.execute(&plan, &mut view).await?;
            // Fifty thousand refs each: they need not be there beside the next ones.
            drop((plan, view));
            let landed = std::mem::take(&mut self.landed);
            (view, ()) = tokio::try_join!(self.read_both(), self.write_tips(landed))?;
        }
        Err(Failure::new(
            "never_level",
            "the two sides were not level after many rounds: upstream, or somebody in OneDev, moves refs all the time",
            Retry::Backoff,
        ))
    }

    pub(super) async fn compare(mut self) -> Result<Comparison, Failure> {
        let (view, (tips, lfs)) = tokio::try_join!(self.read_both(), self.tips())?;
        (self.put, self.intents) = tips;
        self.lfs.know(lfs);
        let refused = self.refused.keys().cloned().collect();
        let differences = plan::differences(&self.compared(&view, &refused), &self.rules());
        let differences = differences
            .into_iter()
            .filter(|it| !self.sides.not_level.iter().any(|known| known.name == it.name && known.alias.is_none()))
            .collect();
        Ok(Comparison {
            digest: refs::digest(&view.upstream, &view.list.head),
            ref_count: view.upstream.len(),
            upstream_head: view.list.head.target().cloned(),
            head: view.list.head.target().and_then(|it| view.upstream.get(it)).copied(),
            differences,
            not_level: self.sides.not_level.clone(),
            default_branch: self.head_difference(&view).await?,
            lost_objects: self.lost_objects().await?,
            catalog: self.catalog_moved(&view).await?,
        })
    }

    /// Where the catalog's ref should stand and stands, if that is not the same.
    async fn catalog_moved(&self, view: &View) -> Result<Option<Moved>, Failure> {
        if self.sides.part != Part::Code {
            return Ok(None);
        }
        let mirror = self.ticket.mirror;
        let known = self.tools.store.read(move |c| crate::store::catalog::find(c, mirror)).await?.unwrap_or_default();
        let (Some(expected), Some(name)) = (known.tip, known.ref_name) else { return Ok(None) };
        let meant = known.intent.is_some_and(|(commit, _)| Some(commit) == view.catalog);
        let configured = self.tools.sync.metadata && name == self.tools.sync.metadata_ref;
        let moved = configured && !meant && view.catalog != Some(expected);
        Ok(moved.then_some(Moved { name, expected, found: view.catalog }))
    }

    pub(super) async fn look(self) -> Result<BothSides, Failure> {
        let View { upstream, target, .. } = self.read_both().await?;
        Ok(BothSides { upstream, onedev: target })
    }

    pub(super) async fn read_upstream(&self) -> Result<Advertisement, Failure> {
        let prefixes: Vec<&str> = self.tools.sync.refs.iter().map(refs::RefPattern::prefix).collect();
        self.upstream.ls_refs(&prefixes).await.map_err(|error| wiki::told(error, self.sides.part, self.anonymous))
    }

    /// Both sides, at once.
    pub(super) async fn read_both(&self) -> Result<View, Failure> {
        let target = async {
            // By SSH the mere start of a push makes the project that it is for.
            if self.target.url().scheme() == "ssh" {
                self.check_project().await?;
            }
            Ok::<_, Failure>(self.target.receive_refs().await?)
        };
        let (upstream, target) = tokio::try_join!(self.read_upstream(), target)?;
        Ok(self.view(upstream, target))
    }

    fn view(&self, list: Advertisement, target: ReceiveAdvertisement) -> View {
        let upstream = refs::managed(&list.refs, &self.tools.sync.refs);
        let (mut target, name) = (target.refs, &self.tools.sync.metadata_ref);
        let catalog = target.get(name).copied();
        // A branch that holds the catalog is no foreign one, and nothing to be pruned, unless upstream has it.
        if self.tools.sync.metadata && name.branch().is_some() && !upstream.contains_key(name) {
            target.remove(name);
        }
        View { upstream, list, target, catalog, held: None }
    }

    /// Upstream alone. A name says nothing about identity, so a change that nobody announced for this
    /// very repository is not acted upon before GitHub was asked by id.
    async fn look_quickly(mut self) -> Result<Synced, Failure> {
        let upstream = self.read_upstream().await?;
        self.check_name()?;
        if self.still_stands(&upstream) {
            let lfs = self.try_lfs_again().await?;
            return Ok(self.unchanged(&upstream, lfs));
        }
        Err(Failure::new("upstream_changed", "upstream changed, and GitHub did not say so", Retry::Backoff))
    }

    /// GitHub may have led us from the name that we know to another one.
    fn check_name(&self) -> Result<(), Failure> {
        let known = wiki::address(self.tools, &self.sides.repository, self.sides.part);
        let found = self.upstream.url();
        if known == found {
            return Ok(());
        }
        let message = format!("{} has another name by now: {}", self.sides.repository, found.path());
        Err(Failure::new("upstream_redirected", message, Retry::Backoff))
    }

    fn still_stands(&self, upstream: &Advertisement) -> bool {
        let managed = refs::managed(&upstream.refs, &self.tools.sync.refs);
        self.sides.proven.as_deref() == Some(refs::digest(&managed, &upstream.head).as_str())
    }

    fn unchanged(self, upstream: &Advertisement, lfs: Option<Open>) -> Synced {
        let managed = refs::managed(&upstream.refs, &self.tools.sync.refs);
        Synced {
            digest: refs::digest(&managed, &upstream.head),
            both_read: false,
            head: upstream.head.target().and_then(|it| managed.get(it)).copied(),
            default_branch: self.sides.default_branch.clone(),
            upstream_head: upstream.head.target().cloned(),
            ref_count: managed.len(),
            not_level: match &lfs {
                Some(open) => self.refs_not_level().chain(open.not_level.iter().cloned()).collect(),
                None => self.sides.not_level.clone(),
            },
            retry_at: lfs.and_then(|it| it.retry_at),
            stats: self.stats,
        }
    }

    fn refs_not_level(&self) -> impl Iterator<Item = NotLevel> + '_ {
        self.sides.not_level.iter().filter(|it| !it.name.is_lfs()).cloned()
    }

    /// What was last put, what was about to be, and what is known of LFS.
    async fn tips(&self) -> Result<((RefMap, tips::Intents), Known), Failure> {
        let of = self.of();
        Ok(self
            .tools
            .store
            .read(move |c| {
                // What is known of LFS is known of the code.
                let known = if of.part == Part::Code { Known::load(c, of.mirror)? } else { Known::default() };
                Ok((tips::load(c, of)?, known))
            })
            .await?)
    }

    fn rules(&self) -> Rules<'_> {
        Rules {
            patterns: &self.tools.sync.refs,
            prune_foreign: self.tools.sync.foreign_refs == ForeignRefs::Prune,
            keep: self.tools.sync.keep_overwritten,
        }
    }

    pub(super) fn compared<'b>(&'b self, view: &'b View, refused: &'b BTreeSet<RefName>) -> Sides<'b> {
        Sides { upstream: &view.upstream, target: &view.target, put: &self.put, intents: &self.intents, refused }
    }

    fn plan(&self, view: &View) -> Plan {
        let refused = self.refused.keys().cloned().collect();
        plan::plan(&self.compared(view, &refused), &self.rules())
    }

    /// Writes down what needs no push: refs that are level already, and those gone on both sides.
    async fn record(&mut self, plan: &Plan) -> Result<(), Failure> {
        if plan.record.is_empty() {
            return Ok(());
        }
        let tips: Vec<_> = plan.record.iter().map(|(at, oid)| (at.clone(), *oid)).collect();
        self.settle_tips(tips).await
    }

    /// These refs were seen to stand so: they are ours, and no intent is open for them.
    pub(super) async fn settle_tips(&mut self, seen: Vec<(RefName, Option<Oid>)>) -> Result<(), Failure> {
        self.settle(&seen);
        self.write_tips(seen).await
    }

    /// These refs were just pushed. That is written down while both sides are read again, or with the
    /// next intent; until then the intent tells that they are ours.
    pub(super) fn land(&mut self, seen: Vec<(RefName, Option<Oid>)>) {
        self.settle(&seen);
        self.landed.extend(seen);
    }

    fn settle(&mut self, seen: &[(RefName, Option<Oid>)]) {
        for (at, oid) in seen {
            self.intents.remove(at);
            match oid {
                Some(oid) => self.put.insert(at.clone(), *oid),
                None => self.put.remove(at),
            };
        }
    }

    async fn write_tips(&self, seen: Vec<(RefName, Option<Oid>)>) -> Result<(), Failure> {
        let of = self.of();
        self.tools.store.write(move |c| tips::settle(c, of, &seen, Utc::now())).await?;
        Ok(())
    }

    async fn proof(mut self, view: &View) -> Result<Synced, Failure> {
        let lfs = self.open_lfs().await?;
        let aliased =
            self.refused.iter().filter(|(name, _)| view.upstream.contains_key(*name)).map(|(name, reason)| NotLevel {
                name: name.clone().into(),
                reason: reason.clone(),
                alias: kept::alias_name(name).ok(),
            });
        let stuck = self.stuck.iter().map(|(at, reason)| NotLevel {
            name: kept::aliased(at).unwrap_or_else(|| at.clone()).into(),
            reason: reason.clone(),
            alias: None,
        });
        Ok(Synced {
            digest: refs::digest(&view.upstream, &view.list.head),
            both_read: true,
            head: view.list.head.target().and_then(|it| view.upstream.get(it)).copied(),
            default_branch: self.default_branch.clone().unwrap_or_else(|| self.sides.default_branch.clone()),
            upstream_head: view.list.head.target().cloned(),
            ref_count: view.upstream.len(),
            not_level: aliased.chain(stuck).chain(unnamed(&view.list.odd)).chain(lfs.not_level).collect(),
            retry_at: lfs.retry_at,
            stats: self.stats,
        })
    }
}

/// Names that are not UTF-8 cannot be mirrored; they are listed under a name that can be shown.
fn unnamed(odd: &[String]) -> impl Iterator<Item = NotLevel> + '_ {
    odd.iter().filter_map(|text| {
        let shown: String =
            text.chars().map(|c| if c.is_ascii_alphanumeric() || c == '/' || c == '-' { c } else { '_' }).collect();
        let name = RefName::new(&shown).ok()?;
        Some(NotLevel {
            name: name.into(),
            reason: "the name is not one that OneDev could hold: not UTF-8, or not a legal ref name".to_owned(),
            alias: None,
        })
    })
}
