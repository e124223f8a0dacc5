#!/bin/bash
# Installs a build into an empty folder, moves it, and uses it from outside: the program, the recipes, and a program of
# another's that finds the libraries by CMake, is built against them and learns.
#
#   outside.sh BUILD
#
# BUILD must have been built as a whole, or by its target `troupe_installable`.
set -euo pipefail
build=$1
work=$(mktemp -d "${TMPDIR:-/tmp}/troupe-installed-XXXXXX")
trap 'rm -rf "$work"' EXIT
quietly() { "$@" >"$work/said" 2>&1 || { cat "$work/said"; echo "failed: $*"; exit 1; }; }
expect() { grep -q -- "$1" "$work/said" || { cat "$work/said"; echo "expected: $1"; exit 1; }; }

quietly cmake --install "$build" --prefix "$work/first"
mv "$work/first" "$work/troupe"
troupe=$work/troupe
share=$troupe/share/troupe

# The program, which finds its libraries, and a recipe that finds its model and its data.
cd "$work"
quietly env -i HOME="$work" "$troupe/bin/troupe" --version
expect '^troupe [0-9]*\.[0-9]*\.[0-9]*'
quietly "$troupe/bin/troupe" plan "$share/jobs/recipes/demo.ini" --gflops 10
expect '^time '
cat "$troupe/share/bash-completion/completions/troupe" "$troupe/share/zsh/site-functions/_troupe" >"$work/said"
expect 'ppo.kl-in'
for file in slurm/troupe.sh slurm/one-node.sbatch jobs/recipes/plot.py examples/grpo/grpo.cpp; do
  test -s "$share/$file"
done

# The manual page is one.
if command -v man >/dev/null; then
  MANWIDTH=120 man --warnings -Tutf8 -l "$troupe/share/man/man1/troupe.1" >"$work/page" 2>"$work/said"
  if [ -s "$work/said" ]; then cat "$work/said"; exit 1; fi
  grep -q 'troupe run JOB.ini' "$work/page"
fi

# The example, in a folder of its own.
cp -r "$share/examples/grpo" "$work/outside"
quietly cmake -S "$work/outside" -B "$work/outside/build" -DCMAKE_PREFIX_PATH="$troupe" -DCMAKE_BUILD_TYPE=Release
quietly cmake --build "$work/outside/build"
quietly "$work/outside/build/grpo" "$share/tests/data/stories260k" "$share/tests/data/vader/vader_lexicon.txt" 12
cat "$work/said"
awk '/^iteration/ { reward[n++] = $4 + 0 }
     END { for (i = 0; i < 3; ++i) { first += reward[i] / 3; last += reward[n - 1 - i] / 3 }
           printf "mean reward of the first 3 iterations %.2f, of the last 3 %.2f\n", first, last
           exit !(n == 12 && last > 2 * first) }' "$work/said"

# Every header stands by itself: what each names, in either order.
mkdir "$work/headers"
(cd "$troupe/include/troupe" && find . -name '*.hpp' | sort | sed 's|^\./\(.*\)|#include "\1"|') >"$work/headers/up.cpp"
tac "$work/headers/up.cpp" >"$work/headers/down.cpp"
cat >"$work/headers/CMakeLists.txt" <<'EOF'
cmake_minimum_required(VERSION 3.25)
project(headers CXX)
find_package(Troupe REQUIRED)
add_library(headers OBJECT up.cpp down.cpp)
target_compile_options(headers PRIVATE -fsyntax-only)
target_link_libraries(headers PRIVATE Troupe::base Troupe::kernels Troupe::engine Troupe::io)
EOF
quietly cmake -S "$work/headers" -B "$work/headers/build" -DCMAKE_PREFIX_PATH="$troupe"
quietly cmake --build "$work/headers/build"
echo "headers: $(wc -l <"$work/headers/up.cpp")"

# What cannot be found is named: a component that there is not, a library that is missing.
cat >"$work/headers/CMakeLists.txt" <<'EOF'
cmake_minimum_required(VERSION 3.25)
project(headers CXX)
find_package(Troupe COMPONENTS ${WANTED})
message(STATUS "found: ${Troupe_FOUND}")
EOF
export CMAKE_PREFIX_PATH=$troupe
quietly cmake -S "$work/headers" -B "$work/other" -DWANTED=actors
expect 'no component actors'
expect 'found: FALSE\|found: 0'
quietly env PKG_CONFIG_LIBDIR="$work" cmake -S "$work/headers" -B "$work/third" -DWANTED=base
expect 'Troupe::base needs xxhash'
quietly cmake -S "$work/headers" -B "$work/fourth" -DWANTED=kernels
expect 'found: TRUE\|found: 1'
