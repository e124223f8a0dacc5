#!/bin/sh
# bundle.sh BUILD FOLDER: all that a machine with a card needs to run troupe_gpu_check: the program and the module as
# BUILD has them, the libraries that they need, and headers, with which check.sh builds both anew where the finished
# ones do not start (another C library).
set -eu
build=$1
folder=$2
rm -rf "$folder"
mkdir -p "$folder/lib" "$folder/include"
cp "$build/troupe_gpu_check" "$build/libtroupe_cuda.so" "$folder"
for library in fmt hwy xxhash; do
  file=$(/sbin/ldconfig -p | grep -o "/.*/lib$library\.so\.[0-9]*$" | head -n 1)
  cp -L "$file" "$folder/lib"
done
for headers in fmt hwy Random123; do
  cp -r "/usr/include/$headers" "$folder/include"
done
cp /usr/include/xxh*.h "$folder/include"
du -sh "$folder"
