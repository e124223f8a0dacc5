#!/usr/bin/python3
"""The batch scripts of slurm/ on a real Slurm cluster on this machine (minicluster), and long runs in slices.

    tests/cluster/scripts.py --troupe build/release/troupe [--cuts 10] [--seed 1] [--only NAME] [--keep]

A run is cut by the signal that comes before its time is over, by Slurm's own time limit, and by jobs of a queue that
pushes it out of its nodes. It must end in the same bytes as a run of the same script that nobody cuts. So must the
phases as a chain of jobs, and each task of a sweep. Needs root, the packages of the [cluster] section of packages.txt,
and python3-h5py. Prints a table: cuts, starts of the job, updates that were done again. Exit status 0 if all is equal.
"""
import os
import random
import shutil
import subprocess
import sys
import time
import zlib
from pathlib import Path

import compare
from cluster import ROOT, Cluster, Job, Run, Timeout, arguments, begin, wait_until

NODES = 3
SHOWN = 12  # differences between two runs
QUEUES = """PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
PartitionName=warned Nodes=ALL MaxTime=INFINITE PriorityTier=1 GraceTime=30
PartitionName=spare Nodes=ALL MaxTime=INFINITE PriorityTier=1
PartitionName=urgent Nodes=ALL MaxTime=INFINITE PriorityTier=10"""
RESOURCES = ["--cpus-per-task=2", "--mem=1000M"]
# Long enough for ten slices, on a quick machine as on a busy one.
LONG = ["--pairs.prompts-per-iteration", "24", "--sft.updates", "24", "--reward.updates", "24",
        "--ppo.iterations", "36"]
RECOVERY = ["--recovery.silence-deadline-s", "5", "--recovery.start-deadline-s", "30"]


class Bench:
    """The cluster, the folder of all runs, and the command of the job."""

    def __init__(self, cluster, folder, options):
        self.cluster, self.folder, self.options = cluster, folder, options
        self.random = random.Random(options.seed)
        self.job = os.path.relpath(options.job, ROOT)

    def run(self, name):
        return Run(self.folder / "runs" / name)

    def submit(self, script, run, slurm, troupe):
        return Job(self.cluster, f"slurm/{script}.sbatch", [*RESOURCES, *slurm],
                   [self.job, "--run.dir", str(run.folder), *RECOVERY, *troupe], self.folder / f"{run.folder.name}.log")

    def finish(self, job, run, seconds):
        """Waits for the job's end. Problems, as text."""
        def ended():
            run.watch_metrics()
            return job.over() or (run.finished() and job.state() == "COMPLETING")

        wait_until(f"the end of {run.folder.name}", ended, seconds, pause=0.2)
        if (state := job.state()) not in ("COMPLETED", "COMPLETING"):
            raise Timeout(f"{run.folder.name} ended as {state}")

    def uncut(self, script, slurm, troupe):
        """The run that nobody disturbs; made once for all tests with the same options."""
        run = self.run(f"{script}-whole-{zlib.crc32(' '.join(troupe).encode()):08x}")
        if not run.finished():
            self.cluster.renew()
            self.finish(self.submit(script, run, slurm, troupe), run, 300)
        return run


def worked_after(run, attempt):
    """Something has been done in a later attempt than this."""
    run.watch_metrics()
    return any(record[0] > attempt for record in run.seen) or run.finished()


def by_signal(bench, job):
    """What `--signal=B:USR1@120` sends when the time is nearly over."""
    bench.cluster.slurm("scancel", "--batch", "--signal=USR1", job.id)


def by_pushing_out(bench, job):
    """A job of a queue with a higher priority wants all nodes."""
    bench.cluster.slurm("sbatch", "--parsable", "--partition=urgent", f"--nodes={NODES}", "--exclusive",
                        "--output=/dev/null", "--wrap=sleep 0.5")


def restarts(job):
    return int(job.details().get("Restarts", 0))


