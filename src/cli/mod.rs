//! The command line: one file a command.

pub mod completions;
pub mod config;
