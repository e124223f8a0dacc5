#!/usr/bin/python3
"""Fault tests on a real Slurm cluster on this machine (minicluster): runs a tiny job of all phases, harms it at random
moments, and requires at the end what an undisturbed run gives.

    tests/cluster/run.py --troupe build/release/troupe [--ranks 3] [--faults 30] [--seed 1] [--only NAME] [--keep]

Needs root, the packages of the [cluster] section of packages.txt, and python3-h5py. Prints a table: fault, seconds to
detect, seconds until ranks work again, seconds until the first new update, updates done again. Exit status 0 if every
fault was survived and every run is equal to the undisturbed one.
"""
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import compare
from cluster import ENDS, ROOT, Cluster, Job, NoMoment, Run, Timeout, arguments, begin, wait_until
from faults import TABLE, kill

FAILURE_EVENTS = ("worker_failed", "worker_hung", "run_failed", "stopped")
RECOVERY_OPTIONS = ["--recovery.silence-deadline-s", "3", "--recovery.worker-deadline-s", "8",
                    "--recovery.start-deadline-s", "20", "--recovery.restarts", "4"]
LEAST_NODES = 2  # that a job keeps: faults which take more wait for another run


@dataclass
class Row:
    """One line of the table; seconds after the harm was done, None where it did not come to that."""
    fault: str
    run: str
    phase: str = ""
    detected: float = None
    back: float = None
    updated: float = None
    redone: int = None
    unsaved: int = 0
    verdict: str = "?"


@dataclass
class Scene:
    """What a fault acts on."""
    cluster: Cluster
    run: Run
    random: random.Random
    ranks: int
    ballast: Path
    aside: Path
    submit: object
    job: Job = None
    lost_nodes: int = 0
    cut_host: str = ""  # a batch host without network
    marked: float = 0.0
    attempt: int = 0
    rows: list = field(default_factory=list)

    def mark(self):
        """The harm begins now."""
        self.run.watch_metrics()
        self.attempt = self.run.attempt()
        self.marked = time.time()


def events_after(scene, kinds):
    return [event for event in scene.run.ledger() if event["event"] in kinds and event["time"] > scene.marked - 0.01]


def newer_records(scene, attempt):
    """Of attempts after that one."""
    scene.run.watch_metrics()
    return [record for record in scene.run.seen if record[0] > attempt and record[3] > scene.marked - 0.01]


def recovered(scene, attempt):
    return newer_records(scene, attempt) or (scene.run.finished() and events_after(scene, ("run_finished",)))


def saved_counter(scene, phase):
    """The newest checkpoint of the phase that could serve when the harm was done."""
    counter = 0
    for event in scene.run.ledger():
        if event.get("phase") != phase or event["attempt"] > scene.attempt:
            continue
        if event["event"] in ("checkpoint", "checkpoint_damaged"):  # the damaged one's event names what served instead
            counter = event["counter"]
    return counter


def measure(scene, row):
    """Fills in the times from the ledger and the metrics."""
    failures = events_after(scene, FAILURE_EVENTS)
    back = [event for event in events_after(scene, ("phase_started", "phase_resumed"))
            if event["attempt"] > scene.attempt]
    records = newer_records(scene, scene.attempt)
    if failures:
        row.detected = failures[0]["time"] - scene.marked
    if back:
        row.back = back[0]["time"] - scene.marked
    if not records:
        return
    first = min(records, key=lambda record: record[3])
    row.updated = first[3] - scene.marked
    before = [record for record in scene.run.seen if record[0] <= scene.attempt and record[1] == first[1]]
    if before:
        last = max(record[2] for record in before)
        row.redone = max(0, last - max(first[2], 1) + 1)  # record 0 is the evaluation before the first update
        row.unsaved = max(0, last - saved_counter(scene, first[1]))


def wait_for_recovery(scene, fault):
    if fault.harmless:
        time.sleep(2.0)
        return
    failed = scene.attempt
    if fault.resubmit:
        wait_until("the job's end", scene.job.over, 90, pause=0.3)
        failed = scene.run.attempt()  # the first job may have tried again, and have come to an update, before it ended
        if fault.heal:
            fault.heal(scene)
        scene.submit(scene)
    if fault.maybe:
        try:
            wait_until("a failure", lambda: events_after(scene, FAILURE_EVENTS), 4)
        except Timeout:
            return
    wait_until("the first new update", lambda: recovered(scene, failed), 150 if fault.requeue else 60)


def judge(scene, fault, row):
    measure(scene, row)
    noticed = bool(events_after(scene, FAILURE_EVENTS))
    passed_over = len(events_after(scene, ("checkpoint_damaged",)))
    if fault.harmless and noticed:
        row.verdict = "FAILED: the run noticed what should not harm it"
    elif fault.maybe and not noticed:
        row.verdict = "ok, not noticed"
    elif row.redone is not None and row.redone > row.unsaved + fault.damages:
        row.verdict = f"FAILED: {row.redone} updates were done again, {row.unsaved} were not saved"
    elif passed_over != fault.damages:
        row.verdict = f"FAILED: {passed_over} damaged checkpoints were passed over, {fault.damages} was damaged"
    else:
        row.verdict = "ok"


