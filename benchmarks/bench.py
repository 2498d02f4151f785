"""How fast chains and updates are, beside published loops and other libraries: ``make bench``, in ten minutes.

Everything takes turns in one process, and the median of rounds counts; on CUDA where it is, else on the CPU. Writes
results/bench.json and docs/bench.md. ``python -m benchmarks.bench [--device cpu] [part …]``.
"""

import argparse
import math
import os
import re
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from benchmarks import peers
from benchmarks.bench_page import CASES, PARTS, write
from benchmarks.engines import steps, update
from benchmarks.published_loops import Flow, Replay, Settings, bare, du2019, du2021, plain
from benchmarks.results import add, read
from benchmarks.timing import alternate
from ebm_exp.dataset import Domain
from ebm_exp.energy import IGEBM
from ebm_exp.engine import Engine, Graphs, Run
from ebm_exp.random import generator
from ebm_exp.sampler import Langevin
from ebm_exp.trainer.experiment import Experiment

K, SECONDS = 3, 8.0
_PRODUCTS = {  # operations of the CPU, kernels of CUDA
    "cpu": re.compile(r"aten::(mm|bmm|addmm|baddbmm|mv|addmv|\w*conv\w*)$"),
    "cuda": re.compile(r"gemm|gemv|conv(?!ert)|cutlass|xmma|wgrad|dgrad|fprop|winograd|nvjet", re.IGNORECASE),
}
Work = Callable[[], object]


class Case(NamedTuple):
    """A recipe: its overrides, more of them by device, and the published chain."""

    overrides: tuple[str, ...]
    chain: Any = bare
    cpu: tuple[str, ...] = ()
    cuda: tuple[str, ...] = ()


_ICD = ("augmentation=none", "objective.terms.entropy.min_filled=32")  # else it would wait for 1,000 held points
_BATCH: Any = {"cpu": ("trainer.batch_size=32",), "cuda": ("trainer.batch_size=128",)}
_RECIPES = {
    "2-D MLP": Case(("dataset=two_moons",)),
    "digits MLP": Case(("dataset=digits",)),
    "IGEBM": Case(("experiment=du2019/cifar10", "energy=igebm"), du2019, **_BATCH),
    "multi-scale": Case(("experiment=du2021/cifar10", *_ICD), du2021, **_BATCH),
    "flow encoder": Case(("optimizer=adam",), cpu=("experiment=flow/digits",), cuda=("experiment=flow/cifar10",)),
}


def chain(engine: Engine, energy: Any, sampler: Langevin, x: Tensor, n_steps: int = K, **context: Any) -> Work:
    """As objectives run it."""
    g, how = generator(x.device, "bench"), Run(1.0, n_steps)
    return lambda: engine.run(sampler, engine.target(energy), x, g, how, **context)


def settings(ex: Experiment, sampler: Langevin) -> Settings:
    """What loops of others are told of ours."""
    config, box = ex.config, ex.dataset.domain
    assert sampler.temperature is not None
    rate, terms = config["trainer"]["ema_rate"], config["objective"].get("terms") or {}
    return Settings(
        step_size=sampler.step_size,
        noise_std=math.sqrt(sampler.temperature * sampler.step_size),
        n_steps=K,
        low=box.low,
        high=box.high,
        gradient_clamp=sampler.gradient_clamp,
        reinit=config["buffer"]["reinit_probability"],
        l2=config["regularization"].get("energy_l2", {}).get("weight", 0.0),
        entropy=terms["entropy"]["weight"] if terms else None,
        clip=config["trainer"]["gradient_norm_clip"],
        decay=1 - rate if rate < 1 else None,
    )


def compare(name: str, device: str) -> dict[str, Any]:
    """Milliseconds of a chain and of an update, ours and others', and the share of products in ours.

    Returns:
        ``{"chain": {who: ms, or None where they have no such part}, "update": …, "products": {what: share}, …}``.
    """
    case = _RECIPES[name]
    told = [*getattr(case, device), *case.overrides, f"sampler.n_steps={K}"]
    trainings = {"ours": update((*told, "engine.precision=float32"), device)}
    if "MLP" not in name:
        other = update((*told, "engine.precision=auto"), device)
        trainings |= {"ours, bf16": other} if other.experiment.engine.precision == "bf16" else {}
    ex = trainings["ours"].experiment
    data, is_flow = ex.batch(0).x, "flow" in name
    sampler: Any = Langevin(4e-4, K, ex.dataset.domain, clamp=True) if is_flow else ex.objective.sampler  # type: ignore[attr-defined]
    s, start = settings(ex, sampler), ex.dataset.domain.uniform(len(data), generator(device, "start"))
    context: dict[str, Any] = {"t": torch.full((len(data),), 0.98, device=device)} if is_flow else {}

    def network() -> tuple[Any, torch.optim.Optimizer]:
        energy, group = plain(ex.energy), ex.optimizer.param_groups[0]
        return energy, torch.optim.Adam(energy.parameters(), group["lr"], group["betas"])

    g, still = generator(device, "bench"), plain(ex.energy).requires_grad_(False).bind(**context)
    in_training = partial(du2021, n_through=128) if case.chain is du2021 else case.chain
    training: Any = Flow(*network(), s) if is_flow else Replay(*network(), s, partial(in_training, s=s, g=g), data)
    chains: dict[str, Work | None] = {
        who: chain(each.experiment.engine, each.experiment.energy, sampler, start, **context)
        for who, each in trainings.items()
    }
    updates: dict[str, Work | None] = {who: steps(each) for who, each in trainings.items()}
    chains["published"], updates["published"] = partial(case.chain, still, start, s, g), partial(training, data)
    for package in (each for each in peers.PACKAGES if peers.version(each)):
        chains[package] = peers.chain(package, still, start, s)
        has_loss = not is_flow and s.entropy is None
        updates[package] = peers.update(package, *network(), data, s) if has_loss else None
    row: dict[str, Any] = {"batch": len(data), "shape": [*data.shape[1:]], "products": {}}
    for what, works in (("chain", chains), ("update", updates)):
        took = alternate({who: work for who, work in works.items() if work}, SECONDS)
        row[what] = {who: took.get(who) for who in works}
        row["products"][what] = {who: products(works[who], device) for who in trainings}
    return row


