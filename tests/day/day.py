#!/usr/bin/env python3
"""A day with Troupe in short: own data, own job, a plan, a run phase by phase that is interrupted and goes on, what it
learned, a chat, an own reward, a longer run and another from one of its checkpoints.

    day.py TROUPE                  lives it, and holds its commands against those that docs/a-day.md shows
    day.py TROUPE --write          writes docs/a-day.md: what was typed and what came
"""
import argparse
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs/a-day.md"
PATIENCE_S = 900
SHOWN_LINES = 30  # of an output; the middle of a longer one is left out

HEAD = """# A day with Troupe

What a first day looks like: every line after `$` was typed, and what stands below it came. `tests/day/day.py` lives
this day in continuous integration and wrote this page (`tests/day/day.py build/release/troupe --write`); the model is
`tests/data/stories260k`, small enough for seconds, so what it says is not worth much.
"""

JOB = """; A small model learns to end stories well.
[run]
phases = sft reward ppo
checkpoint-every = 5
log-every = 5

[model]
policy = model

[data.stories]
path = stories.jsonl
phases = sft ppo

[data.endings]
path = endings.jsonl
phases = reward

[split]
phases = sft reward ppo

[length]
max-prompt-tokens = 48
max-tokens = 96

[generation]
max-new-tokens = 24

[sft]
updates = 20
batch = 16
learning-rate = 1e-3
evaluate-every = 10

[reward]
updates = 20
batch = 16
learning-rate = 1e-3
evaluate-every = 10

[ppo]
iterations = 6
prompts = 16
samples-per-prompt = 2
minibatches = 2
policy-learning-rate = 2e-4
critic-learning-rate = 5e-4
policy-schedule = constant
critic-schedule = constant
kl-coef = 0.05
reward-scaling = running
log-rollouts-every = 5

[evaluation]
prompts = 32
records = 64
"""

WHO = ["Tom", "Lily", "Ben", "Anna", "Max", "Sue", "Tim", "Mia", "Sam", "Zoe"]
WHAT = ["a red ball", "an old hat", "a small cat", "a big dog", "a toy car", "a blue bird", "a lost key", "a ripe pear"]
WHERE = ["in the park", "by the lake", "at home", "under a tree", "in the town", "on the hill"]
GLAD = [" The end was good and all were glad.", " They smiled and were happy.", " It was the best day."]
SAD = [" It broke, and all were sad.", " They cried the whole night.", " It was the worst day."]


def make_data(folder):
    """Prompts with good ends, and good and bad ends of the same beginnings."""
    chance = random.Random(1)
    beginnings = [f"One day, {who} found {what} {where}." for who in WHO for what in WHAT for where in WHERE]
    chance.shuffle(beginnings)
    with open(folder / "stories.jsonl", "w") as stories, open(folder / "endings.jsonl", "w") as endings:
        for prompt in beginnings[::2]:
            stories.write(json.dumps({"prompt": prompt, "answer": chance.choice(GLAD)}) + "\n")
        for prompt in beginnings[1::2]:
            endings.write(json.dumps({"prompt": prompt, "chosen": chance.choice(GLAD),
                                      "rejected": chance.choice(SAD)}) + "\n")


