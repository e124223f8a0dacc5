"""What was measured of Troupe, read from the tables of its documents, so that a model of it cannot disagree with
them."""
import pathlib
import re

DOCS = pathlib.Path(__file__).resolve().parent.parent.parent / "docs"


def cells_of(line):
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def tables_of(document):
    """Every Markdown table of a document, as a list of rows {column: text}."""
    tables, lines = [], (DOCS / document).read_text().splitlines()
    for i in range(1, len(lines)):
        if re.fullmatch(r"\|(-+\|)+", lines[i].strip()):
            columns, rows = cells_of(lines[i - 1]), []
            for line in lines[i + 1:]:
                if not line.startswith("|"):
                    break
                rows.append(dict(zip(columns, cells_of(line))))
            tables.append(rows)
    return tables


def row_of(document, **cells):
    """The one row that has these cells; `_` in a name stands for a space. Errors  LookupError: none, or several."""
    wanted = {name.replace("_", " "): text for name, text in cells.items()}
    found = [row for table in tables_of(document) for row in table
             if all(row.get(name) == text for name, text in wanted.items())]
    if len(found) != 1:
        raise LookupError(f"docs/{document}: {len(found)} rows with {wanted}, one was expected")
    return found[0]


def number(text):
    """The first number of a cell: of "3.1, 3.4", median and largest, the median."""
    return float(re.match(r"[\d.]+", text.strip("` ")).group())


def fault_times():
    """Seconds, from docs/cluster.md: a node that lost its power, noticed, and then ranks at work again; by the deadline
    that a job has when it says nothing, since the faults were injected with a shorter one."""
    fault = row_of("cluster.md", fault="node without power")
    detected, working = number(fault["detected, s"]), number(fault["ranks work again, s"])
    injected_with = float(re.search(r"`recovery\.silence-deadline-s = ([\d.]+)`",
                                    (DOCS / "cluster.md").read_text()).group(1))
    default = number(row_of("job-file.md", key="`silence-deadline-s`")["default"])
    return {"detect_s": detected - injected_with + default, "relaunch_s": working - detected}


def checkpoint_rates():
    """Bytes per second of a rank, from the table of checkpoint_stall.py in docs/performance.md: the larger model on two
    ranks, each of which has half of what the job does."""
    table = row_of("performance.md", model="4 layers, 512 wide", ranks="2")
    return {f"rank_{name}_bytes_per_s": number(table[column]) * 1e9 / 2
            for name, column in (("copy", "copied, GB/s"), ("write", "written, GB/s"), ("verify", "verified, GB/s"),
                                 ("read", "read, GB/s"))}


def loading_rate():
    """Bytes of an arena per second, of a rank that loads a model: docs/performance.md, by recovery_parts.cpp."""
    return {"rank_load_bytes_per_s": number(row_of("performance.md", what="a rank loads a model")["rate"]) * 1e9}


def committing_time():
    """Seconds for each part of an array in a rank's file, of the rank that commits: docs/performance.md, most ranks."""
    rows = [row for table in tables_of("performance.md") for row in table if "us for each part" in row]
    most = max(rows, key=lambda row: number(row["ranks that wrote"]))
    return {"commit_part_s": number(most["us for each part"]) / 1e6}


def all_parts():
    return {**fault_times(), **checkpoint_rates(), **loading_rate(), **committing_time()}
