//! LFS: large objects go from upstream to the target beside the packs, streamed, hashed on the way.
//!
//! ```text
//! LfsEndpoint (upstream) ── ask ▶ link ── open ▶ Download ─ sha256 and size ─┐
//! LfsEndpoint (target)   ── ask ▶ link, only for what is missing ── put ◀────┘
//! ```
//!
//! - [`LfsEndpoint`]: one repository's LFS at one server: the batch call, objects read, written and checked.
//! - [`Download`]: the bytes of one object, of which the last are handed on only when all were right.
//!   So a body that goes on into a [`LfsEndpoint::put`] is never finished with wrong bytes.
//! - [`ObjectFolder`]: objects on disk beside a repository, as git-lfs keeps them.
//! - [`Claims`]: one upload of an object at a time in this process.
//! - [`ObjectError`]: why one object could not be moved; the others go on.
//!
//! What is wanted and what became of it is remembered elsewhere, by the stages.

mod answer;
mod claims;
mod download;
mod endpoint;
mod error;
mod folder;
mod link;
mod upload;

pub use answer::{Answer, Operation};
pub use claims::{Claim, Claims};
pub use download::{Download, measure};
pub use endpoint::{LfsEndpoint, MOST_AT_ONCE, Standing};
pub use error::ObjectError;
pub use folder::ObjectFolder;
pub use link::Link;
pub use upload::Source;
