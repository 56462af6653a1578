//! The `starkeep` command.
fn main() {}
