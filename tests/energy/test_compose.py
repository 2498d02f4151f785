"""Composed energies against the densities they stand for."""

import pytest
import torch

from ebm_exp.energy import MLP, Gaussian, Mixture
from ebm_exp.energy.compose import MixtureOfEnergies, Product

X = 3 * torch.randn(50, 2, generator=torch.Generator().manual_seed(0))


def test_a_product_of_gaussians_is_the_gaussian_of_summed_precisions() -> None:
    a, b = Gaussian((2,), mean=1.0, std=0.5), Gaussian((2,), mean=-1.0, std=2.0)
    precision = 1 / 0.25 + 2 / 4
    mean = (1 / 0.25 - 2 / 4) / precision
    exact = Gaussian((2,), mean=mean, std=precision**-0.5)
    difference = Product([a, b], [1.0, 2.0], [1.0, 1.0], 1.0)(X) - exact(X)
    torch.testing.assert_close(difference, difference[:1].expand(50), rtol=1e-4, atol=1e-4)


def test_temperatures_make_densities_of_the_parts() -> None:
    """exp(−E₁/T₁) exp(−E₂/T₂) = exp(−E/T)."""
    a, b = Gaussian((2,)), Gaussian((2,), mean=1.0)
    product = Product([a, b], [1.0, 1.0], [0.5, 2.0], 0.1)
    torch.testing.assert_close(product(X) / 0.1, a(X) / 0.5 + b(X) / 2.0)


def test_a_negation_divides() -> None:
    a, b = Gaussian((2,)), Gaussian((2,), mean=1.0)
    torch.testing.assert_close(Product([a, b], [1.0, -0.5], [1.0, 1.0], 1.0)(X), a(X) - b(X) / 2)


def test_a_mixture_adds_normalised_densities() -> None:
    a, b = Gaussian((2,), mean=2.0, std=0.5), Gaussian((2,), mean=-1.0, std=1.5)
    mixed = MixtureOfEnergies([a, b], [3.0, 1.0], [1.0, 1.0], 1.0, [float(a.log_z.detach()), float(b.log_z.detach())])
    exact = Mixture((2,), centres=((2.0, 2.0), (-1.0, -1.0)), std=(0.5, 1.5), weights=(0.75, 0.25))
    difference = mixed(X) - exact(X)
    torch.testing.assert_close(difference, difference[:1].expand(50), rtol=1e-4, atol=1e-4)


def test_each_part_gets_its_context() -> None:
    conditional, plain = MLP((2,), (4,), conditional=True, n_classes=3), MLP((2,), (4,))
    product = Product([plain, conditional], [1.0, 1.0], [1.0, 1.0], 1.0)
    assert product.context == ("y",)
    y = torch.arange(50) % 3
    torch.testing.assert_close(product(X, y=y), plain(X) + conditional(X, y=y))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda a: Product([a, a], [1.0], [1.0, 1.0], 1.0), "weights: needs one for each of the 2 energies, got 1"),
        (lambda a: MixtureOfEnergies([a, a], [1.0, -1.0], [1.0, 1.0], 1.0, [0.0, 0.0]), "weights: must be > 0"),
        (lambda a: MixtureOfEnergies([a, a], [1.0, 1.0], [1.0, 1.0], 1.0, [0.0]), "log_z: needs one for each"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(Gaussian((2,)))
