"""What an experiment chooses inside of a choice that is replaced beside it is left out, as its keys there are.

``experiment=table evaluator=none``: the kernel of an evaluator that is not there. Hydra would refuse it.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from hydra._internal import defaults_list


@contextmanager
def leaving_out() -> Iterator[list[str]]:
    """Hydra composes so within; yields what it has left out so far: ``sampler@evaluator.ais.kernel``."""
    left: list[str] = []

    class Overrides(defaults_list.Overrides):
        def ensure_overrides_used(self) -> None:
            typed = {key for key, meta in self.override_metadata.items() if meta.external_override}
            for key, meta in self.override_metadata.items():
                inside = key.partition("@")[2].partition(".")[0]
                if not (meta.used or meta.external_override) and inside in typed:
                    meta.used = True
                    left.append(key)
            super().ensure_overrides_used()

    before = defaults_list.Overrides
    defaults_list.Overrides = Overrides  # type: ignore[misc]
    try:
        yield left
    finally:
        defaults_list.Overrides = before  # type: ignore[misc]
