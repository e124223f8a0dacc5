#!/usr/bin/env python3
"""What the kernels of the CUDA module take of a multiprocessor, from what ptxas said of each (keep_ptxas.py).

    kernel_resources.py BUILD                 prints the table
    kernel_resources.py BUILD --write FILE    puts it into FILE, between the lines that mark its place

Registers and shared memory are of a thread and of a block; shared memory that is asked for at the start is not in it.
Occupancy is the share of a multiprocessor's warps that can be there at once, as far as registers and that shared memory
limit them, with blocks as large as the kernel's __launch_bounds__ (else of 256 threads).
"""

import argparse
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
BEGIN = "<!-- Written by `make cuda-table`: what follows, up to the end of the table. -->"
END = "<!-- End of the table. -->"

REGISTERS, WARPS, BLOCKS = 65536, 64, 32  # of a multiprocessor, 8.0 and 9.0 alike
SHARED = {80: 164, 90: 228}  # KiB
RESERVED = 1024  # bytes of shared memory that a block takes besides
REGISTER_UNIT = 256  # a warp's registers are given in units of so many
USUAL_BLOCK = 256

ENTRY = re.compile(r"Compiling entry function '(\w+)' for 'sm_(\d+)'")
SPILL = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
USED = re.compile(r"Used (\d+) registers")
SMEM = re.compile(r"(\d+) bytes smem")
BOUNDS = re.compile(r"__launch_bounds__\((\w+)[^)]*\)\s*(?:\w+\s+)*?(\w+)\s*\(")
CONSTANTS = re.compile(r"constexpr (?:int|unsigned|int64_t) ([^;]*);")
CONSTANT = re.compile(r"(\w+) = (\d+)\b")


def parse(text):
    """Of one object file: (mangled name, architecture) -> registers, shared, stack, spilled."""
    found, current = {}, None
    for line in text.splitlines():
        if entry := ENTRY.search(line):
            current = found.setdefault((entry[1], int(entry[2])), {"shared": 0, "stack": 0, "spilled": 0})
        elif current is None:
            continue
        elif spill := SPILL.search(line):
            current["stack"], current["spilled"] = int(spill[1]), int(spill[2]) + int(spill[3])
        elif used := USED.search(line):
            current["registers"] = int(used[1])
            current["shared"] = int(smem[1]) if (smem := SMEM.search(line)) else 0
            current = None
    return found


def bounds_in(source):
    """Of a source: kernel -> threads of a block by its __launch_bounds__, where that is a number or a constant here."""
    constants = {name: int(value) for line in CONSTANTS.findall(source) for name, value in CONSTANT.findall(line)}
    return {kernel: int(value) if value.isdigit() else constants[value] for value, kernel in BOUNDS.findall(source)
            if value.isdigit() or value in constants}


def occupancy(registers, shared, architecture, threads):
    """In percent of the warps."""
    warps = -(-threads // 32)
    of_warp = -(-registers * 32 // REGISTER_UNIT) * REGISTER_UNIT
    by_registers = REGISTERS // of_warp // warps if registers else BLOCKS
    by_shared = SHARED[architecture] * 1024 // (shared + RESERVED)
    return 100 * min(BLOCKS, WARPS // warps, by_registers, by_shared) * warps // WARPS


def demangled(names):
    result = subprocess.run(["c++filt"], input="\n".join(names), stdout=subprocess.PIPE, text=True, check=True)
    return dict(zip(names, result.stdout.splitlines()))


def short(name):
    """Without namespaces and parameters."""
    name = re.sub(r"\(anonymous namespace\)", "", re.sub(r"^void ", "", name))
    depth = 0
    for at, letter in enumerate(name):
        depth += {"<": 1, ">": -1}.get(letter, 0)
        if letter == "(" and depth == 0:
            name = name[:at]
            break
    return re.sub(r"\((?:int|bool|unsigned int|long)\)|(?:\w*::)+", "", name)


def rows(build):
    for path in sorted(pathlib.Path(build).rglob("troupe_cuda.dir/*.ptxas.txt")):
        file = path.name.removesuffix(".o.ptxas.txt")
        source = ROOT / "src/kernels/cuda" / file
        if not source.exists():  # an object of an older build
            continue
        kernels = parse(path.read_text())
        names = demangled(sorted({name for name, _ in kernels}))
        bounds = bounds_in(source.read_text())
        for mangled, name in sorted(names.items(), key=lambda item: short(item[1])):
            of = {architecture: kernels[mangled, architecture] for name, architecture in kernels if name == mangled}
            yield file, short(name), bounds.get(short(name).split("<")[0]), of


def table(build):
    lines = ["| source | kernel | threads | registers, 8.0 / 9.0 | shared bytes | spilled bytes "
             "| occupancy at most %, 8.0 / 9.0 |",
             "|---|---|---|---|---|---|---|"]
    for file, name, threads, of in rows(build):
        both = [of[architecture] for architecture in sorted(of)]
        share = [occupancy(one["registers"], one["shared"], architecture, threads or USUAL_BLOCK)
                 for architecture, one in sorted(of.items())]
        lines.append(f"| {file} | `{name}` | {threads or '-'} | {' / '.join(str(one['registers']) for one in both)} "
                     f"| {max(one['shared'] for one in both)} | {sum(one['spilled'] + one['stack'] for one in both)} "
                     f"| {' / '.join(map(str, share))} |")
    return lines


def toolkit(build):
    return (pathlib.Path(build) / "nvcc_version.txt").read_text().strip()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--write", type=pathlib.Path)
    given = parser.parse_args()
    lines = table(given.build)
    if len(lines) == 2:
        sys.exit(f"{given.build} has no kernels: make cuda")
    text = f"Compiled by nvcc {toolkit(given.build)}.\n\n" + "\n".join(lines) + "\n"
    if given.write is None:
        print(text, end="")
        return
    page = given.write.read_text()
    head, rest = page.split(BEGIN + "\n")
    given.write.write_text(f"{head}{BEGIN}\n{text}{END}\n{rest.split(END)[1].removeprefix(chr(10))}")


if __name__ == "__main__":
    main()
