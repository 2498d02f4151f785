"""Every block of every page of the site, as printed, at smoke size.

- The blocks of a page run in order, in one folder, which is the reader's home too. Commands are taken as bash reads
  them; blocks of Python are one script, after the commands. A block that begins with a comment of a path is that file.
- ``outputs/<name>/<stamp>`` is the newest run of that name, ``<another>`` the one before. One that the page has not
  made is made by README's command for it.
- A block whose fence says ``title="needs …"`` needs what is not here: its commands are composed and validated.
"""

import importlib.util
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import yaml
from PIL import Image
from sklearn.datasets import load_digits, load_wine

from ebm_exp.config.validate import validate
from tests.config.test_readme import composed
from tests.warm import ROOT, Warm, environment

COMMANDS = ("python", "torchrun", "source", "make", "pip", "wandb", "trackio", "sbatch", "ray")
README = (ROOT / "README.md").read_text(encoding="utf-8")
OF_README = {
    "digits": "python train.py",
    "rings": "python train.py experiment=plane dataset=rings",
    "image_folder": "python train.py experiment=flow dataset=image_folder dataset.root=pictures",
    "multirun/digits": "python train.py -m seed=1,2,3 sampler.step_size=0.5,2",
}


class Block(NamedTuple):
    """One of a page."""

    language: str
    needs: str
    text: str

    @property
    def file(self) -> str:
        """The file that it is; nothing where it is typed."""
        named = re.match(r"# ([\w/]+\.\w+)", self.text)
        return named[1] if named else ""


def site() -> list[str]:
    """The pages of docs/ that the site has, and those of the root."""
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    names = re.findall(r"[\w/]+\.md", str(nav))
    own = [f"docs/{name}" for name in names if (ROOT / "docs" / name).is_file()]
    return ["README.md", *own, "CONTRIBUTING.md", "CHANGELOG.md", "RESULTS.md"]


def blocks(text: str) -> list[Block]:
    found = re.findall(r'^```(\w*)(?: title="([^"]*)")?\n(.*?)^```$', text, re.MULTILINE | re.DOTALL)
    assert 2 * len(found) == len(re.findall("^```", text, re.MULTILINE))
    return [Block(*each) for each in found]


BLOCKS = {page: blocks((ROOT / page).read_text(encoding="utf-8")) for page in site()}
PAGES = [page for page, found in BLOCKS.items() if any(block.language for block in found)]


def test_what_is_run_and_what_is_composed_alone(tmp_path: Path) -> None:
    """Each block that is typed says its language, and whether it can be run here."""
    found = [block for each in BLOCKS.values() for block in each]
    shown = [block for block in found if block.language == ""]
    assert not [block for block in shown if re.search(rf"^({'|'.join(COMMANDS)}) ", block.text, re.MULTILINE)]
    assert {block.language for block in found} <= {"", "bash", "python", "yaml"}
    assert all(block.file for block in found if block.language == "yaml")
    assert all(re.match("needs |$", block.needs) for block in found)
    run = [block for block in found if block.language and not block.needs]
    checked = [block for block in found if block.needs]
    for name, each in (("run", run), ("composed only", checked)):
        typed = [words for block in each if block.language == "bash" for words in read(block.text, tmp_path)]
        print(f"{name}: {len(each)} blocks, of {len(typed)} commands {sorted({b.needs for b in each} - {''})}")
    print(f"shown: {len(shown)} blocks")
    assert len(run) > 20
    assert 0 < len(checked) < len(run) / 2


