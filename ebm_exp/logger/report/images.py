"""Images within the page, no larger than they are seen."""

import base64
import io
from pathlib import Path

from ebm_exp.logger.report.page import Html, tag

_WIDEST = 900  # pixels


def image(file: Path, label: str, widest: int = _WIDEST) -> Html | None:
    """A PNG as part of the page; None when it cannot be read.

    Args:
        file: of the image.
        label: for those who do not see it.
        widest: pixels; a wider one is scaled down.
    """
    from PIL import Image

    try:
        with Image.open(file) as read:
            picture = read.convert("RGB")
    except (OSError, ValueError, SyntaxError):  # missing, or half written
        return None
    if picture.width > widest:
        picture = picture.resize((widest, round(picture.height * widest / picture.width)), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.quantize(128).save(buffer, "PNG")
    text = base64.b64encode(buffer.getvalue()).decode("ascii")
    return tag("img", src=f"data:image/png;base64,{text}", alt=label, width=picture.width, height=picture.height)
