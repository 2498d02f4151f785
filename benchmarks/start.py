"""What a start costs: seconds of CPU of each command on one thread, and the packages whose import takes most of them.

    python -m benchmarks.start            # medians of 3
    python -m benchmarks.start 7

Seconds of imports are those of ``python -X importtime``, in a start of its own; a package is counted without what it
imports from others. The last rows are torch alone, and torch with the compiler that each of its optimizers imports.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from benchmarks.results import ROOT

_STEP = ("train.py", "dataset=digits", "trainer.max_steps=1", "logger.mode=offline")
_ADAM = "import torch; p = torch.nn.Parameter(torch.ones(1)); p.grad = p.detach(); torch.optim.Adam([p]).step()"


def list_commands(folder: Path) -> dict[str, tuple[str, ...]]:
    """The commands by what they do; ``HERE`` stands for a folder of each start's own."""
    kept = ("hydra.run.dir=HERE", f"logger.dir={folder}")
    return {
        "--help": ("train.py", "--help"),
        "a refused trainer.batch_size": ("train.py", "trainer.batch_size=-1"),
        "a refused sampler.n_steps": ("train.py", "sampler.n_steps=-1"),
        "first update of digits": (*_STEP, "evaluator=none", "optimized_metric=null", *kept),
        "the same, evaluated": (*_STEP, *kept),
        "sample.py of that run": ("sample.py", f"run={folder}/run", "output_dir=HERE"),
        "torch": ("-c", "import torch"),
        "torch, one step of Adam": ("-c", _ADAM),
    }


def start(folder: Path, *arguments: str) -> tuple[float, str]:
    """Seconds of CPU of one start of Python, and its standard error.

    Raises:
        RuntimeError: when it fails, otherwise than by a refusal that was meant.
    """
    here = tempfile.mkdtemp(dir=folder)
    command = [sys.executable, *(each.replace("HERE", f"{here}/run") for each in arguments)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != (2 if arguments[-1].endswith("=-1") else 0):
        raise RuntimeError(done.stderr)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stderr


def count_imports(told: str) -> Counter[str]:
    """Seconds by package, of what ``-X importtime`` tells."""
    found: Counter[str] = Counter()
    for line in told.splitlines():
        own, _, name = line.removeprefix("import time:").rpartition("|")
        if line.startswith("import time:") and (first := own.partition("|")[0].strip()).isdigit():
            found[name.strip().partition(".")[0]] += int(first) / 1e6  # type: ignore[assignment]
    return found


def main() -> None:
    """Measure every command, and print the table."""
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    print("| command | seconds of CPU | imports |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        start(folder, *_STEP, f"hydra.run.dir={folder}/run", f"logger.dir={folder}")
        for what, command in list_commands(folder).items():
            imports = count_imports(start(folder, "-X", "importtime", *command)[1])
            seconds = statistics.median(start(folder, *command)[0] for _ in range(n))
            listed = ", ".join(f"{package} {each:.2f}" for package, each in imports.most_common(6))
            print(f"| {what} | {seconds:.2f} | {sum(imports.values()):.2f}: {listed} |", flush=True)


if __name__ == "__main__":
    main()
