#!/usr/bin/env python3
"""Parquet to JSON Lines, as `path` of a [data.NAME] takes them: parquet_to_jsonl.py IN.parquet [...] > OUT.jsonl

Needs pyarrow (pip install pyarrow). Columns keep their names, nested ones their shape; a row becomes a line. JSON has
no bytes, times, NaN or infinity: bytes are taken as UTF-8; dates, times, decimals and UUIDs become texts, durations the
whole numbers that they are stored as; maps become objects. What cannot be written (bytes that are no UTF-8, NaN,
infinity) becomes null, and stderr tells of how many there were."""
import json
import math
import os
import sys


class plain_values:
    """Values as JSON has them. Counts those that it has none for."""

    def __init__(self):
        self.lost = {}

    def _null(self, path, why):
        key = f"{path}: {why}"
        self.lost[key] = self.lost.get(key, 0) + 1

    def plain(self, value, path):
        if isinstance(value, dict):
            return {name: self.plain(member, f"{path}.{name}") for name, member in value.items()}
        if isinstance(value, list):
            return [self.plain(one, path) for one in value]
        if isinstance(value, float) and not math.isfinite(value):
            return self._null(path, "NaN or infinity")
        if isinstance(value, bytes):
            try:
                return value.decode()
            except UnicodeDecodeError:
                return self._null(path, "bytes that are no UTF-8")
        return value if value is None or isinstance(value, (str, int, float)) else str(value)

    def line(self, row):
        return json.dumps({name: self.plain(value, name) for name, value in row.items()}, ensure_ascii=False,
                          allow_nan=False)


def written_type(pa, kind):
    """The type in which values of a type are asked for: Python's own dates and times have no nanoseconds."""
    types = pa.types
    if types.is_timestamp(kind) or types.is_date(kind) or types.is_time(kind):
        return pa.string()
    if types.is_duration(kind):
        return pa.int64()
    if types.is_float16(kind):
        return pa.float32()
    if types.is_map(kind):
        return pa.map_(kind.key_type, written_type(pa, kind.item_type))
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        element = kind.value_field
        return pa.list_(element.with_type(written_type(pa, element.type)))
    if types.is_struct(kind):
        return pa.struct([field.with_type(written_type(pa, field.type)) for field in kind])
    return kind


def batches_of(file):
    """One row group after another: pyarrow cannot read nested columns over the border of two."""
    for group in range(file.num_row_groups):
        yield from file.iter_batches(batch_size=1024, row_groups=[group])


def write_file(path, values, out):
    import pyarrow as pa
    import pyarrow.parquet
    for batch in batches_of(pyarrow.parquet.ParquetFile(path)):
        if len(set(batch.schema.names)) < len(batch.schema.names):
            raise ValueError("two columns have the same name")
        wanted = pa.schema([field.with_type(written_type(pa, field.type)) for field in batch.schema])
        for row in pa.Table.from_batches([batch]).cast(wanted).to_pylist(maps_as_pydicts="strict"):
            out.write(values.line(row).encode() + b"\n")


def main(paths):
    if not paths or paths[0] in ("-h", "--help"):
        sys.exit(__doc__)
    values = plain_values()
    for path in paths:
        try:
            write_file(path, values, sys.stdout.buffer)
            sys.stdout.buffer.flush()
        except BrokenPipeError:  # nobody reads any more
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        except ImportError as missing:
            sys.exit(f"{missing}: pip install pyarrow")
        except (OSError, ValueError, KeyError, NotImplementedError) as failure:  # pyarrow's own errors are among these
            sys.exit(f"{path}: {failure}")
    for what, count in sorted(values.lost.items()):
        print(f"{what}: {count} written as null", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
