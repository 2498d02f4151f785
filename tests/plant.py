"""Plant faults in the package, one after the other, and see which of them the tests catch.

    python -m tests.plant                           # only list which 30 faults the seed chooses, to be read first
    python -m tests.plant faults.json               # choose them, run the tests against each, write both down
    python -m tests.plant faults.json again.json    # the same faults against today's tests

A fault is a small edit that a person could have made: a sign, an off-by-one, a dropped term, swapped arguments, a wrong
key. The seed and the package alone decide which ones, so tests may change between two runs. Each is planted in a copy
of the project and run against the tests of its mirrored folder, until the first failure, 40 s at most. The last form
lists the faults that were caught before and escape now, and exits with 1 if there are any.
"""

import json
import os
import queue
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.faults import SCIENCE, Fault, find_faults, folder_of, is_real, plant

ROOT = Path(__file__).resolve().parents[1]
SEED, PLANTED, PER_FOLDER, PER_FILE = 11, {"science": 20, "framework": 10}, 4, 2
SECONDS, WORKERS = 40, 2
# The folder or file of tests that exercises what has none of its own; a top-level module stands for its folder.
TESTED_BY = {"mode": "cli/test_sample.py", "run/loaded": "cli/test_sample.py", "run/evaluation": "cli/test_evaluate.py"}
TESTED_BY |= {"random": "sampling", "precision": "trainer", "part": "config"}


def choose_faults(root: Path, seed: int = SEED) -> list[Fault]:
    """Choose faults that spread: each folder in turn, and of the kinds that it offers the one that is rarest so far."""
    draw, found = random.Random(seed), find_faults(root)
    chosen: list[Fault] = []
    for area, n in PLANTED.items():
        folders = sorted({folder_of(fault.file) for fault in found if fault.area == area})
        turns: list[str] = []
        end = len(chosen) + n
        while len(chosen) < end:
            turns = turns or draw.sample(folders, len(folders))
            folder = turns.pop()
            files, kinds = Counter(each.file for each in chosen), Counter(each.kind for each in chosen)
            taken = {(each.file, each.line) for each in chosen}
            here = [each for each in found if each.area == area and folder_of(each.file) == folder]
            here = [each for each in here if files[each.file] < PER_FILE and (each.file, each.line) not in taken]
            if not here or sum(folder_of(each.file) == folder for each in chosen) == PER_FOLDER:
                folders.remove(folder)
                continue
            kind = min(sorted({each.kind for each in here}), key=lambda kind: (kinds[kind], draw.random()))
            fault = draw.choice([each for each in here if each.kind == kind])
            if is_real(fault, (root / fault.file).read_bytes()):
                chosen.append(fault)
            else:
                found.remove(fault)
                turns.append(folder)
    return chosen


def order_tests(root: Path, file: str) -> list[str]:
    """List the tests that mirror a module: the file of its name first, then those that use more of its names."""
    folder, stem = folder_of(file), Path(file).stem
    folder = stem if folder == "." else folder
    place = root / "tests" / TESTED_BY.get(f"{folder}/{stem}", TESTED_BY.get(folder, folder))
    if not place.exists():
        place = root / "tests" / ("trainer" if folder in SCIENCE else "cli")
    public = re.findall(r"^(?:class|def) ([a-zA-Z]\w+)", (root / file).read_text("utf-8"), re.MULTILINE)
    names = {stem, Path(file).parent.name, *public}
    mirrored = (place.parent if place.is_file() else place).rglob("test_*.py")
    ranked = []
    for test in {*(root / "tests").glob(f"test_{stem}.py"), *mirrored}:
        used = names & set(re.findall(r"\w+", test.read_text("utf-8")))
        ranked.append((test.stem != f"test_{stem}" and test != place, -len(used), test.relative_to(root).as_posix()))
    return [path for *_, path in sorted(ranked)]


