"""How well chains mix: effective sample size and rank-normalised split R̂ (Vehtari et al. 2021), by ArviZ."""

from typing import NamedTuple

from torch import Tensor


class Mixing(NamedTuple):
    """What a trace of one number per chain and step tells."""

    ess: float  # bulk effective sample size of all chains together; compare with ess_at_most
    ess_at_most: int  # what independent draws would have
    autocorrelation_time: float  # steps per effective draw
    r_hat: float  # near 1: chains agree with each other and with themselves; above 1.01 they do not


def mixing(trace: Tensor) -> Mixing:
    """Evaluate a trace ``[n_steps, n_chains]``, e.g. of energies after burn-in.

    Raises:
        ValueError: when there are fewer than four steps.
    """
    if len(trace) < 4:
        raise ValueError(f"a trace needs at least 4 steps, got {len(trace)}")
    from arviz_stats.base import array_stats  # takes a second to import

    values = trace.T.double().cpu().numpy()
    ess = float(array_stats.ess(values, chain_axis=0, draw_axis=1))
    return Mixing(ess, values.size, values.size / ess, float(array_stats.rhat(values, chain_axis=0, draw_axis=1)))
