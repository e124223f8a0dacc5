#!/usr/bin/env python3
"""A model of update time and of the price of failures for 8 to 1,024 GPUs: effective training time and the best
checkpoint interval. Prints the tables of docs/scaling.md; needs Python's own library, and matplotlib for the plots only.

    scaling.py [--plots docs/pictures] [--set NAME=VALUE ...]

`--set` replaces a parameter of COSTS, for example by what was measured at a site. What is a measurement, what is
published and what is an assumption stands beside each.
"""
import argparse
import math
import random

GPUS = [8, 16, 32, 64, 128, 256, 512, 1024]

# Published. Seconds per PPO iteration of 1,024 rollouts, Llama-3-70B policy and reward model, by GPUs (8 a node, policy's
# and critic's nodes together): NVIDIA NeMo-Aligner's documentation of RLHF.
ITERATION_S = {96: 366.7, 192: 190.4, 384: 108.0, 768: 56.9}

# Published. Interruptions per GPU and hour.
FAILURE_RATES = {
    # Kokolis et al. 2024 (arXiv:2410.21680): mean time to failure of 7.9 h for jobs of 1,024 GPUs.
    "research cluster": 1 / (7.9 * 1024),
    # Llama team 2024 (arXiv:2407.21783): 419 unexpected interruptions in 54 days on 16,384 GPUs.
    "Llama 3": 419 / (54 * 24 * 16384),
}

COSTS = {
    # Assumed: policy and critic of 70e9 parameters with float32 master weights and two moments, and the policy's average.
    "checkpoint_bytes": 70e9 * (12 + 12 + 4),
    # Measured by checkpoint_stall.py on two busy cores (Zen 4), per rank: memory to memory, and through HDF5 and digests to a
    # local disk and from the page cache. A GPU's copy to the host's memory has not been measured.
    "copy_bytes_per_s": 6.8e9,
    "rank_write_bytes_per_s": 0.55e9,
    "rank_read_bytes_per_s": 1.0e9,
    "rank_verify_bytes_per_s": 0.92e9,  # of the one file that each rank checks where as many ranks wrote the checkpoint
    "write_bytes_per_s": 20e9,  # assumed: the file system, for the whole job
    "read_bytes_per_s": 40e9,  # assumed: the file system, for the whole job
    "detect_s": 1.0,  # measured on three small nodes: loss of a node told by a 1 s heartbeat after 0.94 to 1.04 s
    "relaunch_s": 0.5,  # measured on three small nodes: from the new step's start to all ranks through MPI's start
    "relaunch_per_doubling_s": 1.0,  # assumed: more for every doubling of the ranks beyond 8
    "start_s": 10.0,  # assumed: device contexts and communicators on GPUs
}

# What is compared with: a job that is checkpointed synchronously and restarted by a script or a person. Published: 148.8 s
# of training lost per synchronous checkpoint of a 7B model (PyTorch and IBM on asynchronous distributed checkpoints); 15 to
# 30 minutes from a failure to work again (AWS on HyperPod).
CUSTOMARY = {"stall_s": 148.8, "recovery_s": 22.5 * 60, "write_s": 0.0, "interval_s": 3600.0}


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


def stall_s(n, costs):
    """Training stands still for the copy in memory only."""
    return costs["checkpoint_bytes"] / n / costs["copy_bytes_per_s"]


def write_s(n, costs):
    """Until a checkpoint whose copy is taken is durable; training goes on meanwhile."""
    return costs["checkpoint_bytes"] / min(n * costs["rank_write_bytes_per_s"], costs["write_bytes_per_s"])


def read_s(n, costs):
    """All ranks check digests, each its share of the files; then all read their shards."""
    verify = min(n * costs["rank_verify_bytes_per_s"], costs["read_bytes_per_s"])
    read = min(n * costs["rank_read_bytes_per_s"], costs["read_bytes_per_s"])
    return costs["checkpoint_bytes"] * (1 / verify + 1 / read)


def recovery_s(n, costs):
    relaunch = costs["relaunch_s"] + costs["relaunch_per_doubling_s"] * math.log2(n / 8) + costs["start_s"]
    return costs["detect_s"] + relaunch + read_s(n, costs)


def effective(rate, interval, stall, recovery):
    """Share of time that is work kept, exactly, for failures of a Poisson process of `rate` per second that may also
    strike in recovery, and checkpoints durable at once: interval / E, E = exp(rate recovery) (exp(rate (interval + stall))
    - 1) / rate (Daly 2006, A higher order estimate of the optimum checkpoint interval)."""
    return interval * rate / (math.exp(rate * recovery) * math.expm1(rate * (interval + stall)))


def effective_written_later(rate, interval, stall, recovery, write):
    """First order in `write`: a failure within it loses the interval before as well."""
    return effective(rate, interval, stall, recovery + write)


