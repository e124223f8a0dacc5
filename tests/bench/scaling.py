#!/usr/bin/env python3
"""A model of update time and of the price of failures for 8 to 1,024 GPUs: effective training time and the best
checkpoint interval. Prints the tables of docs/scaling.md, or writes them there; needs Python's own library, and
matplotlib for the plots only.

    scaling.py [--write] [--plots docs/pictures] [--set NAME=VALUE ...]

What was measured of Troupe comes from the tables of docs/ (measured.py); what is published and what is assumed stands
below, each with its source. `--set` replaces a part, for example by what was measured at a site.
"""
import argparse
import dataclasses
import math
import random

import measured

GPUS = [8, 16, 32, 64, 128, 256, 512, 1024]
GPUS_OF_A_NODE = 8
ARENA = 4  # bytes of a number: Troupe's weights, gradients and moments are float32


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A published job of four models: seconds per PPO iteration of 1,024 rollouts by GPUs, and its sizes."""
    name: str
    source: str
    iteration_s: dict
    policy: float  # parameters; the reference has as many
    critic: float  # ... the reward model as many
    policy_segments: int  # layers, embedding and head; a checkpoint is cut within each
    critic_segments: int
    arrays_of_a_segment: int

    def checkpoint_bytes(self):
        """Weights and two moments of both, and the policy's average."""
        return ARENA * (4 * self.policy + 3 * self.critic)

    def files_bytes(self):
        """The Hugging Face folders of the four models, as Troupe writes them."""
        return ARENA * 2 * (self.policy + self.critic)

    def parts(self, n):
        """Arrays in all files of a checkpoint: n ranks cut a segment n - 1 times."""
        return (4 * self.policy_segments + 3 * self.critic_segments) * (n + self.arrays_of_a_segment - 1)

    def gpu_bytes(self, n):
        """On a GPU: weights, gradients, moments, average and frozen weights in shards (ZeRO 3), and the policy laid out
        over a node's GPUs for generation."""
        sharded = ARENA * (5 * self.policy + 4 * self.critic + self.policy + self.critic)
        return sharded / n + ARENA * self.policy / GPUS_OF_A_NODE


RECIPES = [
    # Microsoft's blog on DeepSpeed-Chat: an epoch of step 3 takes 9 h and 1.25 h on 8 and 64 A100-80G. 264,292
    # rollouts.
    Recipe("OPT-13B, OPT-350M", "DeepSpeed-Chat", {8: 9 * 3600 * 1024 / 264292, 64: 1.25 * 3600 * 1024 / 264292},
           policy=13e9, critic=0.35e9, policy_segments=42, critic_segments=26, arrays_of_a_segment=16),
    # NVIDIA NeMo-Aligner's documentation of RLHF: policy's and critic's nodes together.
    Recipe("Llama-3-70B, two", "NeMo-Aligner", {96: 366.7, 192: 190.4, 384: 108.0, 768: 56.9},
           policy=70e9, critic=70e9, policy_segments=82, critic_segments=82, arrays_of_a_segment=9),
]

# Published. Interruptions per GPU and hour.
FAILURE_RATES = {
    # Kokolis et al. 2024 (arXiv:2410.21680): mean time to failure of 7.9 h for jobs of 1,024 GPUs.
    "research cluster": 1 / (7.9 * 1024),
    # Llama team 2024 (arXiv:2407.21783): 419 unexpected interruptions in 54 days on 16,384 GPUs.
    "Llama 3": 419 / (54 * 24 * 16384),
}

ASSUMED = {
    "write_bytes_per_s": 20e9,  # the file system, for the whole job
    "read_bytes_per_s": 40e9,  # the file system, for the whole job
    "relaunch_per_doubling_s": 1.0,  # more for every doubling of the ranks beyond 8
    "start_s": 10.0,  # device contexts and communicators on GPUs
    # 1: every rank reads all of the models' files, as in ZeRO stages 0 to 2; 0: its own rows, stage 3
    "loads_whole": 0,
    "gpu_bytes": 80e9,
    "gpu_share": 0.8,  # of it for what Recipe.gpu_bytes counts; activations and the cache have the rest
}

