#!/usr/bin/env python3
"""What the tests on the emulated card have shown, all together: which kernels ran and how often, how far results are
from oracles in double, how many drawn tokens were held against scoring, which planted bugs were found.

    report.py BUILD PROGRAM...      reads BUILD/evidence, where each of these test programs has left what it has shown
                                    (tests/support/emulation/evidence.hpp); prints it, and writes it to
                                    BUILD/emulated.txt and BUILD/emulated.json

Fails where the table of docs/cuda.md has a kernel that no test launches, or only with threads in some of the three
orders; where a kernel is launched that is not in it, where a planted bug was not found, and where a program has left
nothing since it was built.
"""

import argparse
import json
import pathlib
import re
import subprocess
import sys
from collections import Counter

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "cmake"))
from kernel_resources import BEGIN, END, demangled, short

ROW = re.compile(r"^\| (\w+\.cu) \| `(.+?)` \|", re.MULTILINE)
SYMBOL = re.compile(r"^([0-9a-f]+) (\w) (.+)$", re.MULTILINE)
ANCHOR = "_ZN6troupe9emulation11note_launchEPKvNS0_12thread_orderE"
ORDERS = ["rising", "falling", "shuffled"]
BUGS = "planted_bugs.cu"


def documented():
    """The kernels that there are: (source, name), as docs/cuda.md has them."""
    page = (ROOT / "docs/cuda.md").read_text()
    return set(ROW.findall(page.split(BEGIN)[1].split(END)[0]))


def functions(program):
    """The address of note_launch, and what .cu files keep to themselves: address -> (source, mangled name)."""
    listed = subprocess.run(["nm", "--debug-syms", "--no-sort", program], stdout=subprocess.PIPE, text=True, check=True)
    anchor, found, source = None, {}, ""
    for address, kind, name in SYMBOL.findall(listed.stdout):
        if kind == "a":  # a source: the functions of its own follow
            source = name
        elif kind == "t" and source.endswith(".cu"):
            found[int(address, 16)] = (source, name)
        elif name == ANCHOR:
            anchor = int(address, 16)
    return anchor, found


class Shown:
    """Of all programs together."""

    def __init__(self):
        self.faults = []
        self.launches = {}  # (source, kernel) -> by order of threads
        self.errors = {}  # (operation, type, measure, limit) -> worst, values
        self.tokens = Counter()
        self.planted, self.bugs_found = set(), set()
        self.cpu_seconds = 0.0

    def add(self, program, file):
        if not file.exists():
            self.faults.append(f"{program.name} has left nothing: it has not run to its end")
        elif file.stat().st_mtime < program.stat().st_mtime:
            self.faults.append(f"what {program.name} has left is older than the program")
        else:
            self.take(program, json.loads(file.read_text()))

    def take(self, program, evidence):
        self.add_kernels(program, evidence["kernels"])
        for one in evidence["errors"]:
            what = one["operation"], one["type"], one["measure"], one["limit"]
            worst, values = self.errors.get(what, (0, 0))
            self.errors[what] = max(worst, one["worst"]), values + one["values"]
        self.tokens.update(evidence["tokens"])
        self.bugs_found |= set(evidence["bugs_found"])
        self.cpu_seconds += evidence["cpu_seconds"]

    def add_kernels(self, program, launched):
        anchor, known = functions(program)
        names = demangled(sorted({name for _, name in known.values()}))
        self.planted |= {short(names[name]).removesuffix("_kernel") for source, name in known.values()
                         if source == BUGS and short(names[name]).endswith("_kernel")}
        for one in launched:
            place = anchor + one["from_note_launch"]
            if place not in known:
                self.faults.append(f"{program.name}: a launched kernel, at {place:#x}, has no name in a .cu file")
                continue
            source, name = known[place]
            if source != BUGS:
                self.launches.setdefault((source, short(names[name])), Counter()).update(one["launches"])

    def judge(self):
        there = documented()
        self.faults += [f"no test launches {kernel} of {source}"
                        for source, kernel in sorted(there - set(self.launches))]
        self.faults += [f"no test launches {kernel} of {source} with threads in {order} order"
                        for (source, kernel), by_order in sorted(self.launches.items())
                        for order in ORDERS if by_order[order] == 0]
        self.faults += [f"{kernel} of {source} is launched, and not in docs/cuda.md: make cuda-table"
                        for source, kernel in sorted(set(self.launches) - there)]
        self.faults += [f"the planted bug {name} was not found" for name in sorted(self.planted - self.bugs_found)]
        for what, number in [("error was measured", len(self.errors)),
                             ("drawn token was held against scoring", self.tokens["compared"]),
                             ("bug was planted", len(self.planted))]:
            if number == 0:
                self.faults.append(f"no {what}")

    def record(self):
        return {"faults": self.faults,
                "kernels": [{"source": source, "kernel": kernel, "launches": dict(by_order)}
                            for (source, kernel), by_order in sorted(self.launches.items())],
                "launches": sum(by_order.total() for by_order in self.launches.values()),
                "errors": [{"operation": operation, "type": type_, "measure": measure, "worst": worst,
                            "limit": limit, "values": values}
                           for (operation, type_, measure, limit), (worst, values)
                           in sorted(self.errors.items())],
                "tokens": dict(self.tokens),
                "planted_bugs": {name: name in self.bugs_found for name in sorted(self.planted)},
                "cpu_seconds": round(self.cpu_seconds)}

    def text(self):
        lines = [f"{'source':<24}{'kernels':>10}{'launches':>14}"]
        for source in [*sorted({source for source, _ in self.launches}), "all"]:
            those = [by_order.total() for (file, _), by_order in self.launches.items() if source in (file, "all")]
            lines.append(f"{source:<24}{len(those):>10}{sum(those):>14,}")
        lines += ["", f"{'error against an oracle in double':<46}{'type':<6}{'worst':>10}{'limit':>10}  measure"]
        for (operation, type_, measure, limit), (worst, _) in sorted(self.errors.items()):
            lines.append(f"{operation:<46}{type_:<6}{worst:>10.1e}{limit:>10.1e}  {measure}")
        lines += ["(normalised: squares of the differences / squares of the oracle; largest: of the differences)", "",
                  f"{self.tokens['compared']:,} drawn tokens held against scoring, "
                  f"{self.tokens['different']:,} with another log-probability",
                  f"{len(self.planted & self.bugs_found)} of {len(self.planted)} planted bugs found",
                  f"{self.cpu_seconds:,.0f} seconds of CPU time"]
        return "\n".join(lines + [f"FAULT: {fault}" for fault in self.faults]) + "\n"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("programs", type=pathlib.Path, nargs="+")
    given = parser.parse_args()
    shown = Shown()
    for program in given.programs:
        shown.add(program, given.build / "evidence" / f"{program.name}.json")
    shown.judge()
    (given.build / "emulated.json").write_text(json.dumps(shown.record(), indent=1) + "\n")
    (given.build / "emulated.txt").write_text(shown.text())
    print(shown.text(), end="")
    return 1 if shown.faults else 0


if __name__ == "__main__":
    sys.exit(main())
