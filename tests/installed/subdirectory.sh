#!/bin/bash
# Troupe inside another's build, by add_subdirectory: its flags, its tests and its program stay out of it.
#
#   subdirectory.sh SOURCES
set -euo pipefail
work=$(mktemp -d "${TMPDIR:-/tmp}/troupe-inside-XXXXXX")
trap 'rm -rf "$work"' EXIT
cat >"$work/CMakeLists.txt" <<EOF
cmake_minimum_required(VERSION 3.25)
project(outer LANGUAGES C CXX)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
add_subdirectory($1 troupe)
add_executable(outer outer.cpp)
target_link_libraries(outer PRIVATE Troupe::engine Troupe::io)
add_executable(alone outer.cpp)
EOF
echo 'int main() {}' >"$work/outer.cpp"
cmake -S "$work" -B "$work/build" -G Ninja >"$work/said" 2>&1 || { cat "$work/said"; exit 1; }

commands=$work/build/compile_commands.json
python3 - "$commands" "$1" <<'EOF'
import json, sys
commands, sources = json.load(open(sys.argv[1])), sys.argv[2]
outer = [c["command"] for c in commands if c["file"].endswith("outer.cpp")]
assert len(outer) == 2, outer
with_troupe, alone = sorted(outer, key=len, reverse=True)
assert f"-I{sources}/src " in with_troupe, with_troupe
for flag in ("-I", "-Wall", "-ffp-contract", "HWY", "-O2"):
    assert flag not in alone, (flag, alone)
for flag in ("-Wall", "-ffp-contract", "HWY"):
    assert flag not in with_troupe, (flag, with_troupe)
strangers = [c["file"] for c in commands if "/tests/" in c["file"] or "/jobs/" in c["file"] or "/actors/" in c["file"]]
assert not strangers, strangers[:3]
assert any(c["file"].endswith("engine/plan.cpp") and "-ffp-contract=off" in c["command"] for c in commands)
EOF
