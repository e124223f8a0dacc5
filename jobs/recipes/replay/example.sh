#!/bin/bash
# The worked example of docs/replay.md, from nothing: a run that learns too little, what other options would have made
# of its answers, and a run with the options that this points to. A few minutes on two cores.
#
#   jobs/recipes/replay/example.sh OUT        # OUT: a new folder; TROUPE: the program, build/release/troupe unless set
set -euo pipefail
out=${1:?name a folder for what it writes}
troupe=${TROUPE:-build/release/troupe}
job=$(dirname "$0")/timid.ini
mkdir -p "$out"

took() { # a command and its seconds; its output goes to OUT/NAME.out, what it says to OUT/NAME.log
  local name=$1 start=$SECONDS status=0
  shift
  "$@" >"$out/$name.out" 2>"$out/$name.log" || status=$?
  echo "$name: $((SECONDS - start)) s"
  return $status
}

last() { # the last value of a metric of a run
  python3 - "$1" "$2" <<'PYTHON'
import json, sys
values = [line[sys.argv[2]] for line in map(json.loads, open(sys.argv[1] + "/metrics.jsonl")) if sys.argv[2] in line]
print(f"{values[0]:.3f} -> {values[-1]:.3f}")
PYTHON
}

took timid "$troupe" run "$job" --run.dir "$out/timid"
echo "reward on held-out prompts: $(last "$out/timid" evaluation/reward/raw_mean)"

took verified "$troupe" replay "$out/timid" --verify
cat "$out/verified.out"

# Would it have learned more with larger steps, or with less to hold it back? Variants that leave the data behind fail.
took sweep "$troupe" replay "$out/timid" --run.dir "$out/sweep" --replay.min-ess 0.5 \
  --sweep ppo.policy-learning-rate=1e-5,1e-4,3e-4 --sweep ppo.kl-coef=0.5,0.05 || true
cat "$out/sweep.out"

# What the table points to, for real: the largest steps that stay near enough to the data, and a weaker KL.
took bolder "$troupe" run "$job" --run.dir "$out/bolder" --ppo.policy-learning-rate 1e-4 --ppo.kl-coef 0.05
echo "reward on held-out prompts: $(last "$out/bolder" evaluation/reward/raw_mean)"
