"""What a data set's YAML says for the other parts: ``suggest`` of its node."""

from collections.abc import Mapping
from typing import Any

from ebm_exp.config.errors import UserError


class Suggestions:
    """What a data set suggests to the other parts, by key; T follows from step and noise.

    Args:
        values: ``suggest`` of the data set's node.

    Raises:
        UserError: when it is no mapping.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        if not isinstance(values, Mapping):
            raise UserError(f"dataset.suggest: must be a mapping, got {values!r:.80}")
        self._values = values

    def __getattr__(self, key: str) -> Any:
        if key.startswith("_") or key not in self._values:
            raise AttributeError(key)
        return self._values[key]

    @property
    def temperature(self) -> float:
        """T = noise_std²/λ, 1 at the consistent noise."""
        noise_std = self._values.get("noise_std")
        try:
            return 1.0 if noise_std is None else float(noise_std) ** 2 / float(self._values["step_size"])
        except (TypeError, ValueError, LookupError, ArithmeticError):
            raise UserError("dataset.suggest: noise_std and step_size must be numbers, step_size > 0") from None
