#!/bin/bash
# The Debian packages of a build: what they name as their dependencies is there, and the program that lies in one runs.
#
#   package.sh BUILD
set -euo pipefail
build=$(cd "$1" && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/troupe-package-XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$build"
cpack -B "$work/packages" >"$work/said" 2>&1 || { cat "$work/said"; exit 1; }
program=$(echo "$work"/packages/troupe_*.deb) libraries=$(echo "$work"/packages/libtroupe-dev_*.deb)

# Every package that is depended on is known to this Debian by that name.
dpkg-deb -f "$program" Depends | grep -q libcaf-core0.17
for package in $(dpkg-deb -f "$program" Depends; dpkg-deb -f "$libraries" Depends); do
  case $package in
    *[a-z]*-* | lib*) dpkg-query -W "${package%,}" >/dev/null ;;
  esac
done

dpkg-deb -x "$program" "$work/root"
dpkg-deb -x "$libraries" "$work/root"
cd "$work"
"$work/root/usr/bin/troupe" plan "$work/root/usr/share/troupe/jobs/recipes/demo.ini" --gflops 10 | grep '^time '
test -s "$work/root/usr/share/man/man1/troupe.1"
test -s "$work/root/usr/lib/cmake/Troupe/TroupeConfig.cmake"
ls -l "$work"/packages/*.deb
