"""The faults: what is done to a running job, and what is expected to follow."""
import os
import shutil
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, replace
from typing import Callable

import late_nan
from cluster import HERE, NoMoment, Run, Timeout, wait_until


@dataclass(frozen=True)
class Fault:
    name: str
    inject: Callable           # inject(scene): returns when the harm is done
    times: int                 # in a full table
    harmless: bool = False     # the run is expected not to notice
    maybe: bool = False        # both are right: noticed or not
    nodes: int = 0             # nodes lost to the job
    damages: int = 0           # checkpoints that are lost
    ranks: int = 1             # least number of ranks for which it makes sense
    resubmit: bool = False     # the job ends; the user gives the same command again
    requeue: bool = False      # the job goes back into the queue
    at_start: bool = False     # on a fresh job, at its first signs of life
    heal: Callable = None      # undoes the harm once the run has recovered (or ended)


def kill(pid, number=signal.SIGKILL):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def a_worker(scene):
    return scene.random.choice(wait_until("a worker", scene.run.workers, 30))


def rank_killed(scene):
    scene.mark()
    while not kill(a_worker(scene)):
        pass


def rank_stopped(scene):
    scene.mark()
    while not kill(a_worker(scene), signal.SIGSTOP):
        pass


def actor_hangs(scene):
    """The thread of a rank that computes stops, while the rank goes on showing life: only what its actors tell of
    themselves can name it."""
    for _ in range(20):
        stopper = subprocess.Popen([HERE / "stop_thread.py", str(a_worker(scene))], stdout=subprocess.PIPE, text=True,
                                   stderr=subprocess.DEVNULL)
        scene.mark()
        if stopper.stdout.readline().strip():
            return
    raise NoMoment("no rank computed for long enough to be caught at it")


def other_nodes(scene, count):
    """Nodes with ranks, but not the batch host's."""
    batch = scene.job.batch_host()
    nodes = {scene.cluster.node_of(pid) for pid in scene.run.workers()} - {batch, None}
    return scene.random.sample(sorted(nodes), min(count, len(nodes)))


def some_other_nodes(scene, count):
    try:
        return wait_until("ranks on other nodes than the batch host",
                          lambda: (found := other_nodes(scene, count)) and len(found) == count and found, 20)
    except Timeout as problem:
        if scene.run.left_out():  # crashes that met the same node by chance: its ranks are packed on the others
            raise NoMoment(str(problem)) from None
        raise


def node_without_power(scene):
    for node in some_other_nodes(scene, 1):
        scene.mark()
        scene.cluster.tool("kill-node", node)


def node_that_crashes(scene):
    """Whatever runs on a node dies soon after it has started there, until no rank is put on it any more."""
    node = some_other_nodes(scene, 1)[0]

    def left_out():
        for pid in scene.run.workers():
            if scene.cluster.node_of(pid) == node:
                time.sleep(scene.random.uniform(0.0, 0.5))
                scene.mark()  # times count from the last crash
                kill(pid)
        return scene.run.finished() or node in scene.run.left_out() and node not in scene.run.hosts()

    wait_until(f"ranks to be elsewhere than on {node}", left_out, 40)


def node_that_comes_back(scene):
    """A node loses its power and has it again while the run recovers, or soon after. Then a rank dies: the attempt that
    follows is laid out with the node there, whether Slurm still counts it as the job's or not."""
    node = some_other_nodes(scene, 1)[0]
    scene.mark()
    before = scene.attempt
    scene.cluster.tool("kill-node", node)
    wait_until("the next attempt", lambda: scene.run.attempt() > before or scene.run.finished(), 40)
    time.sleep(scene.random.uniform(0.0, 2.0))
    scene.cluster.tool("restore-node", node)
    rank_killed(scene)  # times count from here


def two_nodes_at_once(scene):
    nodes = some_other_nodes(scene, 2)
    scene.mark()
    killers = [threading.Thread(target=scene.cluster.tool, args=("kill-node", node)) for node in nodes]
    for killer in killers:
        killer.start()
    for killer in killers:
        killer.join()


def restore(scene):
    """All nodes are there again. A batch host that was cut off is switched on anew: came it back with the old script of
    the job, and started the job there in that moment, Slurm would drain the node and hold the job."""
    if scene.cut_host:
        scene.cluster.tool("kill-node", scene.cut_host)
        scene.cut_host = ""
    scene.cluster.restore_all()


