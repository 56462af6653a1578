//! Finds LFS pointer files in a pack while it passes by, in little memory.
//!
//! Pieces come from [`super::pack`] as they go on their way, to a thread of the scan's own; what was found goes to whoever brings the
//! objects. Every object is inflated, since a pack does not tell where one ends, but nearly nothing is
//! kept: only contents that are pointers, or could become some by a delta.
//!
//! A delta is looked at without its base where that settles it: a small file that is made of a base
//! without any pointer's text in it, and of inserted bytes without it, is no pointer. Deltas on objects
//! that are not in the pack (thin packs) are put aside until [`settle()`] has asked for those. Whatever is
//! left in doubt makes the findings incomplete, and a pack of small files only is asked for instead.
//!
//! The first pack of a large repository is only glanced over, which tells whether there is anything to find.

mod beside;
mod delta;
mod entries;
mod findings;
mod glance;
mod settle;
mod suspects;
#[cfg(test)]
mod tests;

pub use findings::Findings;
pub use settle::{scan_all, settle};

pub(crate) use beside::{Pieces, Scan, Thoroughness};
