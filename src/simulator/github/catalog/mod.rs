//! What the simulated GitHub holds of a repository beside git: issues, pull requests, comments,
//! reviews, releases, labels, milestones; with pages, `since`, sort and all that a client pages
//! through.
//!
//! [`edit`] changes it as people would, [`endpoints`] shows it.

mod edit;
pub(super) mod endpoints;
mod shelf;

pub(crate) use self::shelf::Shelf;
