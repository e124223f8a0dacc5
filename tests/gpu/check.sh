#!/bin/sh
# check.sh BUNDLE OUT [OPTIONS]: troupe_gpu_check on this machine's card, from a bundle (bundle.sh): as it is, or where
# it does not start, built anew with the bundle's libraries. Needs no root, and nothing but the toolkit, g++ and CMake.
set -eu
cd "$(dirname "$0")/../.."
bundle=$(realpath "$1")
out=$2
shift 2
mkdir -p "$out"
export LD_LIBRARY_PATH="$bundle/lib:${LD_LIBRARY_PATH:-}:/usr/local/cuda/lib64:/usr/local/cuda/lib"
check=$bundle/troupe_gpu_check
if ! "$check" --help >/dev/null 2>&1; then
  echo "the finished program does not start here: building it"
  cmake -B build/gpu -DCMAKE_BUILD_TYPE=Release -DTROUPE_CUDA=ON -DTROUPE_MPI=OFF -DTROUPE_PROGRAM=OFF \
    -DTROUPE_INSTALL=OFF "-DTROUPE_BUNDLED=$bundle" >"$out/build.txt" 2>&1 &&
    cmake --build build/gpu -j "$(nproc)" --target troupe_gpu_check troupe_cuda >>"$out/build.txt" 2>&1 ||
    { tail -n 20 "$out/build.txt"; exit 1; }
  check=build/gpu/troupe_gpu_check
fi
exec "$check" --out "$out" "$@"
