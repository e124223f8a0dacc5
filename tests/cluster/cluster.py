"""A minicluster, the jobs on it, and what can be seen of a run from outside."""
import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent


ENDS = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "BOOT_FAIL", "DEADLINE")


class Timeout(Exception):
    """Something did not happen in its time."""


class NoMoment(Exception):
    """A run cannot come to where a fault would harm it; another one may."""


def wait_until(what, condition, seconds, pause=0.02):
    """The first true value of `condition`."""
    end = time.time() + seconds
    while time.time() < end:
        if value := condition():
            return value
        time.sleep(pause)
    raise Timeout(f"waited {seconds} s for {what}")


def arguments(description):
    """The options that all tests on a cluster have."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--troupe", type=Path, default=ROOT / "build/release/troupe")
    parser.add_argument("--job", type=Path, default=ROOT / "tests/data/jobs/tiny.ini")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of what is random (default: a new one)")
    parser.add_argument("--only", default="", help="only those with this in their name")
    parser.add_argument("--keep", action="store_true", help="keep logs, runs and the cluster's state")
    return parser


def begin(prefix):
    """Makes this process fit to run a cluster; returns a folder for it."""
    if os.geteuid() != 0:
        sys.exit("needs root: the nodes are namespaces with network interfaces of their own")
    signal.signal(signal.SIGTERM, lambda *unused: sys.exit("ended by SIGTERM"))  # so that the nodes end too
    return Path(tempfile.mkdtemp(prefix=prefix))


class Cluster:
    """Nodes node1..nodeN in namespaces of this machine. A context manager: leaving it ends them."""

    def __init__(self, folder, nodes, more_settings=""):
        """`more_settings`: lines for slurm.conf."""
        self.folder = Path(folder)
        self.nodes = [f"node{i + 1}" for i in range(nodes)]
        self.batch_environment = {}
        taken = set(os.listdir("/sys/class/net"))
        ident = next(i for i in range(101, 250) if f"mc{i}" not in taken)
        self.subnet = f"10.213.{ident}"
        self.environment = dict(os.environ, MINICLUSTER_DIR=str(self.folder), MINICLUSTER_ID=str(ident),
                                MINICLUSTER_EXTRA_CONF=more_settings, SLURM_CONF=str(self.folder / "slurm.conf"))

    def __enter__(self):
        try:
            self.tool("up", str(len(self.nodes)))
        except BaseException:
            self.tool("down")
            raise
        return self

    def __exit__(self, *unused):
        self.tool("down")

    def tool(self, *words):
        done = subprocess.run([HERE / "minicluster", *words], env=self.environment, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True, timeout=120)
        if done.returncode != 0:
            raise RuntimeError(f"minicluster {' '.join(words)}: {done.stdout}")
        return done.stdout

    def slurm(self, *words, check=True, cwd=ROOT):
        done = subprocess.run(words, env={**self.environment, **self.batch_environment}, capture_output=True, text=True,
                              timeout=60, cwd=cwd)
        if check and done.returncode != 0:
            raise RuntimeError(f"{' '.join(words)}: {done.stderr}")
        return done.stdout.strip()

    def address(self, node):
        return f"{self.subnet}.{node.removeprefix('node')}"

    def dead(self):
        return [line.split()[0] for line in self.tool("status").splitlines()
                if line.startswith("node") and "power=on" not in line]

    def restore_all(self):
        """Every node on, connected and usable again; those that are so are left alone."""
        for line in self.tool("status").splitlines():
            if line.startswith("node") and "power=on  link=up" not in line:
                self.tool("restore-node", line.split()[0])

    def states(self):
        """What Slurm says of each node: idle, allocated, completing, ..."""
        lines = self.slurm("sinfo", "-h", "-N", "-o", "%N %T", check=False).splitlines()
        return dict(line.split() for line in lines)

    def renew(self):
        """All nodes idle, for a new job: one with a range of nodes takes the few that are ready rather than wait. A
        node whose steps wait for the word of a node that died (60 s in Slurm) is switched off and on instead."""
        self.restore_all()
        idle = dict.fromkeys(self.nodes, "idle")
        try:
            wait_until("all nodes to be idle", lambda: self.states() == idle, 5, pause=0.2)
        except Timeout:
            for node, state in self.states().items():
                if state != "idle":
                    self.tool("kill-node", node)
                    # else slurmctld asks for the end of the steps there once in two minutes
                    self.slurm("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=renewed", check=False)
                    self.tool("restore-node", node)
            wait_until("all nodes to be idle", lambda: self.states() == idle, 60, pause=0.2)

    def node_of(self, pid):
        """The node that a process of this machine lives in, or None."""
        spaces = {}
        for node in self.nodes:
            try:
                init = (self.folder / "run" / f"{node}.pid").read_text().split()[0]
                spaces[os.readlink(f"/proc/{init}/ns/uts")] = node
            except (OSError, IndexError):
                continue
        try:
            return spaces.get(os.readlink(f"/proc/{pid}/ns/uts"))
        except OSError:
            return None


class Job:
    """A batch job; its log and state."""

    def __init__(self, cluster, script, options, arguments, log):
        self.cluster, self.log = cluster, Path(log)
        self.id = cluster.slurm("sbatch", "--parsable", *options, f"--output={log}", script, *arguments)

    @classmethod
    def submitted(cls, cluster, ident, log):
        """One that exists already."""
        job = cls.__new__(cls)
        job.cluster, job.log, job.id = cluster, Path(log), ident
        return job

    def details(self):
        try:
            text = self.cluster.slurm("scontrol", "show", "job", "-o", self.id, check=False)
        except subprocess.TimeoutExpired:
            return {}
        return dict(word.split("=", 1) for word in text.split() if "=" in word)

    def state(self):
        return self.details().get("JobState", "UNKNOWN")

    def restarts(self):
        return int(self.details().get("Restarts", 0))

    def batch_host(self):
        return self.details().get("BatchHost", "")

    def nodes(self):
        listed = self.details().get("NodeList", "")
        return self.cluster.slurm("scontrol", "show", "hostnames", listed).split() if listed.startswith("node") else []

    def over(self):
        return self.state() in ENDS

    def cancel(self):
        self.cluster.slurm("scancel", self.id, check=False)

    def tail(self, lines=30):
        text = self.log.read_text(errors="replace") if self.log.exists() else "(no log)"
        return "\n".join(text.splitlines()[-lines:])


class Run:
    """A run directory as it grows, and the processes that work on it."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.seen = []  # every metrics record that was ever there: (attempt, phase, counter, time)
        self.known = set()

    def ledger(self):
        try:
            lines = (self.folder / "ledger.jsonl").read_text().split("\n")[:-1]
        except OSError:
            return []
        return [json.loads(line) for line in lines]

    def ledger_tail(self, lines=30):
        """What happened last, a line for each event."""
        return "\n".join(json.dumps(event) for event in self.ledger()[-lines:])

    def watch_metrics(self):
        """Remembers records, since those beyond a checkpoint are cut off when a run resumes."""
        try:
            text = (self.folder / "metrics.jsonl").read_text()
        except OSError:
            return
        for line in text.split("\n")[:-1]:
            found = re.match(r'\{"phase":"(\w+)","update":(\d+)(?:,"iteration":(\d+))?,"attempt":(\d+),"time":([\d.]+)',
                             line)
            if found:
                phase, update, iteration, attempt, when = found.groups()
                record = (int(attempt), phase, int(iteration or update), float(when))
                if record not in self.known:
                    self.known.add(record)
                    self.seen.append(record)

    def attempt(self):
        numbers = [event["attempt"] for event in self.ledger() if event["event"] == "attempt_started"]
        return max(numbers, default=0)

    def hosts(self):
        """Of the last attempt, as the ledger has them: "node1:2 node3:1"."""
        layouts = [event.get("hosts", "") for event in self.ledger() if event["event"] == "attempt_started"]
        return layouts[-1] if layouts else ""

    def left_out(self):
        """Nodes that have given cause to get no ranks."""
        return {event["host"] for event in self.ledger() if event["event"] == "host_suspected"
                and "left out" in event["reason"]}

    def finished(self):
        return any(event["event"] == "run_finished" for event in self.ledger())

    def processes(self, verb):
        """Pids of this run's `troupe worker`s, of its `troupe run`, or of its `troupe guard`s; zombies left out."""
        found = []
        wanted = str(self.folder).encode()
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                words = Path(f"/proc/{entry}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if len(words) > 3 and words[0].endswith(b"/troupe") and words[1] == verb and wanted in words:
                found.append(int(entry))
        return sorted(found)

    def workers(self):
        return self.processes(b"worker")

    def supervisors(self):
        return self.processes(b"run")

    def guards(self):
        return self.processes(b"guard")

    def control_port(self):
        for pid in self.workers():
            try:
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                return int(words[words.index(b"--port") + 1])
            except (OSError, ValueError, IndexError):
                continue
        return None

    def phase(self):
        """The phase that is being worked on, or None."""
        current = None
        for event in self.ledger():
            if event["event"] in ("phase_started", "phase_finished"):
                current = event["phase"] if event["event"] == "phase_started" else None
        return current

    def checkpoints(self, phase):
        """The committed ones, oldest first."""
        return sorted(path.parent for path in self.folder.glob(f"checkpoints/{phase}/*/manifest.json"))
