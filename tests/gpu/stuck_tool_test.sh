#!/bin/sh
# stuck_tool_test.sh CHECK MODULE: of a tool that hangs nothing is left, though what it has started is no longer of its
# group, nor its child.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/tool" <<END
#!/bin/sh
setsid sleep 1000 &
echo \$! >>"$work/started"
sleep 1000
END
chmod +x "$work/tool"
TROUPE_COMPUTE_SANITIZER="$work/tool" "$1" --emulated "$2" --out "$work" --only sanitizer --seconds 5 >"$work/said" &&
  exit 1
grep 'not done in its time' "$work/said"
for process in $(cat "$work/started"); do
  case $(sed 's/.*) //' "/proc/$process/stat" 2>/dev/null) in
    '' | Z*) ;;
    *) echo "$process is still there"; kill "$process"; exit 1 ;;
  esac
done