# What is compared with: a job that is checkpointed synchronously and restarted by a script or a person. Published:
# 148.8 s of training lost per synchronous checkpoint of a 7B model (PyTorch and IBM on asynchronous distributed
# checkpoints); 15 to 30 minutes from a failure to work again (AWS on HyperPod).
CUSTOMARY = {"stall_s": 148.8, "recovery_s": 22.5 * 60, "write_s": 0.0, "interval_s": 3600.0}

FAILURES_DRAWN = 1000  # about so many of them make a simulated share: what is lost is then known within some 3 %

DEFAULT_EVERY = measured.number(measured.row_of("job-file.md", key="`checkpoint-every`")["default"])


def costs_of_now():
    return {**measured.all_parts(), **ASSUMED}


def fit_iteration(points):
    """T(n) = work / n + fixed, least squares of the relative error. Returns (work in GPU seconds, fixed in s)."""
    a11 = a12 = a22 = b1 = b2 = 0.0
    for n, seconds in points.items():
        x, y = 1 / n / seconds, 1 / seconds  # both columns over the value: the target is 1
        a11 += x * x
        a12 += x * y
        a22 += y * y
        b1 += x
        b2 += y
    det = a11 * a22 - a12 * a12
    return (b1 * a22 - b2 * a12) / det, (a11 * b2 - a12 * b1) / det


def iteration_s(n, fit):
    return fit[0] / n + fit[1]


def fits(recipe, n, costs):
    return recipe.gpu_bytes(n) <= costs["gpu_share"] * costs["gpu_bytes"]


def recipe_for(n, costs):
    """The largest that n GPUs hold. Errors  LookupError: none."""
    held = [recipe for recipe in RECIPES if fits(recipe, n, costs)]
    if not held:
        raise LookupError(f"{n} GPUs of {costs['gpu_bytes'] / 1e9:.0f} GB hold none of the recipes")
    return max(held, key=lambda recipe: recipe.policy)


def stall_s(recipe, n, costs):
    """Training stands still for the copy in memory only."""
    return recipe.checkpoint_bytes() / n / costs["rank_copy_bytes_per_s"]


def commit_s(recipe, n, costs):
    """One rank opens all files and writes checkpoint.h5 and the manifest."""
    return recipe.parts(n) * costs["commit_part_s"]


def write_s(recipe, n, costs):
    """Until a checkpoint whose copy is taken is durable; training goes on meanwhile."""
    written = recipe.checkpoint_bytes() / min(n * costs["rank_write_bytes_per_s"], costs["write_bytes_per_s"])
    return written + commit_s(recipe, n, costs)


def verify_s(recipe, n, costs):
    """All ranks check digests, each its share of the files."""
    return recipe.checkpoint_bytes() / min(n * costs["rank_verify_bytes_per_s"], costs["read_bytes_per_s"])


def load_s(recipe, n, costs):
    """The ranks of a node read a file once."""
    bytes_of_a_rank = recipe.files_bytes() * (1 if costs["loads_whole"] else 1 / n)
    read_in_all = max(recipe.files_bytes(), bytes_of_a_rank * n / GPUS_OF_A_NODE)
    return max(bytes_of_a_rank / costs["rank_load_bytes_per_s"], read_in_all / costs["read_bytes_per_s"])


def read_s(recipe, n, costs):
    """All read their shards."""
    return recipe.checkpoint_bytes() / min(n * costs["rank_read_bytes_per_s"], costs["read_bytes_per_s"])


def launch_s(n, costs):
    return costs["relaunch_s"] + costs["relaunch_per_doubling_s"] * math.log2(n / 8) + costs["start_s"]


