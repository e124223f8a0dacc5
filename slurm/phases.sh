#!/bin/bash
# The phases of a job as jobs of their own, each started when the one before has ended well. Useful where phases want
# different resources or times; else one job for all phases is simpler.
#
#   slurm/phases.sh JOB.ini "sft reward ppo" [--section.key value ...]
#   SBATCH="slurm/several-nodes.sbatch" slurm/phases.sh JOB.ini "sft reward ppo" --place.ranks 3
#   SBATCH_TIMELIMIT=12:00:00 slurm/phases.sh ...          # any of sbatch's variables
#
# All share one run directory. Each job is given the phases up to its own, and skips those that are finished; prompts
# are divided among all from the start. Options of a phase that has not begun may still change. When one fails, those
# after it are cancelled; when one is requeued, they wait on.
set -euo pipefail
if (($# < 2)); then sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 2; fi

job=$1
read -ra phases <<<"$2"
shift 2
upto= previous=
for phase in "${phases[@]}"; do
  upto="${upto:+$upto }$phase"
  previous=$(sbatch --parsable --job-name="troupe-$phase" ${previous:+--dependency=afterok:$previous} \
    --kill-on-invalid-dep=yes ${SBATCH:-$(dirname "$0")/one-node.sbatch} "$job" --run.phases "$upto" \
    --split.phases "${phases[*]}" "$@")
  echo "$phase: job $previous"
done
