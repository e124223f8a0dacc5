"""A reward for `kind = command`: answers that end, and are near twenty words long, are good."""
import json
import sys


def reward(prompt, answer, label, finish):
    if finish == "length":
        return 0.0  # it was cut: None would say that no reward can be given
    return max(0.0, 1.0 - abs(len(answer.split()) - 20) / 20)


for line in sys.stdin:
    request = json.loads(line)
    items = [{"reward": reward(i["prompt"], i["answer"], i["label"], i["finish"])} for i in request["items"]]
    print(json.dumps({"id": request["id"], "items": items}))
