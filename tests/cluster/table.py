#!/usr/bin/env python3
"""The table of docs/cluster.md from what tests/cluster/run.py has printed: table.py LOG... One line per kind of fault:
how often, and median and largest of the seconds to detect it, until ranks work again, until the first new update;
updates done again."""
import re
import statistics
import sys

ROW = re.compile(r"(?P<fault>.{30}) (?P<run>run-\d+) +(?P<after>\w+(?: \d+)?) +(?P<detect>[\d.]+|-) +"
                 r"(?P<back>[\d.]+|-) +(?P<update>[\d.]+|-) +(?P<redone>\d+|-)  (?P<verdict>\w.*)")
FIGURES = ("detect", "back", "update")


def redone_text(counts):
    if not counts:
        return "-"
    return f"up to {max(counts)}" if max(counts) > 0 else "0"


def middle_and_most(values):
    numbers = [float(value) for value in values if value != "-"]
    return f"{statistics.median(numbers):.1f}, {max(numbers):.1f}" if numbers else "-"


def main():
    rows = {}
    for path in sys.argv[1:]:
        with open(path, encoding="utf-8") as log:
            for line in log:
                if found := ROW.match(line):
                    rows.setdefault(found["fault"].strip(), []).append(found)
    print("| fault | times | detected, s | ranks work again, s | first new update, s | updates done again |")
    print("|---|---|---|---|---|---|")
    for fault, found in sorted(rows.items()):
        redone = [int(row["redone"]) for row in found if row["redone"] != "-"]
        survived = sum(row["verdict"].startswith("ok") for row in found)
        times = str(len(found)) if survived == len(found) else f"{len(found)}, {survived} survived"
        cells = [middle_and_most([row[name] for row in found]) for name in FIGURES]
        print(f"| {fault} | {times} | {' | '.join(cells)} | {redone_text(redone)} |")


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        sys.exit(__doc__)
    main()
