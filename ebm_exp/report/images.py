"""Images within the page, no larger than they are seen."""

import base64
import io
from pathlib import Path
from typing import Any

from ebm_exp.report.page import Html, note, tag

_WIDE, _NARROW = 900, 560  # pixels, of a whole image and of one panel
_MOST = 2**26  # pixels of all images of a page: some seconds
_PANELS = 12  # of an image
_TITLE, _GAP = 48, 8  # pixels: above the panels of ``plots.sample_panels``, and least between two


class Gallery:
    """The images of one page, which takes so many pixels in all: what is more is named, and not decoded.

    Attributes:
        left_out: names of files.
    """

    def __init__(self) -> None:
        self.left_out: list[str] = []
        self._left = _MOST

    def panels(self, file: Path, label: str, split: bool) -> list[Html]:
        """A PNG as part of the page; empty when it cannot be read.

        Args:
            file: of the image.
            label: for those who do not see it.
            split: it shows mosaics side by side, each under its title: one image for each of them.
        """
        from PIL import Image

        try:
            with Image.open(file, formats=("PNG",)) as read:
                if read.width * read.height > self._left:
                    self.left_out.append(f"{file.name} ({read.width:,}×{read.height:,} pixels)")
                    return []
                self._left -= read.width * read.height
                whole = read.convert("RGB")
        except Image.DecompressionBombError:
            self.left_out.append(f"{file.name} (too large)")
            return []
        except (OSError, ValueError, SyntaxError):  # missing, half written
            return []
        boxes = _boxes(whole) if split else []
        if len(boxes) < 2:
            return [_embed(whole, label, _WIDE)]
        return [_embed(whole.crop(box), label, _NARROW) for box in boxes[:_PANELS]]

    def note(self) -> Html | None:
        """What was left out."""
        named = ", ".join(self.left_out[:3]) + (", …" if len(self.left_out) > 3 else "")
        return note(f"Left out: {len(self.left_out)} images, {named}.") if self.left_out else None


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
