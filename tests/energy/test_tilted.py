"""A density tilted by a network."""

import pytest
import torch

from ebm_exp.dataset import Dataset, Domain
from ebm_exp.energy import MLP, Tilted
from ebm_exp.start import Data, Independent

X = 0.3 * torch.randn(300, 2, generator=torch.Generator().manual_seed(0))
DATA = Dataset(name="points", domain=Domain(-2, 2, (2,)), train=X, test=X)


def test_the_energy_is_the_networks_less_the_log_density() -> None:
    network, base = MLP((2,), (16,)), Independent(DATA)
    energy = Tilted(network, base)
    torch.testing.assert_close(energy(X), network(X) - base.log_prob(X).float())
    assert energy.context == ()
    assert {name.partition(".")[0] for name, _ in energy.named_parameters()} == {"network"}  # the base is not trained


def test_the_base_needs_a_density() -> None:
    with pytest.raises(ValueError, match="base: needs a known density, data has none"):
        Tilted(MLP((2,), (16,)), Data(DATA))
