//! The rules of mirroring into OneDev's projects: where a mirror lives, making that place, moving
//! to another, keeping its settings, and taking back what was made for nothing.
//!
//! Everything here may run twice, or be cut off half-way and run again.

mod create;
mod gone;
mod locate;
mod relocate;
mod remove;
mod settle;

pub use create::{Created, create};
pub use gone::tell_gone;
pub use locate::{Conflict, Known, Placement, Wanted, locate};
pub use relocate::{Destination, destination, relocate};
pub use remove::{Removal, remove_if_empty};
pub use settle::{Settings, description, settle};
