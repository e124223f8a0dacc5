#!/usr/bin/env python3
"""What clang-format does not see, and sometimes does:

    a label (Errors, Source, Shapes, Units, Bits) within a line of a comment: each begins a line of its own
    a line of more than 120 characters, in comments too; text in a raw string may be as long as it has to be
    a literal cut into a short piece between two others, as is left when a formatter has broken it twice
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TOPS = ["src", "jobs", "tests", "slurm", "cmake"]
KINDS = {".hpp", ".cpp", ".cu", ".cuh", ".py", ".sh", ".cmake"}
DATA = ("tests/data/", "tests/fuzz/corpus/")  # files as others made them

LONGEST = 120
SHORT_PIECE = 24
LABEL_WITHIN_LINE = re.compile(r"^\s*//.*[^\s/].*?\s(Errors|Source|Sources|Shapes|Units|Bits)(  |$)")
PIECE = re.compile(r'^\s*"(?:[^"\\]|\\.)*"$')


def files():
    for path in sorted(path for top in TOPS for path in (ROOT / top).rglob("*")):
        name = path.relative_to(ROOT).as_posix()
        if (path.suffix in KINDS or path.name == "CMakeLists.txt") and not name.startswith(DATA):
            yield name, path.read_text()
    yield "Makefile", (ROOT / "Makefile").read_text()


def without_raw_strings(text):
    """Of a C++ source: raw strings keep their line breaks and nothing else."""
    return re.sub(r'R"(\w*)\(.*?\)\1"', lambda found: "\n" * found[0].count("\n"), text, flags=re.DOTALL)


def cut_twice(lines, i):
    """Whether line i is a short piece of a literal between two others, and does not begin a line of the text."""
    piece = lines[i].strip()
    return (0 < i < len(lines) - 1 and len(piece) < SHORT_PIECE and PIECE.match(piece)
            and lines[i - 1].endswith('"') and not re.search(r'\\[nx0-7]\w*"$', lines[i - 1])
            and lines[i + 1].lstrip().startswith('"'))


def faults(name, text):
    source = name.endswith(("pp", ".cu", ".cuh"))
    lines = (without_raw_strings(text) if source else text).splitlines()
    for i, line in enumerate(lines):
        if len(line) > LONGEST:
            yield f"{name}:{i + 1}: {len(line)} characters; {LONGEST} are the most"
        if source and LABEL_WITHIN_LINE.match(line):
            yield f"{name}:{i + 1}: a label within a line: begin a new one with it"
        if source and cut_twice(lines, i):
            yield f"{name}:{i + 1}: a literal cut in mid-sentence: join it, then format"


def main():
    found = [fault for name, text in files() for fault in faults(name, text)]
    print("\n".join(found) or "style: no scars")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
