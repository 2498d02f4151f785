"""A trained run as a notebook shows it: a line, or a small table with its newest image."""

import base64
import html
from typing import TYPE_CHECKING

from ebm_exp.energy.base import count_parameters
from ebm_exp.files import LARGEST, opened, show_path

if TYPE_CHECKING:
    from ebm_exp.run.loaded import LoadedRun


def describe(run: "LoadedRun") -> dict[str, str]:
    """What there is to say of a run, by what it is of."""
    summary, data = run.directory.summary(), run.parts["dataset"]
    shape, best = "×".join(map(str, data.event_shape)), summary.get("best")
    n = sum(p.numel() for p in run.energy.parameters()) or count_parameters(run.energy)
    said = {
        "run": str(show_path(run.path)),
        "state": f"{summary.get('state', 'unknown')}, step {run.step:,}, {run.weights} weights",
        "energy": f"{type(run.energy).__name__} of {n:,} parameters, T = {run.temperature:g}",
        "data": f"{data.name}: {shape} in [{data.domain.low:g}, {data.domain.high:g}]",
    }
    if isinstance(best, dict) and isinstance(best.get("value"), int | float):
        said["best"] = f"{best.get('metric')} {best['value']:.4g} at step {best.get('step')}"
    return said


def as_html(run: "LoadedRun") -> str:
    """The same as a table, above the newest image of the run; what the run says is text, whatever it holds."""
    rows = (f"<tr><th style='text-align:left'>{key}</th><td style='text-align:left'>{html.escape(text)}</td></tr>"
            for key, text in describe(run).items())  # fmt: skip
    return f"<table>{''.join(rows)}</table>{_newest_image(run)}"


def _newest_image(run: "LoadedRun") -> str:
    files = sorted(run.directory.samples.glob("step_*.png")) if run.directory.samples.is_dir() else []
    for file in files[-1:]:
        try:
            with opened(file, LARGEST) as image:
                content = image.read()
        except OSError:
            continue
        if content.startswith(b"\x89PNG"):
            data = base64.b64encode(content).decode()
            return f"<img style='max-width:100%' alt='{html.escape(file.name)}' src='data:image/png;base64,{data}'>"
    return ""
