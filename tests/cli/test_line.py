"""A command line is one value: what it says, what is mended and refused before Hydra reads it."""

import subprocess
from pathlib import Path

import pytest
from hydra._internal.utils import get_args
from hydra.core.override_parser.overrides_parser import OverridesParser

from ebm_exp.cli.checks import (
    refuse_absent_slurm,
    refuse_empty_paths,
    refuse_files_for_folders,
    refuse_long_names,
    refuse_names_outside,
    refuse_no_choices,
    refuse_two_modes,
)
from ebm_exp.cli.claim import claim_stamp
from ebm_exp.cli.line import CommandLine
from ebm_exp.cli.mends import hold_back, name_start, quote_home, split_runs
from ebm_exp.cli.saved import find_start
from ebm_exp.config.cast import coerce
from ebm_exp.config.errors import UserError
from ebm_exp.config.override import Override
from ebm_exp.shell import override

PATHS = (
    *("outputs/a", "a b", "a=b,c", "it's", "ä(1)", '$HOME "x"', "a#b", "{x}", "a=b", "a,b", "ä ö", " a ", "(x)", "[x]"),
    *("$HOME", "a;b", "a&b", "#x", "~", "a\\b", '"a"', "-x", "%d*?", "run=a,b c's"),
)


def line(*words: str, program: str = "train") -> CommandLine:
    return CommandLine.read(program, words)


@pytest.mark.parametrize("path", PATHS)
def test_a_printed_override_can_be_pasted(path: str) -> None:
    """Through bash, then through Hydra's own parser, and through ours."""
    command = f"printf %s {override('resume', path)}"
    pasted = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True).stdout
    (parsed,) = OverridesParser.create().parse_overrides([pasted])
    assert parsed.value() == path
    assert line(pasted).value("resume") == path


def test_what_a_line_says() -> None:
    typed = line("--config-dir", "a", "sampler=hmc", "++run=2026", "~buffer", "seed=1", "seed=null", "x='b c'")
    assert typed.words[-2:] == ["--config-dir", "a"]
    said = {key: typed.value(key) for key in ("sampler", "run", "buffer", "seed", "x")}
    assert said == {"sampler": "hmc", "run": "2026", "buffer": None, "seed": None, "x": "b c"}
    assert typed.config_dirs == [Path("a").resolve()]
    assert typed.has("buffer")
    assert typed.without("seed", "x", "run").set("name", "y").words[:3] == ["sampler=hmc", "~buffer", "name=y"]


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("dataset.root=~/data", "dataset.root='~/data'"),
        ("run=[~/a,~/b]", "run=['/home/me/a','/home/me/b']"),
        ("hydra.run.dir=~/a", "hydra.run.dir='/home/me/a'"),
        ("dataset.root='~/data'", "dataset.root='~/data'"),
        ("~regularization.energy_l2", "~regularization.energy_l2"),
        ("seed=1", "seed=1"),
    ],
)
def test_a_home_is_quoted_and_a_deletion_is_not(typed: str, read: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert quote_home(line(typed)).words == [read]


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("run=[a,b]", ["run='a'", "others=['b']"]),
        ("run=[a=1,b c]", ["run='a=1'", "others=['b c']"]),
        ("run=['a,b',c]", ["run='a,b'", "others=['c']"]),  # a comma in a name
        ("run=a", ["run=a"]),
        ("start=normal", ["start@sampling.start=normal"]),
    ],
)
def test_runs_and_starts_have_names_of_their_own(typed: str, read: list[str]) -> None:
    assert name_start(split_runs(line(typed, program="sample"))).words == read


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
    assert line(*before).words == after
    assert get_args(after).overrides == [word for word in before if "=" in word or word[0] == "~"]


def test_of_a_sweep_hydra_gets_its_own_keys_alone() -> None:
    sweep = hold_back(line("-m", "seed=1,2", "hydra/launcher=joblib", "hydra.sweep.dir=x", "~buffer"))
    assert sweep.words == ["hydra/launcher=joblib", "hydra.sweep.dir=x", "-m"]
    assert sweep.held == ("seed=1,2", "~buffer")
    search = hold_back(line("hparams_search=digits", "seed=3"))
    assert (search.words, search.held) == (["hparams_search=digits"], ("hparams_search=digits", "seed=3"))
    for typed in (["seed=1"], ["-m", "seed=1,2", "hydra/sweeper=basic"], ["hparams_search=digits", "seed=3", "--help"]):
        assert hold_back(line(*typed)) == line(*typed)


