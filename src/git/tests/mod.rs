//! Stories of whole transfers: real git on both sides, over HTTP on loopback, and a network
//! between them that breaks where a story wants it to.

mod garbage;
mod network;
mod over_ssh;
mod people;
mod questions;
mod refused;
mod servers;
mod stage;
mod stories;
mod trouble;
