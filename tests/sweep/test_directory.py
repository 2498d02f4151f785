"""The states of a sweep's jobs, and the locks that tell a running job from a killed one."""

import subprocess
import sys
from pathlib import Path

from ebm_exp.sweep.directory import SweepDirectory


def test_a_job_runs_while_a_process_holds_its_lock(tmp_path: Path) -> None:
    sweep = SweepDirectory(tmp_path)
    sweep.claim(3, ("seed=1",), {"seed": 1})
    (job,) = sweep.jobs()
    assert (job.number, job.state, job.overrides, job.config) == (3, "waiting", ("seed=1",), {"seed": 1})
    sweep.run(3).write_summary({"state": "running"})
    assert sweep.job(3).state == "killed"
    with sweep.lock("3").acquire():
        assert sweep.job(3).state == "running"
    assert sweep.job(3).state == "killed"
    sweep.run(3).write_summary({"state": "diverged", "reason": "step 2", "best": None})
    assert (sweep.job(3).state, sweep.job(3).reason, sweep.job(3).best) == ("diverged", "step 2", {})
    assert sweep.job(4) is None


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    holder = (
        "import sys; from ebm_exp.sweep.directory import SweepDirectory\n"
        f"held = SweepDirectory({str(tmp_path)!r}).lock('7').acquire(); print('held', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen([sys.executable, "-c", holder], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"held\n"
    assert SweepDirectory(tmp_path).is_locked("7")
    process.kill()
    process.communicate()
    assert not SweepDirectory(tmp_path).is_locked("7")


def test_other_folders_are_no_jobs(tmp_path: Path) -> None:
    sweep = SweepDirectory(tmp_path)
    sweep.claim(0, (), {})
    for name in ("0.old", "notes", "1"):
        (tmp_path / name).mkdir()
    assert [job.number for job in sweep.jobs()] == [0]
