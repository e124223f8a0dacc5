#!/usr/bin/env python3
"""Parquet to JSON Lines, as `path` of a [data.NAME] takes them: parquet_to_jsonl.py IN.parquet [...] > OUT.jsonl

Needs pyarrow (pip install pyarrow). Columns keep their names; a row becomes a line."""
import json
import sys

import pyarrow.parquet

if len(sys.argv) < 2:
    sys.exit(__doc__)
for path in sys.argv[1:]:
    for batch in pyarrow.parquet.ParquetFile(path).iter_batches(batch_size=1024):
        for row in batch.to_pylist():
            print(json.dumps(row, ensure_ascii=False, default=str))
