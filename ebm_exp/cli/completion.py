"""What the shell offers at Tab: groups and their choices, keys, values that a key may have, runs.

A Tab must be quick, so nothing that imports torch is imported: which values a key may have is read from the source of
the constructor that its node names.
"""

import ast
import importlib.util
import os
import re
import shlex
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from ebm_exp.cli.line import CommandLine
from ebm_exp.cli.mends import name_start, quote_home, split_runs
from ebm_exp.cli.saved import Start, find_start
from ebm_exp.cli.several import find_runs, line_of
from ebm_exp.config.errors import UserError
from ebm_exp.config.keys import GROUPS, NESTED
from ebm_exp.config.override import Override
from ebm_exp.config.tree import look_up
from ebm_exp.config.trust import CONF

OPTIONS = {
    **{"--cfg": "job hydra all", "--info": "all config defaults defaults-tree plugins searchpath"},
    **dict.fromkeys(("--help", "--resolve", "--multirun", "--config-dir", "--package"), ""),
}
FILLED = re.compile(r"^(Provided|EventShape|NClasses|Conditional|Classifies)\b|\bFrom\(")  # by other parts
RUNS = {"run", "against", "resume", "init_from"}
_LEVELS = {
    "train": "ebm_exp.config.top.SampleLevel",
    "sample": "ebm_exp.config.top.SampleLevel",
    "evaluate": "ebm_exp.config.top.EvaluateLevel",
}
OF_HYDRA = {"hydra/launcher": ["basic", "joblib"]}  # choices that are no files of ours
HYDRA = ("hydra/launcher=", "hydra/sweeper=", "hydra.run.dir=", "hydra.sweep.dir=")

# bash completes the part behind its last "=" or ":", which is $2; what python offers begins with the whole word.
BASH = r"""
_ebm_complete() {
    local line=${COMP_LINE:0:COMP_POINT} words command before
    read -ra words <<< "$line"
    command=("${words[0]/#\~/$HOME}")
    if [[ ${words[0]##*/} == python* ]]; then
        [[ ${words[1]##*/} =~ ^(train|sample|evaluate)\.py$ && -f ${words[1]} ]] || return
        command+=("${words[1]}")
    fi
    mapfile -t COMPREPLY < <(COMP_LINE=$line "${command[@]}" -sc query=bash 2> /dev/null)
    before=${line%"$2"}
    before=${before##*[[:space:]]}
    COMPREPLY=("${COMPREPLY[@]#"$before"}")
    [[ ${COMPREPLY[*]} == *[=./] ]] && compopt -o nospace
}
complete -o default -F _ebm_complete python python3 ebm-train ebm-sample ebm-evaluate
"""
UNINSTALL = "complete -r python python3 ebm-train ebm-sample ebm-evaluate; unset -f _ebm_complete"


def answer(line: CommandLine) -> bool:
    """Print what ``-sc query=<shell>``, ``install=bash`` or ``uninstall=bash`` asks for; False: it is Hydra's."""
    if line.value("query") is not None:
        print("\n".join(complete(os.environ.get("COMP_LINE", ""), line.program)))
    elif line.value("install") == "bash" or line.value("uninstall") == "bash":
        print(BASH if line.has("install") else UNINSTALL)
    else:
        return False
    return True


def complete(typed: str, program: str) -> list[str]:
    """What the last word of a command may be, sorted, as the shell reads it.

    Args:
        typed: the command so far: ``python train.py sampler.st``.
        program: ``train``, ``sample`` or ``evaluate``.
    """
    words = _split(typed)
    words = words[2:] if Path(words[0]).name.startswith("python") else words[1:]
    word = words.pop() if words and not re.search(r"(?<!\\)\s$", typed) else ""
    if words and OPTIONS.get(words[-1], ""):
        found = OPTIONS[words[-1]].split()
    elif word.startswith("-"):
        found = list(OPTIONS)
    else:
        found = _overrides(Override.read(word), CommandLine.read(program, words))
    return [re.sub(r"([^\w@%+=:,./~\[\]-])", r"\\\1", each) for each in sorted(set(found)) if each.startswith(word)]


def _overrides(begun: Override, line: CommandLine) -> list[str]:
    """Overrides that begin like one, behind those of a line."""
    if begun.text is not None:
        listed, last = re.fullmatch(r"(.*[,\[])?(.*)", begun.text, re.DOTALL).groups("")  # type: ignore[union-attr]
        return [f"{begun.sign}{begun.key}={listed}{value}" for value in _values(begun.key, last, line)]
    found = [begun.sign + key for key in _keys(begun.key, line)]
    return [key.rstrip("=") for key in found] if begun.deletes else found


def _compose(line: CommandLine) -> dict[str, Any]:
    """The config by the choices of a command line that is not finished, unresolved; empty where it cannot be made."""
    from hydra.errors import HydraException
    from omegaconf import OmegaConf

    from ebm_exp.config.compose import compose

    for mend in (quote_home, split_runs, name_start):
        line = mend(line)
    try:
        named = find_runs(line)
        line = line if named is None else line_of(line, named.runs[0])
        start = find_start(line)
    except UserError:
        start = Start(line, line.program)
    choices = [each for each in line.overrides if each.group in GROUPS and not each.deletes and len(each.values) == 1]
    try:
        config: Any = OmegaConf.to_container(compose(start.primary, map(str, choices), line.config_dirs))
    except HydraException:
        return {}
    return config  # type: ignore[no-any-return]


def _split(line: str) -> list[str]:
    for end in ("", "'", '"'):  # the last word may be within quotes
        try:
            return shlex.split(line + end) or [""]
        except ValueError:
            continue
    return line.split()


