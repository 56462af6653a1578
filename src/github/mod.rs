//! GitHub over REST: what a repository is called now and what state it is in, and the credential for
//! reading it by git.
//!
//! Requests come from the stages (describe, transfer) and the readiness probe; answers go back as
//! `domain` values. octocrab signs the App's JWT; all else is a thin layer of our own over reqwest,
//! since redirects, refusals and rate limits must be told apart by status, header and body.
//! The credential is sent as a header, only ever to the host of `github.api_url`.

mod app;
mod catalog;
mod checkup;
mod client;
mod credentials;
mod deliveries;
mod error;
mod exchange;
mod file;
mod git;
mod governors;
mod graphql;
mod installations;
mod limits;
mod listing;
mod model;
mod owned;
mod pauses;
mod readers;
mod star_lists;
mod stars;
mod token;
mod upstreams;

#[cfg(test)]
mod tests;

pub use catalog::{Budget, Question, Sheet, Told};
pub use checkup::{Allowance, AppSeen, Credential, Seen};
pub use client::{Clock, GithubClient, Reachability};
pub use deliveries::{Delivered, DeliveryPage};
pub use error::GithubError;
pub use governors::GitPlace;
pub use listing::ListPage;
pub use owned::{OwnedList, OwnedPage};
pub use star_lists::ListsSeen;
pub use stars::{PageLink, StarEntry, StarPage, Starred};
pub use upstreams::Asked;
