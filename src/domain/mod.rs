//! The words of the service and the decisions it makes, as plain values.
//!
//! Nothing here reads a clock, draws a random number or touches a network, a disk, a database or an
//! actor: what changes from call to call is an argument. Everything else in the crate may import
//! this module; it imports nothing of the crate.

pub mod api_key;
pub mod audit_chain;
pub mod bounds;
pub mod brake;
pub mod catalog;
pub mod event;
pub mod glob;
pub mod gone;
pub mod ids;
pub mod installation;
pub mod job;
pub mod kept;
pub mod lfs;
pub mod lfs_config;
pub mod listing;
pub mod marker;
pub mod mirror;
pub mod naming;
pub mod notice;
pub mod outage;
pub mod outcome;
pub mod part;
pub mod plan;
pub mod policy;
pub mod rate;
pub mod refs;
pub mod repository;
pub mod retry;
pub mod session;
pub mod sources;
pub mod star_lists;
pub mod stars;
pub mod sweep;
