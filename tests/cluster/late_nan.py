"""A model and data with which one rank alone meets numbers that are not finite: a row of the model's learned positions
holds a NaN, and only one record is long enough to use it."""
import json
import shutil
import struct
from pathlib import Path

from cluster import ROOT

SOURCE = ROOT / "tests/data/tiny/opt"
POSITIONS = "model.decoder.embed_positions.weight"
FIRST_ROW = 2  # that the model uses
NAN_AT = 90    # tokens


def make_model(folder):
    shutil.copytree(SOURCE, folder)
    path = folder / "model.safetensors"
    weights = bytearray(path.read_bytes())
    header_size = struct.unpack_from("<Q", weights)[0]
    positions = json.loads(weights[8:8 + header_size])[POSITIONS]
    row_bytes = 4 * positions["shape"][1]
    at = 8 + header_size + positions["data_offsets"][0] + (FIRST_ROW + NAN_AT) * row_bytes
    struct.pack_into("<f", weights, at, float("nan"))
    path.write_bytes(weights)


def make_data(path):
    with open(path, "w", encoding="utf-8") as file:
        for i in range(12):
            answer = " They liked to play" + (" and to play" * 20 if i == 0 else "") + "."
            file.write(json.dumps({"prompt": f"Once there were {i} dogs.", "answer": answer}) + "\n")


def make(folder):
    """Makes both; returns the options of a run that meets the record in its first update, and not before."""
    folder = Path(folder)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    make_model(folder / "model")
    make_data(folder / "data.jsonl")
    return ["--run.phases", "sft", "--model.policy", str(folder / "model"),
            "--data.openings.path", str(folder / "data.jsonl"), "--data.openings.phases", "sft",
            "--length.max-tokens", "120", "--sft.batch", "12", "--split.held-out", "0",
            "--evaluation.prompts", "0", "--evaluation.records", "0"]
