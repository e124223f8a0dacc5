#!/usr/bin/env python3
"""jobs/recipes/parquet_to_jsonl.py: its values without pyarrow; whole files where pyarrow is installed."""
import decimal
import importlib.util
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest
import uuid

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "jobs/recipes/parquet_to_jsonl.py"


def script():
    spec = importlib.util.spec_from_file_location("parquet_to_jsonl", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class values(unittest.TestCase):
    def test_what_json_has_stays(self):
        row = {"messages": [{"role": "user", "content": "Größe \u2028 \"x\"\n"}], "n": 2**63 - 1, "u": 2**64 - 1,
               "b": True, "none": None, "f": 0.1}
        self.assertEqual(json.loads(script().plain_values().line(row)), row)

    def test_what_json_has_not_becomes_text(self):
        key = uuid.uuid4()
        row = {"d": decimal.Decimal("1.50"), "text": "Größe".encode(), "key": key}
        self.assertEqual(json.loads(script().plain_values().line(row)), {"d": "1.50", "text": "Größe", "key": str(key)})

    def test_what_cannot_be_written_is_null_and_counted(self):
        kept = script().plain_values()
        row = {"f": float("nan"), "in": [{"g": float("-inf")}, {"g": 1.0}], "b": b"\xff"}
        self.assertEqual(json.loads(kept.line(row)), {"f": None, "in": [{"g": None}, {"g": 1.0}], "b": None})
        self.assertEqual(kept.lost, {"f: NaN or infinity": 1, "in.g: NaN or infinity": 1,
                                     "b: bytes that are no UTF-8": 1})


class program(unittest.TestCase):
    def run_script(self, *arguments):
        return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True)

    def test_without_a_file_it_explains_itself(self):
        ended = self.run_script()
        self.assertEqual(ended.returncode, 1)
        self.assertIn(b"parquet_to_jsonl.py IN.parquet", ended.stderr)

    def test_what_is_no_parquet_is_named_without_a_stack_trace(self):
        ended = self.run_script("/nowhere.parquet")
        self.assertEqual(ended.returncode, 1)
        self.assertNotIn(b"Traceback", ended.stderr)


try:
    import pyarrow as pa
    import pyarrow.parquet
except ImportError:
    pa = None


@unittest.skipIf(pa is None, "pyarrow is not installed")
class files(unittest.TestCase):
    def rows(self, columns, **options):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "in.parquet"
            pa.parquet.write_table(pa.table(columns), file, **options)
            ended = subprocess.run([sys.executable, SCRIPT, file], capture_output=True, check=True)
            return [json.loads(line) for line in ended.stdout.splitlines()]

    def test_nested_columns_over_several_row_groups(self):
        turn = pa.struct([("role", pa.string()), ("content", pa.string())])
        columns = {
            "prompt": pa.array([[{"role": "user", "content": "2+2?"}], None, []], pa.list_(turn)),
            "reward_model": pa.array([{"ground_truth": "4", "style": "rule"}, {"ground_truth": None, "style": "rule"},
                                      None]),
            "tags": pa.array([["a", "b"], None, ["a"]], pa.list_(pa.dictionary(pa.int32(), pa.string()))),
            "pairs": pa.array([[("k", 1)], None, []], pa.map_(pa.string(), pa.int64())),
        }
        wanted = [
            {"prompt": [{"role": "user", "content": "2+2?"}], "reward_model": {"ground_truth": "4", "style": "rule"},
             "tags": ["a", "b"], "pairs": {"k": 1}},
            {"prompt": None, "reward_model": {"ground_truth": None, "style": "rule"}, "tags": None, "pairs": None},
            {"prompt": [], "reward_model": None, "tags": ["a"], "pairs": {}},
        ]
        for size in (1, 2, 100):
            self.assertEqual(self.rows(columns, row_group_size=size), wanted)

    def test_times_to_the_nanosecond_wherever_they_stand(self):
        nanoseconds = 1714566615123456789
        text = "2024-05-01 12:30:15.123456789"
        kind = pa.timestamp("ns")
        columns = {
            "plain": pa.array([nanoseconds], kind),
            "struct": pa.array([{"at": nanoseconds}], pa.struct([("at", kind)])),
            "list": pa.array([[nanoseconds, None]], pa.list_(kind)),
            "map": pa.array([[("at", nanoseconds)]], pa.map_(pa.string(), kind)),
            "took": pa.array([7], pa.duration("ns")),
        }
        self.assertEqual(self.rows(columns), [{"plain": text, "struct": {"at": text}, "list": [text, None],
                                               "map": {"at": text}, "took": 7}])


if __name__ == "__main__":
    unittest.main()
