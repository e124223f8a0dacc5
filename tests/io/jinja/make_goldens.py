"""Renders tests/data/templates/*.jinja for each conversation with Jinja2 and writes goldens.jsonl beside them.

Run it after a template or a conversation was changed; needs python3-jinja2.
"""
import json
import pathlib

import reference

DATE = "2024-11-28"
TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}


def main():
    folder = pathlib.Path(__file__).resolve().parents[2] / "data" / "templates"
    conversations = json.loads((folder / "conversations.json").read_text(encoding="utf-8"))
    with open(folder / "goldens.jsonl", "w", encoding="utf-8") as out:
        for path in sorted(folder.glob("*.jinja")):
            for name, conversation in conversations.items():
                for prompt in (False, True):
                    variables = {"tools": None, "documents": None, **conversation}
                    variables.update(TOKENS, add_generation_prompt=prompt)
                    golden = reference.render(path.read_text(encoding="utf-8"), variables, DATE)
                    line = {"template": path.stem, "conversation": name, "add_generation_prompt": prompt, **golden}
                    out.write(json.dumps(line, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
