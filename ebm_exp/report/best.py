"""What to do with the best setting: commands that go on from it, and an experiment that keeps it."""

import re
import shlex
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ebm_exp.config import plain
from ebm_exp.config.keys import belongs_to_experiment, belongs_to_sweep
from ebm_exp.config.override import Override, key_of, pairs, value_in
from ebm_exp.config.tree import leaves, look_up, set_at
from ebm_exp.config.trust import CONF
from ebm_exp.files import show_path
from ebm_exp.run import attempt
from ebm_exp.shell import config_dirs, override, value_text
from ebm_exp.sweep.directory import Job
from ebm_exp.sweep.settings import SEED, Results, Setting
from ebm_exp.text import finite

_GONE = object()


def train_again(results: Results, setting: Setting, n: int = 3) -> str:
    """The command that trains a setting with seeds that it has not had."""
    words = [each for each in arguments(results) if not belongs_to_sweep(key_of(each))]
    typed = attempt.typed_in_force([*words, *setting.jobs[0].overrides], went_on(best_job(results, setting)))
    used = [job.config.get(SEED, job.values.get(SEED)) for job in results.jobs]
    used += [seed for job in results.jobs for seed in attempt.asked(went_on(job)).get(SEED, ())]
    seeds = seeds_after([*used, *(value for key, value in pairs(words) if key == SEED)], n)
    rest = [each for each in typed if key_of(each) != SEED]
    own = [f"--config-dir={folder}" for folder in config_dirs(results.record["command"])]
    return shlex.join([*program(results.record, "train"), *own, "-m", seeds, *rest])


def went_on(job: Job) -> list[attempt.Change]:
    """What a job went on with."""
    return attempt.changes(job.summary)


def seeds_after(used: Iterable[Any], n: int = 3) -> str:
    """``seed=4,5,6``: such as have not been used."""
    first = max((int(known) for seed in used if (known := finite(seed)) is not None), default=0) + 1
    return f"{SEED}={','.join(str(first + i) for i in range(n))}"


def sample_from(results: Results, job: Job) -> str:
    """The command that samples from a job."""
    return f"{shlex.join(program(results.record, 'sample'))} {override('run', show_path(job.run.path))} n_samples=64"


def arguments(results: Results) -> list[str]:
    """What every job of a sweep has in common: the overrides typed, and what a named search sets for its trials."""
    varied = set(results.record["keys"])
    typed = results.record["arguments"] or results.record["overrides"]
    given = {key_of(each) for each in typed} | varied
    folders = [*config_dirs(results.record["command"]), CONF]
    name = value_in(typed, "hparams_search")
    searched = [each for each in _of_search(name, folders) if key_of(each) not in given] if name else []
    return [*searched, *(each for each in typed if key_of(each) not in varied)]


def _of_search(name: str, folders: Sequence[Path]) -> list[str]:
    """What ``hparams_search=<name>`` sets in every trial, as overrides."""
    if not re.fullmatch(r"[\w-]+(/[\w-]+)*", name):  # another file's content would come to stand in the report
        return []
    file = next((f for folder in folders if (f := folder / "hparams_search" / f"{name}.yaml").is_file()), None)
    try:
        said = {} if file is None else yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError):
        return []
    defaults = [each for each in said.pop("defaults", []) if isinstance(each, dict)]
    chosen = [(key, value) for each in defaults for key, value in each.items() if key.startswith("override /")]
    choices = [f"{key.removeprefix('override /')}={value_text(value)}" for key, value in chosen if "hydra" not in key]
    return [*choices, *(f"{key}={value_text(value)}" for key, value in leaves(said) if not key.startswith("hydra."))]


def program(record: Mapping[str, Any], name: str) -> list[str]:
    """``python train.py`` or ``ebm-train``, as the sweep was started; the same for ``sample``."""
    first = next(iter(record["command"]), "python")
    return [f"ebm-{name}"] if Path(first).name.startswith("ebm-") else ["python", f"{name}.py"]


def best_job(results: Results, setting: Setting) -> Job:
    """The job of a setting with a mean that came out best, in the first of several metrics."""
    metric = results.metrics[0]
    sign, finished = results.sign(metric), [job for job in setting.jobs if job.state == "finished"]
    known = [(sign * value, job) for job in finished if (value := results.score(job, metric)) is not None]
    return min(known, key=lambda each: each[0])[1] if known else setting.jobs[0]


def experiment(results: Results, setting: Setting) -> str:
    """A setting as the YAML of an experiment, with what differs from the defaults alone."""
    job, defaults = best_job(results, setting), results.record["defaults"]
    config = job.config
    now = {key: value for key, (_, value) in attempt.asked(went_on(job)).items()}
    groups: list[str] = []
    values: dict[str, Any] = {}
    removed: list[str] = []
    for argument in attempt.typed_in_force([*arguments(results), *job.overrides], went_on(job)):
        typed = Override.read(argument)
        key = typed.key
        if key == SEED or not belongs_to_experiment(key):
            continue
        if typed.deletes:
            removed.append(argument)
            continue
        value, is_group = (now[key], False) if key in now else _value(config, key, typed.text or "")
        if typed.text is None or (key in defaults and defaults[key] == value):
            continue
        if key == "experiment":
            groups.insert(0, f"  - /experiment/{value}")
        elif is_group:
            verb = "" if typed.sign == "+" else "override "
            groups.append(f"  - {verb}/{key}: {_inline(value)}")
        else:
            set_at(values, key, value)
    lines = [f"# {line}" for line in textwrap.wrap(" ".join(_header(results, setting).split()), 116)]
    lines += [f"# and with {each} on the command line" for each in removed]
    for each in setting.jobs:
        said = (f"job {each.number} went on otherwise {change}" for change in went_on(each))
        lines += [f"# {' '.join(line.split())}" for line in said]
    body = yaml.safe_dump(values, sort_keys=False, default_flow_style=None, width=110, allow_unicode=True)
    body = body if values else "" if groups else "# Nothing differs from the defaults.\n"
    return "\n".join(["# @package _global_", *lines, *(["defaults:", *groups] if groups else []), body])


def _header(results: Results, setting: Setting) -> str:
    said = []
    for metric, mean in setting.means.items():
        over = f"over {mean.n} seeds" if mean.n > 1 else "with one seed"
        default = next((s.means[metric] for s in results.ranked if s.is_default and metric in s.means), None)
        against = f", the default {default}" if default is not None and not setting.is_default else ""
        said.append(f"{metric} {mean} {over}{against} ({results.directions[metric]} is better)")
    n, name = len(results.jobs), results.record.get("name") or "a"
    return f"The best of {n} jobs of a sweep of {name}: {'; '.join(said)}."


def _inline(value: Any) -> str:
    """A value as YAML on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10**6).strip()
    return text.removesuffix("...").strip()


def _value(config: Mapping[str, Any], key: str, text: str) -> tuple[Any, bool]:
    """The value of a key in a job, and whether it is the choice of a group."""
    node = look_up(config, key, _GONE)
    is_group = "/" in key or "@" in key or (text[:1] != "{" and (isinstance(node, Mapping) or (CONF / key).is_dir()))
    if node is _GONE or is_group:
        try:
            return plain.load(text), is_group
        except plain.PlainError:
            return text, is_group
    return node, is_group
