#!/usr/bin/env python3
"""Names of files and folders in README.md and docs/*.md that are not in the tree:

    a path from the root (`src/io/job/job.hpp`, `slurm/`), also within a command
    a file alone or with its last folders (`job.hpp`, `parallel/mpi.cpp`)
    a source without its ending (`io/run/ledger`, `hosts/launcher`)
    a folder in the row of another (README's table: `files/` beside `src/io/`)
    in a table, sources after their folder (`supervisor`: `attempt`, `rank_watch`), or below it (a column's head says
    "in `actors/cast`")
    what a link leads to

`*`, `NAME` and `<name>` stand for any name; something must fit.
"""

import pathlib
import re
import sys
from fnmatch import fnmatchcase

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TOPS = ["cmake", "docs", "jobs", "packaging", "slurm", "src", "tests"]
# Folders that sources without an ending are named by. What else has a slash (`policy/loss`) is no file.
ROOMS = ["base", "kernels", "io", "engine", "actors", "cast", "director", "hosts", "protocol", "stage", "supervisor"]

# Names that the documents use for what is not there: a site's own file.
NOT_OURS = {"site.sh"}

CODE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
PATH = re.compile(rf"(?:{'|'.join(TOPS)})/[\w./*<>-]*")
FILE = re.compile(r"[\w./*<>-]*[\w*>]\.(?:hpp|cpp|hpp\.in|py|sh)")
SOURCE = re.compile(rf"(?:{'|'.join(ROOMS)})/[a-z0-9_/]+")
ROW = re.compile(r"\| `([\w/]+/)` \|")
LIST = re.compile(r"`([a-z_/]+)`: (`[a-z_]+`(?:, `[a-z_]+`)*)")
HEAD = re.compile(r"in `([a-z_/]+)`")
FOLDER = re.compile(r"[a-z0-9_]+/")


def tree():
    """All files and folders by their path from the root."""
    names = {path.name for path in ROOT.iterdir()}
    for top in TOPS:
        names |= {path.relative_to(ROOT).as_posix() for path in (ROOT / top).rglob("*")}
    return names


def pattern_of(name):
    return re.sub(r"<[^>]*>|\bNAME(?=\b|_)", "*", name).rstrip("/")


class Tree:
    def __init__(self, names):
        self.names = names
        self.endings = {"/".join(parts[i:]) for parts in (name.split("/") for name in names) for i in range(len(parts))}

    def has(self, path):
        return self.fits(pattern_of(path), self.names)

    def has_ending(self, path):
        return self.fits(pattern_of(path), self.endings)

    def has_source(self, path):
        return self.has_ending(path + ".hpp") or self.has_ending(path + ".cpp")

    @staticmethod
    def fits(pattern, names):
        return pattern in names or ("*" in pattern and any(fnmatchcase(name, pattern) for name in names))


def missing_in_code(code, row, there):
    """Of a piece of code, names that are not there; `row`: the folder that its table row is about, or empty."""
    for word in re.split(r"[\s,;:=()'\"]+", code):
        if word in NOT_OURS:
            found = True
        elif PATH.fullmatch(word):
            found = there.has(word.rstrip("."))
        elif FILE.fullmatch(word) and not word.startswith(("/", "build/")):
            found = there.has_ending(word)
        elif SOURCE.fullmatch(word):
            found = there.has_ending(word) or there.has_source(word)
        elif row and FOLDER.fullmatch(word):
            found = there.has(row + word) or there.has(word)
        else:
            found = True
        if not found:
            yield word


class Table:
    """Line by line: the sources that a table of a document names by their folder."""

    def __init__(self):
        self.columns = []  # of the table that is being read: the folder in each column's head, or nothing

    def sources(self, line):
        if not line.startswith("|"):
            self.columns = []
            return
        cells = line.split("|")
        if not self.columns:
            self.columns = [HEAD.search(cell) for cell in cells]
            return
        for head, cell in zip(self.columns, cells):
            for folder, names in LIST.findall(cell):
                yield from (f"{folder}/{name}" for name in CODE.findall(names))
            if head:
                yield from (f"{head[1]}/{name}" for name in CODE.findall(cell))


def faults(file, text, there):
    fenced, table = False, Table()
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("```"):
            fenced = not fenced
            continue
        yield from (f"{file}:{number}: there is no source {source}"
                    for source in table.sources(line) if not there.has_source(source))
        row = ROW.match(line)
        for code in [line] if fenced else CODE.findall(line):
            for word in missing_in_code(code, row[1] if row else "", there):
                yield f"{file}:{number}: {word} is not in the tree"
        for link in [] if fenced else LINK.findall(CODE.sub("", line)):
            if "://" not in link and not ((ROOT / file).parent / link).exists():
                yield f"{file}:{number}: the link to {link} leads nowhere"


def main():
    there = Tree(tree())
    documents = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md")), ROOT / "packaging/README.md"]
    found = [fault for path in documents
             for fault in faults(path.relative_to(ROOT).as_posix(), path.read_text(), there)]
    print("\n".join(found) or f"paths in {len(documents)} documents: all there")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
