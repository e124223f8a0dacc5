#!/usr/bin/env python3
"""Who includes whom, by folder: reads the #include lines of src/ and jobs/, holds them against the order below, and
draws them.

    include_graph.py            fails on an arrow against the order, on a cycle, on a library in a folder that it is not
                                for, on a .cu file that reaches what nvcc cannot read, and where
                                docs/pictures/include-graph.svg is not what the sources give
    include_graph.py --write    writes that picture
"""

import pathlib
import re
import sys
from collections import defaultdict

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PICTURE = ROOT / "docs/pictures/include-graph.svg"

# A folder may include those in rows above its own, none beside it. The picture shows these rows, the last one on top.
ORDER = [
    ["base"],
    ["kernels"],
    ["io/files"],
    ["io/json", "io/hdf5"],
    ["io/weights", "io/tokenizer", "io/checkpoint"],
    ["io/jinja"],
    ["io/chat"],
    ["io/job"],
    ["io/run"],
    ["io/experience"],
    ["io/datasets", "io/inspect", "io/fork"],
    ["io/rewards"],
    ["engine/tensor"],
    ["engine/arena", "engine/cards", "engine/parallel", "engine/objectives"],
    ["engine/models"],
    ["engine/tensor_parallel", "engine/optim"],
    ["engine/generate", "engine/train"],
    ["engine"],
    ["actors/protocol", "actors/hosts"],
    ["actors/models", "actors/control"],
    ["actors/cast"],
    ["actors/stage"],
    ["actors/director"],
    ["actors/supervisor"],
    ["jobs"],
]

# Besides: what a layer may include of the others. Engine and io do not know each other and meet in the actors.
LAYERS = {
    "base": [],
    "kernels": ["base"],
    "io": ["base"],
    "engine": ["base", "kernels"],
    "actors": ["base", "io", "engine"],
    "jobs": ["base", "kernels", "io", "engine", "actors"],
}

# Folders that are the inside of another: nobody else may include them, and they count as it.
INSIDES = {
    "kernels/cpu": "kernels",
    "kernels/cuda": "kernels",
    "io/weights/pickle": "io/weights",
    "engine/models/families": "engine/models",
    "jobs/examples": "jobs",
    "jobs/examples/grpo": "jobs",
}

# What is included of a library, and the only folders (below src/, or jobs) or files that may.
LIBRARIES = {
    r"caf/": ["actors"],
    r"openssl/": ["actors/control", "jobs/sha256.cpp"],
    r"mpi\.h": ["engine/parallel"],
    r"hwy/": ["kernels/cpu"],
    r"cuda|cublas|nccl": ["kernels/cuda"],
    r"dlfcn\.h": ["engine/cards", "kernels/cuda"],
    r"hdf5|H5": ["io/hdf5"],
    r"nlohmann/": ["io", "jobs"],
    r"boost/": ["io", "jobs"],
    r"zlib\.h": ["io/datasets", "io/weights"],
    r"pcre2|sentencepiece": ["io/tokenizer"],
    r"utf8proc": ["io/tokenizer", "io/jinja"],
    r"spdlog/": ["actors", "jobs"],
    r"filesystem|fstream": ["io", "actors", "jobs"],
}

# nvcc cannot parse fmt, so that no .cu file may reach it, by whatever way.
NOT_FOR_NVCC = r"fmt/"

# Kernels of a card run on the host in tests: the one door from src/ to there.
EMULATION = ("src/kernels/cuda/thread.cuh", "support/emulation/cuda_on_host.hpp")

ROW = {folder: row for row, folders in enumerate(ORDER) for folder in folders}


class Include:
    """One #include line. `text` is what stands between the quotes or angle brackets."""

    def __init__(self, file, line, text):
        self.file, self.line, self.text = file, line, text

    def __str__(self):
        return f"{self.file}:{self.line}: includes {self.text}"


