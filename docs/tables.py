"""The tables in docs/*.md: of choices, from the files of conf/, and of what a run logs.

    python docs/tables.py            write them
    python docs/tables.py --check    exit 1 and name what is not current

A page has a table between the lines ``<!-- table: sampler -->`` and ``<!-- end -->``: one row for each file of
conf/sampler/, with the first sentence of its header, and "(default)" at the choice that a plain command takes. Between
``<!-- metrics: chain -->`` and the end it has a row for each name that begins with ``chain/`` in ebm_exp/metrics.py.
"""

import re
import runpy
import signal
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
TABLE = re.compile(r"^<!-- (?P<kind>table|metrics): (?P<group>\w+) -->\n.*?^<!-- end -->", re.DOTALL | re.MULTILINE)
METRICS = runpy.run_path(str(ROOT / "ebm_exp" / "metrics.py"))  # by its path: of this checkout, whatever is installed
CHOICES = runpy.run_path(str(ROOT / "ebm_exp" / "config" / "choices.py"))
files, header = CHOICES["files"], CHOICES["header"]
UNLISTED = {"hydra", "wandb_sweep"}  # no choices of a user


def defaults(conf: Path) -> set[tuple[str, str]]:
    """The (group, choice) pairs that train.yaml and sample.yaml begin with."""
    texts = [(conf / f"{script}.yaml").read_text(encoding="utf-8") for script in ("train", "sample")]
    entries = [entry for text in texts for entry in yaml.safe_load(text)["defaults"] if isinstance(entry, dict)]
    return {(group.split("@")[0], str(choice)) for entry in entries for group, choice in entry.items()}


def table(conf: Path, group: str) -> str:
    """The Markdown table of one group.

    Raises:
        ValueError: when there is no such group.
    """
    rows, chosen = [f"| `{group}=` | |", "|---|---|"], defaults(conf)
    for file in files(conf, group):
        name = file.relative_to(conf / group).with_suffix("").as_posix()
        text = header(file).replace("|", r"\|").replace("<", r"\<")
        rows.append(f"| `{name}`{' (default)' if (group, name) in chosen else ''} | {text} |")
    if len(rows) == 2:
        raise ValueError(f"<!-- table: {group} --> names no group of conf/")
    return "\n".join(rows)


def metrics(group: str) -> str:
    """What the names of one group of metrics mean, in Markdown.

    Raises:
        ValueError: when there is no such group.
    """
    if group not in METRICS["GROUPS"]:
        raise ValueError(f"<!-- metrics: {group} --> names no group of ebm_exp/metrics.py")
    families = {f"{f.prefix}<{f.part}>{f.suffix}": f.meaning for f in METRICS["FAMILIES"]}
    named = {n: meaning for n, meaning in (METRICS["METRICS"] | families).items() if n.startswith(f"{group}/")}
    rows = [f"| `{name}` | {meaning} |" for name, meaning in named.items()]
    return "\n".join([f"| `{group}/` | {METRICS['GROUPS'][group]} |", "|---|---|", *rows])


def main(root: Path = ROOT, check: bool = False) -> list[str]:
    """Write the tables, or only look; returns what is wrong, one line each."""
    conf, wrong, shown = root / "conf", [], set()
    for path in sorted((root / "docs").glob("*.md")):
        name, page = path.relative_to(root), path.read_text(encoding="utf-8")
        if len(re.findall(r"^<!-- (?:table|metrics):", page, re.MULTILINE)) != len(TABLE.findall(page)):
            wrong.append(f"{name}: a <!-- table: … --> has no <!-- end -->")
            continue
        new = page
        for match in TABLE.finditer(page):
            kind, group = match["kind"], match["group"]
            shown.add((kind, group))
            try:
                inside = table(conf, group) if kind == "table" else metrics(group)
                block = f"<!-- {kind}: {group} -->\n{inside}\n<!-- end -->"
            except ValueError as error:
                wrong.append(f"{name}: {error}")
                continue
            if check and block != match[0]:
                wrong.append(f"{name}: the table of {group} is not current; python docs/tables.py writes it")
            new = new.replace(match[0], block)
        if new != page and not check:
            path.write_text(new, encoding="utf-8")
    groups = {folder.name for folder in conf.iterdir() if folder.is_dir()} - UNLISTED
    unshown = sorted(group for group in groups if ("table", group) not in shown)
    untold = [group for group in METRICS["GROUPS"] if ("metrics", group) not in shown]
    wrong += [f"docs/choices.md: needs a <!-- table: {group} --> for conf/{group}" for group in unshown]
    return wrong + [f"docs/metrics.md: needs a <!-- metrics: {group} -->" for group in untold]


if __name__ == "__main__":
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # | head
    if set(sys.argv[1:]) - {"--check"}:
        sys.exit(f"usage: python {sys.argv[0]} [--check]")
    sys.exit("\n".join(main(check="--check" in sys.argv)) or 0)
