"""The dashboard of a project in Weights & Biases, as code.

    python -m ebm_exp.report.dashboard <entity>/<project> [--keys sampler.step_size seed] [--metric eval/frechet_pixels]

builds it, and saves it as a view of the project when W&B has a key; without one, or with ``--json <file>``, it is
written as JSON (``-``: to the screen). It needs the extra ``dashboard``.
"""

import argparse
import importlib.util
import sys
from pathlib import Path
from typing import Any, NamedTuple

from ebm_exp import metrics
from ebm_exp.files import replace_text
from ebm_exp.logger.patience import call, reason

_TIMEOUT = 60  # seconds for the request that saves it


class Panel(NamedTuple):
    """Metrics over steps in one plot, or images of several runs by step."""

    title: str
    metrics: tuple[str, ...]
    log_y: bool = False


_SHOWN = (metrics.SAMPLES("fresh"), metrics.SAMPLES("buffer"), metrics.SAMPLES("data"))
LINES: dict[str, tuple[Panel, ...]] = {
    "health": (
        Panel("energy of data and negatives", (metrics.ENERGY_POS, metrics.ENERGY_NEG)),
        Panel("energy gap: around 0 is well", (metrics.ENERGY_GAP,)),
        Panel("loss and its terms", (metrics.LOSS, metrics.TERM("cd"), metrics.TERM("energy_l2"))),
        Panel("gradient of the parameters", (metrics.TRAIN_GRAD_NORM,), log_y=True),
        Panel("learning rate", (metrics.LEARNING_RATE,)),
    ),
    "chain": (
        Panel("gradient of the energy", (metrics.CHAIN_GRAD_NORM,), log_y=True),
        Panel("distance moved in a step", (metrics.DISPLACEMENT,)),
        Panel("share that a clamp acts on", (metrics.CLAMPED,)),
        Panel("accepted", (metrics.ACCEPTANCE, metrics.JUMPED)),
        Panel("age of the buffer", (metrics.AGE, metrics.STALENESS)),
        Panel("buffer: filled, begun anew, moved", (metrics.FILLED, metrics.REINITIALISED, metrics.MOVED)),
    ),
    "evaluation": (
        Panel("Fréchet distance", (metrics.SCORE("frechet_pixels"),), log_y=True),
        Panel("MMD²", (metrics.SCORE("mmd2"),), log_y=True),
        Panel("in the plane: KL and negative log-likelihood", (metrics.SCORE("kl"), metrics.SCORE("nll"))),
    ),
    "system": (
        Panel("steps per second", (metrics.STEPS_PER_S,)),
        Panel("minutes of training", (metrics.MINUTES,)),
        Panel("memory of the process, MB", ("system/proc.memory.rssMB",)),
        Panel("memory of the machine, %", ("system/memory_percent",)),
    ),
}
PICTURES = (
    Panel("fresh samples beside the buffer and the data", _SHOWN),
    Panel("densities in the plane", (metrics.DENSITY,)),
)
HISTOGRAMS = (metrics.ENERGIES("data"), metrics.ENERGIES("negatives"))
BEST = metrics.BEST("value")
RESULTS = (BEST, metrics.BEST("step"), "state")  # columns of the list of runs
KEYS = ("seed", "optimizer.lr", "sampler.step_size", "sampler.n_steps")  # what a sweep compares, unless it says
ORDER = ("health", "samples", "chain", "evaluation", "sweep", "system")


def shown() -> list[str]:
    """Every name that the dashboard plots or lists."""
    panels = [*(panel for section in LINES.values() for panel in section), *PICTURES]
    return [*(metric for panel in panels for metric in panel.metrics), *HISTOGRAMS, metrics.TABLE, *RESULTS]


