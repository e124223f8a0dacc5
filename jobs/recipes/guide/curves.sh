#!/bin/bash
# The runs whose curves docs/guide.md shows, as they should be and as they should not, and their pictures.
#
#   jobs/recipes/guide/curves.sh OUT [NAME ...]    # OUT: a folder for runs and pictures; TROUPE: the program,
#                                                  # build/release/troupe unless set
#
# NAME: sft, reward, ppo, ends; without one all of them, some ten minutes on two cores.
# The same again goes on where it was cut off. ppo needs what reward makes first.
set -euo pipefail
out=${1:?name a folder for what it writes}
shift
troupe=${TROUPE:-build/release/troupe}
guide=$(cd "$(dirname "$0")" && pwd)
recipes=$guide/..
mkdir -p "$out"

run() { # NAME JOB OPTION...: a run of this name
  local name=$1 job=$2
  shift 2
  echo "$name"
  "$troupe" run "$job" --quiet --run.dir "$out/$name" "$@"
}

draw() { # PICTURE CURVE... -- RUN...
  local picture=$out/guide-$1.svg curves=()
  shift
  while [ "$1" != -- ]; do
    curves+=(--curve "$1")
    shift
  done
  shift
  (cd "$out" && python3 "$recipes/plot.py" "$(basename "$picture")" "$@" "${curves[@]}")
}

sft() {
  run sft "$guide/sft.ini"
  draw sft sft:policy/loss sft:held_out/perplexity sft:policy/grad_norm -- sft
}

reward() {
  # The demo without its last phase, with the prompts that it would have had.
  run "the demo" "$recipes/demo.ini" --run.phases "pairs sft reward" --split.phases "pairs sft reward ppo"
  local pairs=$out/"the demo"/pairs/pairs.jsonl
  run "35 pairs, 30 times" "$guide/reward.ini" --data.made.path "$pairs" --data.made.limit 600 --split.held-out 21 \
    --split.reward 1 --reward.epochs 30 --reward.batch 8
  run "learning-rate 1e-6" "$guide/reward.ini" --data.made.path "$pairs" --reward.learning-rate 1e-6
  python3 - "$pairs" "$out/mixed.jsonl" <<'PYTHON'
import json, random, sys
chance = random.Random(1)
with open(sys.argv[1]) as pairs, open(sys.argv[2], "w") as mixed:
    for pair in map(json.loads, pairs):
        sides = [pair["chosen"], pair["rejected"]]
        chance.shuffle(sides)
        mixed.write(json.dumps({"prompt": pair["prompt"], "chosen": sides[0], "rejected": sides[1]}) + "\n")
PYTHON
  run "chosen by chance" "$guide/reward.ini" --data.made.path "$out/mixed.jsonl"
  draw reward reward:reward/loss reward:held_out/loss reward:reward/accuracy reward:held_out/accuracy \
    -- "the demo" "35 pairs, 30 times" "learning-rate 1e-6" "chosen by chance"
}

ppo() {
  local models=$out/"the demo"/models
  local start=(--model.policy "$models/sft" --model.reward "$models/reward")
  run "kl-coef 0.05" "$guide/ppo.ini" "${start[@]}"
  run "kl-coef 0" "$guide/ppo.ini" "${start[@]}" --ppo.kl-coef 0
  run "policy-learning-rate 5e-3" "$guide/ppo.ini" "${start[@]}" --ppo.policy-learning-rate 5e-3
  local usual=(ppo:reward/raw_mean ppo:kl/per_sequence_nats ppo:policy/entropy_nats)
  draw kl "${usual[@]}" ppo:reward/happiness_mean -- "kl-coef 0.05" "kl-coef 0"
  draw rate "${usual[@]}" ppo:policy/clip_fraction -- "kl-coef 0.05" "policy-learning-rate 5e-3"
}

ends() { # stories of one sentence, learned with their ends, and without
  python3 - "$out/stories.jsonl" <<'PYTHON'
import itertools, json, sys
who = ["Tom", "Lily", "Ben", "Anna", "Max", "Sue", "Tim", "Mia", "Sam", "Zoe"]
what = ["a red ball", "an old hat", "a small cat", "a big dog", "a toy car", "a blue bird", "a lost key"]
where = ["in the park", "by the lake", "at home", "under a tree", "in the town", "on the hill"]
ends = [" They smiled and were happy.", " It broke, and all were sad.", " It was the best day."]
with open(sys.argv[1], "w") as lines:
    for number, (one, thing, place) in enumerate(itertools.product(who, what, where)):
        prompt = f"One day, {one} found {thing} {place}."
        lines.write(json.dumps({"prompt": prompt, "answer": ends[number * 7 % 3]}) + "\n")
PYTHON
  local data=(--data.stories.path "$out/stories.jsonl")
  run "60 updates of sft" "$guide/ends.ini" "${data[@]}"
  run "20 updates" "$guide/ends.ini" "${data[@]}" --sft.updates 20
  run "end-token = false" "$guide/ends.ini" "${data[@]}" --data.stories.end-token false
  draw ends ppo:answer/unfinished_share ppo:answer/length_mean ppo:reward/raw_mean \
    -- "60 updates of sft" "20 updates" "end-token = false"
}

[ $# -gt 0 ] || set -- sft reward ppo ends
for name in "$@"; do
  "$name"
done
