"""What is mended and refused before Hydra reads the command line."""

import subprocess
from pathlib import Path

import pytest
from hydra._internal.utils import get_args
from hydra.core.override_parser.overrides_parser import OverridesParser

from ebm_exp.cli.explain import refuse_no_choices
from ebm_exp.cli.line import (
    claim_stamp,
    overrides_first,
    quote_home,
    refuse_absent_slurm,
    refuse_empty_paths,
    refuse_used_directory,
    value_of,
)
from ebm_exp.config.errors import UserError
from ebm_exp.shell import override

PATHS = (
    *("outputs/a", "a b", "a=b,c", "it's", "ä(1)", '$HOME "x"', "a#b", "{x}", "a=b", "a,b", "ä ö", " a ", "(x)", "[x]"),
    *("$HOME", "a;b", "a&b", "#x", "~", "a\\b", '"a"', "-x", "%d*?", "run=a,b c's"),
)


@pytest.mark.parametrize("path", PATHS)
def test_a_printed_override_can_be_pasted(path: str) -> None:
    """Through bash, then through Hydra's own parser, and through ours."""
    command = f"printf %s {override('resume', path)}"
    pasted = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True).stdout
    (parsed,) = OverridesParser.create().parse_overrides([pasted])
    assert parsed.value() == path
    assert value_of("resume", [pasted]) == path


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("dataset.root=~/data", "dataset.root='~/data'"),
        ("run=[~/a,~/b]", "run=['~/a','~/b']"),
        ("dataset.root='~/data'", "dataset.root='~/data'"),
        ("~regularization.energy_l2", "~regularization.energy_l2"),
        ("seed=1", "seed=1"),
    ],
)
def test_a_home_is_quoted_and_a_deletion_is_not(typed: str, read: str) -> None:
    assert quote_home([typed]) == [read]


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("experiment=plane -m seed=1,2", "experiment=plane seed=1,2 -m"),
        ("-m seed=1,2", "seed=1,2 -m"),
        ("seed=3 --cfg job sampler=mala --resolve device=cpu", "seed=3 sampler=mala device=cpu --cfg job --resolve"),
        ("--config-dir a/conf seed=1 -cd b", "seed=1 --config-dir a/conf -cd b"),
        ("--info seed=1", "seed=1 --info"),
        ("--info defaults-tree seed=1", "seed=1 --info defaults-tree"),
        ("~regularization.energy_l2 --help", "~regularization.energy_l2 --help"),
    ],
)
def test_options_may_stand_anywhere(typed: str, read: str) -> None:
    before, after = typed.split(), read.split()
    assert overrides_first(before) == after
    assert get_args(after).overrides == [word for word in before if "=" in word or word[0] == "~"]


def test_slurm_is_needed_for_its_launcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="hydra/launcher: slurm needs srun"):
        refuse_absent_slurm(["-m", "hydra/launcher=slurm", "seed=1,2"])
    (tmp_path / "srun").touch(0o755)
    refuse_absent_slurm(["-m", "hydra/launcher=slurm", "seed=1,2"])


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("logger=null", "logger: null is no choice; choose from both, default, trackio"),
        ("sampler=hmc,3", "sampler: 3 is no choice; choose from annealed, "),
        ("augmentation@data_augmentation=True", "augmentation@data_augmentation: True is no choice; choose from "),
        ("+evaluator={}", "evaluator: {} is no choice; choose from .*classifier, "),
        ("evaluator=[frechet,3]", "evaluator: 3 is no choice; choose from "),
        ("evaluator=[]", r"evaluator: \[\] is no choice; choose from "),
        ("sampler=[hmc,mala]", r"sampler: \[hmc is no choice; nearest is hmc"),
        ("experiment=null", "experiment: null is no choice; choose from .*, du2019/mnist, "),
    ],
)
def test_what_names_no_choice_is_refused(typed: str, line: str) -> None:
    refuse_no_choices(["sampler=hmc", "device=null", "evaluator=[frechet,kid,manifold]"])
    with pytest.raises(UserError, match=line):
        refuse_no_choices([typed])


@pytest.mark.parametrize(
    "key", ["resume", "init_from", "run", "hydra.run.dir", "dataset.root", "output_dir", "+dataset.path"]
)
def test_an_empty_path_is_refused(key: str) -> None:
    for empty in ("", "''", '""'):
        with pytest.raises(UserError, match=r"is empty \(unset variable\?\)"):
            refuse_empty_paths(["seed=1", f"{key}={empty}"])
    refuse_empty_paths([f"{key}=x", "name="])


def test_a_directory_with_a_run_is_refused(tmp_path: Path) -> None:
    given = f"hydra.run.dir={tmp_path}"
    refuse_used_directory([given], "hydra.run.dir")
    refuse_used_directory([], "hydra.run.dir")
    (tmp_path / "summary.json").touch()
    with pytest.raises(UserError, match="holds a run already; go on with resume="):
        refuse_used_directory([given], "hydra.run.dir")


def test_starts_of_one_second_have_names_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert len({claim_stamp() for _ in range(5)}) == 5
