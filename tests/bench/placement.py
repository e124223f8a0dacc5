#!/usr/bin/env python3
"""When do models on ranks of their own pay? PPO iterations with every model on every rank, and with the policy on some
ranks and critic, reference and reward model on the others, on the same number of ranks. Prints a table in Markdown.

    placement.py [--troupe build/release/troupe] [--ranks 2] [--layers 4] [--width 256] [--iterations 4]
                 [--prompts 16] [--answers 24 96]

Models are of random weights and one shape. Answers end by themselves at random places up to the given length
("ragged"), or all have that length ("full"). Seconds are medians over iterations, the first left out: "generate" of the
slowest rank, "rollout" from the first prompt to the last score, "learn" all updates, "iteration" both. Each rank has
one thread; run it on a machine with at least as many free cores as ranks.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import tempfile

import zero_memory

JOB = """
[run]
dir = run
phases = ppo
threads = 1
lanes = 4
checkpoint-every = 1000
[model]
policy = base/models/sft
reward = base/models/sft
[place]
ranks = {ranks}
[data.text]
path = text.jsonl
format = text
prompt-words = 4
phases = ppo
[split]
held-out = 0.02
[length]
max-tokens = 256
max-prompt-tokens = 32
[generation]
max-new-tokens = {answer}
stop = "{stop}"
[ppo]
iterations = {iterations}
prompts = {prompts}
minibatches = 2
[evaluation]
prompts = 0
"""


def write_base(options, folder):
    """A model of random weights as all of the job's models start from it: what one update of fine-tuning leaves."""
    zero_memory.write_model(folder / "model", options.layers, options.width)
    (folder / "base.ini").write_text(zero_memory.JOB.format(lanes=1, micro_batches=1, ranks=1, zero=0)
                                     .replace("updates = 100000", "updates = 1"))
    (folder / "text.jsonl").write_text(json.dumps({"prompt": zero_memory.PROMPT, "answer": zero_memory.ANSWER}) + "\n")
    done = subprocess.run([options.troupe, "run", str(folder / "base.ini"), "--run.dir", str(folder / "base")],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise SystemExit(f"the run that makes the model ended with {done.returncode}:\n{done.stdout[-4000:]}")


def carry_out(options, folder, name, job, more):
    """Medians of generate, rollout, learn and of the iteration, in seconds."""
    (folder / "job.ini").write_text(job)
    run = folder / name
    command = [options.troupe, "run", str(folder / "job.ini"), "--run.dir", str(run), *more]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{name}: the run ended with {done.returncode}:\n{done.stdout[-4000:]}")
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    iterations = [line for line in lines if line.get("iteration", 0) > 1]
    found = [statistics.median(line[f"time/{part}_s"] for line in iterations)
             for part in ("generate", "rollout", "learn")]
    found.append(statistics.median(line["time/rollout_s"] + line["time/learn_s"] for line in iterations))
    tokens = statistics.median(line["answer/length_mean"] for line in iterations)
    return found, tokens


def placements(ranks):
    policies = [ranks // 2] if ranks == 2 else [ranks // 2, ranks - 1]
    yield "all on all", []
    for policy in policies:
        first = f"0-{policy - 1}" if policy > 1 else "0"
        rest = f"{policy}-{ranks - 1}" if ranks - policy > 1 else f"{policy}"
        yield (f"policy on {policy}, others on {ranks - policy}",
               ["--place.policy-ranks", first, "--place.critic-ranks", rest, "--place.reference-ranks", rest,
                "--place.reward-ranks", rest])


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--troupe", default="build/release/troupe")
    arguments.add_argument("--ranks", type=int, default=2)
    arguments.add_argument("--layers", type=int, default=4)
    arguments.add_argument("--width", type=int, default=256)
    arguments.add_argument("--iterations", type=int, default=4)
    arguments.add_argument("--prompts", type=int, nargs="+", default=[4, 16])
    arguments.add_argument("--answers", type=int, nargs="+", default=[24, 96])
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        write_base(options, folder)
        (folder / "text.jsonl").write_text("".join(
            json.dumps({"text": f"the {i}th girl saw {i * 7} birds and counted them all by name"}) + "\n"
            for i in range(2000)))
        print("| prompts | answers | tokens | placement | generate, s | rollout, s | learn, s | iteration, s |")
        print("|---|---|---|---|---|---|---|---|")
        for prompts in options.prompts:
            for answer in options.answers:
                for kind, stop in (("full", "no such text"), ("ragged", "a")):
                    job = JOB.format(ranks=options.ranks, answer=answer, stop=stop, iterations=options.iterations,
                                     prompts=prompts)
                    for name, more in placements(options.ranks):
                        run_name = f"{prompts}-{answer}-{kind}-{len(more)}{more[1:2]}"
                        found, tokens = carry_out(options, folder, run_name, job, more)
                        print(f"| {prompts} | {kind}, {answer} | {tokens:.0f} | {name} | "
                              + " | ".join(f"{seconds:.2f}" for seconds in found) + " |", flush=True)


if __name__ == "__main__":
    main()