def recovery_s(recipe, n, costs):
    """In the order in which it happens."""
    return (costs["detect_s"] + launch_s(n, costs) + load_s(recipe, n, costs) + verify_s(recipe, n, costs)
            + read_s(recipe, n, costs))


def effective(rate, interval, stall, recovery):
    """Share of time that is work kept, exactly, for failures of a Poisson process of `rate` per second that may also
    strike in recovery, and checkpoints durable at once: interval / E, E = exp(rate recovery) (exp(rate (interval +
    stall)) - 1) / rate (Daly 2006, A higher order estimate of the optimum checkpoint interval)."""
    return interval * rate / (math.exp(rate * recovery) * math.expm1(rate * (interval + stall)))


def effective_written_later(rate, interval, stall, recovery, write):
    """First order in `write`: a failure within it loses the interval before as well."""
    return effective(rate, interval, stall, recovery + write)


def young(rate, stall):
    return math.sqrt(2 * stall / rate)


def daly(rate, stall):
    ratio = stall * rate / 2
    return math.sqrt(2 * stall / rate) * (1 + math.sqrt(ratio) / 3 + ratio / 9) - stall if ratio < 1 else 1 / rate


def fewest_updates(iteration, write):
    """A checkpoint may only be begun when the last one is written."""
    return max(1, math.ceil(write / iteration))


def best_updates(rate, iteration, stall, recovery, write):
    """Iterations between checkpoints that waste least."""
    fewest = fewest_updates(iteration, write)
    candidates = range(fewest, fewest + 2 + math.ceil(4 * young(rate, stall) / iteration))
    return max(candidates, key=lambda k: effective_written_later(rate, k * iteration, stall, recovery, write))


def simulate(rate, interval, stall, recovery, write, intervals, seed=1):
    """The same by drawing failures: share of time that is work kept, over so many intervals."""
    draw = random.Random(seed)
    time, done, durable, next_failure = 0.0, 0, 0, draw.expovariate(rate)
    while done < intervals:
        segment = max(interval + stall, write)
        if time + segment <= next_failure:
            time += segment
            durable, done = done, done + 1  # the copy before this one has been written meanwhile
            continue
        if next_failure - time >= write:
            durable = done
        done = durable
        time = next_failure + recovery
        next_failure += draw.expovariate(rate)
        while next_failure < time:  # struck again while recovering: from the beginning
            time = next_failure + recovery
            next_failure += draw.expovariate(rate)
    return intervals * interval / time


def row(rates, n, costs):
    """What the model says of one size and failure rate."""
    rate, recipe = FAILURE_RATES[rates] * n / 3600, recipe_for(n, costs)
    iteration = iteration_s(n, fit_iteration(recipe.iteration_s))
    stall, recovery, write = stall_s(recipe, n, costs), recovery_s(recipe, n, costs), write_s(recipe, n, costs)
    k = best_updates(rate, iteration, stall, recovery, write)
    by_default = max(DEFAULT_EVERY, fewest_updates(iteration, write))
    work = max(2000, math.ceil(FAILURES_DRAWN / (rate * k * iteration)))
    return {
        "rates": rates, "gpus": n, "recipe": recipe, "iteration_s": iteration,
        "hours_between_failures": 1 / rate / 3600,
        "stall_s": stall, "recovery_s": recovery, "write_s": write, "young_s": young(rate, stall),
        "daly_s": daly(rate, stall), "updates": k, "interval_s": k * iteration,
        "effective": effective_written_later(rate, k * iteration, stall, recovery, write),
        "simulated": simulate(rate, k * iteration, stall, recovery, write, work),
        "by_default": effective_written_later(rate, by_default * iteration, stall, recovery, write),
        "customary": effective(rate, CUSTOMARY["interval_s"], CUSTOMARY["stall_s"], CUSTOMARY["recovery_s"]),
    }


def rows(costs):
    """One row of numbers for each size and failure rate."""
    for rates in FAILURE_RATES:
        for n in GPUS:
            yield row(rates, n, costs)


MOST = GPUS[-1]

