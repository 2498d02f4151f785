"""What to do with the best setting: commands that go on from it, and an experiment that keeps it."""

import os
import re
import shlex
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ebm_exp.config.arguments import override
from ebm_exp.sweep.directory import Job
from ebm_exp.sweep.results import pairs
from ebm_exp.sweep.settings import SEED, Results, Setting, score

# What is no part of an experiment: where and how its runs are made, and how a sweep goes on.
_FREE = re.compile(
    r"hydra([./].*)?|hparams_search|sweep|retry_failed|device|trust|resume|name|notes|logger([.@/].*)?"
    r"|([\w.]+\.)?(root|cache_dir|dir)"
)
_OF_A_SWEEP = re.compile(r"hydra([./].*)?|hparams_search|sweep|retry_failed")
_GONE = object()


def train_again(results: Results, setting: Setting, n: int = 3) -> str:
    """The command that trains a setting with seeds that it has not had."""
    fixed = [each for each in arguments(results) if not _OF_A_SWEEP.fullmatch(_key(each))]
    chosen = [f"{key}={value}" for key, value in _typed(setting).items()]
    used = [int(seed) for each in (*results.jobs,) if (seed := seed_of(each)) is not None]
    used += [int(value) for key, value in pairs(arguments(results)) if key == SEED and value.isdecimal()]
    first = max(used, default=0) + 1
    seeds = f"{SEED}={','.join(str(first + i) for i in range(n))}"
    rest = [each for each in fixed if _key(each) != SEED]
    return shlex.join([*program(results.record, "train"), "-m", seeds, *rest, *chosen])


def sample_from(results: Results, job: Job) -> str:
    """The command that samples from a job."""
    return f"{shlex.join(program(results.record, 'sample'))} {override('run', shown_path(job.run.path))} n_samples=64"


def arguments(results: Results) -> list[str]:
    """What every job of a sweep has in common: the overrides typed, without those of the keys that vary."""
    varied = set(results.record.get("keys") or [])
    typed = results.record.get("arguments") or results.record.get("overrides") or []
    return [str(each) for each in typed if _key(str(each)) not in varied]


def program(record: Mapping[str, Any], name: str) -> list[str]:
    """``python train.py`` or ``ebm-train``, as the sweep was started; the same for ``sample``."""
    first = str((record.get("command") or ["python"])[0])
    return [f"ebm-{name}"] if Path(first).name.startswith("ebm-") else ["python", f"{name}.py"]


def shown_path(path: Path) -> Path:
    """A path as it is typed from here."""
    here = Path(os.getcwd())
    return path.relative_to(here) if path.is_absolute() and path.is_relative_to(here) else path


def best_job(setting: Setting, metric: str, direction: str, alone: bool) -> Job:
    """The job of a setting that came out best."""
    sign = 1 if direction == "lower" else -1
    known = [(sign * value, job) for job in setting.jobs if (value := score(job, metric, alone)) is not None]
    finished = [each for each in known if each[1].state == "finished"]
    return min(finished or known, key=lambda each: each[0])[1] if known else setting.jobs[0]


def seed_of(job: Job) -> str | None:
    """The seed of a job, if its files say it."""
    said = dict(pairs(job.overrides)).get(SEED, job.config.get(SEED))
    return str(said) if str(said).isdecimal() else None


def experiment(results: Results, setting: Setting) -> str:
    """A setting as the YAML of an experiment, with what differs from the defaults alone."""
    defaults, config = results.record.get("defaults") or {}, setting.jobs[0].config
    groups: list[Any] = []
    values: dict[str, Any] = {}
    removed: list[str] = []
    for argument in (*arguments(results), *(each for each in setting.jobs[0].overrides)):
        key, given, text = argument.lstrip("+~").partition("=")
        if key == SEED or _FREE.fullmatch(key):
            continue
        if argument.startswith("~"):
            removed.append(argument)
            continue
        value, is_group = _value(config, key, text)
        if not given or (key in defaults and defaults[key] == value):
            continue
        if key == "experiment":
            groups.insert(0, f"/experiment/{value}")
        elif is_group:
            groups.append({f"{'' if argument.startswith('+') else 'override '}/{key}": value})
        else:
            _put(values, key.split("."), value)
    lines = [*_wrapped(_header(results, setting)), *(f"# and with {each} on the command line" for each in removed)]
    content = ({"defaults": groups} if groups else {}) | values
    body = yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=110, allow_unicode=True)
    return "\n".join(["# @package _global_", *lines, *([body] if content else ["# Nothing differs.", ""])])


def _header(results: Results, setting: Setting) -> str:
    said = []
    for metric, mean in setting.means.items():
        over = f"over {mean.n} seeds" if mean.n > 1 else "with one seed"
        default = next((s.means[metric] for s in results.settings if s.is_default and metric in s.means), None)
        against = f", the default {default}" if default is not None and not setting.is_default else ""
        said.append(f"{metric} {mean} {over}{against} ({results.directions[metric]} is better)")
    n, name = len(results.jobs), results.record.get("name") or "a"
    return f"The best of {n} jobs of a sweep of {name}: {'; '.join(said)}."


def _wrapped(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(" ".join(text.split()), 116)]


def _typed(setting: Setting) -> dict[str, str]:
    """The values of a setting under their keys as typed, ``+`` included."""
    marked = {each.partition("=")[0].lstrip("+~"): each.partition("=")[0] for each in setting.jobs[0].overrides}
    return {marked.get(key, key): value for key, value in setting.values.items()}


def _key(argument: str) -> str:
    return argument.lstrip("+~").partition("=")[0]


def _value(config: Mapping[str, Any], key: str, text: str) -> tuple[Any, bool]:
    """The value of a key in a job, and whether it is the choice of a group."""
    node: Any = config
    for part in key.split("."):
        node = node.get(part, _GONE) if isinstance(node, Mapping) else _GONE
    is_group = "/" in key or "@" in key or key == "experiment" or (isinstance(node, Mapping) and text[:1] != "{")
    if node is _GONE or is_group:
        try:
            return yaml.safe_load(text), is_group
        except yaml.YAMLError:
            return text, is_group
    return node, is_group


def _put(values: dict[str, Any], keys: Sequence[str], value: Any) -> None:
    for key in keys[:-1]:
        inside = values.setdefault(key, {})
        if not isinstance(inside, dict):
            return
        values = inside
    values[keys[-1]] = value
