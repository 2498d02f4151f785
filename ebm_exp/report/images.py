"""Images within the page, no larger than they are seen."""

import base64
import io
from pathlib import Path
from typing import Any

from ebm_exp.report.page import Html, tag

_WIDE, _NARROW = 900, 560  # pixels, of a whole image and of one panel
LARGEST = 2**26  # pixels
_TITLE, _GAP = 48, 8  # pixels: above the panels of ``plots.sample_panels``, and least between two


def panels(file: Path, label: str, split: bool) -> list[Html]:
    """A PNG as part of the page; empty when it cannot be read.

    Args:
        file: of the image.
        label: for those who do not see it.
        split: it shows mosaics side by side, each under its title: one image for each of them.
    """
    from PIL import Image

    try:
        with Image.open(file, formats=("PNG",)) as read:
            if read.width * read.height > LARGEST:
                return []
            whole = read.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):  # missing, half written, huge
        return []
    boxes = _boxes(whole) if split else []
    if len(boxes) < 2:
        return [_embed(whole, label, _WIDE)]
    return [_embed(whole.crop(box), label, _NARROW) for box in boxes]


def _boxes(whole: Any) -> list[tuple[int, int, int, int]]:
    """Where the panels of an image are: what white columns part, the titles above left aside."""
    ink = whole.convert("L").point(lambda level: 255 * (level < 250)).crop((0, _TITLE, *whole.size))
    dark = ink.resize((whole.width, 1), 4).tobytes()  # a column's mean: 0 where all of it is white
    runs: list[list[int]] = []
    for x in range(whole.width):
        if not dark[x]:
            continue
        if runs and x - runs[-1][1] <= _GAP:
            runs[-1][1] = x
        else:
            runs.append([x, x])
    return [(left, 0, right + 1, whole.height) for left, right in runs if right - left > _TITLE]


def _embed(picture: Any, label: str, widest: int) -> Html:
    from PIL import Image

    if picture.width > widest:
        picture = picture.resize((widest, round(picture.height * widest / picture.width)), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.quantize(256).save(buffer, "PNG")
    text = base64.b64encode(buffer.getvalue()).decode("ascii")
    return tag("img", src=f"data:image/png;base64,{text}", alt=label, width=picture.width, height=picture.height)
