#!/bin/bash
# Runs every fuzzer on its seeds for some seconds; what it finds is left in BUILD/fuzz-findings.
#   run.sh BUILD SECONDS
set -eu
build=$(cd "$1" && pwd)
seconds=$2
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$build/fuzz-findings"
failed=0
passed=0
for source in "$here"/*_fuzz.cpp; do
  name=$(basename "$source" .cpp)
  seeds="$here/corpus/${name%_fuzz}"
  work=$(mktemp -d)   # new inputs go here, not among the seeds
  if "$build/tests/fuzz/$name" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=4096 -print_final_stats=1 \
      -artifact_prefix="$build/fuzz-findings/$name-" "$work" "$seeds" >"$build/fuzz-findings/$name.log" 2>&1; then
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$build/fuzz-findings/$name.log")
    echo "$name: $runs inputs, no finding"
    passed=$((passed + 1))
  else
    echo "$name: FAILED, see $build/fuzz-findings/$name.log"
    tail -30 "$build/fuzz-findings/$name.log"
    failed=$((failed + 1))
  fi
  rm -rf "$work"
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
