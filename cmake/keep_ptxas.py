#!/usr/bin/env python3
"""keep_ptxas.py COMMAND...: runs the CUDA compiler, and writes what ptxas says of its kernels (-Xptxas -v) to
OBJECT.ptxas.txt. What else it says goes on."""

import subprocess
import sys

NOTES = ("ptxas info", "    ")  # of a kernel: a line, and those that belong to it


def main():
    command = sys.argv[1:]
    result = subprocess.run(command, stderr=subprocess.PIPE, text=True)
    lines = result.stderr.splitlines()
    notes = [line for line in lines if line.startswith(NOTES)]
    print("".join(f"{line}\n" for line in lines if result.returncode or line not in notes), end="", file=sys.stderr)
    if notes and result.returncode == 0 and "-o" in command:
        with open(command[command.index("-o") + 1] + ".ptxas.txt", "w") as file:
            file.write("".join(f"{line}\n" for line in notes))
    return result.returncode


if __name__ == "__main__":
    sys.exit(main())
