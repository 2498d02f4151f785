"""docs/overview.png: four panels, cut from images of runs.

    python docs/overview.py <run>/samples/step_00000844.png

The argument is the image of a table: scikit-learn's iris as a CSV file with names, by ``experiment=table``. The other
three are pictures of docs/. Cuts are in pixels of these files.
"""

import sys
from pathlib import Path

from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

DOCS = Path(__file__).resolve().parent
SIDE, GAP, TITLE, WIDTH = 376, 24, 36, 1600
FONT = font_manager.findfont("DejaVu Sans")
COLOURS = {"data": (153, 190, 222), "samples": (222, 102, 43), "buffer": (46, 139, 96)}  # of the table's image


def cut(file: Path, box: tuple[int, int, int, int], size: tuple[int, int] = (SIDE, SIDE)) -> Image.Image:
    """A part of an image, at another size."""
    with Image.open(file) as image:
        return image.convert("RGB").crop(box).resize(size, Image.Resampling.LANCZOS)


def stack(first: Image.Image, second: Image.Image, across: bool, gap: int) -> Image.Image:
    """Two images of half a panel as one."""
    panel = Image.new("RGB", (SIDE, SIDE), "white")
    panel.paste(first, (0, 0))
    panel.paste(second, ((SIDE + gap) // 2, 0) if across else (0, (SIDE + gap) // 2))
    return panel


def of_table(file: Path) -> Image.Image:
    """The two columns of petals, their pairs, and what the colours are."""
    panel = cut(file, (520, 438, 958, 876))
    draw, font = ImageDraw.Draw(panel), ImageFont.truetype(FONT, 17)
    for row, (name, colour) in enumerate(COLOURS.items()):
        draw.rectangle((230, 40 + 30 * row, 254, 54 + 30 * row), fill=colour)
        draw.text((264, 36 + 30 * row), name, fill="black", font=font)
    return panel


def main(table: Path) -> None:
    """Write the picture."""
    half = (SIDE, (SIDE - 12) // 2)
    seen = cut(DOCS / "levels_inpaint.png", (506, 48, 964, 277), half)
    completed = cut(DOCS / "levels_inpaint.png", (988, 48, 1446, 277), half)
    side = ((SIDE - 4) // 2, SIDE)
    model = cut(DOCS / "rings.png", (43, 46, 297, 554), side)
    data = cut(DOCS / "rings.png", (862, 46, 1116, 554), side)
    panels = {
        "drawn: fresh samples of a flow": cut(DOCS / "flow_fashion_mnist.png", (514, 48, 980, 514)),
        "seen, and completed": stack(seen, completed, across=False, gap=12),
        "a table: petals of irises": of_table(table),
        "a density in the plane: model | data": stack(model, data, across=True, gap=4),
    }
    picture = Image.new("RGB", (WIDTH, TITLE + SIDE + 12), "white")
    draw, font = ImageDraw.Draw(picture), ImageFont.truetype(FONT, 18)
    for n, (title, panel) in enumerate(panels.items()):
        left = 12 + n * (SIDE + GAP)
        draw.text((left, 8), title, fill="black", font=font)
        picture.paste(panel, (left, TITLE))
    picture.save(DOCS / "overview.png", optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
