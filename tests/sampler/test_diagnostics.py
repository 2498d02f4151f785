"""What is said of a trace, where the answer is known."""

import pytest
import torch

from ebm_exp.sampler.diagnostics import mixing


def autoregressive(rho: float, n_steps: int, n_chains: int) -> torch.Tensor:
    z = torch.randn(n_steps, n_chains, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rows = [z[0]]
    for each in z[1:]:
        rows.append(rho * rows[-1] + (1 - rho**2) ** 0.5 * each)
    return torch.stack(rows)


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_the_autocorrelation_time_of_an_autoregression(rho: float) -> None:
    """(1 + ρ)/(1 − ρ) steps."""
    told = mixing(autoregressive(rho, 4000, 8))
    assert told.autocorrelation_time == pytest.approx((1 + rho) / (1 - rho), rel=0.15)
    assert told.ess == pytest.approx(told.ess_at_most / told.autocorrelation_time)
    assert told.r_hat < 1.01


def test_chains_that_disagree_are_told() -> None:
    trace = autoregressive(0.5, 1000, 4)
    trace[:, 0] += 3
    assert mixing(trace).r_hat > 1.3


def test_a_trace_that_is_too_short_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 4 steps, got 3"):
        mixing(torch.zeros(3, 4))
