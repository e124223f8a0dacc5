#!/bin/sh
# In the place of compute-sanitizer, in tests: runs the program, then says that it has found FOUND errors (none where it
# is not set), and ends as the tool does.
case "$2" in
  memcheck) text="ERROR SUMMARY: ${FOUND:-0} errors" ;;
  racecheck) text="RACECHECK SUMMARY: ${FOUND:-0} hazards displayed (${FOUND:-0} errors, 0 warnings)" ;;
  *) echo "no such tool: $2"; exit 2 ;;
esac
[ "${TROUPE_CUDA_WHOLE_RANGES:-}" = 1 ] || exit 2  # or arrays end with their pages, and the tool does not see it
while [ "${1#--}" != "$1" ]; do
  [ "$1" = --error-exitcode ] && error_exit=$2
  shift 2
done
"$@" || exit $?
echo "========= $text"
[ "${FOUND:-0}" = 0 ] || exit "$error_exit"
