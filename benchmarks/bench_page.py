"""docs/bench.md from results/bench.json, and of results/bench_slow.json where that was measured."""

from collections.abc import Mapping
from typing import Any

from benchmarks.results import ROOT, read, table

CASES = ("2-D MLP", "digits MLP", "IGEBM", "multi-scale", "flow encoder")
PARTS = ("growth", "memory")
_WHO = ("published", "torchebm", "ebmkit")
_SIZES = {"n_steps": "steps K", "batch": "batch", "width": "channels", "side": "side of the image"}
_HEAD = """# How fast

Written by `make bench` (`python -m benchmarks.bench`) and `make bench-slow`; the numbers stand in `results/bench.json`
and `results/bench_slow.json`. All that stands in one row took turns in one process; medians; with one thread on a CPU,
of the processor's time. **× over 1: ours is so many times as fast.**

- **Chains** are 3 steps of Langevin as training runs them, an **update** is one training step with such a chain: batch,
  chain, loss, gradients, optimizer, averages, metrics. The published side is handed its batch, and logs nothing.
- **Published** loops are restated in `benchmarks/published_loops.py` from the numbers and the order of operations of
  their code: IGEBM's is Du & Mordatch's (2019), multi-scale's that of Du et al. (2021), without augmentation; the flow
  encoder's update is Energy Matching's first phase with Adam on both sides. Else it is the shortest loop that does the
  same. Networks, step sizes, batch and buffer are the same; theirs is float32 in NCHW.
- **torchebm** and **ebmkit** run the same network and the same step where they have the parts; – where they have none.
- **Products** is the share of our time that matrix products and convolutions alone take, which no loop can save; under
  a profiler, beside which small operations look longer than they are.
"""


def write(rows: Mapping[str, Any]) -> None:
    """The page, of all machines that were measured."""
    parts = [_HEAD.rstrip()]
    for machine, found in rows.items():
        parts += [f"## {machine}", _about(found), _comparison(found)]
        parts += [text(found) for part, text in (("growth", _growth), ("memory", _memory)) if part in found]
    slow = [_slow(machine, found) for machine, found in read("bench_slow").items()]
    (ROOT / "docs" / "bench.md").write_text("\n\n".join([*parts, *slow]) + "\n", encoding="utf-8")


def _about(found: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {number or 'not installed'}" for name, number in found["versions"].items())
    load = max(row["load"] for row in found.values() if "load" in row)
    busy = f" Others were at work on the machine (load {load:.1f} as it began)." if load > 0.5 else ""
    return f"{versions}.{busy}"


def _comparison(found: Mapping[str, Any]) -> str:
    lines = []
    for case in (case for case in CASES if case in found):
        row = found[case]
        shape = f" of {'×'.join(str(n) for n in row['shape'])}" if len(row["shape"]) > 1 else ""
        for what in ("chain", "update"):
            for who in (who for who in ("ours", "ours, bf16") if who in row[what]):
                ms, precision = row[what][who], "float32" if who == "ours" else "bf16"
                others = [_ratio(found, row[what], other, ms) for other in _WHO]
                named = [f"{case}, batch {row['batch']}{shape}" if (what, who) == ("chain", "ours") else "", what]
                lines.append([*named, precision, _ms(ms), f"{100 * row['products'][what][who]:.0f} %", *others])
    return table(["", "", "", "ours, ms", "products", *(f"{who} ×" for who in _WHO)], lines)


def _ratio(found: Mapping[str, Any], took: Mapping[str, Any], other: str, ms: float) -> str:
    if found["versions"].get(other, "") is None:
        return "not installed"
    theirs = took.get(other)
    return "–" if theirs is None else f"{theirs / ms:.2f}"


def _ms(ms: float) -> str:
    return f"{ms:.3g}" if ms < 100 else f"{ms:,.0f}"


def _growth(found: Mapping[str, Any]) -> str:
    at = found["growth"]["at"]
    lines = []
    for size, name in _SIZES.items():
        ms, slope = found["growth"][size]["ms"], found["growth"][size]["slope"]
        lines.append([name, ", ".join(ms), ", ".join(_ms(t) for t in ms.values()), f"{slope:.2f}"])
    text = (
        f"Growth of a chain: an IGEBM of {at['width']} and {2 * at['width']} channels, K = {at['n_steps']}, batch "
        f"{at['batch']}, {at['side']}×{at['side']} pixels, but for what is named. Slope: of log milliseconds over log "
        "size; 1 is proportional, products alone grow by 2 with channels and with the side."
    )
    return f"{text}\n\n{table(['', 'sizes', 'ms', 'slope'], lines)}"


def _memory(found: Mapping[str, Any]) -> str:
    peaks = {k: n / 2**20 for k, n in found["memory"].items() if k != "load"}
    told = ", ".join(f"{mib:.2f} MiB at K = {k}" for k, mib in peaks.items())
    return f"Memory at the peak of such a chain, beside what was there before: {told}."


def _slow(machine: str, found: Mapping[str, Any]) -> str:
    goals = [
        [
            name,
            row["goal"],
            f"{60 * row['minutes']:.0f} s" if row["reached"] else "never",
            f"{row['score']:.3g} at step {row['step']:,}",
        ]
        for name, row in found.items()
        if "goal" in row
    ]
    text = f"## {machine}: time to quality\n\n{table(['', 'goal', 'reached after', 'score then'], goals)}"
    for row in (row for row in found.values() if "steps_per_s" in row):
        rates = [[name, f"{rate:.1f}"] for name, rate in row["steps_per_s"].items()]
        text += (
            "\n\nOne process and two by `torchrun` (gloo), the whole batch being the same, on the same cores: one "
            "process takes them by threads, each of two has one thread. So this is what two processes cost, not what "
            "a second machine gives."
            f"\n\n{table(['', 'updates a second'], rates)}"
        )
    return text
