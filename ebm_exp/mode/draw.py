"""What was asked of a mode, and whether it ended: ``samples.json`` beside the files that it draws.

``state`` is ``running`` from before the first file on (of a process that is gone: it was killed), then ``finished``
with the names of all files, ``failed`` or ``stopped``.
"""

from collections.abc import Mapping
from typing import Any

from ebm_exp.config.errors import UserError
from ebm_exp.dataset.absent import Absent
from ebm_exp.dataset.table_units import TableUnits
from ebm_exp.files import write_json
from ebm_exp.mode.base import Drawn, Mode, Request
from ebm_exp.run.about import origin, tell_other_data
from ebm_exp.run.loaded import LoadedRun
from ebm_exp.run.provenance import describe_process

NAME = "samples.json"


def draw(mode: Mode, run: LoadedRun, request: Request, asked: Mapping[str, Any]) -> Drawn:
    """Let a mode draw, and keep a record of it.

    Args:
        mode: what draws.
        run: what is drawn from.
        request: what was asked for; its folder takes the files.
        asked: what the record says of it beside.

    Raises:
        UserError: what the mode refuses, which leaves no record.
    """
    file, sampling = request.folder / NAME, run.parts["sampling"]
    dataset = run.parts["dataset"]
    if isinstance(dataset.units, TableUnits) and not isinstance(dataset, Absent):  # its units follow from its rows
        tell_other_data(run.directory, dataset.facts())
    how = ": ".join(filter(None, (sampling.kernel(), sampling.describe())))
    made = {
        **asked,
        **({"samples": how} if mode.draws else {}),
        **origin(run.directory, run.step),
        **describe_process(),
    }

    def write(state: str, **more: Any) -> None:
        write_json(file, {"state": state, **made, **more})

    write("running")
    try:
        drawn = mode(run, request)
    except UserError:
        file.unlink()
        raise
    except Exception as error:
        write("failed", reason=f"{type(error).__name__}: {error}")
        raise
    except BaseException:  # Ctrl-C
        write("stopped")
        raise
    write("finished", files={name: path.name for name, path in drawn.files.items()}, metrics=drawn.metrics)
    return drawn
