# Sourced by the batch scripts: `troupe_run JOB.ini [options]` runs a job as Slurm wants it done.
#
# - Slurm signals the batch shell alone, so the program runs beside the shell, which waits and hands signals on:
#   USR1 (--signal=B:USR1@120: the time is nearly over) and TERM (pre-emption, scancel, requeue). On USR1 troupe saves a
#   checkpoint at the next boundary and ends with status 75; at TERM Slurm ends the ranks itself.
# - Status 75 means "stopped before it was done": the job goes back into the queue, under the same id, and the same
#   command goes on where it stopped. Not after TERM: then Slurm has decided already (it requeues a pre-empted job
#   itself, and a job that a user cancelled stays cancelled).
#
# TROUPE is the program, ./build/release/troupe unless set.

troupe_run() {
  local program status after told=
  "${TROUPE:-build/release/troupe}" run "$@" &
  program=$!
  trap 'told=USR1; kill -USR1 "$program" 2>/dev/null' USR1
  trap 'told=TERM; kill -TERM "$program" 2>/dev/null' TERM

  wait "$program"
  status=$?
  while ((status == 128 + 10 || status == 128 + 15)); do  # USR1, TERM: the signal ended the waiting
    wait "$program"
    after=$?
    if ((after == 127)); then break; fi                   # ... or the program itself, before it could listen
    status=$after
  done
  trap '' USR1
  trap - TERM  # a requeue ends this script with it

  if ((status == 75 || status == 128 + 10)) && [ "$told" != TERM ] && [ -n "${SLURM_JOB_ID:-}" ]; then
    echo "troupe.sh: job $SLURM_JOB_ID goes back into the queue"
    local try
    for try in {1..12}; do                        # "try again" while Slurm is busy with the job
      scontrol requeue "$SLURM_JOB_ID" && sleep 60  # Slurm ends this script when the requeue takes effect
      sleep 5
    done
    echo "troupe.sh: no requeue; submit the same command again to go on"
  fi
  return "$status"
}
