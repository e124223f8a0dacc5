#!/usr/bin/env python3
"""Draws reward and answer length over the iterations of a run, from its experience files alone. Needs h5py.

    experience_curves.py RUN/experience PICTURE.svg

Prints the numbers too: iteration, mean reward, mean length, one line an iteration.
"""
import pathlib
import sys

import h5py
import numpy as np

WIDTH, HEIGHT, MARGIN = 640, 200, 50


def scores(file):
    """The weighted sum of each sequence's raw rewards; NaN where one with a weight could not be had."""
    raw = file["reward_raw"][:].astype(float)
    weight = file["reward_weight"][:] if "reward_weight" in file else np.ones(raw.shape[1])  # format 1: not told
    counts = weight != 0
    return raw[:, counts] @ weight[counts]


def read(folder):
    for path in sorted(pathlib.Path(folder).glob("iteration-*.h5")):
        if not path.stem.removeprefix("iteration-").isdigit():
            continue  # an iteration that diverged and was set aside
        with h5py.File(path, "r") as file:
            reward = scores(file)
            reward = reward[np.isfinite(reward)]
            length = np.diff(file["answer_offset"][:])
            yield int(file.attrs["iteration"]), reward.mean() if len(reward) else np.nan, length.mean()


def panel(title, x, y, top):
    """One curve, as SVG."""
    known = np.isfinite(y)
    x, y = np.asarray(x)[known], np.asarray(y)[known]
    low, high = (y.min(), y.max()) if len(y) else (0, 0)
    across = MARGIN + (x - min(x, default=0)) / max(np.ptp(x) if len(x) else 0, 1) * (WIDTH - 2 * MARGIN)
    down = top + HEIGHT - MARGIN - (y - low) / ((high - low) or 1) * (HEIGHT - 2 * MARGIN)
    points = " ".join(f"{a:.1f},{d:.1f}" for a, d in zip(across, down))
    return (f'<text x="{MARGIN}" y="{top + 30}">{title}: {low:.4g} to {high:.4g}</text>\n'
            f'<polyline points="{points}" fill="none" stroke="black"/>\n'
            f'<text x="{MARGIN}" y="{top + HEIGHT - 20}">iteration {min(x, default=0)} to {max(x, default=0)}</text>\n')


def main():
    folder, picture = sys.argv[1:]
    rows = list(read(folder))
    if not rows:
        sys.exit(f"{folder} has no iteration-N.h5")
    for iteration, reward, length in rows:
        print(iteration, repr(float(reward)), repr(float(length)))
    iterations, rewards, lengths = zip(*rows)
    with open(picture, "w", encoding="utf-8") as out:
        out.write(f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{2 * HEIGHT}" font-family="sans-serif" '
                  'font-size="13">\n<rect width="100%" height="100%" fill="white"/>\n')
        out.write(panel("reward, mean", iterations, rewards, 0))
        out.write(panel("answer length, tokens", iterations, lengths, HEIGHT))
        out.write("</svg>\n")


if __name__ == "__main__":
    main()
