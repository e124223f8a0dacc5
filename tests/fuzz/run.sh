#!/bin/bash
# Runs every fuzzer on its seeds for some seconds, one on each core; what it finds is left in BUILD/fuzz-findings.
#   run.sh BUILD SECONDS
set -eu
build=$(cd "$1" && pwd)
seconds=$2
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$build/fuzz-findings"

run_one() {
  local name seeds work runs
  name=$(basename "$1" .cpp)
  seeds="$here/corpus/${name%_fuzz}"
  work=$(mktemp -d)   # new inputs go here, not among the seeds
  trap 'rm -rf "$work"' EXIT
  if ! "$build/tests/fuzz/$name" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=4096 -print_final_stats=1 \
      -artifact_prefix="$build/fuzz-findings/$name-" "$work" "$seeds" >"$build/fuzz-findings/$name.log" 2>&1; then
    echo "$name: FAILED, see $build/fuzz-findings/$name.log"
    tail -30 "$build/fuzz-findings/$name.log"
    return 1
  fi
  runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$build/fuzz-findings/$name.log")
  echo "$name: $runs inputs, no finding"
}
export -f run_one
export build seconds here

if printf '%s\n' "$here"/*_fuzz.cpp | xargs -P "$(nproc)" -I{} bash -c 'run_one {}'; then
  echo "no fuzzer has found anything"
else
  echo "a fuzzer has failed"
  exit 1
fi