def place_of(path):
    """A path below src/ or jobs/ without `src/`."""
    return path[4:] if path.startswith("src/") else path


def folder_of(path):
    return str(pathlib.PurePosixPath(place_of(path)).parent)


def room_of(path):
    """The folder of ORDER that a file counts as."""
    folder = folder_of(path)
    return INSIDES.get(folder, folder)


def read_includes():
    """Includes of our own files, and those of libraries."""
    own, libraries = [], []
    for path in sorted(p for top in ("src", "jobs") for p in (ROOT / top).rglob("*")
                       if p.suffix in (".hpp", ".cpp", ".cu", ".cuh")):
        file = path.relative_to(ROOT).as_posix()
        for number, line in enumerate(path.read_text().splitlines(), 1):
            found = re.match(r'#include (?:"([^"]+/[^"]+)"|<([^>]+)>)', line)
            if found and (file, found[1]) != EMULATION:
                (own if found[1] else libraries).append(Include(file, number, found[1] or found[2]))
    return own, libraries


def arrows_of(includes):
    """(user, used) of different folders -> the includes that make it so."""
    arrows = defaultdict(list)
    for include in includes:
        user, used = room_of(include.file), room_of(include.text)
        if user != used:
            arrows[user, used].append(include)
    return dict(sorted(arrows.items()))


def order_faults(arrows):
    for folder in sorted({folder for arrow in arrows for folder in arrow} - ROW.keys()):
        yield f"{folder} has no place in the order: give it one in tests/lint/include_graph.py"
    for (user, used), includes in arrows.items():
        if user not in ROW or used not in ROW:
            continue
        layer, other = user.split("/")[0], used.split("/")[0]
        if layer != other and other not in LAYERS[layer]:
            yield from (f"{include}: {layer} does not know {other}" for include in includes)
        elif ROW[user] <= ROW[used]:
            yield from (f"{include}: {user} does not stand above {used}" for include in includes)


def inside_faults(includes):
    for include in includes:
        owner = INSIDES.get(folder_of(include.text))
        if owner and room_of(include.file) != owner:
            yield f"{include}: that is the inside of {owner}"


def library_faults(includes):
    for include in includes:
        for library, places in LIBRARIES.items():
            place = place_of(include.file)
            if re.match(library, include.text) and not place.startswith(tuple(places)):
                yield f"{include}: only {', '.join(places)} may"


def nvcc_faults(own, libraries):
    """The way from a .cu file to a library that nvcc cannot read."""
    used_by, unreadable = defaultdict(list), {}
    for include in own:
        used_by[include.file].append("src/" + include.text)
    for include in libraries:
        if re.match(NOT_FOR_NVCC, include.text):
            unreadable[include.file] = include.text
    for kernel in sorted(file for file in used_by if file.endswith(".cu")):
        ways, seen = [[kernel]], {kernel}
        for way in ways:
            if way[-1] in unreadable:
                yield f"{' -> '.join(way)} -> {unreadable[way[-1]]}: nvcc cannot read that"
                break
            for file in used_by[way[-1]]:
                if file not in seen:
                    seen.add(file)
                    ways.append([*way, file])


def reachable(arrows, start):
    """All folders that `start` includes, by whatever way; itself only by a cycle."""
    found, todo = set(), [start]
    while todo:
        at = todo.pop()
        new = {used for user, used in arrows if user == at} - found
        found |= new
        todo += new
    return found


def cycle_faults(arrows):
    for folder in sorted({user for user, _ in arrows}):
        if folder in reachable(arrows, folder):
            yield f"{folder} includes itself by way of others"


def drawn(arrows):
    """Arrows that no other way implies, so that the picture stays readable."""
    below = {folder: reachable(arrows, folder) for folder in ROW}
    return sorted((user, used) for user, used in arrows
                  if not any((user, via) in arrows and used in below[via] for via in ROW if via != used))