def test_slurm_is_needed_for_its_launcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    sweep = line("-m", "hydra/launcher=slurm", "seed=1,2")
    with pytest.raises(UserError, match="hydra/launcher: slurm needs srun"):
        refuse_absent_slurm(sweep)
    (tmp_path / "srun").touch(0o755)
    refuse_absent_slurm(sweep)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("logger=null", "logger: null is no choice; choose from both, default, trackio"),
        ("sampler=hmc,3", "sampler: 3 is no choice; choose from annealed, "),
        ("augmentation@data_augmentation=True", "augmentation@data_augmentation: True is no choice; choose from "),
        ("+evaluator={}", "evaluator: {} is no choice; choose from .*classifier, "),
        ("evaluator=[frechet,3]", "evaluator: 3 is no choice; choose from "),
        ("evaluator=[]", r"evaluator: \[\] is no choice; choose from "),
        ("sampler=[hmc,mala]", r"sampler: \[hmc,mala\] is no choice; .*choose from annealed, "),
        ("sampler=", r"sampler: nothing is no choice; choose from annealed, "),
        ("experiment=null", "experiment: null is no choice; choose from .*, du2019/mnist, "),
    ],
)
def test_what_names_no_choice_is_refused(typed: str, said: str) -> None:
    refuse_no_choices(line("sampler=hmc", "device=null", "evaluator=[frechet,kid]", "energy=glob(*)", "~sampler"))
    with pytest.raises(UserError, match=said):
        refuse_no_choices(line(typed))


@pytest.mark.parametrize(
    "key", ["resume", "init_from", "run", "hydra.run.dir", "dataset.root", "output_dir", "+dataset.path"]
)
def test_an_empty_path_is_refused(key: str) -> None:
    for empty in ("", "''", '""'):
        with pytest.raises(UserError, match=r"is empty \(unset variable\?\)"):
            refuse_empty_paths(line("seed=1", f"{key}={empty}"))
    refuse_empty_paths(line(f"{key}=x", "name="))


@pytest.mark.parametrize("typed", ["true", "True", "yes", "1", "on", "'TRUE'", "false", "no", "0", "null", "''"])
def test_trust_is_what_it_will_be_cast_to(typed: str) -> None:
    read = Override.read(f"trust={typed}").value
    assert line(f"trust={typed}").trusts is (read not in (None, "") and coerce(bool, read))


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("-m hparams_search=digits --cfg job", "-m: cannot be combined with --cfg; what is shown is one run's"),
        ("--cfg=job seed=1,2 --multirun", "--cfg: cannot be combined with -m; what is shown is one run's"),
        ("-c job -i config", "--cfg: cannot be combined with --info"),
        ("--run -m seed=1,2", "--run: cannot be combined with -m"),
        ("--resolve", "--resolve: goes with --cfg job"),
    ],
)
def test_a_command_does_one_thing(typed: str, said: str) -> None:
    for good in ("-m seed=1,2", "--cfg job --resolve", "-c job -p energy", "-m --help", "--info config", "-m -m"):
        refuse_two_modes(line(*good.split()))
    with pytest.raises(UserError, match=said):
        refuse_two_modes(line(*typed.split()))


@pytest.mark.parametrize("key", ["name", "dataset.name", "hydra.run.dir", "hydra.sweep.dir", "output_dir", "run",
                                 "resume", "init_from", "dataset.root"])  # fmt: skip
def test_a_name_that_is_too_long_is_refused(key: str) -> None:
    refuse_long_names(line(f"{key}={'x' * 255}/{'y' * 255}", "notes=" + "z" * 300))
    with pytest.raises(UserError, match=f"{key}: no name of a file or folder is longer than 255 bytes, got 256"):
        refuse_long_names(line(f"{key}=a,b/{'ä' * 128}"))


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for key in ("hydra.run.dir", "hydra.sweep.dir", "output_dir"):
        refuse_files_for_folders(line(f"{key}={tmp_path}/new/er"))
        for path in (tmp_path / "file", tmp_path / "file" / "in"):
            with pytest.raises(UserError, match=f"{key}: .*/file is a file, no folder can be there"):
                refuse_files_for_folders(line(f"{key}={path}"))


def test_a_name_that_a_sweep_varies_stays_inside_of_outputs() -> None:
    refuse_names_outside(line("name=a,b", "dataset.name=c"))
    with pytest.raises(UserError, match=r"name: must name a folder inside of outputs, got '\.\./b'"):
        refuse_names_outside(line("name=a,../b"))


def test_what_may_change_in_a_run_that_goes_on(trained: Path) -> None:
    run, display = f"resume={trained}", ("logger.wandb.mode=offline", "dataset.path=x", "guard.on_divergence=warn")
    start = find_start(line(run, *display, "attempt=next", "seed=3"))
    assert start.primary == "resumed_run"
    assert start.line.words[-2:] == [f"hydra.run.dir='{trained}'", "hydra.output_subdir=null"]
    assert not start.line.has("attempt")  # its number is in the config
    with pytest.raises(UserError, match=r"seed: cannot change .*; only trainer.* and device may\.\n.*attempt"):
        find_start(line(run, "seed=3"))


def test_starts_of_one_second_have_names_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert len({claim_stamp() for _ in range(5)}) == 5