def young(rate, stall):
    return math.sqrt(2 * stall / rate)


def daly(rate, stall):
    ratio = stall * rate / 2
    return math.sqrt(2 * stall / rate) * (1 + math.sqrt(ratio) / 3 + ratio / 9) - stall if ratio < 1 else 1 / rate


def best_updates(rate, iteration, stall, recovery, write):
    """Iterations between checkpoints that waste least; a checkpoint may only be begun when the last one is written."""
    fewest = max(1, math.ceil(write / iteration))
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


def rows(costs):
    """One row of numbers for each size and failure rate."""
    fit = fit_iteration(ITERATION_S)
    for name, per_hour in FAILURE_RATES.items():
        for n in GPUS:
            rate = per_hour * n / 3600
            iteration, stall = iteration_s(n, fit), stall_s(n, costs)
            recovery, write = recovery_s(n, costs), write_s(n, costs)
            k = best_updates(rate, iteration, stall, recovery, write)
            work = max(2000, 10 * math.ceil(1 / (rate * k * iteration)))
            yield {
                "rates": name, "gpus": n, "iteration_s": iteration, "hours_between_failures": 1 / rate / 3600,
                "stall_s": stall, "recovery_s": recovery, "young_s": young(rate, stall), "daly_s": daly(rate, stall),
                "updates": k, "interval_s": k * iteration,
                "effective": effective_written_later(rate, k * iteration, stall, recovery, write),
                "simulated": simulate(rate, k * iteration, stall, recovery, write, work),
                "customary": effective(rate, CUSTOMARY["interval_s"], CUSTOMARY["stall_s"], CUSTOMARY["recovery_s"]),
            }


def print_tables(costs):
    work, fixed = fit_iteration(ITERATION_S)
    print(f"iteration: {work:.0f} GPU s / n + {fixed:.1f} s")
    for n, seconds in ITERATION_S.items():
        print(f"  {n:5d} GPUs: published {seconds:6.1f} s, fitted {iteration_s(n, (work, fixed)):6.1f} s")
    print(f"checkpoint {costs['checkpoint_bytes'] / 1e12:.2f} TB, durable {write_s(8, costs):.0f} s after its copy on 8 GPUs, {write_s(1024, costs):.0f} s on 1,024\n")
    print("| rates | GPUs | iteration, s | hours between failures | stall, s | recovery, s | Young, min | Daly, min | "
          "best: iterations | minutes | effective, % | simulated, % | customary, % |")
    print("|---|" + "---|" * 12)
    for r in rows(costs):
        print(f"| {r['rates']} | {r['gpus']} | {r['iteration_s']:.1f} | {r['hours_between_failures']:.1f} | "
              f"{r['stall_s']:.2f} | {r['recovery_s']:.0f} | {r['young_s'] / 60:.1f} | {r['daly_s'] / 60:.1f} | "
              f"{r['updates']} | {r['interval_s'] / 60:.1f} | {100 * r['effective']:.2f} | {100 * r['simulated']:.2f} | "
              f"{100 * r['customary']:.1f} |")


def plot(costs, folder):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4))
    table = list(rows(costs))
    for name in FAILURE_RATES:
        mine = [r for r in table if r["rates"] == name]
        gpus = [r["gpus"] for r in mine]
        line = left.plot(gpus, [100 * r["effective"] for r in mine], label=f"Troupe, model, {name}")[0]
        left.plot(gpus, [100 * r["simulated"] for r in mine], "o", color=line.get_color(), label="simulated")
        left.plot(gpus, [100 * r["customary"] for r in mine], "--", color=line.get_color(), label=f"customary, {name}")
        rate = FAILURE_RATES[name] * 1024 / 3600
        intervals = [30 * 1.1**i for i in range(70)]
        right.plot([x / 60 for x in intervals],
                   [100 * effective_written_later(rate, x, stall_s(1024, costs), recovery_s(1024, costs), write_s(1024, costs))
                    for x in intervals], label=name)
    left.set(xscale="log", xlabel="GPUs", ylabel="effective training time, %", xticks=GPUS, xticklabels=GPUS,
             title="A model, not a measurement", ylim=(60, 100.5))
    right.set(xscale="log", xlabel="minutes between checkpoints", title="1,024 GPUs", ylim=(60, 100.5))
    for axis in (left, right):
        axis.legend(fontsize=8)
        axis.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(f"{folder}/scaling.png", dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plots", metavar="FOLDER")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    options = parser.parse_args()
    costs = dict(COSTS)
    for setting in options.set:
        name, _, value = setting.partition("=")
        if name not in costs:
            parser.error(f"--set {name}: one of {', '.join(costs)}")
        costs[name] = float(value)
    print_tables(costs)
    if options.plots:
        plot(costs, options.plots)


if __name__ == "__main__":
    main()
