//! What all benchmarks share.

pub(crate) mod bed;
pub(crate) mod child;
pub(crate) mod data;
pub(crate) mod git;
pub(crate) mod machine;
pub(crate) mod peer;
pub(crate) mod raw;
pub(crate) mod report;
pub(crate) mod stage;

/// Rounds of a benchmark: as `STARKEEP_BENCH_ROUNDS` says, or its own number.
pub(crate) fn rounds(usual: usize) -> usize {
    number("STARKEEP_BENCH_ROUNDS", usual).max(1)
}

/// A number from the environment.
pub(crate) fn number(key: &str, usual: usize) -> usize {
    std::env::var(key).ok().and_then(|it| it.parse().ok()).unwrap_or(usual)
}

/// Whether the long form was asked for.
pub(crate) fn long() -> bool {
    std::env::var_os("STARKEEP_BENCH_LONG").is_some_and(|it| it == "1")
}
