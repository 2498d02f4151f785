"""Record short runs, to see that a change of structure changes no number: rows of metrics, digests of final tensors.

    python -m tests.record before.json     # in a checkout of the old commit
    python -m tests.record after.json      # in the new one
    python -m tests.record before.json after.json    # compare

On one machine, CPU, one thread. Times are left out; a key that was renamed is looked up under its new name.
"""

import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

RUNS = {
    "default": ["trainer.max_steps=60", "trainer.log_every_steps=10"],
    "plane": ["experiment=plane", "trainer.max_steps=20"],
    "icd": ["experiment=du2021/digits_small", "trainer.max_steps=20"],
    "igebm": ["experiment=du2019/digits_small", "trainer.max_steps=20"],
    "conditional": ["energy.conditional=true", "trainer.max_steps=20"],
}
COMMON = ["device=cpu", "logger.mode=disabled", "trainer.log_every_steps=5", "trainer.checkpoint_every_steps=1000"]


def record(run_dir: Path) -> dict[str, Any]:
    """Rows without times, and a digest of each tensor of the last checkpoint, by its name."""
    import torch

    rows = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    by_step: dict[int, dict[str, Any]] = {}  # a step's scores may stand in a row of their own
    for row in rows:
        by_step.setdefault(row["step"], {}).update({k: v for k, v in row.items() if not k.startswith("time/")})
    rows = list(by_step.values())
    state = torch.load(max((run_dir / "checkpoints").glob("step_*.pt")), weights_only=True)
    digests: dict[str, str] = {}

    def walk(name: str, value: Any) -> None:
        if isinstance(value, torch.Tensor):
            digests[name] = hashlib.sha256(value.contiguous().numpy().tobytes()).hexdigest()[:16]
        elif isinstance(value, dict):
            for key, item in value.items():
                walk(f"{name}.{key}" if name else str(key), item)

    walk("", state.pop("parts", {}) | state)
    return {"rows": rows, "tensors": digests}


def main(out: Path) -> None:
    """Start each run in a process of its own and write what it left."""
    recorded = {}
    for name, arguments in RUNS.items():
        with tempfile.TemporaryDirectory() as folder:
            run_dir = Path(folder) / "run"
            command = [sys.executable, "train.py", *COMMON, *arguments, f"hydra.run.dir={run_dir}"]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            recorded[name] = record(run_dir)
    out.write_text(json.dumps(recorded, indent=1))


def compare(before: Path, after: Path) -> None:
    """Print, run by run, what is equal and what is not."""
    old, new = (json.loads(path.read_text()) for path in (before, after))
    for name in old:
        differing: dict[str, float] = {}
        for row, now in zip(old[name]["rows"], new[name]["rows"], strict=True):
            for key, value in row.items():
                if now.get(key) != value:
                    change = abs(now[key] - value) / max(abs(value), 1e-300) if key in now else float("inf")
                    differing[key] = max(differing.get(key, 0.0), change)
        tensors = [k for k, digest in old[name]["tensors"].items() if new[name]["tensors"].get(k) != digest]
        print(f"{name}: {len(old[name]['rows'])} rows, {len(old[name]['tensors'])} tensors")
        for key, change in differing.items():
            print(f"    row {key}: largest relative change {change:.1e}")
        print(f"    tensors that differ or are gone: {tensors or 'none'}")


if __name__ == "__main__":
    paths = [Path(argument) for argument in sys.argv[1:]]
    main(*paths) if len(paths) == 1 else compare(*paths)
