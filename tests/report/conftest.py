"""Reports and dashboards read nothing of this machine's W&B."""

from tests.logger.conftest import nothing_of_this_machine

__all__ = ["nothing_of_this_machine"]
