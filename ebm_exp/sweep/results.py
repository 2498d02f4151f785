"""What came of the jobs of a sweep, in lines for the console."""


def line(job, n, keys):
    b = job.best
    return f"[{job.number + 1}/{n}] {' '.join(job.overrides)}  {job.state} {b.get('value')} {job.reason or ''}"


def read(sweep):
    return sweep


def table(results, width):
    return [f"{j.number} {j.state} {j.best.get('value')}" for j in results.jobs()]