def _keys(begun: str, line: CommandLine) -> list[str]:
    """Keys of the node that is named so far; at the top those of the script and its groups."""
    if begun.startswith("hydra"):
        return list(HYDRA)
    path, dot, _ = begun.rpartition(".")
    node = _node(_compose(line), path)
    keys = [f"{path}{dot}{key}" + ("." if isinstance(value, dict) else "=") for key, value in node.items()]
    if dot:
        return [key for key in keys if "._" not in key] + [f"{path}.{p}=" for p in _parameters(node) if p not in node]
    if line.program != "train":
        extra = ["mode", "start"] if line.program == "sample" else []
        groups = [*extra, *(key for key in node if key in GROUPS)]
    else:
        groups = re.findall(r"^  - ([\w@]+):", (CONF / "train.yaml").read_text(encoding="utf-8"), re.MULTILINE)
        groups = [group for group in groups if group != "hydra" and (CONF / group.split("@")[0]).is_dir()]
    return keys + [f"{group}=" for group in groups] + [f"{group}@{path}=" for path, group in NESTED.items()]


def _values(key: str, begun: str, line: CommandLine) -> list[str]:
    """Choices of a group, runs, the values that a key may have, or the one that it has."""
    if key in RUNS:
        return _runs(begun)
    group = key.split("@")[0]
    folders = [folder / group for folder in (CONF, *line.config_dirs) if "." not in group]
    choices = [file.relative_to(d).with_suffix("").as_posix() for d in folders for file in d.rglob("*.yaml")]
    choices += OF_HYDRA.get(group, [])
    if choices:
        return [choice for choice in choices if not choice.startswith("shared/")]  # what data sets inherit
    path, _, name = key.rpartition(".")
    node = _node(_compose(line), path)
    parameters = _parameters(node if path else {"_target_": _LEVELS[line.program]})
    allowed, value = parameters.get(name, []), node.get(name)
    if isinstance(value, bool):
        return ["true", "false"]
    return allowed or ([] if value is None or isinstance(value, dict | list) or "${" in str(value) else [str(value)])


def _node(config: dict[str, Any], path: str) -> dict[str, Any]:
    node = look_up(config, path)
    return node if isinstance(node, dict) else {}


def _runs(begun: str) -> list[str]:
    """Run directories, and folders on the way to one, which end in a slash."""
    begun = begun or "outputs/"
    head, tail = os.path.split(begun)
    folder, found = Path(head or ".").expanduser(), []
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name.startswith(tail) and not path.name.startswith(".") and path.is_dir():
            found.append(os.path.join(head, path.name) + ("" if (path / ".hydra").is_dir() else "/"))
    return found


def _parameters(node: dict[str, Any]) -> dict[str, list[str]]:
    """The parameters of what a node names, each with the values that it may have where those are few."""
    target = str(node.get("_target_", ""))
    if "." not in target:
        return {}
    files = _sources(target.rpartition(".")[0])
    found = _annotations(files, target.rpartition(".")[2])
    return {name: _literals(text, files) for name, text in found.items() if not FILLED.search(text)}


def _sources(module: str) -> list[Path]:
    """The files of a module or package."""
    top, *rest = module.split(".")
    spec = importlib.util.find_spec(top)  # no part of a package is imported for it
    if spec is None or spec.origin is None:
        return []
    path = Path(spec.origin).parent.joinpath(*rest) if spec.submodule_search_locations else Path(spec.origin)
    return sorted(path.glob("*.py")) if path.is_dir() else [path.with_suffix(".py")]


def _annotations(files: Sequence[Path], name: str) -> dict[str, str]:
    """Parameters and the text of their annotations, those that a base class adds included."""
    for file in files:
        text = _read(file)
        if not re.search(rf"^(class|def) {name}\b", text, re.MULTILINE):
            continue
        found = next(n for n in ast.parse(text).body if getattr(n, "name", None) == name)
        if not isinstance(found, ast.ClassDef):
            return _of(found.args) if isinstance(found, ast.FunctionDef) else {}
        init = next((n for n in found.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None)
        fields = {ast.unparse(n.target): ast.unparse(n.annotation) for n in found.body if isinstance(n, ast.AnnAssign)}
        own = fields if init is None else _of(init.args)
        if init is not None and init.args.kwarg is None:
            return own
        handed_on = "" if init is None or init.args.kwarg is None else ast.unparse(init.args.kwarg)
        options = re.search(r"Unpack\[(\w+)\]", handed_on)  # a typed mapping, which alone says what a base may be given
        names = [options[1]] if options else [base.id for base in found.bases if isinstance(base, ast.Name)]
        bases = [_annotations(files, base) for base in names]
        return {key: value for each in bases for key, value in each.items()} | own
    return {}


def _of(arguments: ast.arguments) -> dict[str, str]:
    named = [a for a in (*arguments.args, *arguments.kwonlyargs) if a.arg != "self"]
    return {a.arg: ast.unparse(a.annotation) if a.annotation else "" for a in named}


def _literals(annotation: str, files: Sequence[Path]) -> list[str]:
    """``Literal["sum", "mean"]`` as its values, also by a name that the module or package gives it."""
    text = annotation
    for alias in re.findall(r"\b[A-Z]\w+\b(?!\[)", annotation):
        defined = (re.search(rf"^{alias} = (Literal\[.*?\])", _read(file), re.MULTILINE) for file in files)
        text += next((match[1] for match in defined if match), "")
    values = [v for inside in re.findall(r"Literal\[(.*?)\]", text) for v in ast.literal_eval(f"[{inside}]")]
    values += ["true", "false"] if re.search(r"\bbool\b", annotation) else []
    values += ["null"] if values and re.search(r"\bNone\b", annotation) else []
    return [str(value) for value in values]


@cache
def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8") if file.is_file() else ""
