#!/usr/bin/python3
"""Stops one thread of a process for ever, the one that computes, while the others go on: a hang as an operation that
never returns makes it. Prints the thread's number once it has stopped, and waits for its end.

    stop_thread.py PID
"""
import ctypes
import os
import sys
import time
from pathlib import Path

PTRACE_SEIZE, PTRACE_INTERRUPT = 0x4206, 0x4207
WALL = 0x40000000  # threads, too
LOOK_S = 0.02
HELPERS = ("transport", "checkpoint")  # threads of a rank beside its actors'


def times_of(process):
    """Nanoseconds on a core, by thread."""
    times = {}
    for task in Path(f"/proc/{process}/task").iterdir():
        try:
            if (task / "comm").read_text().strip() not in HELPERS:
                times[int(task.name)] = int((task / "schedstat").read_text().split()[0])
        except (FileNotFoundError, ProcessLookupError, IndexError):
            pass
    return times


def computing_thread(process):
    """The thread that computes for half of the time of a look, or none."""
    before = times_of(process)
    time.sleep(LOOK_S)
    spent = {thread: now - before[thread] for thread, now in times_of(process).items() if thread in before}
    busiest = max(spent, key=spent.get, default=None)
    return busiest if busiest is not None and spent[busiest] > LOOK_S * 1e9 / 2 else None


def stop(thread):
    libc = ctypes.CDLL(None, use_errno=True)
    for request in (PTRACE_SEIZE, PTRACE_INTERRUPT):
        if libc.ptrace(request, thread, None, None) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    os.waitpid(thread, WALL)


def main():
    process = int(sys.argv[1])
    thread = None
    while thread is None:
        thread = computing_thread(process)
    stop(thread)
    print(thread, flush=True)
    while True:  # a traced thread that nobody waits for keeps its dead process from being gone
        _, status = os.waitpid(thread, WALL)
        if os.WIFEXITED(status) or os.WIFSIGNALED(status):
            return


if __name__ == "__main__":
    try:
        main()
    except (FileNotFoundError, OSError) as gone:
        sys.exit(str(gone))
