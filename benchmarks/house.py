"""How large the house is: lines of code by folder, and the files that one training step goes through.

    python -m benchmarks.house                                     # experiment=flow/fashion_mnist_small
    python -m benchmarks.house experiment=plane                    # of another training

Lines are those that hold code: no blank ones, no comments, no docstrings. The step is the fourth of a short training on
synthetic data, from the end of the optimizer's third step to that of its fourth, with the row that is logged between.
"""

import ast
import contextlib
import io
import runpy
import sys
import tempfile
import tokenize
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "ebm_exp"
SCIENCE = (
    *(
        "dataset",
        "energy",
        "objective",
        "regularization",
        "sampler",
        "start",
        "buffer",
        "sampling",
        "engine",
        "evaluator",
    ),
    *("mode", "noise", "augmentation", "optimizer", "schedule"),
)
TRAINING = ("trainer", "guard")
_STEP = 4
_NOTHING = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


def count_lines(file: Path) -> int:
    """Lines of a Python file that hold code."""
    text = file.read_text(encoding="utf-8")
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    said: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None:
            said.update(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    held: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in _NOTHING:
            held.update(range(token.start[0], token.end[0] + 1))
    return len(held - said)


def find_room(file: Path) -> str:
    """The folder of the package that a file is in; its own name at the top."""
    inside = file.relative_to(PACKAGE).parts
    return inside[0] if len(inside) > 1 else "(top)"


def trace_step(overrides: list[str]) -> list[str]:
    """The files of the package in which a function runs during one training step, in the order they are entered."""
    from torch.optim.optimizer import register_optimizer_step_post_hook

    entered: dict[str, None] = {}
    steps = 0

    def profile(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(f"{PACKAGE}/"):
            entered.setdefault(str(Path(frame.f_code.co_filename).relative_to(PACKAGE)))

    def count(*_: Any) -> None:
        nonlocal steps
        steps += 1
        sys.setprofile(profile if steps == _STEP - 1 else None)

    hook = register_optimizer_step_post_hook(count)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        settings = ["stand_in=true", "device=cpu", "logger.mode=disabled", "evaluator=none", "trainer.batch_size=8"]
        settings += [f"trainer.max_steps={_STEP}", "trainer.log_every_steps=3", f"hydra.run.dir={folder}/run"]
        sys.argv = ["train.py", *overrides, *settings]
        sys.path.insert(0, str(ROOT))
        with contextlib.suppress(SystemExit):
            runpy.run_path(str(ROOT / "train.py"), run_name="__main__")
    hook.remove()
    return list(entered)


def main() -> None:
    """Print both."""
    lines: Counter[str] = Counter()
    files: Counter[str] = Counter()
    longest = max(PACKAGE.rglob("*.py"), key=lambda file: len(file.read_text(encoding="utf-8").splitlines()))
    for file in PACKAGE.rglob("*.py"):
        lines[find_room(file)] += count_lines(file)
        files[find_room(file)] += 1
    total = sum(lines.values())
    for title, rooms in (
        ("science", SCIENCE),
        ("training", TRAINING),
        ("house", sorted(set(lines) - set(SCIENCE) - set(TRAINING))),
    ):
        share = sum(lines[room] for room in rooms)
        print(f"{title:<16}{share:>7,} lines of code, {share / total:.0%}")
        for room in rooms:
            print(f"    {room:<12}{lines[room]:>7,} in {files[room]} files")
    print(f"{'all':<16}{total:>7,}")
    print(f"longest file    {longest.relative_to(ROOT)}, {len(longest.read_text(encoding='utf-8').splitlines())} lines")
    entered = trace_step(sys.argv[1:] or ["experiment=flow/fashion_mnist_small"])
    print(f"one training step runs functions of {len(entered)} files: {', '.join(entered)}")


if __name__ == "__main__":
    main()
