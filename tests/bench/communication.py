#!/usr/bin/env python3
"""What ranks send each other for an update, in each ZeRO stage: counted by the communicators, and by the formulas of
src/engine/optim/learner.hpp and rank_weights.hpp; and how much of the time that it takes is hidden behind compute.
Supervised training of a model of random weights. Prints a table in Markdown.

    communication.py [--troupe build/release/troupe] [--layers 4] [--width 512] [--batch 8] [--updates 6]
                     [--ranks 2 4] [--stages 0 1 2 3]

Bytes are those of all ranks in an update, times means over ranks. "Under way" is the time in which at least one
operation on gradients had begun and not ended, the wait for peers that came to it later included, plus in stage 3 the
same of weights; "waited" is how long the computing thread stood still for one. What is under way and not waited for is
hidden. Medians over updates, the first left out.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import tempfile

import zero_memory

PANEL = 32  # outputs of a matrix that stay together
LANES = 4
ANSWER = " there was a little girl who liked to count to three, and to tell everybody what she had counted."


def job_text(options, ranks, zero):
    text = zero_memory.JOB.format(lanes=LANES, micro_batches=options.batch, ranks=ranks, zero=zero)
    return (text.replace("updates = 100000", f"updates = {options.updates}")
            .replace("max-tokens = 64", "max-tokens = 128"))


def norm_units(config):
    """Panels and vectors of the arena: each has a sum of squares of 8 bytes."""
    width, inner, vocabulary = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    block = (3 * width + width + 2 * inner + width) // PANEL + 2
    return 2 * (vocabulary // PANEL) + 1 + config["num_hidden_layers"] * block


def formula_bytes(config, ranks, zero, micro_batches):
    """The formulas, summed over ranks: their parts are an arena."""
    segments = zero_memory.segment_floats(config)
    arena = sum(segments)
    steps = -(-micro_batches // ranks)
    reduced = (min(LANES // ranks, steps) if zero >= 2 else 1) * arena
    gathered = arena if zero < 3 else steps * (2 * arena - segments[0] - segments[-2] - segments[-1])
    return (ranks - 1) * (4 * (reduced + gathered) + 8 * norm_units(config))


def carry_out(options, folder, ranks, zero):
    """Bytes, seconds under way, waited and of the update, each a median over updates."""
    job, run = folder / "job.ini", folder / f"run-{ranks}-{zero}"
    job.write_text(job_text(options, ranks, zero))
    done = subprocess.run([options.troupe, "run", str(job), "--run.dir", str(run)], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{ranks} ranks, stage {zero}: the run ended with {done.returncode}:\n{done.stdout[-4000:]}")
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    updates = [line for line in lines if line.get("update", 0) > 1]

    def median(*names):
        return statistics.median(sum(line[name] for name in names) for line in updates)

    return (median("rate/policy_communicated_bytes"), median("time/policy_communication_s") / ranks,
            median("time/policy_communication_wait_s") / ranks, median("time/train_s", "time/step_s"))


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--troupe", default="build/release/troupe")
    arguments.add_argument("--layers", type=int, default=4)
    arguments.add_argument("--width", type=int, default=512)
    arguments.add_argument("--batch", type=int, default=8, help="sequences, each a micro-batch of its own")
    arguments.add_argument("--updates", type=int, default=6)
    arguments.add_argument("--ranks", type=int, nargs="+", default=[2, 4])
    arguments.add_argument("--stages", type=int, nargs="+", default=[0, 1, 2, 3])
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        config = zero_memory.write_model(folder / "model", options.layers, options.width)
        lines = [json.dumps({"prompt": f"{zero_memory.PROMPT} {i}", "answer": ANSWER}) + "\n" for i in range(64)]
        (folder / "text.jsonl").write_text("".join(lines))
        print(f"Arena: {4 * sum(zero_memory.segment_floats(config)) / 2**20:.1f} MiB\n")
        print("| ranks | stage | counted, bytes | formula, bytes | ratio | update, s | under way, s | waited, s "
              "| hidden |")
        print("|---|---|---|---|---|---|---|---|---|")
        for ranks in options.ranks:
            for zero in options.stages:
                counted, under_way, waited, update = carry_out(options, folder, ranks, zero)
                formula = formula_bytes(config, ranks, zero, options.batch)
                print(f"| {ranks} | {zero} | {counted:,.0f} | {formula:,} | {counted / formula:.5f} | {update:.2f} | "
                      f"{under_way:.2f} | {waited:.2f} | {1 - waited / under_way:.0%} |", flush=True)


if __name__ == "__main__":
    main()