class Day:
    """A folder to live in, and the page that comes of it."""

    def __init__(self, troupe, folder):
        self.folder = folder
        self.page = HEAD
        self.open = False  # a block of the terminal
        (folder / "bin").mkdir()
        (folder / "bin/troupe").symlink_to(troupe)
        (folder / "model").symlink_to(ROOT / "tests/data/stories260k")
        (folder / "jobs").symlink_to(ROOT / "jobs")
        self.environment = {**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "NO_COLOR": "1"}

    def tell(self, text):
        if self.open:
            self.page += "```\n"
        self.open = False
        self.page += f"\n{text}\n"

    def show(self, command, output):
        if not self.open:
            self.page += "\n```\n"
        self.open = True
        lines = output.replace(str(self.folder) + "/", "").replace(socket.gethostname(), "node").splitlines()
        if len(lines) > SHOWN_LINES:
            lines[SHOWN_LINES // 2:-SHOWN_LINES // 2] = ["..."]
        self.page += "\n".join([f"$ {command}", *(line.rstrip() for line in lines)]) + "\n"

    def do(self, command, status=0):
        """Types a command; returns what came."""
        done = subprocess.run(["bash", "-c", command], cwd=self.folder, env=self.environment, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=PATIENCE_S)
        self.show(command, done.stdout)
        assert done.returncode == status, f"$ {command}\n{done.stdout}\nstatus {done.returncode}, not {status}"
        return done.stdout

    def file(self, name, text):
        (self.folder / name).write_text(text)
        self.show(f"cat {name}", text)

    def interrupt(self, command, run, records):
        """Types a command, and Ctrl-C once the run has so many more records."""
        before = self.records(run)
        with open(self.folder / "output", "w+") as output:
            going = subprocess.Popen(["bash", "-c", f"exec {command}"], cwd=self.folder, env=self.environment,
                                     stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
            deadline = time.monotonic() + PATIENCE_S
            while self.records(run) < before + records and going.poll() is None:
                assert time.monotonic() < deadline, f"{command}: no {records} records"
                time.sleep(0.01)
            going.send_signal(signal.SIGINT)
            status = going.wait(PATIENCE_S)
            output.seek(0)
            said = output.read()
        self.show(f"{command}     # and Ctrl-C after a while", said)
        assert status == 75, f"$ {command}\n{said}\nstatus {status}, not 75: it was not interrupted"
        return said

    def records(self, run):
        file = self.folder / run / "metrics.jsonl"
        return file.read_text().count("\n") if file.exists() else 0

    def has(self, *paths):
        for path in paths:
            assert (self.folder / path).exists(), f"{path} is not there"


def number_in(pattern, text):
    found = re.search(pattern, text)
    assert found, f"{pattern} is not in\n{text}"
    return float(found[1])


def morning(day):
    day.tell("## Own data, own job")
    make_data(day.folder)
    day.do("head -n 2 stories.jsonl endings.jsonl")
    day.file("job.ini", JOB)
    day.do("troupe run job.ini --ppo.policy-lr 1e-4", status=2)
    day.do("troupe data job.ini")
    plan = day.do("troupe plan job.ini")
    assert "peak" in plan


def noon(day):
    day.tell("## A phase at a time, and interrupted\n\nCtrl-C takes a checkpoint and ends with status 75; the same "
             "command goes on. `split.phases` in\nthe job keeps the prompts of the phases that are to come.")
    day.interrupt("troupe run job.ini --run.phases sft", "runs/job", 4)
    assert "stopped" in day.do("troupe status runs/job")
    said = day.do("troupe run job.ini --run.phases sft")
    before, after = (number_in(pattern, said) for pattern in (r"perplexity.* ([\d.]+) ->", r"perplexity.*-> ([\d.]+)"))
    assert after < before, "fine-tuning has learned nothing"
    day.do('troupe run job.ini --run.phases "sft reward"')
    judged = day.do("troupe eval runs/job/models/reward --data endings.jsonl --limit 50")
    assert json.loads(judged.splitlines()[-1])["accuracy"] > 0.8, judged
    day.interrupt("troupe run job.ini", "runs/job", 2)
    day.do("troupe run job.ini")
    day.has("runs/job/models/policy/model.safetensors", "runs/job/experience/iteration-000006.h5")
    assert "finished" in day.do("troupe status runs/job")


def results(day):
    day.tell("## What came of it")
    day.do("troupe inspect runs/job/experience/iteration-000006.h5")
    day.do("troupe experience runs/job/experience")


def afternoon(day):
    day.tell("## Asking it")
    day.do("""printf '%s\\n' '{"prompt": "One day, Tom found a small cat by the lake."}' |
  troupe generate runs/job/models/policy --max-new-tokens 16 --temperature 0""")
    said = day.do("printf 'Hello\\n/retry\\n/save talk.json\\n/quit\\n' |\n"
                  "  troupe chat runs/job/models/policy --max-new-tokens 12")
    assert "saved to talk.json" in said
    day.do("cat talk.json")


REWARD = """import json, sys

for line in sys.stdin:
    request = json.loads(line)
    rewards = [{"reward": float("happy" in item["answer"])} for item in request["items"]]
    print(json.dumps({"id": request["id"], "items": rewards}))
"""

OWN = """; The fine-tuned model learns to say "happy".
[run]
phases = ppo

[model]
policy = runs/job/models/sft

[data.stories]
path = stories.jsonl

[length]
max-prompt-tokens = 48

[generation]
max-new-tokens = 24

[rewards.happy]
kind = command
command = python3 own_reward.py

[ppo]
iterations = 5
prompts = 16
samples-per-prompt = 4
minibatches = 2
policy-learning-rate = 3e-4
critic-learning-rate = 1e-3
policy-schedule = constant
critic-schedule = constant
kl-coef = 0.01

[evaluation]
prompts = 32
"""


def own_reward(day):
    day.tell("## An own reward")
    day.file("own_reward.py", REWARD)
    day.file("own.ini", OWN)
    said = day.do("troupe run own.ini")
    before, after = (number_in(pattern, said) for pattern in (r"happy.* ([\d.]+) ->", r"happy.*-> ([\d.]+)"))
    assert after > before, "the reward was not learned"


def evening(day):
    day.tell("## Longer, and otherwise\n\nA schedule that is constant can be made longer; a fork goes on from a "
             "checkpoint with other options.")
    day.do("troupe run job.ini --ppo.iterations 8")
    day.has("runs/job/experience/iteration-000008.h5")
    day.do("troupe fork runs/job --at ppo/5 --run.dir runs/firm --ppo.kl-coef 0.5")
    day.do("troupe run runs/firm/job.ini")
    day.do("jobs/recipes/plot.py curves.svg runs/job runs/firm")
    day.has("curves.svg")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("troupe", type=pathlib.Path)
    parser.add_argument("--write", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        day = Day(chosen.troupe.resolve(), pathlib.Path(scratch).resolve())
        for part in (morning, noon, results, afternoon, own_reward, evening):
            part(day)
    page = day.page + "```\n"
    if chosen.write:
        PAGE.write_text(page)
    typed, shown = ([line for line in text.splitlines() if line.startswith("$ ")] for text in (page, PAGE.read_text()))
    if typed != shown:
        print(f"{PAGE} shows other commands than were typed: write it anew with --write")
        return 1
    print(f"a day of {len(typed)} commands")
    return 0


if __name__ == "__main__":
    sys.exit(main())
