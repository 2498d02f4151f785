"""The Python that README.md and docs/notebook.md print runs, on trainings of two steps."""

import re
from pathlib import Path

import pytest
from PIL import Image

from tests.warm import ROOT, Warm, environment

TINY = '"trainer.max_steps=2", "logger.mode=disabled", "device=cpu", "trainer.batch_size=16"'
FLOW = ', "evaluator=none", "energy.channels=[4,4]", "energy.strides=[1,2]", "energy.width=8", "sampling.n_steps=2"'
ONE = ("energy.base", "sampler.proposal", "buffer.start", "sampling.start", "evaluator.ais.start")
ONE = (*ONE, "evaluator.ais.kernel.proposal")  # Gaussian, none are looked for
TABLE = "".join(f', "{key}.n_components=1"' for key in ONE)
TABLE += ', "~evaluator.two_sample", "sampling.n_steps=2", "buffer.size=64", "evaluator.ais.n_chains=8"'
TABLE += ', "evaluator.ais.n_betas=8", "evaluator.ais.n_equilibrate=16"'


def code(page: str, *steps: str) -> str:
    """The blocks of Python of a page, one after the other; its trainings as short as said."""
    text = "\n".join(re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(encoding="utf-8"), re.S | re.M))
    for typed in steps:
        assert typed in text
        text = text.replace(typed, TINY + (FLOW if page == "README.md" else TABLE))
    return text


@pytest.mark.parametrize("page", ["README.md", "docs/notebook.md"])
def test_what_a_page_prints_runs(page: str, warm: Warm, tmp_path: Path) -> None:
    text = code(page, '"trainer.max_steps=1500"' if page == "README.md" else '"trainer.max_steps=500"')
    if page == "README.md":
        text = text.replace('"outputs/digits/<stamp>"', "run.path")
    script = tmp_path / "script.py"
    script.write_text(f"import os\nos.chdir({str(tmp_path)!r})\n{text}")
    done = warm.run([str(script)], environment(), tmp_path, 120)
    assert done.returncode == 0, done.stderr
    if page == "README.md":
        with Image.open(tmp_path / "samples.png") as image:
            assert image.size == (64, 64)
