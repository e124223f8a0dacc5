"""Are two run directories equal in the sense of docs/files.md: model files byte for byte, HDF5 files by data set and
attribute, metrics without what differs between any two runs (times, rates, attempts)?"""
import json
from pathlib import Path

import h5py
import numpy

FOLDERS = ("models", "experience", "evaluations", "pairs", "checkpoints")
ATTEMPTS_OWN = ("manifest.json",)  # names the attempt that wrote it


def files(root):
    found = set()
    for folder in FOLDERS:
        for path in (root / folder).rglob("*"):
            if path.is_file() and path.name not in ATTEMPTS_OWN:
                found.add(str(path.relative_to(root)))
    return found


def same_values(a, b):
    if isinstance(a, numpy.ndarray) and isinstance(b, numpy.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and (
            a.tobytes() == b.tobytes() if a.dtype != object else a.tolist() == b.tolist())
    return type(a) is type(b) and a == b


def hdf5_contents(path):
    """Every attribute and data set of the file by name."""
    contents = {}

    def visit(name, item):
        for key in item.attrs:
            contents[f"{name}@{key}"] = numpy.asarray(item.attrs[key])
        if isinstance(item, h5py.Dataset):
            contents[name] = item[()]

    with h5py.File(path, "r") as file:
        visit("", file)
        file.visititems(visit)
    return contents


def hdf5_differences(a, b):
    first, second = hdf5_contents(a), hdf5_contents(b)
    differing = [name for name in sorted(first.keys() | second.keys())
                 if name not in first or name not in second or not same_values(first[name], second[name])]
    return ", ".join(differing[:5])


def comparable_metrics(root):
    lines = []
    for line in (root / "metrics.jsonl").read_text().splitlines():
        values = json.loads(line)
        lines.append({key: value for key, value in values.items()
                      if key not in ("time", "attempt") and not key.startswith(("time/", "rate/"))})
    return lines


def metric_differences(a, b):
    first, second = comparable_metrics(a), comparable_metrics(b)
    found = []
    if len(first) != len(second):
        found.append(f"metrics.jsonl: {len(first)} and {len(second)} lines")
    for number, (one, other) in enumerate(zip(first, second), 1):
        keys = [key for key in sorted(one.keys() | other.keys()) if one.get(key) != other.get(key)]
        if keys:
            found.append(f"metrics.jsonl, line {number}: {', '.join(keys[:5])}")
    return found


def prompt_uses(root):
    """How often each prompt was answered in all of the run's experience: prompt id -> times."""
    uses = {}
    for path in sorted((root / "experience").glob("iteration-*.h5")):
        with h5py.File(path, "r") as file:
            for prompt in file["prompt_id"][()]:
                uses[int(prompt)] = uses.get(int(prompt), 0) + 1
    return uses


def differences(a, b):
    """What makes the runs differ, as lines of text; none where they are equal."""
    a, b = Path(a), Path(b)
    first, second = files(a), files(b)
    found = [f"{name}: only in the first" for name in sorted(first - second)]
    found += [f"{name}: only in the second" for name in sorted(second - first)]
    for name in sorted(first & second):
        if name.endswith(".h5"):
            if differing := hdf5_differences(a / name, b / name):
                found.append(f"{name}: {differing}")
        elif (a / name).read_bytes() != (b / name).read_bytes():
            found.append(f"{name}: other bytes")
    return found + metric_differences(a, b)
