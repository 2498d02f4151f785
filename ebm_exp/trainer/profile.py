"""A look at where the time of a step goes, with torch's profiler."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile, schedule

from ebm_exp.files import replace_text, replacing


@contextmanager
def profiler(run_dir: Path, n_steps: int, say: Callable[[str], None]) -> Iterator[Callable[[], None] | None]:
    """Yield what is to be called after every step, of which ``n_steps`` are recorded after 3 to warm up; None if 0 are.

    Leaves ``profile.json``, a trace for Perfetto, and ``profile.txt``, a table of operations, in the run directory.
    """
    if n_steps == 0:
        yield None
        return
    by = "self_cuda_time_total" if torch.cuda.is_available() else "self_cpu_time_total"

    def write(recorded: Any) -> None:
        with replacing(run_dir / "profile.json") as trace:
            recorded.export_chrome_trace(trace.name)
        table = recorded.key_averages().table(sort_by=by, row_limit=15, max_name_column_width=45)
        replace_text(run_dir / "profile.txt", table)
        say(table)

    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * torch.cuda.is_available()
    plan = schedule(wait=2, warmup=1, active=n_steps, repeat=1)
    with profile(activities=activities, schedule=plan, on_trace_ready=write) as running:
        yield running.step
