//! `sync.*`: how refs and packs are moved.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::problem::Problem;
use super::rules::{counting, lasting, sized};
use super::values::{Refused, Values, flag, number, parsed, word};
use super::{Section, duration, size};
use crate::domain::kept::Retention;
use crate::domain::refs::{RefName, RefPattern};
use crate::domain::sweep::Pace;

/// The `sync` section.
#[derive(Debug, Clone)]
pub struct Sync {
    /// Jobs at once in this process.
    pub workers: usize,
    /// How long a claim lasts without a heartbeat; renewed every third of it.
    pub lease: Duration,
    /// How often an unchanged mirror is looked at.
    pub interval: Duration,
    /// No upstream is looked at more often; a quarter of `interval` if `None`.
    pub min_interval: Option<Duration>,
    /// No upstream is looked at more rarely; four times `interval` if `None`.
    pub max_interval: Option<Duration>,
    /// How often git looks at a mirror, whatever GitHub's lists say.
    pub full_interval: Duration,
    /// The refs that are mirrored.
    pub refs: Vec<RefPattern>,
    /// How packs go from GitHub to OneDev.
    pub engine: Engine,
    /// Where the copies of the cached engine are kept.
    pub cache_dir: Option<PathBuf>,
    /// Bytes of packs held in memory, over the whole process.
    pub spool_memory: u64,
    /// Where larger packs are spooled, in unnamed files. The system's temporary folder by default.
    pub spool_dir: Option<PathBuf>,
    /// Bytes a second from which a pack that outgrew the memory is streamed straight through; `None` is off.
    pub stream_above: Option<u64>,
    /// What happens to refs in OneDev that starkeep never put there and upstream lacks.
    pub foreign_refs: ForeignRefs,
    /// A sync is given up after this.
    pub timeout: Duration,
    /// A sync in which no byte moved for so long is given up.
    pub stall_timeout: Duration,
    /// Keep the old tip of what upstream overwrote or deleted.
    pub keep_overwritten: bool,
    /// Bring LFS objects too.
    pub lfs: bool,
    /// Kept refs are given up after this; `None` is never.
    pub kept_max_age: Option<Duration>,
    /// Of more kept refs than this in one mirror the oldest are given up; `None` is never.
    pub kept_max_count: Option<usize>,
    /// How far back `restore --at` can go.
    pub history: Duration,
    /// Larger upstreams are paused. Bytes.
    pub max_bytes: Option<u64>,
    /// Mirror wikis too.
    pub wiki: bool,
    /// How often a wiki is looked at when nothing says that it changed.
    pub wiki_interval: Duration,
    /// Keep the catalog: issues, releases and whatever else git does not carry.
    pub metadata: bool,
    /// The ref that holds it.
    pub metadata_ref: RefName,
    /// How often GitHub is asked whether it changed.
    pub metadata_interval: Duration,
    /// How often everything is listed, which alone shows what was deleted.
    pub metadata_sweep: Duration,
    /// Larger attachments of issues and comments are not brought. Bytes.
    pub attachment_max_bytes: u64,
}

/// How packs go from one side to the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// The pack that GitHub makes is handed on as it is.
    #[default]
    Relay,
    /// A bare copy is kept on disk, and the pack for OneDev is made out of it.
    Cached,
}

impl Engine {
    /// Its word in the configuration, the history and the metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Relay => "relay",
            Self::Cached => "cached",
        }
    }
}

impl Sync {
    /// When kept refs are given up.
    pub fn retention(&self) -> Retention {
        Retention { max_age: self.kept_max_age, max_count: self.kept_max_count }
    }

    /// How often upstreams are looked at.
    pub fn pace(&self) -> Pace {
        let least = self.min_interval.unwrap_or(self.interval / 4);
        let most = self.max_interval.unwrap_or(self.interval.saturating_mul(4));
        Pace { base: self.interval, least, most, full: self.full_interval }
    }
}

/// What happens to foreign refs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ForeignRefs {
    /// They stay.
    #[default]
    Keep,
    /// They go; their tips are kept.
    Prune,
}

