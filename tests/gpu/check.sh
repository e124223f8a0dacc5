#!/bin/sh
# check.sh BUNDLE OUT [OPTIONS]: troupe_gpu_check on this machine's card, from a bundle (bundle.sh): as it is, or where
# it does not start, built anew with the bundle's libraries. Needs no root, and nothing but the toolkit, g++ and CMake.
# What the check and the libraries say besides its lines is in OUT/stderr.txt and OUT/nccl.txt.
set -eu
cd "$(dirname "$0")/../.."
bundle=$(realpath "$1")
out=$2
shift 2
mkdir -p "$out/lib"
found=$(realpath "$out/lib")
export LD_LIBRARY_PATH="$bundle/lib:${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$found"
check=$bundle/troupe_gpu_check

# Lines about what the module needs and the system does not find.
not_found() { ldd "$bundle/libtroupe_cuda.so" 2>&1 | grep 'not found' || true; }

# link LIBRARY: into OUT/lib, from wherever toolkits and packages of Python may have put it. A link to it alone: beside
# it there may be libraries of which the system has its own.
link() {
  packages=$(python3 -c 'import sys; print("\n".join(folder for folder in sys.path if folder))' 2>/dev/null || true)
  file=$(find /usr/lib /usr/local/lib /usr/local/cuda*/ /opt $packages -name "$1" 2>/dev/null | head -n 1)
  [ -z "$file" ] || ln -sf "$file" "$found/$1"
}

for library in $(not_found | sed -n 's/^[[:space:]]*\([^ ]*\) => not found.*/\1/p') libnccl.so.2; do
  link "$library"
done
if ! "$check" --help >/dev/null 2>&1 || [ -n "$(not_found)" ]; then
  echo "the finished program does not start here: building it"
  not_found
  cmake -B build/gpu -DCMAKE_BUILD_TYPE=Release -DTROUPE_CUDA=ON -DTROUPE_MPI=OFF -DTROUPE_PROGRAM=OFF \
    -DTROUPE_INSTALL=OFF "-DTROUPE_BUNDLED=$bundle" >"$out/build.txt" 2>&1 &&
    cmake --build build/gpu -j "$(nproc)" --target troupe_gpu_check troupe_cuda >>"$out/build.txt" 2>&1 ||
    { tail -n 20 "$out/build.txt"; exit 1; }
  check=build/gpu/troupe_gpu_check
fi
export TROUPE_CUDA_TELL=1 NCCL_DEBUG="${NCCL_DEBUG:-WARN}" NCCL_DEBUG_FILE="${NCCL_DEBUG_FILE:-$out/nccl.txt}"
status=0
"$check" --out "$out" "$@" 2>"$out/stderr.txt" || status=$?
[ "$status" = 0 ] || tail -n 20 "$out/stderr.txt" >&2
exit "$status"
