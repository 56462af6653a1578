//! The wire: refs and packs move from upstream to the target over git's smart HTTP or SSH, streamed,
//! without git, without a repository on disk.
//!
//! ```text
//!            ls_refs          receive_refs                  (lists, plans are made of them elsewhere)
//! Upstream ───────────▶  ◀────────────────── Target
//!     │ fetch: pkt-lines ▶ side-band ▶ Pack                     ▲
//!     └────────────────────────▶ Spool (memory | unnamed file) ─┘ push: commands + pack ▶ report
//!                                   └── or straight through, when it is big and comes fast
//! ```
//!
//! - [`remote`](Address): one repository at one server, by HTTP (requests, redirects, status codes) or by SSH
//!   (keys, channels), both with time-outs.
//! - [`Upstream`]: lists refs (protocol v2, the old one as fallback) and fetches packs.
//! - [`Target`]: lists refs and pushes commands with a pack; [`PushReport`] tells what became of each.
//! - [`Relay`]: the whole transfer, with the process's [`Spool`] in between.
//! - [`Caches`]: the cached engine's copies on disk, filled from upstream; packs are made out of them.
//! - [`LfsEndpoint`]: one repository's LFS objects; [`Findings`]: the pointers that a passing pack held.
//! - [`Packer`]: packs of objects that starkeep makes itself.
//! - [`non_commit_tags`] and [`is_ancestor`]: two questions that are answered by small fetches.
//!
//! Every error is a [`WireError`]: which side, a stable word, whether it may pass.

mod ancestry;
mod body;
mod cache;
mod capabilities;
mod census;
mod clean;
mod command;
mod error;
mod feed;
mod fetch;
mod file;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzed;
mod haves;
mod lfs;
mod listing;
mod local;
mod pack;
mod packer;
mod pktline;
mod progress;
mod relay;
mod remote;
mod report;
mod scan;
mod sideband;
mod smart_http;
mod spool;
mod ssh;
mod status;
mod target;
mod upstream;
mod walker;

#[cfg(test)]
mod tests;

pub use ancestry::{Ancestry, is_ancestor};
pub use cache::{Cache, CacheSource, Caches, Filled};
pub use capabilities::Capabilities;
pub use census::{Census, non_commit_tags};
pub use command::{Command, Push, batches};
pub use error::{Side, WireError};
pub use fetch::FetchOptions;
pub use haves::{MAX_HAVES, haves, wants};
pub use lfs::{
    Answer, Claim, Claims, Download, LfsEndpoint, Link, MOST_AT_ONCE, ObjectError, ObjectFolder, Operation, Source,
    Standing, measure,
};
pub use listing::{Advertisement, ReceiveAdvertisement, Version};
pub use local::{Checked, LocalRepository, TreeEntry, Version as FileVersion};
pub use pack::Pack;
pub use packer::{MadePack, Packer};
pub use progress::{Phase, Progress, Snapshot};
pub use relay::{Order, Prepared, Relay, TransferOptions, Transferred};
pub use remote::{Address, Connections, Patience};
pub use report::{PushReport, RefOutcome, Refusal};
pub use scan::{Findings, scan_all, settle};
pub use smart_http::http_client;
pub use spool::Spool;
pub use ssh::SshServer;
pub use target::Target;
pub use upstream::Upstream;
