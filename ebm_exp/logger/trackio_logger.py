"""trackio: a dashboard on this machine, without an account. The extra ``trackio`` installs it."""

import contextlib
import importlib.util
import io
import logging
import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ebm_exp.files import show_path
from ebm_exp.logger.base import About, Files, LibraryLogger, Mode, Value, convert
from ebm_exp.logger.patience import attempt

log = logging.getLogger(__name__)
_TIMEOUT = 60  # seconds for what takes milliseconds


class Trackio(LibraryLogger):
    """One trackio run, in a folder that all runs share.

    trackio has no tags, notes or columns of results: they are logged as config and as numbers of the last step.

    Args:
        mode: ``disabled``: nothing is logged and trackio is not imported. All other words for W&B mean the same here,
            where nothing leaves the machine.
        project: runs of one project are seen together; null: ebm-exp.
        name, group: null: as the run says.
        dir: the folder; null: TRACKIO_DIR, else outputs/trackio. trackio takes one in a process: that of the first run.

    Raises:
        ValueError: when trackio is not installed, or refuses the name of the project.
    """

    def __init__(
        self,
        mode: Mode = "auto",
        project: str | None = None,
        name: str | None = None,
        group: str | None = None,
        dir: str | None = None,
    ) -> None:
        super().__init__()
        self.mode = mode
        self.project = project or "ebm-exp"
        self._name = name
        self._group = group
        self._dir = dir
        self._began = False
        if mode != "disabled":
            if importlib.util.find_spec("trackio") is None:
                raise ValueError("trackio is not installed; pip install '.[trackio]' where this project is")
            if not self.project.replace("-", "").replace("_", "").replace(" ", "").isalnum():
                raise ValueError(f"project must be letters, digits, spaces, - and _, got {self.project!r}")

    def start(self, about: About, run_id: str | None = None) -> None:
        """Open the run, or go on with the one of its name: trackio knows runs by their names."""
        if self.mode == "disabled":
            self.id = run_id
            return
        name = self._name or (f"{about.group}/{about.name}" if about.in_sweep else about.name)
        group = self._group or about.group
        own = {"tags": list(about.tags), "notes": about.notes, "job_type": about.job_type}
        config = {key: value for key, value in {**about.config, **own}.items() if not key.startswith("_")}

        def action() -> None:
            os.environ["TRACKIO_DIR"] = self._choose_folder()  # it looks there when it is imported
            import trackio

            with _silent():
                self._run = trackio.init(
                    project=self.project,
                    name=name,
                    group=group,
                    config=config,
                    resume="never" if run_id is None else "allow",
                    embed=False,
                )

        if attempt("trackio", "be started", action, _TIMEOUT):
            self.id, self._began = run_id or self._run.id, True

    def summary(self, values: Mapping[str, Any]) -> None:
        """Numbers are logged at the last step; trackio has no place for the rest."""
        numbers = {name: value for name, value in values.items() if isinstance(value, int | float)}
        self.log(numbers, self._step)

    def alert(self, title: str, text: str) -> None:
        """Show it in the dashboard, and where TRACKIO_WEBHOOK_URL says."""
        import trackio

        self.commit()
        self._guard("alert", lambda: self._run.alert(title=title, text=text, level=trackio.AlertLevel.ERROR))

    def keep(self, files: Files) -> None:
        """Nothing: the files lie on this machine already."""

    def finish(self, exit_code: int) -> None:
        """Close the run."""
        self.commit()
        self._guard("finish", lambda: self._run.finish())
        self._run = None

    def hint(self) -> list[str]:
        """The command that opens the dashboard, which says where the runs lie."""
        if not self._began:
            return []
        from trackio.utils import TRACKIO_DIR

        here = show_path(TRACKIO_DIR)
        return [f"TRACKIO_DIR={shlex.quote(str(here))} trackio show --project {shlex.quote(self.project)}"]

    def _choose_folder(self) -> str:
        """Absolute, for a thread or a helper of trackio may live in another folder."""
        folder = os.path.expanduser(self._dir or os.environ.get("TRACKIO_DIR") or "outputs/trackio")
        os.makedirs(folder, exist_ok=True)
        return os.path.abspath(folder)

    def _write(self, row: dict[str, Value], step: int) -> None:
        import trackio

        self._guard("log", lambda: self._run.log({name: convert(row[name], trackio) for name in row}, step=step))

    def _guard(self, verb: str, action: Callable[[], Any]) -> None:
        def quiet() -> None:
            with _silent():
                action()

        if self._run is not None and not attempt("trackio", verb, quiet, _TIMEOUT):
            self._run = None


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """trackio prints where it is."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield
