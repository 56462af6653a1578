#!/usr/bin/env bash
# Feeds the parsers of everything that strangers send with what a coverage-guided search makes up.
#
#     fuzz/run.sh [SECONDS] [TARGET…]
#
# Each target runs for so long (600 s without a word) from its corpus in fuzz/corpus; what is found on the way is kept in
# target/fuzz/found, what broke one in target/fuzz/artifacts. To see it again: fuzz/run.sh 0 TARGET FILE. Needs a C++
# compiler for libFuzzer. No nightly compiler: the coverage is LLVM's own, and without its sanitizers, which Rust without
# `unsafe` has little use for.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

seconds="${1:-600}"
[ $# -eq 0 ] || shift
all=(signature payload pkt_line advertisement report configuration names)
[ $# -gt 0 ] || set -- "${all[@]}"

host="$(rustc -vV | sed -n 's/^host: //p')"
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Ccodegen-units=1 -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares"
cargo build --locked --release --manifest-path fuzz/Cargo.toml --target "$host" --target-dir target/fuzz
built="target/fuzz/$host/release"

if [ "$seconds" = 0 ]; then
    exec "$built/$1" "${@:2}"
fi
for target in "$@"; do
    found="target/fuzz/found/$target" broken="target/fuzz/artifacts/$target/"
    mkdir -p "$found" "$broken"
    echo "== $target, ${seconds} s"
    "$built/$target" "$found" "fuzz/corpus/$target" -artifact_prefix="$broken" -max_total_time="$seconds" \
        -max_len=8192 -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 2>&1 | tail -n 12
done
