#!/bin/sh
# check_test.sh: what check.sh does where the module of its bundle needs a library that the system does not find.
set -eu
here=$(dirname "$0")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/bundle" "$work/bin" "$work/packages/of_cuda/lib"
touch "$work/packages/of_cuda/lib/libtroupe_absent.so.13" "$work/packages/of_cuda/lib/libc.so.6"
export PYTHONPATH="$work/packages" PATH="$work/bin:$PATH"

cat >"$work/bin/ldd" <<'END'
#!/bin/sh
IFS=:
for folder in $LD_LIBRARY_PATH; do
  [ ! -e "$folder/libtroupe_absent.so.13" ] || exit 0
done
echo "	libtroupe_absent.so.13 => not found"
END
cat >"$work/bin/cmake" <<'END'
#!/bin/sh
echo "there is no toolkit"
exit 1
END
cat >"$work/bundle/troupe_gpu_check" <<'END'
#!/bin/sh
[ "$1" != --help ] || exit 0
echo "run with $*, TROUPE_CUDA_TELL=$TROUPE_CUDA_TELL"
echo "a word besides" >&2
IFS=:
for folder in $LD_LIBRARY_PATH; do
  ! [ -e "$folder/libc.so.6" ] || echo "a library of the system is hidden"
done
exit 1
END
chmod +x "$work"/bin/* "$work/bundle/troupe_gpu_check"

fail() {
  echo "$1: $said"
  exit 1
}
said=$("$here/check.sh" "$work/bundle" "$work/out" --only twins 2>&1) && fail "its exit status is lost"
case $said in
  "run with --out $work/out --only twins, TROUPE_CUDA_TELL=1
a word besides") ;;
  *) fail "a library that a package has" ;;
esac
[ "$(cat "$work/out/stderr.txt")" = "a word besides" ] || fail "stderr is not kept"

rm "$work/packages/of_cuda/lib/libtroupe_absent.so.13" "$work/out/lib/libtroupe_absent.so.13"
said=$("$here/check.sh" "$work/bundle" "$work/out" 2>&1) && fail "a library that is nowhere"
case $said in
  *"libtroupe_absent.so.13 => not found"*"there is no toolkit"*) ;;
  *) fail "a library that is nowhere is not named" ;;
esac
