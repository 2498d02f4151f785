"""What the chains that reverse weights begin at, and the entropy of the data, say of a likelihood."""

from collections.abc import Mapping
from typing import Any

from ebm_exp.evaluator.base import Score
from ebm_exp.text import with_error

SURE = 4.0  # standard errors, beyond which a gap or a drift is none of chance
MATTERS = 0.1  # nats, and
MIXED = 1.1  # R̂ up to which chains agree well enough for a likelihood
BELOW = 2.0  # standard errors, by which no likelihood is better than that of the data's own distribution


def judge(evidence: Mapping[str, Score]) -> tuple[Score, dict[str, Any]]:
    """Whether the chains that reverse weights begin at had reached their target, and what that says of the scores.

    They had not where the upper bound lies below the lower one, where chains do not agree, or where they still moved;
    nor where the likelihood is better than any can be.

    Returns:
        ``ais_equilibrated``, and ``verdict`` and ``refuted`` of the scores.
    """
    gap, r_hat, drift, kl = (evidence.get(f"ais_{name}") for name in ("gap", "r_hat", "drift", "kl"))
    found: list[tuple[str, bool]] = []  # what is told, and whether it speaks against them
    if gap is not None:
        found.append((f"gap {with_error(gap.value, gap.se or 0.0)}", is_large(-gap.value, gap.se)))
    if r_hat is not None:
        found.append((f"R̂ {r_hat.value:.2f}", not r_hat.value <= MIXED))
    if drift is not None:
        found.append((f"drift {with_error(drift.value, drift.se or 0.0)}", is_large(abs(drift.value), drift.se)))
    if kl is not None:
        found.append((f"KL {with_error(kl.value, kl.se or 0.0)}", not kl.value >= -BELOW * (kl.se or 0.0)))
    against = [told for told, is_against in found if is_against]
    verdict = f"equilibrated: {'no' if against else 'yes'} ({', '.join(against or [told for told, _ in found])})"
    return Score(float(not against), better=None, verdict=verdict), {"verdict": verdict, "refuted": bool(against)}


def is_large(nats: float, se: float | None) -> bool:
    """Whether so many are more than chance, and matter; NaN is."""
    return not nats <= max(MATTERS, SURE * (se or 0.0))