BOX_WIDTH, BOX_HEIGHT, ROW_HEIGHT, WIDTH = 140, 30, 62, 930
# Of each layer: the middle of its boxes from the left, the distance between two, and its colour.
COLUMNS = {
    "base": (460, 150, "#d9d9d9"), "kernels": (700, 150, "#f6c89f"), "io": (230, 150, "#b9d7f0"),
    "engine": (700, 150, "#f3dd94"), "actors": (460, 320, "#bfe0b8"), "jobs": (460, 150, "#d8c5e8"),
}


def heights(rows):
    """Row of the picture, from below, for each folder: io stands beside kernels and engine."""
    height, beside = {}, {"io": 1, "kernels": 1, "engine": 2}
    for folders in rows:
        layer = folders[0].split("/")[0]
        if layer not in beside:
            beside[layer] = max(height.values(), default=-1) + 1
        for folder in folders:
            height[folder] = beside[layer]
        beside[layer] += 1
    return height


def middles(rows):
    """The middle of each folder's box."""
    height, places = heights(rows), {}
    top = max(height.values())
    for folders in rows:
        middle, distance, _ = COLUMNS[folders[0].split("/")[0]]
        for i, folder in enumerate(folders):
            x = middle + (i - (len(folders) - 1) / 2) * distance
            places[folder] = (x, 24 + (top - height[folder]) * ROW_HEIGHT)
    return places


def curve(start, end):
    (x1, y1), (x2, y2) = start, end
    y1, y2 = y1 + BOX_HEIGHT / 2, y2 - BOX_HEIGHT / 2 - 5
    bend = max(20, (y2 - y1) / 2)
    return (f'<path d="M{x1:.0f} {y1:.0f} C{x1:.0f} {y1 + bend:.0f} {x2:.0f} {y2 - bend:.0f} {x2:.0f} {y2:.0f}" '
            'marker-end="url(#tip)"/>')


def box(folder, place):
    x, y = place
    colour = COLUMNS[folder.split("/")[0]][2]
    return (f'<rect x="{x - BOX_WIDTH / 2:.0f}" y="{y - BOX_HEIGHT / 2:.0f}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" '
            f'rx="5" fill="{colour}"/>\n<text x="{x:.0f}" y="{y + 4:.0f}">{folder}</text>')


def picture(arrows):
    there = {folder for arrow in arrows for folder in arrow}
    rows = [[folder for folder in folders if folder in there] for folders in ORDER]
    places = middles([folders for folders in rows if folders])
    bottom = round(max(y for _, y in places.values()) + BOX_HEIGHT)
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom}" width="{WIDTH}" '
             'font-family="sans-serif" font-size="12">',
             "<!-- Written by tests/lint/include_graph.py from the #include lines. -->",
             '<defs><marker id="tip" viewBox="0 0 8 8" refX="4" refY="4" markerWidth="7" markerHeight="7" '
             'orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="#808080"/></marker></defs>',
             '<g fill="none" stroke="#808080" stroke-width="1.3">']
    lines += [curve(places[user], places[used]) for user, used in drawn(arrows)]
    lines += ["</g>", '<g text-anchor="middle" fill="#202020">']
    lines += [box(folder, place) for folder, place in places.items()]
    return "\n".join(lines + ["</g>", "</svg>", ""])


def main():
    own, libraries = read_includes()
    arrows = arrows_of(own)
    faults = [*order_faults(arrows), *cycle_faults(arrows), *inside_faults(own), *library_faults(libraries),
              *nvcc_faults(own, libraries)]
    if not faults and sys.argv[1:] == ["--write"]:
        PICTURE.write_text(picture(arrows))
    elif not faults and (not PICTURE.exists() or PICTURE.read_text() != picture(arrows)):
        faults.append("docs/pictures/include-graph.svg is stale: run tests/lint/include_graph.py --write and commit it")
    print("\n".join(faults) or f"includes: {len(own)} of our own, all in order")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
