//! Stories of the HTTP surface, told to a real server on loopback with a real SQLite file, the real
//! stages behind it, and canned answers where GitHub and OneDev would be.

mod bodies;
#[expect(unreachable_pub, reason = "shared with other test binaries")]
#[path = "../../../tests/support/contract.rs"]
mod contract;
mod cors;
mod document;
mod etag;
mod events;
#[expect(unreachable_pub, reason = "shared with other test binaries")]
#[path = "../../../tests/support/following.rs"]
mod following;
mod health;
mod house;
mod jobs;
mod jwt;
mod keys;
mod limits;
mod log;
mod mirrors;
mod once;
mod queries;
mod refs;
mod session;
mod shape;
mod webhooks;
mod wire;