# What a site, or another design, would change, at the most GPUs and the higher failure rate. A number that is computed
# from another stands as a function of all.
CHANGES = [
    ("as above", {}),
    ("every rank reads the models' files whole", {"loads_whole": 1}),
    ("committing takes no time", {"commit_part_s": 0}),
    ("digests checked by one rank alone",
     {"rank_verify_bytes_per_s": lambda costs: costs["rank_verify_bytes_per_s"] / MOST}),
    ("file system writes 5 GB/s", {"write_bytes_per_s": 5e9}),
    ("file system writes 100 GB/s", {"write_bytes_per_s": 100e9}),
    ("file system reads 10 GB/s", {"read_bytes_per_s": 10e9}),
    ("file system reads 200 GB/s", {"read_bytes_per_s": 200e9}),
    ("contexts and communicators take 60 s", {"start_s": 60}),
    ("copy in memory at 1 GB/s a rank", {"rank_copy_bytes_per_s": 1e9}),
]


def changed(costs, change):
    return {**costs, **{name: value(costs) if callable(value) else value for name, value in change.items()}}


def markdown(columns, lines):
    return ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns),
            *("| " + " | ".join(cells) + " |" for cells in lines)]


def parts_table(costs):
    """Seconds of a recovery, in their order, and those until a checkpoint is durable."""
    lines = []
    for n in GPUS:
        recipe = recipe_for(n, costs)
        seconds = [costs["detect_s"], launch_s(n, costs), load_s(recipe, n, costs), verify_s(recipe, n, costs),
                   read_s(recipe, n, costs), recovery_s(recipe, n, costs), stall_s(recipe, n, costs),
                   write_s(recipe, n, costs) - commit_s(recipe, n, costs), commit_s(recipe, n, costs)]
        lines.append([recipe.name, str(n), f"{recipe.gpu_bytes(n) / 1e9:.0f}"]
                     + [f"{s:.2f}" if s < 1 else f"{s:.1f}" if s < 100 else f"{s:.0f}" for s in seconds])
    return markdown(["policy, critic", "GPUs", "GB of a GPU", "noticed, s", "launched", "models loaded", "verified",
                     "shards read",
                     "recovery, s", "stall, s", "written, s", "committed, s"], lines)


def outcome_table(costs):
    lines = [[r["rates"], str(r["gpus"]), f"{r['iteration_s']:.1f}", f"{r['hours_between_failures']:.1f}",
              f"{r['young_s'] / 60:.1f}", f"{r['daly_s'] / 60:.1f}", str(r["updates"]), f"{r['interval_s'] / 60:.1f}",
              f"{100 * r['effective']:.2f}", f"{100 * r['simulated']:.2f}", f"{100 * r['by_default']:.2f}",
              f"{100 * r['customary']:.1f}"] for r in rows(costs)]
    return markdown(["failure rates", "GPUs", "iteration, s", "hours between failures", "Young, min", "Daly, min",
                     "best: iterations", "minutes", "effective, %", "simulated, %", "by the default, %",
                     "customary, %"], lines)


def changes_table(costs):
    lines = []
    for name, change in CHANGES:
        r = row("research cluster", MOST, changed(costs, change))
        lines.append([name, f"{r['recovery_s']:.0f}", str(r["updates"]), f"{100 * r['effective']:.2f}",
                      f"{100 * r['simulated']:.2f}"])
    return markdown(["change", "recovery, s", "iterations", "effective, %", "simulated, %"], lines)


def measured_table(costs):
    """The parts that come from our own tables."""
    return markdown(["measured part", "value"], [[f"`{name}`", f"{costs[name]:.4g}"] for name in measured.all_parts()])


def tables(costs):
    return [measured_table(costs), parts_table(costs), outcome_table(costs), changes_table(costs)]


