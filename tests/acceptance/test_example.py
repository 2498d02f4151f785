"""The example notebook, executed as it stands."""

import json
import os
import re
from pathlib import Path

import pytest

from tests.warm import ROOT, environment

EXAMPLE = ROOT / "examples" / "own_data.ipynb"


def test_its_outputs_are_small_and_of_no_machine() -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    assert len(text) < 500_000
    cells = json.loads(text)["cells"]
    assert all(cell["outputs"] for cell in cells if cell["cell_type"] == "code" and "fit(" in "".join(cell["source"]))
    shown = json.dumps([cell.get("outputs") for cell in cells])
    assert '"error"' not in shown
    assert "/tmp" not in shown
    assert "/home" not in shown


def test_its_images_lie_in_no_folder_that_comes_along() -> None:
    """A folder of images has a class for each folder in it: a run's drawings would be one."""
    root = re.findall(r"dataset\.root=(\w+)", EXAMPLE.read_text(encoding="utf-8"))
    assert len(root) == 1
    assert not any(EXAMPLE.parent.glob(f"{root[0]}/*.json"))


@pytest.mark.slow
def test_it_runs(tmp_path: Path) -> None:
    nbformat = pytest.importorskip("nbformat")
    client = pytest.importorskip("nbclient").NotebookClient
    notebook = nbformat.read(EXAMPLE, as_version=4)
    env = environment() | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    client(notebook, timeout=1200, resources={"metadata": {"path": str(tmp_path)}}).execute(env=env)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert not [each for each in outputs if each["output_type"] == "error"]
    images = [each for each in outputs if "data:image/png" in each.get("data", {}).get("text/html", "")]
    assert len(images) == 1
    assert sorted(path.name for path in (tmp_path / "outputs").iterdir() if path.name[0] != ".") == [
        *("cache", "image_folder", "table"),
    ]