def one_fault(scene, fault):
    """Injects, waits, measures. False where the harm could not be done: the run was over before, or bears it no
    more."""
    row = Row(fault.name, scene.run.folder.name)
    scene.marked = 0.0
    try:
        fault.inject(scene)
        last = scene.run.seen[-1] if scene.run.seen else None
        row.phase = f"{last[1]} {last[2]}" if last else "start"
        wait_for_recovery(scene, fault)
        judge(scene, fault, row)
    except NoMoment:
        return False
    except Timeout as problem:
        for pid in scene.run.workers():
            kill(pid, signal.SIGCONT)
        if scene.run.finished():
            return False  # before the harm was done, or all of it: a run that ends later than its time is not there yet
        row.verdict = f"FAILED: {problem}"
    finally:
        if fault.heal:
            fault.heal(scene)
    unnoticed = row.detected is None and row.back is None
    if scene.run.finished() and row.verdict == "ok" and not fault.harmless and unnoticed:
        return False  # it ended in the same moment
    scene.rows.append(row)
    print(line(row), flush=True)
    if fault.requeue:
        scene.lost_nodes = 0  # the job has all nodes again that are there
    scene.lost_nodes += fault.nodes if not (fault.requeue and fault.heal) else 0
    return True


def next_fault(scene, waiting, fresh):
    """The next one that this run can bear now, or None."""
    for fault in waiting:
        bearable = len(scene.cluster.nodes) - scene.lost_nodes - fault.nodes >= LEAST_NODES or fault.requeue
        if bearable and fault.at_start == fresh:
            return fault
    return None


def one_run(scene, waiting):
    """Harms one run until it has finished or nothing is left to do. Removes what was done from `waiting`."""
    fresh = next_fault(scene, waiting, True) is not None
    scene.cluster.renew()
    scene.submit(scene)
    while waiting:
        fault = next_fault(scene, waiting, fresh)
        fresh = False
        if fault is None:
            break
        if not fault.at_start:
            wait_until("a first sign of work", lambda: scene.run.attempt() > 0, 90)
            time.sleep(scene.random.uniform(0.1, 1.6))
        if scene.run.finished():
            break
        if one_fault(scene, fault):
            waiting.remove(fault)
        elif not scene.run.finished():
            break  # another run will do
        if scene.rows and scene.rows[-1].verdict.startswith("FAILED"):
            break
    wait_for_the_end(scene)


def wait_for_the_end(scene):
    """Until the job is over; or the run, where Slurm takes minutes to see it: a job stays COMPLETING as long as a node
    that was cut off does not answer, and RUNNING where its batch host died in the moment after the run's last word."""
    def run_over():
        return scene.run.finished() and not scene.run.supervisors() and not scene.run.workers()

    wait_until(f"the end of {scene.run.folder.name}", lambda: scene.job.over() or run_over(), 180, pause=0.3)
    try:
        wait_until("Slurm to see it", scene.job.over, 10, pause=0.3)
    except Timeout:
        pass


def check_run(scene, reference):
    """Problems of a run that has ended."""
    state = scene.job.state()
    if not scene.run.finished() or state in ENDS and state not in ("COMPLETED", "NODE_FAIL"):
        return [f"the job ended as {state}, the run {'' if scene.run.finished() else 'not '}finished"]
    found = compare.differences(reference, scene.run.folder)
    uses = set(compare.prompt_uses(scene.run.folder).values())
    if len(uses) != 1:
        found.append(f"prompts were answered {sorted(uses)} times, not each as often as the others")
    if left := scene.run.workers():
        found.append(f"workers are left over: {left}")
    return found


def seconds(value):
    return "-" if value is None else f"{value:.2f}"


def line(row):
    redone = "-" if row.redone is None else row.redone
    return (f"{row.fault:<30} {row.run:<8} {row.phase:<10} {seconds(row.detected):>8} {seconds(row.back):>8} "
            f"{seconds(row.updated):>8} {redone:>6}  {row.verdict}")


# What is aimed at from the harm to the first new update, in seconds, by fault.
AIMS = {"node without power": 10, "rank killed": 3}


def recovery_times(rows):
    """Lines that hold the aims against what was measured; a machine with much else to do may miss them."""
    for name, aim in AIMS.items():
        times = [row.updated for row in rows if row.fault == name and row.updated is not None]
        if times:
            yield (f"{name}, {len(times)} x: first new update after {statistics.median(times):.1f} s in the median, "
                   f"{max(times):.1f} s at most; the aim is {aim} s")


HEADER = f"{'fault':<30} {'run':<8} {'after':<10} {'detect s':>8} {'back s':>8} {'update s':>8} {'redone':>6}  verdict"


