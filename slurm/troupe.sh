# Sourced by the batch scripts: `troupe_run JOB.ini [options]` runs a job as Slurm wants it done.
#
# - Slurm signals the batch shell alone, so the program runs beside the shell, which waits and hands signals on:
#   USR1 (--signal=B:USR1@120: the time is nearly over) and TERM (pre-emption, scancel, requeue). On USR1 troupe saves a
#   checkpoint at the next boundary and ends with status 75; at TERM Slurm ends the ranks itself.
# - Status 75 means "stopped before it was done": the job goes back into the queue, under the same id, and the same
#   command goes on where it stopped. Not after TERM: then Slurm has decided already (it requeues a pre-empted job
#   itself, and a job that a user cancelled stays cancelled).
# - A status of 128 and a signal's number means that a signal ended the program: no memory was left, or it has a fault.
#   The job goes back too, as long as it was requeued less than TROUPE_REQUEUES times before, for whatever reason
#   (SLURM_RESTART_COUNT): what dies each time must end some day.
#
# TROUPE is the program; unless set, that of this tree, or the one that PATH finds. TROUPE_REQUEUES is 10 unless set.

troupe_run() {
  local tree program status after over told=
  tree=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." 2>/dev/null && pwd)
  if [ -z "${TROUPE:-}" ] && [ -x "$tree/build/release/troupe" ]; then TROUPE=$tree/build/release/troupe; fi
  "${TROUPE:-troupe}" run "$@" &
  program=$!
  trap 'told=USR1; kill -USR1 "$program" 2>/dev/null' USR1
  trap 'told=TERM; kill -TERM "$program" 2>/dev/null' TERM

  wait "$program"
  status=$?
  while ((status == 128 + 10 || status == 128 + 15)); do  # USR1, TERM: the signal ended the waiting, or the program
    if kill -0 "$program" 2>/dev/null; then over=; else over=1; fi
    wait "$program"                                       # tells the status of a program that is over once more
    after=$?
    if ((after != 127)); then status=$after; fi
    if [ -n "$over" ]; then break; fi
  done
  trap '' USR1
  trap - TERM  # a requeue ends this script with it

  # a job's number alone may have been set by hand
  if [ -n "${SLURM_JOB_ID:-}" ] && [ -n "${SLURM_JOB_NODELIST:-}" ] &&
    [ "$told" != TERM ] && troupe_goes_on "$status"; then
    troupe_requeue
  fi
  return "$status"
}

# Whether a program that ended with this status is to be started again.
troupe_goes_on() {
  local status=$1 before=${SLURM_RESTART_COUNT:-0} most=${TROUPE_REQUEUES:-10}
  case $status in
    75 | 138) return 0 ;;  # stopped on request, or by USR1 before it could listen
    130 | 143) return 1 ;; # INT, TERM: somebody wanted its end
  esac
  if ((status <= 128 || status > 128 + 64)); then return 1; fi
  if ((before >= most)); then
    echo "troupe.sh: signal $((status - 128)) ended troupe; the job was requeued $before times, and is not again"
    return 1
  fi
  echo "troupe.sh: signal $((status - 128)) ended troupe"
}

# Puts this job back into the queue, which ends this script. Tries for 15 minutes: Slurm says "try again" while it is
# busy with the job, and its controller may be away.
troupe_requeue() {
  echo "troupe.sh: job $SLURM_JOB_ID goes back into the queue"
  local try
  for try in {1..180}; do
    if troupe_was_requeued; then
      echo "troupe.sh: it was there already"
      return
    fi
    scontrol requeue "$SLURM_JOB_ID" && sleep 60  # until the requeue takes effect
    sleep 5
  done
  echo "troupe.sh: no requeue; submit the same command again to go on"
}

# Whether somebody else has put this job back into the queue, so that it waits, or runs, without this script. A host
# that had no network finds this when it has one again, and must leave the job alone.
troupe_was_requeued() {
  local restarts
  restarts=$(scontrol show job --oneliner "$SLURM_JOB_ID" | grep -o ' Restarts=[0-9]*')
  [ -n "$restarts" ] && [ "${restarts#*=}" != "${SLURM_RESTART_COUNT:-0}" ]
}
