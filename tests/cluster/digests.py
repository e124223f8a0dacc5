#!/usr/bin/env python3
"""Do jobs with lanes write the same bytes on any number of ranks, in every ZeRO stage, generating alone or together,
with models on all ranks or on ranks of their own? Runs a job of all phases (tests/data/jobs/tiny.ini) in each of these
ways and prints a table of digests in Markdown: model files and experience byte for byte, the moments of the last
checkpoints value by value, metrics without times and rates.

    digests.py [--troupe build/release/troupe] [--job JOB.ini] [--lanes 4] [--ways 1:0:1:1 2:0:1:2 ...]

A way is ranks : ZeRO stage of every model (3 alone for the frozen ones) : ranks that generate together : ranks of the
policy, where these are not all, the other models are on the rest. Needs h5py. Exit
status 1 where any digest is not that of the first way.
"""
import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy

import compare

TESTS = Path(__file__).resolve().parent.parent
WAYS = ("1:0:1:1", "2:0:1:2", "2:1:1:2", "2:2:1:2", "2:3:1:2", "2:0:2:2", "2:3:2:2", "2:0:1:1", "4:0:1:4", "4:1:2:4",
        "4:2:4:4", "4:3:1:4", "4:3:2:4", "4:3:4:4", "4:1:1:2", "4:3:2:2")
SHOWN = 8  # hexadecimal digits in the table; compared are all


def options_of(way):
    ranks, zero, together, policy = (int(part) for part in way.split(":"))
    place = {"ranks": ranks, "policy-zero": zero, "critic-zero": zero, "reward-zero": zero,
             "frozen-zero": 3 if zero == 3 else 0, "tensor-parallel": together}
    if policy < ranks:
        place["policy-ranks"] = f"0-{policy - 1}"
        place.update({f"{model}-ranks": f"{policy}-{ranks - 1}" for model in ("critic", "reference", "reward")})
    return [word for key, value in place.items() for word in (f"--place.{key}", str(value))]


def digest(pieces):
    """Of byte strings; where one ends counts."""
    sum_ = hashlib.sha256()
    for piece in pieces:
        sum_.update(len(piece).to_bytes(8, "little"))
        sum_.update(piece)
    return sum_.hexdigest()


def moments_of(checkpoint):
    """Name and values of every moment in a checkpoint, which joins what the ranks hold."""
    found = []

    def visit(name, item):
        if isinstance(item, h5py.Dataset) and "_moment/" in f"{name}/":
            found.extend((name.encode(), numpy.ascontiguousarray(item[()]).tobytes()))

    with h5py.File(checkpoint, "r") as file:
        file.visititems(visit)
    return found


def last_moments(run):
    pieces = []
    for phase in sorted((run / "checkpoints").iterdir()):
        last = max(path for path in phase.iterdir() if (path / "manifest.json").exists())
        pieces += moments_of(last / "checkpoint.h5")
    if not pieces:
        raise SystemExit(f"{run}: no checkpoint holds moments")
    return pieces


def digests_of(run):
    """Name of a column -> digest."""
    found = {path.name: digest([(path / "model.safetensors").read_bytes()])
             for path in sorted((run / "models").iterdir())}
    found["moments"] = digest(last_moments(run))
    for path in sorted((run / "experience").glob("*.h5")):
        found["experience " + path.stem.rpartition("-")[2].lstrip("0")] = digest([path.read_bytes()])
    metrics = compare.comparable_metrics(run)
    found["metrics"] = digest(json.dumps(line, sort_keys=True).encode() for line in metrics)
    return found


def carry_out(options, way, scratch):
    run = Path(scratch) / way.replace(":", "-")
    command = [options.troupe, "run", options.job, "--run.dir", str(run), "--run.lanes", str(options.lanes)]
    done = subprocess.run(command + options_of(way), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{way}: the run ended with {done.returncode}:\n{done.stdout[-4000:]}")
    return digests_of(run)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--troupe", default="build/release/troupe")
    arguments.add_argument("--job", default=str(TESTS / "data/jobs/tiny.ini"))
    arguments.add_argument("--lanes", type=int, default=4)
    arguments.add_argument("--ways", nargs="+", default=WAYS)
    options = arguments.parse_args()
    first, differing = None, []
    with tempfile.TemporaryDirectory() as scratch:
        for way in options.ways:
            found = carry_out(options, way, scratch)
            if first is None:
                first = found
                print("| ranks | stage | together | policy on | " + " | ".join(found) + " |")
                print("|" + "---|" * (4 + len(found)))
            print(f"| {' | '.join(way.split(':'))} | " + " | ".join(d[:SHOWN] for d in found.values()) + " |",
                  flush=True)
            differing += [f"{way}: {name}" for name in sorted(first.keys() | found.keys())
                          if first.get(name) != found.get(name)]
    print("\n" + ("\n".join(["not equal:"] + differing) if differing else f"All {len(options.ways)} are equal."))
    sys.exit(1 if differing else 0)


if __name__ == "__main__":
    main()
