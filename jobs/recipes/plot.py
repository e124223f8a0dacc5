#!/usr/bin/env python3
"""Draws curves of runs from their metrics.jsonl as an SVG picture, a line for each run. Needs nothing but Python.

    plot.py PICTURE.svg RUN_DIR [RUN_DIR ...]

    --curve PHASE:NAME  a number to draw, in place of the usual ones; may be given again (docs/files.md lists them)
    --columns N         panels beside each other
"""
import argparse
import json
import math
import os
import pathlib
import sys
from xml.sax.saxutils import escape

USUAL = {
    "sft:held_out/perplexity": "SFT: held-out perplexity",
    "reward:held_out/accuracy": "reward model: held-out accuracy",
    "ppo:reward/raw_mean": "PPO: reward of the rollout",
    "ppo:kl/per_sequence_nats": "PPO: KL from the reference, nats per sequence",
}
# Panels, in pixels.
WIDTH, HEIGHT = 320, 240
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 26, 34
LEGEND = 20
COLOURS = ["#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f"]
FEW_POINTS = 8  # of fewer each is marked


def records_of(run):
    """Of a run that goes on, too: its last line may not be whole yet."""
    records = []
    with open(pathlib.Path(run) / "metrics.jsonl", encoding="utf-8") as lines:
        for line in lines:
            if line.endswith("\n"):
                records.append(json.loads(line))
    return records


def points_of(records, curve):
    """(counter, value) of every record that has this number; a value that was not finite is None."""
    phase, name = curve.split(":", 1)
    return [(record.get("iteration", record["update"]), record[name]) for record in records
            if record["phase"] == phase and name in record]


def ticks(low, high, about=4):
    """Round numbers from low to high."""
    if high <= low:
        low, high = low - abs(low) / 2 - 1e-9, high + abs(high) / 2 + 1e-9
    step = 10.0 ** math.floor(math.log10((high - low) / about))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= about + 1)
    return [step * i for i in range(math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9) + 1)]


class Panel:
    """One set of axes at (x, y)."""

    def __init__(self, x, y, title, curves):
        self.x, self.y, self.title, self.curves = x, y, title, curves
        points = [(at, value) for curve in curves for at, value in curve if value is not None]
        self.across = ticks(min(p[0] for p in points), max(p[0] for p in points)) if points else [0, 1]
        self.up = ticks(min(p[1] for p in points), max(p[1] for p in points)) if points else [0, 1]
        self.empty = not points

    def place(self, at, value):
        def share(v, all_ticks):
            return (v - all_ticks[0]) / (all_ticks[-1] - all_ticks[0])
        return (self.x + LEFT + share(at, self.across) * (WIDTH - LEFT - RIGHT),
                self.y + HEIGHT - BOTTOM - share(value, self.up) * (HEIGHT - TOP - BOTTOM))

    def axes(self):
        left, bottom = self.place(self.across[0], self.up[0])
        right, top = self.place(self.across[-1], self.up[-1])
        yield f'<text x="{(left + right) / 2:.1f}" y="{self.y + 16}" text-anchor="middle">{escape(self.title)}</text>'
        for tick in self.up:
            _, y = self.place(self.across[0], tick)
            yield f'<line x1="{left:.1f}" y1="{y:.1f}" x2="{right:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
            yield f'<text x="{left - 4:.1f}" y="{y + 4:.1f}" text-anchor="end">{tick:.6g}</text>'
        for tick in self.across:
            x, _ = self.place(tick, self.up[0])
            yield f'<line x1="{x:.1f}" y1="{bottom:.1f}" x2="{x:.1f}" y2="{bottom + 4:.1f}" stroke="#888"/>'
            yield f'<text x="{x:.1f}" y="{bottom + 16:.1f}" text-anchor="middle">{tick:.6g}</text>'
        yield f'<path d="M{left:.1f},{top:.1f} V{bottom:.1f} H{right:.1f}" fill="none" stroke="#888"/>'
        if self.empty:
            yield f'<text x="{(left + right) / 2:.1f}" y="{top + 20:.1f}" text-anchor="middle">no records</text>'

    def draw(self):
        yield from self.axes()
        for number, curve in enumerate(self.curves):
            colour = COLOURS[number % len(COLOURS)]
            path, pen_down = "", False
            for at, value in curve:
                if value is not None:
                    x, y = self.place(at, value)
                    path += f"{'L' if pen_down else 'M'}{x:.1f},{y:.1f} "
                    if len(curve) < FEW_POINTS:
                        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>'
                pen_down = value is not None
            if path:
                yield f'<path d="{path.strip()}" fill="none" stroke="{colour}" stroke-width="1.5"/>'


def legend(names, y):
    x = LEFT
    for number, name in enumerate(names):
        colour = COLOURS[number % len(COLOURS)]
        yield f'<line x1="{x}" y1="{y - 4}" x2="{x + 18}" y2="{y - 4}" stroke="{colour}" stroke-width="2"/>'
        yield f'<text x="{x + 24}" y="{y}">{escape(name)}</text>'
        x += 40 + 7 * len(name)


def picture(runs, curves, columns):
    records = [records_of(run) for run in runs]
    rows = math.ceil(len(curves) / columns)
    width, height = columns * WIDTH, rows * HEIGHT + (LEGEND if len(runs) > 1 else 0)
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
             f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="11">',
             f'<rect width="{width}" height="{height}" fill="white"/>']
    for number, curve in enumerate(curves):
        title = USUAL.get(curve, curve.replace(":", ": ", 1))
        panel = Panel(number % columns * WIDTH, number // columns * HEIGHT, title,
                      [points_of(one, curve) for one in records])
        lines += panel.draw()
    if len(runs) > 1:
        lines += legend([pathlib.Path(os.path.abspath(run)).name for run in runs], height - 6)
    return "\n".join([*lines, "</svg>"]) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture")
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--curve", action="append", metavar="PHASE:NAME")
    parser.add_argument("--columns", type=int)
    chosen = parser.parse_args()
    curves = chosen.curve or list(USUAL)
    if not chosen.picture.endswith(".svg"):
        parser.error(f"the picture is SVG: give it a name that ends in .svg, not {chosen.picture}")
    for curve in curves:
        if ":" not in curve:
            parser.error(f"--curve {curve}: say which phase it is of, as in ppo:kl/coefficient")
    try:
        text = picture(chosen.runs, curves, max(1, chosen.columns or len(curves)))
    except OSError as failure:
        sys.exit(f"plot.py: {failure.filename}: {failure.strerror}: is this the folder of a run?")
    pathlib.Path(chosen.picture).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
