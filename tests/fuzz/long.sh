#!/usr/bin/env bash
# Runs targets for longer, by libFuzzer where cargo-fuzz is there, else by the runner of tests/run.rs.
#
#   tests/fuzz/long.sh SECONDS [TARGET…]     each target, or these, for so many seconds
#
# What was found to be interesting is in tests/fuzz/target/found, what breaks a target in tests/fuzz/artifacts.
set -Eeuo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

seconds=${1:?how many seconds for each target}
shift
if [ "$#" -eq 0 ]; then
    mapfile -t targets < <(sed -n '/^\[\[bin\]\]/,$ s/^name = "\(.*\)"/\1/p' Cargo.toml)
else
    targets=("$@")
fi

if ! cargo fuzz --version >/dev/null 2>&1; then
    echo "cargo-fuzz isn't there (cargo install cargo-fuzz): no coverage guides what follows" >&2
    export PAYMUX_FUZZ_SECONDS=$seconds PAYMUX_FUZZ_SEED=${PAYMUX_FUZZ_SEED:-$RANDOM}
    echo "PAYMUX_FUZZ_SEED=$PAYMUX_FUZZ_SEED"
    exec cargo test --locked --test run -- --nocapture --exact "${targets[@]}"
fi

# The instrumentation is of the compiler's unstable flags, which a stable one takes when it is told so.
export RUSTC_BOOTSTRAP=1
for target in "${targets[@]}"; do
    mkdir -p "target/found/$target"
    cargo fuzz run --fuzz-dir . --sanitizer none --features libfuzzer "$target" "target/found/$target" "corpus/$target" -- \
        -max_total_time="$seconds" -max_len=8192 -timeout=10 -rss_limit_mb=1024
done