def cut(bench, job, run, how, last):
    """Cuts the job once it works in a later attempt than `last`, and waits until it is back in the queue. The attempt
    that was cut, or None where the run was over before."""
    wait_until("work to cut", lambda: worked_after(run, last), 120)
    time.sleep(bench.random.uniform(0.0, 1.2))
    if run.finished():
        return None
    attempt, before = run.attempt(), restarts(job)
    how(bench, job)
    wait_until("the requeue", lambda: restarts(job) > before or run.finished(), 90, pause=0.1)
    return None if run.finished() else attempt


def redone(run):
    """Updates that are in more than one attempt's records; 0 is the evaluation before the first."""
    counters = [(phase, counter) for _, phase, counter, _ in run.seen if counter > 0]
    return len(counters) - len(set(counters))


def slices(script, slurm, troupe, hows, most_redone=None):
    """A test: the run is cut in turn in each of these ways. Without `most_redone` (of all cuts together) each cut may
    cost what was not saved yet."""
    def test(bench, name):
        whole = bench.uncut(script, slurm, troupe)
        run = bench.run(name)
        bench.cluster.renew()
        job = bench.submit(script, run, slurm, troupe)
        cuts, attempt = 0, 0
        while cuts < bench.options.cuts and attempt is not None:
            attempt = cut(bench, job, run, hows[cuts % len(hows)], attempt)
            cuts += attempt is not None
        bench.finish(job, run, 200)
        problems = compare.differences(whole.folder, run.folder)
        if cuts < bench.options.cuts:
            problems.append(f"the run ended after {cuts} cuts: give it more to do")
        if most_redone is not None and redone(run) > most_redone:
            problems.append(f"{redone(run)} updates were done again")
        return f"{cuts} cuts, {restarts(job) + 1} starts, {redone(run)} updates done again", problems

    return test


def time_limit(bench, name):
    """Slurm itself sends the signal, up to half a minute after each start, since it looks at limits twice a minute."""
    script, slurm, troupe = "preemptible", ["--partition=spare"], [*LONG[:-1], "96"]
    whole = bench.uncut(script, slurm, troupe)
    run = bench.run(name)
    bench.cluster.renew()
    job = bench.submit(script, run, [*slurm, "--time=1", "--signal=B:USR1@56"], troupe)
    bench.finish(job, run, 400)
    problems = compare.differences(whole.folder, run.folder)
    if restarts(job) == 0:
        problems.append("Slurm has not cut the run: give it more to do")
    return f"{restarts(job)} cuts, {redone(run)} updates done again", problems


