//! The catalog: everything at GitHub about a repository that git does not carry - issues, pull
//! requests, comments, reviews, releases, labels, milestones, the repository's own description -
//! as files of a git tree.
//!
//! Items come as GitHub's JSON from `github`, are cut down and given an identity by [`item`], and
//! are laid out by [`layout`] and [`markdown`]; [`feed`] says which lists are read in which order.

pub mod asset;
pub mod feed;
pub mod item;
pub mod layout;
pub mod markdown;
pub mod objects;
mod trim;

pub use feed::{Feed, Visit};
pub use item::{Item, Kind, Unit};
