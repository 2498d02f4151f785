"""docs/terminal.svg: what a plain ``python train.py`` shows on a terminal, drawn by rich.

    python docs/terminal.py             train in a folder of its own (half a minute to two), and draw what it showed
    python docs/terminal.py recorded    draw what ``script -c "python train.py" recorded`` kept of one

Of the progress bar the last state stands there, and the folder that it trained in is called ~/ebm-exp.
"""

import io
import os
import re
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

ROOT = Path(__file__).resolve().parents[1]
WIDTH = 112
GREY = TerminalTheme(  # contrast of all but the bar's rest ≥ 7
    (24, 26, 30), (222, 224, 228),
    [(24, 26, 30), (240, 113, 120), (152, 195, 121), (229, 192, 123), (97, 175, 239), (198, 120, 221), (86, 182, 194),
     (222, 224, 228)],
    [(110, 116, 128), (249, 38, 114), (152, 195, 121), (229, 192, 123), (97, 175, 239), (198, 120, 221), (86, 182, 194),
     (255, 255, 255)],
)  # fmt: skip
NAME = re.compile(r"^(\w+(?: \w+)?)( {2,})")  # what a line begins with


def record(folder: Path) -> str:
    """The bytes that a terminal gets from a training in a folder, as text."""
    typed = f"{sys.executable} {ROOT / 'train.py'}"
    environment = {**os.environ, "COLUMNS": str(WIDTH), "PYTHONPATH": str(ROOT), "TERM": "xterm"}
    kept = folder / "recorded"
    subprocess.run(["script", "-qec", typed, kept], cwd=folder, env=environment, stdout=subprocess.DEVNULL, check=True)
    return kept.read_text(encoding="utf-8")


def shown(recorded: str) -> list[str]:
    """The lines that stay: cursor movements are gone, and of the progress bar the last state alone is left."""
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", recorded)
    lines = [state.rstrip() for state in re.split(r"[\r\n]+", text) if state.strip()]
    lines = [line for line in lines if not line.startswith("Script ")]
    bars = [index for index, line in enumerate(lines) if "━" in line]
    folder = next(line.split()[1] for line in lines if line.startswith("run ")).partition("/outputs/")[0]
    kept = [line for index, line in enumerate(lines) if "━" not in line or index == bars[-1]]
    return [line.replace(folder, "~/ebm-exp") for line in kept]


def draw(lines: list[str]) -> str:
    """The SVG, which asks for no font from elsewhere."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    console.print(Text("$ python train.py", style="bold"))
    for line in lines:
        match = NAME.match(line)
        margin = " " * (match.end() if match else 0)
        rows = textwrap.wrap(line, WIDTH, subsequent_indent=margin, break_on_hyphens=False, replace_whitespace=False)
        text = Text("\n".join(rows))
        if match:
            text.stylize("cyan", 0, match.end(1))
        text.highlight_regex("━+", "green")
        console.print(text)
    console.print()  # the last line's underscores are cut else
    svg = console.export_svg(title="python train.py", theme=GREY)
    return re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)


def main(words: list[str]) -> None:
    """Draw what was recorded, or record it."""
    if words:
        recorded = Path(words[0]).read_text(encoding="utf-8")
    else:
        with tempfile.TemporaryDirectory() as folder:
            recorded = record(Path(folder))
    (ROOT / "docs" / "terminal.svg").write_text(draw(shown(recorded)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