class Session:
    """The folder of all runs, a small file system of its own so that a disk can be filled, and the job's command."""

    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.runs = folder / "runs"
        self.runs.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=192m", "tmpfs", self.runs], check=True)

    def keep(self, run):
        """Its ledger outlives it, and the file system that it is on, with --keep."""
        if self.options.keep and (run.folder / "ledger.jsonl").exists():
            shutil.copy(run.folder / "ledger.jsonl", self.folder / f"{run.folder.name}.ledger.jsonl")

    def close(self):
        subprocess.run(["umount", self.runs], check=False)
        if not self.options.keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    def submit(self, scene, more=()):
        """The job of the scene's run; `more`: options of it."""
        several = self.options.ranks > 1
        script = "slurm/several-nodes.sbatch" if several else "slurm/one-node.sbatch"
        nodes = f"{LEAST_NODES}-{len(scene.cluster.nodes)}" if several else "1"
        job = os.path.relpath(self.options.job, ROOT)
        scene.job = Job(scene.cluster, script, [f"--nodes={nodes}", "--cpus-per-task=2", "--mem=1000M", "--time=20"],
                        [job, "--run.dir", str(scene.run.folder), *RECOVERY_OPTIONS,
                         *(["--place.ranks", str(self.options.ranks)] if several else []), *more],
                        self.folder / f"{scene.run.folder.name}.log")

    def scene(self, cluster, name, chance):
        return Scene(cluster=cluster, run=Run(self.runs / name), random=chance, ranks=self.options.ranks,
                     ballast=self.runs / "ballast", aside=self.folder / "aside", submit=self.submit)


def undisturbed(session, cluster, chance):
    """The reference, by the same script on the same cluster."""
    scene = session.scene(cluster, "calm", chance)
    started = time.time()
    session.submit(scene)
    try:
        wait_until("the undisturbed run", scene.job.over, 180, pause=0.2)
    except Timeout:
        pass
    if (state := scene.job.state()) not in ("COMPLETED", "COMPLETING"):
        sys.exit(f"the undisturbed run ended as {state}\n{scene.job.tail()}")
    print(f"undisturbed: {time.time() - started:.1f} s\n\n{HEADER}")
    return scene.run.folder


def choose_faults(options, chance):
    """The table's faults in random order, as many as asked for, each kind at least once where that is enough."""
    possible = [fault for fault in TABLE if fault.ranks <= options.ranks
                and (not options.only or options.only in fault.name)]
    if not possible:
        sys.exit(f"no fault is called {options.only}")
    more = [fault for fault in possible for _ in range(fault.times - 1)]
    chance.shuffle(more)
    chosen = possible + more
    while len(chosen) < options.faults:
        chosen.append(chance.choice(possible))
    chosen = chosen[:options.faults]
    chance.shuffle(chosen)
    return chosen


def test(session, cluster, chance):
    waiting = choose_faults(session.options, chance)
    wanted = len(waiting)
    reference = undisturbed(session, cluster, chance)
    rows, problems = [], []
    number = 0
    while waiting and not problems:
        number += 1
        if number > 2 * wanted + 5:
            problems.append(f"{len(waiting)} faults found no moment in {number - 1} runs: {waiting[0].name}, ...")
            break
        scene = session.scene(cluster, f"run-{number}", chance)
        try:
            one_run(scene, waiting)
            problems += check_run(scene, reference)
        except Timeout as problem:
            problems.append(str(problem))
        finally:
            if scene.job:
                scene.job.cancel()
            session.keep(scene.run)
        rows += scene.rows
        problems += [line(row) for row in scene.rows if row.verdict.startswith("FAILED")]
        if problems and scene.job:
            print(f"\nHow {scene.run.folder.name} ended:\n{scene.job.tail()}\n\n{scene.run.ledger_tail()}\n")
        print(f"{scene.run.folder.name}: {'NOT EQUAL' if problems else 'equal to the undisturbed run'}", flush=True)
        if not problems:
            shutil.rmtree(scene.run.folder)
    survived = sum(row.verdict.startswith("ok") for row in rows)
    print(f"\n{survived} of {wanted} faults survived in {number} runs")
    for told in recovery_times(rows):
        print(told)
    for problem in problems:
        print(f"PROBLEM: {problem}")
    return not problems and survived == wanted


def parse():
    parser = arguments(__doc__)
    parser.add_argument("--ranks", type=int, default=3)
    parser.add_argument("--nodes", type=int, default=4, help="of the cluster, spares included")
    parser.add_argument("--faults", type=int, default=30)
    return parser.parse_args()


def main():
    options = parse()
    folder = begin("troupe-cluster-")
    print(f"seed {options.seed}, {options.ranks} ranks, {options.nodes} nodes, in {folder}", flush=True)
    session = Session(options, folder)
    started = time.time()
    try:
        with Cluster(folder / "cluster", options.nodes, domain="site.example") as cluster:
            cluster.batch_environment = {"TROUPE": str(options.troupe.resolve())}
            good = test(session, cluster, random.Random(options.seed))
    finally:
        session.close()
    print(f"{time.time() - started:.0f} s")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
