"""A program for rewards, good or bad in the way that its first argument names. The reward is the answer's length."""
import json
import os
import subprocess
import sys
import time

MODE = sys.argv[1]


def say(text):
    sys.stdout.write(text)
    sys.stdout.flush()


def has_poison(request):
    return any("poison" in item["answer"] for item in request["items"])


def is_first_life():
    if os.path.exists("lived"):
        return False
    open("lived", "w").close()
    return True


if MODE == "never-reads":
    time.sleep(3600)
if MODE == "ends-at-once":
    sys.exit("I have no model")
if MODE == "speaks-first":
    say("loading\n")
if MODE == "has-a-child":
    child = subprocess.Popen(["sleep", "3600"])
    with open("child", "w") as file:
        file.write(str(child.pid))
first_life = MODE == "dies-once" and is_first_life()

for line in sys.stdin:
    request = json.loads(line)
    if MODE == "dies-of-poison" and has_poison(request):
        raise ValueError("this answer is poison")
    if MODE == "hangs-on-poison" and has_poison(request):
        time.sleep(3600)
    if first_life or MODE == "always-dies":
        os._exit(3)
    if MODE == "floods-stderr":
        sys.stderr.write("a line of complaint\n" * 100000)
    if MODE == "garbage":
        say("the reward is good\n")
        continue
    if MODE == "huge":
        for _ in range(200):
            say("x" * 100000)
        continue
    items = [{"reward": len(item["answer"])} for item in request["items"]]
    if MODE == "null":
        items = [{"reward": None if has_poison({"items": [item]}) else 1.5} for item in request["items"]]
    if MODE == "null-for-thirds":
        items = [{"reward": None if len(item["answer"].encode()) % 3 == 0 else 1.5} for item in request["items"]]
    if MODE == "nan":
        items = [{"reward": float("nan"), "log": {"why": "NaN \" NaN"}} for _ in items]
    if MODE == "infinite":
        items = [{"reward": float("inf")} for _ in items]
    if MODE == "text":
        items = [{"reward": "good"} for _ in items]
    if MODE == "too-few":
        items = items[:-1]
    if MODE == "labels":
        items = [{"reward": float(item["label"]) * (item["finish"] == "stop") * (item["source"] == "sums")
                  * (item["prompt"] == "2+2\n\"é\"")} for item in request["items"]]
    if MODE == "environment":
        items = [{"reward": sum(name.startswith(("OMPI_", "PMIX_", "PMI_")) for name in os.environ)} for _ in items]
    if MODE == "arguments":
        items = [{"reward": len(sys.argv[2])} for _ in items]
    if MODE == "buffered":
        print(json.dumps({"id": request["id"], "items": items}))
        continue
    reply = json.dumps({"id": request["id"] + (MODE == "wrong-id"), "items": items}) + "\n"
    if MODE == "in-pieces":
        for i in range(0, len(reply), 7):
            say(reply[i:i + 7])
            time.sleep(0.01)
        continue
    say(reply * (2 if MODE == "twice" else 1))

if MODE == "notes-its-end":
    open("ended", "w").close()
