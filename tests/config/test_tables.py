"""docs/tables.py: the tables of docs/ say what the files of conf/ say of themselves."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "docs" / "tables.py"
SPEC = importlib.util.spec_from_file_location("tables", SCRIPT)
assert SPEC is not None
assert SPEC.loader is not None
tables = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tables)
GROUPS = sorted(folder.name for folder in (ROOT / "conf").iterdir() if folder.is_dir())


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The pages and the config, current, to be changed."""
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    (tmp_path / "docs").mkdir()
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        shutil.copy(page, tmp_path / page.relative_to(ROOT))
    tables.main(tmp_path)
    return tmp_path


def replace(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def test_tables_are_current() -> None:
    done = subprocess.run([sys.executable, SCRIPT, "--check"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("group", GROUPS)
def test_every_file_has_a_header(group: str) -> None:
    assert [file.name for file in tables.files(ROOT / "conf", group) if not tables.header(file)] == []


def test_a_changed_header_is_noticed_and_written(copy: Path) -> None:
    assert tables.main(copy, check=True) == []
    (copy / "conf" / "sampler" / "hmc.yaml").write_text("# Long trajectories. And more.\n_target_: x\n")
    before = (copy / "docs" / "choices.md").read_text(encoding="utf-8")
    (wrong,) = tables.main(copy, check=True)
    assert wrong == "docs/choices.md: the table of sampler is not current; python docs/tables.py writes it"
    assert (copy / "docs" / "choices.md").read_text(encoding="utf-8") == before  # --check only looks
    assert tables.main(copy) == []
    assert "| `hmc` | Long trajectories |" in (copy / "docs" / "choices.md").read_text(encoding="utf-8")
    assert tables.main(copy, check=True) == []


def test_a_changed_default_and_a_new_choice_are_noticed(copy: Path) -> None:
    replace(copy / "conf" / "train.yaml", "- sampler: langevin", "- sampler: mala")
    (copy / "conf" / "buffer" / "stack.yaml").write_text("# The newest first\n")
    wrong = tables.main(copy, check=True)
    assert sorted(line.split(" of ")[1].split()[0] for line in wrong) == ["buffer", "sampler"]


def test_experiments_in_sub_folders_come_after_flat_ones(copy: Path) -> None:
    for name, text in {
        "zebra": "Flat",
        "zoo/cifar10": "Du & Mordatch 2019",
        "zoo/mnist": "The same | MNIST",
    }.items():
        file = copy / "conf" / "experiment" / f"{name}.yaml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"# @package _global_\n# {text}\n#   Values    theirs\ntrainer: {{}}\n", encoding="utf-8")
    tables.main(copy)
    rows = (
        (copy / "docs" / "choices.md").read_text(encoding="utf-8").split("<!-- table: experiment -->")[1].splitlines()
    )
    rows = rows[: rows.index("<!-- end -->")]
    first, second, third = (rows.index(row) for row in (
        "| `zebra` | Flat |", "| `zoo/cifar10` | Du & Mordatch 2019 |", r"| `zoo/mnist` | The same \| MNIST |",
    ))  # fmt: skip
    assert first < second == third - 1


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("# One line\n_target_: x\n", "One line"),
        (
            "# @package _global_\n# Du et al. 2021 on\n# digits. More of it.\n#   Values  1\n",
            "Du et al. 2021 on digits",
        ),
        ("# Does it run at all?\n# A second sentence.\n", "Does it run at all?"),
        ("_target_: x\n# too late\n", ""),
        ("# @package _global_\ntrainer: {}\n", ""),
    ],
)
def test_header_is_the_first_sentence(tmp_path: Path, text: str, first: str) -> None:
    (tmp_path / "a.yaml").write_text(text, encoding="utf-8")
    assert tables.header(tmp_path / "a.yaml") == first


def test_what_cannot_be_written_is_named(copy: Path) -> None:
    (copy / "conf" / "colour").mkdir()
    (copy / "docs" / "a.md").write_text("<!-- table: nothing -->\n<!-- end -->\n", encoding="utf-8")
    (copy / "docs" / "b.md").write_text("<!-- table: sampler -->\n", encoding="utf-8")
    assert tables.main(copy) == [
        "docs/a.md: <!-- table: nothing --> names no group of conf/",
        "docs/b.md: a <!-- table: … --> has no <!-- end -->",
        "docs/choices.md: needs a <!-- table: colour --> for conf/colour",
    ]
