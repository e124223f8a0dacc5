#!/usr/bin/env python3
"""Memory of a rank by number of ranks and ZeRO stage, measured and by the formulas of src/engine/optim/learner.hpp and
rank_weights.hpp: supervised training of a model of random weights, until its first update. Prints a table in Markdown.

    zero_memory.py [--troupe build/release/troupe] [--layers 8] [--width 768] [--ranks 1 2 4] [--stages 0 1 2 3]

Measured is the peak of resident memory (VmHWM) since the start of a rank, loading included, the largest of all ranks.
What it has beside weights, gradients and moments (libraries, data, activations, scratch) is taken off as the first row
has it, whose formula has no approximation.
"""
import argparse
import json
import pathlib
import shutil
import subprocess
import tempfile
import time

TESTS = pathlib.Path(__file__).resolve().parent.parent
MODEL = TESTS / "data/stories260k"
PROMPT, ANSWER = "Once upon a time", " there was a little girl who liked to count to three."
LANES, MICRO_BATCHES = 4, 4
JOB = """
[run]
phases = sft
lanes = {lanes}
threads = 1
checkpoint-every = 100000
[model]
policy = model
initial = random
[data.text]
path = text.jsonl
format = prompt-answer
phases = sft
[split]
held-out = 0
[evaluation]
prompts = 0
records = 0
[length]
max-prompt-tokens = 48
max-tokens = 64
[sft]
updates = 100000
batch = {micro_batches}
micro-batch-tokens = 1
evaluate-every = 0
[place]
ranks = {ranks}
policy-zero = {zero}
"""


def write_model(folder, layers, width):
    shutil.copytree(MODEL, folder, ignore=shutil.ignore_patterns("*.safetensors", "*.json"))
    shutil.copy(MODEL / "tokenizer_config.json", folder)
    config = json.loads((MODEL / "config.json").read_text())
    config.update(num_hidden_layers=layers, hidden_size=width, intermediate_size=4 * width,
                  num_attention_heads=width // 64, num_key_value_heads=width // 64, tie_word_embeddings=False)
    (folder / "config.json").write_text(json.dumps(config))
    return config


def segment_floats(config):
    """Weights before the blocks, of each block, and behind them."""
    width, inner, vocabulary = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    block = 4 * width * width + 3 * width * inner + 2 * width
    return [vocabulary * width] + config["num_hidden_layers"] * [block] + [vocabulary * width + width]


def formula_bytes(config, ranks, zero):
    """Weights, gradients and moments. A shard is taken as 1 / R of an arena."""
    segments = segment_floats(config)
    arena, shard = sum(segments), sum(segments) / ranks
    zero = zero if ranks > 1 else 0
    sums = 1 + (LANES // ranks).bit_length() - 1
    two_segments = max(a + b for a, b in zip(segments, segments[1:]))
    weights = shard + two_segments * (ranks - 1) / ranks if zero == 3 else arena
    gradients = sums * shard + segments[0] + two_segments if zero >= 2 else sums * arena
    moments = 2 * (shard if zero > 0 else arena)
    return 4 * (weights + gradients + moments)


def process_tree(root):
    """Ids of the processes below `root`."""
    parent = {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            parent[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            pass  # it has ended meanwhile
    below, found = {root}, True
    while found:
        found = {p for p, of in parent.items() if of in below} - below
        below |= found
    return below


def peak_bytes(pid):
    try:
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return max((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM")), default=0)


def measure(troupe, folder, ranks, zero):
    """The largest peak of a rank, once the first update is recorded."""
    run = folder / f"run-{ranks}-{zero}"
    job = folder / "job.ini"
    job.write_text(JOB.format(lanes=LANES, micro_batches=MICRO_BATCHES, ranks=ranks, zero=zero))
    log = folder / "log"
    with log.open("w") as out:
        process = subprocess.Popen([troupe, "run", str(job), "--run.dir", str(run)], stdout=out, stderr=out)
        try:
            metrics = run / "metrics.jsonl"
            while not (metrics.exists() and '"update":1' in metrics.read_text().replace(" ", "")):
                if process.poll() is not None:
                    raise SystemExit(f"the run ended with {process.returncode}:\n{log.read_text()}")
                time.sleep(0.2)
            return max(peak_bytes(pid) for pid in process_tree(process.pid))
        finally:
            process.terminate()
            process.wait()


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--troupe", default="build/release/troupe")
    arguments.add_argument("--layers", type=int, default=8)
    arguments.add_argument("--width", type=int, default=768)
    arguments.add_argument("--ranks", type=int, nargs="+", default=[1, 2, 4])
    arguments.add_argument("--stages", type=int, nargs="+", default=[0, 1, 2, 3])
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        config = write_model(folder / "model", options.layers, options.width)
        lines = [json.dumps({"prompt": f"{PROMPT} {i}", "answer": ANSWER}) + "\n" for i in range(64)]
        (folder / "text.jsonl").write_text("".join(lines))
        print(f"Arena: {4 * sum(segment_floats(config)) / 2**20:.0f} MiB\n")
        print("| ranks | stage | formula, MiB | measured, MiB | less the rest, MiB | of the formula |")
        print("|---|---|---|---|---|---|")
        rest = None
        for ranks in options.ranks:
            for zero in options.stages if ranks > 1 else [0]:
                formula = formula_bytes(config, ranks, zero)
                measured = measure(options.troupe, folder, ranks, zero)
                rest = measured - formula if rest is None else rest
                print(f"| {ranks} | {zero} | {formula / 2**20:.0f} | {measured / 2**20:.0f} | "
                      f"{(measured - rest) / 2**20:.0f} | {(measured - rest) / formula:.2f} |", flush=True)


if __name__ == "__main__":
    main()