def products(work: Work | None, device: str) -> float:
    """The share of a call's time that matrix products and convolutions take; the median of five calls."""
    assert work is not None
    kinds = [ProfilerActivity.CPU, *[ProfilerActivity.CUDA] * (device == "cuda")]
    shares = []
    for _ in range(5):
        with profile(activities=kinds) as seen:
            began = time.perf_counter()
            work()
            torch.cuda.synchronize() if device == "cuda" else None
            us = 1e6 * (time.perf_counter() - began)
        rows = [row for row in seen.key_averages() if _PRODUCTS[device].search(row.key)]
        took = [row.self_device_time_total if device == "cuda" else row.self_cpu_time_total for row in rows]
        shares.append(sum(took) / us)
    return statistics.median(shares)


def _igebm(device: str, n_steps: int, batch: int, width: int, side: int) -> Work:
    engine, shape = Graphs(torch.device(device)), (3, side, side)
    energy = IGEBM(shape, (width, 2 * width)).to(device).to(memory_format=torch.channels_last)
    box = Domain(0, 1, shape)
    x = box.uniform(batch, generator(device, "start"))
    return chain(engine, energy, Langevin(20.0, n_steps, box, 0.005, clamp=True), x, n_steps)


def growth(device: str) -> dict[str, Any]:
    """Milliseconds of chains of a small IGEBM as one of its sizes doubles, and slopes in logarithms."""
    least = {"n_steps": 2, "batch": 8, "width": 16, "side": 16}
    if device == "cuda":  # small ones would only wait
        least |= {"batch": 64, "width": 64, "side": 32}
    middle = {name: 2 * value for name, value in least.items()} | {"side": least["side"]}
    sizes = {name: [value * 2**i for i in range(4)] for name, value in least.items()}
    works = {(name, n): _igebm(device, **(middle | {name: n})) for name, each in sizes.items() for n in each}
    took = alternate({f"{name} {n}": work for (name, n), work in works.items()}, SECONDS)
    found: dict[str, Any] = {"at": middle}
    for name, each in sizes.items():
        ms = {str(n): took[f"{name} {n}"] for n in each}
        found[name] = {"ms": ms, "slope": slope([math.log(n) for n in each], [math.log(t) for t in ms.values()])}
    return found


def slope(x: list[float], y: list[float]) -> float:
    """Of the straight line through points that has the least squares."""
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / sum((a - mean_x) ** 2 for a in x)


def memory(device: str) -> dict[str, Any]:
    """Bytes at the peak of chains of several lengths, beside what was there before."""
    return {str(k): peak(_igebm(device, k, 16, 32, 16), device) for k in (4, 16, 64)}


def peak(work: Work, device: str) -> int:
    """Bytes at the peak of a call, beside what was there before."""
    work()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        return torch.cuda.max_memory_allocated() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        work()
    assert seen.profiler is not None
    found: list[tuple[int, int, int]] = []  # (when, bytes then, by how many more)
    events = list(seen.profiler.kineto_results.experimental_event_tree())
    while events:
        event = events.pop()
        events += event.children
        if hasattr(event.extra_fields, "total_allocated"):
            found.append((event.start_time_ns, event.extra_fields.total_allocated, event.extra_fields.alloc_size))
    _, first, more = min(found)
    return max(total for _, total, _ in found) - (first - more)


def here(device: str) -> str:
    """What is measured on."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    n = torch.get_num_threads()
    return f"{torch.backends.cpu.get_cpu_capability()} CPU, {n} thread{'s' * (n > 1)}"


def main() -> None:
    """Measure the parts that are asked for, and write them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=[*CASES, *PARTS], help="; ".join([*CASES, *PARTS]))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    asked = parser.parse_args()
    if unknown := set(asked.parts) - {*CASES, *PARTS}:
        parser.error(f"there is no {min(unknown)}; choose of {', '.join(sorted({*CASES, *PARTS}))}")
    load = os.getloadavg()[0]  # of others
    for part in asked.parts:
        measure = {"growth": growth, "memory": memory}.get(part, partial(compare, part))
        row = measure(asked.device) | {"load": load}
        print(part, row, flush=True)
        versions = {"torch": torch.__version__} | {name: peers.version(name) for name in peers.PACKAGES}
        machine = here(asked.device)
        write(add("bench", {machine: read("bench").get(machine, {}) | {part: row, "versions": versions}}))


if __name__ == "__main__":
    main()