def node_with_silent_ranks(scene):
    """Ranks of one node stop all at once: it is left out by Slurm's name, though its own `hostname` says another."""
    node = some_other_nodes(scene, 1)[0]
    scene.mark()
    before = scene.attempt
    for pid in scene.run.workers():
        if scene.cluster.node_of(pid) == node:
            kill(pid, signal.SIGSTOP)

    def left_out():
        return scene.run.finished() or (scene.run.attempt() > before and node in scene.run.left_out()
                                        and node not in scene.run.hosts())

    wait_until(f"ranks to be elsewhere than on {node}", left_out, 40)


def network_short(scene):
    node = some_other_nodes(scene, 1)[0]
    scene.mark()
    scene.cluster.tool("cut-node", node)
    time.sleep(scene.random.uniform(0.2, 0.8))
    scene.cluster.tool("restore-node", node)


def network_long(scene):
    node = some_other_nodes(scene, 1)[0]
    scene.mark()
    scene.cluster.tool("cut-node", node)


def batch_host_dead(scene):
    """With several nodes only a guard can tell Slurm: a host that dies before there is one, in the job's first second,
    takes the job along (docs/cluster.md)."""
    if scene.ranks > 1:
        wait_until("guards", scene.run.guards, 60)
    scene.mark()
    scene.cluster.tool("kill-node", scene.job.batch_host())


def guards_lost(scene):
    """All guards end: others come in their place, one of which has the job requeued when its batch host dies."""
    before = set(wait_until("guards", scene.run.guards, 60))
    for pid in before:
        kill(pid)
    wait_until("new guards", lambda: set(scene.run.guards()) - before or scene.run.finished(), 60)
    time.sleep(0.5)  # they know the supervisor
    scene.mark()
    scene.cluster.tool("kill-node", scene.job.batch_host())


def batch_host_dead_in_recovery(scene):
    """While no rank is left or none is there yet."""
    wait_until("guards", scene.run.guards, 60)
    host = scene.job.batch_host()
    rank_killed(scene)
    time.sleep(scene.random.uniform(0.0, 0.6))
    scene.mark()
    scene.cluster.tool("kill-node", host)


def batch_host_cut(scene):
    """Its processes live on, and hold the run's lock until they see that they are alone."""
    wait_until("guards", scene.run.guards, 60)
    scene.mark()
    scene.cut_host = scene.job.batch_host()
    scene.cluster.tool("cut-node", scene.cut_host)


def batch_host_cut_for_a_while(scene):
    """Long enough for the job to be requeued, but the old supervisor still lives when the network is there again."""
    host = scene.job.batch_host()
    before = scene.job.restarts()
    batch_host_cut(scene)
    wait_until("the requeue", lambda: scene.job.restarts() > before or scene.run.finished(), 60)
    time.sleep(scene.random.uniform(0.0, 5.0))
    scene.cluster.tool("restore-node", host)
    scene.cut_host = ""


def during_checkpoint(scene):
    """A rank dies while files of a checkpoint are half written."""
    folder = scene.run.folder

    def half_written():
        scene.run.watch_metrics()
        return any(folder.glob("attempt-*.tmp/*.rank-*.h5")) or scene.run.finished()

    wait_until("a checkpoint being written", half_written, 30, pause=0.001)
    scene.mark()
    rank_killed(scene)


def during_recovery(scene):
    """A rank dies, and one of its successors before they have done anything."""
    rank_killed(scene)
    before = scene.attempt
    wait_until("the next attempt", lambda: scene.run.attempt() > before, 40)
    time.sleep(scene.random.uniform(0.0, 0.6))
    victims = wait_until("a worker", scene.run.workers, 10)
    scene.mark()  # times count from the second death
    kill(scene.random.choice(victims))


def during_start_up(scene):
    wait_until("the first worker", scene.run.workers, 30, pause=0.002)
    time.sleep(scene.random.uniform(0.0, 0.3))
    rank_killed(scene)


