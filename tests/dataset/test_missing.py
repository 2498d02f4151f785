"""What is missing is drawn as the Gaussian has it."""

import torch

from ebm_exp.dataset.missing import fit_gaussian
from ebm_exp.random import generator

G = generator("cpu", "test", "missing")
D = 5
ROOT = torch.randn(D, D, generator=G, dtype=torch.float64) * 0.6 + torch.eye(D, dtype=torch.float64)
COVARIANCE, MEAN = ROOT @ ROOT.T, torch.randn(D, generator=G, dtype=torch.float64)
X = MEAN + torch.randn(20_000, D, generator=G, dtype=torch.float64) @ ROOT.T
MISSING = torch.rand(X.shape, generator=G) < 0.25


def test_the_fit_finds_mean_and_covariance_under_gaps() -> None:
    found = fit_gaussian(torch.where(MISSING, torch.nan, X), MISSING)
    torch.testing.assert_close(found.mean, MEAN, atol=0.05, rtol=0)
    torch.testing.assert_close(found.covariance, COVARIANCE, atol=0.15, rtol=0)


def test_draws_have_the_conditional_mean_and_covariance() -> None:
    gaussian = fit_gaussian(X, torch.zeros_like(MISSING))
    row, gap = X[:1].expand(20_000, D), torch.tensor([False, True, False, True, False])
    gaps = gap.expand_as(row)
    filled = gaussian.fill(row, gaps, torch.randn(row.shape, generator=G, dtype=torch.float64))
    assert torch.equal(filled[:, ~gap], row[:, ~gap])
    s, o, m = gaussian.covariance, ~gap, gap
    gain = s[m][:, o] @ torch.linalg.inv(s[o][:, o])
    mean = gaussian.mean[m] + gain @ (X[0, o] - gaussian.mean[o])
    torch.testing.assert_close(gaussian.fill(row, gaps)[0, m], mean, atol=1e-9, rtol=0)
    torch.testing.assert_close(filled[:, m].mean(0), mean, atol=0.05, rtol=0)
    torch.testing.assert_close(torch.cov(filled[:, m].T), s[m][:, m] - gain @ s[o][:, m], atol=0.05, rtol=0.05)


def test_each_row_has_gaps_of_its_own_and_none_changes_the_others() -> None:
    gaussian = fit_gaussian(X, torch.zeros_like(MISSING))
    z = torch.randn(50, D, generator=G, dtype=torch.float64)
    together = gaussian.fill(X[:50], MISSING[:50], z)
    for i in range(50):
        torch.testing.assert_close(gaussian.fill(X[i : i + 1], MISSING[i : i + 1], z[i : i + 1])[0], together[i])
    assert torch.equal(together[~MISSING[:50]], X[:50][~MISSING[:50]])