def run_tests(copy: Path, arguments: list[str], limit: float) -> tuple[int | None, str, float]:
    """Run pytest in a copy; return its exit code (None: it took too long and was killed), its output and its time."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *arguments]
    variables = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(copy)}
    begun, code = time.monotonic(), None
    with tempfile.TemporaryFile("w+", errors="replace") as out:
        process = subprocess.Popen(command, cwd=copy, env=variables, stdout=out, stderr=subprocess.STDOUT)
        try:
            code = process.wait(limit)
        except subprocess.TimeoutExpired:
            kill_tree(process.pid)
            process.wait()
        out.seek(0)
        return code, out.read(), round(time.monotonic() - begun, 1)


def kill_tree(pid: int) -> None:
    """Kill a process and all that it has started, in whichever session."""
    children: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            children += map(int, task.read_text().split())
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    for child in children:
        kill_tree(child)


def copy_project(to: Path) -> None:
    """Copy what tests need, and collect them all: they must be sound, and their bytecode stays in the copy."""
    shutil.copytree(ROOT, to, ignore=shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "outputs", "build"))
    code, said, _ = run_tests(to, ["--collect-only", "tests"], 600)
    if code != 0:
        raise RuntimeError(f"without a fault, the tests cannot be collected:\n{said[-2000:]}")


def put(source: bytes, file: Path) -> None:
    """Write a module; its bytecode goes, since the source before may have been as long and as old."""
    file.write_bytes(source)
    for compiled in (file.parent / "__pycache__").glob(f"{file.stem}.*"):
        compiled.unlink()


def try_fault(fault: Fault, copy: Path, broken: set[str]) -> dict[str, Any]:
    """Run the tests against a fault; one that fails without it too goes to ``broken`` and is left out."""
    file, tests = copy / fault.file, order_tests(copy, fault.file)
    source = file.read_bytes()
    while True:
        put(plant(fault, source), file)
        left_out = [f"--deselect={test}" for test in sorted(broken)]
        code, said, seconds = run_tests(copy, [*tests, *left_out], SECONDS)
        put(source, file)
        if code is None or code in (0, 5):  # 5: no test is left
            by = f"no failure in {SECONDS} s" if code is None else "all pass"
            return {"caught": False, "by": by, "seconds": seconds}
        failed = re.findall(r"^(?:FAILED|ERROR) (tests/.+?)(?: - .*)?$", said, re.MULTILINE)
        by = failed[-1] if failed else f"pytest ends with {code}"
        if "::" in by and run_tests(copy, [by], 3 * SECONDS)[0] == 1 and by not in broken:
            broken.add(by)
            continue
        return {"caught": True, "by": by, "seconds": seconds}


def try_faults(faults: list[Fault]) -> list[dict[str, Any]]:
    """Try them all, a few at a time, each worker in a copy of its own; print a line for each as it ends."""
    for fault in faults:
        plant(fault, (ROOT / fault.file).read_bytes())  # raises where the package has changed
    outcomes, broken, copies = [], set(), queue.SimpleQueue[Path]()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(WORKERS) as pool:
        copy_project(first := Path(folder, "0"))
        copies.put(first)
        for number in range(1, WORKERS):
            copies.put(shutil.copytree(first, Path(folder, str(number))))

        def work(fault: Fault) -> dict[str, Any]:
            copy = copies.get()
            outcome = try_fault(fault, copy, broken)
            copies.put(copy)
            return outcome

        for fault, outcome in zip(faults, pool.map(work, faults), strict=True):
            outcomes.append(fault._asdict() | outcome)
            verdict = "caught" if outcome["caught"] else "ESCAPED"
            print(f"{verdict:<8}{outcome['seconds']:>5} s  {describe(fault)}\n{'':17}{outcome['by']}", flush=True)
    for test in sorted(broken):
        print(f"does not count, fails without a fault: {test}")
    return outcomes


def describe(fault: Fault) -> str:
    """Write in a line what is planted where."""
    old, new = (" ".join(text.split()) for text in (fault.old, fault.new))
    return f"{fault.area:<10}{fault.kind:<11}{fault.file}:{fault.line}  {old} -> {new}"


def main(first: Path | None = None, again: Path | None = None) -> int:
    """List, or choose and try, or try again; write the outcomes down and return the exit code."""
    if first is None:
        print(*map(describe, choose_faults(ROOT)), sep="\n")
        return 0
    before = json.loads(first.read_text(encoding="utf-8")) if again else []
    known = [Fault(*(each[field] for field in Fault._fields)) for each in before]
    outcomes = try_faults(known if again else choose_faults(ROOT))
    (again or first).write_text(json.dumps(outcomes, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    caught = Counter(each["area"] for each in outcomes if each["caught"])
    planted = Counter(each["area"] for each in outcomes)
    print(", ".join(f"{area} {caught[area]} of {n}" for area, n in planted.items()))
    lost = [pair for pair in zip(before, outcomes, strict=False) if pair[0]["caught"] and not pair[1]["caught"]]
    for old, new in lost:
        print(f"was caught by {old['by']}, escapes now: {new['file']}:{new['line']}, {new['kind']}")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])) if len(sys.argv) <= 3 else __doc__)