def read(text: str, home: Path) -> list[tuple[str, list[str]]]:
    """The commands of blocks as bash reads them: PYTHONPATH, and words; another command than we know is an error."""
    text = re.sub(r"<(\w+)>", r"@\1@", text)
    functions = [
        f"""{name}() {{ printf '%s\\037' "${{PYTHONPATH-}}" {name} "$@"; printf '\\0'; }}""" for name in COMMANDS
    ]
    done = subprocess.run(
        ["/bin/bash", "-eu"],
        input="\n".join([*functions, text]),
        cwd=home,
        env={"HOME": str(home), "PATH": str(home / "nowhere")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    split = [each.split("\x1f")[:-1] for each in done.stdout.split("\0")[:-1]]
    return [(path, words) for path, *words in split]


class Reader:
    """Who types what a page prints, in a folder of its own.

    Args:
        home: the folder.
        warm: starts Python.
    """

    def __init__(self, home: Path, warm: Warm) -> None:
        self.home, self.warm = home, warm
        (home / ".ours").mkdir()
        for name in ("train.py", "sample.py", "evaluate.py", "examples", "conf"):
            (home / name).symlink_to(ROOT / name)
        bring_data(home)

    def type(self, path: str, words: list[str]) -> None:
        """Run a command, its runs in place of what stands for them."""
        words = [re.sub(r"(outputs/[\w/]+)/@(stamp|another)@", self._run, word) for word in words]
        assert not [word for word in words if "@" in re.sub(r"@[\w.]+=", "", word)], words
        if words[0] == "torchrun":
            program = [str(Path(sys.executable).with_name("torchrun")), *smoke(words[1:])]
            env = self._environment(str(ROOT)) | {"OMP_NUM_THREADS": "1"}
            done = subprocess.run(program, cwd=self.home, env=env, capture_output=True, text=True, check=False)
        else:
            done = self.python(path, smoke(words[1:]))
        assert done.returncode == 0, (words, done.stdout[-2000:], done.stderr[-4000:])

    def python(self, path: str, words: list[str]) -> "subprocess.CompletedProcess[str]":
        """``python`` with some words, in the folder."""
        begin = self.home / ".ours" / "begin.py"
        begin.write_text(f"""import os, runpy, sys
os.chdir({str(self.home)!r})
sys.argv.pop(0)
if sys.argv[0] == "-m":
    sys.argv.pop(0)
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
else:
    runpy.run_path(sys.argv[0], run_name="__main__")
""")
        return self.warm.run([str(begin), *words], self._environment(path), self.home / ".ours", 600)

    def _environment(self, path: str) -> dict[str, str]:
        env = environment() | {"HOME": str(self.home)}
        return {**env, "PYTHONPATH": path} if path else env

    def _run(self, named: "re.Match[str]") -> str:
        folder, back = self.home / named[1], 1 + (named[2] == "another")
        while len(runs := sorted(folder.glob("[!.]*"), key=os.path.getmtime)) < back:
            command = OF_README[named[1].removeprefix("outputs/")]
            assert command in README
            self.type("", shlex.split(command))
        return str(runs[-back].relative_to(self.home))


def bring_data(home: Path) -> None:
    """What a reader has: tables of wine, three folders of images, an array."""
    wine = load_wine()
    header = ",".join([*wine.feature_names, "class"]).replace("/", "_")
    rows = [",".join([*map(str, x), f"kind {y}"]) for x, y in zip(wine.data, wine.target, strict=True)]
    (home / "wine.csv").write_text("\n".join([header, *rows]))
    (home / "new.csv").write_text("\n".join([header, *rows[::20]]))
    (home / "gaps.csv").write_text("\n".join([header, *(f",{row.partition(',')[2]}" for row in rows[::20])]))
    images = (load_digits().images[:40] * 15).astype(np.uint8)
    np.savez(home / "images.npz", x=images)
    for i, image in enumerate(images):
        picture = Image.fromarray(image).resize((40, 32))
        places = ("pictures", "others", f"images/{i % 2}", f"cifar10/train/{i % 10}", f"cifar10/test/{i % 10}")
        for place in places:
            (home / place).mkdir(parents=True, exist_ok=True)
            picture.convert("RGB").save(home / place / f"{i}.png")


def smoke(words: list[str]) -> list[str]:
    """The words of a command, and what makes it small."""
    short = [re.sub(r"^((?:\w+\.)*n_steps)=\d+$", r"\1=20", word) for word in words]
    if "train.py" not in words or "--cfg" in words:
        return short
    if any(word.startswith("resume=") and word != "resume=auto" for word in words):
        return [re.sub(r"^(trainer\.max_steps)=\d+$", r"\1=4", word) for word in short]
    search = any(word.startswith(("hparams_search=", "hydra/sweeper=")) for word in words)
    return [*words, "debug=smoke", *["hydra.sweeper.n_trials=2"] * search]


SMOKE_IN_PYTHON = """
from ebm_exp.cli.line import CommandLine
read = CommandLine.read
CommandLine.read = lambda program, words: read(program, [*words, "debug=smoke", "trainer.max_steps=2"])
"""


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_every_block_runs(page: str, warm: Warm, tmp_path: Path) -> None:
    reader, found = Reader(tmp_path, warm), BLOCKS[page]
    for block in found:
        if block.file:
            file = tmp_path / block.file
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.text, encoding="utf-8")
    for path, words in read("".join(b.text for b in found if b.language == "bash" and not b.needs), tmp_path):
        reader.type(path, words)
    for _, words in read("".join(b.text for b in found if b.language == "bash" and b.needs), tmp_path):
        check(words)
    if python := "".join(b.text for b in found if b.language == "python" and not b.file):
        script = tmp_path / "page.py"
        script.write_text(SMOKE_IN_PYTHON + python, encoding="utf-8")
        done = reader.python("", [str(script)])
        assert done.returncode == 0, done.stderr


def check(words: list[str]) -> None:
    """A command that cannot be run here: what it asks for is there."""
    name, *rest = words
    flat = shlex.split(" ".join(rest)) if name in ("sbatch", "ray") else rest
    if "train.py" in flat:
        validate(composed(shlex.join(flat[flat.index("train.py") :]).replace("@stamp@", "x")))
    elif name == "make":
        subprocess.run(["make", "-n", *rest], cwd=ROOT, check=True, capture_output=True)
    elif name == "source":
        assert f"BIN := {Path(rest[0]).parent}\n" in (ROOT / "Makefile").read_text()
    elif name == "pip":
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        assert set(re.findall(r"\[(\w+)\]", " ".join(rest))) <= set(extras)
    elif name == "python":
        assert rest[0] == "-m"
        assert importlib.util.find_spec(rest[1])
    elif name == "wandb":
        assert (ROOT / rest[1]).is_file()
    else:
        assert words == ["trackio", "show"]