impl Default for Sync {
    #[expect(clippy::expect_used, reason = "a literal, covered by every test")]
    fn default() -> Self {
        Self {
            workers: 4,
            lease: Duration::from_secs(15),
            interval: Duration::from_secs(3600),
            min_interval: None,
            max_interval: None,
            full_interval: Duration::from_secs(86_400),
            refs: ["refs/heads/*", "refs/tags/*", "refs/notes/*"].iter().filter_map(|it| it.parse().ok()).collect(),
            engine: Engine::default(),
            cache_dir: None,
            spool_memory: 16 << 20,
            spool_dir: None,
            stream_above: Some(20 << 20),
            foreign_refs: ForeignRefs::default(),
            timeout: Duration::from_secs(1800),
            stall_timeout: Duration::from_secs(60),
            keep_overwritten: true,
            lfs: true,
            kept_max_age: None,
            kept_max_count: None,
            history: Duration::from_secs(365 * 86_400),
            max_bytes: None,
            wiki: true,
            wiki_interval: Duration::from_secs(86_400),
            metadata: true,
            metadata_ref: RefName::new("refs/starkeep/meta").expect("a literal"),
            metadata_interval: Duration::from_secs(3600),
            metadata_sweep: Duration::from_secs(7 * 86_400),
            attachment_max_bytes: 25 << 20,
        }
    }
}

impl Section for Sync {
    fn read(values: &mut Values<'_>) -> Self {
        let mut it = Self::default();
        let Self {
            workers,
            lease,
            interval,
            min_interval,
            max_interval,
            full_interval,
            refs,
            engine,
            cache_dir,
            spool_memory,
            spool_dir,
            stream_above,
            foreign_refs,
            timeout,
            stall_timeout,
            keep_overwritten,
            lfs,
            kept_max_age,
            kept_max_count,
            history,
            max_bytes,
            wiki,
            wiki_interval,
            metadata,
            metadata_ref,
            metadata_interval,
            metadata_sweep,
            attachment_max_bytes,
        } = &mut it;
        values.set("sync.workers", workers, number);
        values.set("sync.lease", lease, duration::parse);
        values.set("sync.interval", interval, duration::parse);
        values.set_option("sync.min_interval", min_interval, duration::parse);
        values.set_option("sync.max_interval", max_interval, duration::parse);
        values.set("sync.full_interval", full_interval, duration::parse);
        values.set_list("sync.refs", refs, pattern);
        values.set("sync.engine", engine, word);
        values.set_option("sync.cache_dir", cache_dir, folder);
        values.set("sync.spool_memory", spool_memory, size::parse);
        values.set_option("sync.spool_dir", spool_dir, folder);
        values.set("sync.stream_above", stream_above, size::parse_or_off);
        values.set("sync.foreign_refs", foreign_refs, word);
        values.set("sync.timeout", timeout, duration::parse);
        values.set("sync.stall_timeout", stall_timeout, duration::parse);
        values.set("sync.keep_overwritten", keep_overwritten, flag);
        values.set("sync.lfs", lfs, flag);
        values.set_option("sync.kept_max_age", kept_max_age, duration::parse);
        values.set_option("sync.kept_max_count", kept_max_count, number);
        values.set("sync.history", history, duration::parse);
        values.set_option("sync.max_bytes", max_bytes, size::parse);
        values.set("sync.wiki", wiki, flag);
        values.set("sync.wiki_interval", wiki_interval, duration::parse);
        values.set("sync.metadata", metadata, flag);
        values.set("sync.metadata_ref", metadata_ref, catalog_ref);
        values.set("sync.metadata_interval", metadata_interval, duration::parse);
        values.set("sync.metadata_sweep", metadata_sweep, duration::parse);
        values.set("sync.attachment_max_bytes", attachment_max_bytes, size::parse);
        it
    }