def damaged_checkpoint(damage):
    """The newest checkpoint is damaged while nobody looks, then a rank dies: the one before must serve."""

    def inject(scene):
        def two():
            phase = scene.run.phase()
            return phase and len(scene.run.checkpoints(phase)) > 1

        while True:
            wait_until("two checkpoints of a phase that goes on", two, 30)
            for pid in scene.run.workers():
                kill(pid, signal.SIGSTOP)  # nothing newer comes now
            if two():
                break
            for pid in scene.run.workers():  # the phase has ended in the same moment: the next one will do
                kill(pid, signal.SIGCONT)
        checkpoint = scene.run.checkpoints(scene.run.phase())[-1]
        path = scene.random.choice(sorted(checkpoint.glob("rank-*.h5")))
        with open(path, "r+b") as file:
            damage(file, path.stat().st_size, scene.random)
        scene.mark()
        for pid in scene.run.workers():
            kill(pid)

    return inject


def truncate_or_flip(file, size, random):
    random.choice((truncate, flip))(file, size, random)


def all_checkpoints_damaged(scene):
    """The run must end, and leave everything as it is: what is put back then serves."""
    shutil.rmtree(scene.aside, ignore_errors=True)
    wait_until("a checkpoint of a phase that goes on",
               lambda: (phase := scene.run.phase()) and scene.run.checkpoints(phase), 30)
    for pid in scene.run.workers():
        kill(pid, signal.SIGSTOP)  # nothing newer comes now
    time.sleep(0.3)  # nor anything that is on its way to the director
    phase = scene.run.phase()
    if not phase or not scene.run.checkpoints(phase):
        raise NoMoment("the phase has ended in the same moment")
    shutil.copytree(scene.run.folder / "checkpoints" / phase, scene.aside / phase)
    for checkpoint in scene.run.checkpoints(phase):
        path = checkpoint / "rank-00000.h5"
        with open(path, "r+b") as file:
            flip(file, path.stat().st_size, scene.random)
    scene.mark()
    for pid in scene.run.workers():
        kill(pid)


def put_checkpoints_back(scene):
    for saved in scene.aside.glob("*"):
        there = scene.run.folder / "checkpoints" / saved.name
        missing = [path.name for path in saved.iterdir() if not (there / path.name).exists()]
        if missing:
            raise Timeout(f"damaged checkpoints were removed: {missing}")
        shutil.copytree(saved, there, dirs_exist_ok=True)
    shutil.rmtree(scene.aside, ignore_errors=True)


def truncate(file, size, random):
    file.truncate(random.randrange(size))


def flip(file, size, random):
    at = random.randrange(size)
    file.seek(at)
    byte = file.read(1)[0]
    file.seek(at)
    file.write(bytes([byte ^ (1 << random.randrange(8))]))


def nan_on_one_rank(scene):
    """Another run takes the job's place, one of whose ranks alone meets a loss that is no number: it must end by
    itself, in one attempt, and say so."""
    scene.mark()
    scene.job.cancel()
    wait_until("the job's end", scene.job.over, 60, pause=0.3)
    other = replace(scene, run=Run(scene.run.folder.parent / "nan"))
    scene.submit(other, late_nan.make(scene.aside))
    try:
        wait_until("the end of a run with NaN on one rank", other.job.over, 60, pause=0.3)
        reasons = [event["reason"] for event in other.run.ledger() if event["event"] == "run_failed"]
        told = len(reasons) == 1 and "is nan" in reasons[0] and "(found by rank " in reasons[0]
        if not told or other.run.attempt() != 1:
            raise Timeout(f"NaN on one rank: {other.run.attempt()} attempts, which ended with {reasons}")
    finally:
        other.job.cancel()
        shutil.rmtree(other.run.folder, ignore_errors=True)
        shutil.rmtree(scene.aside, ignore_errors=True)


def disk_full(scene):
    """All space but some kilobytes is taken; the run must end with that error, and nothing saved be lost."""
    scene.mark()
    left = scene.random.randrange(64, 512) * 1024
    with open(scene.ballast, "wb") as file:
        while True:
            room = os.statvfs(scene.run.folder)
            size = room.f_bavail * room.f_frsize - left
            try:
                if size > 0:
                    os.posix_fallocate(file.fileno(), 0, size)
                return
            except OSError:  # the run has written meanwhile
                continue


def disk_full_for_a_moment(scene):
    """Shorter than the run bears with: nothing ends."""
    disk_full(scene)
    time.sleep(scene.random.uniform(1.0, 4.0))
    disk_free_again(scene)


def disk_free_again(scene):
    scene.ballast.unlink(missing_ok=True)


def controller_restarted(scene):
    scene.mark()
    scene.cluster.tool("stop-ctld")
    time.sleep(scene.random.uniform(0.2, 1.0))
    scene.cluster.tool("start-ctld")


