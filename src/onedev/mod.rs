//! OneDev over REST: is it up, where does a mirror live, what does its project look like.
//!
//! Requests come from the stages (ensure, transfer) and the readiness probe. `client` and `exchange`
//! know how OneDev answers, faults included; `repository` asks about branches and commits; `projects`
//! decides where a mirror goes and makes it so. Facts about OneDev's behaviour are of version 16.5.6,
//! seen on a running server.

mod access;
mod client;
mod error;
mod exchange;
mod labels;
mod model;
pub mod projects;
mod repository;

#[cfg(test)]
mod tests;

pub use client::OnedevClient;
pub use error::{Missing, OnedevError};
pub use labels::{LabelSpec, ProjectLabel};
pub use model::{Project, Version};
pub use repository::Ancestry;