def build(entity: str, project: str, keys: tuple[str, ...] = KEYS, metric: str = BEST) -> Any:
    """The workspace, not saved.

    Args:
        entity: who owns the project.
        project: the project.
        keys: of the config: what a sweep varies.
        metric: of the summary: what a sweep compares.
    """
    import wandb_workspaces.reports.v2 as wr
    import wandb_workspaces.workspaces as ws

    columns = [wr.ParallelCoordinatesPlotColumn(metric=wr.Config(key)) for key in keys]
    panels: dict[str, list[Any]] = {
        name: [wr.LinePlot(title=p.title, x="step", y=list(p.metrics), log_y=p.log_y or None) for p in plots]
        for name, plots in LINES.items()
    }
    panels["system"].append(wr.LinePlot(title="GPU in use, %", x="step", metric_regex=r"system/gpu\..*\.gpu"))
    panels["samples"] = [
        *(
            wr.MediaBrowser(
                title=p.title, media_keys=list(p.metrics), mode="grid", grid_x_axis="step", grid_y_axis="run"
            )
            for p in PICTURES
        ),
        *(wr.LinePlot(title=f"{name}, as a histogram", x="step", y=[name]) for name in HISTOGRAMS),
        wr.WeavePanelSummaryTable(table_name=metrics.TABLE),
    ]
    panels["sweep"] = [
        wr.ParallelCoordinatesPlot(
            columns=[*columns, wr.ParallelCoordinatesPlotColumn(metric=wr.SummaryMetric(metric))],
        ),
        wr.ParameterImportancePlot(with_respect_to=metric),
        *(wr.ScatterPlot(title=key, x=wr.Config(key), y=wr.SummaryMetric(metric)) for key in keys),
        wr.BarPlot(title="mean of a group's runs", metrics=[wr.SummaryMetric(metric)], groupby="Group"),
    ]
    columns_of_runs = [*(f"summary:{name}" for name in RESULTS), *(f"config:{_nested(key)}" for key in keys)]
    return ws.Workspace(
        entity=entity,
        project=project,
        name="energy-based models",
        sections=[ws.Section(name=name, panels=panels[name], is_open=name != "system") for name in ORDER],
        settings=ws.WorkspaceSettings(x_axis="step"),
        runset_settings=ws.RunsetSettings(pinned_columns=columns_of_runs),
    )


def _nested(key: str) -> str:
    """A key of the config as the list of runs names it."""
    first, _, rest = key.partition(".")
    return f"{first}.value.{rest}" if rest else f"{first}.value"


def as_json(workspace: Any) -> str:
    """The workspace as W&B stores it."""
    return workspace._to_model().model_dump_json(by_alias=True, indent=2)


def main(arguments: list[str] | None = None) -> int:
    """Build it, and save or write it; returns an exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m ebm_exp.report.dashboard", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("project", help="<entity>/<project>")
    parser.add_argument("--keys", nargs="+", default=KEYS, help="keys of the config that a sweep varies")
    parser.add_argument("--metric", default=BEST, help="what it compares: a name of the summary")
    parser.add_argument("--json", metavar="FILE", help="write it to a file (-: the screen) and save nothing")
    given = parser.parse_args(arguments)
    entity, _, project = given.project.partition("/")
    if not (entity and project) or "/" in project:
        print(f"project: must be <entity>/<project>, got {given.project!r}", file=sys.stderr)
        return 2
    if importlib.util.find_spec("wandb_workspaces") is None:
        print("wandb-workspaces is not installed; pip install '.[dashboard]' where this project is", file=sys.stderr)
        return 2
    workspace = build(entity, project, tuple(given.keys), given.metric)
    from ebm_exp.logger.wandb_environment import has_key

    if given.json is None and has_key():
        try:
            print(call(lambda: workspace.save().url, _TIMEOUT))
        except Exception as error:
            print(f"W&B did not save it: {reason(error)}; --json writes it to a file", file=sys.stderr)
            return 1
    elif given.json is None or given.json == "-":
        print(as_json(workspace))
        if given.json is None:
            print("W&B has no key (`wandb login` stores one), so nothing was saved", file=sys.stderr)
    else:
        replace_text(Path(given.json), as_json(workspace) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
