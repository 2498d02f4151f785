"""What all images are drawn on, and their colours. matplotlib is imported where it draws."""

import warnings
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ebm_exp.files import replacing

DATA, MODEL, DPI = "#1f6fb4", "#d9662b", 120
MORE = ("#2e8b57", "#7b4fa6", "#b0a11e", "#c2255c", "#5c4a3d", "#1a9aa8")  # of further sets


def open_figure(width: float, height: float, layout: Literal["constrained"] | None = "constrained") -> Any:
    """A figure of so many inches; a layout engine draws all twice."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout=layout)
    FigureCanvasAgg(figure)
    return figure


def save(image: Any, path: Path) -> None:
    """An image as a PNG, written whole."""
    with replacing(path) as file:
        image.save(file, "PNG")


def plain(text: str) -> str:
    """Somebody's text, in which dollars are no mathematics."""
    return text.replace("$", r"\$")


def render(figure: Any) -> Any:
    """The figure as an image; ``savefig`` would draw it twice."""
    from PIL import Image

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # a name in letters that the font lacks
        figure.canvas.draw()
    return Image.fromarray(np.asarray(figure.canvas.buffer_rgba())[..., :3].copy())
