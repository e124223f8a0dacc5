#!/usr/bin/env python3
"""Draws the curves of runs (one line a run) from their metrics.jsonl. Needs matplotlib.

    plot.py PICTURE.png RUN_DIR [RUN_DIR ...]
"""
import json
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

CURVES = [
    ("sft", "update", "held_out/perplexity", "SFT: held-out perplexity"),
    ("reward", "update", "held_out/accuracy", "reward model: held-out accuracy"),
    ("ppo", "iteration", "reward/raw_mean", "PPO: reward of the rollout"),
    ("ppo", "iteration", "kl/per_sequence_nats", "PPO: KL from the reference, nats per sequence"),
]


def main():
    picture, runs = sys.argv[1], sys.argv[2:]
    figure, axes = plt.subplots(1, len(CURVES), figsize=(4 * len(CURVES), 3.2))
    for run in runs:
        with open(f"{run}/metrics.jsonl", encoding="utf-8") as lines:
            records = [json.loads(line) for line in lines]
        for axis, (phase, counter, name, title) in zip(axes, CURVES):
            points = [(r[counter], r[name]) for r in records if r["phase"] == phase and name in r]
            axis.plot(*zip(*points), marker="o" if len(points) < 8 else None)
            axis.set_title(title, fontsize=9)
            axis.set_xlabel(counter)
    figure.tight_layout()
    figure.savefig(picture, dpi=90)


if __name__ == "__main__":
    main()