def controller_away(seconds):
    """A rank dies while slurmctld is not there to start a new step."""

    def inject(scene):
        scene.cluster.tool("stop-ctld")
        try:
            rank_killed(scene)
            time.sleep(seconds)
        finally:  # the run may have ended meanwhile
            scene.cluster.tool("start-ctld")

    return inject


def stranger(scene):
    """Garbage and silence on the control port, from another host of the network (from the same, with one rank)."""
    port = wait_until("the control port", scene.run.control_port, 20)
    batch = scene.job.batch_host()
    others = [node for node in scene.cluster.nodes if node != batch and node not in scene.cluster.dead()]
    node = scene.random.choice(others) if scene.ranks > 1 else batch
    host = scene.cluster.address(batch) if scene.ranks > 1 else "127.0.0.1"
    scene.mark()
    made = scene.cluster.tool("exec", node, "/usr/bin/python3", str(HERE / "stranger.py"), host, str(port),
                              str(scene.random.randrange(1000)))
    if made.startswith("0 "):
        raise Timeout(f"the control port {host}:{port} could not be reached from {node}")


def supervisor_killed(scene):
    scene.mark()
    for pid in wait_until("the supervisor", scene.run.supervisors, 20):
        kill(pid)


def hang_up(scene):
    scene.mark()
    for pid in wait_until("the supervisor", scene.run.supervisors, 20):
        kill(pid, signal.SIGHUP)


def time_is_up(scene):
    scene.mark()
    scene.cluster.slurm("scancel", "--batch", "--signal=USR1", scene.job.id)


TABLE = [
    Fault("rank killed", rank_killed, 5),
    Fault("rank stopped", rank_stopped, 2),
    Fault("an actor hangs", actor_hangs, 1),
    Fault("node without power", node_without_power, 2, nodes=1, ranks=2, heal=restore),
    Fault("node without network, short", network_short, 2, maybe=True, ranks=2),
    Fault("node without network, long", network_long, 2, nodes=1, ranks=2, heal=restore),
    Fault("batch host dead", batch_host_dead, 1, requeue=True, nodes=1, heal=restore),
    Fault("batch host dead, no ranks", batch_host_dead_in_recovery, 1, requeue=True, nodes=1, ranks=2, heal=restore),
    Fault("batch host without network", batch_host_cut, 1, requeue=True, nodes=1, ranks=2),
    Fault("batch host cut off, then back", batch_host_cut_for_a_while, 1, requeue=True, nodes=1, ranks=2, heal=restore),
    Fault("guards lost, batch host dead", guards_lost, 1, requeue=True, nodes=1, ranks=2, heal=restore),
    Fault("node with silent ranks", node_with_silent_ranks, 1, nodes=1, ranks=2),
    Fault("two nodes at once", two_nodes_at_once, 1, nodes=2, ranks=3, heal=restore),
    Fault("during a checkpoint", during_checkpoint, 3),
    Fault("during a recovery", during_recovery, 3),
    Fault("during start-up", during_start_up, 2, at_start=True),
    Fault("NaN on one rank", nan_on_one_rank, 1, ranks=2, resubmit=True),
    Fault("disk full", disk_full, 1, resubmit=True, heal=disk_free_again),
    Fault("disk full for a moment", disk_full_for_a_moment, 1, maybe=True),
    Fault("checkpoint damaged", damaged_checkpoint(truncate_or_flip), 2, damages=1),
    Fault("all checkpoints damaged", all_checkpoints_damaged, 1, resubmit=True, heal=put_checkpoints_back),
    Fault("a node that crashes", node_that_crashes, 1, nodes=1, ranks=2),
    Fault("a node that comes back", node_that_comes_back, 1, nodes=1, ranks=2, heal=restore),
    Fault("slurmctld restarted", controller_restarted, 1, harmless=True),
    Fault("rank killed, slurmctld away", controller_away(1.5), 1),
    Fault("rank killed, no slurmctld 45 s", controller_away(45), 1, ranks=2),  # one rank needs none
    Fault("stranger on the control port", stranger, 1, harmless=True),
    Fault("supervisor killed", supervisor_killed, 1, requeue=True),
    Fault("hang-up (HUP)", hang_up, 1, requeue=True),
    Fault("time is up (USR1)", time_is_up, 2, requeue=True),
]