def chain(bench, name):
    """phases.sh: a job per phase, each after the one before."""
    whole = bench.uncut("one-node", ["--nodes=1"], [])
    run = bench.run(name)
    bench.cluster.renew()
    environment = {"SBATCH": f"{' '.join(RESOURCES)} --output={bench.folder / name}.log slurm/one-node.sbatch"}
    done = subprocess.run([ROOT / "slurm/phases.sh", bench.job, "pairs sft reward ppo", "--run.dir", str(run.folder)],
                          cwd=ROOT, env={**bench.cluster.environment, **bench.cluster.batch_environment, **environment},
                          capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return "", [done.stderr]
    last = Job.submitted(bench.cluster, done.stdout.split()[-1], bench.folder / f"{name}.log")
    bench.finish(last, run, 120)
    return f"{len(done.stdout.splitlines())} jobs", compare.differences(whole.folder, run.folder)


def same_command_again(run, job):
    """A job with the command of a run that is finished: it finds that run, and starts no phase of it anew."""
    def count(kind):
        return sum(event["event"] == kind for event in run.ledger())

    phases = count("phase_started")
    wait_until("the same task once more", lambda: job.over() and count("run_finished") > 1, 60, pause=0.2)
    return [] if count("phase_started") == phases else ["the same command began a phase anew"]


def sweep(bench, name):
    """An array of three seeds, the job's own among them."""
    whole = bench.uncut("one-node", ["--nodes=1"], [])
    bench.cluster.renew()
    place = bench.folder / "submitted-from"  # the script makes its runs below the folder that it is submitted from
    place.mkdir()
    (place / "slurm").symlink_to(ROOT / "slurm")
    runs = {seed: Run(place / "runs" / f"sweep-{bench.options.job.stem}" / str(seed)) for seed in (6, 7, 8)}

    def submit(tasks):
        log = bench.folder / f"{name}-%a.log"
        ident = bench.cluster.slurm("sbatch", "--parsable", f"--array={tasks}", *RESOURCES, f"--output={log}",
                                    "slurm/sweep.sbatch", str(bench.options.job.resolve()), cwd=place)
        return lambda seed: Job.submitted(bench.cluster, f"{ident}_{seed}", log)

    task = submit("6-8")
    for seed, run in runs.items():
        bench.finish(task(seed), run, 120)
    problems = compare.differences(whole.folder, runs[7].folder)
    if not compare.differences(runs[6].folder, runs[8].folder):
        problems.append("two seeds gave the same run")
    problems += same_command_again(runs[7], submit("7")(7))
    return f"{len(runs)} tasks, one twice", problems


def submitted(bench, name):
    """troupe submit writes a script of its own, and hands it to Slurm. The ranks meet at a place that the job names."""
    whole = bench.uncut("several-nodes", [f"--nodes={NODES}"], ["--place.ranks", str(NODES)])
    run = bench.run(name)
    bench.cluster.renew()
    told = bench.cluster.slurm(bench.options.troupe.resolve(), "submit", bench.job, "--nodes", str(NODES),
                               "--place.min-nodes", "2", "--cpus-per-rank", "2", "--time", "10",
                               "--sbatch", "--comment=mine", "--run.dir", str(run.folder),
                               "--recovery.control-host", "%h", "--recovery.control-port", "21000")
    job = Job.submitted(bench.cluster, told.split()[-1], bench.folder / f"{name}.log")
    bench.finish(job, run, 120)
    problems = compare.differences(whole.folder, run.folder)
    hosts = next(event["hosts"] for event in run.ledger() if event["event"] == "attempt_started")
    if len(hosts.split()) != NODES:
        problems.append(f"not all nodes of the range were given: {hosts}")
    return f"on {hosts}", problems


def all_nodes(bench, name):
    """Without a number of ranks, each node that Slurm gives gets one."""
    run = bench.run(name)
    bench.cluster.renew()
    bench.finish(bench.submit("several-nodes", run, [f"--nodes={NODES}"], []), run, 120)
    return f"on {run.hosts()}", [] if len(run.hosts().split()) == NODES else ["not every node has a rank"]


def in_the_queue(bench, name):
    """A run from submit to its end, as its user asks after it: refused where there is no such node, waiting, running,
    taken out by its user's scancel in the middle of its work, submitted again."""
    whole = bench.uncut("several-nodes", [f"--nodes={NODES}"], THREE_RANKS)
    run, problems = bench.run(name), []
    bench.cluster.renew()

    def troupe(command, *words):
        done = subprocess.run([bench.options.troupe.resolve(), command, *words], cwd=ROOT, capture_output=True,
                              text=True, env=bench.cluster.environment, check=False, timeout=60)
        return done.returncode, done.stdout + done.stderr

    def says(told, status, *words):
        missing = [word for word in words if word not in told[1]]
        if told[0] != status or missing:
            problems.append(f"{told[0]} instead of {status}, without {missing}:\n{told[1]}")

    def submit(nodes=NODES):
        return troupe("submit", bench.job, "--nodes", str(nodes), "--cpus-per-rank", "2", "--time", "10",
                      "--run.dir", str(run.folder), *LONG)

    def status_says(state, *words):
        wait_until(f"the status {state}", lambda: state in troupe("status", str(run.folder))[1], 60, pause=0.2)
        says(troupe("status", str(run.folder)), 0, *words)

    says(submit(nodes=9), 1, "Slurm refuses", "asked for: 8-9 node(s) of 2 cores", "partition urgent: ")

    before = bench.cluster.slurm("sbatch", "--parsable", f"--nodes={NODES}", "--exclusive", "--output=/dev/null",
                                 "--wrap=sleep 600")
    ident = submit()[1].strip()
    if not ident.isdigit():
        return "", [*problems, f"submit printed no job's number: {ident}"]
    status_says("PENDING", f"slurm job    {ident}, PENDING (")
    says(submit(), 1, f"its job {ident}, PENDING", f"scancel {ident} takes it out")
    bench.cluster.slurm("scancel", before)

    status_says("RUNNING", f"slurm job    {ident}, RUNNING on node", str(run.folder / f"slurm-{ident}.log"))
    wait_until("work to cut", lambda: worked_after(run, 0), 120)
    says(submit(), 1, "is in use (")
    bench.cluster.slurm("scancel", ident)
    status_says("no longer in the queue", f"slurm job    {ident}, no longer in the queue (CANCELLED)")
    blamed = [event for event in run.ledger() if event["event"] == "worker_failed" or "suspected" in event["event"]]
    problems += [f"its user's scancel was taken for a failure: {event}" for event in blamed]

    again = submit()[1].strip()
    bench.finish(Job.submitted(bench.cluster, again, run.folder / f"slurm-{again}.log"), run, 120)
    return f"jobs {ident} and {again}", problems + compare.differences(whole.folder, run.folder)


THREE_RANKS = ["--place.ranks", "3", *LONG]
TESTS = {
    "chain of phases": chain,
    "sweep": sweep,
    "troupe submit": submitted,
    "all nodes": all_nodes,
    "in the queue": in_the_queue,
    "one node, pushed out": slices("preemptible", ["--partition=spare"], LONG, [by_pushing_out]),
    "three nodes, warned before": slices("several-nodes", ["--partition=warned", f"--nodes={NODES}"], THREE_RANKS,
                                         [by_pushing_out], most_redone=0),
    "three nodes, both in turn": slices("several-nodes", ["--partition=spare", f"--nodes={NODES}"], THREE_RANKS,
                                        [by_signal, by_pushing_out]),
    "one node, time limit": time_limit,
}


def test(bench):
    good = True
    for name, one in TESTS.items():
        if bench.options.only not in name:
            continue
        started = time.time()
        folder = name.replace(" ", "-").replace(",", "")
        try:
            told, problems = one(bench, folder)
        except (Timeout, RuntimeError) as problem:
            log = bench.folder / f"{folder}.log"
            told, problems = "", [str(problem), log.read_text()[-4000:] if log.exists() else "(no log)"]
        print(f"{name:<28} {time.time() - started:5.0f} s  {'FAILED' if problems else 'equal'}  {told}", flush=True)
        for problem in problems[:SHOWN]:
            print(problem)
        if len(problems) > SHOWN:
            print(f"and {len(problems) - SHOWN} more")
        good = good and not problems
    return good


def parse():
    parser = arguments(__doc__)
    parser.add_argument("--cuts", type=int, default=10)
    return parser.parse_args()


def main():
    options = parse()
    folder = begin("troupe-scripts-")
    (folder / "runs").mkdir()
    print(f"seed {options.seed}, {NODES} nodes, in {folder}", flush=True)
    started = time.time()
    try:
        with Cluster(folder / "cluster", NODES, QUEUES) as cluster:
            cluster.batch_environment = {"TROUPE": str(options.troupe.resolve())}
            good = test(Bench(cluster, folder, options))
    finally:
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)
    print(f"{time.time() - started:.0f} s")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