def with_tables(text, made):
    """The document with each table replaced by the one of the same header. Errors  LookupError: it has none."""
    lines = text.split("\n")
    for table in made:
        if table[0] not in lines:
            raise LookupError(f"docs/scaling.md has no table with the header {table[0]}")
        begin = end = lines.index(table[0])
        while lines[end].startswith("|"):
            end += 1
        lines[begin:end] = table
    return "\n".join(lines)


def plot_iterations(axis, costs):
    for recipe in RECIPES:
        fit, mine = fit_iteration(recipe.iteration_s), [n for n in GPUS if recipe_for(n, costs) is recipe]
        line = axis.plot(mine, [iteration_s(n, fit) for n in mine], label=f"{recipe.name}: fitted")[0]
        axis.plot(recipe.iteration_s.keys(), recipe.iteration_s.values(), "o", color=line.get_color(),
                  label=f"published ({recipe.source})")
    axis.set(xscale="log", yscale="log", xlabel="GPUs", xticks=GPUS, ylabel="seconds per iteration of 1,024 rollouts",
             title="A model, not a measurement", yticks=[20, 50, 100, 200, 400])


def plot_overheads(axis, costs):
    lost = lambda share: 100 * (1 - share)
    table = list(rows(costs))
    for name in FAILURE_RATES:
        mine = [r for r in table if r["rates"] == name]
        gpus = [r["gpus"] for r in mine]
        line = axis.plot(gpus, [lost(r["effective"]) for r in mine], label=f"Troupe, {name}")[0]
        axis.plot(gpus, [lost(r["simulated"]) for r in mine], "o", color=line.get_color(), label="simulated")
        axis.plot(gpus, [lost(r["customary"]) for r in mine], "--", color=line.get_color(), label=f"customary, {name}")
    axis.set(xscale="log", yscale="log", xlabel="GPUs", xticks=GPUS, ylabel="lost to failures and checkpoints, %",
             title="At the best interval", yticks=[0.1, 0.2, 0.5, 1, 2, 5, 10])


def plot_intervals(axis, costs):
    """Only intervals within which a checkpoint gets written."""
    n = MOST
    recipe = recipe_for(n, costs)
    stall, recovery, write = stall_s(recipe, n, costs), recovery_s(recipe, n, costs), write_s(recipe, n, costs)
    for name, per_hour in FAILURE_RATES.items():
        rate = per_hour * n / 3600
        intervals = [write * 1.05**i for i in range(90)]
        axis.plot([x / 60 for x in intervals],
                  [100 * (1 - effective_written_later(rate, x, stall, recovery, write)) for x in intervals], label=name)
    axis.set(xscale="log", yscale="log", xlabel="minutes between checkpoints", title="1,024 GPUs",
             ylabel="lost to failures and checkpoints, %", yticks=[2, 5, 10, 20], xticks=[5, 10, 30, 100])


def plot(costs, folder):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import FormatStrFormatter, NullLocator

    figure, axes = plt.subplots(1, 3, figsize=(13, 4))
    for axis, draw in zip(axes, (plot_iterations, plot_overheads, plot_intervals)):
        draw(axis, costs)
        axis.legend(fontsize=7)
        axis.grid(alpha=0.3)
        for scale in (axis.xaxis, axis.yaxis):
            scale.set_major_formatter(FormatStrFormatter("%g"))
            scale.set_minor_locator(NullLocator())
    figure.tight_layout()
    figure.savefig(f"{folder}/scaling.png", dpi=90)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="the tables into docs/scaling.md")
    parser.add_argument("--plots", metavar="FOLDER")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    options = parser.parse_args()
    costs = costs_of_now()
    for setting in options.set:
        name, _, value = setting.partition("=")
        if name not in costs:
            parser.error(f"--set {name}: one of {', '.join(costs)}")
        costs[name] = float(value)
    made = tables(costs)
    if options.write:
        document = measured.DOCS / "scaling.md"
        document.write_text(with_tables(document.read_text(), made))
    else:
        print("\n\n".join("\n".join(table) for table in made))
    if options.plots:
        plot(costs, options.plots)


if __name__ == "__main__":
    main()