    fn problems(&self) -> Vec<Problem> {
        let Self {
            workers,
            lease,
            interval,
            min_interval,
            max_interval,
            full_interval,
            refs,
            engine,
            cache_dir,
            spool_memory,
            spool_dir,
            stream_above,
            foreign_refs: _,
            timeout,
            stall_timeout,
            keep_overwritten: _,
            lfs: _,
            kept_max_age,
            kept_max_count,
            history,
            max_bytes,
            wiki: _,
            wiki_interval,
            metadata: _,
            metadata_ref: _,
            metadata_interval,
            metadata_sweep,
            attachment_max_bytes,
        } = self;
        let (tick, second) = (Duration::from_millis(1), Duration::from_secs(1));
        let (hour, day) = (second * 3600, second * 86_400);
        let mut problems = Vec::new();
        problems.extend(counting("sync.workers", *workers as u64, 1, 1024));
        problems.extend(lasting("sync.lease", *lease, second, hour));
        problems.extend(lasting("sync.interval", *interval, second, day * 365));
        problems.extend(min_interval.and_then(|it| lasting("sync.min_interval", it, second, *interval)));
        problems.extend(max_interval.and_then(|it| lasting("sync.max_interval", it, *interval, day * 365)));
        problems.extend(lasting("sync.full_interval", *full_interval, second, day * 365));
        problems.extend(lasting("sync.wiki_interval", *wiki_interval, second, day * 365));
        problems.extend(sized("sync.attachment_max_bytes", *attachment_max_bytes, 1, 1 << 40));
        problems.extend(lasting("sync.metadata_interval", *metadata_interval, second, day * 365));
        problems.extend(lasting("sync.metadata_sweep", *metadata_sweep, second, day * 365));
        problems.extend(lasting("sync.timeout", *timeout, tick, day * 7));
        problems.extend(lasting("sync.stall_timeout", *stall_timeout, tick, day));
        problems.extend(kept_max_age.and_then(|age| lasting("sync.kept_max_age", age, second, day * 36_500)));
        problems.extend(kept_max_count.and_then(|most| counting("sync.kept_max_count", most as u64, 1, 1 << 20)));
        problems.extend(lasting("sync.history", *history, day, day * 36_500));
        problems.extend(sized("sync.spool_memory", *spool_memory, 1, 1 << 40));
        problems.extend(stream_above.and_then(|rate| sized("sync.stream_above", rate, 1, 1 << 40)));
        problems.extend(max_bytes.and_then(|most| sized("sync.max_bytes", most, 1, 1 << 60)));
        if refs.is_empty() {
            let accepted = "write at least one, as in `[\"refs/heads/*\", \"refs/tags/*\"]`";
            problems.push(Problem::new("sync.refs", "holds no pattern, so that nothing would be mirrored", accepted));
        }
        if *engine == Engine::Cached && cache_dir.is_none() {
            let accepted =
                "name a folder for the copies, as in `/var/lib/starkeep/cache`; it is made if its parent is there";
            problems.push(Problem::new("sync.cache_dir", "is missing while `sync.engine` is `cached`", accepted));
        }
        if let Some(file) = cache_dir.as_ref().filter(|it| it.exists() && !it.is_dir()) {
            let found = format!("`{}` is not a folder", file.display());
            problems.push(Problem::new("sync.cache_dir", found, "name a folder that starkeep may write"));
        }
        if let Some(missing) = spool_dir.as_ref().filter(|it| !it.is_dir()) {
            let found = format!("`{}` is not a folder", missing.display());
            problems.push(Problem::new("sync.spool_dir", found, "name a folder that is there and writable"));
        }
        problems
    }
}

fn pattern(text: &str) -> Result<RefPattern, Refused> {
    parsed(
        text,
        "write full ref names with at most one `*`, as in `refs/heads/*`; `refs/pulls/`, `refs/updates/`, \
         `refs/onedev/` and `refs/starkeep/` are never mirrored",
    )
}

/// A ref of starkeep's own, or a branch.
fn catalog_ref(text: &str) -> Result<RefName, Refused> {
    let full = if text.starts_with("refs/") { text.to_owned() } else { format!("refs/heads/{text}") };
    let taken =
        ["refs/starkeep/kept", "refs/starkeep/alias", "refs/starkeep/origin"].iter().any(|it| full.starts_with(it));
    let clean = full.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'.' | b'-' | b'_'));
    let ours = full.starts_with("refs/starkeep/") || full.starts_with("refs/heads/");
    let name = RefName::new(&full).ok().filter(|_| ours && clean && !taken);
    name.ok_or_else(|| {
        Refused::of(
            text,
            "write the name of a branch that upstream does not have, or a ref below `refs/starkeep/` other than `kept`, \
             `alias` and `origin`; letters, digits, `.`, `-`, `_` and `/` only",
        )
    })
}

fn folder(text: &str) -> Result<PathBuf, Refused> {
    parsed(text, "write the path of a folder")
}
