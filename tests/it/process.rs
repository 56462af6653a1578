//! The real binary as a process of its own.
