#!/usr/bin/env python3
"""What a checkpoint costs training: how long it stands still for the copy in memory, how much longer an update takes
while the copy is being written, and how fast copying, writing and reading are. Supervised training of the demo's model
and of a larger one of random weights. Prints tables in Markdown.

    checkpoint_stall.py [--troupe build/release/troupe] [--ranks 1 2] [--layers 8] [--width 768] [--updates 24]
                        [--every 4]

Stall: time/checkpoint_stall_s of metrics.jsonl, all that training waits for: the copy, and where the checkpoint before
is still being written, that too. An update is one "while writing" if the checkpoint before it became durable
(ledger.jsonl) only after the update had begun. Written: bytes by the ledger's seconds, commit included. Then the run is
continued, and reading is measured by what the ledger says of it: digests verified and arrays read, from the page cache.
Seconds are medians; the first updates, until the first checkpoint, are left out, and so is the first stall (column
"first"). Rates are those of the fastest, since other programs only make them slower; load is what the machine had to
do, this run included.
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import tempfile

import zero_memory

ANSWER = " there was a little girl who liked to count to three, and to tell everybody what she had counted."


def job_text(options, ranks, large):
    text = zero_memory.JOB.format(lanes=4, micro_batches=8 if large else 32, ranks=ranks, zero=0)
    text = (text.replace("updates = 100000", f"updates = {options.updates}")
            .replace("max-tokens = 64", "max-tokens = 128"))
    text = text.replace("checkpoint-every = 100000", f"checkpoint-every = {options.every}")
    if not large:
        text = text.replace("initial = random\n", "").replace("micro-batch-tokens = 1\n", "micro-batch-tokens = 2048\n")
    return text


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def run(options, job, folder, *more):
    done = subprocess.run([options.troupe, "run", str(job), "--run.dir", str(folder), *more], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise SystemExit(f"the run ended with {done.returncode}:\n{done.stdout[-4000:]}")


def measure(options, folder, ranks, large):
    job, where = folder / "job.ini", folder / f"run-{ranks}-{large}"
    job.write_text(job_text(options, ranks, large))
    run(options, job, where)
    records = {line["update"]: line for line in lines_of(where / "metrics.jsonl")}
    checkpoints = {}
    for event in lines_of(where / "ledger.jsonl"):
        if event["event"] == "checkpoint":
            size, seconds = re.search(r": (\d+) bytes in ([\d.]+) s", event["text"]).groups()
            checkpoints[event["counter"]] = (event["time"], int(size), float(seconds))
    alone, writing = [], []
    for update in range(options.every + 1, options.updates):  # the last checkpoint has nothing beside it
        record, last = records[update], (update - 1) // options.every * options.every
        begun = records[update - 1]["time"]
        seconds = record["time"] - begun - record.get("time/checkpoint_stall_s", 0)
        (writing if checkpoints[last][0] > begun else alone).append(seconds)
    copies = [records[c]["time/checkpoint_copy_s"] for c in sorted(checkpoints)]
    stalls = [records[c]["time/checkpoint_stall_s"] for c in sorted(checkpoints)]
    size = next(iter(checkpoints.values()))[1]
    # Continued by one update, from the last checkpoint, but one: the phase has ended otherwise.
    job_more = where.parent / f"more-{ranks}-{large}"
    shutil.copytree(where, job_more)
    shutil.rmtree(job_more / "checkpoints" / "sft" / f"update-{options.updates:06d}")
    ledger = [line for line in (job_more / "ledger.jsonl").read_text().splitlines() if '"phase_finished"' not in line]
    (job_more / "ledger.jsonl").write_text("".join(line + "\n" for line in ledger))
    run(options, job, job_more)
    restored = [event["text"] for event in lines_of(job_more / "ledger.jsonl") if "restored" in event.get("text", "")]
    verified, read = map(float, re.search(r"verified in ([\d.]+) s, read in ([\d.]+) s", restored[-1]).groups())
    return {"size": size, "first": stalls[0], "stall": statistics.median(stalls[1:]), "most": max(stalls),
            "alone": alone, "writing": writing, "fastest": min(copies),
            "write": min(c[2] for c in checkpoints.values()), "verified": verified, "read": read}


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--troupe", default="build/release/troupe")
    arguments.add_argument("--ranks", type=int, nargs="+", default=[1, 2])
    arguments.add_argument("--layers", type=int, default=8)
    arguments.add_argument("--width", type=int, default=768)
    arguments.add_argument("--updates", type=int, default=24)
    arguments.add_argument("--every", type=int, default=4)
    options = arguments.parse_args()
    options.troupe = str(pathlib.Path(options.troupe).resolve())
    print("| model | ranks | load | checkpoint, MB | stall: first, ms | stall, ms | at most, ms | % of an update "
          "| update alone, s | while writing, s | more, ms | copied, GB/s | written, GB/s | verified, GB/s "
          "| read, GB/s |")
    print("|---" * 15 + "|")
    for large in (False, True):
        for ranks in options.ranks:
            with tempfile.TemporaryDirectory() as scratch:
                folder = pathlib.Path(scratch)
                if large:
                    zero_memory.write_model(folder / "model", options.layers, options.width)
                else:
                    shutil.copytree(zero_memory.MODEL, folder / "model")
                lines = [json.dumps({"prompt": f"{zero_memory.PROMPT} {i}", "answer": ANSWER}) + "\n"
                         for i in range(200)]
                (folder / "text.jsonl").write_text("".join(lines))
                m = measure(options, folder, ranks, large)
                load = os.getloadavg()[0]
            alone = statistics.median(m["alone"]) if m["alone"] else float("nan")
            writing = statistics.median(m["writing"]) if m["writing"] else float("nan")
            name = f"{options.layers} layers, {options.width} wide" if large else "the demo's"
            print(f"| {name} | {ranks} | {load:.0f} | {m['size'] / 1e6:.1f} | {1e3 * m['first']:.1f} | "
                  f"{1e3 * m['stall']:.1f} | {1e3 * m['most']:.1f} | {100 * m['stall'] / alone:.2f} | {alone:.3f} | "
                  f"{writing:.3f} | {1e3 * (writing - alone):.0f} | "
                  f"{m['size'] / m['fastest'] / 1e9:.2f} | {m['size'] / m['write'] / 1e9:.2f} | "
                  f"{m['size'] / m['verified'] / 1e9:.2f} | {m['size'] / m['read'] / 1e9:.2f} |", flush=True)


if __name__ == "__main__":
    main()
